"""The tools that a client offers and its choice among them.

Theory of operation: `tools` (nested, or flat as Responses writes them) and the legacy `functions` come in; a tuple of `Tool` with unique names goes
out, in the order sent, schemas untouched. `tool_choice` (or the legacy `function_call`) comes out as a `ToolChoice`; a function that is not offered
is the client's error. `allowed_tools` narrows the tools to those it names, which is what it means. Tools that OpenAI hosts cannot be run here: they
are left out with a Notice.
"""

from typing import TypeVar

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.body import check_count, is_list, read
from pipeline.request import Json, Tool, ToolChoice, ToolMode

T = TypeVar("T")

# Responses' hosted tools; dated variants (`web_search_preview_2025_03_11`) begin with one of these
HOSTED_TOOLS = ("web_search", "file_search", "code_interpreter", "computer", "image_generation", "mcp", "local_shell")

MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED, "any": ToolMode.REQUIRED}


class FunctionBody(msgspec.Struct, frozen=True):
    """A function as offered, nested or legacy."""

    name: str
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None


class ToolBody(msgspec.Struct, frozen=True):
    """A tool as sent; `function` in the nested form, the fields after it in the flat one."""

    type: str = "function"
    function: FunctionBody | None = None
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None


class NamedBody(msgspec.Struct, frozen=True):
    """Anything that points to a function by name."""

    name: str


class AllowedBody(msgspec.Struct, frozen=True):
    """The object under `allowed_tools`."""

    tools: list["ChoiceBody"]
    mode: str = "auto"


class ChoiceBody(msgspec.Struct, frozen=True):
    """An object form of `tool_choice`, and an entry of `allowed_tools`; Responses writes name, mode and tools flat."""

    type: str = "function"
    function: NamedBody | None = None
    name: str | None = None
    allowed_tools: AllowedBody | None = None
    mode: str = "auto"
    tools: list["ChoiceBody"] | None = None


class Toolbox(msgspec.Struct, frozen=True):
    """What the model may call, what the client said about calling, what was mapped or left out, and the names of fields that were not read."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    notices: tuple[Notice, ...] = ()
    unread: tuple[str, ...] = ()


def read_toolbox(fields: dict[str, Json]) -> Toolbox:
    """The tools and the choice in a body.

    Raises:
        RequestError: a wrong type, an empty or repeated name, a choice that is not offered; `param` names the field.
        UnsupportedParameter: a custom tool.

    >>> read_toolbox({"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "required"}).choice
    ToolChoice(mode=<ToolMode.REQUIRED: 'required'>, name=None)
    """
    notices: list[Notice] = []
    tools: dict[str, Tool] = {}
    for index, body in enumerate(_list(fields, "tools", list[ToolBody])):
        _offer(tools, body, f"tools[{index}]", notices)
    functions = _list(fields, "functions", list[FunctionBody])
    for index, function in enumerate(functions):
        _add(tools, function, f"functions[{index}]")
    if functions or fields.get("function_call") is not None:
        notices.append(Notice("legacy_functions", "functions and function_call were read as tools and tool_choice"))
    given = [name for name in ("tool_choice", "function_call") if fields.get(name) is not None]
    choice, kept = _choice(fields[given[0]], given[0], tuple(tools.values())) if given else (ToolChoice(), tuple(tools.values()))
    return Toolbox(kept, choice, tuple(dict.fromkeys(notices)), tuple(given[1:]))


def _list(fields: dict[str, Json], name: str, shape: type[list[T]]) -> list[T]:
    value = fields.get(name)
    if value is None:
        return []
    check_count(len(value) if is_list(value) else 0, name, name)
    return read(value, shape, name)


def _offer(tools: dict[str, Tool], body: ToolBody, path: str, notices: list[Notice]) -> None:
    if body.type.startswith(HOSTED_TOOLS):
        notices.append(Notice("hosted_tool_ignored", f"{body.type} runs at OpenAI, not here"))
        return
    if body.type == "custom":
        raise UnsupportedParameter(f"{path}.type custom is not supported here: offer a function.", param=f"{path}.type")
    if body.type != "function":
        raise RequestError(f"{path}.type must be function.", param=f"{path}.type")
    if body.function is not None:
        _add(tools, body.function, f"{path}.function")
    elif body.name is not None:
        notices.append(Notice("flat_tools", "tools in the Responses form were read as Chat Completions tools"))
        _add(tools, FunctionBody(body.name, body.description, body.parameters, body.strict), path)
    else:
        raise RequestError(f"{path}.function is required.", param=f"{path}.function")


def _add(tools: dict[str, Tool], function: FunctionBody, path: str) -> None:
    if not function.name.strip():
        raise RequestError(f"{path}.name must not be empty.", param=f"{path}.name")
    if function.name in tools:
        raise RequestError(f"{path}.name is offered twice; tool names must be unique.", param=f"{path}.name")
    tools[function.name] = Tool(function.name, function.description or "", function.parameters or {}, function.strict)


def _choice(value: Json, path: str, tools: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """The choice, and the tools that it leaves on offer."""
    if isinstance(value, str):
        return ToolChoice(_mode(value, path, tools)), tools
    if not isinstance(value, dict):
        raise RequestError(f"{path} must be a string or an object.", param=path)
    body = read(value, ChoiceBody, path)
    if body.type in MODES:
        return ToolChoice(_mode(body.type, f"{path}.type", tools)), tools
    if body.type == "allowed_tools":
        return _allowed(body, path, tools)
    return ToolChoice(ToolMode.FUNCTION, _pointed(body, path, frozenset(tool.name for tool in tools))), tools


def _allowed(body: ChoiceBody, path: str, tools: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    if body.allowed_tools is not None:
        path, entries, mode = f"{path}.allowed_tools", body.allowed_tools.tools, body.allowed_tools.mode
    else:
        entries, mode = body.tools or [], body.mode
    offered = frozenset(tool.name for tool in tools)
    names = {_pointed(entry, f"{path}.tools[{index}]", offered) for index, entry in enumerate(entries)}
    if not names:
        raise RequestError(f"{path}.tools must name at least one tool.", param=f"{path}.tools")
    return ToolChoice(_mode(mode, f"{path}.mode", tools)), tuple(tool for tool in tools if tool.name in names)


def _mode(word: str, path: str, tools: tuple[Tool, ...]) -> ToolMode:
    mode = MODES.get(word)
    if mode is None:
        raise RequestError(f"{path} must be one of {', '.join(MODES)}, or an object that names a function.", param=path)
    if mode is ToolMode.REQUIRED and not tools:
        raise RequestError(f"{path} asks for a tool call, but no tools are offered.", param=path)
    return mode


def _pointed(body: ChoiceBody, path: str, offered: frozenset[str]) -> str:
    """The name that an entry points to, which must be on offer."""
    if body.type != "function":
        raise UnsupportedParameter(f"{path}.type must be function.", param=f"{path}.type")
    nested = body.function is not None
    name = body.function.name if body.function is not None else body.name
    param = f"{path}.function.name" if nested else f"{path}.name"
    if name is None:
        raise RequestError(f"{path}.function is required.", param=f"{path}.function")
    if name not in offered:
        raise RequestError(f"{param} is not one of the tools offered.", param=param)
    return name
