"""Which JSON types a client's schema allows.

Local `$ref`, `allOf`, `anyOf`, `oneOf`, `enum`, `const`, `nullable` and lists of types are followed; values are not validated. Schemas come from
clients and may be hostile: references are followed to a fixed depth, a fixed number of nodes is visited, and whatever is not understood allows every
type.
"""

from collections.abc import Sequence
from typing import cast

from pipeline.request import Json

ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
"""The types of a property that says nothing about its type."""

MAX_DEPTH = 32
MAX_NODES = 2_000


def is_text(types: frozenset[str]) -> bool:
    """Whether a value is a string and nothing else; null beside it changes nothing, since a model cannot spell it apart."""
    return types - {"null"} == frozenset({"string"})


class SchemaWalk:
    """One walk through a schema, with its budget of nodes."""

    def __init__(self, root: dict[str, Json]) -> None:
        self._root = root
        self._nodes_left = MAX_NODES

    def properties(self, schema: Json, depth: int = 0) -> dict[str, Json]:
        """The properties that an object schema names, through its references and alternatives."""
        self._nodes_left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._nodes_left < 0:
            return {}
        node = cast("dict[str, Json]", schema)
        found: dict[str, Json] = {}
        if isinstance(node.get("$ref"), str):
            found |= self.properties(self._target(node["$ref"]), depth + 1)
        for word in ("allOf", "anyOf", "oneOf"):
            for member in _members(node.get(word)):
                found |= self.properties(member, depth + 1)
        own = node.get("properties")
        return found | (cast("dict[str, Json]", own) if isinstance(own, dict) else {})

    def of(self, schema: Json, depth: int = 0) -> frozenset[str]:
        """The JSON types that the schema allows."""
        self._nodes_left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._nodes_left < 0:
            return ANY
        node = cast("dict[str, Json]", schema)
        found = _declared(node.get("type"))
        if "const" in node:
            found &= {type_name(node["const"])}
        if isinstance(node.get("enum"), list):
            found &= {type_name(value) for value in node["enum"]}
        reference = node.get("$ref")
        if isinstance(reference, str):
            found &= self.of(self._target(reference), depth + 1)
        for word in ("anyOf", "oneOf"):
            if isinstance(node.get(word), list):
                found &= frozenset().union(*(self.of(member, depth + 1) for member in node[word]))
        if isinstance(node.get("allOf"), list):
            for member in node["allOf"]:
                found &= self.of(member, depth + 1)
        if node.get("nullable") is True:
            found |= {"null"}
        return found or ANY

    def _target(self, reference: str) -> Json:
        """The schema that a local JSON pointer names; None for any other reference."""
        if not reference.startswith("#"):
            return None
        target: Json = self._root
        for step in reference[1:].split("/")[1:]:
            word = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and word in target:
                target = cast("dict[str, Json]", target)[word]
            else:
                return None
        return target


def _members(value: Json) -> Sequence[Json]:
    return cast("Sequence[Json]", value) if isinstance(value, list) else ()


def _declared(declared: Json) -> frozenset[str]:
    if isinstance(declared, str):
        declared = [declared]
    types = ANY & frozenset(str(name) for name in _members(declared))
    # JSON Schema: every integer is a number
    return (types | {"integer"} if "number" in types else types) or ANY


_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "integer"),
    (float, "number"),
    (list, "array"),
    (dict, "object"),
)


def type_name(value: Json) -> str:
    """The JSON type of a decoded value."""
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")
