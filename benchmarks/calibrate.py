"""The weights of the token estimate, fitted to the texts that are not held out.

Theory of operation: for each text the finds of `pipeline.usage.patterns` are known, and so are its tokens; the weights are those with which the sum
of the weighed finds comes nearest to the tokens, by relative squared error, each corpus counting the same whatever its size. A weight is never
below its floor: zero, and more for what is in every text of a kind, so that no text is nearly free, though it is like none of ours. A little of the
error is given for smaller weights, since texts are few. The method is coordinate descent on the normal equations, which ends at the one best
solution.

The characters that join are those that are in most words of the vocabulary, the words weighed by how early they are in it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from pathlib import Path

import msgspec
import tomli_w

from benchmarks.texts import Text
from pipeline.usage import patterns
from pipeline.usage.patterns import NAMES, Calibration, finds

# thousandths of a token; what is not here has the floor 0
FLOORS = {
    "character": 20,
    "capital": 200,
    "digit": 250,
    "sign": 20,
    "Latin letter with a mark": 200,
    "Greek": 200,
    "Cyrillic letter": 100,
    "Hebrew": 200,
    "Arabic letter": 100,
    "Indic": 200,
    "Vietnamese, Georgian": 200,
    "symbol": 300,
    "kana": 300,
    "Han": 500,
    "Han that joins": 300,
    "Hangul": 300,
    "Hangul that joins": 300,
    "full width": 300,
    "emoji": 1000,
}
SHRINKING = 0.003
"""How much a weight is drawn to its floor, as a part of what the texts say about it."""

JOINING_HAN, JOINING_HANGUL = 400, 200
_JOINED = {"joining_han": (re.compile("[一-鿿]{2,4}"), JOINING_HAN), "joining_hangul": (re.compile("[가-힣]{2,4}"), JOINING_HANGUL)}

_HEAD = """\
# What a find of pipeline/usage/patterns.py weighs, in thousandths of a token, and the characters that often share a token with their neighbour.
# Written by `python -m benchmarks.estimate --fit`; do not change by hand.

"""


def fit_weights(texts: Sequence[Text]) -> dict[str, int]:
    """Thousandths of a token for each of `NAMES`, from the texts for fitting among those given."""
    rows = [text for text in texts if text.is_fit]
    sizes = Counter(text.corpus for text in rows)
    found = [finds(text.text) for text in rows]
    floors = [FLOORS.get(name, 0) / 1000 for name in NAMES]
    products = [[0.0] * len(NAMES) for _ in NAMES]
    wanted = [0.0] * len(NAMES)
    for text, row in zip(rows, found, strict=True):
        importance = 1 / (sizes[text.corpus] * text.tokens**2)
        missing = text.tokens - sum(map(mul, row, floors))
        for i, count in enumerate(row):
            if count:
                wanted[i] += importance * count * missing
                products[i] = [product + importance * count * other for product, other in zip(products[i], row, strict=True)]
    for i, row_of_products in enumerate(products):
        row_of_products[i] *= 1 + SHRINKING
    above = _descend(products, wanted)
    return {name: round(1000 * (floor + weight)) for name, floor, weight in zip(NAMES, floors, above, strict=True)}


def _descend(products: Sequence[Sequence[float]], wanted: Sequence[float], *, rounds: int = 5000, still: float = 1e-8) -> list[float]:
    """The weights, none below zero, that make the least of w·P·w / 2 - w·q."""
    weights = [0.0] * len(wanted)
    for _ in range(rounds):
        moved = 0.0
        for i, row in enumerate(products):
            if not row[i]:  # found in no text
                continue
            better = max(0.0, weights[i] + (wanted[i] - sum(map(mul, row, weights))) / row[i])
            moved = max(moved, abs(better - weights[i]))
            weights[i] = better
        if moved < still:
            break
    return weights


def joining_characters(words: Iterable[tuple[int, str]]) -> dict[str, str]:
    """The fields `joining_han` and `joining_hangul` of the calibration, from a vocabulary's words and their ranks; in the order of code points."""
    shares: dict[str, defaultdict[str, float]] = {field: defaultdict(float) for field in _JOINED}
    for rank, word in words:
        bare = word.strip(" ")
        for field, (form, _) in _JOINED.items():
            if form.fullmatch(bare):
                for character in set(bare):
                    shares[field][character] += 1 / rank  # Zipf's law: a word's share of all text
    return {field: "".join(sorted(_most_shared(shares[field], most))) for field, (_, most) in _JOINED.items()}


def _most_shared(shares: Mapping[str, float], most: int) -> list[str]:
    return sorted(shares, key=lambda character: (-shares[character], character))[:most]


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write the file that the estimate reads."""
    path.write_text(_HEAD + tomli_w.dumps(msgspec.to_builtins(calibration)), encoding="utf-8")


def calibration_file() -> Path:
    """Where the estimate reads its weights."""
    return Path(patterns.__file__).with_name("calibration.toml")
