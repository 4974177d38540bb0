r"""The answer of a Responses upstream: bytes to events.

Theory of operation: the body is an event stream, or one whole response although a stream was asked for (`AnswerBody`). Each event is read leniently;
what its type means is a table (`openai_responses_events.EVENTS`), and unknown types have no effect. Texts and calls go to `ResponseItems`, which says
each of them once. The answer ends with `response.completed`, `response.incomplete` or `response.failed`; the response in there may hold what no event
has told, and the usage. A whole response is read as such an end that comes first.

A body that ends otherwise, `[DONE]` or not, was cut, and so was an answer that is completed while a call is not: what nobody said was finished is
never given out as a call to run. An answer that is incomplete ends with its reason, and a call that it may have broken off has no end.

Invariants: nothing raises; the same bytes give the same events however they are cut; after `Finish` or `Failed` nothing more comes. What is passed
over or mended is named by a Notice, once each. What is held is at most one unfinished event or one whole response, of `MAX_EVENT_BYTES`, what a call
that is still open keeps back, and the texts that were told, to know them when they are told again.

Left alone: text that waits behind a call when the stream fails, as the call itself; progress of tools that the upstream runs.
"""

from collections.abc import Callable, Collection

import msgspec

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError
from pipeline.events import Finish, FinishReason, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.json_values import as_object, decode_json
from pipeline.wire.openai_answer import DONE, AnswerReader
from pipeline.wire.openai_chunks import mended, text_of
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.openai_responses_events import EVENTS, PARTS, Action, Channel, ResponsesEvent, decode_event, read_response_usage
from pipeline.wire.openai_responses_items import ResponseItems
from pipeline.wire.sse import MAX_EVENT_BYTES, ServerSentEvent

INCOMPLETE_REASONS = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Why a response is incomplete -> what it means; any other word is `length` with a Notice."""

_STATUSES = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed", "response.cancelled": "cancelled"}
_FINAL = frozenset(_STATUSES.values())
_ANNOTATION = "response.output_text.annotation.added"


class OpenAIResponsesDecoder(AnswerReader):
    r"""Feed a body, get events; splits may fall anywhere.

    >>> decoder = OpenAIResponsesDecoder(new_id=lambda: "call_1")
    >>> decoder.feed(b'data: {"type": "response.output_text.delta", "delta": "Hi"}\n\ndata: {"type": "response.completed"}\n\n')
    [TextDelta(text='Hi'), Finish(reason=<FinishReason.STOP: 'stop'>, raw='completed')]
    """

    awaits_end = False
    """What ends the answer is also the last of it."""

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        taken_ids: Collection[str] = (),
        errors: OpenAIErrors | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """`new_id` makes ids for calls that come without one; `taken_ids` are those of the calls in the history."""
        super().__init__(errors, max_event_bytes)
        self._items = ResponseItems(new_id=new_id, taken_ids=taken_ids)

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body; `fault` is what broke it off, None for a proper end. An answer that was complete before is none the worse for it."""
        events = self._events = []
        if self.is_over:
            return events
        whole = self._body.whole
        if whole is not None:
            self._read_whole(whole, fault)
        for event in self._body.end():
            if decode_json(event.data) is not None:
                self._dispatch(event)
        self._fail(fault or StreamCut("The upstream's stream ended before its end mark."))
        return events

    def _dispatch(self, sent: ServerSentEvent) -> None:
        data = sent.data.strip()
        if self.is_over or not data:
            return
        self.data_events += 1
        if data == DONE:
            return
        if sent.event == "error":
            self._fail(self._errors.from_stream(decode_json(data)))
            return
        event = self._decoded(data)
        if event is None:
            self._fail(ProtocolViolation("The upstream sent an event that is no part of an answer."))
            return
        name = event.type if isinstance(event.type, str) and event.type else sent.event
        meaning = EVENTS.get(name)
        if meaning is None:
            self._read_untyped(event, name, data)
            return
        action, channel = meaning
        if channel is not None:
            self._read_channel(action, channel, event)
        elif action is Action.END:
            self._end(self._response(event), _STATUSES.get(name, "completed"), data)
        elif action is Action.ERROR:
            self._fail(self._errors.from_stream(decode_json(data)))
        else:
            self._read_item(action, event, name)
        self._tell_fault()

    def _tell_fault(self) -> bool:
        """Whether the items cannot be what the upstream meant, which ends the answer."""
        if self._items.fault is not None:
            self._fail(self._items.fault)
        return self._items.fault is not None

    def _decoded(self, data: bytes) -> ResponsesEvent | None:
        event = decode_event(data)
        if event is None:
            event = decode_event(mended(data))
            if event is not None:
                self._note_mended()
        return event

    def _response(self, event: ResponsesEvent) -> dict[str, Json]:
        data = bytes(event.response)
        value = decode_json(data)
        if value is None and data != b"null":
            value = decode_json(mended(data))
            self._note_mended()
        return as_object(value)

    def _read_untyped(self, event: ResponsesEvent, name: str, data: bytes) -> None:
        """An event of no known type: an error all the same, or a whole response in one event; anything else has no effect."""
        if event.error or event.object == "error":
            self._fail(self._errors.from_stream(decode_json(data)))
        elif event.object == "response" and (response := as_object(decode_json(data))).get("status") in _FINAL:
            self._end(response, "", data)

    def _read_channel(self, action: Action, channel: Channel, event: ResponsesEvent) -> None:
        item_id, index = text_of(event.item_id), _index(event.output_index)
        if action is Action.DELTA:
            if isinstance(event.delta, str) and event.delta:
                self._items.delta(channel, item_id, index, event.part_index, event.delta, self._events)
            return
        full = event.said(channel)
        full = full if isinstance(full, str) else _written(full) if channel is Channel.ARGUMENTS else ""
        self._items.part_done(channel, item_id, index, event.part_index, full, self._events, name=text_of(event.name))

    def _read_item(self, action: Action, event: ResponsesEvent, name: str) -> None:
        index, events = _index(event.output_index), self._events
        if action is Action.ADD:
            self._items.add(event.item, index, events)
        elif action is Action.ITEM_DONE:
            self._items.item_done(event.item, index, events)
        elif action is Action.PART_DONE:
            part = as_object(event.part)
            channel, field = PARTS.get(text_of(part.get("type")), (None, ""))
            if channel is not None and isinstance(full := part.get(field), str):
                self._items.part_done(channel, text_of(event.item_id), index, event.part_index, full, events)
        elif action is Action.TELL:
            if name == _ANNOTATION:
                self._items.note("annotation_dropped", "the upstream named sources of its text; they were left out", events)
            else:
                self._items.note("unreadable_content", "the upstream sent content that is no text; it was left out", events)

    def _read_whole(self, data: bytes, fault: PenstockError | None) -> None:
        value = decode_json(data)
        if value is None:
            value = decode_json(mended(data))
            if value is not None:
                self._note_mended()
        fields = as_object(value)
        if value is None:
            self._fail(fault or ProtocolViolation("The upstream's answer is neither an event stream nor a whole response."))
        elif isinstance(value, list) or fields.get("object") == "error" or (fields.get("error") and "output" not in fields):
            self._fail(self._errors.from_stream(value))
        elif "output" not in fields and "status" not in fields:
            self._fail(ProtocolViolation("The upstream's answer holds no output."))
        else:
            self._end(fields, "", data)

    def _end(self, response: dict[str, Json], status: str, data: bytes) -> None:
        """The end of the answer, with a response that may hold more than was told of it; its own status counts, where it has one that ends it."""
        events, items = self._events, self._items
        own = text_of(response.get("status"))
        status = own if own in ("incomplete", "failed", "cancelled") else status or own or "completed"
        self._usage = read_response_usage(response.get("usage")) or self._usage
        if status == "failed":
            self._fail(self._errors.from_stream(response.get("error") or decode_json(data)))
            return
        if status == "cancelled":
            self._fail(UpstreamError("The upstream broke the answer off."))
            return
        if status not in ("completed", "incomplete"):
            self._fail(ProtocolViolation("The upstream's answer is not finished."))
            return
        is_cut = status == "incomplete"
        items.final(response.get("output"), events, cut=is_cut)
        if self._tell_fault():
            return
        items.settle_offers(events)
        if status == "completed" and not items.calls.are_whole:
            self._fail(StreamCut("The upstream's stream ended inside a tool call."))
            return
        items.calls.end(events, cut=is_cut)
        reason, raw = (FinishReason.STOP, status) if status == "completed" else self._why_incomplete(response)
        if reason is FinishReason.STOP and items.calls.count:
            reason = FinishReason.TOOL_CALLS
        self._report_usage()
        events.append(Finish(reason, raw))
        self.is_over = True

    def _why_incomplete(self, response: dict[str, Json]) -> tuple[FinishReason, str]:
        raw = text_of(as_object(response.get("incomplete_details")).get("reason"))
        if raw not in INCOMPLETE_REASONS:
            self._items.note("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here", self._events)
        return INCOMPLETE_REASONS.get(raw, FinishReason.LENGTH), raw or "incomplete"

    def _note_mended(self) -> None:
        self._items.note("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD", self._events)


def _index(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _written(value: Json) -> str:
    """Arguments as JSON text, where a server sends the object itself."""
    return "" if value is None else msgspec.json.encode(value).decode()
