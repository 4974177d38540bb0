"""A Response's output as the history of the next request."""

import json

import pytest

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead
from pipeline.emit.responses import ResponsesStream, output_messages
from pipeline.errors import StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.request import Message, Role, TextPart, ToolCall

NAMESPACES = {"files__read": ("files", "read")}
CALL: list[Event] = [ToolCallStart(0, "call_1", "files__read"), ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0)]
CUSTOM: list[Event] = [ToolCallStart(1, "call_2", "patch", custom=True), ToolCallDelta(1, "+1"), ToolCallEnd(1)]


def history(*events: Event) -> tuple[Message, ...]:
    """What is recalled of an answer that was stored as JSON in between."""
    stream = ResponsesStream(AnswerHead("resp_7", 17, "m", show_thinking=True), lambda: UsageReport(1, 2), echo=Echo(namespaces=NAMESPACES))
    stream.feed(events)
    return output_messages(json.loads(json.dumps(stream.response)), NAMESPACES)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([TextDelta("a"), TextDelta("b"), Finish()], Message(Role.ASSISTANT, (TextPart("ab"),))),
        ([RefusalDelta("No."), Finish()], Message(Role.ASSISTANT, (TextPart("No."),))),
        ([*CALL, Finish()], Message(Role.ASSISTANT, (), (ToolCall("call_1", "files__read", '{"a":1}'),))),
        ([*CUSTOM, Finish()], Message(Role.ASSISTANT, (), (ToolCall("call_2", "patch", "+1", custom=True),))),
        ([TextDelta("a"), *CALL[:-1], Finish(FinishReason.LENGTH)], Message(Role.ASSISTANT, (TextPart("a"),))),
        ([TextDelta("a"), Failed(StreamCut("Cut."))], Message(Role.ASSISTANT, (TextPart("a"),))),
    ],
)
def test_one_item(events, message):
    assert history(*events) == (message,)


def test_an_answer_is_one_turn():
    assert history(ThinkingDelta("a"), TextDelta("b"), *CALL, ThinkingDelta("c"), TextDelta("d"), *CUSTOM, Finish()) == (
        Message(
            Role.ASSISTANT,
            (TextPart("b"), TextPart("\n"), TextPart("d")),
            (ToolCall("call_1", "files__read", '{"a":1}'), ToolCall("call_2", "patch", "+1", custom=True)),
            reasoning="a\n\nc",
        ),
    )


@pytest.mark.parametrize("events", [[Finish()], [ThinkingDelta("hm"), Finish()], [ThinkingDelta("hm"), Finish(FinishReason.LENGTH)]])
def test_nothing_said_is_no_turn(events):
    assert history(*events) == ()


@pytest.mark.parametrize("shown", [True, False])
def test_reasoning_is_remembered_whether_it_is_shown_or_not(shown):
    stream = ResponsesStream(AnswerHead("resp_7", 17, "m", show_thinking=shown), lambda: UsageReport(1, 2), echo=Echo(namespaces=NAMESPACES))
    thoughts = [ThinkingDelta("a"), ThinkingDelta("b"), TextDelta("so"), ThinkingDelta("c"), *CALL, ThinkingDelta("d"), TextDelta("on")]
    for event in [*thoughts, Finish()]:
        stream.feed([event])
    [message] = output_messages(json.loads(json.dumps(stream.response)), NAMESPACES, reasoning=stream.reasoning)
    assert stream.response is not None
    assert any(item["type"] == "reasoning" for item in stream.response["output"]) is shown
    assert message.reasoning == "ab\n\nc\n\nd"
    assert message.text == "so\non"
