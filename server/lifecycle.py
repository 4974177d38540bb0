"""What the whole server knows of its own life: serving, draining, stopped; and how many requests are in work."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from pipeline.clocks import Stop
from pipeline.errors import Overloaded


class Lifecycle:
    """One worker's life. `stopping` is set by the first stop signal, `stop` ends the streams that a drain leaves behind."""

    def __init__(self, max_concurrency: int) -> None:
        self.stopping = trio.Event()
        self.stop = Stop()
        self.in_work = 0
        self._max_concurrency = max_concurrency

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count one request; raises Overloaded when there is no room for it."""
        if self.in_work >= self._max_concurrency:
            raise Overloaded("The server is handling as many requests as it may; try again shortly.", retry_after_seconds=1)
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1
