"""What one worker knows of its own life: serving, draining, stopped; and how many requests are in work."""

from collections.abc import Generator
from contextlib import contextmanager

import trio

from pipeline.clocks import Stop
from pipeline.errors import Overloaded


class Lifecycle:
    """`stopping` is set by the first stop signal, `draining` when the listener has closed; `stop` ends the streams that a drain leaves behind."""

    def __init__(self, max_concurrency: int) -> None:
        self.stopping = trio.Event()
        self.draining = trio.Event()
        self.stop = Stop()
        self.in_work = 0
        self._max_concurrency = max_concurrency

    @contextmanager
    def working(self) -> Generator[None]:
        """Count one request for as long as its response lasts."""
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1

    def check_room(self) -> None:
        """Raise Overloaded when more requests are in work, the present one included, than may be."""
        if self.in_work > self._max_concurrency:
            raise Overloaded("The server is handling as many requests as it may; try again shortly.", retry_after_seconds=1)
