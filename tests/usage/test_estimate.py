"""Counts of tokens: the same for every cut, never falling, and with no more work than the text has characters."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.usage import estimate
from pipeline.usage.estimate import BLOCK_CHARACTERS, CharacterCount, PatternCount, new_count, tokens_in, tokens_of
from pipeline.usage.patterns import weigh
from tests.support.texts import TEXTS

METHODS = ("calibrated", "chars4")
LONG = "The fetchUser(id) call costs 12 tokens, é, 中文 and привет; " * 200


def cut(text, at):
    edges = sorted({0, len(text), *(each for each in at if each < len(text))})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("method", METHODS)
@given(text=TEXTS, at=st.lists(st.integers(0, 200)), asked=st.sets(st.integers(0, 200)))
def test_any_cut_and_any_question_between_gives_the_same(method, text, at, asked):
    count = new_count(method)
    for number, piece in enumerate(cut(text, at)):
        count.add(piece)
        if number in asked:
            assert count.total == tokens_in("".join(cut(text, at)[: number + 1]), method)
    assert count.total == tokens_in(text, method)


@pytest.mark.parametrize("size", [1, 9, 1000, BLOCK_CHARACTERS - 1, BLOCK_CHARACTERS, BLOCK_CHARACTERS + 1])
def test_a_long_text_is_the_same_in_blocks(size):
    count = PatternCount()
    for start in range(0, len(LONG), size):
        count.add(LONG[start : start + size])
    assert count.total == tokens_in(LONG)


@pytest.mark.parametrize("method", METHODS)
@given(text=TEXTS)
def test_it_never_falls_and_is_above_zero_for_any_text(method, text):
    totals = [tokens_in(text[:end], method) for end in range(len(text) + 1)]
    assert totals == sorted(totals)
    assert totals[0] == 0
    assert all(total > 0 for total in totals[1:])


@pytest.mark.parametrize("method", METHODS)
@given(text=TEXTS, more=TEXTS, limit=st.integers(0, 60), at=st.lists(st.integers(0, 200)))
def test_within_is_what_the_total_says(method, text, more, limit, at):
    count = new_count(method)
    for piece in cut(text + more, at):
        count.add(piece)
        asked, told = count.copy(), count.copy()
        assert asked.within(limit) == (told.total <= limit)


@pytest.mark.parametrize("method", METHODS)
@given(text=TEXTS, one=TEXTS, other=TEXTS)
def test_a_copy_goes_on_alone(method, text, one, other):
    count = new_count(method)
    count.add(text)
    copy = count.copy()
    count.add(one)
    copy.add(other)
    assert (count.total, copy.total) == (tokens_in(text + one, method), tokens_in(text + other, method))


@pytest.fixture
def looked_at(monkeypatch) -> list[int]:
    """The characters of each look."""
    sizes: list[int] = []

    def seen(before, classes):
        sizes.append(len(before) + len(classes))
        return weigh(before, classes)

    monkeypatch.setattr(estimate, "weigh", seen)
    return sizes


@pytest.mark.parametrize("text", ["a" * 200_000, " " * 200_000, "aA" * 100_000, "中" * 200_000, "=" * 200_000, "e\u0301" * 100_000])
@pytest.mark.parametrize("size", [1, 9, 200_000])
def test_hostile_text_is_looked_at_once_in_blocks(looked_at, text, size):
    count = PatternCount()
    for start in range(0, len(text), size):
        count.add(text[start : start + size])
    assert count.total > 0
    assert sum(looked_at) <= 1.01 * len(text)
    assert max(looked_at) < BLOCK_CHARACTERS + 10


def test_a_limit_is_watched_with_few_looks(looked_at):
    count = PatternCount()
    for _ in range(1000):
        count.add("word ")
        assert count.within(10_000)
    assert len(looked_at) <= 2


def test_a_limit_that_comes_near_is_watched_closely():
    count, limit = PatternCount(), 500
    taken = 0
    while count.within(limit):
        count.add(LONG[taken : taken + 9])
        taken += 9
    assert tokens_in(LONG[: taken - 9]) <= limit < tokens_in(LONG[:taken])


def test_lone_surrogates_are_counted_and_do_not_raise():
    assert tokens_in("\ud800 \udfff") > 0


@pytest.mark.parametrize("sign", ["a", "A", "7", " ", "\n", "=", "é", "б", "س", "中", "の", "가", "א", "ท", "—", "😀", "\x00"])
def test_no_run_is_nearly_free(sign):
    assert tokens_in(sign * 10_000) >= 10_000 / 50


def test_characters_alone():
    assert [tokens_of(characters) for characters in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert isinstance(new_count("chars4"), CharacterCount)
    assert tokens_in("中文字", "chars4") == 1
