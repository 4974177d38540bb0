"""Which JSON types a client's schema allows, and which properties it names.

Local `$ref`, `allOf`, `anyOf`, `oneOf`, `enum`, `const`, `nullable` and lists of types are followed; values are not validated. Schemas come from
clients and may be hostile: references are followed to a fixed depth, a fixed number of nodes is visited, and whatever is not understood allows every
type.
"""

from collections.abc import Sequence
from typing import cast
from urllib.parse import unquote

from pipeline.request import Json

ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
"""The types of a property that says nothing about its type."""

MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_POINTER_CHARS = 1_000
MAX_TYPES = 16

_ENTRIES_A_NODE = 16
"""So many values of an enum, or properties, cost as much of the budget as one node: they are only counted or copied, at C speed."""


def is_text(types: frozenset[str]) -> bool:
    """Whether a value is a string and nothing else; null beside it changes nothing, since a model cannot spell it apart."""
    return types - {"null"} == frozenset({"string"})


class SchemaWalk:
    """One walk through a schema, with its budget of nodes."""

    def __init__(self, root: Json, nodes: int = MAX_NODES) -> None:
        """`nodes` is how many may be visited; `nodes_left` says how many are still free."""
        self.nodes_left = nodes
        self._root = root

    def properties(self, schema: Json, depth: int = 0) -> dict[str, Json]:
        """The properties that an object schema names, through its references and alternatives."""
        if not self._may_visit(schema, depth):
            return {}
        node = mapping(schema)
        found: dict[str, Json] = {}
        if isinstance(node.get("$ref"), str):
            found |= self.properties(pointed_at(self._root, node["$ref"]), depth + 1)
        for word in ("allOf", "anyOf", "oneOf"):
            for member in members(node.get(word)):
                found |= self.properties(member, depth + 1)
                if self.nodes_left < 0:
                    break
        found |= mapping(node.get("properties"))
        self.nodes_left -= len(found) // _ENTRIES_A_NODE
        return found

    def of(self, schema: Json, depth: int = 0) -> frozenset[str]:
        """The JSON types that the schema allows."""
        if not self._may_visit(schema, depth):
            return ANY
        node = mapping(schema)
        found = _declared(node.get("type"))
        if "const" in node:
            found &= self._of_values([node["const"]])
        if isinstance(node.get("enum"), list):
            found &= self._of_values(node["enum"])
        reference = node.get("$ref")
        if isinstance(reference, str):
            found &= self.of(pointed_at(self._root, reference), depth + 1)
        for word in ("anyOf", "oneOf"):
            if isinstance(node.get(word), list):
                found &= self._of_either(node[word], depth + 1)
        for member in members(node.get("allOf")):
            found &= self.of(member, depth + 1)
            if self.nodes_left < 0:
                break
        if node.get("nullable") is True:
            found |= {"null"}
        return found or ANY

    def _may_visit(self, schema: Json, depth: int) -> bool:
        self.nodes_left -= 1
        return isinstance(schema, dict) and depth <= MAX_DEPTH and self.nodes_left >= 0

    def _of_either(self, alternatives: Sequence[Json], depth: int) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for member in alternatives:
            found |= self.of(member, depth)
            if found == ANY:
                break
        return found

    def _of_values(self, values: Sequence[Json]) -> frozenset[str]:
        self.nodes_left -= len(values) // _ENTRIES_A_NODE
        if self.nodes_left < 0:
            return ANY
        return _with_integers(frozenset(_name_of(kind) for kind in set(map(type, values))))


def pointed_at(root: Json, reference: str) -> Json:
    """The schema that a local JSON pointer names; None for any other reference.

    >>> pointed_at({"$defs": {"a/b": {"anyOf": [True, {"type": "string"}]}}}, "#/$defs/a~1b/anyOf/1")
    {'type': 'string'}
    """
    if (reference + "/")[:2] != "#/" or len(reference) > MAX_POINTER_CHARS:
        return None
    target: Json = root
    for step in unquote(reference[1:]).split("/")[1:]:
        word = step.replace("~1", "/").replace("~0", "~")
        if word in mapping(target):
            target = mapping(target)[word]
        elif isinstance(target, list) and word.isascii() and word.isdigit() and len(word) < 10 and int(word) < len(members(target)):
            target = members(target)[int(word)]
        else:
            return None
    return target


def members(value: Json) -> Sequence[Json]:
    """The items of what should be a list; none where it is something else."""
    return cast("Sequence[Json]", value) if isinstance(value, list) else ()


def mapping(value: Json) -> dict[str, Json]:
    """The entries of what should be an object; none where it is something else."""
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _declared(declared: Json) -> frozenset[str]:
    names = [declared] if isinstance(declared, str) else members(declared)[:MAX_TYPES]
    return _with_integers(ANY & frozenset(name for name in names if isinstance(name, str))) or ANY


def _with_integers(types: frozenset[str]) -> frozenset[str]:
    # JSON Schema: every integer is a number
    return types | {"integer"} if "number" in types else types


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
    return _name_of(type(cast("object", value)))


def _name_of(kind: type[object]) -> str:
    return next((name for base, name in _NAMES if issubclass(kind, base)), "null")
