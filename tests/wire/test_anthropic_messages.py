"""AnthropicDecoder: what each kind of stream means, under every cut."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ContextLengthExceeded, ProtocolViolation, RateLimited, StreamCut, UpstreamError, UpstreamUnavailable
from pipeline.events import (
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UpstreamEvent,
    UsageReport,
)
from pipeline.wire.anthropic_messages import STOP_REASONS, AnthropicDecoder
from tests.support.anthropic_words import (
    DONE,
    PING,
    SIGNATURE,
    START,
    STOP,
    begun,
    called,
    delta,
    end,
    ended,
    event,
    failed,
    message,
    over,
    spoken,
    start,
    text,
    thought,
    usage,
)
from tests.support.splits import cut, splits

ASKED, USED = UsageReport(41, 0, estimated=False), UsageReport(41, 32, estimated=False)
PLACE = '{"place":"Oban"}'
CALL = called("get_weather", ['{"place"', ':"Oban"}'])
WEATHER: list[UpstreamEvent] = [
    ToolCallStart(0, "toolu_1", "get_weather"),
    ToolCallDelta(0, '{"place"'),
    ToolCallDelta(0, ':"Oban"}'),
    ToolCallEnd(0),
]
DROPPED = Notice("output_item_dropped", "the upstream's answer held a block that is no text, reasoning or call; it was left out")
UNREADABLE = Notice("unreadable_content", "the upstream sent content that is no text; it was left out")
SOURCES = Notice("annotation_dropped", "the upstream named sources of its text; they were left out")
MENDED = Notice("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD")
NO_REASON = Notice("no_finish_reason", "the upstream ended its answer without saying why")
CALL_CUT = Notice("call_cut", "get_weather: the upstream ended its answer inside the call; the call was not completed")
INVALID = Notice("invalid_arguments", "get_weather: the arguments are not valid JSON, and were passed on as they are")
STREAM_CUT = "The upstream's stream ended before its end mark."


def finish(reason: FinishReason = FinishReason.STOP, raw: str | None = "end_turn", stop: str | None = None) -> Finish:
    return Finish(reason, raw, stop)


def whole(*blocks: dict[str, Any], reason: str | None = "end_turn", **fields: Any) -> bytes:
    return json.dumps(message(blocks, reason, usage=usage(41, 32), **fields)).encode()


def read(pieces: Sequence[bytes], **options: Any) -> list[UpstreamEvent]:
    """All events, deltas of one kind in a row as one."""
    numbers = count(1)
    decoder = AnthropicDecoder(new_id=lambda: f"made_{next(numbers)}", **options)
    found: list[UpstreamEvent] = []
    for made in [each for piece in pieces for each in decoder.feed(piece)] + decoder.end():
        last = found[-1] if found else None
        if isinstance(made, TextDelta) and isinstance(last, TextDelta):
            found[-1] = TextDelta(last.text + made.text)
        elif isinstance(made, ThinkingDelta) and isinstance(last, ThinkingDelta):
            found[-1] = ThinkingDelta(last.text + made.text)
        else:
            found.append(made)
    assert decoder.feed(STOP) == decoder.end() == []
    return found


# a stream -> its events; a Failed is compared by its class and message
CASES: dict[str, tuple[Sequence[bytes], list[UpstreamEvent | tuple[type[Exception], str]]]] = {
    "text": ([START, *spoken(["Hel", "lo"]), end()], [ASKED, TextDelta("Hello"), USED, finish()]),
    "an empty answer": ([START, end(completion=1)], [UsageReport(41, 1, estimated=False), finish()]),
    "text in the block's first event": ([begun(0, "text", text="Hi"), ended(0), end(completion=0)], [TextDelta("Hi"), finish()]),
    "deltas of a block that never began": ([text("Hi"), end(completion=0)], [TextDelta("Hi"), finish()]),
    "signed reasoning": (
        [START, *thought(["Hm", "."], 0, SIGNATURE), *spoken(["Hi"], 1), end()],
        [ASKED, ThinkingDelta("Hm."), ThinkingEnd(SIGNATURE), TextDelta("Hi"), USED, finish()],
    ),
    "a signature in pieces": (
        [begun(0, "thinking", thinking="Hm.", signature="a"), delta(0, "signature_delta", signature="b"), ended(0), end(completion=0)],
        [ThinkingDelta("Hm."), ThinkingEnd("ab"), finish()],
    ),
    "reasoning whose end is another block": (
        [begun(0, "thinking", thinking="Hm."), delta(0, "signature_delta", signature="s"), begun(1, "text", text="Hi"), end(completion=0)],
        [ThinkingDelta("Hm."), ThinkingEnd("s"), TextDelta("Hi"), finish()],
    ),
    "a signature that comes too late": (
        [begun(0, "thinking", thinking="Hm."), begun(1, "text", text="Hi"), delta(0, "signature_delta", signature="s"), ended(0), end(completion=0)],
        [ThinkingDelta("Hm."), TextDelta("Hi"), finish()],
    ),
    "unsigned reasoning": ([*thought(["Hm."]), *spoken(["Hi"], 1), end(completion=0)], [ThinkingDelta("Hm."), TextDelta("Hi"), finish()]),
    "two thoughts": (
        [*thought(["A"], 0, "a"), *thought(["B"], 1, "b"), end(completion=0)],
        [ThinkingDelta("A"), ThinkingEnd("a"), ThinkingDelta("B"), ThinkingEnd("b"), finish()],
    ),
    "redacted": ([begun(0, "redacted_thinking", data="x"), ended(0), end(completion=0)], [ThinkingEnd(redacted="x"), finish()]),
    "a call": ([START, *CALL, end("tool_use")], [ASKED, *WEATHER, USED, finish(FinishReason.TOOL_CALLS, "tool_use")]),
    "a call with another reason": ([*CALL, end("end_turn", 0)], [*WEATHER, finish(FinishReason.TOOL_CALLS)]),
    "a reason without its call": ([text("Hi"), end("tool_use", 0)], [TextDelta("Hi"), finish(FinishReason.STOP, "tool_use")]),
    "text behind a call": (
        [*CALL, *spoken(["Hi"], 1), end("tool_use", 0)],
        [*WEATHER, TextDelta("Hi"), finish(FinishReason.TOOL_CALLS, "tool_use")],
    ),
    "a call without arguments": (
        [*called("now", ()), end("tool_use", 0)],
        [ToolCallStart(0, "toolu_1", "now"), ToolCallDelta(0, "{}"), ToolCallEnd(0), finish(FinishReason.TOOL_CALLS, "tool_use")],
    ),
    "a call whose input is there at once": (
        [begun(0, "tool_use", id="toolu_1", name="get_weather", input={"place": "Oban"}), ended(0), end("tool_use", 0)],
        [ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE), ToolCallEnd(0), finish(FinishReason.TOOL_CALLS, "tool_use")],
    ),
    "input at once and no end": (
        [begun(0, "tool_use", id="toolu_1", name="get_weather", input={"place": "Oban"}), end("tool_use", 0)],
        [ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE), ToolCallEnd(0), finish(FinishReason.TOOL_CALLS, "tool_use")],
    ),
    "pieces count before the input that was there": (
        [
            begun(0, "tool_use", id="toolu_1", name="get_weather", input={"place": ""}),
            delta(0, "input_json_delta", partial_json=PLACE),
            end("tool_use", 0),
        ],
        [ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE), ToolCallEnd(0), finish(FinishReason.TOOL_CALLS, "tool_use")],
    ),
    "one index for all": (
        [*called("get_weather", [PLACE], 0, "a"), *called("get_tides", ["{}"], 0, "b"), end("tool_use", 0)],
        [
            *(ToolCallStart(0, "a", "get_weather"), ToolCallDelta(0, PLACE), ToolCallEnd(0)),
            *(ToolCallStart(1, "b", "get_tides"), ToolCallDelta(1, "{}"), ToolCallEnd(1)),
            finish(FinishReason.TOOL_CALLS, "tool_use"),
        ],
    ),
    "no index and no id": (
        [*called("get_weather", [PLACE], None, None), *called("get_tides", ["{}"], None, None), end("tool_use", 0)],
        [
            *(ToolCallStart(0, "made_1", "get_weather"), ToolCallDelta(0, PLACE), ToolCallEnd(0)),
            *(ToolCallStart(1, "made_2", "get_tides"), ToolCallDelta(1, "{}"), ToolCallEnd(1)),
            finish(FinishReason.TOOL_CALLS, "tool_use"),
        ],
    ),
    "a call cut by the limit": (
        [*called("get_weather", [PLACE[:5]]), end("max_tokens", 0)],
        [ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE[:5]), CALL_CUT, finish(FinishReason.LENGTH, "max_tokens")],
    ),
    "a whole call before the limit": ([*CALL, end("max_tokens", 0)], [*WEATHER, finish(FinishReason.LENGTH, "max_tokens")]),
    "a call of no JSON": (
        [*called("get_weather", [PLACE[:5]]), end("tool_use", 0)],
        [
            *(ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE[:5]), INVALID, ToolCallEnd(0)),
            finish(FinishReason.TOOL_CALLS, "tool_use"),
        ],
    ),
    "half a call, and no reason": (
        [*called("get_weather", [PLACE[:5]]), STOP],
        [
            *(ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE[:5])),
            (StreamCut, "The upstream's stream ended inside a tool call."),
        ],
    ),
    "a call that is cut": (
        [*called("get_weather", [PLACE])[:-1]],
        [ToolCallStart(0, "toolu_1", "get_weather"), ToolCallDelta(0, PLACE), (StreamCut, STREAM_CUT)],
    ),
    "a call that was stopped, and no end": ([*CALL], [*WEATHER[:-1], (StreamCut, STREAM_CUT)]),
    "no message_stop": ([START, text("Hi"), over("end_turn")], [ASKED, TextDelta("Hi"), USED, finish()]),
    "no message_stop, and no empty line": ([text("Hi"), over("end_turn", 0).rstrip()], [TextDelta("Hi"), finish()]),
    "no stop reason": ([text("Hi"), STOP], [TextDelta("Hi"), NO_REASON, Finish(FinishReason.STOP)]),
    "done": ([text("Hi"), over("end_turn", 0), DONE], [TextDelta("Hi"), finish()]),
    "nothing": ([START, STOP], [(StreamCut, "The upstream's stream ended before it began.")]),
    "nothing at all": ([], [(StreamCut, STREAM_CUT)]),
    "a cut": ([START, text("Hi")], [ASKED, TextDelta("Hi"), (StreamCut, STREAM_CUT)]),
    "an unknown reason": (
        [text("Hi"), end("boredom", 0)],
        [
            TextDelta("Hi"),
            Notice("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here"),
            Finish(FinishReason.STOP, "boredom"),
        ],
    ),
    "a pause": (
        [text("Hi"), end("pause_turn", 0)],
        [
            TextDelta("Hi"),
            Notice("turn_paused", "the upstream paused among its own tools; it goes on when it is sent its answer"),
            finish(FinishReason.STOP, "pause_turn"),
        ],
    ),
    "a stop text": (
        [text("Hi"), end("stop_sequence", 0, sequence="END")],
        [TextDelta("Hi"), finish(FinishReason.STOP, "stop_sequence", "END")],
    ),
    "a refusal behind text": (
        [text("Hi"), end("refusal", 0, stop_details={"explanation": "No."})],
        [TextDelta("Hi"), finish(FinishReason.CONTENT_FILTER, "refusal")],
    ),
    "a refusal alone": (
        [START, end("refusal", stop_details={"type": "refusal", "explanation": "No."})],
        [ASKED, RefusalDelta("No."), USED, finish(FinishReason.CONTENT_FILTER, "refusal")],
    ),
    "pings": ([PING, START, PING, text("Hi"), PING, end()], [ASKED, TextDelta("Hi"), USED, finish()]),
    "a server's tool": (
        [
            begun(0, "server_tool_use", id="s", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json="{}"),
            ended(0),
            begun(1, "web_search_tool_result", content=[]),
            ended(1),
            text("Hi", 2),
            end(completion=0),
        ],
        [DROPPED, TextDelta("Hi"), finish()],
    ),
    "sources": (
        [begun(0, "text", text="Hi", citations=[{}]), delta(0, "citations_delta", citation={}), ended(0), end(completion=0)],
        [TextDelta("Hi"), SOURCES, finish()],
    ),
    "a delta of no known type": ([delta(0, "smell_delta", smell="x"), text("Hi"), end(completion=0)], [UNREADABLE, TextDelta("Hi"), finish()]),
    "an event of no known type": ([event("weather", wind=9), text("Hi"), end(completion=0)], [TextDelta("Hi"), finish()]),
    "no event lines": (
        [START.partition(b"\n")[2], text("Hi").partition(b"\n")[2], over("end_turn").partition(b"\n")[2], STOP.partition(b"\n")[2]],
        [ASKED, TextDelta("Hi"), USED, finish()],
    ),
    "the type in the event line alone": (
        [b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n', end(completion=0)],
        [TextDelta("Hi"), finish()],
    ),
    "usage at the end alone": (
        [event("message_start", message=message(usage=usage(0, 0))), text("Hi"), end(counts={"input_tokens": 41})],
        [TextDelta("Hi"), USED, finish()],
    ),
    "usage with caches": (
        [start(5, 1, cache_read_input_tokens=30, cache_creation_input_tokens=6, service_tier="standard"), text("Hi"), end()],
        [
            UsageReport(41, 0, 0, 30, estimated=False, extra={"cache_creation_input_tokens": 6, "service_tier": "standard"}),
            TextDelta("Hi"),
            UsageReport(41, 32, 0, 30, estimated=False, extra={"cache_creation_input_tokens": 6, "service_tier": "standard"}),
            finish(),
        ],
    ),
    "usage with reasoning": (
        [text("Hi"), end(counts={"input_tokens": 1, "output_tokens_details": {"thinking_tokens": 9}})],
        [TextDelta("Hi"), UsageReport(1, 32, 9, estimated=False), finish()],
    ),
    "half a character": ([text("Hi").replace(b"Hi", b"H\xff"), end(completion=0)], [MENDED, TextDelta("H\ufffd"), finish()]),
    "half a surrogate": ([text("\ud83d"), end(completion=0)], [MENDED, TextDelta("\ufffd"), finish()]),
    "an error first": (
        [START, failed("overloaded_error", "Busy")],
        [(UpstreamUnavailable, "The upstream is not available at the moment. It says: Busy")],
    ),
    "an error behind text": (
        [START, text("Hi"), failed("rate_limit_error", "Slow")],
        [ASKED, TextDelta("Hi"), (RateLimited, "The upstream limits the rate of requests. It says: Slow")],
    ),
    "an error without its event line": (
        [failed("api_error", "Oh").partition(b"\n")[2]],
        [(UpstreamError, "The upstream failed. It says: Oh")],
    ),
    "no JSON": ([b"data: {\n\n"], [(ProtocolViolation, "The upstream sent an event that is no part of an answer.")]),
    "HTML": ([b"<html>"], [(ProtocolViolation, "The upstream answered with a page of HTML instead of an answer of the API.")]),
    "a whole message": (
        [
            whole(
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}},
                reason="tool_use",
            )
        ],
        [
            *(ThinkingDelta("Hm."), ThinkingEnd("s"), TextDelta("Hi")),
            *(ToolCallStart(0, "toolu_1", "now"), ToolCallDelta(0, "{}"), ToolCallEnd(0)),
            *(USED, finish(FinishReason.TOOL_CALLS, "tool_use")),
        ],
    ),
    "a whole message in an event": ([b"data: " + whole({"type": "text", "text": "Hi"}) + b"\n\n"], [TextDelta("Hi"), USED, finish()]),
    "a whole message with a stop text": (
        [json.dumps({**message([{"type": "text", "text": "Hi"}], "stop_sequence"), "stop_sequence": "END"}).encode()],
        [TextDelta("Hi"), finish(FinishReason.STOP, "stop_sequence", "END")],
    ),
    "a whole error": (
        [b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}'],
        [(ContextLengthExceeded, "The conversation is too long for the model. It says: prompt is too long: 9 tokens > 8 maximum")],
    ),
    "an object that is no answer": ([b'{"ok":true}'], [(ProtocolViolation, "The upstream's answer holds no content.")]),
    "half an object": ([whole()[:-2]], [(ProtocolViolation, "The upstream's answer is neither an event stream nor a whole message.")]),
}


def told(events: Sequence[UpstreamEvent]) -> list[Any]:
    return [(type(event.error), event.error.message) if isinstance(event, Failed) else event for event in events]


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES)
def test_what_a_stream_means_however_it_is_cut(stream, expected):
    data = b"".join(stream)
    assert told(read([data])) == expected
    for pieces in [[data[at : at + 1] for at in range(len(data))], [*stream], *list(splits(data, seeds=5))[::7]]:
        assert told(read(pieces)) == expected


@pytest.mark.parametrize("raw", STOP_REASONS)
def test_every_reason_has_its_meaning_and_is_quoted(raw):
    last = read([*CALL, end(raw)])[-1]
    assert isinstance(last, Finish)
    assert last.raw == raw
    assert last.reason is (FinishReason.TOOL_CALLS if raw == "end_turn" else STOP_REASONS[raw])


def test_the_reasons_are_those_of_the_api():
    """As the types of the official client have them (`StopReason`)."""
    named = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"}
    assert set(STOP_REASONS) == named


def test_ids_of_the_history_are_not_given_out_again():
    events = read([*called("now", ["{}"], 0, "toolu_1"), *called("now", ["{}"], 1, "toolu_1"), end("tool_use")], taken_ids=["toolu_1"])
    assert [event.id for event in events if isinstance(event, ToolCallStart)] == ["made_1", "made_2"]


def test_a_call_goes_out_while_it_is_written():
    decoder = AnthropicDecoder(new_id=lambda: "made", tools=["get_weather"])
    first, _, second, *_ = CALL
    assert decoder.feed(first) == [ToolCallStart(0, "toolu_1", "get_weather")]
    assert decoder.feed(second) == [ToolCallDelta(0, '{"place"')]


def test_only_its_end_mark_is_awaited_behind_the_reason():
    decoder = AnthropicDecoder(new_id=lambda: "made")
    seen = [decoder.awaits_end]
    for piece in (START, text("Hi"), over("end_turn"), STOP):
        decoder.feed(piece)
        seen.append(decoder.awaits_end)
    assert seen == [False, False, False, True, False]
    assert decoder.data_events == 4


def test_a_body_that_broke_off_says_why_unless_it_was_complete():
    broken = UpstreamError("The connection broke.")
    decoder = AnthropicDecoder(new_id=lambda: "made")
    decoder.feed(text("Hi"))
    assert told(decoder.end(broken)) == [(UpstreamError, "The connection broke.")]
    decoder = AnthropicDecoder(new_id=lambda: "made")
    decoder.feed(text("Hi") + over("end_turn", 0))
    assert decoder.end(broken) == [finish()]


def test_an_event_of_any_size_is_refused_above_the_limit():
    assert told(read([text("x" * 200)], max_event_bytes=100)) == [(ProtocolViolation, "The upstream sent an event of more than 100 bytes.")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["text", "tool_use", "thinking", "end_turn"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "input", "id", "name", "usage"]), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["index", "delta", "content_block", "message", "usage", "error", "content", "stop_reason"])
TYPES = ["content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta", "message_stop", "message", "x", None]
ODD = st.builds(lambda kind, fields: event(str(kind), **fields), st.sampled_from(TYPES), st.dictionaries(FIELDS, VALUES, max_size=4))
FINE = st.sampled_from([START, PING, *CALL, *spoken(["Hi"], 1), *thought(["Hm."], 2, "s"), over("end_turn"), STOP, b"data: x\n\n", b"\xff"])


@given(st.lists(ODD | FINE, max_size=12), st.lists(st.integers(0, 2000), max_size=6))
def test_any_stream_is_well_formed_under_any_cut(stream, edges):
    data = b"".join(stream)
    events = read([data])
    assert told(read(cut(data, edges))) == told(events)
    assert isinstance(events[-1], Finish | Failed)
    open_call: int | None = None
    for made in events[:-1]:
        assert not isinstance(made, Finish | Failed)
        if isinstance(made, ToolCallStart):
            assert open_call is None
            open_call = made.index
        elif isinstance(made, ToolCallDelta | ToolCallEnd):
            assert made.index == open_call
            open_call = None if isinstance(made, ToolCallEnd) else open_call
        elif not isinstance(made, Notice | UsageReport):
            assert open_call is None


# -- what comes to the API, and what is held


def fresh():
    return AnthropicDecoder(new_id=lambda: "made_1")


@pytest.mark.parametrize(
    "further",
    [
        event("future_event", delta="x", error={"message": "?"}),
        event("future_event", delta=[], content_block=3),
        b'event: future_event\ndata: {"delta": "x"}\n\n',
        b"event: future_event\ndata: no JSON\n\n",
    ],
)
def test_an_event_that_is_not_known_has_no_effect(further):
    decoder = fresh()
    assert decoder.feed(further) == []
    assert decoder.data_events == 0
    assert decoder.feed(START + text("x") + further + end())[-1] == Finish(FinishReason.STOP, "end_turn")
    assert decoder.feed(further) == []


def test_pings_are_no_data():
    decoder = fresh()
    assert (decoder.feed(PING + PING), decoder.data_events) == ([], 0)
    decoder.feed(START)
    assert decoder.data_events == 1


def test_a_call_without_input_is_over_when_another_block_begins():
    decoder = fresh()
    called_now = decoder.feed(START + begun(0, "tool_use", id="toolu_1", name="get_weather", input={}) + ended(0))
    assert not any(isinstance(each, ToolCallEnd) for each in called_now)  # the answer may have been cut there
    assert decoder.feed(begun(1, "text", text="") + delta(1, "text_delta", text="later")) == [
        ToolCallStart(0, "toolu_1", "get_weather"),
        ToolCallDelta(0, "{}"),
        ToolCallEnd(0),
        TextDelta("later"),
    ]


def test_signatures_come_in_pieces_and_are_bounded(monkeypatch):
    signed = START + begun(0, "thinking", thinking="", signature="") + b"".join(delta(0, "signature_delta", signature="abcd") for _ in range(3))
    assert ThinkingEnd("abcd" * 3) in fresh().feed(signed + ended(0))
    monkeypatch.setattr("pipeline.wire.anthropic_blocks.MAX_SIGNATURE_CHARS", 11)
    events = fresh().feed(signed + ended(0) + text("x", 1))
    assert [each.code for each in events if isinstance(each, Notice)] == ["signature_dropped"]
    assert not any(isinstance(each, ThinkingEnd) for each in events)
