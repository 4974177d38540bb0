"""The clocks of one answer: first event, idle and total, and the stop that a shutting-down server sets.

Each concern has one clock in one place. Connecting and writing are timed by the transport, a client that stopped reading by the server's connection;
the rest is here, around the upstream's generator and nowhere else. When a clock runs out the upstream is closed and the stream goes on with `Failed`,
so that the machines and the emitter end it as they end every other fault.

Silence is not a clock: the upstream's own read comes back empty-handed after `SILENCE_SECONDS` and yields an empty list. A timer could not do that
without killing the read. Data that says nothing yet (`Progress`) is no silence: behind it the clock that runs, be it the first event's, runs anew.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from time import monotonic

import anyio
import msgspec

from pipeline.errors import Draining, PenstockError, UpstreamTimeout
from pipeline.events import Failed, Progress, UpstreamEvent

SILENCE_SECONDS = 5.0
"""How long a read waits for bytes before it gives an empty list."""

CLOSE_SECONDS = 1.0
"""How long an upstream may take to close once its answer is over for us."""


class Quiet:
    """How long nothing was passed on, by somebody who reads: bytes may come and make no event, and the client must not hear nothing for all that.

    >>> now = 0.0
    >>> quiet = Quiet(clock=lambda: now)
    >>> now = 4.0
    >>> quiet.passes([]), quiet.passes([1])
    (False, True)
    >>> now = 9.0
    >>> quiet.passes([])
    True
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or monotonic
        self._since = self._clock()

    def passes(self, batch: Sequence[object]) -> bool:
        """Whether to pass a list on: one with something in it always, an empty one when it is time for one."""
        now = self._clock()
        if not batch and now - self._since < SILENCE_SECONDS:
            return False
        self._since = now
        return True


class Timeouts(msgspec.Struct, frozen=True):
    """The policy, in seconds; `connect` and `write_stall` are carried out by the transport and the server's connection."""

    connect_seconds: float = 5
    first_event_seconds: float = 60
    idle_seconds: float = 120
    total_seconds: float = 900
    write_stall_seconds: float = 60


class Stop:
    """A time at which every running answer ends; set once, by a server that shuts down."""

    def __init__(self) -> None:
        self.at = math.inf
        self._scopes: set[anyio.CancelScope] = set()

    def set(self, at: float) -> None:
        """End what runs at this time of `anyio.current_time()`."""
        self.at = at
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, at)

    def watch(self, scope: anyio.CancelScope) -> None:
        """Let a later `set` reach this scope."""
        self._scopes.add(scope)

    def forget(self, scope: anyio.CancelScope) -> None:
        """The scope is over."""
        self._scopes.discard(scope)


class Watched(AsyncIterator[list[UpstreamEvent]]):
    """The upstream's lists under the clocks.

    This is a class and not an async generator, since a cancel scope may not stay open across a `yield`: each pull has a scope of its own.
    `held_seconds` is how long the lists that were given kept the next pull waiting: the time of the machines, and of a client that reads slowly.
    """

    def __init__(self, batches: AsyncGenerator[list[UpstreamEvent], None], timeouts: Timeouts, stop: Stop, *, total_at: float | None = None) -> None:
        """`total_at` is when the total clock runs out, in `anyio.current_time()`, where it runs already; else it begins here."""
        now = anyio.current_time()
        self._batches = batches
        self._timeouts = timeouts
        self._stop = stop
        self._total_at = now + timeouts.total_seconds if total_at is None else total_at
        self._quiet_at = now + timeouts.first_event_seconds
        self.held_seconds = 0.0
        self._started = False
        self._given_at: float | None = None
        self._over = False

    async def __anext__(self) -> list[UpstreamEvent]:
        """The next list; when a clock runs out, one with `Failed`, and then the end."""
        if self._over:
            raise StopAsyncIteration
        if self._given_at is not None:
            # the time that the client took for the last list is not the upstream's silence
            now = anyio.current_time()
            self.held_seconds += now - self._given_at
            quiet_seconds = self._timeouts.idle_seconds if self._started else self._timeouts.first_event_seconds
            self._quiet_at, self._given_at = now + quiet_seconds, None
        stop = self._stop
        scope = anyio.CancelScope(deadline=min(self._quiet_at, self._total_at, stop.at))
        stop.watch(scope)
        try:
            with scope:
                batch = await anext(self._batches)
                if batch:
                    self._started = self._started or not isinstance(batch[0], Progress)
                    self._given_at = anyio.current_time()
                return batch
        finally:
            stop.forget(scope)
        self._over = True
        failed = Failed(self._reason())
        await self.aclose()
        return [failed]

    async def aclose(self) -> None:
        """Close the upstream, whatever state it is in."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._batches.aclose()

    def _reason(self) -> PenstockError:
        # by the deadlines and not by the time: an upstream that closed slowly may have let another clock run out since
        due, seconds = min(self._quiet_at, self._total_at, self._stop.at), self._timeouts
        if due == self._stop.at:
            return Draining("The server is shutting down; send the request again.", retry_after_seconds=1)
        if due == self._total_at:
            return UpstreamTimeout(f"The answer took longer than {seconds.total_seconds:g} seconds.", code="upstream_total_timeout")
        if not self._started:
            return UpstreamTimeout(f"The upstream sent nothing for {seconds.first_event_seconds:g} seconds.", code="upstream_first_event_timeout")
        return UpstreamTimeout(f"The upstream fell silent for {seconds.idle_seconds:g} seconds.", code="upstream_idle_timeout")
