r"""The answer of an upstream that speaks Anthropic's Messages: bytes to events.

Theory of operation: the body is an event stream, or a whole message or an error, since some servers answer so although a stream was asked for
(`AnswerBody`). An answer is a row of blocks, which `pipeline.wire.anthropic_blocks` reads.

The answer ends with `message_stop`, or with the body if a stop reason came before. Only then are the usage and `Finish` sent. A body that ends with
neither was cut, and so was one that ends without a reason while a call is not known to be whole: what nobody said was finished is never given out as
a call to run. An answer that was cut short, by its limit or as a refusal, may hold half a call: that has no end. What the prompt has cost is told at
the beginning; it goes out with the first event that says something, so that an answer that fails before that is still no answer.

An event of a type that is not known here has no effect, whatever is in it, as the API asks of its clients; neither has `ping`, and both are no sign
that the model is at work (`data_events`).

Invariants: nothing raises; the same bytes give the same events however they are cut; after `Finish` or `Failed` nothing more comes. What is passed
over or mended is named by a Notice, once each. What is held is at most one unfinished event or one whole message, of `MAX_EVENT_BYTES`, and what the
blocks hold.

Left alone: text that waits behind a call when the stream fails, as the call itself; who ran a tool (`caller`).
"""

from collections.abc import Callable, Collection

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut
from pipeline.events import Finish, FinishReason, Notice, RefusalDelta, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.anthropic_blocks import AnswerBlocks
from pipeline.wire.anthropic_events import BlockDelta, MessagesEvent, UsageCounts, decode_event
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.openai_answer import DONE, AnswerReader
from pipeline.wire.openai_chunks import mended, text_of
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.sse import MAX_EVENT_BYTES, ServerSentEvent

OWN_HEADERS = {"anthropic-version": "2023-06-01"}
"""What a request says beside the headers of any request for a stream: the one version of the API that there is."""

STOP_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""An upstream's word -> what it means; any other word is `stop` with a Notice where no call can be half."""

_BLOCKS, _WHOLE = ("content_block_start", "content_block_delta", "content_block_stop"), ("message_start", "message_delta", "message_stop")
EVENTS = frozenset({*_BLOCKS, *_WHOLE, "error", "message"})
"""The types of events that mean something; `message` is also the name of an event that says no type."""

CUTTING = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
"""The reasons that cut an answer short, perhaps inside a call."""


class AnthropicDecoder(AnswerReader):
    r"""Feed a body, get events; splits may fall anywhere.

    >>> decoder = AnthropicDecoder(new_id=lambda: "toolu_1")
    >>> decoder.feed(b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}\n\n')
    [TextDelta(text='Hi')]
    >>> decoder.feed(b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}\n\ndata: {"type": "message_stop"}\n\n')
    [Finish(reason=<FinishReason.STOP: 'stop'>, raw='end_turn')]
    """

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        tools: Collection[str] = (),
        taken_ids: Collection[str] = (),
        errors: OpenAIErrors | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """`tools` are the names that the client offers, `taken_ids` those of the calls in the history."""
        super().__init__(errors, max_event_bytes)
        self._blocks = AnswerBlocks(new_id=new_id, tools=tools, taken_ids=taken_ids)
        self._counts = UsageCounts()
        self._stop: BlockDelta | MessagesEvent | None = None  # what holds the stop reason

    @property
    def awaits_end(self) -> bool:
        """Whether the answer has said why it ended, so that only its end mark may follow."""
        return self._stop is not None and not self.is_over

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body; `fault` is what broke it off, None for a proper end. An answer that was complete before is none the worse for it."""
        events = self._events = []
        if self.is_over:
            return events
        whole = self._body.whole
        if whole is not None:
            self._read_whole(whole, fault)
        for event in self._body.end():
            if decode_event(event.data) is not None:
                self._dispatch(event)
        if not self.is_over:
            if self._stop is not None:
                self._finish()
            else:
                self._fail(fault or StreamCut("The upstream's stream ended before its end mark."))
        return events

    def _dispatch(self, sent: ServerSentEvent) -> None:
        data = sent.data.strip()
        if self.is_over or not data:
            return
        if data == DONE:
            self.data_events += 1
            self._finish()
            return
        if sent.event == "error":
            self._fail(self._errors.from_stream(decode_json(data)))
            return
        event = self._decoded(data)
        kind = as_object(decode_json(data)).get("type") if event is None else event.type
        name = kind if isinstance(kind, str) and kind else sent.event
        if name not in EVENTS:
            return
        self.data_events += 1
        if event is None:
            self._fail(ProtocolViolation("The upstream sent an event that is no part of an answer."))
        else:
            self._read(event, name, data)

    def _decoded(self, data: bytes) -> MessagesEvent | None:
        event = decode_event(data)
        if event is None:
            event = decode_event(mended(data))
            if event is not None:
                why = "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD"
                self._blocks.note("mended_text", why, self._events)
        return event

    def _read(self, event: MessagesEvent, name: str, data: bytes) -> None:
        if name == "content_block_delta":
            if event.delta is not None:
                self._blocks.add(event.delta, _index(event.index), self._events)
        elif name == "content_block_start":
            self._blocks.begin(as_object(event.content_block), _index(event.index), self._events)
        elif name == "content_block_stop":
            self._blocks.end(_index(event.index), self._events)
        elif name == "message_start":
            self._counts.add(as_object(event.message).get("usage"))
            self._blocks.asked = self._counts.asked()
        elif name == "message_delta":
            self._counts.add(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self._stop = event.delta
        elif name == "message_stop":
            self._finish()
        elif event.error or name == "error":
            self._fail(self._errors.from_stream(decode_json(data)))
        elif name == "message" and event.content is not None:
            self._read_message(event)

    def _read_whole(self, data: bytes, fault: PenstockError | None) -> None:
        event = None if data.startswith(b"[") else self._decoded(data)
        if data.startswith(b"[") or (event is not None and (event.type == "error" or event.error)):
            value = decode_json(data) or decode_json(mended(data))
            self._fail(fault or self._errors.from_stream(value))
        elif event is None:
            self._fail(fault or ProtocolViolation("The upstream's answer is neither an event stream nor a whole message."))
        elif not isinstance(event.content, list):
            self._fail(ProtocolViolation("The upstream's answer holds no content."))
        else:
            self._read_message(event)

    def _read_message(self, event: MessagesEvent) -> None:
        """A whole message: each block at once, and the end."""
        self._counts.add(event.usage)
        for block in as_list(event.content):
            self._blocks.begin(as_object(block), None, self._events)
        if event.stop_reason:
            self._stop = event
        self._finish()

    def _finish(self) -> None:
        stop, blocks, events = self._stop, self._blocks, self._events
        raw = text_of(stop.stop_reason) if stop is not None else ""
        blocks.end_all(events)
        self._has_spoken = self._has_spoken or any(not isinstance(event, Notice) for event in events)
        if not raw and not self._has_spoken:
            self._fail(StreamCut("The upstream's stream ended before it began."))
            return
        reason = STOP_REASONS.get(raw)
        if reason is None and not blocks.calls.are_whole:
            self._fail(StreamCut("The upstream's stream ended inside a tool call."))
            return
        if stop is not None and reason is FinishReason.CONTENT_FILTER and not self._has_spoken:
            self._refuse(as_object(stop.stop_details))
        blocks.calls.end(events, cut=reason in CUTTING)
        self._note_reason(raw, reason)
        if reason is None or raw in ("end_turn", "tool_use"):
            reason = FinishReason.TOOL_CALLS if blocks.calls.count else FinishReason.STOP
        self._usage = self._counts.report()
        self._report_usage()
        at = stop.stop_sequence if stop is not None and raw == "stop_sequence" else None
        events.append(Finish(reason, raw or None, at if isinstance(at, str) else None))
        self.is_over = True

    def _refuse(self, details: dict[str, Json]) -> None:
        """A refusal of which nothing else tells."""
        explanation = details.get("explanation")
        if isinstance(explanation, str) and explanation:
            self._blocks.speak(RefusalDelta(explanation), self._events)

    def _note_reason(self, raw: str, reason: FinishReason | None) -> None:
        note, events = self._blocks.note, self._events
        if not raw:
            note("no_finish_reason", "the upstream ended its answer without saying why", events)
        elif reason is None:
            note("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here", events)
        elif raw == "pause_turn":
            note("turn_paused", "the upstream paused among its own tools; it goes on when it is sent its answer", events)


def _index(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
