"""What a tool's JSON Schema says of its arguments: which names it knows, how a key may stand in a call, and which JSON types each may have.

Only the questions that a call raises are answered; `json_types` walks the schema, and `aliases` knows what other clients call the same argument. A
key means a property: exactly, else folded where only one property folds so, else as another spelling of the role that exactly one property has, if
that property takes values of the role's type.
"""

import copy
import re
from collections.abc import Set
from functools import cached_property

from pipeline.machine.tools.aliases import Concept, concept_of, fold, folded, is_offered_as, roles_of
from pipeline.machine.tools.json_types import ANY, SchemaWalk
from pipeline.machine.tools.shapes import FREE, Shape, Shapes
from pipeline.request import Tool

MAX_KEY_CHARS = 128

_PLAIN_KEY = rf"[^\s<>=:]{{1,{MAX_KEY_CHARS}}}"
_SEPARATORS = ("\r\n", "\n", ": ", " ", "=")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.-]*\Z")


class ToolSchema:
    """One tool's arguments. `alias` is the name that the model called it by, where that name is another client's; None for its own."""

    def __init__(self, tool: Tool) -> None:
        self.name = tool.name
        self.alias: str | None = None
        self._root = tool.parameters
        self._properties = SchemaWalk(tool.parameters).properties(tool.parameters)
        self._types: dict[str, frozenset[str]] = {}
        self._shapes = Shapes(tool.parameters)
        self._folded = folded(self._properties)

    @property
    def is_open(self) -> bool:
        """True when the schema names no property at all."""
        return not self._properties

    def called(self, alias: str) -> "ToolSchema":
        """The same tool, called by a name of another client."""
        called = copy.copy(self)
        called.alias = alias
        return called

    def stands_for(self, concept: Concept) -> bool:
        """Whether the tool has a fitting property for all that the concept is about."""
        return all(self._by_role.get(role) is not None for role, meaning in concept.roles.items() if meaning.required)

    def key(self, spelling: str) -> str | None:
        """The property that a spelling means, None when it means none or more than one."""
        if spelling in self._properties or self.is_open:
            return spelling if spelling in self._properties else None
        name = fold(spelling)
        if not name:  # punctuation alone means nothing
            return None
        return self._folded[name] if name in self._folded else self._by_role.get(self._roles.get(name, ""))

    def drops(self, spelling: str) -> bool:
        """Whether a table says that an argument of this spelling may be left out, since the tool has no property for it."""
        if self.is_open or self.key(spelling) is not None or self._concept is None:
            return False
        role = self._roles.get(fold(spelling))
        return role is not None and self._concept.roles[role].drop and role not in self._by_role

    def refuses(self, spelling: str) -> bool:
        """Whether a call that came by another client's name has an argument here that means something which this tool cannot be told.

        To leave it out would do something else than was asked for: a command in another folder, one replacement where all were meant.
        """
        if self.alias is None or self._concept is None or self.key(spelling) is not None:
            return False
        role = self._roles.get(fold(spelling))
        return role is not None and not self._concept.roles[role].drop and role not in self._by_role

    def shape(self, key: str) -> Shape:
        """What the schema asks of a property's value, and of what is in it; `FREE` for one without a schema."""
        return self._shapes.of(self._properties[key]) if key in self._properties else FREE

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

    def starts_key(self, rest: str, given: Set[str]) -> bool:
        """Whether `rest`, which ends where the text so far ends, may still become a key that is not yet given and its separator."""
        spelling = rest.lstrip()
        if len(rest) > self.longest_key_chars or len(rest) - len(spelling) > 16:
            return False
        whole = spelling.removesuffix("\r").removesuffix(":")
        if self.is_open:
            return not whole or (_IDENTIFIER.match(whole) is not None and len(whole) <= MAX_KEY_CHARS and (whole == spelling or whole not in given))
        if whole != spelling and self._counts(whole, given):
            return True
        if self.starts_odd_key(rest, given):
            return True
        start = fold(spelling)
        candidates = [key for key in self._properties if key not in given]
        if any(key.startswith(spelling) for key in candidates):
            return True
        if (not spelling[:1].isalnum() and spelling) or re.search(r"[\s<>=:]", spelling):
            return False
        return any(fold(key).startswith(start) for key in candidates) or any(
            name.startswith(start) and self._is_new(name, given) for name in self._roles
        )

    def starts_odd_key(self, rest: str, given: Set[str]) -> bool:
        """Whether `rest` begins a key with a space, a colon or the like in it, so that a shorter key may not yet be taken for it."""
        spelling = rest.lstrip()
        wholes = (key + separator for key in self._odd_keys if key not in given for separator in _SEPARATORS)
        return any(len(spelling) < len(whole) and whole.startswith(spelling) for whole in wholes)

    @cached_property
    def _odd_keys(self) -> list[str]:
        return sorted((key for key in self._properties if not re.fullmatch(_PLAIN_KEY, key)), key=len, reverse=True)

    def accepts_key(self, spelling: str, separator: str, given: Set[str]) -> bool:
        """Whether a key and its separator behind a `tool_sep` inside a value begin the next argument."""
        if self.is_open:
            return separator.endswith("\n") and _IDENTIFIER.match(spelling) is not None and spelling not in given
        return self._counts(spelling, given)

    def _counts(self, spelling: str, given: Set[str]) -> bool:
        # a spelling that begins with punctuation is a key only as it stands: what may become one is not held back for the sake of a fold
        return (spelling[:1].isalnum() or spelling in self._properties) and self._is_new(spelling, given)

    def _is_new(self, spelling: str, given: Set[str]) -> bool:
        """Whether a spelling means an argument, or one that is left out, which is not among the given ones."""
        key = self.key(spelling)
        if key is None:
            return (self.drops(spelling) or self.refuses(spelling)) and fold(spelling) not in given
        return key not in given

    # -- what other clients call the same ------------------------------------------------------------------------------------------------------

    @cached_property
    def _concept(self) -> Concept | None:
        return concept_of(self.name) if is_offered_as(self.name, self._properties) else None

    @cached_property
    def _roles(self) -> dict[str, str]:
        """Folded key of any client to its role."""
        return roles_of(self._concept.name) if self._concept is not None else {}

    @cached_property
    def _by_role(self) -> dict[str, str | None]:
        """Role to the property that has it; None where several have, or where it does not take the role's type."""
        found: dict[str, str | None] = {}
        if self._concept is None:
            return found
        for key in self._properties:
            role = self._roles.get(fold(key))
            if role is not None:
                fits = role not in found and self._concept.roles[role].type in self.types(key)
                found[role] = key if fits else None
        return found
