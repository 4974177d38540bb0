"""Finding markers in text: one regular expression for all that mean something in one upstream's answers.

It is generated from the spellings of `markers`, which are always read, and from the openings of the dialects that are switched on. It finds, in one C
scan, the first complete marker or the tail that is a proper prefix of one. So text is held back exactly while it can still become a marker, and never
longer than the longest marker. What a marker *means* where it stands is not decided here.
"""

import re
from collections.abc import Sequence

from pipeline.machine.forms.dialects import Dialect
from pipeline.machine.markers import SPACE, SPELLINGS, Kind, Marker, proper_prefix, spelling


class Grammar:
    """The markers that mean something in one upstream's answers: Composer's, and those of the dialects that are switched on.

    `trigger` is a text of this request's own behind which alone a dialect that has one is read. `openers` finds a character other than '<' with which
    a marker may begin; it is None where there is none.

    >>> Grammar().find("a <| Tool▁Sep ｜> b")
    Marker(kind=<Kind.SEP: 'sep'>, start=2, stop=16, dialect='')
    >>> Grammar().find("a < b"), Grammar().find("a <|tool_c")
    (None, Marker(kind=<Kind.PARTIAL: 'partial'>, start=2, stop=10, dialect=''))
    """

    def __init__(self, dialects: Sequence[Dialect] = (), trigger: str = "") -> None:
        self.dialects = {dialect.name: dialect for dialect in dialects}
        self._groups = {str(kind): (kind, "") for kind in SPELLINGS}
        branches = {"<": [(str(kind), spelling(word)) for kind, word in SPELLINGS.items()]}
        for number, (name, opening) in enumerate(_openings(dialects, trigger)):
            self._groups[f"opening_{number}"] = (Kind.DIALECT, name)
            branches.setdefault(opening[0], []).append((f"opening_{number}", [re.escape(character) for character in opening[1:]]))
        others = "".join(re.escape(first) for first in branches if first != "<")
        self.openers = re.compile(f"[{others}]") if others else None
        self._scan = re.compile("|".join(_branch(first, number, branches[first]) for number, first in enumerate(branches)))

    def find(self, text: str, start: int = 0) -> Marker | None:
        """The first marker at or behind `start`, or the tail that may become one (`PARTIAL`, which always reaches the end of the text)."""
        found = self._scan.search(text, start)
        return self._marker(found) if found else None

    def at(self, text: str, position: int) -> Marker | None:
        """The marker, or the tail that may become one, that begins exactly at `position`."""
        found = self._scan.match(text, position)
        return self._marker(found) if found else None

    def _marker(self, found: re.Match[str]) -> Marker:
        kind, dialect = self._groups.get(found.lastgroup or "", _PARTIAL)
        return Marker(kind, found.start(), found.end(), dialect)


_PARTIAL = (Kind.PARTIAL, "")


def _openings(dialects: Sequence[Dialect], trigger: str) -> list[tuple[str, str]]:
    return [(dialect.name, (trigger if dialect.takes_trigger else "") + opening) for dialect in dialects for opening in dialect.openings]


def _branch(first: str, number: int, spellings: Sequence[tuple[str, list[str]]]) -> str:
    """A pattern for all spellings that begin with one character, or for the tail that may become one of them."""
    # the common first character stands in front of everything, so that the engine skips to it instead of trying each alternative at each character,
    # and the look-ahead drops the '<' of ordinary code and markup at its next character
    ahead = "|".join(sorted({r"[\s|｜]" if elements[0] == SPACE else elements[0] for _, elements in spellings}))
    complete = "|".join(f"(?P<{group}>{''.join(elements)})" for group, elements in spellings)
    prefixes = "|".join(proper_prefix(elements) for _, elements in spellings)
    return rf"{re.escape(first)}(?={ahead}|\Z)(?:{complete}|(?P<partial_{number}>(?:{prefixes})\Z))"


COMPOSER = Grammar()
"""Composer's own markers and no others."""
