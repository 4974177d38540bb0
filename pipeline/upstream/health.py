"""What one process knows of its targets, for the order in which a request tries them. A target is one model at one upstream, by its name.

Theory of operation: three things are learned from answers and kept here. A target that failed *cools* for so many seconds. An answer *measures* its
target in output tokens a second, from its request to its end, as a moving average; one that its client kept waiting is no measure. A conversation
*sticks* to the target that answered it last, whose prompt cache is warm. `ordered` makes an order of them: the candidates as configured, by speed or
by price; before them the one that the conversation sticks to; behind them those that cool, the soonest ready first. None is ever left out: where all
cool, a request still tries them all.

Every answer measures its target, in whichever order it was found, so that a target learns its speed as the first of another order or when a faster
one fails. That alone would never try the others of a route that is only ever asked for by speed, nor one that was slow once. So one request by speed
in `EXPLORED_EVERY` goes first to a target that was not measured of late. Otherwise those without a measure come last, as configured.

Invariants: sync and without I/O; the memory is bounded (`MOST_TARGETS`, `MOST_CONVERSATIONS`), since clients write model ids and the ids of
conversations, of which only a hash is kept: what was of no use for the longest goes first. All times are of the injected clock, in seconds. Left
alone: which faults cool a target, and whether two conversations of one id are one; that is for who calls.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

MOST_TARGETS = 4096
MOST_CONVERSATIONS = 16_384
STICKY_SECONDS = 3600.0
"""How long a conversation is remembered that is not heard of."""

SHORTEST_MEASURE_TOKENS = 32
"""The time of a shorter answer is that of its beginning, and says nothing of the speed."""

WEIGHT = 0.25
"""Of the newest measure in the moving average; the last eight answers make nine tenths of it."""

MEASURED_SECONDS = 600.0
"""How long a measure is fresh. An older one still counts, until there is another."""

EXPLORED_EVERY = 16


class Order(StrEnum):
    """How the candidates of a request are ordered: as configured, by speed (`:nitro`) or by price (`:floor`)."""

    GIVEN = "given"
    SPEED = "speed"
    PRICE = "price"


class Priced(Protocol):
    """What is ordered: a target's name, and what it costs in whatever measure all candidates share; None where nobody knows."""

    @property
    def target(self) -> str:
        """The target's name."""
        ...

    @property
    def price(self) -> float | None:
        """The target's price."""
        ...


Candidates = TypeVar("Candidates", bound=Priced)


class _Known:
    """What is known of one target."""

    __slots__ = ("measured_at", "ready_at", "tokens_per_second")

    def __init__(self) -> None:
        self.ready_at = 0.0
        self.tokens_per_second: float | None = None
        self.measured_at = 0.0


class Health:
    """See the module.

    >>> health = Health(clock=lambda: 100.0)
    >>> health.cool("a/m", 20), health.measure("b/m", tokens=300, seconds=6), health.stick("talk", "b/m")
    (None, None, None)
    >>> health.cooling_seconds("a/m"), health.tokens_per_second("b/m"), health.stuck("talk")
    (20.0, 50.0, 'b/m')
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._stuck: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._asked_by_speed = 0

    # -- learning ------------------------------------------------------------------------------------------------------------------------------

    def cool(self, target: str, seconds: float) -> None:
        """The target failed, and is tried last for so long; never sooner than an earlier failure said."""
        if seconds > 0:
            known = self._of(target)
            known.ready_at = max(known.ready_at, self._clock() + seconds)

    def recover(self, target: str) -> None:
        """The target answered: it cools no longer."""
        if target in self._known:
            self._known[target].ready_at = 0.0

    def measure(self, target: str, tokens: int, seconds: float) -> None:
        """An answer of so many tokens took so long, from the request to its end; one that is too short to say anything is ignored."""
        if tokens < SHORTEST_MEASURE_TOKENS or seconds <= 0:
            return
        known, speed = self._of(target), tokens / seconds
        before = known.tokens_per_second
        known.tokens_per_second = speed if before is None else before + WEIGHT * (speed - before)
        known.measured_at = self._clock()

    def stick(self, conversation: str, target: str) -> None:
        """The conversation was answered by this target."""
        name = _name(conversation)
        self._stuck[name] = (target, self._clock())
        self._stuck.move_to_end(name)
        if len(self._stuck) > MOST_CONVERSATIONS:
            self._stuck.popitem(last=False)

    # -- asking --------------------------------------------------------------------------------------------------------------------------------

    def cooling_seconds(self, target: str) -> float:
        """How long the target goes on cooling; 0 for one that does not."""
        known = self._known.get(target)
        return 0.0 if known is None else max(0.0, known.ready_at - self._clock())

    def tokens_per_second(self, target: str) -> float | None:
        """The moving average of output tokens a second; None before the first measure."""
        known = self._known.get(target)
        return None if known is None else known.tokens_per_second

    def stuck(self, conversation: str) -> str | None:
        """The target that answered this conversation last, None for one that was not heard of for an hour."""
        name = _name(conversation)
        target, since = self._stuck.get(name, ("", 0.0))
        if not target:
            return None
        if self._clock() - since >= STICKY_SECONDS:
            del self._stuck[name]
            return None
        return target

    def ordered(self, candidates: Sequence[Candidates], order: Order | str = Order.GIVEN, conversation: str | None = None) -> list[Candidates]:
        """All candidates in the order in which they are to be tried; equal ones stay as given.

        >>> from types import SimpleNamespace as Target
        >>> health, (a, b, c) = Health(), [Target(target=name, price=price) for name, price in (("a", 1.0), ("b", 3.0), ("c", 2.0))]
        >>> health.cool("a", 20)
        >>> [each.target for each in health.ordered([a, b, c], Order.PRICE)]
        ['c', 'b', 'a']
        """
        ranked = list(candidates)
        if order == Order.PRICE:
            ranked.sort(key=lambda each: (each.price is None, each.price or 0.0))
        elif order == Order.SPEED:
            ranked = self._by_speed(ranked)
        sticky = None if conversation is None else self.stuck(conversation)
        cooling = {each.target: self.cooling_seconds(each.target) for each in ranked}
        ranked.sort(key=lambda each: (cooling[each.target], each.target != sticky))
        return ranked

    def _by_speed(self, candidates: list[Candidates]) -> list[Candidates]:
        """The fastest first, unless it is another's turn to be measured."""
        ranked = sorted(candidates, key=lambda each: -(self.tokens_per_second(each.target) or 0.0))
        unsure = [each for each in ranked if not self._is_measured(each.target) and not self.cooling_seconds(each.target)]
        if unsure:
            self._asked_by_speed += 1
            if self._asked_by_speed % EXPLORED_EVERY == 0:
                explored = min(unsure, key=self._measured_at)
                return [explored, *(each for each in ranked if each is not explored)]
        return ranked

    def _is_measured(self, target: str) -> bool:
        known = self._known.get(target)
        return known is not None and known.tokens_per_second is not None and self._clock() - known.measured_at < MEASURED_SECONDS

    def _measured_at(self, candidate: Priced) -> float:
        known = self._known.get(candidate.target)
        return float("-inf") if known is None or known.tokens_per_second is None else known.measured_at

    def _of(self, target: str) -> _Known:
        known = self._known.setdefault(target, _Known())
        self._known.move_to_end(target)
        if len(self._known) > MOST_TARGETS:
            self._known.popitem(last=False)
        return known


def _name(conversation: str) -> bytes:
    """A client may write an id of any length."""
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).digest()
