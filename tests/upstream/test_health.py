"""Health: cooling, speed and stickiness under a clock of the test's own, the order that they make, and that the memory is bounded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.upstream import health as module
from pipeline.upstream.health import EXPLORED_EVERY, MEASURED_SECONDS, SHORTEST_MEASURE_TOKENS, STICKY_SECONDS, WEIGHT, Health, Order


class Place(msgspec.Struct, frozen=True):
    target: str
    price: float | None = None


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


A, B, C, D = (Place(name) for name in "abcd")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(clock)


def names(places) -> str:
    return "".join(place.target for place in places)


def test_a_target_cools_for_so_long_and_no_longer(health, clock):
    health.cool("a", 20)
    assert health.cooling_seconds("a") == 20
    clock.now += 19.5
    assert health.cooling_seconds("a") == 0.5
    clock.now += 0.5
    assert health.cooling_seconds("a") == health.cooling_seconds("never heard of") == 0


def test_a_later_and_shorter_cooldown_does_not_cut_an_earlier_one(health):
    health.cool("a", 600)
    health.cool("a", 20)
    assert health.cooling_seconds("a") == 600


def test_a_target_that_answers_cools_no_longer(health):
    health.cool("a", 600)
    health.recover("a")
    health.recover("never heard of")
    assert health.cooling_seconds("a") == 0


def test_those_that_cool_come_last_the_soonest_ready_first_and_none_is_left_out(health, clock):
    for target, seconds in (("a", 30), ("b", 10), ("d", 20)):
        health.cool(target, seconds)
    assert names(health.ordered([A, B, C, D])) == "cbda"
    assert names(health.ordered([A, B, D])) == "bda"
    clock.now += 10
    assert names(health.ordered([A, B, C, D])) == "bcda"


def test_by_price_the_unknown_ones_are_last(health):
    places = [Place("a"), Place("b", 3.0), Place("c", 0.0), Place("d"), Place("e", 3.0)]
    assert names(health.ordered(places, Order.PRICE)) == "cbead"
    assert names(health.ordered(places, "price")) == "cbead"
    assert names(health.ordered(places)) == "abcde"


def test_by_speed_the_unmeasured_ones_are_last(health):
    health.measure("c", 100, 10)
    health.measure("d", 100, 1)
    assert names(health.ordered([A, B, C, D], Order.SPEED)) == "dcab"
    health.cool("d", 5)
    assert names(health.ordered([A, B, C, D], Order.SPEED)) == "cabd"


def test_the_speed_is_a_moving_average(health):
    health.measure("a", 1000, 10)
    health.measure("a", 2000, 10)
    assert health.tokens_per_second("a") == 100 + WEIGHT * 100
    for _ in range(8):
        health.measure("a", 2000, 10)
    assert health.tokens_per_second("a") == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 1), (SHORTEST_MEASURE_TOKENS - 1, 0.1), (1000, 0), (1000, -1)])
def test_what_says_nothing_is_no_measure(health, tokens, seconds):
    health.measure("a", tokens, seconds)
    assert health.tokens_per_second("a") is None


def test_by_speed_a_target_without_a_measure_is_tried_now_and_then(health):
    health.measure("a", 100, 1)
    firsts = [names(health.ordered([A, B, C], Order.SPEED)) for _ in range(2 * EXPLORED_EVERY)]
    assert firsts.count("abc") == 2 * (EXPLORED_EVERY - 1)
    assert firsts[EXPLORED_EVERY - 1] == firsts[-1] == "bac"
    health.measure("b", 100, 2)
    assert "cab" in [names(health.ordered([A, B, C], Order.SPEED)) for _ in range(EXPLORED_EVERY)]


def test_by_speed_a_target_that_was_slow_once_gets_another_chance(health, clock):
    health.measure("b", 100, 10)
    clock.now += MEASURED_SECONDS - 1
    health.measure("a", 100, 1)
    assert {names(health.ordered([A, B], Order.SPEED)) for _ in range(EXPLORED_EVERY)} == {"ab"}
    clock.now += 1
    assert {names(health.ordered([A, B], Order.SPEED)) for _ in range(EXPLORED_EVERY)} == {"ab", "ba"}
    health.measure("b", 10_000, 1)
    assert names(health.ordered([A, B], Order.SPEED)) == "ba"


def test_what_cools_is_not_tried_for_its_measure(health):
    health.measure("a", 100, 1)
    health.cool("b", 60)
    assert {names(health.ordered([A, B], Order.SPEED)) for _ in range(EXPLORED_EVERY)} == {"ab"}
    assert {names(health.ordered([A, B, C], Order.SPEED)) for _ in range(EXPLORED_EVERY)} == {"acb", "cab"}


def test_the_measure_that_is_the_oldest_is_taken_anew_first(health, clock):
    for target, tokens in (("b", 100), ("c", 200), ("a", 300)):
        health.measure(target, tokens, 1)
        clock.now += 1
    clock.now += MEASURED_SECONDS
    assert {names(health.ordered([A, B, C], Order.SPEED)) for _ in range(EXPLORED_EVERY)} == {"acb", "bac"}


@pytest.mark.parametrize("order", Order)
def test_a_conversation_stays_where_it_is_until_that_cools(health, order):
    health.measure("a", 100, 1)
    health.stick("talk", "c")
    places = [Place("a", 1.0), Place("b", 2.0), Place("c", 3.0)]
    assert names(health.ordered(places, order, "talk")) == "cab"
    assert names(health.ordered(places, order, "another")) == "abc"
    health.cool("c", 20)
    assert names(health.ordered(places, order, "talk")) == "abc"
    health.stick("talk", "b")
    assert names(health.ordered(places, order, "talk")) == "bac"


def test_a_conversation_whose_target_is_no_candidate_goes_as_given(health):
    health.stick("talk", "z")
    assert names(health.ordered([A, B], Order.GIVEN, "talk")) == "ab"


def test_a_conversation_is_forgotten_an_hour_behind_its_last_use(health, clock):
    health.stick("talk", "a")
    clock.now += STICKY_SECONDS - 1
    assert health.stuck("talk") == "a"
    health.stick("talk", "b")
    clock.now += STICKY_SECONDS - 1
    assert health.stuck("talk") == "b"
    clock.now += 1
    assert health.stuck("talk") is None
    assert not health._stuck


def test_the_conversation_that_was_not_used_for_the_longest_goes_first(health, monkeypatch):
    monkeypatch.setattr(module, "MOST_CONVERSATIONS", 2)
    for conversation in ("one", "two", "one", "three"):
        health.stick(conversation, "a")
    assert [health.stuck(conversation) for conversation in ("one", "two", "three")] == ["a", None, "a"]


@given(st.lists(st.tuples(st.sampled_from(["cool", "measure", "recover", "stick", "order"]), st.text(max_size=3), st.integers(0, 50))))
def test_the_memory_is_bounded_and_no_candidate_is_lost(steps):
    health = Health(clock=lambda: 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_TARGETS", 3)
        patch.setattr(module, "MOST_CONVERSATIONS", 3)
        for what, target, number in steps:
            match what:
                case "cool":
                    health.cool(target, number)
                case "measure":
                    health.measure(target, 10 * number, number)
                case "recover":
                    health.recover(target)
                case "stick":
                    health.stick(target * 1000, target)
                case _:
                    places = [Place(each) for each in dict.fromkeys(step[1] for step in steps)]
                    for order in Order:
                        assert sorted(names(health.ordered(places, order, target))) == sorted(names(places))
            assert len(health._known) <= 3
            assert len(health._stuck) <= 3
            assert all(len(name) == 32 for name in health._stuck)


def test_an_id_of_half_a_character_is_an_id(health):
    health.stick("\ud800", "a")
    assert (health.stuck("\ud800"), health.stuck("\ud801")) == ("a", None)
