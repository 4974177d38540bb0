"""UiMessageDecoder: what each kind of stream means, under every cut."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, RateLimited, StreamCut, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, Finish, FinishReason, NativeToolCall, Notice, TextDelta, ThinkingDelta, UpstreamEvent, UsageReport
from pipeline.wire import ui_message_stream as codec
from pipeline.wire.ui_message_stream import FINISH_REASONS, UiMessageDecoder
from pipeline.wire.website_errors import WebsiteErrors
from tests.support.openai_server import DONE
from tests.support.splits import cut, splits
from tests.support.website_words import END, START, STEP_END, available, finish, part, text, thought, typed, usage

STOP = Finish(FinishReason.STOP, "stop")
NO_REASON = Notice("no_finish_reason", "the upstream ended its answer without saying why")
COUNTED = UsageReport(9, 3, estimated=False)
OWN_TOOL = Notice("output_item_dropped", "the website ran a tool of its own; what it was called with, and what it gave, was left out")
HALF_CALL = Notice("call_cut", "the website never said that a native call is whole; it was left out")
SECOND = Notice("late_arguments", "the website told the arguments of a native call a second time; what it told first stays")
NAMELESS = Notice("native_call_unreadable", "a native call without a name was left out")
SOURCES = Notice("annotation_dropped", "the website named sources of its text; they were left out")
FILE = Notice("unreadable_content", "the website sent a file; it was left out")
DATA = Notice("output_item_dropped", "the website sent data for a page of its own; they were left out")
PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Ray ID: canary</body></html>"


def run(pieces: Sequence[bytes], **options: Any) -> list[UpstreamEvent]:
    decoder = UiMessageDecoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def plain(events: Sequence[UpstreamEvent]) -> list[object]:
    """With the class of a fault in its place."""
    return [type(event.error) if isinstance(event, Failed) else event for event in events]


def call(id: str, name: str, arguments: str) -> NativeToolCall:
    """The website's `id` of it stays with the website."""
    return NativeToolCall("", name, arguments)


# what it is -> the stream, and its events; a class of errors stands for the Failed of it
CASES: dict[str, tuple[bytes, list[object]]] = {
    "text": (
        START + part("text-start", id="1") + text("Hi") + text(" there") + part("text-end", id="1") + END,
        [TextDelta("Hi"), TextDelta(" there"), STOP],
    ),
    "two texts side by side": (
        text("a", "1") + text("b", "2") + text("c", "1") + END,
        [TextDelta("a"), TextDelta("\n\nb"), TextDelta("\n\nc"), STOP],
    ),
    "two texts, and reasoning between them": (
        text("First.", "1") + text(" Still.", "1") + thought("hm", "1") + text("Second.", "2") + thought("so", "2") + END,
        [TextDelta("First."), TextDelta(" Still."), ThinkingDelta("hm"), TextDelta("\n\nSecond."), ThinkingDelta("\n\nso"), STOP],
    ),
    "two texts of one id in two steps": (text("a") + STEP_END + part("start-step") + text("b") + END, [TextDelta("a"), TextDelta("\n\nb"), STOP]),
    "two texts of one id in one step": (
        part("text-start", id="1") + text("a", "1") + part("text-start", id="1") + text("b", "1") + END,
        [TextDelta("a"), TextDelta("\n\nb"), STOP],
    ),
    "texts that have empty lines between them": (
        text("a\n", "1") + text("b\n\n", "2") + text("c", "3") + text("\nd", "4") + text("\n\ne", "5") + END,
        [TextDelta("a\n"), TextDelta("\nb\n\n"), TextDelta("c"), TextDelta("\n\nd"), TextDelta("\n\ne"), STOP],
    ),
    "reasoning": (
        part("reasoning-start", id="r") + thought("hm") + part("reasoning-end", id="r") + text("x") + END,
        [ThinkingDelta("hm"), TextDelta("x"), STOP],
    ),
    "older spellings of text": (
        part("text-delta", textDelta="a") + part("text", text="b") + part("reasoning", text="c") + part("text-delta", delta=7) + END,
        [TextDelta("a"), TextDelta("b"), ThinkingDelta("c"), STOP],
    ),
    "an empty delta says nothing": (text("") + thought("") + END, [STOP]),
    "an empty answer": (START + END, [STOP]),
    # -- calls
    "a call": (
        START + text("So.") + typed("c1", "read", '{"pa', 'th":"a"}') + available("c1", "read", {"path": "a"}) + END,
        [TextDelta("So."), call("c1", "read", '{"path":"a"}'), STOP],
    ),
    "arguments stay as they were written": (
        b'data: {"type":"tool-input-available","toolCallId":"c","toolName":"n","input":{"big":12345678901234567890.5, "e": 1e400}}\n\n' + END,
        [call("c", "n", '{"big":12345678901234567890.5, "e": 1e400}'), STOP],
    ),
    "calls leave in the order in which they began": (
        typed("a", "one", "{") + available("b", "two", {}) + available("a", "one", {}) + END,
        [call("a", "one", "{}"), call("b", "two", "{}"), STOP],
    ),
    "text behind a call goes first": (available("a", "one", {}) + text("x") + END, [TextDelta("x"), call("a", "one", "{}"), STOP]),
    "a call without an input has what was written of it": (
        typed("a", "one", '{"x":', "1}") + part("tool-input-available", toolCallId="a", toolName="one") + END,
        [call("a", "one", '{"x":1}'), STOP],
    ),
    "an input that is null has what was written of it": (
        typed("a", "one", "{}") + available("a", "one", None) + END,
        [call("a", "one", "{}"), STOP],
    ),
    "a call that is told to be whole twice": (
        typed("a", "one", "{}") + available("a", "one", {"x": 1}) + available("a", "one", {"x": 2}) + typed("a", "one", "3") + END,
        [SECOND, call("a", "one", '{"x":1}'), STOP],
    ),
    "a call without arguments": (available("a", "one", None) + END, [call("a", "one", ""), STOP]),
    "older spelling of a call": (
        part("tool-call-streaming-start", toolCallId="a", toolName="one")
        + part("tool-call-delta", toolCallId="a", argsTextDelta="{}")
        + part("tool-call", toolCallId="a", toolName="one", args={"x": 1})
        + finish("tool-calls"),
        [call("a", "one", '{"x":1}'), Finish(FinishReason.STOP, "tool-calls")],
    ),
    "an input that is JSON in a string": (available("a", "one", '{"x": 1}') + END, [call("a", "one", '{"x": 1}'), STOP]),
    "calls without ids": (
        available("", "one", {}) + part("tool-input-available", toolName="two", input={}) + END,
        [call("", "one", "{}"), call("", "two", "{}"), STOP],
    ),
    "a call without a name": (available("a", "", {}) + END, [NAMELESS, STOP]),
    "a call that was never whole": (typed("a", "one", "{}") + END, [HALF_CALL, STOP]),
    "a call that the website does not know": (
        part("tool-input-error", toolCallId="a", toolName="one", input={"x": 1}, errorText="No such tool.")
        + part("tool-output-error", toolCallId="a", errorText="No such tool.")
        + END,
        [call("a", "one", '{"x":1}'), STOP],
    ),
    "a tool that the website ran": (
        available("a", "search", {}) + part("tool-output-available", toolCallId="a", output="secret result") + STEP_END + text("x") + END,
        [OWN_TOOL, TextDelta("x"), STOP],
    ),
    "a tool that the website ran in vain": (
        available("a", "search", {}) + part("tool-output-error", toolCallId="a", errorText="x") + END,
        [OWN_TOOL, STOP],
    ),
    "a tool that a person is to allow": (
        available("a", "rm", {}) + part("tool-approval-request", toolCallId="a", approvalId="p") + END,
        [OWN_TOOL, STOP],
    ),
    "a tool that a person forbade": (available("a", "rm", {}) + part("tool-output-denied", toolCallId="a") + END, [OWN_TOOL, STOP]),
    "a tool that the provider runs": (available("a", "web", {}, providerExecuted=True) + END, [OWN_TOOL, STOP]),
    "a tool that the provider began to run": (typed("a", "web", "{}", providerExecuted=True) + available("a", "web", {}) + END, [OWN_TOOL, STOP]),
    "a result of nothing that was called": (part("tool-output-available", toolCallId="z", output=1) + END, [OWN_TOOL, STOP]),
    "an id that comes again in another step": (
        available("a", "one", {}) + STEP_END + part("start-step") + available("a", "two", {}) + END,
        [call("a", "one", "{}"), call("a", "two", "{}"), STOP],
    ),
    "a step that begins ends the last one": (
        available("a", "one", {}) + part("start-step") + text("x") + END,
        [call("a", "one", "{}"), TextDelta("x"), STOP],
    ),
    # -- what is left out
    "sources": (
        part("source-url", sourceId="1", url="https://a.example") + part("source-document", sourceId="2") + text("x") + END,
        [SOURCES, TextDelta("x"), STOP],
    ),
    "a file": (part("file", url="data:x", mediaType="image/png") + END, [FILE, STOP]),
    "data of a page": (
        part("data-weather", data={"x": 1}) + part("data-weather", data=2, transient=True) + text("x") + END,
        [DATA, TextDelta("x"), STOP],
    ),
    "unknown types": (
        part("custom", x=1) + part("tool-telemetry", toolCallId="a") + part("", x=1) + b'data: {"type":7}\n\ndata: {}\n\n' + END,
        [STOP],
    ),
    # -- the end
    "without a reason": (text("x") + finish(None) + DONE, [TextDelta("x"), Finish(FinishReason.STOP, None)]),
    "a reason that is not known": (
        text("x") + finish("nap"),
        [
            TextDelta("x"),
            Notice("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here"),
            Finish(FinishReason.STOP, "nap"),
        ],
    ),
    "the reason error": (text("x") + finish("error") + DONE, [TextDelta("x"), UpstreamError]),
    "nothing behind the end": (text("x") + finish() + text("y") + part("error", errorText="z") + DONE, [TextDelta("x"), STOP]),
    "[DONE] alone": (text("x") + STEP_END + DONE, [TextDelta("x"), NO_REASON, Finish(FinishReason.STOP, None)]),
    "[DONE] alone behind a call": (available("a", "one", {}) + DONE, [NO_REASON, call("a", "one", "{}"), Finish(FinishReason.STOP, None)]),
    "[DONE] and nothing else": (DONE, [StreamCut]),
    "[DONE] behind frames": (START + DONE, [StreamCut]),
    "an end without its empty line": (text("x") + finish().rstrip(b"\n"), [TextDelta("x"), STOP]),
    "cut": (START + text("x"), [TextDelta("x"), StreamCut]),
    "cut in a step that is complete": (text("x") + STEP_END, [TextDelta("x"), StreamCut]),
    "cut in an event": (text("x") + text("yes")[:-9], [TextDelta("x"), StreamCut]),
    "cut in a call": (text("x") + typed("a", "one", "{"), [TextDelta("x"), StreamCut]),
    "empty": (b"", [StreamCut]),
    "only keep-alives": (b": ping\n\n: ping\n\n", [StreamCut]),
    # -- usage
    "usage at the end": (text("x") + finish("stop", usage=usage(9, 3)) + DONE, [TextDelta("x"), COUNTED, STOP]),
    "usage before the end": (
        text("x") + part("message-metadata", messageMetadata={"usage": usage(9, 3)}) + finish(),
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage in both places: the last counts": (
        part("message-metadata", messageMetadata={"usage": usage(1, 1)}) + text("x") + finish("stop", usage=usage(9, 3)),
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage of all steps goes first": (text("x") + finish("stop", usage=usage(1, 1), totalUsage=usage(9, 3)), [TextDelta("x"), COUNTED, STOP]),
    "usage beside the reason": (text("x") + part("finish", finishReason="stop", totalUsage=usage(9, 3)), [TextDelta("x"), COUNTED, STOP]),
    "metadata that count nothing": (text("x") + finish("stop", usage="much", model="m"), [TextDelta("x"), STOP]),
    "usage of an answer that failed": (
        text("x") + part("message-metadata", messageMetadata={"usage": usage(9, 3)}) + part("error", errorText="no"),
        [TextDelta("x"), COUNTED, UpstreamError],
    ),
    # -- faults
    "an error first": (part("error", errorText="An error occurred."), [UpstreamError]),
    "an error behind text": (text("x") + part("error", errorText="An error occurred.") + DONE, [TextDelta("x"), UpstreamError]),
    "an error of limits": (part("error", errorText="Rate limit reached"), [RateLimited]),
    "an error that is an object": (part("error", error={"message": "Busy", "code": "rate_limit_exceeded"}), [RateLimited]),
    "an abort": (text("x") + part("abort", reason="user") + DONE, [TextDelta("x"), UpstreamError]),
    "a page": (PAGE, [UpstreamUnusable]),
    "a page behind blanks": (b"\xef\xbb\xbf\r\n  " + PAGE, [UpstreamUnusable]),
    "an error as a body": (b'{"error":{"message":"No key","code":"invalid_api_key"}}', [UpstreamUnusable]),
    "another body": (b'{"messages":[]}', [ProtocolViolation]),
    "no JSON": (text("x") + b"data: hello\n\n", [TextDelta("x"), ProtocolViolation]),
    "JSON of another kind": (b"data: [1]\n\n", [ProtocolViolation]),
    "half a character": (
        b'data: {"type":"text-delta","delta":"a\\ud83d"}\n\n' + END,
        [
            Notice("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD"),
            TextDelta("a\ufffd"),
            STOP,
        ],
    ),
    "events with names and CRLF": (b"event: message\r\nid: 1\r\n" + text("x").replace(b"\n", b"\r\n") + END, [TextDelta("x"), STOP]),
}


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_events(stream, expected):
    assert all(plain(run(pieces)) == expected for pieces in splits(stream, seeds=10))


@pytest.mark.parametrize("reason", FINISH_REASONS)
def test_every_reason_has_a_meaning(reason):
    assert run([text("x") + finish(reason)])[-1] == Finish(FINISH_REASONS[reason], reason)


def test_each_type_of_the_tables_stands_in_one_of_them():
    tables = [codec.TEXT, codec.THOUGHT, codec.CALL_PARTS, codec.STEP_ENDS, codec.SOURCES, codec.FILES]
    assert len(frozenset().union(*tables)) == sum(map(len, tables))
    assert not any(kind.startswith(codec.DATA) for table in tables for kind in table)


def error_of(stream: bytes, **options: Any) -> PenstockError:
    last = run([stream], **options)[-1]
    assert isinstance(last, Failed)
    return last.error


@pytest.mark.parametrize("says", ["<html><b>502</b></html>", "key sk-0123456789abcdefghij", "see hunter2-hunter2"])
@pytest.mark.parametrize("kind", ["error", "abort"])
def test_what_is_said_of_a_fault_is_clean(kind, says):
    error = error_of(part(kind, errorText=says, reason=says), errors=WebsiteErrors(secrets=["hunter2-hunter2"]))
    assert not any(word in error.message for word in ("<", "0123456789", "hunter2"))
    assert error.message


def test_a_fault_says_what_the_website_said():
    assert "the model is asleep" in error_of(part("error", errorText="the model is asleep")).message
    assert "the model is asleep" in error_of(part("abort", reason="the model is asleep")).message


def test_nothing_of_a_page_is_shown():
    error = error_of(PAGE)
    assert (error.status, error.code) == (424, "upstream_refused")
    assert "canary" not in error.message
    assert "moment" not in error.message


def test_a_key_that_is_refused_is_the_caller_s_where_it_was_theirs():
    body = b'{"error":{"message":"No key","code":"invalid_api_key"}}'
    assert type(error_of(body, errors=WebsiteErrors(callers_key=True))) is AuthenticationError
    assert error_of(body).code == "upstream_credentials_refused"


def test_what_broke_the_connection_is_what_went_wrong():
    fault = UpstreamError("The line is dead.")
    decoder = UiMessageDecoder()
    decoder.feed(text("x"))
    assert decoder.end(fault) == [Failed(fault)]
    decoder = UiMessageDecoder()
    decoder.feed(text("x") + finish())
    assert decoder.end(fault) == []


def test_the_mark_behind_the_end_is_seen():
    decoder = UiMessageDecoder()
    decoder.feed(text("x") + finish())
    assert not decoder.is_marked
    decoder = UiMessageDecoder()
    decoder.feed(text("x") + finish() + DONE)
    assert decoder.is_marked


@pytest.mark.parametrize("stream", [text("x" * 500), typed("a", "one", *["y" * 20] * 30), b"".join(available(f"c{n}", "one", {}) for n in range(30))])
def test_what_is_held_is_bounded(stream):
    assert type(error_of(stream + END, max_event_bytes=400)) is ProtocolViolation


def test_calls_of_many_steps_are_not_held_together():
    step = available("a", "one", {}) + STEP_END
    assert len(run([step * 30 + END], max_event_bytes=400)) == 31


@pytest.mark.parametrize("many", [1_000, 8_000])
def test_the_work_is_linear(many):
    """As parts that are read, whatever is open: each is looked at once."""
    stream = b"".join(typed(f"c{number}", "one", "{", "}") for number in range(many // 4)) + text("x") * (many // 4) + END
    decoder = UiMessageDecoder()
    decoder.feed(stream)
    assert decoder.data_events == 3 * (many // 4) + many // 4 + 2
    assert decoder.is_over


PARTS = st.sampled_from(
    [
        *codec.TEXT,
        *codec.THOUGHT,
        *codec.CALL_PARTS,
        *codec.STEP_ENDS,
        *codec.SOURCES,
        "data-x",
        "finish",
        "error",
        "abort",
        "message-metadata",
        "start",
        "x",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CALL_FIELDS = ["toolCallId", "toolName", "input", "args", "inputTextDelta", "providerExecuted"]
FIELDS = ["delta", "textDelta", "text", "errorText", "error", "reason", "finishReason", "messageMetadata", "usage"]
NAMES = st.sampled_from(CALL_FIELDS + FIELDS)
EVENTS = st.builds(lambda kind, fields: part(kind, **fields), PARTS, st.dictionaries(NAMES, VALUES, max_size=4))
STREAMS = st.lists(EVENTS | st.binary(max_size=20) | st.just(DONE) | st.just(b"\r\n"), max_size=8).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 400)))
def test_any_stream_any_cut(stream, at):
    events = run([stream])
    assert plain(run(cut(stream, at))) == plain(events)
    assert isinstance(events[-1], Finish | Failed)
    assert sum(isinstance(event, Finish | Failed) for event in events) == 1


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable()), max_size=6))
def test_no_text_is_lost(texts):
    stream = b"".join(text(piece) for piece in texts) + END
    assert [event.text for event in run([stream]) if isinstance(event, TextDelta)] == texts


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_arguments_are_those_that_were_sent(arguments):
    found = [event.arguments for event in run([available("a", "one", arguments) + END]) if isinstance(event, NativeToolCall)]
    assert [json.loads(text) for text in found] == [arguments]


def test_a_call_that_is_told_to_be_whole_often_costs_no_more_than_its_bytes(monkeypatch):
    """Its pieces are joined once, however large they are."""
    joined = []
    written = codec._written

    def counted(raw):
        joined.append(raw)
        return written(raw)

    monkeypatch.setattr(codec, "_written", counted)
    whole = part("tool-input-available", toolCallId="a", toolName="one")
    assert run([typed("a", "one", "x" * 1000) + whole * 500 + END]) == [SECOND, call("a", "one", "x" * 1000), STOP]
    assert len(joined) <= 2
