"""Ids and the time of an answer, as values that tests and the replay tool can freeze."""

import itertools
import secrets
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the epoch."""

FROZEN_TIME = 1_700_000_000.0


class Identity:
    """Where ids and times come from.

    >>> frozen = Identity.frozen()
    >>> frozen.new("call_"), frozen.new("call_"), frozen.created()
    ('call_000000000000000000000001', 'call_000000000000000000000002', 1700000000)
    """

    def __init__(self, token: Callable[[], str] = lambda: secrets.token_hex(12), clock: Clock = time.time) -> None:
        self._token = token
        self._clock = clock

    @classmethod
    def frozen(cls) -> "Identity":
        """Counted ids and one fixed time."""
        numbers = itertools.count(1)
        return cls(lambda: f"{next(numbers):024d}", lambda: FROZEN_TIME)

    def new(self, prefix: str) -> str:
        """A fresh id: the prefix and 24 characters."""
        return prefix + self._token()

    def created(self) -> int:
        """The time in whole seconds."""
        return int(self._clock())
