"""Chat emission: what each event looks like to a client, byte by byte."""

import json

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from pipeline.emit.base import AnswerHead
from pipeline.emit.chat import DONE, KEEPALIVE, ChatStream, chat_answer
from pipeline.emit.whole import Whole
from pipeline.errors import StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.models import Price

USAGE = UsageReport(1_000_000, 2_000_000, reasoning_tokens=5, cached_tokens=7)
HEAD = AnswerHead("chatcmpl-1", 17, "composer-2.5", show_thinking=True, include_usage=True, price=Price(0.5, 2.5))
CALL: list[Event] = [ToolCallStart(0, "call_1", "Read"), ToolCallDelta(0, '{"path":'), ToolCallDelta(0, '"a"}'), ToolCallEnd(0)]


def chunks(*lists: list[Event], head: AnswerHead = HEAD) -> list[dict]:
    emitter = ChatStream(head, lambda: USAGE)
    data = b"".join(emitter.feed(events) for events in lists)
    found = [json.loads(line.removeprefix("data: ")) for line in data.decode().split("\n\n") if line.startswith("data: {")]
    assert emitter.chunks == sum("error" not in chunk for chunk in found)
    for chunk in found:
        if "error" not in chunk:
            ChatCompletionChunk.model_validate(chunk, strict=True)
    return found


def deltas(*lists: list[Event], head: AnswerHead = HEAD) -> list[dict]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(*lists, head=head) if chunk["choices"]][1:]


def test_the_first_chunk_opens_no_text():
    first, second = chunks([TextDelta("a")])
    assert first == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 17,
        "model": "composer-2.5",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "logprobs": None, "finish_reason": None}],
        "usage": None,
    }
    assert second["choices"][0]["delta"] == {"content": "a"}


def test_a_call_names_itself_once():
    assert deltas(CALL) == [
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "Read", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"path":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"a"}'}}]},
    ]


CUSTOM: list[Event] = [ToolCallStart(1, "call_2", "ApplyPatch", custom=True), ToolCallDelta(1, '*** "Begin'), ToolCallEnd(1)]


def test_a_custom_call_has_the_form_of_its_kind():
    emitter = ChatStream(HEAD, lambda: USAGE)
    data = emitter.feed([*CALL, *CUSTOM, ToolCallStart(2, "call_3", "Read"), ToolCallDelta(2, "{}"), ToolCallEnd(2)])
    records = [json.loads(line[6:])["choices"][0]["delta"] for line in data.decode().split("\n\n") if line]
    # the client's own types know no custom call in a chunk, though its whole form
    assert [record["tool_calls"] for record in records[4:]] == [
        [{"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "ApplyPatch", "input": ""}}],
        [{"index": 1, "custom": {"input": '*** "Begin'}}],
        [{"index": 2, "id": "call_3", "type": "function", "function": {"name": "Read", "arguments": ""}}],
        [{"index": 2, "function": {"arguments": "{}"}}],
    ]


@pytest.mark.parametrize(("shown", "expected"), [(True, [{"reasoning_content": "hm"}]), (False, [])])
def test_thinking_is_shown_or_not(shown, expected):
    head = AnswerHead("chatcmpl-1", 17, "m", show_thinking=shown)
    assert deltas([ThinkingDelta("hm")], head=head) == expected


def test_a_refusal_is_text():
    assert deltas([RefusalDelta("I cannot.")]) == [{"content": "I cannot."}]


def test_the_end():
    emitter = ChatStream(HEAD, lambda: USAGE)
    data = emitter.feed([TextDelta("a"), Finish(FinishReason.LENGTH)])
    assert data.endswith(DONE)
    *_, last, usage, _, _ = data.split(b"\n\n")
    assert json.loads(last.removeprefix(b"data: "))["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
    report = json.loads(usage.removeprefix(b"data: "))
    assert report["choices"] == []
    assert report["usage"] == {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 2_000_000,
        "total_tokens": 3_000_000,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 5},
        "estimated": True,
        "cost": {
            "currency": "USD",
            "estimated": True,
            "input_usd": 0.5,
            "output_usd": 5.0,
            "total_usd": 5.5,
            "pricing": {"input_per_million": 0.5, "output_per_million": 2.5},
        },
    }


def test_a_failed_stream_has_no_done():
    emitter = ChatStream(HEAD, lambda: USAGE)
    data = emitter.feed([TextDelta("a"), Failed(StreamCut("Cut off."))])
    assert b"[DONE]" not in data
    assert json.loads(data.split(b"\n\n")[-2].removeprefix(b"data: ")) == {
        "error": {"message": "Cut off.", "type": "upstream_error", "param": None, "code": "upstream_stream_cut"}
    }
    assert emitter.error is not None


def test_silence_and_notices():
    emitter = ChatStream(HEAD, lambda: USAGE)
    assert emitter.feed([]) == KEEPALIVE
    emitter.feed([TextDelta("a")])
    assert emitter.feed([Notice("odd")]) == b""
    assert emitter.notices == [Notice("odd")]


@pytest.mark.parametrize("text", ["\n\ndata: x\r\r", "\u2028\u2029\u0085", "\x00\x1b", '"\\', "𝄞 é", "<|tool_sep|>"])
def test_any_text_is_one_event(text):
    data = ChatStream(HEAD, lambda: USAGE).feed([TextDelta(text)])
    assert data.count(b"\n\n") == 2
    assert b"\r" not in data
    assert json.loads(data.split(b"\n\n")[1].removeprefix(b"data: "))["choices"][0]["delta"]["content"] == text


def whole(*events: Event) -> dict:
    folded = Whole()
    folded.add([*events, Finish(FinishReason.STOP)])
    answer = json.loads(chat_answer(HEAD, folded, USAGE))
    ChatCompletion.model_validate(answer, strict=True)
    return answer["choices"][0]["message"]


def test_the_whole_answer():
    assert whole(TextDelta("a"), TextDelta("b")) == {"role": "assistant", "content": "ab", "refusal": None}
    assert whole()["content"] == ""
    call = {"id": "call_1", "type": "function", "function": {"name": "Read", "arguments": '{"path":"a"}'}}
    assert whole(*CALL) == {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    assert whole(TextDelta("x"), *CALL)["content"] == "x"
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "ApplyPatch", "input": '*** "Begin'}}
    assert whole(*CALL, *CUSTOM)["tool_calls"] == [call, custom]
    assert whole(ThinkingDelta("hm"), TextDelta("x"))["reasoning_content"] == "hm"


def test_a_call_that_was_not_ended_is_not_in_the_answer():
    folded = Whole()
    folded.add([*CALL[:-1], Failed(StreamCut("cut"))])
    assert folded.calls == []
    assert folded.error is not None
