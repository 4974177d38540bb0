"""What a tool's JSON Schema says of its arguments: which names it knows, how a key may stand in a call, and which JSON types each may have.

Only the questions that a call raises are answered; `json_types` walks the schema.
"""

import re
from functools import cached_property

from pipeline.machine.json_types import ANY, SchemaWalk
from pipeline.request import Json, Tool

MAX_KEY_CHARS = 128

_PLAIN_KEY = rf"[^\s<>=:]{{1,{MAX_KEY_CHARS}}}"
_SEPARATORS = ("\r\n", "\n", ": ", " ", "=")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.-]*\Z")


def fold(name: str) -> str:
    """A name without case and punctuation, for comparing names that models spell their own way.

    >>> fold("File_Path") == fold("filePath")
    True
    """
    return "".join(character for character in name.casefold() if character.isalnum())


class ToolSchema:
    """One tool's arguments."""

    def __init__(self, tool: Tool) -> None:
        self.name = tool.name
        self._root = tool.parameters
        self._properties = SchemaWalk(tool.parameters).properties(tool.parameters)
        self._types: dict[str, frozenset[str]] = {}
        self._folded = folded(self._properties)

    @property
    def is_open(self) -> bool:
        """True when the schema names no property at all."""
        return not self._properties

    def key(self, spelling: str) -> str | None:
        """The property that a spelling means: exact, else folded where only one property folds so."""
        if spelling in self._properties:
            return spelling
        return self._folded.get(fold(spelling))

    def types(self, key: str) -> frozenset[str]:
        """The JSON types that a property allows; `ANY` for one without a schema."""
        if key not in self._types:
            self._types[key] = SchemaWalk(self._root).of(self._properties[key]) if key in self._properties else ANY
        return self._types[key]

    @cached_property
    def key_pattern(self) -> re.Pattern[str]:
        """A key and its separator, as they stand behind a `tool_sep`."""
        keys = "|".join([*map(re.escape, self._odd_keys), _PLAIN_KEY])
        return re.compile(rf"\s{{0,16}}(?P<key>{keys})(?P<separator>\r?\n|: | |=)")

    @cached_property
    def longest_key_chars(self) -> int:
        """The most characters that can stand between a `tool_sep` and the end of the separator behind its key."""
        return 16 + max([MAX_KEY_CHARS, *map(len, self._properties)]) + 2

    def starts_key(self, rest: str, given: frozenset[str]) -> bool:
        """Whether `rest`, which ends where the text so far ends, may still become a key that is not yet given and its separator."""
        spelling = rest.lstrip()
        if len(rest) > self.longest_key_chars or len(rest) - len(spelling) > 16:
            return False
        whole = spelling.removesuffix("\r").removesuffix(":")
        if self.is_open:
            return not whole or (_IDENTIFIER.match(whole) is not None and len(whole) <= MAX_KEY_CHARS and whole not in given)
        if whole != spelling:
            key = self.key(whole)
            if key is not None and key not in given:
                return True
        if self.starts_odd_key(rest, given):
            return True
        start = fold(spelling)
        candidates = [key for key in self._properties if key not in given]
        return any(key.startswith(spelling) for key in candidates) or (
            (bool(start) or not spelling) and not re.search(r"[\s<>=:]", spelling) and any(fold(key).startswith(start) for key in candidates)
        )

    def starts_odd_key(self, rest: str, given: frozenset[str]) -> bool:
        """Whether `rest` begins a key with a space, a colon or the like in it, so that a shorter key may not yet be taken for it."""
        spelling = rest.lstrip()
        wholes = (key + separator for key in self._odd_keys if key not in given for separator in _SEPARATORS)
        return any(len(spelling) < len(whole) and whole.startswith(spelling) for whole in wholes)

    @cached_property
    def _odd_keys(self) -> list[str]:
        return sorted((key for key in self._properties if not re.fullmatch(_PLAIN_KEY, key)), key=len, reverse=True)

    def accepts_key(self, spelling: str, separator: str, given: frozenset[str]) -> bool:
        """Whether a key and its separator behind a `tool_sep` inside a value begin the next argument."""
        if self.is_open:
            return separator.endswith("\n") and _IDENTIFIER.match(spelling) is not None and spelling not in given
        key = self.key(spelling)
        return key is not None and key not in given


def folded(names: dict[str, Json]) -> dict[str, str]:
    """Folded name to name, without those that fold together."""
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name in names:
        key = fold(name)
        if key in found:
            ambiguous.add(key)
        found[key] = name
    return {key: name for key, name in found.items() if key not in ambiguous}
