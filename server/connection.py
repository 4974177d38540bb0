"""One client connection: hypercorn's TCP server for trio, with a clock on every write.

hypercorn shields its writes from cancellation and waits for ever: a client that stopped reading would hold its stream, its upstream and the server's
shutdown. Here a write that makes no progress for `write_stall_seconds` breaks the connection, and `abort` breaks it at once. Writes go out in slices,
so that a large body to a slow reader counts as progress.

A connection that has sent no request is closed after `FIRST_REQUEST_SECONDS`, one that is kept alive after `KEEP_ALIVE_SECONDS` of rest, which is
longer than load balancers keep theirs, so that it is they who close.
"""

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, LifespanState

FIRST_REQUEST_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75.0
SLICE_BYTES = 64 * 1024

Stream = trio.SSLStream[trio.SocketStream]


class Connections:
    """The connections that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._empty = trio.Event()

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


class Connection(TCPServer):
    """Serves one accepted stream; `connections` holds it while it lives."""

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
        super().__init__(app, config, context, state, stream)
        self._connections = connections
        self._write_stall_seconds = write_stall_seconds
        self._has_asked = False

    async def run(self) -> None:
        """Serve until the connection ends."""
        self._connections.add(self)
        try:
            await super().run()
        finally:
            self._connections.remove(self)

    async def abort(self) -> None:
        """Break the connection now; a write that waits for the client fails."""
        await trio.aclose_forcefully(self.stream)

    async def protocol_send(self, event: Event) -> None:
        """Write bytes under the clock; everything else as hypercorn does it."""
        if not isinstance(event, RawData):
            self._has_asked = True
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                for start in range(0, len(event.data), SLICE_BYTES):
                    # shielded, since half a chunk must not leave; bounded, since the client may never read it
                    with trio.fail_after(self._write_stall_seconds) as scope:
                        scope.shield = True
                        await self.stream.send_all(event.data[start : start + SLICE_BYTES])
            except trio.TooSlowError:
                await self.abort()
                await self.protocol.handle(Closed())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self.protocol.handle(Closed())

    async def _idle_timeout(self) -> None:
        """Close a connection that rests too long, or at once when the server stops."""
        with trio.move_on_after(KEEP_ALIVE_SECONDS if self._has_asked else FIRST_REQUEST_SECONDS):
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()
