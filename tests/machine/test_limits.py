"""Stop texts and token limits, at every cut."""

import json
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from pipeline.machine.limits import LimitsMachine
from tests.support.splits import cut, splits
from tests.support.transcripts import merge

STOPPED, LONG = Finish(FinishReason.STOP, "stop text", "END"), Finish(FinishReason.LENGTH, "token limit")
CALLED = Finish(FinishReason.TOOL_CALLS, "stop text", "END")


class Letters:
    """One token a character."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def add(self, text: str) -> None:
        self.total += len(text)

    def within(self, limit):
        return self.total <= limit

    def copy(self) -> Self:
        return type(self)(self.total)


def run(pieces: list[str], *, stop: tuple[str, ...] = (), limit: int | None = None) -> list[Event]:
    machine = LimitsMachine(stop, limit, Letters())
    given: list[Event] = [TextDelta(piece) for piece in pieces if piece]
    return merge(event for one in [*given, Finish()] for event in machine.feed([one]))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def oracle(text: str, stops: tuple[str, ...]) -> tuple[str, str] | None:
    """What a model would have said that stops as soon as its text ends with a stop text, and that text; None when it never does."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            stop = max(found, key=len)
            return text[: end - len(stop)], stop
    return None


@settings(max_examples=500)
@given(
    st.text(alphabet="abA\n", max_size=30),
    st.lists(st.text(alphabet="abA\n", min_size=1, max_size=5), min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 30), max_size=8),
)
def test_the_answer_ends_where_a_stop_text_is_complete(text, stops, edges):
    expected = oracle(text, stops)
    events = run(cut(text, edges), stop=stops)
    assert text_of(events) == (text if expected is None else expected[0])
    assert events[-1] == (Finish() if expected is None else Finish(FinishReason.STOP, "stop text", expected[1]))


def test_only_a_possible_beginning_is_held():
    machine = LimitsMachine(("\n\nUSER:",))
    assert machine.feed([TextDelta("a\n\nU")]) == [TextDelta("a")]
    assert machine.feed([TextDelta("S it")]) == [TextDelta("\n\nUS it")]
    assert machine.feed([TextDelta("x\n")]) == [TextDelta("x")]
    assert machine.feed([Finish()]) == [TextDelta("\n"), Finish()]


def test_nothing_comes_behind_the_end_and_what_was_held_does_not_pass_a_call():
    machine = LimitsMachine(("END",))
    call: list[Event] = [ToolCallStart(0, "c", "Read"), ToolCallDelta(0, '{"a":"END"}'), ToolCallEnd(0)]
    assert machine.feed([TextDelta("E"), *call]) == [TextDelta("E"), *call]
    assert machine.feed([TextDelta("ND"), TextDelta("xEND"), TextDelta("y"), Finish()]) == [TextDelta("ND"), TextDelta("x"), CALLED]
    assert machine.feed([TextDelta("more"), Finish()]) == []
    assert machine.feed([]) == []


def test_a_stop_text_behind_a_call_ends_an_answer_of_calls():
    machine = LimitsMachine(("END",))
    call: list[Event] = [ToolCallStart(0, "c", "Read"), ToolCallEnd(0)]
    assert not machine.made_end
    assert machine.feed([*call, TextDelta("Done. END")]) == [*call, TextDelta("Done. "), CALLED]
    assert machine.made_end


def test_an_end_that_was_there_is_not_the_machine_s():
    machine = LimitsMachine(("END",))
    assert machine.feed([TextDelta("EN"), Finish()]) == [TextDelta("EN"), Finish()]
    assert not machine.made_end


def test_what_is_held_comes_before_a_failure():
    machine = LimitsMachine(("END",))
    failed = Failed(StreamCut("cut"))
    assert machine.feed([TextDelta("aEN"), failed]) == [TextDelta("a"), TextDelta("EN"), failed]


@pytest.mark.parametrize("limit", range(1, 13))
def test_the_delta_that_crosses_the_limit_is_cut(limit):
    for pieces in splits("Hello, you!"):
        events = run(pieces, limit=limit)
        assert text_of(events) == "Hello, you!"[:limit]
        assert events[-1] == (LONG if limit < 11 else Finish())


def test_all_that_the_model_writes_counts():
    machine = LimitsMachine(max_tokens=12, count=Letters())
    call: list[Event] = [ToolCallStart(0, "c", "Read"), ToolCallDelta(0, '{"path":"a"}'), ToolCallEnd(0)]
    events = machine.feed([ThinkingDelta("hmm"), TextDelta("ok"), *call, Finish()])
    assert events == [
        ThinkingDelta("hmm"),
        TextDelta("ok"),
        ToolCallStart(0, "c", "Read"),
        ToolCallDelta(0, '{"p'),
        Notice("call_cut", "the token limit ended the answer inside a call of Read; the call was not completed"),
        LONG,
    ]
    with pytest.raises(json.JSONDecodeError):
        json.loads('{"p')


def test_a_call_whose_name_does_not_fit_does_not_begin():
    machine = LimitsMachine(max_tokens=3, count=Letters())
    assert machine.feed([TextDelta("ab"), ToolCallStart(0, "c", "Read")]) == [TextDelta("ab"), LONG]


def test_a_stop_text_may_come_before_the_limit_and_behind_it():
    assert run(["abENDcd"], stop=("END",), limit=2) == [TextDelta("ab"), STOPPED]
    assert run(["abcENDd"], stop=("END",), limit=2) == [TextDelta("ab"), LONG]


def test_long_stop_texts_stay_quick():
    machine = LimitsMachine(("a" * 1000 + "b",))
    out = "".join(event.text for _ in range(200) for event in machine.feed([TextDelta("a" * 100)]) if isinstance(event, TextDelta))
    assert len(out) == 20_000 - 1000
