"""OpenAIChatDecoder: what each kind of stream means, under every cut."""

import json
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    AuthenticationError,
    PenstockError,
    ProtocolViolation,
    RateLimited,
    RequestError,
    StreamCut,
    UpstreamError,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import (
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
    UpstreamEvent,
    UsageReport,
)
from pipeline.wire.openai_chat import FAILURES, FINISH_REASONS, OpenAIChatDecoder
from pipeline.wire.openai_errors import OpenAIErrors
from tests.support.openai_server import DONE, call, chunk, event, text, usage
from tests.support.splits import cut, splits

STOP = Finish(FinishReason.STOP, "stop")
CALLS = Finish(FinishReason.TOOL_CALLS, "tool_calls")
END = chunk("stop") + DONE
CALLS_END = chunk("tool_calls") + DONE
NO_REASON = Notice("no_finish_reason", "the upstream ended its answer without saying why")
UNKNOWN_REASON = Notice("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here")
COUNTED = UsageReport(9, 3, estimated=False)
UNREADABLE = Notice("unreadable_content", "the upstream sent content that is no text; it was left out")
HALF_PATCH = (ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "x"))


def decoder(**options) -> OpenAIChatDecoder:
    numbers = count(1)
    return OpenAIChatDecoder(new_id=lambda: f"made_{next(numbers)}", **options)


def run(pieces: Sequence[bytes], **options) -> list[UpstreamEvent]:
    machine = decoder(**options)
    events = [found for piece in pieces for found in machine.feed(piece)]
    return events + machine.end()


def shape(events: Sequence[UpstreamEvent]) -> list[object]:
    """Events that can be compared: an error is its class."""
    return [type(found.error) if isinstance(found, Failed) else found for found in events]


def one_call(arguments: str, call_id: str = "a", name: str = "now", index: int = 0) -> list[object]:
    return [ToolCallStart(index, call_id, name), ToolCallDelta(index, arguments), ToolCallEnd(index)]


def left_out(name: str, pieces: int) -> Notice:
    """What is said of a call that stays open, and of what stood behind it."""
    why = "the upstream ended its answer inside the call; the call was not completed; what came behind it was left out"
    return Notice("call_cut", f"{name}: {why} ({pieces} pieces)")


def custom(**fields: object) -> bytes:
    """One entry of `tool_calls` that is a custom tool's: index, id, and its name and input."""
    called = {name: fields.pop(name) for name in ("name", "input") if name in fields}
    return chunk(tool_calls=[{**fields, "custom": called}])


def whole(message: dict[str, object], finish: str | None = "stop", **fields: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], **fields}).encode()


CASES: dict[str, tuple[bytes, list[object]]] = {
    "text": (chunk(role="assistant", content="") + text("Hel") + text("lo") + END, [TextDelta("Hel"), TextDelta("lo"), STOP]),
    "null and absent": (
        event(choices=None)
        + event()
        + event(choices=[])
        + event(choices=[None])
        + event(choices=[{"delta": None}])
        + chunk(content=None, tool_calls=None, refusal=None, function_call=None)
        + chunk(tool_calls=[None])
        + text("x")
        + END,
        [TextDelta("x"), STOP],
    ),
    "unknown fields": (event(choices=[{"delta": {"content": "x", "foo": [1]}, "bar": {}}], service_tier="y") + END, [TextDelta("x"), STOP]),
    "comments and empty events": (b": hi\n\n" + b"data:\n\n" + text("x") + b": OPENROUTER PROCESSING\n\n" + END, [TextDelta("x"), STOP]),
    "blank lines first": (b"\n \r\n" + text("x") + END, [TextDelta("x"), STOP]),
    "byte order mark first": (b"\xef\xbb\xbf" + text("x") + END, [TextDelta("x"), STOP]),
    "crlf": ((text("x") + END).replace(b"\n", b"\r\n"), [TextDelta("x"), STOP]),
    "separators inside JSON": (
        b'data: {"choices":[{"delta":{"content":"a\xe2\x80\xa8b\xc2\x85\\u0000"}}]}\n\n' + END,
        [TextDelta("a\u2028b\x85\0"), STOP],
    ),
    "reasoning_content": (
        chunk(reasoning_content="hm") + chunk(reasoning_content=None, content="x") + END,
        [ThinkingDelta("hm"), TextDelta("x"), STOP],
    ),
    "reasoning": (chunk(reasoning="hm", content="x") + END, [ThinkingDelta("hm"), TextDelta("x"), STOP]),
    "both fields with the same": (chunk(reasoning="hm", reasoning_content="hm") + text("x") + END, [ThinkingDelta("hm"), TextDelta("x"), STOP]),
    "reasoning_details are a repetition": (
        chunk(reasoning="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm"}]) + END,
        [ThinkingDelta("hm"), STOP],
    ),
    "content in parts": (
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "x"}]) + END,
        [ThinkingDelta("hm"), TextDelta("x"), STOP],
    ),
    "content that is no text": (
        chunk(content=5) + chunk(content=[{"type": "audio"}]) + text("x") + END,
        [UNREADABLE, TextDelta("x"), STOP],
    ),
    "refusal": (chunk(refusal="I ") + chunk(refusal="won't.") + END, [RefusalDelta("I "), RefusalDelta("won't."), STOP]),
    "several choices": (
        event(choices=[{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}])
        + event(choices=[{"index": 1, "delta": {"content": "no"}}])
        + event(choices=[{"delta": {"content": "!"}}, {"delta": {"content": "no"}}])
        + END,
        [Notice("extra_choices", "the upstream sent several answers; only the first one is passed on"), TextDelta("yes"), TextDelta("!"), STOP],
    ),
    "a call": (
        call(index=0, id="a", type="function", name="now", arguments="")
        + call(index=0, arguments='{"a"')
        + call(index=0, arguments=": 1}")
        + CALLS_END,
        [ToolCallStart(0, "a", "now"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ": 1}"), ToolCallEnd(0), CALLS],
    ),
    "a custom call": (
        custom(index=0, id="a", name="patch", input="")
        + custom(index=0, input="*** {")
        + chunk(tool_calls=[{"index": 0, "type": "custom", "function": None, "custom": {"input": " x", "name": None}}])
        + CALLS_END,
        [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "*** {"), ToolCallDelta(0, " x"), ToolCallEnd(0), CALLS],
    ),
    "a custom call between others": (
        call(index=0, id="a", name="now", arguments="{}")
        + custom(index=1, id="b", name="patch", input='"{')
        + call(index=2, id="c", name="now")
        + CALLS_END,
        [
            *one_call("{}"),
            *(ToolCallStart(1, "b", "patch", custom=True), ToolCallDelta(1, '"{'), ToolCallEnd(1)),
            *one_call("{}", "c", index=2),
            CALLS,
        ],
    ),
    "text behind a custom call waits for the end": (
        custom(index=0, id="a", name="patch", input="x") + text("so") + custom(index=0, input="y") + CALLS_END,
        [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "x"), ToolCallDelta(0, "y"), ToolCallEnd(0), TextDelta("so"), CALLS],
    ),
    "[DONE] without finish_reason behind a custom call": (
        custom(index=0, id="a", name="patch", input="{}") + DONE,
        [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "{}"), StreamCut],
    ),
    "[DONE] without finish_reason behind a custom call and a whole one": (
        custom(index=0, id="a", name="patch", input="x") + call(index=1, id="b", name="now", arguments="{}") + DONE,
        [
            *(ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "x"), ToolCallEnd(0)),
            *one_call("{}", "b", index=1),
            NO_REASON,
            Finish(FinishReason.STOP, None),
        ],
    ),
    "cut short in a custom call with a blank behind it": (
        custom(index=0, id="a", name="patch", input="x") + text("\n") + chunk("length") + DONE,
        [*HALF_PATCH, left_out("patch", 1), Finish(FinishReason.LENGTH, "length")],
    ),
    "cut short in a custom call with reasoning behind it": (
        custom(index=0, id="a", name="patch", input="x") + chunk(reasoning_content=" ") + chunk("content_filter") + DONE,
        [*HALF_PATCH, left_out("patch", 1), Finish(FinishReason.CONTENT_FILTER, "content_filter")],
    ),
    "cut short in the call behind a custom call": (
        custom(index=0, id="a", name="patch", input="x") + call(index=1, id="b", name="now", arguments='{"a') + chunk("length") + DONE,
        [*HALF_PATCH, left_out("patch", 1), Finish(FinishReason.LENGTH, "length")],
    ),
    "cut short behind custom calls whose pieces alternate": (
        custom(index=0, id="a", name="patch", input="x")
        + call(index=1, id="b", name="now", arguments="{}")
        + custom(index=0, input="y")
        + chunk("length")
        + DONE,
        [*HALF_PATCH, ToolCallDelta(0, "y"), left_out("patch", 1), Finish(FinishReason.LENGTH, "length")],
    ),
    "cut short in the first of two functions' calls": (
        call(index=0, id="a", name="now", arguments='{"a": "b') + call(index=1, id="b", name="now", arguments="{}") + chunk("length") + DONE,
        [ToolCallStart(0, "a", "now"), ToolCallDelta(0, '{"a": "b'), left_out("now", 1), Finish(FinishReason.LENGTH, "length")],
    ),
    "custom calls whose pieces alternate": (
        custom(index=0, id="a", name="patch", input="x")
        + custom(index=1, id="b", name="patch", input="1")
        + custom(index=0, input="y")
        + custom(index=1, input="2")
        + CALLS_END,
        [
            *(*HALF_PATCH, ToolCallDelta(0, "y"), ToolCallEnd(0)),
            *(ToolCallStart(1, "b", "patch", custom=True), ToolCallDelta(1, "1"), ToolCallDelta(1, "2"), ToolCallEnd(1)),
            CALLS,
        ],
    ),
    "an unknown finish_reason behind a custom call": (
        custom(index=0, id="a", name="patch", input="x") + chunk("nap") + DONE,
        [*HALF_PATCH, StreamCut],
    ),
    "an unknown finish_reason behind a custom call and text": (
        custom(index=0, id="a", name="patch", input="x") + text("\n") + chunk("nap") + DONE,
        [*HALF_PATCH, StreamCut],
    ),
    "an unknown finish_reason behind arguments that are no JSON": (
        call(index=0, id="a", name="now", arguments='{"a') + chunk("nap") + DONE,
        [ToolCallStart(0, "a", "now"), ToolCallDelta(0, '{"a'), StreamCut],
    ),
    "an unknown finish_reason behind a whole call": (
        call(index=0, id="a", name="now", arguments="{}") + chunk("nap") + DONE,
        [*one_call("{}"), UNKNOWN_REASON, Finish(FinishReason.STOP, "nap")],
    ),
    "aborted behind a custom call": (custom(index=0, id="a", name="patch", input="x") + chunk("abort") + DONE, [*HALF_PATCH, UpstreamError]),
    "cut in a custom call": (
        custom(index=0, id="a", name="patch", input="x"),
        [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "x"), StreamCut],
    ),
    "a whole answer with a custom call": (
        whole({"content": None, "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "patch", "input": "x\n"}}]}, "tool_calls"),
        [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "x\n"), ToolCallEnd(0), CALLS],
    ),
    "legacy function_call": (
        chunk(function_call={"name": "now", "arguments": ""}) + chunk(function_call={"arguments": "{}"}) + chunk("function_call") + DONE,
        [*one_call("{}", "made_1"), Finish(FinishReason.TOOL_CALLS, "function_call")],
    ),
    "text behind a call waits for its end": (
        call(index=0, id="a", name="now", arguments='{"a":') + text("so") + call(index=0, arguments="1}") + text(".") + CALLS_END,
        [ToolCallStart(0, "a", "now"), ToolCallDelta(0, '{"a":'), ToolCallDelta(0, "1}"), ToolCallEnd(0), TextDelta("so"), TextDelta("."), CALLS],
    ),
    "tool_calls without a call": (text("x") + CALLS_END, [TextDelta("x"), Finish(FinishReason.STOP, "tool_calls")]),
    "unknown finish_reason": (
        text("x") + chunk("nap") + DONE,
        [TextDelta("x"), UNKNOWN_REASON, Finish(FinishReason.STOP, "nap")],
    ),
    "finish_reason on every chunk": (chunk("stop", content="a") + chunk("stop", content="b") + DONE, [TextDelta("a"), TextDelta("b"), STOP]),
    "an empty finish_reason is none": (chunk("", content="a") + chunk("length") + DONE, [TextDelta("a"), Finish(FinishReason.LENGTH, "length")]),
    "[DONE] without finish_reason": (
        text("x") + DONE,
        [TextDelta("x"), Notice("no_finish_reason", "the upstream ended its answer without saying why"), Finish(FinishReason.STOP, None)],
    ),
    "[DONE] without finish_reason behind a whole call": (
        call(index=0, id="a", name="now", arguments='{"a": 1}') + DONE,
        [*one_call('{"a": 1}'), NO_REASON, Finish(FinishReason.STOP, None)],
    ),
    "[DONE] without finish_reason inside a call": (
        call(index=0, id="a", name="rm", arguments='{"path": "/tmp') + DONE,
        [ToolCallStart(0, "a", "rm"), ToolCallDelta(0, '{"path": "/tmp'), StreamCut],
    ),
    "[DONE] without finish_reason inside the arguments of a second call": (
        call(index=0, id="a", name="now", arguments="{}") + call(index=1, id="b", name="rm", arguments='{"path"') + DONE,
        [*one_call("{}"), ToolCallStart(1, "b", "rm"), ToolCallDelta(1, '{"path"'), StreamCut],
    ),
    "[DONE] without finish_reason before the arguments": (call(index=0, id="a", name="now") + DONE, [StreamCut]),
    "[DONE] without finish_reason behind arguments that are no JSON": (
        call(index=0, id="a", name="now", arguments="{a}") + text("x") + DONE,
        [
            ToolCallStart(0, "a", "now"),
            ToolCallDelta(0, "{a}"),
            StreamCut,
        ],
    ),
    "a finish_reason stands for calls without arguments": (call(index=0, id="a", name="now") + CALLS_END, [*one_call("{}"), CALLS]),
    "a whole answer without finish_reason whose call is half": (
        whole({"tool_calls": [{"id": "a", "function": {"name": "rm", "arguments": '{"path'}}]}, None),
        [ToolCallStart(0, "a", "rm"), ToolCallDelta(0, '{"path'), StreamCut],
    ),
    "blank lines before a byte order mark": (b"\n\n\n\n\xef\xbb\xbf \n" + whole({"content": "x"}), [TextDelta("x"), STOP]),
    "blank lines before the byte order mark of a stream": (b" \r\n\n\n\xef\xbb\xbf" + text("x") + END, [TextDelta("x"), STOP]),
    "half a byte order mark": (b"\n\xef\xbb", [StreamCut]),
    "finish_reason without [DONE]": (text("x") + chunk("stop"), [TextDelta("x"), STOP]),
    "[DONE] without its empty line": (text("x") + chunk("stop") + b"data: [DONE]", [TextDelta("x"), STOP]),
    "a last chunk without its empty line": (text("x") + chunk("stop").rstrip(), [TextDelta("x"), STOP]),
    "[DONE] alone": (DONE, [StreamCut]),
    "[DONE] behind the role": (chunk(role="assistant", content="") + DONE, [StreamCut]),
    "[DONE] behind usage": (usage(9, 3) + DONE, [StreamCut]),
    "[DONE] behind what cannot be read": (chunk(content=[{"type": "audio"}]) + DONE, [UNREADABLE, StreamCut]),
    "a finish_reason and nothing else": (chunk(role="assistant", content="") + END, [STOP]),
    "neither": (text("x"), [TextDelta("x"), StreamCut]),
    "cut in a chunk": (text("x") + chunk("stop")[:-20], [TextDelta("x"), StreamCut]),
    "cut in the usage": (text("x") + chunk("stop") + usage(9, 3)[:-20], [TextDelta("x"), STOP]),
    "nothing": (b"", [StreamCut]),
    "only blanks": (b"\n\n \n\n", [StreamCut]),
    "nothing more after the end": (text("x") + END + text("y") + event(error={"message": "late"}), [TextDelta("x"), STOP]),
    "usage with empty choices": (text("x") + chunk("stop") + usage(9, 3) + DONE, [TextDelta("x"), COUNTED, STOP]),
    "usage on the last chunk": (
        text("x") + event(choices=[{"finish_reason": "stop"}], usage={"prompt_tokens": 9, "completion_tokens": 3}) + DONE,
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage in the choice": (
        event(choices=[{"delta": {"content": "x"}, "finish_reason": "stop", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}]) + DONE,
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage on every chunk": (
        event(choices=[{"delta": {"content": "x"}}], usage={"prompt_tokens": 9, "completion_tokens": 1})
        + chunk("stop")
        + usage(9, 3)
        + event(choices=[], usage=None)
        + DONE,
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage in detail": (
        text("x")
        + chunk("stop")
        + usage(9, 3, prompt_tokens_details={"cached_tokens": 8}, completion_tokens_details={"reasoning_tokens": 2, "audio_tokens": None})
        + DONE,
        [TextDelta("x"), UsageReport(9, 3, reasoning_tokens=2, cached_tokens=8, estimated=False), STOP],
    ),
    "usage of nothing, or of nonsense": (
        text("x") + usage(0, 0) + event(usage={"prompt_tokens": -1, "completion_tokens": "3"}) + event(usage=[1]) + END,
        [TextDelta("x"), STOP],
    ),
    "an error before anything": (event(error={"message": "Slow down", "code": "rate_limit_exceeded"}), [RateLimited]),
    "an error after content": (text("x") + event(error={"message": "oops", "type": "server_error"}) + DONE, [TextDelta("x"), UpstreamError]),
    "an error after content with usage": (
        text("x") + usage(9, 3) + event(error={"code": 503}, choices=[{"delta": {"content": ""}, "finish_reason": "error"}]),
        [TextDelta("x"), COUNTED, UpstreamUnavailable],
    ),
    "a named error event": (
        text("x") + b'event: error\ndata: {"message": "Busy", "type": "overloaded_error"}\n\n',
        [TextDelta("x"), UpstreamUnavailable],
    ),
    "a named error event that is no JSON": (b"event: error\ndata: oops\n\n", [UpstreamError]),
    "a flat error": (event(object="error", message="too big", type="BadRequestError", code=400), [RequestError]),
    "a flat error with a code": (event(code="invalid_api_key", message="no"), [UpstreamUnusable]),
    "an error as a text": (event(error="model is loading"), [UpstreamError]),
    "other named events": (b'event: ping\ndata: {"type": "ping"}\n\n' + text("x") + END, [TextDelta("x"), STOP]),
    "garbage": (text("x") + b"data: {oops\n\n" + END, [TextDelta("x"), ProtocolViolation]),
    "a chunk of another shape": (event(choices={"0": {}}), [ProtocolViolation]),
    "bytes that are no UTF-8": (
        b'data: {"choices":[{"delta":{"content":"a\xff"}}]}\n\n' + END,
        [
            Notice("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD"),
            TextDelta("a\ufffd"),
            STOP,
        ],
    ),
    "half a surrogate pair": (
        rb'data: {"choices":[{"delta":{"content":"\\\ud83d \\ud83d \ud83d\ude00"}}]}' + b"\n\n" + END,
        [
            Notice("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD"),
            TextDelta("\\\ufffd \\ud83d \U0001f600"),
            STOP,
        ],
    ),
    "a page of HTML": (b"  <!DOCTYPE html><html><body>sign in</body></html>", [ProtocolViolation]),
    "a whole answer": (
        whole({"content": "x", "reasoning_content": "hm", "refusal": None}, usage={"prompt_tokens": 9, "completion_tokens": 3}),
        [ThinkingDelta("hm"), TextDelta("x"), COUNTED, STOP],
    ),
    "a whole answer with calls": (
        whole(
            {
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "now", "arguments": {"x": 1}}},
                ],
            },
            "tool_calls",
        ),
        [*one_call("{}"), *one_call('{"x":1}', "b", index=1), CALLS],
    ),
    "a whole answer in one event": (b"data: " + whole({"content": "x"}) + b"\n\n" + DONE, [TextDelta("x"), STOP]),
    "the message again at the end": (
        text("x") + event(choices=[{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]) + DONE,
        [TextDelta("x"), STOP],
    ),
    "a whole answer without finish_reason": (
        whole({"content": "x"}, None),
        [TextDelta("x"), Notice("no_finish_reason", "the upstream ended its answer without saying why"), Finish(FinishReason.STOP, None)],
    ),
    "a whole answer that is cut": (whole({"content": "x"})[:-9], [ProtocolViolation]),
    "a whole answer without choices": (b'{"id": "c"}', [ProtocolViolation]),
    "an error as the whole body": (b'{"error": {"message": "no", "code": "invalid_api_key"}}', [UpstreamUnusable]),
    "an error in a list": (b'[{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}]', [RateLimited]),
}


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_events(stream, expected):
    for pieces in splits(stream, seeds=10):
        assert shape(run(pieces)) == expected, [len(piece) for piece in pieces]


@pytest.mark.parametrize("word", FINISH_REASONS)
def test_every_finish_reason_and_its_raw_word(word):
    last = run([call(id="a", name="now", arguments="{}") + chunk(word) + DONE])[-1]
    assert last == Finish(FINISH_REASONS[word], word)


@pytest.mark.parametrize("word", FAILURES)
def test_an_answer_that_was_broken_off_is_no_answer(word):
    assert shape(run([text("x") + chunk(word) + DONE])) == [TextDelta("x"), FAILURES[word][0]]


def test_of_two_fields_the_configured_one_counts():
    stream = chunk(reasoning="one", reasoning_content="two") + END
    assert run([stream], reasoning_field="reasoning")[0] == ThinkingDelta("one")
    assert run([stream])[0] == ThinkingDelta("two")


def test_one_read_is_one_list_and_comments_are_none():
    machine = decoder()
    assert machine.feed(text("a") + text("b")) == [TextDelta("a"), TextDelta("b")]
    assert machine.feed(b": keep-alive\n\n") == []
    assert machine.feed(chunk("stop") + usage(9, 3)) == []
    assert machine.feed(DONE) == [COUNTED, STOP]
    assert machine.feed(text("c")) == machine.end() == []


def test_O4_an_id_of_the_history_is_not_used_again():
    events = run([call(index=0, id="a", name="now", arguments="{}") + CALLS_END], taken_ids=["a"])
    assert shape(events) == [Notice("duplicate_call_id", "a call had the id of an earlier one; it got a new id"), *one_call("{}", "made_1"), CALLS]


def test_events_with_data_are_counted_and_comments_are_not():
    machine = decoder()
    counts = []
    for piece in (
        b": hi\n\n",
        b"data:\n\n",
        b"event: ping\n\n",
        chunk(role="assistant"),
        b'data: {"choices"',
        b":[]}\n\n",
        chunk("stop") + DONE,
        DONE,
    ):
        machine.feed(piece)
        counts.append(machine.data_events)
    assert counts == [0, 0, 0, 1, 1, 2, 4, 4]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([text("x"), chunk("stop"), usage(9, 3), DONE], [False, True, True, False]),
        ([call(id="a", name="now", arguments="{}"), chunk("tool_calls")], [False, True]),
        ([chunk("stop", content="x")], [True]),
        ([chunk("stop", content="x"), chunk("stop", content="y"), chunk("stop")], [True, False, False]),
        ([chunk("stop", role="assistant", content="")], [False]),
        ([whole({"content": "x"})], [False]),
    ],
    ids=["proper", "a call", "with its text", "on each chunk", "with the role", "a whole answer"],
)
def test_an_answer_that_has_said_why_it_ended_only_awaits_its_end(pieces, expected):
    machine = decoder()
    found = []
    for piece in pieces:
        machine.feed(piece)
        found.append(machine.awaits_end)
    assert found == expected


@pytest.mark.parametrize("piece", [chunk("stop"), chunk("stop") + b"data: {", whole({"content": "x"})])
def test_a_broken_connection_does_not_spoil_an_answer_that_was_complete(piece):
    machine = decoder()
    events = machine.feed(piece) + machine.end(StreamCut("gone"))
    assert events[-1] == STOP


@pytest.mark.parametrize("piece", [b"", text("x"), whole({"content": "x"})[:-9], b"["])
def test_a_broken_connection_is_told_as_such(piece):
    fault = StreamCut("The connection was reset.")
    machine = decoder()
    last = (machine.feed(piece) + machine.end(fault))[-1]
    assert isinstance(last, Failed)
    assert last.error is fault


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"{" + b" " * 200, whole({"content": "x" * 200})])
def test_what_is_held_is_bounded(stream):
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        assert shape(run(pieces, max_event_bytes=100)) == [ProtocolViolation]


def test_whose_key_was_refused_decides():
    error = event(error={"message": "no such key", "code": "invalid_api_key"})
    assert shape(run([error], errors=OpenAIErrors(callers_key=True))) == [AuthenticationError]
    assert shape(run([error])) == [UpstreamUnusable]


FRAGMENTS = st.sampled_from(
    [
        b"data: ",
        b"\n\n",
        b'{"choices":[',
        b'{"delta":{"content":"x"}}',
        b"]}",
        b"[DONE]",
        b'{"error":',
        b'"tool_calls":[',
        b"null",
        b"<",
        b"\xff",
        b"\\ud83d",
    ]
)
FIELDS = ["choices", "delta", "message", "content", "reasoning", "tool_calls", "function", "name", "arguments"]
FIELDS += ["custom", "input", "index", "id", "finish_reason", "usage", "error", "code"]
CHUNKISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
        )
    ),
    max_leaves=20,
)
BODIES = (
    st.binary(max_size=100)
    | st.lists(FRAGMENTS, max_size=12).map(b"".join)
    | st.lists(CHUNKISH.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"), max_size=6).map(b"".join)
    | CHUNKISH.map(lambda value: json.dumps(value).encode())
)


@given(BODIES, st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_raise_and_the_end_comes_once(stream, edges):
    events = run(cut(stream, edges))
    assert [type(found) for found in events if isinstance(found, Finish | Failed)] == [type(events[-1])]
    assert shape(events) == shape(run([stream]))
    assert all(isinstance(found.error, PenstockError) for found in events if isinstance(found, Failed))


# -- generated conversations -------------------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
OBJECTS = st.dictionaries(st.text(max_size=4), WORDS | st.integers(), max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))
SPOKEN = st.tuples(st.sampled_from(["content", "reasoning_content", "reasoning", "refusal"]), WORDS)
CALLED = st.tuples(st.just("call"), st.sampled_from(["now", "run"]), OBJECTS)
BROKEN = {
    "proper": lambda number: {"index": number, "id": f"id_{number}"},
    "no index": lambda number: {"id": f"id_{number}"},
    "one index": lambda number: {"index": 0, "id": f"id_{number}"},
    "gaps": lambda number: {"index": 5 * number + 1, "id": f"id_{number}"},
    "no id": lambda number: {"index": number},
    "nothing": lambda number: {},
}


@st.composite
def conversations(draw):
    """What was said, and a stream that says it under one way of numbering calls."""
    said = draw(st.lists(SPOKEN | CALLED, max_size=6))
    where, stream, number = BROKEN[draw(st.sampled_from(sorted(BROKEN)))], chunk(role="assistant", content=""), 0
    for kind, word, *rest in said:
        if kind != "call":
            stream += chunk(**{kind: word})
            continue
        names = {name: value for name, value in where(number).items() if name == "index"}
        first, *others = cut(rest[0], draw(st.lists(st.integers(1, 30), max_size=3)))
        stream += call(**where(number), type="function", name=word, arguments=first) + b"".join(call(**names, arguments=piece) for piece in others)
        number += 1
    return said, stream + END, number


KINDS = {TextDelta: "content", ThinkingDelta: "thinking", RefusalDelta: "refusal"}


def folded(events: Sequence[UpstreamEvent]) -> list[tuple[str, ...]]:
    """Events as what they say, one entry a delta or call."""
    result: list[tuple[str, ...]] = []
    for found in events:
        if isinstance(found, ToolCallStart):
            result.append(("call", found.name, ""))
        elif isinstance(found, ToolCallDelta):
            result[-1] = (*result[-1][:2], result[-1][2] + found.arguments)
        elif isinstance(found, TextDelta | ThinkingDelta | RefusalDelta):
            result.append((KINDS[type(found)], found.text))
    return result


@given(conversations(), st.lists(st.integers(0, 3000), max_size=8))
def test_a_generated_conversation_comes_out_as_it_was(conversation, edges):
    said, stream, count_of_calls = conversation
    events = run(cut(stream, edges))
    assert folded(events) == [(entry[0].replace("reasoning_content", "thinking").replace("reasoning", "thinking"), *entry[1:]) for entry in said]
    assert len({found.id for found in events if isinstance(found, ToolCallStart)}) == count_of_calls
    assert sum(isinstance(found, ToolCallEnd) for found in events) == count_of_calls
    assert not [found for found in events if isinstance(found, Notice)]
    assert events[-1] == STOP
