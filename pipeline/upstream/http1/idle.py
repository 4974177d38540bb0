"""The idle connections, kept for the next request to the same origin.

Theory of operation: a connection is either in use, and then nobody here knows of it, or idle, and then it is here; so nothing can be lost by a
cancellation, and there is no limit to wait for. `take` gives the one that became idle last, `put` drops the one that became idle first when there are
too many. Both cost the same however many there are: the connections stand in one line by the time at which they became idle, which is also their
order within each origin.

There is no task that watches. A connection that has been idle for too long is closed by the next `take` or `put`; one that its peer has closed, or on
which bytes have come unasked, is found when it would be used.
"""

from collections import OrderedDict, deque

import anyio

from pipeline.upstream.http1.connection import Connection, Origin


class IdleConnections:
    """At most `max_count` connections, each for at most `expiry_seconds`."""

    def __init__(self, max_count: int, expiry_seconds: float) -> None:
        self._max_count = max_count
        self._expiry_seconds = expiry_seconds
        self._line: OrderedDict[Connection, None] = OrderedDict()
        self._by_origin: dict[Origin, deque[Connection]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._line)

    async def take(self, origin: Origin) -> Connection | None:
        """A live connection to this origin, or None. It is the caller's from now on."""
        await self._expire()
        while mine := self._by_origin.get(origin):
            connection = mine.pop()
            if not mine:
                del self._by_origin[origin]
            del self._line[connection]
            if connection.is_quiet():
                connection.reused = True
                return connection
            await connection.aclose()
        return None

    async def put(self, connection: Connection) -> None:
        """Keep a connection whose exchange is complete; it is no longer the caller's."""
        if self._closed or not self._max_count:
            await connection.aclose()
            return
        connection.idle_since = anyio.current_time()
        self._line[connection] = None
        self._by_origin.setdefault(connection.origin, deque()).append(connection)
        await self._expire()
        while len(self._line) > self._max_count:
            await self._drop_first()

    async def aclose(self) -> None:
        """Close all of them, and each one that comes back later."""
        self._closed = True
        while self._line:
            await self._drop_first()

    async def _expire(self) -> None:
        limit = anyio.current_time() - self._expiry_seconds
        while self._line and next(iter(self._line)).idle_since <= limit:
            await self._drop_first()

    async def _drop_first(self) -> None:
        # the first of all is the first of its origin; taken out of both before the close lets other tasks in
        connection, _ = self._line.popitem(last=False)
        mine = self._by_origin[connection.origin]
        mine.popleft()
        if not mine:
            del self._by_origin[connection.origin]
        await connection.aclose()
