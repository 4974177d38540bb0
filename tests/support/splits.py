"""Ways to cut one stream into pieces; whatever reads it must give the same answer for all of them."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

Text = TypeVar("Text", str, bytes)

EVERY_SPLIT_LIMIT = 4096


def cut(stream: Text, edges: Sequence[int]) -> list[Text]:
    """The stream in pieces that end at the given offsets."""
    bounds = [0, *sorted({edge for edge in edges if 0 < edge < len(stream)}), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(bounds)]


def random_edges(length: int, seed: int) -> list[int]:
    """A few to many offsets, the same for the same seed."""
    chance = random.Random(seed)
    return sorted(chance.randrange(1, length) for _ in range(chance.choice((1, 3, 10, length // 3 + 1)))) if length > 1 else []


def splits(stream: Text, *, seeds: int = 50, near: Sequence[int] = ()) -> Iterator[list[Text]]:
    """Whole, piece by piece, every two-way split (near the given offsets and seeded ones for a long stream), and seeded random ones."""
    length = len(stream)
    yield [stream]
    yield [stream[at : at + 1] for at in range(length)]
    offsets: Sequence[int] = range(1, length)
    if length > EVERY_SPLIT_LIMIT:
        chance = random.Random(length)
        offsets = sorted({at + step for at in near for step in range(-64, 65)} | {chance.randrange(1, length) for _ in range(500)})
    for offset in offsets:
        if 0 < offset < length:
            yield [stream[:offset], stream[offset:]]
    for seed in range(seeds):
        yield cut(stream, random_edges(length, seed))
