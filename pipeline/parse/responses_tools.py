"""The tools of a Responses body and the choice among them.

Theory of operation: the entries of `tools` come in: functions and custom tools, flat, and namespaces that hold such. A tuple of `Tool` with unique,
flat names goes out, in the order sent, schemas and grammars untouched (`pipeline.parse.responses_namespaces`). What a namespace says of itself stands
behind the description of its first tool. Tools whose calls have forms that only OpenAI's own models and servers know (web search, a shell, its patch
tool, …) are left out with a Notice. `tool_choice` comes out as a `ToolChoice`; `allowed_tools` narrows the tools to those that it names. A choice of
what was left out is none, and a choice of what was never offered is the client's error.

`echoed` are the entries as a Response says them again: all of them, with what the schema of a Response wants of a function. Fields that only steer
OpenAI's own machinery are named in the ledger; those that nobody knows stay with their tool (`extra`).
"""

from typing import Any, NamedTuple

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import check_count, is_list, is_object, read
from pipeline.parse.custom_tools import read_grammar
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, object_at, objects, required, text_at
from pipeline.parse.responses_namespaces import Namespaces
from pipeline.parse.tools import HOSTED_TOOLS, MODES
from pipeline.request import Json, Tool, ToolChoice, ToolMode

# dated variants (`web_search_preview_2025_03_11`) begin with one of these
UNKNOWN_HERE = (*HOSTED_TOOLS, "shell", "apply_patch", "tool_search", "programmatic_tool_calling")

KINDS = ("function", "custom")
_READ = {
    "function": frozenset({"type", "name", "description", "parameters", "strict"}),
    "custom": frozenset({"type", "name", "description", "format"}),
}
_STEERING = frozenset({"allowed_callers", "async", "defer_loading", "output_schema"})
_OF_NAMESPACE = frozenset({"type", "name", "description", "tools"})
_OF_POINTER = frozenset({"type", "name", "namespace"})
_OF_ALLOWED = frozenset({"type", "mode", "tools"})


class ToolsRead(msgspec.Struct, frozen=True):
    """What the model may call, what the client said about calling, the entries as a Response has them, and the flat names."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    echoed: tuple[Json, ...]
    namespaces: Namespaces


class _Pointer(NamedTuple):
    """What an object in a choice names: a tool, perhaps of a namespace, or a namespace itself."""

    name: str
    space: str | None = None
    is_space: bool = False


def read_tools(fields: dict[str, Json], ledger: Ledger) -> ToolsRead:
    """The tools and the choice in a body.

    Raises:
        RequestError: a wrong type, an unknown kind, an empty or repeated name, a choice that is not offered; `param` names the field.

    >>> body = {"tools": [{"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]}], "tool_choice": "required"}
    >>> found = read_tools(body, Ledger("input"))
    >>> found.tools[0].name, found.choice.mode.value, found.namespaces.names
    ('crm__find', 'required', {'crm__find': ('crm', 'find')})
    """
    given = fields.get("tools")
    check_count(len(given) if is_list(given) else 0, "tools", "tools")
    entries = [] if given is None else objects(given, "tools")
    plain = (entry.get("name") for entry in entries if entry.get("type") in KINDS)
    offer = _Offer(Namespaces(name for name in plain if isinstance(name, str)), ledger)
    echoed = [offer.add(entry, f"tools[{index}]") for index, entry in enumerate(entries)]
    choice, tools = offer.choose(fields.get("tool_choice"))
    return ToolsRead(tools, choice, tuple(echoed), offer.namespaces)


class _Offer:
    """Collects the tools, and then answers what a choice points to."""

    def __init__(self, namespaces: Namespaces, ledger: Ledger) -> None:
        self.namespaces = namespaces
        self._ledger = ledger
        self._tools: dict[str, Tool] = {}
        self._spaces: dict[str, list[str]] = {}  # a namespace -> the flat names in it
        self._by_name: dict[str, list[str]] = {}  # a name -> the flat names that it may mean
        self._has_unknown = False

    def add(self, entry: dict[str, Json], path: str) -> Json:
        """Offer what one entry of `tools` holds, and give it as a Response has it."""
        kind = needed_text(entry, "type", path)
        if kind in KINDS:
            return self._add_tool(entry, kind, path, None)
        if kind == "namespace":
            return self._add_namespace(entry, path)
        word = _unknown_word(kind)
        if word is None:
            raise RequestError(f"{path}.type must be function, custom or namespace.", param=f"{path}.type")
        self._ledger.repaired("hosted_tool_ignored", f"{word} is a tool of OpenAI's own models and servers")
        self._has_unknown = True
        return entry

    def _add_namespace(self, entry: dict[str, Json], path: str) -> Json:
        space = _name(entry, path)
        about = text_at(entry, "description", path)
        if entry.get("tools") is None:
            raise required(f"{path}.tools")
        entries = objects(entry["tools"], f"{path}.tools")
        self._ledger.count(len(entries), "tools", f"{path}.tools")
        self._leave_out(entry, _OF_NAMESPACE)
        echoed: list[Json] = []
        for index, inner in enumerate(entries):
            here = f"{path}.tools[{index}]"
            kind = needed_text(inner, "type", here)
            if kind not in KINDS:
                raise RequestError(f"{here}.type must be function or custom.", param=f"{here}.type")
            echoed.append(self._add_tool(inner, kind, here, space, about if index == 0 else None))
        return {**entry, "description": about or "", "tools": echoed}

    def _add_tool(self, entry: dict[str, Json], kind: str, path: str, space: str | None, about: str | None = None) -> Json:
        name = _name(entry, path)
        flat = self.namespaces.flat(space, name)
        if flat in self._tools:
            raise RequestError(f"{path}.name is offered twice; tool names must be unique.", param=f"{path}.name")
        if space is None:
            self._by_name[name] = [flat]  # which goes before the same name in a namespace
        else:
            self._spaces.setdefault(space, []).append(flat)
            if self._by_name.get(name) != [name]:
                self._by_name.setdefault(name, []).append(flat)
        description = text_at(entry, "description", path) or ""
        shown = f"{description}\n\n(Of the group {space}: {about})".lstrip() if about else description
        extra = self._unread(entry, _READ[kind])
        if kind == "custom":
            grammar, besides = read_grammar(entry.get("format"), f"{path}.format")
            if besides:
                extra["custom"] = {"format": besides}
            self._tools[flat] = Tool(flat, shown, custom=True, grammar=grammar, extra=extra)
            return {**entry, "format": {"type": "text"} if entry.get("format") is None else entry["format"]}
        parameters = object_at(entry, "parameters", path)
        strict = entry.get("strict")
        if strict is not None and not isinstance(strict, bool):
            read(strict, bool, f"{path}.strict")
        self._tools[flat] = Tool(flat, shown, parameters or {}, strict, extra=extra)
        return {**entry, "description": description or None, "parameters": parameters, "strict": bool(strict)}

    def _unread(self, entry: dict[str, Json], known: frozenset[str]) -> dict[str, Json]:
        extra: dict[str, Json] = {}
        for name, value in entry.items():
            if name in _STEERING:
                if value is not None and value is not False:
                    self._ledger.ignore(f"tools.{name}")
            elif name not in known:
                extra[name] = value
        return extra

    def _leave_out(self, fields: dict[str, Json], known: frozenset[str], place: str = "tools") -> None:
        self._ledger.ignore(*(f"{place}.{name}" for name, value in fields.items() if name not in known and value is not None))

    # -- the choice

    def choose(self, value: Json) -> tuple[ToolChoice, tuple[Tool, ...]]:
        """The choice, and the tools that it leaves on offer; raises RequestError as `read_tools`."""
        tools = tuple(self._tools.values())
        if value is None:
            return ToolChoice(), tools
        if isinstance(value, str):
            return ToolChoice(self._mode(value, "tool_choice")), tools
        if not is_object(value):
            raise RequestError("tool_choice must be a string or an object.", param="tool_choice")
        if value.get("type") == "allowed_tools":
            return self._allowed(value)
        pointer = self._pointer(value, "tool_choice")
        if pointer is None:
            self._ledger.repaired("tool_choice_dropped", "tool_choice asked for a tool that was left out")
            return ToolChoice(), tools
        names = self._meant(pointer, "tool_choice")
        if len(names) > 1 or pointer.is_space:  # one of several
            several = frozenset(names)
            return ToolChoice(ToolMode.REQUIRED), tuple(tool for tool in tools if tool.name in several)
        return ToolChoice(ToolMode.FUNCTION, names[0]), tools

    def _allowed(self, value: dict[str, Json]) -> tuple[ToolChoice, tuple[Tool, ...]]:
        path = "tool_choice.tools"
        self._leave_out(value, _OF_ALLOWED, "tool_choice")
        entries = objects(value.get("tools") or [], path)
        if not entries:
            raise RequestError(f"{path} must name at least one tool.", param=path)
        check_count(len(entries), path, "tools")
        pointers: dict[_Pointer, str] = {}  # each once, with its first place: many entries may mean the same many tools
        for index, entry in enumerate(entries):
            if (pointer := self._pointer(entry, f"{path}[{index}]")) is not None:
                pointers.setdefault(pointer, f"{path}[{index}]")
        names = frozenset(name for pointer, place in pointers.items() for name in self._meant(pointer, place))
        mode = self._mode(text_at(value, "mode", "tool_choice") or "auto", "tool_choice.mode")
        if not names:  # none of the others may be called in their place
            self._ledger.repaired("tool_choice_dropped", "tool_choice allows only tools that were left out")
            return ToolChoice(), ()
        return ToolChoice(mode), tuple(tool for tool in self._tools.values() if tool.name in names)

    def _mode(self, word: str, path: str) -> ToolMode:
        mode = MODES.get(word)
        if mode is None:
            raise RequestError(f"{path} must be one of {', '.join(MODES)}, or an object that names a tool.", param=path)
        if mode is ToolMode.REQUIRED and not self._tools:
            if not self._has_unknown:
                raise RequestError(f"{path} asks for a tool call, but no tools are offered.", param=path)
            self._ledger.repaired("tool_choice_dropped", "tool_choice asked for a tool that was left out")
            return ToolMode.AUTO
        return mode

    def _pointer(self, entry: dict[str, Json], path: str) -> _Pointer | None:
        """What an object points to; None for a tool that was left out, whether it was offered or not."""
        kind = needed_text(entry, "type", path)
        if _unknown_word(kind) is not None:
            return None
        if kind not in (*KINDS, "namespace"):
            raise RequestError(f"{path}.type must be function, custom or allowed_tools.", param=f"{path}.type")
        name, space = needed_text(entry, "name", path), text_at(entry, "namespace", path)
        self._leave_out(entry, _OF_POINTER if path == "tool_choice" else _READ[kind] | _OF_POINTER if kind in KINDS else _OF_NAMESPACE, "tool_choice")
        return _Pointer(name, is_space=True) if kind == "namespace" else _Pointer(name, space or None)

    def _meant(self, pointer: _Pointer, path: str) -> list[str]:
        """The flat names of a pointer that stands at `path`; raises RequestError where there are none."""
        name, space, is_space = pointer
        if is_space:
            names = self._spaces.get(name, [])
        elif space:
            names = [flat] if space in self._spaces and (flat := self.namespaces.flat(space, name)) in self._tools else []
        else:
            names = self._by_name.get(name, [])
        if not names:
            raise RequestError(f"{path}.name is not one of the tools offered.", param=f"{path}.name")
        return names


def _name(entry: dict[str, Any], path: str) -> str:
    name = needed_text(entry, "name", path)
    if not name.strip():
        raise RequestError(f"{path}.name must not be empty.", param=f"{path}.name")
    return name


def _unknown_word(kind: str) -> str | None:
    """Our word for a tool that is left out, without what a client may have put behind it."""
    return next((word for word in UNKNOWN_HERE if kind.startswith(word)), None)
