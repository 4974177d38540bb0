"""What one worker knows of its own life: serving, draining, stopped; and how many requests are in work, with how many bytes of bodies."""

from collections.abc import Generator
from contextlib import contextmanager

import trio

from pipeline.clocks import Stop
from pipeline.errors import Overloaded
from server.settings import Server

WORK = "penstock.work"
"""The key of the ASGI scope under which a request's `Work` lies."""

LARGEST_BODIES = 8
"""So many times the largest body may be charged at a time. What is made of a body is charged with it, so that about two of the largest size fit."""


class Lifecycle:
    """`stopping` is set by the first stop signal, `draining` when the listener has closed; `stop` ends the streams that a drain leaves behind."""

    def __init__(self, max_concurrency: int, max_buffered_bytes: int = LARGEST_BODIES * Server().max_body_bytes) -> None:
        self.stopping = trio.Event()
        self.draining = trio.Event()
        self.stop = Stop()
        self.in_work = 0
        self.buffered_bytes = 0
        self.max_buffered_bytes = max_buffered_bytes
        self._max_concurrency = max_concurrency

    @classmethod
    def under(cls, server: Server) -> "Lifecycle":
        """With the limits that the settings make."""
        return cls(server.max_concurrency, LARGEST_BODIES * server.max_body_bytes)

    @contextmanager
    def working(self) -> Generator["Work"]:
        """Count one request, and what is charged to it, for as long as its response lasts."""
        self.in_work += 1
        work = Work(self)
        try:
            yield work
        finally:
            self.in_work -= 1
            work.give_back()

    def check_room(self) -> None:
        """Raise Overloaded when more requests are in work, the present one included, than may be."""
        if self.in_work > self._max_concurrency:
            raise Overloaded("The server is handling as many requests as it may; try again shortly.", retry_after_seconds=1)


class Work:
    """One request's share of the memory that bodies may take.

    >>> first, second = Work(lifecycle := Lifecycle(1, max_buffered_bytes=10)), Work(lifecycle)
    >>> first.charge(6), second.charge(5), second.charge(4), lifecycle.buffered_bytes
    (True, False, True, 10)
    >>> first.give_back()
    >>> lifecycle.buffered_bytes
    4
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._bytes = 0

    @property
    def most_bytes(self) -> int:
        """What all requests together may take."""
        return self._lifecycle.max_buffered_bytes

    def charge(self, size: int) -> bool:
        """Take so many bytes; False, and nothing is taken, when there is no room."""
        lifecycle = self._lifecycle
        if lifecycle.buffered_bytes + size > lifecycle.max_buffered_bytes:
            return False
        lifecycle.buffered_bytes += size
        self._bytes += size
        return True

    def give_back(self, size: int | None = None) -> None:
        """Give back so many of the bytes that were taken, or all of them."""
        given = self._bytes if size is None else min(size, self._bytes)
        self._lifecycle.buffered_bytes -= given
        self._bytes -= given
