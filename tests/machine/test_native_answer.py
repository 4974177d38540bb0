"""NativeAnswerMachine: calls that come whole, beside text that is text whatever it looks like."""

from itertools import count

import pytest

from pipeline.errors import UpstreamError
from pipeline.events import (
    Failed,
    Finish,
    FinishReason,
    NativeToolCall,
    Notice,
    Progress,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from pipeline.machine.native_answer import NativeAnswerMachine
from pipeline.machine.tools.inventory import Malformed, ToolPolicy
from pipeline.request import Tool
from tests.machine.notation import B, E, S, b, e

EMPTY = Notice("empty_answer", "the model thought and gave no visible answer")
READ = NativeToolCall("", "read", '{"path": "a"}')
CALL = [ToolCallStart(0, "call_0", "read"), ToolCallDelta(0, '{"path":"a"}'), ToolCallEnd(0)]
FAILED = Failed(UpstreamError("No."))


def run(batches, **options):
    numbers = count()
    machine = NativeAnswerMachine(new_id=lambda: f"call_{next(numbers)}", tools=[Tool("read")], **options)
    return [event for batch in batches for event in machine.feed(batch)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([ThinkingDelta("hm"), Finish()], [ThinkingDelta("hm"), EMPTY, Finish()]),
        ([ThinkingDelta("hm"), TextDelta(" \n"), Finish()], [ThinkingDelta("hm"), TextDelta(" \n"), EMPTY, Finish()]),
        ([ThinkingDelta("hm"), TextDelta("x"), Finish()], [ThinkingDelta("hm"), TextDelta("x"), Finish()]),
        ([ThinkingDelta("hm"), RefusalDelta("no"), Finish()], [ThinkingDelta("hm"), RefusalDelta("no"), Finish()]),
        ([ThinkingDelta("hm"), READ, Finish()], [ThinkingDelta("hm"), *CALL, Finish(FinishReason.TOOL_CALLS)]),
        ([ThinkingDelta("hm"), FAILED], [ThinkingDelta("hm"), FAILED]),
        ([Finish()], [Finish()]),
        ([READ, Finish(FinishReason.LENGTH)], [*CALL, Finish(FinishReason.LENGTH)]),
        ([FAILED, TextDelta("x"), Finish()], [FAILED]),
        ([Progress()], []),
    ],
)
def test_answers(given, expected):
    assert run([given]) == run([[event] for event in given]) == expected


def test_what_looks_like_markup_is_text():
    text = f"</think> {B}{b}\nread\n{S}path\na\n{e}{E} <|final|>"
    assert run([[ThinkingDelta(text), TextDelta(text), Finish()]]) == [ThinkingDelta(text), TextDelta(text), Finish()]


def test_nothing_comes_behind_a_call_that_fails_the_answer():
    events = run([[NativeToolCall("", "read", "[1]"), TextDelta("x"), Finish()]], policy=ToolPolicy(malformed=Malformed.ERROR))
    assert [type(event) for event in events] == [Failed]
