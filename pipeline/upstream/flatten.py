"""One flat JSON Schema out of references and combinations.

Theory of operation: a schema comes in as its client wrote it; a schema without `$ref`, `allOf`, `anyOf` and `oneOf` at its top comes out. A local
reference is replaced by what it names, all members of `allOf` and the first member of `anyOf` and `oneOf` that is not null are laid over the rest:
properties and required names are united, bounds are the tighter ones, types are those that both allow. `true`, `false` and whatever is no schema
count as `{}`. Only the top is flattened; what lies inside properties and items is flattened when its turn comes.

Invariants: nothing raises; a chain of references longer than `MAX_STEPS`, such as one that leads to itself, ends as `{}`.
"""

from collections.abc import Callable
from typing import TypeGuard

from pipeline.request import Json

MAX_STEPS = 64

_COMBINING = ("$ref", "allOf", "anyOf", "oneOf")
# bounds of which the tighter one counts
_TIGHTER: dict[str, Callable[[float, float], float]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Json) -> TypeGuard[list[Json]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


class Flattener:
    """Flattens the parts of one document, which its references point into.

    >>> Flattener({"$defs": {"a": {"type": "string"}}}).flatten({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "title": "A"})
    {'title': 'A', 'type': 'string'}
    """

    def __init__(self, root: dict[str, Json]) -> None:
        self._root = root

    def flatten(self, schema: Json) -> dict[str, Json]:
        """The flat form of one schema of the document."""
        self._steps_left = MAX_STEPS
        return self._flat(schema)

    def _flat(self, schema: Json) -> dict[str, Json]:
        self._steps_left -= 1
        if not is_object(schema) or self._steps_left < 0:
            return {}
        flat = {word: value for word, value in schema.items() if word not in _COMBINING}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            flat = _overlaid(self._flat(self._target(reference)), flat)
        for member in found if is_array(found := schema.get("allOf")) else ():
            flat = _overlaid(flat, self._flat(member))
        for word in ("anyOf", "oneOf"):
            if is_array(members := schema.get(word)) and members:
                flat = _overlaid(flat, self._choice(members))
        if flat.get("nullable") is True:
            del flat["nullable"]
        return flat

    def _choice(self, members: list[Json]) -> dict[str, Json]:
        """The first member that is not null."""
        first: dict[str, Json] | None = None
        for member in members[:MAX_STEPS]:
            flat = self._flat(member)
            first = flat if first is None else first
            if member is not False and flat.get("type") != "null" and flat.get("const", True) is not None:
                return flat
        return first or {}

    def _target(self, reference: str) -> Json:
        """What a local JSON pointer names; None for every other reference."""
        if not reference.startswith("#"):
            return None
        target: Json = self._root
        for step in reference[1:].split("/")[1:]:
            word = step.replace("~1", "/").replace("~0", "~")
            if is_object(target):
                target = target.get(word)
            elif is_array(target) and word.isascii() and word.isdigit() and len(word) < 6:
                target = target[int(word)] if int(word) < len(target) else None
            else:
                return None
        return target


def _overlaid(under: dict[str, Json], over: dict[str, Json]) -> dict[str, Json]:
    """Both schemas at once."""
    flat = dict(under)
    for word, value in over.items():
        flat[word] = _both(word, flat[word], value) if word in flat else value
    return flat


def _both(word: str, under: Json, over: Json) -> Json:
    if word == "properties" and is_object(under) and is_object(over):
        shared = {name: {"allOf": [under[name], schema]} if name in under else schema for name, schema in over.items()}
        return {**under, **shared}
    if word == "required" and is_array(under) and is_array(over):
        return under + over
    if word == "enum" and is_array(under) and is_array(over):
        return [member for member in under if member in over] or over
    if word == "type":
        return _common_types(_listed(under), _listed(over)) or over
    if word in _TIGHTER and isinstance(under, int | float) and isinstance(over, int | float):
        return _TIGHTER[word](under, over)
    return over


def _listed(value: Json) -> list[Json]:
    return value if is_array(value) else [value]


def _common_types(under: list[Json], over: list[Json]) -> list[Json]:
    """The types in both; every integer is a number."""
    return [name for name in under if name in over or (name == "integer" and "number" in over)] or [
        name for name in over if name == "integer" and "number" in under
    ]
