"""One client connection: its socket, its clocks, and its end.

Accepted streams come in; bytes go to the protocol (`server.http1`) and what it writes goes out. hypercorn's own TCP server is not used: it shields
its writes from cancellation and waits for ever, so that a client that stopped reading would hold its stream, its upstream and the server's shutdown;
a client that leaves while bytes of a next request wait is never let go; and a fault of one connection ends the process. Here:

- A write breaks the connection when the system takes no byte of it for `write_stall_seconds`. The system takes more when the client's system has
  acknowledged about a third of what waits in the socket's buffer; under TLS a slice of 64 KiB counts as one, so that there the clock
  is a minimum rate. A write as a whole has no limit.
- A client has `FIRST_REQUEST_SECONDS` for the TLS handshake, again for the head of its first request, and for each later head from its first byte.
  A connection that is kept alive rests for `KEEP_ALIVE_SECONDS`, longer than load balancers let theirs, so that it is they who close.
- A connection ends in one place, where reading ends: there the protocol, and through it the app, hears that the client is gone. Closing and
  breaking off only end the reading. Where a client may still be sending what nobody reads, its bytes are thrown away for `LINGER_SECONDS` at most,
  since closing at once would make its system throw our answer away.
- Whatever goes wrong in a connection stays there and is logged.
"""

import logging
from collections.abc import Generator
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState

from server.http1 import Http1

FIRST_REQUEST_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75.0
LINGER_SECONDS = 1.0
READ_BYTES = 64 * 1024
TLS_SLICE_BYTES = 64 * 1024

log = logging.getLogger("penstock.http")

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Connections:
    """The connections that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._empty = trio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "Connection") -> None:
        """One more."""
        self._open.add(connection)
        if self._empty.is_set():
            self._empty = trio.Event()

    def remove(self, connection: "Connection") -> None:
        """One less."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    async def wait_until_none(self) -> None:
        """Return when the last one is closed."""
        while self._open:
            await self._empty.wait()

    async def abort(self) -> None:
        """Break all that are left."""
        for connection in list(self._open):
            await connection.abort()


class Tasks(TaskGroup):
    """hypercorn's way to start tasks, in a nursery of ours: its own forgets what a nursery says at its end, and a cancellation then leaves it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._nursery = nursery


class Connection:
    """Serves one accepted stream when awaited; `connections` holds it while it lives."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        stream: Stream,
        *,
        connections: Connections,
        write_stall_seconds: float,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._state = state
        self._stream = stream
        self._connections = connections
        self._write_stall_seconds = write_stall_seconds
        self._send_lock = trio.Lock()
        self._reading = trio.CancelScope()
        self._rest: trio.CancelScope | None = None
        self._has_asked = False
        self._is_closing = False

    def __await__(self) -> Generator[Any, Any, None]:
        return self.run().__await__()

    async def run(self) -> None:
        """Serve until the connection ends; raises nothing but a cancellation from outside."""
        self._connections.add(self)
        try:
            await self._serve()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client's side of it: gone during the handshake, or before its address was asked for
        except* Exception as errors:
            log.error("a connection ended with an unexpected error", exc_info=errors)
        finally:
            self._connections.remove(self)
            await trio.aclose_forcefully(self._stream)

    async def abort(self) -> None:
        """Break the connection now; a write that waits for the client fails, and the app hears that the client is gone."""
        self._reading.cancel()
        await trio.aclose_forcefully(self._stream)

    async def _serve(self) -> None:
        transport = self._stream
        if isinstance(transport, trio.SSLStream):
            with trio.move_on_after(FIRST_REQUEST_SECONDS) as handshake:
                await transport.do_handshake()
            if handshake.cancelled_caught:
                return
            transport = transport.transport_stream
        socket = transport.socket
        client: tuple[str, int] = socket.getpeername()[:2]
        server: tuple[str, int] = socket.getsockname()[:2]
        async with trio.open_nursery() as nursery:
            protocol = Http1(
                self._app,
                self._config,
                self._context,
                Tasks(nursery),
                ConnectionState(self._state),
                isinstance(self._stream, trio.SSLStream),
                client,
                server,
                lambda event: self._take(event, protocol, nursery),
            )
            self._begin_rest(protocol, nursery)
            with self._reading:
                await self._read(protocol)
            self._is_closing = True
            self._end_rest()
            await protocol.handle(Closed())

    async def _read(self, protocol: Http1) -> None:
        """Give the protocol what comes, until the client ends its side; when ours is ended, throw away what comes."""
        data = b"-"
        while data:
            try:
                data = bytes(await self._stream.receive_some(READ_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if self._is_closing:
                continue
            if self._rest is not None:
                self._rest.deadline = min(self._rest.deadline, trio.current_time() + FIRST_REQUEST_SECONDS)
            await protocol.handle(RawData(data))

    async def _take(self, event: Event, protocol: Http1, nursery: trio.Nursery) -> None:
        """What the protocol wants: bytes written, the connection closed, or its rest begun and ended."""
        if isinstance(event, RawData):
            await self.write(event.data)
        elif isinstance(event, Closed):
            await self._close(linger=protocol.has_unread)
        elif isinstance(event, Updated):
            self._end_rest()
            if not event.idle:
                self._has_asked = True
            elif not self._is_closing:
                self._begin_rest(protocol, nursery)

    async def write(self, data: bytes) -> None:
        """Write all of it under the clock; a connection that cannot take it is broken off, and nothing is raised."""
        try:
            async with self._send_lock:
                # shielded, since half a chunk must not leave; bounded, since the client may never read it
                with trio.move_on_after(self._write_stall_seconds, shield=True) as clock:
                    await self._send(memoryview(data), clock)
            if not clock.cancelled_caught:
                return
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone
        await self.abort()

    async def _send(self, left: memoryview, clock: trio.CancelScope) -> None:
        while left:
            if isinstance(self._stream, trio.SSLStream):
                sent = min(len(left), TLS_SLICE_BYTES)
                await self._stream.send_all(left[:sent])
            else:
                # the socket itself, since the stream's send_all does not say how far it came
                sent = await self._stream.socket.send(left)
            left = left[sent:]
            clock.deadline = trio.current_time() + self._write_stall_seconds

    async def _close(self, *, linger: bool) -> None:
        """End our side behind what is being written, and with it the reading, at once or when the client has ended too."""
        if self._is_closing:
            return
        self._is_closing = True
        with trio.move_on_after(LINGER_SECONDS, shield=True):
            async with self._send_lock:
                if isinstance(self._stream, trio.SocketStream):
                    try:
                        await self._stream.send_eof()
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        linger = False
        if linger:
            self._reading.deadline = trio.current_time() + LINGER_SECONDS
        else:
            self._reading.cancel()

    def _begin_rest(self, protocol: Http1, nursery: trio.Nursery) -> None:
        """Close the connection if no request comes in time, or at once when the server stops."""
        seconds = KEEP_ALIVE_SECONDS if self._has_asked and not protocol.has_begun_head else FIRST_REQUEST_SECONDS
        self._rest = trio.CancelScope(deadline=trio.current_time() + seconds)
        nursery.start_soon(self._wait, self._rest)

    def _end_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    async def _wait(self, rest: trio.CancelScope) -> None:
        with rest:
            await self._context.terminated.wait()
        if self._rest is rest:  # else a request came, or the connection has ended
            await self._close(linger=False)
