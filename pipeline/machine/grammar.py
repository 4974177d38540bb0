"""Finding markers in text: one regular expression for all that mean something in one upstream's answers.

It is generated from the spellings of `markers`, which are Composer's, and from the openings of the dialects that are switched on. It finds, in one C
scan, the first complete marker or the tail that is a proper prefix of one. So text is held back exactly while it can still become a marker, and never
longer than the longest marker. What a marker *means* where it stands is not decided here.

A trigger is another one for each request, and compiling costs more than many an answer's reading. So the expression holds no more of it than its
first two characters, which begin all of our triggers and none of the openings; the rest is compared where they stand.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pipeline.machine.forms.dialects import Dialect
from pipeline.machine.markers import SPACE, SPELLINGS, Kind, Marker, proper_prefix, spelling


class Grammar:
    """The markers that mean something in one upstream's answers: Composer's, unless `markers` is False, and those of the dialects that are on.

    `trigger` is a text of this request's own behind which alone a dialect that has one is read; white space may stand between the two. `openers`
    finds a character other than '<' with which a marker may begin; it is None where there is none.

    >>> Grammar().find("a <| Tool▁Sep ｜> b")
    Marker(kind=<Kind.SEP: 'sep'>, start=2, stop=16, dialect='')
    >>> Grammar().find("a < b"), Grammar().find("a <|tool_c")
    (None, Marker(kind=<Kind.PARTIAL: 'partial'>, start=2, stop=10, dialect=''))
    >>> Grammar(markers=False).find("a <|tool_sep|> b") is None
    True
    """

    def __init__(self, dialects: Sequence[Dialect] = (), trigger: str = "", *, markers: bool = True) -> None:
        self.dialects = {dialect.name: dialect for dialect in dialects}
        self._trigger = trigger
        behind = tuple(dialect for dialect in dialects if trigger and dialect.takes_trigger)
        compiled = _compiled(tuple(dialect for dialect in dialects if dialect not in behind), trigger[:_SEEN] if behind else "", markers=markers)
        self._scan, self._meanings, self.openers = compiled
        self._behind, self._openings = _behind_trigger(behind)

    def find(self, text: str, start: int = 0) -> Marker | None:
        """The first marker at or behind `start`, or the tail that may become one (`PARTIAL`, which always reaches the end of the text)."""
        search = self._scan.search
        while found := search(text, start):
            marker = self._marker(found)
            if marker is not None:
                return marker
            start = found.start() + 1
        return None

    def at(self, text: str, position: int) -> Marker | None:
        """The marker, or the tail that may become one, that begins exactly at `position`."""
        found = self._scan.match(text, position)
        return self._marker(found) if found else None

    def _marker(self, found: re.Match[str]) -> Marker | None:
        kind, dialect = self._meanings.get(found.lastgroup or "", _PARTIAL)
        return Marker(kind, found.start(), found.end(), dialect) if kind is not None else self._triggered(found.string, found.start())

    def _triggered(self, text: str, start: int) -> Marker | None:
        """What begins with the trigger's first characters: a call behind the whole trigger, what may become one, or nothing."""
        stop = start + len(self._trigger)
        ahead = text[start:stop]
        if ahead != self._trigger:
            return Marker(Kind.PARTIAL, start, len(text)) if stop > len(text) and self._trigger.startswith(ahead) else None
        found = self._behind.match(text, stop)
        if found is None:
            return None
        dialect = self._openings.get(found.lastgroup or "")
        return Marker(Kind.PARTIAL if dialect is None else Kind.DIALECT, start, found.end(), dialect or "")


_SEEN = 2
"""Characters of a trigger that the expression holds."""

_Meaning = tuple[Kind | None, str]
"""The kind of what a group finds, and its dialect; no kind where the trigger may begin."""

_PARTIAL: _Meaning = (Kind.PARTIAL, "")


class _Compiled(NamedTuple):
    """An expression, what its groups mean, and `Grammar.openers`."""

    scan: re.Pattern[str]
    meanings: dict[str, _Meaning]
    openers: re.Pattern[str] | None


@lru_cache(maxsize=64)
def _compiled(dialects: tuple[Dialect, ...], trigger_begins: str, *, markers: bool) -> _Compiled:
    meanings: dict[str, _Meaning] = {}
    branches: dict[str, list[tuple[str, list[str]]]] = {}
    for kind, word in SPELLINGS.items() if markers else ():
        meanings[str(kind)] = kind, ""
        branches.setdefault("<", []).append((str(kind), spelling(word)))
    for number, (name, opening) in enumerate((dialect.name, opening) for dialect in dialects for opening in dialect.openings):
        meanings[f"opening_{number}"] = Kind.DIALECT, name
        branches.setdefault(opening[0], []).append((f"opening_{number}", _literal(opening[1:])))
    if trigger_begins:
        meanings["trigger"] = None, ""
        branches.setdefault(trigger_begins[0], []).append(("trigger", _literal(trigger_begins[1:]) or [""]))
    others = "".join(re.escape(first) for first in branches if first != "<")
    scan = "|".join(_branch(first, number, branches[first]) for number, first in enumerate(branches))
    return _Compiled(re.compile(scan or NOTHING), meanings, re.compile(f"[{others}]") if others else None)


@lru_cache(maxsize=64)
def _behind_trigger(dialects: tuple[Dialect, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """What may stand behind a trigger: an opening, or what may become one; and the dialect of each group."""
    openings = [(dialect.name, opening) for dialect in dialects for opening in dialect.openings]
    complete = "|".join(f"(?P<opening_{number}>{re.escape(opening)})" for number, (_, opening) in enumerate(openings))
    prefixes = "|".join(proper_prefix(_literal(opening)) for _, opening in openings)
    pattern = rf"{SPACE}(?:{complete}|(?P<partial>(?:{prefixes})\Z))" if openings else NOTHING
    return re.compile(pattern), {f"opening_{number}": name for number, (name, _) in enumerate(openings)}


NOTHING = "(?!)"
"""A pattern that is found nowhere."""


def _literal(text: str) -> list[str]:
    return [re.escape(character) for character in text]


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
