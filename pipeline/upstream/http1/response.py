"""Read one HTTP/1.1 response from bytes, without I/O.

Theory of operation: bytes go in, the body's bytes come out: `feed` returns what one read held of the body, joined, and `head` is set as soon as the
header block is complete. Interim responses (1xx) are skipped, trailers and chunk extensions are read and forgotten. llhttp finds the frames; it has
no notion of the end of file, so `end` judges it here: a length that is short, chunks without the last one and a header block without its end are
faults, and only a body without either frame ends by closing.

`feed` never raises. What breaks HTTP sets `fault`, after the body bytes that stood before it have been returned. llhttp refuses bare LF, folded
headers, a length beside chunks and a second length; refused here are versions other than 1.0 and 1.1, status 101 and below 100, transfer codings
other than chunked, more than `max_header_bytes` or 100 fields of header block (interim responses and trailers included), and as many bytes of
framing without any of body. So memory is bounded by one read and that limit.

What comes after the message is surplus: it is no part of the body, no fault of it, however the reads are cut, and it ends the connection.

`reusable` says whether the connection can carry another exchange: the message is complete, nothing came after it, the peer speaks 1.1 and does not
close. A response without a body by its request (HEAD, CONNECT) is never reusable, since llhttp cannot be told to expect none.
"""

from enum import Enum, auto

import httptools
import msgspec

MAX_HEADER_COUNT = 100


class ProtocolFault(Exception):
    """The peer's bytes are not a response that we accept. The text is ours and holds none of them."""


class Head(msgspec.Struct, frozen=True):
    """Status line and header fields, as they came."""

    version: bytes
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]


class State(Enum):
    """How far the response has been read."""

    HEAD = auto()
    BODY = auto()
    COMPLETE = auto()
    FAULTY = auto()


# the callbacks of httptools; each one costs a call for every occurrence, so what is not needed is not defined
class ResponseReader:
    r"""Feed bytes of one response, get its body.

    >>> reader = ResponseReader()
    >>> reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), reader.head.status, reader.state.name
    (b'hel', 200, 'BODY')
    >>> reader.feed(b"lo"), reader.state.name, reader.reusable
    (b'lo', 'COMPLETE', True)
    """

    def __init__(self, *, bodiless: bool = False, max_header_bytes: int = 65_536) -> None:
        """`bodiless` is for HEAD and CONNECT: whatever the fields announce, the response ends with its header block."""
        self.head: Head | None = None
        self.state = State.HEAD
        self.fault: ProtocolFault | None = None
        self.reusable = False
        self.started = False
        """Whether any byte has come."""
        self.surplus = False
        """Whether bytes came after the end."""
        self._bodiless = bodiless
        self._max_header_bytes = max_header_bytes
        self._ends_by_close = False
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._header_count = 0
        self._barren_bytes = 0
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)

    @property
    def finished(self) -> bool:
        """Whether no more bytes are wanted."""
        return self.state is State.COMPLETE or self.state is State.FAULTY

    def feed(self, data: bytes) -> bytes:
        """Consume what one read gave; returns the body's bytes in it, b"" when there are none."""
        if self.finished:
            self._exceed()
            return b""
        self.started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.state is State.COMPLETE:
                self._exceed()
            else:
                self._fail(self.fault or ProtocolFault(f"The response breaks HTTP/1.1: {error}."))
        if self._pieces:
            piece = b"".join(self._pieces)
            self._pieces.clear()
            self._barren_bytes = 0
            if not self._bodiless:
                return piece
            self._exceed()
        elif not self.finished:
            self._barren_bytes += len(data)
            if self._barren_bytes > self._max_header_bytes:
                self._fail(ProtocolFault(f"The response has more than {self._max_header_bytes} bytes of header block or framing."))
        return b""

    def end(self) -> None:
        """The peer has closed: the response is complete by that, or it is at fault."""
        if self.state is State.BODY and self._ends_by_close:
            self.state = State.COMPLETE
        elif self.state is State.BODY:
            self._fail(ProtocolFault("The connection ended before the body was complete."))
        elif self.state is State.HEAD:
            place = "inside the response's header block" if self.started else "before the response began"
            self._fail(ProtocolFault(f"The connection ended {place}."))

    def _fail(self, fault: ProtocolFault) -> None:
        self.fault, self.state, self.reusable = fault, State.FAULTY, False

    def _exceed(self) -> None:
        self.surplus, self.reusable = True, False

    def _refuse(self, reason: str) -> None:
        """Stop llhttp inside a callback; it knows no other way."""
        self.fault = ProtocolFault(reason)
        raise self.fault

    def on_message_begin(self) -> None:
        """A response begins: the first one, or the one after an interim response."""
        if self.state is State.COMPLETE:
            raise ProtocolFault("There are bytes after the response.")  # that stops llhttp, and is no fault of the response before it
        self._reason = b""
        self._headers = []

    def on_status(self, reason: bytes) -> None:
        """The reason phrase, perhaps in parts."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the header block or, once the body has begun, of the trailers."""
        self._header_bytes += len(name) + len(value) + 4
        self._header_count += 1
        if self._header_bytes > self._max_header_bytes or self._header_count > MAX_HEADER_COUNT:
            self._refuse(f"The response has more than {self._max_header_bytes} bytes or {MAX_HEADER_COUNT} fields of header block.")
        if self.state is State.HEAD:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The header block is over: decide how the body ends."""
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse("The response is not HTTP/1.1.")
        if status == 101 or status < 100:
            self._refuse(f"The response has the status {status}, which was not asked for.")
        if len(self._reason) > self._max_header_bytes:
            self._refuse("The status line is too long.")
        if status < 200:
            return
        framed = False
        for name, value in self._headers:
            match name.lower():
                case b"content-length":
                    framed = True
                case b"transfer-encoding":
                    framed = True
                    if value.strip().lower() != b"chunked":
                        self._refuse("The response has a transfer coding other than chunked.")
                case _:
                    pass
        self._ends_by_close = not framed
        self.head = Head(version.encode(), status, self._reason, self._headers)
        self.state = State.COMPLETE if self._bodiless else State.BODY

    def on_message_complete(self) -> None:
        """The message is over; interim ones do not count."""
        if self.state is State.BODY:
            self.state = State.COMPLETE
            self.reusable = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
