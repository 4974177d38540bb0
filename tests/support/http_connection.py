"""One HTTP/1.1 connection of a scripted server: h11 over a trio stream.

Requests come out whole, one after the other on a kept connection; an answer goes in as a head, pieces and an end, each a write of its own. What the
client sends while it is being answered is kept for the next request, so that its going away is noticed without losing anything.
"""

import socket
import struct
from collections.abc import Mapping

import h11
import msgspec
import trio

_READ_BYTES = 65_536


class HttpRequest(msgspec.Struct, frozen=True):
    """One request; the names of `headers` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """The server's side. `already_read` are bytes that were taken off the stream before."""

    def __init__(self, stream: trio.SocketStream, already_read: bytes = b"") -> None:
        self._stream = stream
        self._connection = h11.Connection(h11.SERVER)
        if already_read:
            self._connection.receive_data(already_read)

    async def request(self) -> HttpRequest | None:
        """The next request, None when the client has closed, breaks the protocol, or the connection cannot be used again."""
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
        try:
            return await self._whole_request()
        except h11.RemoteProtocolError:
            return None

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole answer in one write."""
        head = h11.Response(status_code=status, headers=[*headers.items(), ("content-length", str(len(body)))])
        await self._write(head, h11.Data(data=body), h11.EndOfMessage())

    async def begin(self, content_type: str) -> None:
        """The head of an answer that comes in chunks."""
        await self._write(h11.Response(status_code=200, headers=[("content-type", content_type), ("transfer-encoding", "chunked")]))

    async def piece(self, data: bytes) -> None:
        """One chunk, in one write."""
        await self._write(h11.Data(data=data))

    async def end(self) -> None:
        """The proper end of an answer in chunks."""
        await self._write(h11.EndOfMessage())

    async def client_left(self) -> None:
        """Wait until the client closes."""
        while data := await self._stream.receive_some(_READ_BYTES):
            self._connection.receive_data(data)

    def reset(self) -> None:
        """Make the close that follows a reset: lingering for no time at all does."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _whole_request(self) -> HttpRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._stream.receive_some(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode().lower(): value.decode() for name, value in head.headers}
                return HttpRequest(head.method.decode(), head.target.decode(), headers, bytes(body))
            else:
                return None

    async def _write(self, *events: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        await self._stream.send_all(b"".join(self._connection.send(event) or b"" for event in events))
