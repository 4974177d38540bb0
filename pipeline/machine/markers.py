"""The marker grammar: how tool calls and control tokens are spelled, and how far a piece of text could still become one.

::

    marker(X) := '<' ws P ws X ws P ws '>'        P is '|' or '｜' (U+FF5C), freely mixed; ws is at most 16 white-space characters
    X         := tool U calls U begin | tool U calls U end | tool U call U begin | tool U call U end | tool U sep | final | /final
                 U is '_' or '▁' (U+2581); letters in any case
    think end := '</think>' in any case

That is Composer's own, the table `SPELLINGS`, and it is always read; `grammar` finds them in text, beside the openings of the other dialects that an
upstream has switched on.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_SPACE = 16
"""White-space characters that may stand at each place inside a marker, and behind one where a rule looks ahead."""


class Kind(StrEnum):
    """What a marker is. `DIALECT` begins a call of another dialect; `PARTIAL` is a tail that may still become one."""

    CALLS_BEGIN = "calls_begin"
    CALLS_END = "calls_end"
    CALL_BEGIN = "call_begin"
    CALL_END = "call_end"
    SEP = "sep"
    FINAL = "final"
    FINAL_END = "final_end"
    THINK_END = "think_end"
    DIALECT = "dialect"
    PARTIAL = "partial"


TOKENS = frozenset({Kind.FINAL, Kind.THINK_END})
"""The tokens behind which the visible answer begins."""

TOOL_MARKERS = frozenset({Kind.CALLS_BEGIN, Kind.CALLS_END, Kind.CALL_BEGIN, Kind.CALL_END, Kind.SEP})
"""The markers of tool calls."""

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

SPACE = rf"\s{{0,{MAX_SPACE}}}"
"""The white space inside a marker, as a pattern."""

NAME = r"[^\s<>|｜(){}\[\]\"'`,;]{1,128}"
"""The name of a tool, as a pattern."""

_BAR = "[|｜]"


class Marker(NamedTuple):
    """A marker found in a text: `text[start:stop]`; `dialect` is the name of the dialect whose call it begins."""

    kind: Kind
    start: int
    stop: int
    dialect: str = ""


def spelling(word: str | None) -> list[str]:
    """One regular expression for each element of a spelling behind its '<', in order."""
    if word is None:
        return ["/", *(_letter(character) for character in "think>")]
    return [SPACE, _BAR, SPACE, *(_letter(character) for character in word), SPACE, _BAR, SPACE, ">"]


def proper_prefix(elements: Sequence[str]) -> str:
    """A pattern for the longest proper prefix of the sequence, the empty one included."""
    pattern = ""
    for element in reversed(elements[:-1]):
        pattern = f"(?:{element}{pattern})?"
    return pattern


def _letter(character: str) -> str:
    # ASCII letters only: under Unicode rules 'ſ' and 'K' (the Kelvin sign) would fold into s and k
    if character == "_":
        return "[_▁]"
    return f"[{character}{character.upper()}]" if character.isalpha() else re.escape(character)


LONGEST = 1 + 4 * MAX_SPACE + 2 + max(len(word or "") for word in SPELLINGS.values()) + 1
"""Characters of Composer's longest marker, white space included: the most that prose is ever held back without other dialects."""
