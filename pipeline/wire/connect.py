"""Connect streaming envelopes: bytes to messages and back.

Theory of operation: a body is a row of envelopes: one flag byte, the payload's length as a big-endian uint32, the payload. Flag bit 0 says that
the payload is gzip, bit 1 that this is the end-stream message, whose payload is JSON. Reads of any length come in; the envelopes that they
complete go out, in order, inflated. The payload's meaning is left to the caller, and so is the end-stream JSON.

Invariants: a fault is a value, `fault`, after which nothing more comes; the envelopes before it are still returned. A length is checked against
the limit before a byte of the payload is kept, and an inflated size while inflating, so that neither a claim of 4 GiB nor a zip bomb costs more
than the limit. What is held is at most one unfinished envelope. Bytes after the end-stream envelope are ignored. The same bytes give the same
envelopes however cut.
"""

import zlib
from struct import Struct

import msgspec

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
FLAG_COMPRESSED = 0b01
FLAG_END_STREAM = 0b10
HEADER_BYTES = 5

_HEADER = Struct(">BI")
_KNOWN_FLAGS = FLAG_COMPRESSED | FLAG_END_STREAM
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One message of the stream. `flags` is as sent; `payload` is inflated."""

    flags: int
    payload: bytes

    @property
    def is_end(self) -> bool:
        """Whether this is the end-stream message."""
        return bool(self.flags & FLAG_END_STREAM)


class EnvelopeDecoder:
    r"""Feed bytes, get envelopes; splits may fall anywhere.

    `fault` is the reason why the decoder stopped, None while it works; `ended` says that the end-stream envelope came.

    >>> decoder = EnvelopeDecoder()
    >>> decoder.feed(b"\0\0\0\0\2hi\0\0"), decoder.feed(b"\0\0\0\2\0\0\0\2{}")
    ([Envelope(flags=0, payload=b'hi')], [Envelope(flags=0, payload=b''), Envelope(flags=2, payload=b'{}')])
    >>> decoder.end() is None
    True
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """`max_message_bytes` bounds one payload, as sent and as inflated."""
        self.fault: ProtocolViolation | None = None
        self.ended = False
        self._max_message_bytes = max_message_bytes
        self._held = bytearray()
        self._wanted = HEADER_BYTES  # the length at which `_held` can be read further: a header, then a whole envelope

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte opens an envelope."""
        return not self._held

    def feed(self, data: bytes) -> list[Envelope]:
        """Consume the next read and return the envelopes that it completes."""
        envelopes: list[Envelope] = []
        position = 0
        while position < len(data):
            position, envelope = self.advance(data, position)
            if envelope is not None:
                envelopes.append(envelope)
        return envelopes

    def advance(self, data: bytes, position: int) -> tuple[int, Envelope | None]:
        """Consume the bytes of one envelope from `position` on, together with what was held of it.

        Returns the position after them, and the envelope, or None when `data` is used up without completing one.
        """
        size = len(data)
        held = self._held
        while position < size and self.fault is None and not self.ended:
            stop = min(size, position + self._wanted - len(held))
            held += data[position:stop]
            position = stop
            if len(held) < self._wanted:
                break
            if self._wanted == HEADER_BYTES and not self._read_header():
                continue
            if len(held) == self._wanted:
                return position, self._complete()
        return (position, None) if self.fault is None and not self.ended else (size, None)

    def end(self) -> PenstockError | None:
        """End of the body: None when the stream ended properly, the fault when there was one, else what is missing."""
        if self.fault is not None or self.ended:
            return self.fault
        if self._held:
            return StreamCut("The upstream's answer was cut off inside a message.")
        return StreamCut("The upstream's answer ended without its end mark.")

    def _read_header(self) -> bool:
        flags, length = _HEADER.unpack(self._held)
        if flags & ~_KNOWN_FLAGS:
            return self._refuse("The upstream's answer is not a Connect stream.")
        if length > self._max_message_bytes:
            return self._refuse(f"The upstream announced a message of {length} bytes; the limit is {self._max_message_bytes}.")
        self._wanted = HEADER_BYTES + length
        return True

    def _complete(self) -> Envelope | None:
        flags, payload = self._held[0], bytes(memoryview(self._held)[HEADER_BYTES:])
        self._held = bytearray()
        self._wanted = HEADER_BYTES
        # As in Connect's own implementations, an empty payload is empty whatever its flag says.
        if flags & FLAG_COMPRESSED and payload:
            inflated = self._inflate(payload)
            if inflated is None:
                return None
            payload = inflated
        self.ended = bool(flags & FLAG_END_STREAM)
        return Envelope(flags, payload)

    def _inflate(self, payload: bytes) -> bytes | None:
        inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            inflated = inflater.decompress(payload, self._max_message_bytes + 1)
        except zlib.error:
            self._refuse("The upstream sent a compressed message that cannot be inflated.")
            return None
        if len(inflated) > self._max_message_bytes:
            self._refuse(f"The upstream sent a compressed message that inflates to more than {self._max_message_bytes} bytes.")
            return None
        if not inflater.eof or inflater.unused_data:
            self._refuse("The upstream sent a compressed message that is cut off or has bytes after its end.")
            return None
        return inflated

    def _refuse(self, message: str) -> bool:
        self._held = bytearray()
        self.fault = ProtocolViolation(message)
        return False


def encode_envelope(payload: bytes, *, flags: int = 0, compress: bool = False) -> bytes:
    r"""One envelope; `compress` sends the payload as gzip and sets the flag for it. The bytes depend on nothing but the arguments.

    >>> encode_envelope(b"{}", flags=FLAG_END_STREAM)
    b'\x02\x00\x00\x00\x02{}'
    """
    if compress:
        # A bare zlib writer leaves the gzip header's time at 0, so that equal messages are equal bytes.
        deflater = zlib.compressobj(wbits=_GZIP_WINDOW)
        payload = deflater.compress(payload) + deflater.flush()
        flags |= FLAG_COMPRESSED
    return _HEADER.pack(flags, len(payload)) + payload
