"""The client's choice among its tools, in every form, as Chat writes it (N8).

Theory of operation: a word or an object comes in; "auto", "none", "required" or the nested form of one tool comes out. `allowed_tools` narrows the
tools to those that it names, which is what it means, and leaves its mode. A choice of a tool that was left out asks for what cannot be had, and
becomes "auto"; a choice of one that was never offered is the client's error. Anthropic's `disable_parallel_tool_use` is Chat's `parallel_tool_calls`.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_object, read
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.tools import HOSTED, Offer
from pipeline.parse.quirks.typed import needed_text, object_at, objects, text_at
from pipeline.request import Json

MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
POINTERS = ("function", "custom", "tool")


class Choice(msgspec.Struct, frozen=True):
    """`value` is None where there is nothing to choose from or to say; `tools` are those that are left to choose from."""

    value: Json = None
    tools: tuple[dict[str, Json], ...] = ()
    parallel: Json = None

    @property
    def kinds(self) -> dict[str, str]:
        """The tools by name: `function` or `custom`."""
        return {tool[tool["type"]]["name"]: tool["type"] for tool in self.tools}


def read_choice(fields: dict[str, Json], offer: Offer, ledger: Ledger) -> Choice:
    """N8: the choice in a body; raises RequestError for one that has no meaning, or names a tool that was never offered.

    >>> offer = Offer(({"type": "custom", "custom": {"name": "ApplyPatch"}},), {"ApplyPatch": "custom"})
    >>> read_choice({"tool_choice": {"type": "tool", "name": "ApplyPatch"}}, offer, Ledger()).value
    {'type': 'custom', 'custom': {'name': 'ApplyPatch'}}
    """
    place = "tool_choice" if fields.get("tool_choice") is not None else "function_call"
    value = fields.get(place)
    if place == "tool_choice" and fields.get("function_call") is not None:
        ledger.ignore("function_call")
    if not offer.tools:
        if value not in (None, "auto", "none") and not (is_object(value) and value.get("type") in ("auto", "none")):
            _dropped(ledger)
        return Choice()
    parallel = fields.get("parallel_tool_calls")
    if parallel is None and is_object(value) and value.get("disable_parallel_tool_use") is True:
        parallel = False
    if is_object(value) and value.get("type") == "allowed_tools":
        chosen, tools = _allowed(value, place, offer, ledger)
        return Choice(chosen, tools, parallel)
    return Choice(None if value is None else _chosen(value, place, offer, ledger), offer.tools, parallel)


def _dropped(ledger: Ledger) -> None:
    ledger.repaired("tool_choice_dropped", "tool_choice asked for a tool that was left out")


def _mode(word: str, path: str) -> str:
    if word not in MODES:
        raise RequestError(f"{path} must be one of {', '.join(MODES)}, or an object that names a tool.", param=path)
    return MODES[word]


def _chosen(value: Json, path: str, offer: Offer, ledger: Ledger) -> Json:
    """N8: a word, an object that is one, or an object that names a tool."""
    if not is_object(value):
        return _mode(value if isinstance(value, str) else read(value, str, path), path)
    kind = text_at(value, "type", path)
    if kind in MODES:
        return MODES[kind]
    name = _pointed(value, kind, path, offer)
    if name is None:
        _dropped(ledger)
        return "auto"
    return {"type": offer.kinds[name], offer.kinds[name]: {"name": name}}


def _pointed(value: dict[str, Json], kind: str | None, path: str, offer: Offer) -> str | None:
    """The name of the offered tool that an object points to, None for one that was left out."""
    if kind is not None and kind.startswith(HOSTED):
        return None
    if kind is not None and kind not in POINTERS:
        raise RequestError(f"{path}.type must be {', '.join(MODES)}, function, custom or tool.", param=f"{path}.type")
    word = "custom" if kind == "custom" else "function"
    nested = object_at(value, word, path)
    here, holder = (path, value) if nested is None else (f"{path}.{word}", nested)
    name = needed_text(holder, "name", here)
    if name in offer.kinds:
        return name
    if name in offer.dropped:
        return None
    raise RequestError(f"{here}.name is not one of the tools offered.", param=f"{here}.name")


def _allowed(value: dict[str, Json], path: str, offer: Offer, ledger: Ledger) -> tuple[str, tuple[dict[str, Json], ...]]:
    """N8: the mode of `allowed_tools`, and the tools that it names."""
    nested = object_at(value, "allowed_tools", path)
    here, holder = (path, value) if nested is None else (f"{path}.allowed_tools", nested)
    entries = objects(holder.get("tools") or [], f"{here}.tools")
    if not entries:
        raise RequestError(f"{here}.tools must name at least one tool.", param=f"{here}.tools")
    places = [(entry, f"{here}.tools[{index}]") for index, entry in enumerate(entries)]
    names = {_pointed(entry, text_at(entry, "type", place), place, offer) for entry, place in places}
    mode = _mode(text_at(holder, "mode", here) or "auto", f"{here}.mode")
    kept = tuple(tool for tool in offer.tools if tool[tool["type"]]["name"] in names)
    if not kept:
        _dropped(ledger)
        return "auto", offer.tools
    return mode, kept
