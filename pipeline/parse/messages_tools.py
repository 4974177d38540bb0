"""The tools of a Messages body and the choice among them.

Theory of operation: the entries of `tools` come in; those with an `input_schema`, which is all that a client defines itself, come out as `Tool` with
unique names, in the order sent, schemas untouched. Typed tools, dated as `web_search_20250305`, have forms that only Anthropic's own models and
servers know, whoever runs them: they are left out with a Notice. `tool_choice` comes out as a `ToolChoice`, and `disable_parallel_tool_use` beside
it. A choice of what was left out is none, and a choice of what was never offered is the client's error. Fields of a tool that nobody reads stay with
it (`extra`).
"""

import re

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import check_count, is_list, read
from pipeline.parse.messages_blocks import unread
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.tools import HOSTED
from pipeline.parse.quirks.typed import needed_text, object_at, objects, required, text_at
from pipeline.request import Json, Tool, ToolChoice, ToolMode

MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "any": ToolMode.REQUIRED}

TYPED = (*HOSTED, "advisor_", "browser_")
"""How the types of tools begin that only their provider knows."""

_DATED = re.compile(r"_20\d{6}\Z", re.ASCII)
_READ_OF_TOOL = frozenset({"type", "name", "description", "input_schema", "strict"})
_READ_OF_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})


class ToolsRead(msgspec.Struct, frozen=True):
    """What the model may call, what the client said about calling, and whether it may make several calls at once."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    parallel: bool


def read_tools(fields: dict[str, Json], ledger: Ledger) -> ToolsRead:
    """The tools and the choice in a body.

    Raises:
        RequestError: a wrong type, an unknown kind, an empty or repeated name, a choice that is not offered; `param` names the field.

    >>> found = read_tools({"tools": [{"name": "now", "input_schema": {}}], "tool_choice": {"type": "any"}}, Ledger())
    >>> found.tools, found.choice.mode.value, found.parallel
    ((Tool(name='now'),), 'required', True)
    """
    value = fields.get("tools")
    check_count(len(value) if is_list(value) else 0, "tools", "tools")
    entries = [] if value is None else objects(value, "tools")
    tools: dict[str, Tool] = {}
    dropped: set[str] = set()
    for index, entry in enumerate(entries):
        path = f"tools[{index}]"
        kind = text_at(entry, "type", path)
        if kind in (None, "custom"):
            tool = _tool(entry, path)
            if tool.name in tools:
                raise RequestError(f"{path}.name is offered twice; tool names must be unique.", param=f"{path}.name")
            tools[tool.name] = tool
        else:
            ledger.repaired("hosted_tool_ignored", f"{_word(kind, path)} is a tool of Anthropic's own models and servers")
            dropped.add(text_at(entry, "name", path) or "")
    return _chosen(fields.get("tool_choice"), tools, frozenset(dropped - tools.keys()), ledger)


def _tool(entry: dict[str, Json], path: str) -> Tool:
    name = needed_text(entry, "name", path)
    if not name.strip():
        raise RequestError(f"{path}.name must not be empty.", param=f"{path}.name")
    schema = object_at(entry, "input_schema", path)
    if schema is None:
        raise required(f"{path}.input_schema")
    strict = entry.get("strict")
    if strict is not None and not isinstance(strict, bool):
        read(strict, bool, f"{path}.strict")
    return Tool(name, text_at(entry, "description", path) or "", schema, strict, extra=unread(entry, _READ_OF_TOOL))


def _word(kind: str | None, path: str) -> str:
    """Our word for a typed tool, without what a client may have put behind it; raises RequestError for a type that is none of Anthropic's."""
    kind = kind or ""
    for word in TYPED:
        if kind.startswith(word):
            return word.rstrip("_")
    if _DATED.search(kind):
        return "a typed tool"
    instead = ": a tool of Chat Completions has its place in /v1/chat/completions" if kind == "function" else ", or one that Anthropic defines"
    raise RequestError(f"{path}.type must be custom{instead}.", param=f"{path}.type")


# -- the choice


def _chosen(value: Json, tools: dict[str, Tool], dropped: frozenset[str], ledger: Ledger) -> ToolsRead:
    """`dropped` are the names of the tools that were left out."""
    offered = tuple(tools.values())
    choice = object_at({"tool_choice": value}, "tool_choice", "") if value is not None else None
    if choice is None:
        return ToolsRead(offered, ToolChoice(), parallel=True)
    kind = needed_text(choice, "type", "tool_choice")
    ledger.ignore(*(f"tool_choice.{name}" for name in unread(choice, _READ_OF_CHOICE)))
    alone = choice.get("disable_parallel_tool_use")
    if alone is not None and not isinstance(alone, bool):
        read(alone, bool, "tool_choice.disable_parallel_tool_use")
    if kind == "tool":
        name = needed_text(choice, "name", "tool_choice")
        if name not in tools and name not in dropped:
            raise RequestError("tool_choice.name is not one of the tools offered.", param="tool_choice.name")
        asked = ToolChoice(ToolMode.FUNCTION, name) if name in tools else None
    elif kind in MODES:
        asked = ToolChoice(MODES[kind])
        if asked.mode is ToolMode.REQUIRED and not tools:
            if not dropped:
                raise RequestError("tool_choice asks for a tool call, but no tools are offered.", param="tool_choice")
            asked = None
    else:
        raise RequestError(f"tool_choice.type must be {', '.join(MODES)} or tool.", param="tool_choice.type")
    if asked is None:
        ledger.repaired("tool_choice_dropped", "tool_choice asked for a tool that was left out")
    return ToolsRead(offered, asked or ToolChoice(), parallel=alone is not True)
