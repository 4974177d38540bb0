"""Until when calls that have come wait for others that are made beside them.

Theory of operation: `wait` is told of each call, and of each sign that the model is still at work; the calls leave at `until`, when nothing of that
came for `seconds`. Where the client wants one call at a time, that is at once. An agent that goes on talking while its calls wait does not keep them
for ever: `MOST_SECONDS` behind the first one they leave all the same, and what is called later is the next answer's.
"""

import math

import anyio

MOST_SECONDS = 5.0


class Gathering:
    """See the module. `until` is a time of `anyio.current_time()`, infinity where no call waits."""

    def __init__(self, seconds: float) -> None:
        self.until = math.inf
        self._seconds = seconds
        self._at_the_latest = math.inf

    def wait(self, *, parallel: bool) -> None:
        """A call has come, or the model is at work beside those that have."""
        now = anyio.current_time()
        if self._at_the_latest == math.inf:
            self._at_the_latest = now + max(self._seconds, MOST_SECONDS)
        self.until = min(now + self._seconds, self._at_the_latest) if parallel else now

    def end(self) -> None:
        """The calls have left, or were withdrawn."""
        self.until = self._at_the_latest = math.inf
