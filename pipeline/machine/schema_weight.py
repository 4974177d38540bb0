"""What it costs to hold an answer against a client's JSON Schema, known before it is done.

Theory of operation: a schema comes in and becomes a graph of its subschemas, in which `$ref` is an edge like any other. An edge leads either to a
schema for the *same* value (`anyOf`, `allOf`, `oneOf`, `not`, `if`, `$ref`, …) or to one for a *child* of it (`properties`, `items`, …). Edges of the
first kind double quickly: twenty definitions that each name the next one twice ask for a million looks at one value. So `weigh_schema` adds up, along
them, how many subschemas one value meets, and refuses a schema in which they are too many, or in which a reference comes back to a value that it
started from. A reference that comes back by way of a child is recursion as it should be: the answer ends it.

`SchemaWeight.of` then weighs an answer: for each depth, its values times the subschemas that one value at that depth can meet. Of the properties of
an object the heaviest one counts, since a value is only one of them. So the figure is never too small, and may be too large.

Invariants: nothing recurses here and nothing is copied. Time is linear in the schema, for an answer in its values and in depth times edges, both up
to a bound. Left alone: whether the schema is one; that is for the validator to say.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TypeGuard
from urllib.parse import unquote

from pipeline.request import Json

MAX_VALUES = 50_000
"""JSON values in a schema, of every kind."""

MAX_EXPANDED = 10_000
"""Subschemas that one value may meet."""

MAX_LEVELS = 1_000
"""Subschemas inside one another, references followed."""

MAX_STEPS = 300_000
"""Edges that may be walked to weigh one answer."""

CHARACTERS_IN_A_VALUE = 32
"""A text of this length costs as much as another value."""

CHARACTERS_TO_SEARCH = 8
"""A pattern that looks around may look at a whole text from every place of it: so many characters, squared, cost as much as another value."""

_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_MAPS = ("dependentSchemas", "dependencies")
_SAME = ("not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# a child meets one of these, and each of those
_ONE_MAPS = ("properties",)
_ONE = ("additionalProperties", "unevaluatedProperties", "items", "additionalItems", "unevaluatedItems")
_ONE_LISTS = ("prefixItems", "items")
_EACH_MAPS = ("patternProperties",)
_EACH = ("contains", "propertyNames")
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_ANCHORS = ("$anchor", "$dynamicAnchor")

# what the regular expressions of a linear engine have not: looking around, atomic and possessive groups, references back
_BACKTRACKS = re.compile(r"\(\?(?:<?[=!]|[>(])|\\[1-9kKG]|[*+?}]\+")
_MANY = 10**9


class TooHeavy(ValueError):
    """A schema that is not held against anything; the words are for the client."""


class _Node:
    """One subschema: its own weight, and the numbers of those that it leads to."""

    __slots__ = ("each", "one", "own", "same", "times")

    def __init__(self, own: int, times: int) -> None:
        self.own = own
        self.times = times
        self.same: list[int] = []
        self.one: list[int] = []
        self.each: list[int] = []


class SchemaWeight:
    """A schema that may be used. `patterns` are its regular expressions; `looks_around` says whether one of them can be slow on a long text."""

    def __init__(self, nodes: list[_Node], order: list[int], patterns: frozenset[str]) -> None:
        """`order` has the numbers of the nodes so that each comes behind those for the same value that it leads to."""
        self.patterns = patterns
        self.looks_around = any(_BACKTRACKS.search(pattern) for pattern in patterns)
        self._nodes = nodes
        self._order = order
        self._edges = sum(len(node.same) + len(node.one) + len(node.each) + 1 for node in nodes)
        self._by_depth: list[int] = []
        self._deepest: list[int] = []

    def of(self, value: Json, limit: int) -> int | None:
        """The looks that an answer costs, None when they are more than the limit.

        >>> weigh_schema({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}).of(["a", None], limit=100)
        12
        """
        total = 0
        level: list[Json] = [value]
        for depth in range(MAX_STEPS):
            times = self._at(depth)
            if times is None:
                return None
            if times == 0 or not level:
                return total
            for found in level:
                total += times * self._size(found)
                if total > limit:
                    return None
            level = [child for found in level for child in _children(found)]
        return None

    def _size(self, value: Json) -> int:
        if isinstance(value, str):
            return 1 + len(value) // CHARACTERS_IN_A_VALUE + ((len(value) // CHARACTERS_TO_SEARCH) ** 2 if self.looks_around else 0)
        if _is_object(value):
            return 1 + sum(self._size(name) for name in value) if self.patterns else 1 + len(value)
        return 1

    def _at(self, depth: int) -> int | None:
        """Subschemas, with their own weights, that one value meets that lies so deep in the answer; None when that takes too long to say."""
        while len(self._by_depth) <= depth:
            if (len(self._by_depth) + 1) * self._edges > MAX_STEPS:
                return None
            self._deepest = self._deeper(self._deepest)
            self._by_depth.append(self._deepest[0])
        return self._by_depth[depth]

    def _deeper(self, above: list[int]) -> list[int]:
        """The weight of each node for the values one level below those that `above` is for; an empty list stands for the node's own value."""
        found = [0] * len(self._nodes)
        for number in self._order:
            node = self._nodes[number]
            weight = sum([found[other] for other in node.same])
            if not above:
                weight += node.own
            else:
                weight += max([above[other] for other in node.one], default=0) + sum([above[other] for other in node.each])
            found[number] = min(weight * node.times, _MANY)
        return found


def weigh_schema(schema: Json) -> SchemaWeight:
    """The weight of a schema.

    Raises:
        TooHeavy: it is too large, expands too far, or refers to itself without an end; or a reference leads out of it.

    >>> weigh_schema({"anyOf": [{"$ref": "#"}]})
    Traceback (most recent call last):
    pipeline.machine.schema_weight.TooHeavy: a reference leads back to where it stands
    """
    document = _Document(schema)
    nodes, levels = _graph(document)
    if levels > MAX_LEVELS:
        raise TooHeavy(f"it is more than {MAX_LEVELS} levels deep")
    order = _ordered(nodes)
    sizes, heights = [0] * len(nodes), [0] * len(nodes)
    for number in order:
        node = nodes[number]
        sizes[number] = node.times * (1 + sum([sizes[other] for other in node.same]))
        heights[number] = 1 + max([heights[other] for other in node.same], default=0)
        if sizes[number] > MAX_EXPANDED:
            raise TooHeavy(f"one value would be held against more than {MAX_EXPANDED} subschemas")
        if heights[number] > MAX_LEVELS:
            raise TooHeavy(f"it is more than {MAX_LEVELS} levels deep")
    return SchemaWeight(nodes, order, frozenset(document.patterns))


class _Document:
    """A whole schema, and where a reference in it may lead."""

    def __init__(self, schema: Json) -> None:
        self.root = schema
        self.patterns: set[str] = set()
        self._resources: dict[str, list[Json]] = {}
        self._anchors: dict[str, list[Json]] = {}
        self._resource_of: dict[int, Json] = {}
        self._read(schema)

    def _read(self, schema: Json) -> None:
        count = 0
        waiting: list[tuple[Json, Json]] = [(schema, schema)]
        while waiting:
            value, resource = waiting.pop()
            count += 1
            if count > MAX_VALUES:
                raise TooHeavy(f"it has more than {MAX_VALUES} values")
            if _is_object(value):
                resource = self._name(value, resource)
                self._resource_of[id(value)] = resource
            waiting += [(child, resource) for child in _children(value)]

    def _name(self, value: dict[str, Json], resource: Json) -> Json:
        """Note what a possible subschema is called and which patterns it has, and give the resource that it is in."""
        for key in _ANCHORS:
            if isinstance(name := value.get(key), str):
                self._anchors.setdefault(name, []).append(value)
        if isinstance(pattern := value.get("pattern"), str):
            self.patterns.add(pattern)
        if _is_object(named := value.get("patternProperties")):
            self.patterns.update(named)
        for key in ("$id", "id"):
            if isinstance(name := value.get(key), str):
                place, _, fragment = name.partition("#")
                if fragment:
                    self._anchors.setdefault(fragment, []).append(value)
                if place:
                    self._resources.setdefault(place.rpartition("/")[2], []).append(value)
                    resource = value
        return resource

    def targets(self, holder: dict[str, Json], reference: str) -> list[Json]:
        """All that a reference may mean; raises TooHeavy for nothing. Names are compared by their last part, which can only find too much."""
        place, _, fragment = reference.partition("#")
        resources = [self.root, self._resource_of[id(holder)]] if not place else self._resources.get(place.rpartition("/")[2], [])
        found: dict[int, Json] = {}
        if not fragment or fragment.startswith("/"):
            steps = [unquote(step).replace("~1", "/").replace("~0", "~") for step in fragment.split("/")[1:]]
            candidates: Iterable[Json] = (_followed(resource, steps) for resource in resources)
        else:
            candidates = self._anchors.get(unquote(fragment), [])
        for candidate in candidates:
            if _is_object(candidate) or isinstance(candidate, bool):
                found[id(candidate)] = candidate
        if not found:
            raise TooHeavy("a reference in it leads to nothing in it")
        return list(found.values())


def _graph(document: _Document) -> tuple[list[_Node], int]:
    """The nodes that the root leads to, the root first; and how many levels of edges there are."""
    root = document.root
    nodes = [_node(root)]
    numbers = {id(root): 0}
    level, levels = [root], 0
    while level:
        levels += 1
        below: list[Json] = []
        for holder in level:
            node = nodes[numbers[id(holder)]]
            for kind, child in _edges(document, holder):
                # true and false are one object each, and lead nowhere
                if id(child) not in numbers:
                    numbers[id(child)] = len(nodes)
                    nodes.append(_node(child))
                    below.append(child)
                getattr(node, kind).append(numbers[id(child)])
        level = below
    return nodes, levels


def _node(schema: Json) -> _Node:
    if not _is_object(schema):
        return _Node(1, 1)
    # what a list of names or values holds is looked at one by one; a schema inside is a node of its own
    own = 1 + sum([len(value) for value in schema.values() if _is_list(value) or _is_object(value)])
    # to know what was evaluated, the validator looks at the same value once more
    return _Node(own, 2 if any(key in schema for key in _UNEVALUATED) else 1)


def _edges(document: _Document, schema: Json) -> Iterator[tuple[str, Json]]:
    if not _is_object(schema):
        return
    for kind, direct, lists, maps in (
        ("same", _SAME, _SAME_LISTS, _SAME_MAPS),
        ("one", _ONE, _ONE_LISTS, _ONE_MAPS),
        ("each", _EACH, (), _EACH_MAPS),
    ):
        for key in direct:
            if isinstance(child := schema.get(key), dict | bool):
                yield kind, child
        for key in lists:
            if _is_list(children := schema.get(key)):
                yield from ((kind, child) for child in children if isinstance(child, dict | bool))
        for key in maps:
            if _is_object(named := schema.get(key)):
                yield from ((kind, child) for child in named.values() if isinstance(child, dict | bool))
    for key in _REFERENCES:
        if isinstance(reference := schema.get(key), str):
            yield from (("same", target) for target in document.targets(schema, reference))


def _ordered(nodes: list[_Node]) -> list[int]:
    """The nodes, each behind all that it leads to for the same value; raises TooHeavy when some lead in a circle."""
    leading: list[list[int]] = [[] for _ in nodes]
    open_edges = [len(node.same) for node in nodes]
    for number, node in enumerate(nodes):
        for other in node.same:
            leading[other].append(number)
    order = [number for number, count in enumerate(open_edges) if not count]
    for number in order:
        for other in leading[number]:
            open_edges[other] -= 1
            if not open_edges[other]:
                order.append(other)
    if len(order) < len(nodes):
        raise TooHeavy("a reference leads back to where it stands")
    return order


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)


def _followed(value: Json, steps: list[str]) -> Json:
    for step in steps:
        if _is_object(value):
            value = value.get(step)
        elif _is_list(value) and step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _children(value: Json) -> Iterable[Json]:
    if _is_object(value):
        return value.values()
    return value if _is_list(value) else ()
