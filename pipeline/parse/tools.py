"""The tools that a client offers and its choice among them.

Theory of operation: `tools` (functions and custom tools, nested, or flat as Responses writes them) and the legacy `functions` come in; a tuple of
`Tool` with unique names goes out, in the order sent, schemas and grammars untouched. `tool_choice` (or the legacy `function_call`) comes out as a
`ToolChoice`; a tool that is not offered is the client's error. `allowed_tools` narrows the tools to those it names, which is what it means. Tools
that OpenAI hosts cannot be run here: they are left out with a Notice. Fields of a tool that nobody reads stay with it (`extra`); those inside its
`function` or `custom` stand there under that name.
"""

from typing import TypeVar

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.body import check_count, is_list, is_object, read, unread
from pipeline.parse.custom_tools import CustomBody, read_grammar
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
    """A tool as sent; `function` or `custom` in the nested form, the fields after them in the flat one."""

    type: str = "function"
    function: FunctionBody | None = None
    custom: CustomBody | None = None
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None


_NULL_IS_ABSENT = frozenset(ToolBody.__struct_fields__)
_READ_INSIDE_FUNCTION = frozenset(FunctionBody.__struct_fields__)
_READ_OF_NESTED = {kind: frozenset({"type", kind}) for kind in ("function", "custom")}
_READ_INSIDE_CUSTOM = frozenset(CustomBody.__struct_fields__)
_READ_OF_FLAT_FUNCTION = frozenset({"type", *FunctionBody.__struct_fields__})
_READ_OF_FLAT_CUSTOM = frozenset({"type", *CustomBody.__struct_fields__})


class NamedBody(msgspec.Struct, frozen=True):
    """Anything that points to a tool by name."""

    name: str


class AllowedBody(msgspec.Struct, frozen=True):
    """The object under `allowed_tools`."""

    tools: list["ChoiceBody"]
    mode: str = "auto"


class ChoiceBody(msgspec.Struct, frozen=True):
    """An object form of `tool_choice`, and an entry of `allowed_tools`; Responses writes name, mode and tools flat."""

    type: str = "function"
    function: NamedBody | None = None
    custom: NamedBody | None = None
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
        UnsupportedParameter: a choice of another kind than a function or a custom tool.

    >>> read_toolbox({"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "required"}).choice
    ToolChoice(mode=<ToolMode.REQUIRED: 'required'>, name=None)
    """
    notices: list[Notice] = []
    tools: dict[str, Tool] = {}
    for index, body in enumerate(_list(fields, "tools", list[ToolBody])):
        _offer(tools, body, fields["tools"][index], f"tools[{index}]", notices)
    functions = _list(fields, "functions", list[FunctionBody])
    for index, function in enumerate(functions):
        _add(tools, _function(function, fields["functions"][index], {}), f"functions[{index}]")
    if functions or fields.get("function_call") is not None:
        notices.append(Notice("legacy_functions", "functions and function_call were read as tools and tool_choice"))
    given = [name for name in ("tool_choice", "function_call") if fields.get(name) is not None]
    choice, kept = _choice(fields[given[0]], given[0], tuple(tools.values())) if given else (ToolChoice(), tuple(tools.values()))
    besides = (f"{name}.{key}" for name in given[:1] if is_object(fields[name]) for key in fields[name] if key not in ChoiceBody.__struct_fields__)
    return Toolbox(kept, choice, tuple(dict.fromkeys(notices)), (*given[1:], *besides))


def _list(fields: dict[str, Json], name: str, shape: type[list[T]]) -> list[T]:
    value = fields.get(name)
    if value is None:
        return []
    check_count(len(value) if is_list(value) else 0, name, name)
    return read(value, shape, name)


def _offer(tools: dict[str, Tool], body: ToolBody, sent: dict[str, Json], path: str, notices: list[Notice]) -> None:
    """Add what one entry of `tools` offers; `body` is what was read of the entry that was `sent`."""
    kind = body.type
    if kind.startswith(HOSTED_TOOLS):
        notices.append(Notice("hosted_tool_ignored", f"{kind} runs at OpenAI, not here"))
        return
    if kind not in _READ_OF_NESTED:
        raise RequestError(f"{path}.type must be function or custom.", param=f"{path}.type")
    nested = body.custom if kind == "custom" else body.function
    if nested is None and body.name is None:
        raise RequestError(f"{path}.{kind} is required.", param=f"{path}.{kind}")
    if nested is None:
        notices.append(Notice("flat_tools", "tools in the Responses form were read as Chat Completions tools"))
    else:
        path = f"{path}.{kind}"
    extra = {} if nested is None else unread(sent, _READ_OF_NESTED[kind], _NULL_IS_ABSENT)
    if isinstance(nested, CustomBody):
        tool = _custom(nested, sent["custom"], path, extra)
    elif nested is not None:
        tool = _function(nested, sent["function"], extra)
    else:
        tool = _flat(body, sent, path)
    _add(tools, tool, path)


def _flat(body: ToolBody, sent: dict[str, Json], path: str) -> Tool:
    name = body.name or ""
    if body.type == "custom":
        grammar, besides = read_grammar(sent.get("format"), f"{path}.format")
        extra = unread(sent, _READ_OF_FLAT_CUSTOM, _NULL_IS_ABSENT) | ({"custom": {"format": besides}} if besides else {})
        return Tool(name, body.description or "", custom=True, grammar=grammar, extra=extra)
    extra = unread(sent, _READ_OF_FLAT_FUNCTION, _NULL_IS_ABSENT)
    return Tool(name, body.description or "", body.parameters or {}, body.strict, extra=extra)


def _function(body: FunctionBody, sent: dict[str, Json], extra: dict[str, Json]) -> Tool:
    """`extra` is what stands unread around the function that was `sent`."""
    if inside := unread(sent, _READ_INSIDE_FUNCTION):
        extra = {**extra, "function": inside}
    return Tool(body.name, body.description or "", body.parameters or {}, body.strict, extra=extra)


def _custom(body: CustomBody, sent: dict[str, Json], path: str, extra: dict[str, Json]) -> Tool:
    """`extra` is what stands unread around the custom tool that was `sent`."""
    grammar, besides = read_grammar(body.format, f"{path}.format")
    inside = unread(sent, _READ_INSIDE_CUSTOM) | ({"format": besides} if besides else {})
    return Tool(body.name, body.description or "", custom=True, grammar=grammar, extra={**extra, "custom": inside} if inside else extra)


def _add(tools: dict[str, Tool], tool: Tool, path: str) -> None:
    if not tool.name.strip():
        raise RequestError(f"{path}.name must not be empty.", param=f"{path}.name")
    if tool.name in tools:
        raise RequestError(f"{path}.name is offered twice; tool names must be unique.", param=f"{path}.name")
    tools[tool.name] = tool


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
        raise RequestError(f"{path} must be one of {', '.join(MODES)}, or an object that names a tool.", param=path)
    if mode is ToolMode.REQUIRED and not tools:
        raise RequestError(f"{path} asks for a tool call, but no tools are offered.", param=path)
    return mode


def _pointed(body: ChoiceBody, path: str, offered: frozenset[str]) -> str:
    """The name that an entry points to, which must be on offer."""
    if body.type not in _READ_OF_NESTED:
        raise UnsupportedParameter(f"{path}.type must be function or custom.", param=f"{path}.type")
    nested = body.custom if body.type == "custom" else body.function
    name = body.name if nested is None else nested.name
    param = f"{path}.name" if nested is None else f"{path}.{body.type}.name"
    if name is None:
        raise RequestError(f"{path}.{body.type} is required.", param=f"{path}.{body.type}")
    if name not in offered:
        raise RequestError(f"{param} is not one of the tools offered.", param=param)
    return name
