"""One request and its response on one connection.

Theory of operation: `send_bytes` or `send_head` and its parts, then `read_head`, then `read_piece` until `complete`, and `leave` at the end, whatever
happened. A peer that stops taking the request may have answered it already: that fault is kept in `refusal` and the answer is read all the same.
`leave` gives the connection to the idle ones if the message is complete in both directions and neither side wants the end; it closes it otherwise.

Nothing is read ahead. Low errors and `ProtocolFault` pass through unmapped.
"""

import anyio

from pipeline.upstream.http1.connection import Connection
from pipeline.upstream.http1.idle import IdleConnections
from pipeline.upstream.http1.request import LAST_CHUNK, RequestFault, RequestHead, write_chunk
from pipeline.upstream.http1.response import Head, ResponseReader, State

_FIRST_SLICE_BYTES = 65_536
"""A body up to this size leaves in one write with its head."""


class Exchange:
    """The state of both directions."""

    def __init__(self, connection: Connection, head: RequestHead, reader: ResponseReader, write_seconds: float) -> None:
        self.connection = connection
        self.reader = reader
        self.refusal: Exception | None = None
        self._head = head
        self._write_seconds = write_seconds

    @property
    def complete(self) -> bool:
        """Whether the whole response has been read."""
        return self.reader.state is State.COMPLETE

    @property
    def died_idle(self) -> bool:
        """Whether a failure here says only that an idle connection had ended: it was reused, and not one byte came."""
        return self.connection.reused and not self.reader.started

    async def send_bytes(self, body: bytes) -> None:
        """Send the request with a body that is at hand. Raises TimeoutError."""
        if len(body) <= _FIRST_SLICE_BYTES:
            await self._write(self._head.data + body)
        elif await self._write(self._head.data):
            await self._write(body)

    async def send_head(self) -> None:
        """Send the head of a request whose parts follow. Raises TimeoutError."""
        await self._write(self._head.data)

    async def send_part(self, part: bytes) -> bool:
        """Send some of a body in its frame; False when the peer takes no more. Raises TimeoutError."""
        return self.refusal is None and await self._write(write_chunk(part) if self._head.length is None else part)

    async def send_end(self, sent_bytes: int) -> None:
        """End a body that was sent in parts.

        Raises:
            TimeoutError: the peer took nothing.
            RequestFault: the length was promised and is another.
        """
        if self.refusal is not None:
            return
        if self._head.length is None:
            await self._write(LAST_CHUNK)
        elif sent_bytes != self._head.length:
            raise RequestFault("The body is not as long as its content-length.")

    async def read_head(self) -> tuple[Head, bytes]:
        """The response's head, and what came of the body with it.

        Raises:
            ProtocolFault: there is no head: an early end, or bytes that are not HTTP.
            anyio.BrokenResourceError: the connection was reset.
        """
        while True:
            first = await self._pull()
            if self.reader.head is not None:
                return self.reader.head, first
            if self.reader.fault:
                raise self.reader.fault

    async def read_piece(self, silence_seconds: float) -> bytes:
        """What one read gave of the body; b"" after `silence_seconds` without any, and when the end came alone.

        Raises:
            ProtocolFault: the body is cut or broken; all of it that came before has been returned.
            anyio.BrokenResourceError: the connection was reset.
        """
        reader = self.reader
        # a cancelled receive has taken nothing from the socket
        with anyio.CancelScope(deadline=anyio.current_time() + silence_seconds):
            while not reader.finished:
                piece = await self._pull()
                if piece:
                    return piece
        if reader.fault:
            raise reader.fault
        return b""

    async def leave(self, idle: IdleConnections) -> None:
        """The connection is kept or closed; the exchange is over."""
        if self.complete and self.reader.reusable and self.refusal is None and not self._head.closes:
            await idle.put(self.connection)
        else:
            await self.connection.aclose()

    async def _pull(self) -> bytes:
        data = await self.connection.receive()
        if data:
            return self.reader.feed(data)
        self.reader.end()
        return b""

    async def _write(self, data: bytes) -> bool:
        try:
            await self.connection.send(data, self._write_seconds)
        except TimeoutError:
            raise
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as fault:
            self.refusal = fault
            return False
        return True
