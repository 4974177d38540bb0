r"""The answer of a website's chat endpoint: the "UI message stream" of the AI SDK (versions 5 to 7), bytes to events.

Theory of operation: the body is an event stream; the data of each event are one JSON object with a `type` (`Part`), and `[DONE]` may be its last
event. Text and reasoning come in deltas of blocks (`ui_message_blocks`). Older spellings are read too (`TEXT`, `THOUGHT`, `CALL_BEGINS` …). A tool
call waits for the end of its step, because only then it is known whose it is: if its result came, or the website says that a provider runs it, the
website ran a tool of its own, which a Notice names; any other is a `NativeToolCall`, and whether its tool is one of the client's is for the machine.
A call that the website does not know or could not check (`tool-input-error`) is one of those. The website's ids of calls may be any text, and the
same ones in each answer, so that they stay here.

What ends an answer properly: `finish`, which is the last that such a stream says of itself, and counts at once, since a server may save the
conversation before it closes; or `[DONE]` alone, for servers that are told to leave `finish` out: they write it when their stream came to its end,
and a broken one does not get there. An answer that has neither was cut. `error`, `abort` and the finish reason `error` are faults, and so is a page
of HTML. The reason `tool-calls` does not mean that the client is to do something: it is said of the website's own tools too.

Invariants: nothing raises; the same bytes give the same events however they are cut; after `Finish` or `Failed` nothing more comes. What is passed
over is named by a Notice, once each, but for parts that only frame others and those of unknown types. What is held is at most one unfinished event
or a JSON body, and the calls of one step, each of `MAX_EVENT_BYTES` together. Left alone: tool calls that stand in the text.

The parts and their fields are those of the AI SDK's public documentation, "Stream Protocols", and of its published types.
"""

import msgspec

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError
from pipeline.events import Finish, FinishReason, NativeToolCall, Notice, TextDelta, ThinkingDelta, UsageReport
from pipeline.events import UpstreamEvent as Event
from pipeline.request import Json
from pipeline.wire.json_values import as_object, decode_json
from pipeline.wire.openai_answer import DONE, AnswerReader
from pipeline.wire.openai_chunks import mended, text_of
from pipeline.wire.sse import MAX_EVENT_BYTES, ServerSentEvent
from pipeline.wire.ui_message_blocks import BEGINNINGS, Blocks
from pipeline.wire.ui_message_usage import read_ui_usage
from pipeline.wire.website_errors import WebsiteErrors, is_page

TEXT = frozenset({"text-delta", "text"})
THOUGHT = frozenset({"reasoning-delta", "reasoning"})
CALL_BEGINS = frozenset({"tool-input-start", "tool-call-streaming-start"})
CALL_GROWS = frozenset({"tool-input-delta", "tool-call-delta"})
CALL_IS_WHOLE = frozenset({"tool-input-available", "tool-call"})
CALL_IS_UNKNOWN = frozenset({"tool-input-error"})
CALL_WAS_RUN = frozenset({"tool-output-available", "tool-output-error", "tool-output-denied", "tool-approval-request", "tool-result"})
CALL_PARTS = CALL_BEGINS | CALL_GROWS | CALL_IS_WHOLE | CALL_IS_UNKNOWN | CALL_WAS_RUN
STEP_ENDS = frozenset({"start-step", "finish-step"})
"""Types of parts, each spelling that there was; a step that begins ends the one before it too."""

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content-filter": FinishReason.CONTENT_FILTER,
    "tool-calls": FinishReason.STOP,  # a call that leaves makes it `tool_calls`
    "other": FinishReason.STOP,
    "unknown": FinishReason.STOP,
}
"""The website's word -> what it means; any other is `stop` with a Notice."""

SOURCES = frozenset({"source-url", "source-document", "source"})
FILES = frozenset({"file", "reasoning-file"})
DATA = "data-"
"""What has no place in an answer of the APIs: two rows of types, and how the types begin that a website makes up for its own pages."""


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One event of the stream; which of the fields it has depends on its `type`. `input` and `args` stay as they were written."""

    type: Json = None
    id: Json = None
    delta: Json = None
    text_delta: Json = None
    text: Json = None
    tool_call_id: Json = None
    tool_name: Json = None
    input: msgspec.Raw = msgspec.Raw()
    args: msgspec.Raw = msgspec.Raw()
    input_text_delta: Json = None
    args_text_delta: Json = None
    provider_executed: Json = None
    error_text: Json = None
    error: Json = None
    reason: Json = None
    finish_reason: Json = None
    message_metadata: Json = None
    usage: Json = None
    total_usage: Json = None


_PARTS = msgspec.json.Decoder(Part)


class _Call:
    """What is known of one call of the step."""

    def __init__(self) -> None:
        self.name = ""
        self.pieces: list[str] = []
        self.arguments: str | None = None
        self.is_unknown = False  # to the website
        self.is_its_own = False


class UiMessageDecoder(AnswerReader):
    r"""Feed a body, get events; splits may fall anywhere.

    >>> decoder = UiMessageDecoder()
    >>> decoder.feed(b'data: {"type":"text-delta","id":"1","delta":"Hi"}\n\ndata: {"type":"fin'), decoder.feed(b'ish"}\n\ndata: [DONE]\n\n')
    ([TextDelta(text='Hi')], [Finish(reason=<FinishReason.STOP: 'stop'>, raw=None)])
    >>> UiMessageDecoder().feed(b"<!DOCTYPE html>")[0].error.code
    'upstream_refused'
    """

    data_events: int

    awaits_end = False
    """What ends an answer, `finish`, does so at once."""

    def __init__(self, *, errors: WebsiteErrors | None = None, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """`errors` reads those of the website; `max_event_bytes` bounds one event, and the calls of one step."""
        self._told = errors or WebsiteErrors()
        super().__init__(self._told, max_event_bytes)
        self.is_marked = False
        """Whether `[DONE]` has come, behind which there is only the end of the body."""
        self._max_held_bytes = max_event_bytes
        self._has_begun = False
        self._calls: dict[str, _Call] = {}
        self._blocks = Blocks()
        self._held_bytes = 0
        self._noted: set[str] = set()

    def feed(self, data: bytes) -> list[Event]:
        """Consume the next read and return its events; none after the end."""
        if not self._has_begun and data.strip(b"\xef\xbb\xbf \t\r\n"):
            self._has_begun = True
            if is_page({}, data):
                self._events = []
                self._fail(self._told.refused())
                return self._events
        return super().feed(data)

    def end(self, fault: PenstockError | None = None) -> list[Event]:
        """End of the body; `fault` is what broke it off, None for a proper end."""
        events = self._events = []
        if self.is_over:
            return events
        whole = self._body.whole
        if whole is not None:
            self._fail(fault or self._from_whole(whole))
        for event in self._body.end():
            if event.data.strip() == DONE or decode_part(event.data) is not None:
                self._dispatch(event)
        if not self.is_over:
            self._fail(fault or StreamCut("The upstream's stream ended before its end mark."))
        return events

    def _from_whole(self, whole: bytes) -> PenstockError:
        """What a JSON body says; it is no answer, since those are streams."""
        value = decode_json(whole)
        fields = as_object(value)
        if any(fields.get(name) for name in ("error", "message", "errors", "detail")):
            return self._told.from_stream(value)
        return ProtocolViolation("The upstream's answer is JSON and not a stream of events.")

    def _dispatch(self, sent: ServerSentEvent) -> None:
        data = sent.data.strip()
        self.is_marked = self.is_marked or data == DONE
        if self.is_over or not data:
            return
        self.data_events += 1
        if data == DONE:
            self._marked()
            return
        part = decode_part(data)
        if part is None:
            part = decode_part(mended(data))
            if part is None:
                self._fail(ProtocolViolation("The upstream sent an event that is no part of a UI message stream."))
                return
            self._note("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD")
        self._read(part, len(data))

    def _read(self, part: Part, size: int) -> None:
        kind = part.type if isinstance(part.type, str) else ""
        if kind in TEXT or kind in THOUGHT:
            text = next((text for text in (part.delta, part.text_delta, part.text) if isinstance(text, str)), "")
            if text:
                text = self._blocks.said(text, part.id, is_text=kind in TEXT)
                self._events.append(TextDelta(text) if kind in TEXT else ThinkingDelta(text))
            return
        if part.message_metadata is not None:
            self._count(as_object(part.message_metadata))
        if kind in CALL_PARTS:
            self._read_call(kind, part, size)
        elif kind in STEP_ENDS:
            self._blocks.next_step()
            self._release()
        elif kind in BEGINNINGS:
            self._blocks.begin(part.id, is_text=BEGINNINGS[kind])
        elif kind == "finish":
            self._count({"usage": part.usage, "totalUsage": part.total_usage})
            self._finish(part.finish_reason if isinstance(part.finish_reason, str) and part.finish_reason else None)
        elif kind == "error":
            self._fail(self._told.from_part(part.error if part.error_text is None else part.error_text))
        elif kind == "abort":
            self._fail(self._told.broken_off(part.reason))
        elif kind in SOURCES:
            self._note("annotation_dropped", "the website named sources of its text; they were left out")
        elif kind in FILES:
            self._note("unreadable_content", "the website sent a file; it was left out")
        elif kind.startswith(DATA):
            self._note("output_item_dropped", "the website sent data for a page of its own; they were left out")

    def _read_call(self, kind: str, part: Part, size: int) -> None:
        """A part about a call."""
        name, call = text_of(part.tool_name), self._call(text_of(part.tool_call_id))
        call.name = name or call.name
        call.is_its_own = call.is_its_own or part.provider_executed is True
        if kind in CALL_WAS_RUN:
            # the website gives a call that it does not know an error for a result
            call.is_its_own = call.is_its_own or not call.is_unknown
        elif call.arguments is not None and kind not in CALL_BEGINS:
            self._note("late_arguments", "the website told the arguments of a native call a second time; what it told first stays")
        elif kind in CALL_GROWS:
            call.pieces.append(next((text for text in (part.input_text_delta, part.args_text_delta) if isinstance(text, str)), ""))
        elif kind in CALL_IS_WHOLE or kind in CALL_IS_UNKNOWN:
            call.is_unknown = kind in CALL_IS_UNKNOWN
            call.arguments = _written(part.input) or _written(part.args) or "".join(call.pieces)
            call.pieces.clear()
        self._held_bytes += size
        if self._held_bytes > self._max_held_bytes:
            self._fail(ProtocolViolation(f"The upstream sent tool calls of more than {self._max_held_bytes} bytes.", code="tool_call_too_large"))

    def _call(self, call_id: str) -> _Call:
        """The call of an id; without ids, one that is whole is followed by another."""
        call = self._calls.get(call_id)
        if call is not None and not call_id and call.arguments is not None:
            self._calls[f"\0{len(self._calls)}"] = self._calls.pop(call_id)
            call = None
        if call is None:
            call = self._calls[call_id] = _Call()
        return call

    def _release(self) -> None:
        """The step is over: its calls leave, in the order in which they began."""
        for call in self._calls.values():
            if call.is_its_own:
                self._note("output_item_dropped", "the website ran a tool of its own; what it was called with, and what it gave, was left out")
            elif not call.name:
                self._note("native_call_unreadable", "a native call without a name was left out")
            elif call.arguments is None:
                self._note("call_cut", "the website never said that a native call is whole; it was left out")
            else:
                self._events.append(NativeToolCall("", call.name, call.arguments))
        self._calls.clear()
        self._held_bytes = 0

    def _finish(self, raw: str | None) -> None:
        if raw == "error":
            self._fail(UpstreamError("The upstream broke the answer off with an error."))
            return
        reason = FinishReason.STOP if raw is None else FINISH_REASONS.get(raw)
        if reason is None:
            self._note("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here")
        self._release()
        self._report_usage()
        self._events.append(Finish(reason or FinishReason.STOP, raw))
        self.is_over = True

    def _marked(self) -> None:
        """`[DONE]` without a `finish`."""
        if not (self._has_spoken or any(not isinstance(event, Notice) for event in self._events) or self._calls):
            self._fail(StreamCut("The upstream's stream ended before it began."))
            return
        self._note("no_finish_reason", "the upstream ended its answer without saying why")
        self._finish(None)

    def _count(self, fields: dict[str, Json]) -> None:
        """Usage, the last one that was told."""
        usage: UsageReport | None = read_ui_usage(fields.get("totalUsage")) or read_ui_usage(fields.get("usage"))
        self._usage = usage or self._usage

    def _note(self, code: str, detail: str) -> None:
        if detail not in self._noted:
            self._noted.add(detail)
            self._events.append(Notice(code, detail))


def decode_part(data: bytes) -> Part | None:
    """The part in these bytes, None where there is none."""
    try:
        return _PARTS.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _written(raw: msgspec.Raw) -> str:
    """Arguments as JSON text; some servers put that into a string. Empty where there are none."""
    written = bytes(raw)
    if written.startswith(b'"'):
        text = decode_json(written)
        return text if isinstance(text, str) else ""
    return "" if written == b"null" else written.decode(errors="replace")
