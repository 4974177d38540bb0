"""The tools that the client offered, and what to do with calls that do not fit them.

A name means a tool: exactly, else folded (case and punctuation away) where only one tool folds so, else as another client's name for what exactly one
of the offered tools does (`aliases`). Which tool that is never depends on their order. That an offered tool does it is taken from its keys, since its
name may be anybody's. A name of punctuation only means nothing but itself. Every choice that is not forced is an explicit policy of the operator, and
each time one is applied a Notice says so.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cached_property

import msgspec

from pipeline.machine.tools.aliases import Concept, concept_of, fold, folded, is_offered_as
from pipeline.machine.tools.json_types import SchemaWalk
from pipeline.machine.tools.schema import ToolSchema
from pipeline.request import Tool

MAX_CALLED = 256
"""Of how many spellings a schema is kept; models use a handful, and what more there are costs a copy each."""


class Unknown(StrEnum):
    """A call to a tool that was not offered: the call's raw text, the call as it is, or an error."""

    TEXT = "text"
    PASS = "pass"
    ERROR = "error"


class Malformed(StrEnum):
    """A call whose body cannot be read: what can be read of it, its raw text where nothing has left yet, or an error."""

    RECOVER = "recover"
    TEXT = "text"
    ERROR = "error"


class ToolPolicy(msgspec.Struct, frozen=True):
    """The operator's choices for one upstream. `max_argument_bytes` bounds what is kept of one call, in characters."""

    unknown: Unknown = Unknown.TEXT
    without_tools: Unknown = Unknown.TEXT
    malformed: Malformed = Malformed.RECOVER
    max_argument_bytes: int = 16 * 1024 * 1024


class Inventory:
    """The offered tools by name."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._folded = folded(self._tools)
        self._schemas: dict[str, ToolSchema] = {}
        self._called: dict[str, ToolSchema] = {}
        self._by_concept: dict[str, str | None] = {}

    @property
    def tools(self) -> Iterable[Tool]:
        """What is offered."""
        return self._tools.values()

    def __len__(self) -> int:
        return len(self._tools)

    def find(self, spelling: str) -> ToolSchema | None:
        """The tool that a name in a call means, None when no tool or more than one could be meant.

        >>> inventory = Inventory([Tool("write", parameters={"properties": {"filePath": {}, "content": {}}})])
        >>> found = inventory.find("write_to_file")
        >>> found and (found.name, found.alias, found.key("path"))
        ('write', 'write_to_file', 'filePath')
        """
        name = spelling if spelling in self._tools else self._folded.get(fold(spelling))
        if name is not None:
            return self._schema(name)
        if spelling in self._called:
            return self._called[spelling]
        name = self._aliased(spelling)
        return None if name is None else self._call(spelling, self._schema(name))

    def _call(self, spelling: str, schema: ToolSchema) -> ToolSchema:
        """The tool under another client's name, kept for the next call by that name."""
        _ = schema.key_pattern, schema.longest_key_chars  # what a schema finds out of itself once is copied with it, and not found out again
        if len(self._called) >= MAX_CALLED:
            self._called.clear()
        self._called[spelling] = schema.called(spelling)
        return self._called[spelling]

    def _schema(self, name: str) -> ToolSchema:
        if name not in self._schemas:
            self._schemas[name] = ToolSchema(self._tools[name])
        return self._schemas[name]

    def _aliased(self, spelling: str) -> str | None:
        """The one offered tool that does what another client calls so."""
        concept = None if not self._tools or fold(spelling) in self._folds else concept_of(spelling)
        if concept is None:
            return None
        if concept.name not in self._by_concept:
            found = [name for name in self._tools if self._does(name, concept)]
            self._by_concept[concept.name] = found[0] if len(found) == 1 else None
        return self._by_concept[concept.name]

    def _does(self, name: str, concept: Concept) -> bool:
        """Whether the tool is one that a client is known to offer for this, with one fitting property for all that it is about."""
        if concept_of(name) is not concept:
            return False
        parameters = self._tools[name].parameters
        return is_offered_as(name, SchemaWalk(parameters).properties(parameters)) and self._schema(name).stands_for(concept)

    @cached_property
    def _folds(self) -> frozenset[str]:
        """The folded names of all tools: a name that folds to several of them is unknown, whatever the tables say."""
        return frozenset(map(fold, self._tools))
