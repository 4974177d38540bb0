"""Composer's answer: Connect envelopes of protobuf to events, and the same messages written for the demo and for fake servers.

Theory of operation: reads of any length come in; the events that they complete go out, in order. Each envelope is one upstream delta and gives
one event of its kind: text, thinking, or a native call; when one envelope holds thinking and text, thinking comes first. The end-stream envelope
gives `Finish` or, when it tells an error, `Failed`; a body that ends without one, or bytes that are no such stream, give `Failed` too. After
either, `finished` is true and nothing more comes.

A text or thinking envelope of up to some 120 bytes, which is nearly every one, is known by its first bytes: they are one of the keys of a table
that gives the text's length, so it is read with one look-up and one slice. All others go through `EnvelopeDecoder` and `read_fields`, and both
ways give the same events.

Invariants: bytes never raise; deltas are never empty and never merged; the same bytes give the same events however they are cut. A character that
is cut between envelopes is joined with the next of the same kind (text and thinking each have a decoder); bytes that cannot be UTF-8 are dropped
and named by a Notice `invalid_utf8`. Unknown fields are skipped. Left alone: tool markers inside the text, and whether a native call's name and
arguments are any good.

The response message, as public projects document it: 2 chat part {1 text, 25 thinking {1 text}}, 1 native tool {1 tool, 3 call id, 9 name, 10
arguments}.
"""

from collections.abc import Collection, Mapping

import msgspec

from pipeline.errors import PenstockError, ProtocolViolation
from pipeline.events import Failed, Finish, NativeToolCall, Notice, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.composer_errors import error_from_end_frame
from pipeline.wire.connect import FLAG_END_STREAM, MAX_MESSAGE_BYTES, Envelope, EnvelopeDecoder, encode_envelope
from pipeline.wire.protobuf import encode_fields, read_fields
from pipeline.wire.utf8 import Utf8Decoder

_TOOL, _CHAT = 1, 2
_CHAT_TEXT, _CHAT_THINKING, _THINKING_TEXT = 1, 25, 1
_TOOL_KIND, _TOOL_CALL_ID, _TOOL_NAME, _TOOL_ARGUMENTS = 1, 3, 9, 10


def encode_text(text: str | bytes, *, compress: bool = False) -> bytes:
    """One envelope with a piece of the visible answer; bytes may be any part of UTF-8."""
    return encode_envelope(encode_fields((_CHAT, encode_fields((_CHAT_TEXT, text)))), compress=compress)


def encode_thinking(text: str | bytes, *, compress: bool = False) -> bytes:
    """One envelope with a piece of the reasoning; bytes may be any part of UTF-8."""
    return encode_envelope(encode_fields((_CHAT, encode_fields((_CHAT_THINKING, encode_fields((_THINKING_TEXT, text)))))), compress=compress)


def encode_text_and_thinking(text: str | bytes, thinking: str | bytes, *, compress: bool = False) -> bytes:
    """One envelope with both kinds, in the order of their field numbers."""
    chat = encode_fields((_CHAT_TEXT, text), (_CHAT_THINKING, encode_fields((_THINKING_TEXT, thinking))))
    return encode_envelope(encode_fields((_CHAT, chat)), compress=compress)


def encode_native_call(id: str, name: str, arguments: str | bytes, *, tool: int = 0, compress: bool = False) -> bytes:
    """One envelope with a whole call in a field of its own; `tool` is the upstream's number for the kind of tool."""
    call = encode_fields((_TOOL_KIND, tool), (_TOOL_CALL_ID, id), (_TOOL_NAME, name), (_TOOL_ARGUMENTS, arguments))
    return encode_envelope(encode_fields((_TOOL, call)), compress=compress)


def encode_end(error: Mapping[str, Json] | None = None, *, compress: bool = False) -> bytes:
    r"""The end-stream envelope: a proper end, or the Connect error object {code, message, details}.

    >>> encode_end({"code": "internal"})
    b'\x02\x00\x00\x00\x1d{"error":{"code":"internal"}}'
    """
    payload = b"{}" if error is None else msgspec.json.encode({"error": error})
    return encode_envelope(payload, flags=FLAG_END_STREAM, compress=compress)


# The bytes that stand before a text of each length, as long as every length in them is one byte. The encoders make them, so the two cannot disagree.
_TEXT_HEADS = {encode_text(b"x" * length)[:-length]: length for length in range(1, 126)}
_THINKING_HEADS = {encode_thinking(b"x" * length)[:-length]: length for length in range(1, 123)}
_TEXT_HEAD_BYTES = len(encode_text(b""))
_THINKING_HEAD_BYTES = len(encode_thinking(b""))
_NO_HEADS: dict[bytes, int] = {}
_LONGEST_PLAIN_BYTES = 0x80 + 2  # of a payload; under a smaller limit only the framing may judge


class ComposerDecoder:
    r"""Feed the bytes of an answer's body, get events; splits may fall anywhere.

    `finished` says that `Finish` or `Failed` has been given: nothing more comes.

    >>> decoder = ComposerDecoder()
    >>> decoder.feed(encode_thinking("hm") + encode_text("na\u00ef")[:-1]), decoder.feed(b"\xaf" + encode_text("ve"))
    ([ThinkingDelta(text='hm')], [TextDelta(text='naï'), TextDelta(text='ve')])
    >>> decoder.end()
    [Failed(error=StreamCut("The upstream's answer ended without its end mark."))]
    """

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, over_half_window: bool = False, secrets: Collection[str] = ()) -> None:
        """Nothing has been read yet.

        Args:
            max_message_bytes: of one message, as sent and as inflated.
            over_half_window: the request filled more than half of the model's window, which decides what a bare `resource_exhausted` means.
            secrets: texts that may not stand in an error.
        """
        self._secrets = secrets
        self.finished = False
        self._over_half_window = over_half_window
        self._framing = EnvelopeDecoder(max_message_bytes)
        self._plain_allowed = max_message_bytes >= _LONGEST_PLAIN_BYTES
        self._text = Utf8Decoder()
        self._thinking = Utf8Decoder()

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read and return the events that it completes."""
        events: list[UpstreamEvent] = []
        framing = self._framing
        position, size = 0, len(data)
        while position < size and not self.finished:
            if framing.at_boundary and self._plain_allowed:
                position = self._read_plain(data, position, events)
            position, envelope = framing.advance(data, position)
            if envelope is not None:
                self._read_envelope(envelope, events)
            elif framing.fault is not None:
                self._fail(framing.fault, events)
        return events

    def end(self) -> list[UpstreamEvent]:
        """End of the body: nothing when the answer has finished, else why it has not."""
        events: list[UpstreamEvent] = []
        missing = None if self.finished else self._framing.end()
        if missing is not None:
            self._fail(missing, events)
        return events

    def _read_plain(self, data: bytes, position: int, events: list[UpstreamEvent]) -> int:
        """The hot loop: read whole plain envelopes up to the first that is not one; returns where that begins."""
        # A character cut before must be joined, which is not plain.
        text_length = (_NO_HEADS if self._text.pending else _TEXT_HEADS).get
        thinking_length = (_NO_HEADS if self._thinking.pending else _THINKING_HEADS).get
        append, size = events.append, len(data)
        try:
            while True:
                start = position + _TEXT_HEAD_BYTES
                length = text_length(data[position:start])
                if length is not None:
                    stop = start + length
                    if stop > size:
                        return position
                    append(TextDelta(data[start:stop].decode()))
                    position = stop
                    continue
                start = position + _THINKING_HEAD_BYTES
                length = thinking_length(data[position:start])
                if length is None or start + length > size:
                    return position
                stop = start + length
                append(ThinkingDelta(data[start:stop].decode()))
                position = stop
        except UnicodeDecodeError:
            return position  # cut or invalid UTF-8 is for the general reader

    def _read_envelope(self, envelope: Envelope, events: list[UpstreamEvent]) -> None:
        if envelope.is_end:
            error = error_from_end_frame(envelope.payload, over_half_window=self._over_half_window, secrets=self._secrets)
            if error is not None:
                self._fail(error, events)
                return
            self._drop_pending(events)
            self.finished = True
            events.append(Finish(raw=None))
            return
        pieces = _read_pieces(envelope.payload)
        if isinstance(pieces, ProtocolViolation):
            self._fail(pieces, events)
            return
        if pieces.thinking:
            text, dropped = self._thinking.feed(pieces.thinking)
            _note_dropped(dropped, "thinking", events)
            if text:
                events.append(ThinkingDelta(text))
        if pieces.text:
            text, dropped = self._text.feed(pieces.text)
            _note_dropped(dropped, "text", events)
            if text:
                events.append(TextDelta(text))
        events += pieces.calls

    def _drop_pending(self, events: list[UpstreamEvent]) -> None:
        _note_dropped(self._thinking.end(), "thinking", events)
        _note_dropped(self._text.end(), "text", events)

    def _fail(self, error: PenstockError, events: list[UpstreamEvent]) -> None:
        self._drop_pending(events)
        self.finished = True
        events.append(Failed(error))


class _Pieces(msgspec.Struct):
    """What one response message holds; bytes of fields that came more than once are joined, so that nothing is lost."""

    thinking: bytes
    text: bytes
    calls: list[NativeToolCall | Notice]


def _read_pieces(payload: bytes) -> _Pieces | ProtocolViolation:
    """Read a response message in full generality."""
    fields = read_fields(payload)
    if isinstance(fields, ProtocolViolation):
        return fields
    thinking: list[bytes] = []
    texts: list[bytes] = []
    calls: list[NativeToolCall | Notice] = []
    for number, value in fields:
        if isinstance(value, int):
            continue
        if number == _CHAT:
            fault = _read_chat(value, texts, thinking)
            if fault is not None:
                return fault
        elif number == _TOOL:
            calls.append(_read_native_call(value))
    return _Pieces(b"".join(thinking), b"".join(texts), calls)


def _read_chat(part: bytes, texts: list[bytes], thinking: list[bytes]) -> ProtocolViolation | None:
    fields = read_fields(part)
    if isinstance(fields, ProtocolViolation):
        return fields
    for number, value in fields:
        if isinstance(value, int):
            continue
        if number == _CHAT_TEXT:
            texts.append(value)
        elif number == _CHAT_THINKING:
            inner = read_fields(value)
            if isinstance(inner, ProtocolViolation):
                return inner
            thinking += [text for number, text in inner if number == _THINKING_TEXT and isinstance(text, bytes)]
    return None


def _read_native_call(part: bytes) -> NativeToolCall | Notice:
    fields = read_fields(part)
    if isinstance(fields, ProtocolViolation):
        return Notice("native_call_unreadable", "a native tool call that is not valid protobuf was dropped")
    found = {number: value for number, value in fields if isinstance(value, bytes)}
    try:
        id, name, arguments = (found.get(number, b"").decode() for number in (_TOOL_CALL_ID, _TOOL_NAME, _TOOL_ARGUMENTS))
    except UnicodeDecodeError:
        return Notice("native_call_unreadable", "a native tool call with invalid UTF-8 was dropped")
    if not name:
        return Notice("native_call_unreadable", "a native tool call without a name was dropped")
    return NativeToolCall(id, name, arguments)


def _note_dropped(count: int, field: str, events: list[UpstreamEvent]) -> None:
    if count:
        events.append(Notice("invalid_utf8", f"{count} bytes in the {field} field were no UTF-8 and were dropped"))
