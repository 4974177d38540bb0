r"""A string for a simple regular expression, made without running it.

Theory of operation: patterns come from clients and may be hostile, so none is ever matched against anything. The reader walks over the pattern once
and writes one text that it describes: literals as they are, one member of each class, each quantifier at its least (`*` and `?` give
nothing), the first alternative of each group. What it does not understand (look-around, back-references, lazy marks, flags, Unicode
classes) gives None, and the caller does without.

>>> example_of(r"^[A-Z]{2}-\d{4}(?:-x)?$"), example_of("(red|green) *apple"), example_of("^(?=a)")
('AA-0000', 'redapple', None)
"""

MAX_REPEATS = 256
MAX_EXAMPLE_CHARS = 4_096

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "t": "\t", "n": "\n", "r": "\r"}
_ZERO_WIDTH = "bB"
_NOT_IN_NEGATED = "abc012XYZ-_ ."


class _Unsupported(Exception):
    """The pattern is none of the simple ones."""


def example_of(pattern: str) -> str | None:
    """A text that the pattern describes, None where that would take more than this reader knows."""
    reader = _Reader(pattern)
    try:
        text = reader.alternatives(0)
        if reader.at < len(pattern):
            return None
    except _Unsupported:
        return None
    return text if len(text) <= MAX_EXAMPLE_CHARS else None


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.at = 0
        self._pattern = pattern

    def _next(self) -> str:
        if self.at >= len(self._pattern):
            raise _Unsupported
        self.at += 1
        return self._pattern[self.at - 1]

    def _peek(self) -> str:
        return self._pattern[self.at : self.at + 1]

    def alternatives(self, depth: int) -> str:
        """Up to the end of the group or of the pattern; the first alternative's text."""
        if depth > 16:
            raise _Unsupported
        first = self._sequence(depth)
        while self._peek() == "|":
            self.at += 1
            self._sequence(depth)
        return first

    def _sequence(self, depth: int) -> str:
        pieces: list[str] = []
        while self._peek() not in ("", "|", ")"):
            piece = self._atom(depth)
            pieces.append(piece * self._repeats())
            if len(pieces[-1]) > MAX_EXAMPLE_CHARS:
                raise _Unsupported
        return "".join(pieces)

    def _atom(self, depth: int) -> str:
        character = self._next()
        if character in "^$":
            return ""
        if character == ".":
            return "a"
        if character == "\\":
            escaped = self._next()
            return "" if escaped in _ZERO_WIDTH else self._escaped(escaped)
        if character == "[":
            return self._class()
        if character == "(":
            return self._group(depth)
        if character in "*+?{":
            raise _Unsupported
        return character

    def _escaped(self, character: str) -> str:
        if character in _CLASSES:
            return _CLASSES[character]
        if character.isalnum():
            raise _Unsupported
        return character

    def _group(self, depth: int) -> str:
        if self._pattern.startswith("?:", self.at):
            self.at += 2
        elif self._peek() == "?":
            raise _Unsupported
        text = self.alternatives(depth + 1)
        if self._next() != ")":
            raise _Unsupported
        return text

    def _class(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        members: list[str] = []
        ranges: list[tuple[str, str]] = []
        while (character := self._next()) != "]" or not (members or ranges):
            escaped = character == "\\"
            if escaped:
                character = self._next()
                if negated and character.isalnum():
                    raise _Unsupported
                character = self._escaped(character)
            if self._peek() == "-" and self._pattern[self.at + 1 : self.at + 2] not in ("]", "\\", ""):
                self.at += 1
                ranges.append((character, self._next()))
            else:
                members.append(character)
        if not negated:
            return ranges[0][0] if ranges else members[0]
        for candidate in _NOT_IN_NEGATED:
            if candidate not in members and not any(low <= candidate <= high for low, high in ranges):
                return candidate
        raise _Unsupported

    def _repeats(self) -> int:
        """The least number of times that the quantifier behind an atom asks for."""
        character = self._peek()
        if character not in ("*", "+", "?", "{"):
            return 1
        self.at += 1
        count = {"*": 0, "+": 1, "?": 0}.get(character)
        if count is None:
            stop = self._pattern.find("}", self.at)
            least, _, most = self._pattern[self.at : stop].partition(",")
            if stop < 0 or not (least.isascii() and least.isdigit()) or not (most == "" or most.isdigit()) or len(least) > 4:
                raise _Unsupported
            self.at = stop + 1
            count = int(least)
        if count > MAX_REPEATS or self._peek() in ("*", "+", "?", "{"):
            raise _Unsupported
        return count
