"""One JSON object, read while its text arrives: which member begins, what of a string has come, and where the object ends.

Text goes in at any cut; a sink is told of each member. A member's string value is passed on as it arrives, in its own source text, where the sink
wants it so; every other value is passed on when it is complete. Nothing but the current key, the current value and half an escape is kept, and each
character is looked at once. What stands inside a string is never a marker. The reader checks what it streams (escapes, control characters, halves of
surrogate pairs) as strictly as the decoder that a client will use; the first character that cannot be JSON makes it `BROKEN`, and nothing is guessed.

::

    {  ─▶ KEY ─▶ COLON ─▶ VALUE ─┬▶ STRING ─┬▶ COMMA ─▶ KEY …
                                 └▶ OTHER  ─┘        └▶ DONE
"""

import re
from enum import Enum, auto
from typing import Protocol

from pipeline.machine.values.json_source import string_of, type_of

_SPACE = re.compile(r"[ \t\n\r]*")
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_RUN = re.compile(rf'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}}|{_PAIR}))*+')
_ESCAPE_SO_FAR = re.compile(r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?\Z")
_PLAIN = re.compile(r'[^"{}\[\],]+')


class State(Enum):
    """What may come next."""

    START = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    STRING = auto()
    OTHER = auto()
    COMMA = auto()
    DONE = auto()
    BROKEN = auto()
    TOO_LARGE = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.START: {"{": State.KEY},
    State.KEY: {"key": State.COLON, "}": State.DONE},
    State.COLON: {":": State.VALUE},
    State.VALUE: {"string that streams": State.STRING, "any other": State.OTHER},
    State.STRING: {"piece": State.STRING, "closing quote": State.COMMA},
    State.OTHER: {"complete": State.COMMA},
    State.COMMA: {",": State.KEY, "}": State.DONE},
    State.DONE: {},
    State.BROKEN: {},
    State.TOO_LARGE: {},
}


class Sink(Protocol):
    """Who is told of the members, in order."""

    def member(self, key: str) -> bool:
        """A member begins; True: its value, if it is a string, is wanted piece by piece."""
        ...

    def begin_string(self) -> None:
        """The value is such a string."""
        ...

    def string(self, source: str) -> None:
        """More of it, as it stands between the quotes."""
        ...

    def end_string(self) -> None:
        """The string is complete."""
        ...

    def value(self, source: str) -> bool:
        """Any other value, complete; False when it is no JSON."""
        ...


class Members:
    """A sink that keeps the members: `pairs` are keys and JSON source, in order."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._key = ""

    def member(self, key: str) -> bool:
        """A member begins; its value is wanted whole."""
        self._key = key
        return False

    def begin_string(self) -> None:
        """Not asked for."""

    def string(self, source: str) -> None:
        """Not asked for."""

    def end_string(self) -> None:
        """Not asked for."""

    def value(self, source: str) -> bool:
        """A complete value."""
        self.pairs.append((self._key, source))
        return type_of(source) is not None


class ObjectReader:
    """Reads one object, from its opening brace to its closing one."""

    def __init__(self, sink: Sink, max_kept_chars: int, *, discards: bool = False) -> None:
        """`max_kept_chars` bounds a key and a value that does not stream; a longer one makes the reader `TOO_LARGE`.

        A reader that discards only finds the object's end: it keeps nothing and tells its sink nothing.
        """
        self._discards = discards
        self.state = State.START
        self._max_kept_chars = max_kept_chars
        self._kept_chars = 0
        self._sink = sink
        self._streams = False
        self._first = True
        self._kept: list[str] = []
        self._nesting: list[str] = []
        self._in_string = False

    @property
    def is_over(self) -> bool:
        """Whether the object ended, or cannot be one."""
        return self.state in (State.DONE, State.BROKEN, State.TOO_LARGE)

    def read(self, text: str, at: int) -> int:
        """Consume from `at`; the position behind what was consumed, which is held text or what follows the object."""
        while not self.is_over:
            stop = self._step(text, at)
            if stop is None:
                break
            at = stop
        return at

    def _step(self, text: str, at: int) -> int | None:
        """One step; None when more text is needed."""
        if self.state is State.STRING:
            return self._string(text, at)
        if self.state is State.OTHER:
            return self._other(text, at)
        if self.state is State.KEY and (self._kept or self._in_string):
            return self._key(text, at)
        found = _SPACE.match(text, at)
        start = found.end() if found else at
        if start == len(text):
            return start if start > at else None
        return self._punctuation(text[start], start)

    def _punctuation(self, character: str, at: int) -> int:
        if self.state is State.KEY and character == '"':
            self._in_string = True
            self._keep(character)
            return at + 1
        if self.state is State.VALUE:
            streams = self._streams and character == '"'
            if streams:
                self._sink.begin_string()
            self._to("string that streams" if streams else "any other")
            return at + 1 if streams else at
        # no member behind a comma that says that one follows
        if character == "}" and self.state is State.KEY and not self._first:
            character = ""
        self._to(character)
        return at + 1

    def _run(self, text: str, at: int) -> int:
        """The end of the string's characters at `at`, which is its closing quote, the end of the text, or half an escape."""
        found = _RUN.match(text, at)
        stop = found.end() if found else at
        if stop < len(text) and text[stop] != '"' and not _ESCAPE_SO_FAR.match(text, stop):
            self.state = State.BROKEN
        return stop

    def _key(self, text: str, at: int) -> int | None:
        stop = self._run(text, at)
        self._keep(text[at:stop])
        if self.is_over or stop == len(text) or text[stop] != '"':
            return stop if stop > at else None
        key = "" if self._discards else string_of(self._take() + '"')
        self._in_string = self._first = False
        if key is None:
            self.state = State.BROKEN
            return stop
        self._streams = not self._discards and self._sink.member(key)
        self._to("key")
        return stop + 1

    def _string(self, text: str, at: int) -> int | None:
        stop = self._run(text, at)
        if stop > at:
            self._sink.string(text[at:stop])
        if self.state is State.BROKEN or stop == len(text) or text[stop] != '"':
            return stop if stop > at else None
        self._sink.end_string()
        self._to("closing quote")
        return stop + 1

    def _other(self, text: str, at: int) -> int | None:
        """A value that is passed on when it is complete: its end is the comma or brace that belongs to the object itself."""
        start = at
        while at < len(text):
            if self._in_string:
                stop = self._run(text, at)
                if self.state is State.BROKEN or stop == len(text) or text[stop] != '"':
                    at = stop
                    break
                self._in_string = False
                at = stop + 1
                continue
            character = text[at]
            if not self._nesting and character in ",}]":
                self._keep(text[start:at])
                if not self.is_over:
                    self._end_other()
                return at
            if character == '"':
                self._in_string = True
            elif character in "{[":
                self._nesting.append("}" if character == "{" else "]")
            elif character in "}]" and self._nesting.pop() != character:
                self._keep(text[start:at])
                self.state = self.state if self.is_over else State.BROKEN
                return at
            plain = _PLAIN.match(text, at)
            at = plain.end() if plain else at + 1
        self._keep(text[start:at])
        return at if at > start else None

    def _end_other(self) -> None:
        if self._discards or self._sink.value(self._take().strip()):
            self._to("complete")
        else:
            self.state = State.BROKEN

    def _keep(self, text: str) -> None:
        if text and not self._discards:
            self._kept.append(text)
            self._kept_chars += len(text)
            if self._kept_chars > self._max_kept_chars:
                self.state = State.TOO_LARGE

    def _take(self) -> str:
        text = "".join(self._kept)
        self._kept, self._kept_chars = [], 0
        return text

    def _to(self, what: str) -> None:
        self.state = TRANSITIONS[self.state].get(what, State.BROKEN)
