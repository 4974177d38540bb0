"""Delta debugging: the smallest input that still has a finding's problem."""

import time
from collections.abc import Callable, Sequence

import msgspec

from tests.fuzz.inputs import Input, Setup, joined

MAX_SECONDS = 20.0
Item = tuple[str, str]


def shortest(items: Sequence[Item], still: Callable[[list[Item]], bool], max_seconds: float = MAX_SECONDS) -> list[Item]:
    """Fewer items for which `still` holds; no single one can be left out, unless the time ran out."""
    kept, size, deadline = list(items), max(1, len(items) // 2), time.monotonic() + max_seconds
    while time.monotonic() < deadline:
        at = 0
        shrunk = False
        while at < len(kept) and time.monotonic() < deadline:
            candidate = kept[:at] + kept[at + size :]
            if still(candidate):
                kept, shrunk = candidate, True
            else:
                at += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return kept


def minimised(given: Input, still: Callable[[Input], bool]) -> Input:
    """A smaller input that keeps the problem: the plainest set-up, and the fewest characters."""
    default = Setup()
    for field in Setup.__struct_fields__:
        candidate = msgspec.structs.replace(given, setup=msgspec.structs.replace(given.setup, **{field: getattr(default, field)}))
        if candidate != given and still(candidate):
            given = candidate
    characters = [(kind, character) for kind, text in given.fields for character in text]

    def with_fields(items: Sequence[Item]) -> Input:
        return msgspec.structs.replace(given, fields=tuple(joined(items)))

    smaller = with_fields(shortest(characters, lambda items: still(with_fields(items))))
    return smaller if still(smaller) else given
