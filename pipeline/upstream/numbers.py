"""A number within the bounds of a JSON Schema.

Theory of operation: candidates are tried in order (what is wished for, 1, 0, then the ends of the range and the multiples near them) and the first
that fits is it. Bounds may be inclusive or exclusive, also in the form of draft 4, where `exclusiveMinimum` is true or false.

Invariants: nothing raises; with bounds that no number fits, or that are too wide to be looked through, the answer is the first number that was tried.
"""

import math
from collections.abc import Iterator

from pipeline.request import Json

MAX_MAGNITUDE = 1e300
_TRIES = 64


def plain_number(text: str) -> int | float:
    """A decimal number as int where it is whole.

    >>> plain_number("-3"), plain_number("2.50")
    (-3, 2.5)
    """
    return float(text) if "." in text else int(text)


def number_for(flat: dict[str, Json], wanted: list[Json], *, integer: bool, nth: int = 0) -> int | float:
    """The first of `wanted`, else the plainest number, that the bounds of a flat schema allow; with `nth` the nth one after it.

    >>> number_for({"minimum": 3, "multipleOf": 5}, [7], integer=True), number_for({"exclusiveMaximum": 0}, [], integer=False)
    (5, -1)
    """
    bounds = _Bounds(flat, integer)
    seen: list[int | float] = []
    for candidate in [*wanted, *bounds.candidates()]:
        if isinstance(candidate, int | float) and bounds.allow(candidate) and candidate not in seen:
            seen.append(int(candidate) if integer else candidate)
            if len(seen) > nth:
                return seen[-1]
    return seen[0] if seen else 1


class _Bounds:
    """The bounds of one schema."""

    def __init__(self, flat: dict[str, Json], integer: bool) -> None:
        self._integer = integer
        self._low, self._low_open = _end(flat.get("minimum"), flat.get("exclusiveMinimum"), -1)
        self._high, self._high_open = _end(flat.get("maximum"), flat.get("exclusiveMaximum"), 1)
        multiple = _finite(flat.get("multipleOf"))
        self._multiple = multiple if multiple is not None and multiple > 0 else None

    def allow(self, value: int | float) -> bool:
        """Whether a number lies within the bounds."""
        if isinstance(value, bool) or abs(value) >= MAX_MAGNITUDE or (self._integer and value != math.floor(value)):
            return False
        if self._low is not None and (value <= self._low if self._low_open else value < self._low):
            return False
        if self._high is not None and (value >= self._high if self._high_open else value > self._high):
            return False
        if self._multiple is None:
            return True
        if isinstance(self._multiple, int) and isinstance(value, int):
            return value % self._multiple == 0
        quotient = value / self._multiple  # as validators ask it, which is not what decimals would say
        return math.isfinite(quotient) and quotient == math.floor(quotient)

    def candidates(self) -> Iterator[int | float]:
        """Numbers worth trying, the plainest first."""
        yield from (1, 0)
        if self._low is not None and self._high is not None and not self._integer:
            yield self._low
            yield self._low + (self._high - self._low) / 2
            yield self._high
        step = self._multiple or 1
        if self._low is not None:
            start, direction = _steps(self._low, step, up=True), 1
        elif self._high is not None:
            start, direction = _steps(self._high, step, up=False), -1
        else:
            start, direction = 0, 1
        for count in range(_TRIES):
            product = (start + direction * count) * step
            yield round(product) if self._integer else product


def _steps(bound: int | float, step: int | float, *, up: bool) -> int:
    """How many steps from zero to the bound, rounded up or down."""
    if isinstance(bound, int) and isinstance(step, int):
        return -(-bound // step) if up else bound // step
    quotient = bound / step
    if not math.isfinite(quotient):
        return 0
    return math.ceil(quotient) if up else math.floor(quotient)


def _finite(value: Json) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MAX_MAGNITUDE else None


def _end(inclusive: Json, exclusive: Json, sign: int) -> tuple[int | float | None, bool]:
    """One end of the range and whether it is open; `sign` is -1 for the lower one."""
    bound, strict = _finite(inclusive), _finite(exclusive)
    if exclusive is True:
        return bound, True
    if strict is not None and (bound is None or strict * sign <= bound * sign):
        return strict, True
    return bound, False
