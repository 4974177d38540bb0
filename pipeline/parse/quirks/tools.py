"""The tools that a body offers, in every form, as Chat writes them (N7).

Theory of operation: `tools` and the legacy `functions` come in, each entry in a form of its own: nested as in Chat, flat as in Responses, Anthropic's
with `input_schema`, custom tools flat or nested with their grammar flat or nested. `Offer` comes out: the same tools in Chat's nested form, in the
order sent, each name once. Tools that only their provider can run are left out with a Notice. A schema gets the `type` and `properties` that strict
upstreams ask for. What is no tool is the client's error.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import check_count, is_list
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, object_at, objects, required, text_at
from pipeline.parse.tools import HOSTED_TOOLS
from pipeline.request import Json

# tools that OpenAI or Anthropic run or define; dated variants (`bash_20250124`) begin with one of these
HOSTED = (
    *HOSTED_TOOLS,
    *("shell", "apply_patch", "tool_search", "programmatic_tool_calling"),
    *("bash_", "text_editor_", "code_execution_", "web_fetch_", "memory_"),
)

FLAT = frozenset({"type", "name", "description", "parameters", "input_schema", "strict", "format", "function", "custom"})
NO_SCHEMA: dict[str, Json] = {"type": "object", "properties": {}}


class Offer(msgspec.Struct, frozen=True):
    """The tools in Chat's form, `kinds` by name, and the names of those that were left out."""

    tools: tuple[dict[str, Json], ...] = ()
    kinds: dict[str, str] = {}
    dropped: frozenset[str] = frozenset()


def read_offer(fields: dict[str, Json], ledger: Ledger) -> Offer:
    """N7: the tools of a body; raises RequestError for an entry that is none, or has no name.

    >>> read_offer({"tools": [{"name": "now", "input_schema": {}}]}, Ledger()).tools
    ({'type': 'function', 'function': {'name': 'now', 'parameters': {'type': 'object', 'properties': {}}}},)
    """
    tools: dict[str, dict[str, Json]] = {}
    dropped: set[str] = set()
    for path, entry in _entries(fields, ledger):
        kind = text_at(entry, "type", path)
        if kind is not None and kind.startswith(HOSTED):
            ledger.repaired("hosted_tool_ignored", f"{_hosted_word(kind)} runs at its provider, not here")
            dropped.add(text_at(entry, "name", path) or kind)
            continue
        tool = _tool(entry, kind, path, ledger)
        name = tool[tool["type"]]["name"]
        if name in tools:
            ledger.repaired("tool_repeated", "a tool was offered twice under one name; the first one stays")
        else:
            tools[name] = tool
    return Offer(tuple(tools.values()), {name: tool["type"] for name, tool in tools.items()}, frozenset(dropped - tools.keys()))


def _entries(fields: dict[str, Json], ledger: Ledger) -> list[tuple[str, dict[str, Json]]]:
    """N7 empty, N7 legacy: the entries with their paths; null and [] offer nothing."""
    found: list[tuple[str, dict[str, Json]]] = []
    for place in ("tools", "functions"):
        value = fields.get(place)
        if value is None:
            continue
        check_count(len(value) if is_list(value) else 0, place, place)
        found += [(f"{place}[{index}]", entry) for index, entry in enumerate(objects(value, place))]
    if fields.get("functions") or fields.get("function_call") is not None:
        ledger.repaired("legacy_functions", "functions and function_call were read as tools and tool_choice")
    return found


def _hosted_word(kind: str) -> str:
    """The provider's word for a tool, without what a client may have put behind it."""
    return next(word for word in HOSTED if kind.startswith(word)).rstrip("_")


def _tool(entry: dict[str, Json], kind: str | None, path: str, ledger: Ledger) -> dict[str, Json]:
    """N7: one tool in Chat's form."""
    if kind not in (None, "function", "custom"):
        raise RequestError(f"{path}.type must be function or custom.", param=f"{path}.type")
    is_custom = kind == "custom" and entry.get("input_schema") is None
    nested = object_at(entry, "custom" if is_custom else "function", path)
    if nested is None and entry.get("name") is None and not path.startswith("functions"):
        raise required(f"{path}.{'custom' if is_custom else 'function'}")
    here = path if nested is None else f"{path}.{'custom' if is_custom else 'function'}"
    outer = {} if nested is None else _others(entry, FLAT, "tools", ledger)
    if nested is None:
        for name, value in entry.items():
            if value is not None and name not in FLAT:
                ledger.ignore(f"tools.{name}")
    if is_custom:
        return {"type": "custom", "custom": _custom(entry if nested is None else nested, here, nested is not None, ledger), **outer}
    function = _function(entry if nested is None else nested, here, nested is not None, ledger)
    if nested is not None and entry.get("strict") is True:
        function["strict"] = True
    return {"type": "function", "function": function, **outer}


def _named(fields: dict[str, Json], path: str) -> dict[str, Json]:
    """Name and description; the name must not be blank."""
    name = needed_text(fields, "name", path)
    if not name.strip():
        raise RequestError(f"{path}.name must not be empty.", param=f"{path}.name")
    description = text_at(fields, "description", path)
    return {"name": name} if description is None else {"name": name, "description": description}


def _function(fields: dict[str, Json], path: str, is_nested: bool, ledger: Ledger) -> dict[str, Json]:
    """N7 flat, N7 Anthropic: the object under `function`; `strict` stays where it is true."""
    place = "parameters" if fields.get("parameters") is not None else "input_schema"
    found = _named(fields, path) | {"parameters": schema(object_at(fields, place, path))}
    if fields.get("strict") is True:
        found["strict"] = True
    elif fields.get("strict") not in (None, False):
        raise RequestError(f"{path}.strict must be a boolean.", param=f"{path}.strict")
    return found | (_others(fields, FLAT, "tools.function", ledger) if is_nested else {})


def schema(given: dict[str, Json] | None) -> dict[str, Json]:
    """N7 schema: a tool's parameters with the type and the properties that strict upstreams ask for, without `$schema`.

    >>> schema({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {}}})
    {'type': 'object', 'properties': {'a': {}}}
    """
    found = {name: value for name, value in (given or {}).items() if name != "$schema"}
    if found.get("type") is None:
        found = {"type": "object"} | {name: value for name, value in found.items() if name != "type"}
    if found["type"] == "object" and found.get("properties") is None:
        found["properties"] = {}
    return found


def _custom(fields: dict[str, Json], path: str, is_nested: bool, ledger: Ledger) -> dict[str, Json]:
    """N7 grammar: the object under `custom`, with its grammar nested; a format of free text says nothing."""
    found = _named(fields, path)
    given = object_at(fields, "format", path)
    kind = None if given is None else needed_text(given, "type", f"{path}.format")
    if given is not None and kind == "grammar":
        nested = object_at(given, "grammar", f"{path}.format")
        grammar, here = (given, f"{path}.format") if nested is None else (nested, f"{path}.format.grammar")
        words = {name: needed_text(grammar, name, here) for name in ("syntax", "definition")}
        found["format"] = {"type": "grammar", "grammar": words}
    elif kind not in (None, "text"):
        raise RequestError(f"{path}.format.type must be text or grammar.", param=f"{path}.format.type")
    return found | (_others(fields, FLAT, "tools.custom", ledger) if is_nested else {})


def _others(fields: dict[str, Json], known: frozenset[str], prefix: str, ledger: Ledger) -> dict[str, Json]:
    """What Chat's own form holds besides; `cache_control` is Anthropic's."""
    others = {name: value for name, value in fields.items() if name not in known and value is not None}
    if others.pop("cache_control", None) is not None:
        ledger.ignore(f"{prefix}.cache_control")
    return others
