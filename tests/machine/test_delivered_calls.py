"""DeliveredCalls: what leaves passes as it is, and at the end it is told once which calls left whole."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.delivered_calls import DeliveredCalls

CALL: list[Event] = [ToolCallStart(0, "call_1", "ls"), ToolCallDelta(0, "{}"), ToolCallEnd(0)]
OTHER: list[Event] = [ToolCallStart(1, "call_2", "ls"), ToolCallEnd(1)]
CALLED = Finish(FinishReason.TOOL_CALLS)

CASES: dict[str, tuple[list[Event], list[list[str]]]] = {
    "both": ([TextDelta("Look."), *CALL, *OTHER, CALLED], [["call_1", "call_2"]]),
    "one is not whole": ([*CALL, OTHER[0], CALLED], [["call_1"]]),
    "an end without a beginning": ([ToolCallEnd(3), CALLED], [[]]),
    "cut at a limit": ([*CALL, Finish(FinishReason.LENGTH)], [[]]),
    "a stop text": ([*CALL, Finish()], [[]]),
    "refused": ([*CALL, Notice("x"), Failed(StreamCut("cut"))], [[]]),
    "left by its client": ([*CALL, *OTHER], []),
    "told once": ([*CALL, CALLED, Failed(StreamCut("cut"))], [["call_1"]]),
}


@pytest.mark.parametrize(("events", "told"), CASES.values(), ids=CASES)
@given(st.data())
def test_however_the_events_come_in_lists(events, told, data):
    heard: list[list[str]] = []
    machine = DeliveredCalls(lambda ids: heard.append(list(ids)))
    edges = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    passed = [event for start, end in zip([0, *edges], [*edges, len(events)], strict=True) for event in machine.feed(events[start:end])]
    assert passed == events
    assert heard == told
