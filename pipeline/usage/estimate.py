"""How many tokens a text is likely to be, when the upstream does not say. Figures made from it say that they are estimated.

Theory of operation: text comes in pieces, of any size and cut anywhere; a count of tokens goes out, the same for every cut. There are two methods.

- `calibrated`: what `pipeline.usage.patterns` finds in the text, weighed against the o200k vocabulary. docs/usage.md has its errors.
- `chars4`: four characters are one token, whatever the script: crude, and the same for everyone.

A calibrated count keeps what it is given and looks at it later, a block at a time: looking costs the same few dozen passes for nine characters as
for a hundred, and deltas are short. So `add` is cheap, `total` looks at all that is pending, and `within` only when the limit could have been
reached. It keeps less than one block beside the last piece, and the classes of the last few characters, which a pattern may begin in.
"""

from typing import Literal, Self, TypeAlias

import msgspec

from pipeline.usage.patterns import LINE_START, MOST_BEYOND_ASCII, MOST_IN_ASCII, REACH, classes_of, weigh, weigh_beyond_ascii

Method: TypeAlias = Literal["calibrated", "chars4"]

CHARACTERS_PER_TOKEN = 4
BLOCK_CHARACTERS = 4096
"""How much text is looked at together. A quarter of it costs 1.7 times as much a character; twice as much gains little."""


def tokens_of(characters: int) -> int:
    """Tokens for a number of characters whose text is not at hand, rounded up.

    >>> tokens_of(0), tokens_of(1), tokens_of(9)
    (0, 1, 3)
    """
    return -(-characters // CHARACTERS_PER_TOKEN)


class CharacterCount:
    """`chars4`.

    >>> count = CharacterCount()
    >>> count.add("Hel"), count.add("lo"), count.total
    (None, None, 2)
    """

    def __init__(self, characters: int = 0) -> None:
        self._characters = characters

    @property
    def total(self) -> int:
        """Tokens so far."""
        return tokens_of(self._characters)

    def add(self, text: str) -> None:
        """The next piece."""
        self._characters += len(text)

    def within(self, limit: int) -> bool:
        """Whether `total` is no more than a limit."""
        return self._characters <= limit * CHARACTERS_PER_TOKEN

    def copy(self) -> Self:
        """The same count, to be continued on its own."""
        return type(self)(self._characters)


class PatternCount:
    """`calibrated`.

    >>> count = PatternCount()
    >>> count.add("The quick brown fox "), count.add("jumps over the lazy dog."), count.total
    (None, None, 13)
    """

    def __init__(self) -> None:
        self._pending = ""
        self._thousandths = 0
        self._before = LINE_START

    @property
    def total(self) -> int:
        """Tokens so far, rounded up."""
        self._look()
        return -(-self._thousandths // 1000)

    def add(self, text: str) -> None:
        """The next piece."""
        self._pending += text
        if len(self._pending) >= BLOCK_CHARACTERS:
            self._look()

    def within(self, limit: int) -> bool:
        """Whether `total` is no more than a limit. Looks at the text only when what is pending could reach it."""
        most = MOST_IN_ASCII if self._pending.isascii() else MOST_BEYOND_ASCII
        if self._thousandths + len(self._pending) * most <= limit * 1000:
            return True
        return self.total <= limit

    def copy(self) -> Self:
        """The same count, to be continued on its own."""
        copied = type(self)()
        copied._pending, copied._thousandths, copied._before = self._pending, self._thousandths, self._before
        return copied

    def _look(self) -> None:
        pending, self._pending = self._pending, ""
        for start in range(0, len(pending), BLOCK_CHARACTERS):
            self._look_at(pending[start : start + BLOCK_CHARACTERS])

    def _look_at(self, text: str) -> None:
        classes = classes_of(text)
        self._thousandths += weigh(self._before, classes)
        if not text.isascii():
            self._thousandths += weigh_beyond_ascii(text, classes)
        self._before = (self._before + classes)[-REACH:]


class Counted(msgspec.Struct, frozen=True):
    """The tokens of a text, by one method."""

    tokens: int
    method: Method = "calibrated"


def new_count(method: Method = "calibrated") -> PatternCount | CharacterCount:
    """An empty count."""
    return PatternCount() if method == "calibrated" else CharacterCount()


def tokens_in(text: str, method: Method = "calibrated") -> int:
    """Tokens of a whole text.

    >>> tokens_in(""), tokens_in("Hello, world"), tokens_in("Hello, world", "chars4")
    (0, 4, 3)
    """
    count = new_count(method)
    count.add(text)
    return count.total
