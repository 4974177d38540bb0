"""What a run's stream gave and nobody has read yet, between the task that reads the socket and the request that reads the run.

One task puts pieces in and waits while they are `MAX_BYTES` or more, so that back-pressure reaches the bridge; one reader at a time takes them out,
and can wait for news until a given time. The limit is one of bytes, so that the keep-alives of a run that waits for hours, seven bytes each, do not
fill it: who puts them in still hears of the stream's end. Reading a stream cannot be interrupted without losing it, and this waiting can: a reader
that leaves, or turns to a tool's call, disturbs nothing. An empty piece, the transport's word for silence, is kept only where nothing else is.
"""

from collections import deque

import anyio

from pipeline.errors import PenstockError

MAX_BYTES = 131_072


class Inbox:
    """`ended` says that nothing more is put in, and `fault` why, where that is not the proper end of the stream's body."""

    def __init__(self) -> None:
        self.ended = False
        self.fault: PenstockError | None = None
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._news = anyio.Event()
        self._room = anyio.Event()

    async def put(self, piece: bytes) -> None:
        """Add what one read gave, and wait until there is room for more."""
        if piece or not self._pieces:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
        self.tell()
        while self._held_bytes >= MAX_BYTES:
            self._room = anyio.Event()
            await self._room.wait()

    def end(self, fault: PenstockError | None = None) -> None:
        """Nothing more comes; the first end counts."""
        if not self.ended:
            self.ended, self.fault = True, fault
        self.tell()

    def take(self) -> bytes | None:
        """The next piece, None where there is none yet."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self._held_bytes -= len(piece)
        self._room.set()
        return piece

    def tell(self) -> None:
        """There is news for who waits, here or elsewhere."""
        self._news.set()

    async def wait(self, until: float) -> None:
        """Wait for news, no longer than to this time of `anyio.current_time()`; what came since the last waiting is news too."""
        with anyio.CancelScope(deadline=until):
            await self._news.wait()
        self._news = anyio.Event()
