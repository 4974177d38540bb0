"""Calls of tools in the history, in every form, as Chat writes them (N4, and the arguments and replays of N10).

Theory of operation: a call comes as an item of Responses, as an entry of `tool_calls` (nested, or flat as some clients write it), as a block of
Anthropic or as the legacy `function_call`; one `Call` comes out. The arguments of a function are JSON text, whatever they were sent as. A custom
tool's input is raw text. Cursor replays calls of custom tools as functions whose arguments are that raw text; which calls are such is told by the
tools that the body offers. Where a body no longer offers the tool (another mode of the editor), arguments that are no JSON tell it too.

Some upstreams refuse a whole history with one function call whose arguments are no JSON object, and answers that were cut leave such calls behind.
So what is none is kept as a text under one key, and what says nothing is an empty object.
"""

from collections.abc import Mapping

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_object
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import compact, needed_text, object_at, required, text_at
from pipeline.request import WRAPPED_INPUT, Json

KINDS = ("function", "custom")

# fields of flat calls that repeat what the call says elsewhere, or number it
BOOKKEEPING = frozenset({"id", "call_id", "type", "name", "arguments", "input", "status", "index", "caller", "namespace", "function", "custom"})


class Call(msgspec.Struct):
    """One call: `text` is the JSON text of its arguments, or the raw input of a custom tool. `id` is None for a legacy call that has none yet."""

    id: str | None
    name: str
    text: str
    custom: bool
    path: str
    extra: dict[str, Json] = {}
    inner: dict[str, Json] = {}

    def written(self) -> dict[str, Json]:
        """The call as an entry of `tool_calls`."""
        kind, field = ("custom", "input") if self.custom else ("function", "arguments")
        return {"id": self.id, "type": kind, kind: {"name": self.name, field: self.text, **self.inner}, **self.extra}


Offered = Mapping[str, str]
"""The tools that a body offers: name -> `function` or `custom`."""


def read_entry(entry: dict[str, Json], path: str, offered: Offered, ledger: Ledger) -> Call:
    """N4: an entry of `tool_calls`; raises RequestError where it has no id, no name or an unknown type."""
    kind = text_at(entry, "type", path) or ("custom" if is_object(entry.get("custom")) else "function")
    if kind not in KINDS:
        raise RequestError(f"{path}.type must be function or custom.", param=f"{path}.type")
    nested = object_at(entry, kind, path)
    if nested is None:
        if entry.get("name") is None:
            raise required(f"{path}.{kind}")
        return read_item(entry, path, offered, ledger)
    call = _called(kind, nested, f"{path}.{kind}", offered, ledger)
    call.id, call.path = needed_text(entry, "id", path), path
    call.extra = _others(entry, {"id", "type", "name", "index", *KINDS}, "tool_calls", ledger)
    call.inner = _others(nested, {"name", "arguments", "input"}, f"tool_calls.{kind}", ledger)
    return call


def read_item(item: dict[str, Json], path: str, offered: Offered, ledger: Ledger) -> Call:
    """N4, N4 custom: a `function_call` or `custom_tool_call` of Responses; its id is the `call_id`."""
    call = _called("custom" if str(item.get("type")).startswith("custom") else "function", item, path, offered, ledger)
    named = text_at(item, "call_id", path)
    call.id = text_at(item, "id", path) if named is None else named
    if call.id is None:
        raise required(f"{path}.call_id")
    _leave_out(item, "", ledger)
    return call


def read_block(block: dict[str, Json], path: str, offered: Offered, ledger: Ledger) -> Call:
    """N9: Anthropic's `tool_use`."""
    call = _called("function", {"name": block.get("name"), "arguments": block.get("input")}, path, offered, ledger)
    call.id = needed_text(block, "id", path)
    _leave_out(block, "content.", ledger)
    return call


def read_legacy(called: dict[str, Json], path: str, offered: Offered, ledger: Ledger) -> Call:
    """N7 legacy: the `function_call` of an assistant's message, which has no id."""
    return _called("function", called, path, offered, ledger)


def _called(kind: str, called: dict[str, Json], path: str, offered: Offered, ledger: Ledger) -> Call:
    name = needed_text(called, "name", path)
    if kind == "custom":
        return Call(None, name, _text(called.get("input"), ""), custom=True, path=path)
    arguments = called.get("arguments")
    raw = replayed_input(arguments, offered.get(name))
    return Call(None, name, _object(arguments, ledger) if raw is None else raw, custom=raw is not None, path=path)


def _object(arguments: Json, ledger: Ledger) -> str:
    """N10 repair: the arguments of a function as the JSON text of an object, unchanged where they are one."""
    if arguments is None or arguments == "" or is_object(arguments):
        return _text(arguments, "{}")
    value, is_json = _decoded(arguments) if isinstance(arguments, str) else (arguments, True)
    if isinstance(arguments, str) and is_object(value):
        return arguments
    ledger.repaired("arguments_repaired", "the arguments of a call in the history were no JSON object")
    says_nothing = (is_json and value in (None, "", [])) or (isinstance(arguments, str) and not arguments.strip())
    return "{}" if says_nothing else compact({WRAPPED_INPUT: _text(arguments, "")})


def _text(value: Json, empty: str) -> str:
    """N10 repair: arguments as text; an object as its JSON, nothing as `empty`."""
    if value is None or value == "":
        return empty
    return value if isinstance(value, str) else compact(value)


def replayed_input(arguments: Json, kind: str | None) -> str | None:
    """N10 replay: the raw input in a function's call that stands for a custom tool's, None where it is a function's after all.

    Args:
        arguments: as sent.
        kind: what the body offers under the call's name, None where nothing.

    >>> replayed_input("*** Begin Patch", "custom"), replayed_input('{"input": "x"}', "custom"), replayed_input('{"a": 1}', None)
    ('*** Begin Patch', 'x', None)
    """
    if kind == "function":
        return None
    value, is_json = _decoded(arguments) if isinstance(arguments, str) else (arguments, True)
    if kind is None:
        return None if is_json or not arguments else _text(arguments, "")
    if is_object(value) and value.keys() == {WRAPPED_INPUT}:
        wrapped: Json = value[WRAPPED_INPUT]
        if isinstance(wrapped, str):
            return wrapped
    return _text(arguments, "")


def _decoded(text: str) -> tuple[Json, bool]:
    try:
        return msgspec.json.decode(text), True
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, False


def _leave_out(fields: dict[str, Json], prefix: str, ledger: Ledger) -> None:
    """Name what Chat's form of a call has no place for."""
    for name, value in fields.items():
        if value is not None and name not in BOOKKEEPING:
            ledger.ignore_inside(f"{prefix}{name}")


def _others(fields: dict[str, Json], known: set[str], prefix: str, ledger: Ledger) -> dict[str, Json]:
    others = {name: value for name, value in fields.items() if name not in known and value is not None}
    if others.pop("cache_control", None) is not None:
        ledger.ignore_inside(f"{prefix}.cache_control")
    return others
