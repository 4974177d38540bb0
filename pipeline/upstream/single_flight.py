"""Values that are fetched once for all who ask at the same time, and kept until they expire.

Theory of operation: `get` gives the kept value of a name while it is fresh. Otherwise the first who asks fetches it, in its own task, and all who
ask meanwhile wait for that one flight. A fetch that fails is told to all who waited, and is not kept: the next to ask fetches again. When the one
who fetches is cancelled, its fetch ends with it, at once, and one of those who wait takes over; nobody else is cancelled, and no task outlives its
caller.

Invariants: at most one fetch a name at any time; at most `max_count` values, of which the one that was not asked for the longest goes first. Names
are kept, so that a secret may not be one: `fingerprint` makes a name of it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import msgspec

from pipeline.errors import PenstockError
from pipeline.identity import Clock

Value = TypeVar("Value")


def fingerprint(secret: str) -> str:
    """The name of a secret: its whole SHA-256, so that two that begin alike are two.

    >>> fingerprint("abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Fresh(msgspec.Struct, Generic[Value], frozen=True):
    """What a fetch gives. `expires_at` is in seconds since the epoch; a time that has passed means that the value is not kept."""

    value: Value
    expires_at: float


class Held(msgspec.Struct, Generic[Value], frozen=True):
    """What `get` gives. `is_kept` says that the value is of an earlier flight, and so may have been withdrawn since."""

    value: Value
    is_kept: bool


class _Flight(Generic[Value]):
    """One fetch under way. Afterwards `landed` or `error` is set, or neither when it was cancelled."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.landed: Fresh[Value] | None = None
        self.error: PenstockError | None = None


class SingleFlightCache(Generic[Value]):
    """See the module. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Clock, max_count: int) -> None:
        self._clock = clock
        self._max_count = max_count
        self._kept: OrderedDict[str, Fresh[Value]] = OrderedDict()
        self._flights: dict[str, _Flight[Value]] = {}

    async def get(self, name: str, fetch: Callable[[], Awaitable[Fresh[Value]]]) -> Held[Value]:
        """The value of `name`; raises the PenstockError that `fetch` raised, for this caller or for the one that it waited for."""
        while True:
            kept = self._fresh(name)
            if kept is not None:
                return Held(kept.value, is_kept=True)
            flight = self._flights.get(name)
            if flight is None:
                return Held((await self._fly(name, fetch)).value, is_kept=False)
            await flight.over.wait()
            if flight.error is not None:
                raise copied(flight.error)
            if flight.landed is not None:
                return Held(flight.landed.value, is_kept=False)
            # its caller was cancelled: somebody else fetches

    def drop(self, name: str, value: Value) -> None:
        """Forget a value that turned out to be no good; a newer one, fetched by somebody else meanwhile, stays."""
        kept = self._kept.get(name)
        if kept is not None and kept.value == value:
            del self._kept[name]

    def _fresh(self, name: str) -> Fresh[Value] | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.expires_at <= self._clock():
            del self._kept[name]
            return None
        self._kept.move_to_end(name)
        return kept

    async def _fly(self, name: str, fetch: Callable[[], Awaitable[Fresh[Value]]]) -> Fresh[Value]:
        flight = self._flights[name] = _Flight[Value]()
        try:
            flight.landed = await fetch()
        except PenstockError as error:
            flight.error = error
            raise
        finally:
            del self._flights[name]
            flight.over.set()
        if flight.landed.expires_at > self._clock():
            self._kept[name] = flight.landed
            self._kept.move_to_end(name)
            while len(self._kept) > self._max_count:
                self._kept.popitem(last=False)
        return flight.landed


def copied(error: PenstockError) -> PenstockError:
    """An equal error, for another task to raise: one exception in two tasks would mix up their tracebacks."""
    return type(error)(error.message, code=error.code, param=error.param, retry_after_seconds=error.retry_after_seconds)
