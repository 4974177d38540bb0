"""What `tool_choice` promised, at the end of an answer."""

import pytest

from pipeline.errors import AnswerUnsatisfied
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.tool_choice import ToolChoiceMachine
from pipeline.request import ToolChoice, ToolMode

REQUIRED, READ = ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "Read")


@pytest.mark.parametrize(
    ("choice", "called", "end", "kept"),
    [
        (REQUIRED, None, Finish(), False),
        (REQUIRED, "Glob", Finish(FinishReason.TOOL_CALLS), True),
        (READ, "Glob", Finish(FinishReason.TOOL_CALLS), False),
        (READ, "Read", Finish(FinishReason.TOOL_CALLS), True),
        (REQUIRED, None, Finish(FinishReason.LENGTH), True),
        (REQUIRED, None, Finish(FinishReason.CONTENT_FILTER), True),
    ],
)
def test_a_call_that_was_required(choice, called, end, kept):
    calls: list[Event] = [ToolCallStart(0, "c", called), ToolCallEnd(0)] if called else [TextDelta("no")]
    lax = ToolChoiceMachine(choice, strict=False).feed([*calls, end])
    strict = ToolChoiceMachine(choice, strict=True).feed([*calls, end])
    if kept:
        assert lax == strict == [*calls, end]
        return
    assert isinstance(lax[-2], Notice)
    assert (lax[-2].code, lax[-1]) == ("tool_choice_unsatisfied", end)
    assert isinstance(strict[-1], Failed)
    assert isinstance(strict[-1].error, AnswerUnsatisfied)
    assert strict[-1].error.code == "tool_choice_unsatisfied"
