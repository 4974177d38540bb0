"""Server-Sent Events: bytes to events and back (the WHATWG event stream format).

Theory of operation: reads of any length come in; the events that they complete go out, in order. Line ends are folded into LF first (CR, LF and
CRLF end a line, and a CR may be the last byte of one read and its LF the first of the next), so that an event is what stands before two LF, and
one C split finds all the events of a read. The common event, one `data:` line, is then one slice. Anything else is read line by line.

Invariants: data stays bytes, and only CR and LF end a line, so U+2028, U+0085 and cut UTF-8 inside JSON pass unharmed. The same bytes give the
same events however they are cut. What is held is at most one unfinished event, and at most `max_event_bytes` of it: a longer one sets `fault`,
after which nothing more comes; the events before it are still returned. Every byte is looked at a fixed number of times.

Left alone: what the data mean, `[DONE]` included, and reconnecting, with the `retry` time for it. An event that the end of the stream cuts off is not
dispatched, as the format demands; `unfinished` shows it to a caller who treats a cut as an error.
"""

import msgspec

from pipeline.errors import ProtocolViolation

DONE = b"data: [DONE]\n\n"
"""The closing event of the OpenAI dialects, encoded."""

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event. `data` has LF between its lines and none at its end; `id` is the last id that the stream has set."""

    data: bytes
    event: str = "message"
    id: str = ""


class SseDecoder:
    r"""Feed bytes, get events; splits may fall anywhere.

    `fault` is the reason why the decoder stopped, None while it works.

    >>> decoder = SseDecoder()
    >>> decoder.feed(b"event: ping\r\ndata: {}\r"), decoder.feed(b"\n\r\ndata: tail")
    ([], [ServerSentEvent(data=b'{}', event='ping', id='')])
    >>> decoder.unfinished
    b'data: tail'
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """`max_event_bytes` bounds one event with its field names, comments and line ends."""
        self.fault: ProtocolViolation | None = None
        self._max_event_bytes = max_event_bytes
        self._held = bytearray()  # the unfinished event, line ends folded
        self._after_carriage_return = False
        self._at_start = True
        self._last_id = ""

    @property
    def unfinished(self) -> bytes:
        """What has arrived of an event that is not dispatched yet, without outer line ends."""
        return bytes(self._held).strip(b"\n")

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Consume the next read and return the events that it completes."""
        if self.fault is not None or not data:
            return []
        if self._after_carriage_return or b"\r" in data:
            data = self._fold_line_ends(data)
        events: list[ServerSentEvent] = []
        held = self._held
        if held:
            # Two LF may straddle the reads; what was held before has been searched already.
            searched = len(held) - 1
            held += data
            cut = held.find(b"\n\n", searched)
            if cut < 0:
                self._check_held()
                return events
            block, data = bytes(held[:cut]), bytes(held[cut + 2 :])
            held.clear()
            if not self._read_block(block, events):
                return events
        self._read_blocks(data, events)
        return events

    def _fold_line_ends(self, data: bytes) -> bytes:
        if self._after_carriage_return and data.startswith(b"\n"):
            data = data[1:]  # the second half of a CRLF whose CR has already ended the line
            if not data:
                self._after_carriage_return = False
                return data
        self._after_carriage_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read_blocks(self, data: bytes, events: list[ServerSentEvent]) -> None:
        blocks = data.split(b"\n\n")
        tail = blocks.pop()
        limit = self._max_event_bytes
        if self._at_start and blocks:
            first = blocks.pop(0)
            if not self._read_block(first, events):
                return
        last_id = self._last_id
        append = events.append
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block and len(block) <= limit:
                append(ServerSentEvent(block[6:], "message", last_id))
                continue
            if not self._read_block(block, events):
                return
            last_id = self._last_id
        if tail:
            self._held += tail
            self._check_held()

    def _check_held(self) -> None:
        # A last LF may be half of the event's end, which does not count.
        if len(self._held) - self._held.endswith(b"\n") > self._max_event_bytes:
            self._refuse()

    def _refuse(self) -> None:
        self._held.clear()
        self.fault = ProtocolViolation(f"The upstream sent an event of more than {self._max_event_bytes} bytes.")

    def _read_block(self, block: bytes, events: list[ServerSentEvent]) -> bool:
        """Read one event line by line; False when it is over the limit."""
        if len(block) > self._max_event_bytes:
            self._refuse()
            return False
        if self._at_start:
            self._at_start = False
            block = block.removeprefix(_BOM)
        lines: list[bytes] = []
        event = ""
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                lines.append(value)
            elif name == b"event":
                event = value.decode(errors="replace")
            elif name == b"id" and b"\0" not in value:
                self._last_id = value.decode(errors="replace")
        if lines:
            events.append(ServerSentEvent(b"\n".join(lines), event or "message", self._last_id))
        return True


def encode_event(data: bytes, event: str | None = None) -> bytes:
    r"""One event; a line break in the data (LF, CR or CRLF) becomes a `data:` line of its own.

    Raises ValueError when the event's name holds a line break, which would let it write fields of its own.

    >>> encode_event(b"{}"), encode_event(b"a\nb", "ping")
    (b'data: {}\n\n', b'event: ping\ndata: a\ndata: b\n\n')
    """
    if b"\n" in data or b"\r" in data:
        data = _lines(data).replace(b"\n", b"\ndata: ")
    if event is None:
        return b"data: %b\n\n" % data
    if "\n" in event or "\r" in event:
        raise ValueError("an event's name is one line")
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def encode_comment(text: str) -> bytes:
    r"""A comment, which every reader skips: the keep-alive of a silent stream.

    >>> encode_comment("keepalive")
    b': keepalive\n\n'
    """
    return b": %b\n\n" % _lines(text.encode()).replace(b"\n", b"\n: ")


def _lines(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
