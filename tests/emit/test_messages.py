"""Messages emission: what each event looks like to a client, what it may take for whole, and that the stream adds up to the whole."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.emit.base import AnswerHead
from pipeline.emit.messages import MESSAGES, PING, WITHOUT_THOUGHTS, MessagesStream
from pipeline.emit.messages_error import error_body, error_type
from pipeline.emit.whole import Whole
from pipeline.errors import (
    AuthenticationError,
    BodyTooLarge,
    ContextLengthExceeded,
    Draining,
    ModelNotFound,
    PaymentRequired,
    PenstockError,
    PermissionDenied,
    QuotaExceeded,
    RequestError,
    StreamCut,
    UnsupportedParameter,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import (
    Event,
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
    UsageReport,
)
from pipeline.messages_fields import REFUSED
from pipeline.models import Price
from tests.support.messages_reader import MessagesReader, read_events

USAGE = UsageReport(
    100, 20, reasoning_tokens=5, cached_tokens=30, estimated=False, extra={"cache_creation_input_tokens": 10, "service_tier": "standard"}
)
HEAD = AnswerHead("msg_7", 17, "composer-2.5", show_thinking=True)
SILENT = AnswerHead("msg_7", 17, "composer-2.5")
CALL: list[Event] = [ToolCallStart(0, "call_1", "read"), ToolCallDelta(0, '{"path":'), ToolCallDelta(0, '"a"}'), ToolCallEnd(0)]


def stream(head: AnswerHead = HEAD) -> MessagesStream:
    return MessagesStream(head, lambda: USAGE)


def told(*events: Event, head: AnswerHead = HEAD) -> list[dict]:
    """The events of an answer behind the one that begins it."""
    return read_events(stream(head).feed(events))[1:]


def whole(*events: Event, head: AnswerHead = HEAD) -> dict:
    fold = Whole()
    fold.add(events)
    return json.loads(MESSAGES.whole(head, fold, USAGE))


def blocks(*events: Event, head: AnswerHead = HEAD) -> list[dict]:
    """What the answer's blocks are, by the stream and by the whole form alike."""
    reader = MessagesReader(stream(head).feed(events))
    assert reader.stopped
    assert whole(*events, head=head)["content"] == reader.complete
    return reader.complete


def test_it_begins_with_an_empty_message_and_the_prompt_s_tokens():
    [start, *_] = read_events(stream().feed([TextDelta("a")]))
    assert start["message"] == {
        **{"id": "msg_7", "type": "message", "role": "assistant", "model": "composer-2.5", "content": []},
        **{"stop_reason": None, "stop_sequence": None, "usage": start["message"]["usage"]},
    }
    usage = start["message"]["usage"]
    assert [usage[name] for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")] == [60, 10, 30, 0]
    assert (usage["estimated"], usage["output_tokens_details"], usage["service_tier"]) == (False, {"thinking_tokens": 0}, "standard")


def test_text():
    assert told(TextDelta("Hel"), TextDelta("lo"), Finish())[:4] == [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
    ]


def test_the_end():
    delta, stop = told(TextDelta("a"), Finish())[-2:]
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"]["output_tokens"] == 20
    assert stop == {"type": "message_stop"}


def test_a_call_is_a_block_that_its_end_closes():
    found = told(TextDelta("Look."), *CALL, Finish(FinishReason.TOOL_CALLS))
    assert found[2:-2] == [
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "call_1", "name": "read", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"path":'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"a"}'}},
        {"type": "content_block_stop", "index": 1},
    ]
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_the_order_of_the_blocks_is_that_of_the_events():
    said = blocks(ThinkingDelta("hm"), TextDelta("a"), *CALL, TextDelta("b"), RefusalDelta("c"), ThinkingDelta("so"), Finish())
    assert said == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "call_1", "name": "read", "input": {"path": "a"}},
        {"type": "text", "text": "bc"},
        {"type": "thinking", "thinking": "so", "signature": ""},
    ]


def test_signed_reasoning_keeps_its_signature():
    said = blocks(ThinkingDelta("hm"), ThinkingEnd("c2lnbmVk"), ThinkingEnd(redacted="cmVk"), ThinkingEnd("YWxvbmU="), TextDelta("a"), Finish())
    assert said == [
        {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "thinking", "thinking": "", "signature": "YWxvbmU="},
        {"type": "text", "text": "a"},
    ]


def test_an_unsigned_block_ends_and_another_may_begin():
    assert [block["thinking"] for block in blocks(ThinkingDelta("a"), ThinkingEnd(), ThinkingEnd(), ThinkingDelta("b"), Finish())] == ["a", "b"]


def test_reasoning_that_nobody_asked_for_is_not_shown():
    events: list[Event] = [ThinkingDelta("hm"), ThinkingEnd("s"), ThinkingEnd(redacted="x"), TextDelta("a"), Finish()]
    assert blocks(*events, head=SILENT) == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("finish", "reason", "sequence"),
    [
        (Finish(FinishReason.STOP, "stop text", "END"), "stop_sequence", "END"),
        (Finish(FinishReason.LENGTH), "max_tokens", None),
        (Finish(FinishReason.LENGTH, "model_context_window_exceeded"), "model_context_window_exceeded", None),
        (Finish(FinishReason.STOP, "pause_turn"), "pause_turn", None),
        (Finish(FinishReason.STOP, "end_turn"), "end_turn", None),
        (Finish(FinishReason.CONTENT_FILTER), "refusal", None),
        (Finish(FinishReason.TOOL_CALLS, "stop text", "END"), "tool_use", None),
    ],
)
def test_why_it_ended(finish, reason, sequence):
    assert told(TextDelta("a"), finish)[-2]["delta"] == {"stop_reason": reason, "stop_sequence": sequence}
    body = whole(TextDelta("a"), finish)
    assert (body["stop_reason"], body["stop_sequence"]) == (reason, sequence)


def test_an_answer_of_nothing_has_no_block():
    assert blocks(Finish()) == []


def test_silence_is_a_ping_and_notices_are_for_the_log():
    emitter = stream()
    assert emitter.feed([]) == PING
    emitter.feed([TextDelta("a")])
    assert emitter.feed([Notice("x")]) == b""
    assert emitter.notices == [Notice("x")]
    assert emitter.feed([]) == PING


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
def test_a_call_that_a_limit_cut_is_never_complete(reason):
    events = [TextDelta("a"), *CALL[:2], Finish(reason)]
    reader = MessagesReader(stream().feed(events))
    assert reader.stopped
    assert reader.closed == {0}
    assert blocks(*events) == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.TOOL_CALLS])
def test_a_proper_end_inside_a_call_is_none(reason):
    events = [*CALL[:2], Finish(reason)]
    reader = MessagesReader(stream().feed(events))
    assert (reader.stopped, reader.closed) == (False, set())
    assert reader.error is not None
    assert reader.error["code"] == "tool_call_cut"
    with pytest.raises(StreamCut):
        whole(*events)


@pytest.mark.parametrize("arguments", ["", "[1]", '{"a":', '{"a":1}}', '"text"'])
def test_a_call_that_nobody_could_run_fails_the_answer(arguments):
    events: list[Event] = [
        ToolCallStart(0, "c", "read"),
        *([ToolCallDelta(0, arguments)] if arguments else []),
        ToolCallEnd(0),
        TextDelta("x"),
        Finish(),
    ]
    emitter = stream()
    reader = MessagesReader(emitter.feed(events))
    assert (reader.stopped, reader.closed) == (False, set())
    assert reader.error is not None
    assert reader.error["code"] == "invalid_arguments"
    assert emitter.error is not None
    assert emitter.feed([TextDelta("more")]) == b""
    with pytest.raises(PenstockError, match="not a JSON object"):
        whole(*events)


def test_a_failed_stream_ends_with_one_error():
    emitter = stream()
    emitter.feed([TextDelta("a")])
    assert read_events(emitter.feed([Failed(UpstreamUnavailable("Gone."))])) == [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Gone.", "code": "upstream_unavailable"}}
    ]
    assert emitter.feed([]) == b""
    assert emitter.error is not None


def test_what_it_cost_stands_beside_the_usage():
    body = whole(TextDelta("a"), Finish(), head=AnswerHead("m", 1, "x", price=Price(1, 2)))
    assert body["usage"]["cost"]["total_usd"] == pytest.approx(0.00014)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RequestError("x"), "invalid_request_error"),
        (ContextLengthExceeded("x"), "invalid_request_error"),
        (BodyTooLarge("x"), "request_too_large"),
        (ModelNotFound("x"), "not_found_error"),
        (AuthenticationError("x"), "authentication_error"),
        (PaymentRequired("x"), "billing_error"),
        (PermissionDenied("x"), "permission_error"),
        (QuotaExceeded("x"), "rate_limit_error"),
        (Draining("x"), "overloaded_error"),
        (UpstreamUnavailable("x"), "overloaded_error"),
        (UpstreamTimeout("x"), "timeout_error"),
        (UpstreamUnusable("x"), "api_error"),
        (PenstockError("x"), "api_error"),
    ],
)
def test_errors_have_the_api_s_words_and_our_code(error, word):
    assert error_type(error) == word
    assert error_body(error, "req_1") == {"type": "error", "error": {"type": word, "message": "x", "code": error.code}, "request_id": "req_1"}


texts = st.text(min_size=1, max_size=6)
calls = st.integers(0, 3).map(lambda n: [ToolCallStart(n, f"c{n}", "t"), ToolCallDelta(n, '{"a":'), ToolCallDelta(n, f"{n}}}"), ToolCallEnd(n)])
pieces = st.one_of(
    texts.map(lambda text: [TextDelta(text)]),
    texts.map(lambda text: [ThinkingDelta(text)]),
    texts.map(lambda text: [RefusalDelta(text)]),
    texts.map(lambda text: [ThinkingEnd(text)]),
    texts.map(lambda text: [ThinkingEnd(redacted=text)]),
    calls,
)


@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_however_the_events_are_cut_the_stream_adds_up_to_the_whole(said, edges, shown):
    events = [*(event for piece in said for event in piece), Finish(FinishReason.TOOL_CALLS)]
    head = HEAD if shown else SILENT
    emitter = stream(head)
    places = [0, *sorted({edge for edge in edges if 0 < edge < len(events)}), len(events)]
    data = b"".join(emitter.feed(events[start:stop]) for start, stop in itertools.pairwise(places))
    assert data == stream(head).feed(events)
    assert emitter.chunks == len(read_events(data))
    reader = MessagesReader(data)
    assert reader.stopped
    assert reader.closed == set(range(len(reader.message["content"])))
    body = whole(*events, head=head)
    assert body == reader.message


def test_reasoning_may_be_signed_without_its_text():
    events: list[Event] = [ThinkingDelta("hm"), ThinkingEnd("c2lnbmVk"), ThinkingDelta("so"), TextDelta("a"), Finish()]
    emitter = MessagesStream(HEAD, lambda: USAGE, omit_thinking=True)
    reader = MessagesReader(emitter.feed(events))
    fold = Whole()
    fold.add(events)
    assert reader.message == json.loads(WITHOUT_THOUGHTS.whole(HEAD, fold, USAGE))
    assert reader.complete == [{"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}, {"type": "text", "text": "a"}]


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_a_code_of_the_api_s_own_stands_in_the_details_too(row):
    said = error_body(UnsupportedParameter("x", code=row.code, param=row.name))["error"]
    assert (said["details"], said["code"], said["param"]) == ({"error_code": row.code}, row.code, row.name)
