"""The head of a call: its name, and the form in which its arguments follow.

::

    pairs     name <sep> key …                                    Composer's own
    json      {"name": …, "arguments": …}                         the name comes with the body
    sep-json  name <sep> {…}                                      DeepSeek V3.1
              function <sep> name NL ```json {…} ```              DeepSeek V3 and R1
    inline    name(k=v, …)  or  name [k=v, …]
    name      name, and the call ends

The head is read as a whole before anything of the call leaves, so that prose behind a stray marker can still be given back as prose.
"""

import re
from enum import Enum, auto
from typing import NamedTuple

from pipeline.machine.grammar import COMPOSER
from pipeline.machine.markers import NAME, Kind
from pipeline.machine.tape import Tape, Verdict

MAX_HEAD_CHARS = 512
_HEAD = re.compile(rf"\s{{0,16}}(?P<name>{NAME})(?P<gap>\s{{0,16}})")
_NATIVE = re.compile(rf"\s{{0,16}}(?P<name>{NAME})[ \t]{{0,16}}\r?\n\s{{0,16}}(?:```(?:json)?\s{{0,16}})?(?=\{{)")
_NATIVE_SO_FAR = re.compile(rf"\s{{0,16}}(?:{NAME}(?:[ \t]{{0,16}}(?:\r?(?:\n\s{{0,16}}(?:`(?:`(?:`(?:json|jso|js|j)?\s{{0,16}})?)?)?)?)?)?)?\Z")


class Form(Enum):
    """How the arguments follow. FENCE_END: they have been read. PROSE: this is no call. CUT: the stream ended inside the head."""

    PAIRS = auto()
    JSON = auto()
    SEP_JSON = auto()
    INLINE = auto()
    NAME = auto()
    FENCE_END = auto()
    PROSE = auto()
    CUT = auto()


class Head(NamedTuple):
    """`stop` is where the body begins; for PAIRS that is the first separator marker, for NAME the marker behind the name."""

    form: Form
    name: str
    stop: int


def read_head(tape: Tape, *, may_be_native: bool = True) -> Head | None:
    """The head at the tape's position, None while more text is needed. `may_be_native`: no tool is called `function`, so the word says the form."""
    text, at = tape.text, tape.at
    start = tape.skip_space(at)
    if start == len(text):
        return _undecided(tape, "")
    if text[start] == "{":
        return Head(Form.JSON, "", start)
    found = _HEAD.match(text, at)
    if not found:
        return Head(Form.PROSE, "", start)
    name, stop = found["name"], found.end()
    if stop == len(text):
        return _undecided(tape, name)
    if text[stop] in "([":
        return Head(Form.INLINE, name, stop)
    marker = COMPOSER.at(text, stop)
    if marker is None:
        return Head(Form.PROSE, name, stop)
    if marker.kind is Kind.PARTIAL:
        return _undecided(tape, name)
    if marker.kind is Kind.SEP:
        return _behind_separator(tape, name, marker.start, marker.stop, may_be_native=may_be_native)
    if marker.kind in (Kind.CALL_END, Kind.CALLS_END, Kind.CALL_BEGIN):
        return Head(Form.NAME, name, stop)
    return Head(Form.PROSE, name, stop)


def _behind_separator(tape: Tape, name: str, separator: int, at: int, *, may_be_native: bool) -> Head | None:
    start = tape.skip_space(at)
    if start == len(tape.text):
        return _undecided(tape, name)
    if tape.text[start] == "{":
        return Head(Form.SEP_JSON, name, start)
    if may_be_native and name.lower() == "function":
        native = _NATIVE.match(tape.text, at)
        if native:
            return Head(Form.SEP_JSON, native["name"], native.end())
        if _NATIVE_SO_FAR.match(tape.text, at):
            return _undecided(tape, name)
    return Head(Form.PAIRS, name, separator)


def _undecided(tape: Tape, name: str) -> Head | None:
    if tape.undecided() is Verdict.WAIT and len(tape.text) - tape.at <= MAX_HEAD_CHARS:
        return None
    return Head(Form.PROSE if tape.ended is None else Form.CUT, name, len(tape.text))
