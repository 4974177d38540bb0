"""The marker grammar: how Composer spells tool calls and control tokens, and how far a piece of text could still become one.

::

    marker(X) := '<' ws P ws X ws P ws '>'        P is '|' or '｜' (U+FF5C), freely mixed; ws is at most 16 white-space characters
    X         := tool U calls U begin | tool U calls U end | tool U call U begin | tool U call U end | tool U sep | final | /final
                 U is '_' or '▁' (U+2581); letters in any case
    think end := '</think>' in any case

The grammar is the table `SPELLINGS`; one regular expression is generated from it that finds, in one C scan, the first complete marker or the tail
that is a proper prefix of one. So text is held back exactly while it can still become a marker, and never longer than `LONGEST` characters. What a
marker *means* where it stands is not decided here.
"""

import re
from enum import StrEnum
from typing import NamedTuple

MAX_SPACE = 16
"""White-space characters that may stand at each place inside a marker, and behind one where a rule looks ahead."""


class Kind(StrEnum):
    """What a marker is. `PARTIAL` is a tail that may still become one."""

    CALLS_BEGIN = "calls_begin"
    CALLS_END = "calls_end"
    CALL_BEGIN = "call_begin"
    CALL_END = "call_end"
    SEP = "sep"
    FINAL = "final"
    FINAL_END = "final_end"
    THINK_END = "think_end"
    PARTIAL = "partial"


TOKENS = frozenset({Kind.FINAL, Kind.THINK_END})
"""The tokens behind which the visible answer begins."""

# kind -> the word between the bars; None: the literal </think>
SPELLINGS: dict[Kind, str | None] = {
    Kind.CALLS_BEGIN: "tool_calls_begin",
    Kind.CALLS_END: "tool_calls_end",
    Kind.CALL_BEGIN: "tool_call_begin",
    Kind.CALL_END: "tool_call_end",
    Kind.SEP: "tool_sep",
    Kind.FINAL: "final",
    Kind.FINAL_END: "/final",
    Kind.THINK_END: None,
}

_SPACE = rf"\s{{0,{MAX_SPACE}}}"
_BAR = "[|｜]"


class Marker(NamedTuple):
    """A marker found in a text: `text[start:stop]`."""

    kind: Kind
    start: int
    stop: int


def _elements(word: str | None) -> list[str]:
    """One regular expression for each element of a spelling behind its '<', in order."""
    if word is None:
        return [_letter(character) for character in "/think>"]
    return [_SPACE, _BAR, _SPACE, *(_letter(character) for character in word), _SPACE, _BAR, _SPACE, ">"]


def _letter(character: str) -> str:
    # ASCII letters only: under Unicode rules 'ſ' and 'K' (the Kelvin sign) would fold into s and k
    if character == "_":
        return "[_▁]"
    return f"[{character}{character.upper()}]" if character.isalpha() else re.escape(character)


def _proper_prefix(elements: list[str]) -> str:
    """A pattern for the longest proper prefix of the sequence, the empty one included."""
    pattern = ""
    for element in reversed(elements[:-1]):
        pattern = f"(?:{element}{pattern})?"
    return pattern


# the common '<' stands in front of everything, so that the engine skips to it instead of trying each alternative at each character,
# and the look-ahead drops the '<' of ordinary code and markup at its next character
_COMPLETE = "|".join(f"(?P<{kind}>{''.join(_elements(word))})" for kind, word in SPELLINGS.items())
_TAIL = rf"(?P<{Kind.PARTIAL}>(?:{'|'.join(_proper_prefix(_elements(word)) for word in SPELLINGS.values())})\Z)"
_SCAN = re.compile(rf"<(?=[\s|｜/]|\Z)(?:{_COMPLETE}|{_TAIL})")
_KINDS: dict[str | None, Kind] = {str(kind): kind for kind in Kind}

LONGEST = 1 + 4 * MAX_SPACE + 2 + max(len(word or "") for word in SPELLINGS.values()) + 1
"""Characters of the longest marker, white space included: the most that prose is ever held back."""


def find_marker(text: str, start: int = 0) -> Marker | None:
    """The first marker at or behind `start`, or the tail that may become one (`PARTIAL`, which always reaches the end of the text).

    >>> find_marker("a <| Tool▁Sep ｜> b")
    Marker(kind=<Kind.SEP: 'sep'>, start=2, stop=16)
    >>> find_marker("a < b"), find_marker("a <|tool_c")
    (None, Marker(kind=<Kind.PARTIAL: 'partial'>, start=2, stop=10))
    """
    found = _SCAN.search(text, start)
    return Marker(_KINDS[found.lastgroup], found.start(), found.end()) if found else None


def marker_at(text: str, position: int) -> Marker | None:
    """The marker, or the tail that may become one, that begins exactly at `position`."""
    found = _SCAN.match(text, position)
    return Marker(_KINDS[found.lastgroup], position, found.end()) if found else None
