"""The tools that the client offered, and what to do with calls that do not fit them.

Names are resolved by tables: exact, else folded (case and punctuation away) where that is unambiguous. Every choice that is not forced is an explicit
policy of the operator, and each time one is applied a Notice says so.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from pipeline.machine.schema import ToolSchema, fold, folded
from pipeline.request import Tool


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

    def __len__(self) -> int:
        return len(self._tools)

    def find(self, spelling: str) -> ToolSchema | None:
        """The tool that a name in a call means, None when no tool or more than one could be meant."""
        name = spelling if spelling in self._tools else self._folded.get(fold(spelling))
        if name is None:
            return None
        if name not in self._schemas:
            self._schemas[name] = ToolSchema(self._tools[name])
        return self._schemas[name]
