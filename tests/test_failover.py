"""Failover over scripted upstreams, in virtual time: who is asked when, what is told when nobody answers, and what the health learns."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest
import trio

from pipeline.clocks import Stop, Timeouts
from pipeline.emit.chat import CHAT
from pipeline.errors import (
    AnswerUnsatisfied,
    AuthenticationError,
    ContextLengthExceeded,
    Draining,
    Overloaded,
    PenstockError,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestError,
    StreamCut,
    UnsupportedParameter,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import Failed, Finish, TextDelta, UsageReport
from pipeline.failover import Candidate, Trail, collect_first, open_first
from pipeline.flow import Exchange
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.health import SHORTEST_MEASURE_TOKENS, Health
from tests.support.failover_targets import ASK, candidate
from tests.support.scripted import ScriptedUpstream, Step

WORDS = "word " * 2 * SHORTEST_MEASURE_TOKENS
FINE: list[Step] = [[TextDelta("fine"), Finish()]]


class Scene:
    """Targets `a`, `b`, … that do what they are told: an error to fail with, the steps of an answer, or tuples of steps for time after time."""

    def __init__(self, *scripts: Any) -> None:
        self.health = Health(clock=trio.current_time)
        self.trail = Trail()
        self.stop = Stop()
        self.asked: list[tuple[str, float]] = []
        self.upstreams = {name: ScriptedUpstream(partial(self._next, name, script)) for name, script in zip("abcd", scripts, strict=False)}
        self.fields: dict[str, dict] = {}
        self.prepare: dict[str, PenstockError] = {}

    def _next(self, name: str, script, request: Request) -> Sequence[Step]:
        self.asked.append((name, trio.current_time()))
        if isinstance(script, PenstockError):
            return [[Failed(script)]]
        if script and isinstance(script[0], tuple):
            turns = sum(each == name for each, _ in self.asked)
            return script[min(turns, len(script)) - 1]
        return script

    @property
    def order(self) -> str:
        return "".join(name for name, _ in self.asked)

    @property
    def outcomes(self) -> list[str]:
        return [f"{attempt.target}:{attempt.outcome}" for attempt in self.trail.attempts]

    def candidates(self, total_at: float) -> list[Candidate]:
        return [self._candidate(name, total_at) for name in self.upstreams]

    def _candidate(self, name: str, total_at: float) -> Candidate:
        made = candidate(name, self.upstreams[name], total_at=total_at, stop=self.stop, **{"timeouts": Timeouts(), **self.fields.get(name, {})})
        if name not in self.prepare:
            return made

        async def refuse() -> Exchange:
            raise self.prepare[name]

        return msgspec.structs.replace(made, prepare=refuse)

    async def run(self, first, *, wait_seconds: float = 5, total_seconds: float = 900, conversation: str | None = None):
        total_at = trio.current_time() + total_seconds
        return await first(
            self.candidates(total_at), self.health, self.trail, conversation=conversation, wait_seconds=wait_seconds, total_at=total_at
        )

    async def streamed(self, **fields) -> bytes:
        _, answer = await self.run(open_first, **fields)
        try:
            return b"".join([piece async for piece in answer.pieces])
        finally:
            await answer.aclose()

    async def collected(self, **fields) -> bytes:
        _, body, _ = await self.run(collect_first, **fields)
        return body


BOTH = pytest.mark.parametrize("form", [Scene.streamed, Scene.collected], ids=["streamed", "whole"])


@BOTH
async def test_the_first_target_that_answers_is_the_last_that_is_asked(form, autojump_clock):
    scene = Scene(StreamCut("a"), UpstreamTimeout("b"), FINE, FINE)
    assert b'"content":"fine"' in await form(scene)
    assert scene.outcomes == ["a:upstream_stream_cut", "b:upstream_timeout", "c:ok"]
    assert scene.order == "abc"


@BOTH
@pytest.mark.parametrize(
    "error",
    [
        *(kind("x") for kind in (RequestError, AuthenticationError, ContextLengthExceeded, PermissionDenied, UpstreamUnusable, AnswerUnsatisfied)),
        *(Draining("x"), Overloaded("x"), UpstreamError("x", may_pass_elsewhere=False)),
    ],
    ids=lambda error: error.code,
)
async def test_what_is_no_fault_of_the_target_stays(form, error, autojump_clock):
    scene = Scene(error, FINE)
    with pytest.raises(type(error)):
        await form(scene)
    assert set(scene.order) == {"a"}  # a whole answer that was not what was promised is asked for again, of the same target
    assert scene.health.cooling_seconds("a") == 0


@BOTH
async def test_an_error_that_says_so_itself_goes_on(form, autojump_clock):
    scene = Scene(PermissionDenied("bare", may_pass_elsewhere=True), FINE)
    assert b"fine" in await form(scene)


@BOTH
@pytest.mark.parametrize(
    "error",
    [UnsupportedParameter("no images", param="messages[0]"), UpstreamUnusable("not set"), ContextLengthExceeded("too long")],
    ids=lambda error: error.code,
)
async def test_a_target_that_cannot_take_the_request_is_passed_over_and_stays_well(form, error, autojump_clock):
    scene = Scene(FINE, FINE)
    scene.prepare["a"] = error
    assert b"fine" in await form(scene)
    assert scene.outcomes == [f"a:{error.code}", "b:ok"]
    assert (scene.order, scene.health.cooling_seconds("a")) == ("b", 0)


@BOTH
@pytest.mark.parametrize("error", [RequestError("x"), UpstreamUnavailable("x")], ids=lambda error: error.code)
async def test_what_else_goes_wrong_before_anything_was_sent_is_told_at_once(form, error, autojump_clock):
    scene = Scene(FINE, FINE)
    scene.prepare["a"] = error
    with pytest.raises(type(error)):
        await form(scene)
    assert (scene.order, scene.outcomes) == ("", [f"a:{error.code}"])


@BOTH
async def test_an_upstreams_own_word_that_a_conversation_is_too_long_is_told_at_once(form, autojump_clock):
    scene = Scene(ContextLengthExceeded("too long"), FINE)
    with pytest.raises(ContextLengthExceeded):
        await form(scene)
    assert scene.order == "a"


# -- what is told when nobody answers ----------------------------------------------------------------------------------------------------------

LIMITED = RateLimited("limited")
SOON, LATER, TOMORROW = (RateLimited("limited", retry_after_seconds=seconds) for seconds in (20, 40, 86_400))
BUSY = UpstreamUnavailable("busy", retry_after_seconds=30)
REFUSED = UpstreamUnavailable("refused")
LATE = UpstreamTimeout("late")
FULL = QuotaExceeded("full", retry_after_seconds=1)
BARE = PermissionDenied("bare", may_pass_elsewhere=True)

TOLD = {
    "a wait says more than a refused connection": ([SOON, REFUSED], SOON),
    "in whichever order": ([REFUSED, SOON], SOON),
    "of several waits the shortest": ([LATER, BUSY, SOON], SOON),
    "a wait of a 503 too": ([LATER, BUSY, REFUSED], BUSY),
    "a wait that no client keeps says less": ([TOMORROW, REFUSED], REFUSED),
    "but more than a used up quota": ([TOMORROW, FULL], TOMORROW),
    "a limit without a wait": ([LIMITED, REFUSED], LIMITED),
    "of equals the last": ([REFUSED, LATE], LATE),
    "of equals the last, the other way": ([LATE, REFUSED], REFUSED),
    "what may be over soon before what is used up": ([LATE, FULL], LATE),
    "a quota before a bare 403": ([FULL, BARE], FULL),
    "one alone": ([BARE], BARE),
}


@BOTH
@pytest.mark.parametrize(("errors", "told"), TOLD.values(), ids=TOLD)
async def test_the_client_is_told_the_fault_that_helps_it_most(form, errors, told, autojump_clock):
    scene = Scene(*errors)
    with pytest.raises(PenstockError) as caught:
        await form(scene)
    raised = caught.value
    assert (type(raised), raised.message, raised.retry_after_seconds) == (type(told), told.message, told.retry_after_seconds)
    assert scene.order == "abcd"[: len(errors)]


@BOTH
@pytest.mark.parametrize(
    ("prepared", "asked", "told"),
    [
        (UnsupportedParameter("no images"), LATE, LATE),
        (UnsupportedParameter("no images"), BARE, UnsupportedParameter("no images")),
        (UpstreamUnusable("not set"), LATE, LATE),
        (UpstreamUnusable("not set"), FULL, FULL),
        (ContextLengthExceeded("too long"), LATE, LATE),
        (ContextLengthExceeded("too long"), SOON, SOON),
    ],
)
async def test_a_target_that_was_passed_over_says_less_than_one_that_was_asked(form, prepared, asked, told, autojump_clock):
    scene = Scene(FINE, asked)
    scene.prepare["a"] = prepared
    with pytest.raises(type(told)):
        await form(scene)


@pytest.mark.parametrize("other", [TOMORROW, FULL, BARE], ids=str)
async def test_a_conversation_to_be_shortened_is_told_before_what_lasts(other, autojump_clock):
    scene = Scene(FINE, other)
    scene.prepare["a"] = ContextLengthExceeded("too long")
    with pytest.raises(ContextLengthExceeded):
        await scene.streamed()


@BOTH
async def test_a_conversation_that_no_target_has_room_for_is_told_so(form, autojump_clock):
    scene = Scene(FINE, FINE, FINE)
    scene.prepare = {"a": ContextLengthExceeded("a"), "b": UnsupportedParameter("no images"), "c": ContextLengthExceeded("c")}
    with pytest.raises(ContextLengthExceeded):
        await form(scene)
    assert scene.order == ""


async def test_of_targets_that_cannot_take_the_request_the_one_that_the_client_can_mend_is_told(autojump_clock):
    scene = Scene(FINE, FINE)
    scene.prepare = {"a": UnsupportedParameter("no images"), "b": UpstreamUnusable("not set")}
    with pytest.raises(UnsupportedParameter):
        await scene.streamed()
    assert scene.order == ""


# -- waiting -----------------------------------------------------------------------------------------------------------------------------------


def limited(seconds: float) -> tuple[Step, ...]:
    return ([Failed(RateLimited("limited", retry_after_seconds=seconds))],)


@BOTH
async def test_the_shortest_wait_is_kept_from_when_it_was_asked_for(form, autojump_clock):
    scene = Scene([limited(3), tuple(FINE)], [(1.0, *limited(2.5)), tuple(FINE)])
    assert b"fine" in await form(scene)
    assert scene.outcomes == ["a:rate_limit_exceeded", "b:rate_limit_exceeded", "a:ok"]
    assert [at - scene.asked[0][1] for _, at in scene.asked] == pytest.approx([0, 0, 3])


@BOTH
@pytest.mark.parametrize(("asked_for", "wait_seconds", "total_seconds"), [(6, 5, 900), (2, 0, 900), (0, 0, 900), (4, 5, 3)])
async def test_no_wait_is_kept_that_is_too_long(form, asked_for, wait_seconds, total_seconds, autojump_clock):
    scene, began = Scene(RateLimited("no", retry_after_seconds=asked_for)), trio.current_time()
    with pytest.raises(RateLimited):
        await form(scene, wait_seconds=wait_seconds, total_seconds=total_seconds)
    assert scene.order == "a"
    assert trio.current_time() == pytest.approx(began)


@BOTH
async def test_a_target_is_asked_twice_and_no_more(form, autojump_clock):
    scene = Scene(RateLimited("no", retry_after_seconds=1), UpstreamUnavailable("no", retry_after_seconds=2))
    with pytest.raises(RateLimited):
        await form(scene)
    assert scene.order == "aba"


@BOTH
async def test_a_quota_is_not_waited_for(form, autojump_clock):
    scene = Scene(QuotaExceeded("full", retry_after_seconds=1))
    with pytest.raises(QuotaExceeded):
        await form(scene)
    assert scene.order == "a"


@BOTH
async def test_what_the_second_try_says_may_be_final(form, autojump_clock):
    scene = Scene([limited(1), ([Failed(ContextLengthExceeded("too long"))],)], REFUSED)
    with pytest.raises(ContextLengthExceeded):
        await form(scene)


@BOTH
async def test_what_the_second_try_says_takes_the_place_of_what_the_first_said(form, autojump_clock):
    scene = Scene([limited(1), ([Failed(LATE)],)], TOMORROW)
    with pytest.raises(UpstreamTimeout):
        await form(scene)
    assert scene.order == "aba"


@BOTH
async def test_a_client_that_leaves_in_the_wait_asks_nobody_any_more(form, autojump_clock):
    """F28."""
    scene = Scene(RateLimited("no", retry_after_seconds=4), REFUSED)
    with trio.move_on_after(2) as scope:
        await form(scene)
    assert scope.cancelled_caught
    await trio.sleep(10)
    assert scene.order == "ab"
    assert scene.outcomes == ["a:rate_limit_exceeded", "b:upstream_unavailable"]


@BOTH
async def test_a_server_that_ends_its_answers_ends_the_wait(form, autojump_clock):
    scene = Scene(RateLimited("no", retry_after_seconds=4))
    async with trio.open_nursery() as nursery:

        async def drain() -> None:
            await trio.sleep(1)
            scene.stop.set(trio.current_time() + 1)

        nursery.start_soon(drain)
        began = trio.current_time()
        with pytest.raises(Draining):
            await form(scene)
        assert trio.current_time() - began == pytest.approx(2)
    assert scene.order == "a"


# -- the total clock ---------------------------------------------------------------------------------------------------------------------------


@BOTH
async def test_one_clock_runs_for_all_attempts(form, autojump_clock):
    scene, began = Scene([30.0, [Failed(REFUSED)]], [30.0, [Failed(REFUSED)]], FINE), trio.current_time()
    with pytest.raises(UpstreamTimeout) as caught:
        await form(scene, total_seconds=50)
    assert caught.value.code == "upstream_total_timeout"
    assert trio.current_time() - began == pytest.approx(50)
    assert scene.order == "ab"
    assert (scene.health.cooling_seconds("a") > 0, scene.health.cooling_seconds("b")) == (False, 0)


@BOTH
async def test_it_runs_while_a_request_is_made_ready_too(form, autojump_clock):
    scene = Scene(FINE)

    async def fetch_for_ever() -> Exchange:
        await trio.sleep_forever()
        raise AssertionError

    scene.candidates = lambda total_at: [Candidate("a", fetch_for_ever), Candidate("b", fetch_for_ever)]  # type: ignore[method-assign]  # this scene has no upstream
    with pytest.raises(UpstreamTimeout) as caught:
        await form(scene, total_seconds=7)
    assert (caught.value.code, scene.outcomes) == ("upstream_total_timeout", ["a:upstream_total_timeout"])


# -- what the health learns --------------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("asked_for", "cools"), [(None, 20), (5, 20), (600, 600), (86_400, 3600)])
async def test_a_target_cools_for_its_cooldown_or_for_as_long_as_it_says(form, asked_for, cools, autojump_clock):
    scene = Scene(RateLimited("no", retry_after_seconds=asked_for), FINE)
    await form(scene)
    assert scene.health.cooling_seconds("a") == pytest.approx(cools)


@BOTH
async def test_the_cooldown_is_the_candidates_own(form, autojump_clock):
    scene = Scene(REFUSED, REFUSED, FINE)
    scene.fields = {"a": {"cooldown_seconds": 90}, "b": {"cooldown_seconds": 0}}
    await form(scene)
    assert [scene.health.cooling_seconds(name) for name in "abc"] == pytest.approx([90, 0, 0])


@BOTH
@pytest.mark.parametrize(("error", "cools"), [(RateLimited("x"), 0), (QuotaExceeded("x"), 0), (BARE, 0), (REFUSED, 20)], ids=lambda each: str(each))
async def test_a_limit_of_the_callers_own_key_does_not_cool_a_target_for_others(form, error, cools, autojump_clock):
    scene = Scene(error, FINE)
    scene.fields["a"] = {"by_callers_key": True}
    await form(scene)
    assert scene.health.cooling_seconds("a") == pytest.approx(cools)


@BOTH
async def test_a_target_that_answers_is_well_again_and_keeps_the_conversation(form, autojump_clock):
    scene = Scene(REFUSED, FINE)
    scene.health.cool("b", 600)
    await form(scene, conversation="talk")
    assert (scene.health.cooling_seconds("b"), scene.health.stuck("talk")) == (0, "b")
    assert [each.target for each in scene.health.ordered(scene.candidates(math.inf), conversation="talk")] == ["b", "a"]


@BOTH
async def test_an_answer_measures_its_target_alone(form, autojump_clock):
    scene = Scene([30.0, [Failed(REFUSED)]], [3.0, [TextDelta(WORDS)], 2.0, [UsageReport(10, 400, estimated=False), Finish()]])
    await form(scene)
    assert scene.health.tokens_per_second("a") is None
    assert scene.health.tokens_per_second("b") == pytest.approx(80)


async def test_the_prompt_is_not_looked_at_for_the_measure(monkeypatch, autojump_clock):
    monkeypatch.setattr("pipeline.usage.meter.tokens_in", lambda *_: pytest.fail("the prompt was counted"))
    scene = Scene([[TextDelta(WORDS)], 2.0, [Finish()]])
    await scene.streamed()
    assert scene.health.tokens_per_second("a") == pytest.approx(SHORTEST_MEASURE_TOKENS, rel=0.2)


@pytest.mark.parametrize(("seconds", "speed"), [(0.5, 400 / 5.5), (30, None)], ids=["a little", "long"])
async def test_the_time_that_a_client_takes_to_read_is_not_the_targets(seconds, speed, autojump_clock):
    scene = Scene([[TextDelta(WORDS)], 5.0, [UsageReport(10, 400, estimated=False), Finish()]])
    _, answer = await scene.run(open_first)
    async for _ in answer.pieces:
        await trio.sleep(seconds)
    await trio.sleep(100)
    await answer.aclose()
    assert scene.health.tokens_per_second("a") == (None if speed is None else pytest.approx(speed))


async def test_an_answer_that_its_client_left_says_nothing(autojump_clock):
    scene = Scene([[TextDelta(WORDS)], 60.0, [Finish()]])
    _, answer = await scene.run(open_first)
    await anext(answer.pieces)
    await trio.sleep(2)
    await answer.aclose()
    assert scene.health.tokens_per_second("a") is None
    assert scene.health.cooling_seconds("a") == 0


@pytest.mark.parametrize(("error", "cools"), [(StreamCut("x"), 20), (RateLimited("x", retry_after_seconds=60), 60), (AnswerUnsatisfied("x"), 0)])
async def test_an_answer_that_breaks_behind_its_beginning_cools_its_target(error, cools, autojump_clock):
    scene = Scene([[TextDelta(WORDS)], 1.0, [Failed(error)]], FINE)
    assert b'"error"' in await scene.streamed()
    assert scene.order == "a"
    assert scene.health.cooling_seconds("a") == pytest.approx(cools)
    assert scene.health.tokens_per_second("a") is None


async def test_a_whole_answer_that_breaks_halfway_goes_on(autojump_clock):
    scene = Scene([[TextDelta("half")], 1.0, [Failed(StreamCut("x"))]], FINE)
    body = await scene.collected()
    assert b'"content":"fine"' in body
    assert (scene.order, scene.outcomes) == ("ab", ["a:upstream_stream_cut", "b:ok"])


async def test_an_answer_longer_than_all_may_take_is_no_fault_of_its_target(autojump_clock):
    scene = Scene([[TextDelta("a")], 10_000.0])
    scene.fields["a"] = {"timeouts": Timeouts(idle_seconds=5000)}
    assert b"upstream_total_timeout" in await scene.streamed(total_seconds=100)
    assert scene.health.cooling_seconds("a") == 0


# -- the trail ---------------------------------------------------------------------------------------------------------------------------------


async def test_the_trail_is_filled_as_it_goes(autojump_clock):
    scene = Scene([2.0, [Failed(REFUSED)]], [60.0, *FINE])
    with trio.move_on_after(5):
        await scene.streamed()
    assert scene.outcomes == ["a:upstream_unavailable", "b:cancelled"]
    assert [attempt.seconds for attempt in scene.trail.attempts] == pytest.approx([2, 3])


async def test_a_fault_of_our_own_is_in_the_trail_and_is_raised(autojump_clock):
    class Broken(ScriptedUpstream):
        def write(self, request: Request) -> Outgoing:
            raise ZeroDivisionError

    scene = Scene(FINE, FINE)
    scene.upstreams["a"] = Broken(FINE)
    with pytest.raises(ZeroDivisionError):
        await scene.streamed()
    assert scene.outcomes == ["a:internal_error"]


async def test_the_exchange_is_that_of_the_target_that_answered(autojump_clock):
    scene = Scene(REFUSED, FINE)
    exchange, body, whole = await scene.run(collect_first)
    assert exchange.upstream is scene.upstreams["b"]
    assert (whole.text, exchange.terms.dialect) == ("fine", CHAT)
    assert b"fine" in body


def test_it_runs_under_asyncio_too():
    limits = ScriptedUpstream([[Failed(RateLimited("no", retry_after_seconds=0.02))]])
    well = ScriptedUpstream([[TextDelta("fine"), Finish()]])

    async def run() -> tuple[list[str], bytes]:
        trail, total_at = Trail(), anyio.current_time() + 5
        turns = iter([limits, well])

        async def prepare() -> Exchange:
            return await candidate("a", next(turns), total_at=total_at, request=ASK).prepare()

        _, body, _ = await collect_first([Candidate("a", prepare)], Health(), trail, conversation=None, wait_seconds=1, total_at=total_at)
        return [attempt.outcome for attempt in trail.attempts], body

    outcomes, body = anyio.run(run, backend="asyncio")
    assert outcomes == ["rate_limit_exceeded", "ok"]
    assert b"fine" in body
