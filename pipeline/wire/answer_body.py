r"""The body of an answer that is a stream of events, or one JSON value although a stream was asked for.

Theory of operation: the first byte that is no blank says what the body is. `{` or `[` begins one JSON value, an answer or an error, which is held to
the body's end as `whole`; `<` begins a page of HTML, which is no answer; everything else is an event stream, whose events go out as they complete.

Invariants: nothing raises; the same bytes give the same events however they are cut. What is held is at most one unfinished event or one whole value,
of `max_event_bytes`; more of either sets `fault`, and so does HTML; then nothing more comes. Left alone: what the events and the value mean.
"""

from pipeline.errors import ProtocolViolation
from pipeline.wire.sse import MAX_EVENT_BYTES, ServerSentEvent, SseDecoder

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


class AnswerBody:
    r"""Feed bytes, get events; splits may fall anywhere.

    `fault` is the reason why there is no more to read, `whole` the value where the body is one, None while it is not known to be.

    >>> body = AnswerBody()
    >>> body.feed(b'\ndata: {}\n\ndata: 1'), body.end()
    ([ServerSentEvent(data=b'{}', event='message', id='')], [ServerSentEvent(data=b'1', event='message', id='')])
    >>> body = AnswerBody()
    >>> body.feed(b' {"status":'), body.feed(b'"failed"}'), body.whole
    ([], [], b'{"status":"failed"}')
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """`max_event_bytes` bounds one event, and a whole value."""
        self.fault: ProtocolViolation | None = None
        self._max_event_bytes = max_event_bytes
        self._head: bytearray | None = bytearray()  # what came before the first byte that counts; None behind it
        self._whole: bytearray | None = None
        self._stream = SseDecoder(max_event_bytes)

    @property
    def whole(self) -> bytes | None:
        """The value so far, where the body is one."""
        return None if self._whole is None else bytes(self._whole)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Consume the next read and return the events that it completes."""
        if self._head is not None:
            data = self._begin(self._head, data)
        if self.fault is not None or not data:
            return []
        if self._whole is not None:
            self._whole += data
            if len(self._whole) > self._max_event_bytes:
                self._whole.clear()
                self.fault = ProtocolViolation(f"The upstream sent an answer of more than {self._max_event_bytes} bytes.")
            return []
        events = self._stream.feed(data)
        self.fault = self._stream.fault
        return events

    def end(self) -> list[ServerSentEvent]:
        """End of the body: an event that lacks its empty line, as some servers leave the last one, and as one that was cut looks too."""
        if self.fault is not None or not self._stream.unfinished:
            return []
        return self._stream.feed(b"\n\n")

    def _begin(self, held: bytearray, data: bytes) -> bytes:
        """Look for the body's first byte; returns what to read once it is known."""
        held += data
        head = bytes(held.lstrip(_BLANK))
        text = head.removeprefix(_BOM).lstrip(_BLANK)
        if not text or (len(head) < len(_BOM) and _BOM.startswith(head)):
            self._head = bytearray(head[: len(_BOM)])  # of blanks and a mark, all that counts is how much of the mark there was
            return b""
        self._head = None
        if text.startswith(b"<"):
            self.fault = ProtocolViolation("The upstream answered with a page of HTML instead of an answer of the API.")
        elif text.startswith((b"{", b"[")):
            self._whole = bytearray()
        return text
