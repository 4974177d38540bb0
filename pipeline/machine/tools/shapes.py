"""What a client's JSON Schema asks of one value, and of the values inside it.

A `Shape` is all that the subschemas which hold for one place ask together: its JSON types, the scalars of `enum` and `const`, what stands in its
members and items, and the alternatives of an `anyOf` or `oneOf`. Local `$ref` and `allOf` are followed when a shape is made; the shapes of members,
items and alternatives are made when they are asked for, and kept. So a schema may refer to itself, and two places where the same subschemas hold
share one shape.

`pattern`, `format`, lengths and bounds, `not`, `if`, `patternProperties`, `dependentSchemas` and the `unevaluated…` words are not looked at: they say
whether a value is good, not how it is spelled. What is not understood asks nothing. Schemas come from clients and may be hostile: the work for one
schema is bounded by `MAX_SCHEMA_NODES`, that for one shape by the other constants, and nothing recurses without a bound.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

from pipeline.machine.tools.json_types import ANY, MAX_DEPTH, MAX_NODES, SchemaWalk, mapping, members, pointed_at
from pipeline.machine.values.json_source import scalar_key
from pipeline.request import Json

MAX_SCHEMA_NODES = 20_000
"""Subschemas that are looked at for all shapes of one schema; beyond it new shapes ask nothing."""

MAX_TOGETHER = 32
"""Subschemas that hold for one place together."""

MAX_ALTERNATIVES = 100
"""Members of an `anyOf` or `oneOf`; of a longer one only the types count."""

MAX_ENUM = 10_000
"""Scalars of an `enum`; of a longer one only the types count."""

MAX_REQUIRED = 100
"""Names in `required` that help to choose between alternatives."""

_INSIDE_OBJECT = ("properties", "additionalProperties", "required")
_INSIDE_ARRAY = ("items", "prefixItems")
_EITHER = ("anyOf", "oneOf")
_ONLY_REFERS = frozenset({"$ref", "title", "description", "default", "examples"})


class Shape:
    """What is asked of the value at one place; here its types and nothing inside it, without arguments nothing at all."""

    asks_members = False
    """Whether anything is asked of an object's members."""
    asks_items = False
    """Whether anything is asked of an array's items."""
    prefix_count = 0
    """From this index on, the same is asked of every item."""
    closed_count = 0
    """How many subschemas name all members that may be there."""

    def __init__(self, types: frozenset[str] = ANY, scalars: frozenset[Hashable] | None = None) -> None:
        """`types` are JSON types; `scalars` the keys (`scalar_key`) of the values that `enum` and `const` leave, None for any."""
        self.types = types
        self.scalars = scalars

    @cached_property
    def alternatives(self) -> Sequence["Shape"]:
        """Shapes of which a value should have one; each asks all that this shape asks, and more."""
        return ()

    @property
    def asks_nothing(self) -> bool:
        """Whether every value fits, whatever is in it."""
        return self.types == ANY and self.scalars is None

    @cached_property
    def bare(self) -> "Shape":
        """The types alone."""
        return Shape(self.types)

    def names(self, key: str) -> bool:
        """Whether the schema itself has a property of this name."""
        return False

    def doubts(self, given: Mapping[str, object]) -> int:
        """How many required members an object misses, and how many it has that may not be there."""
        return 0

    def member(self, key: str) -> "Shape":
        """What is asked of an object's member."""
        return FREE

    def item(self, index: int) -> "Shape":
        """What is asked of an array's item."""
        return FREE


FREE = Shape()


class Shapes:
    """The shapes of one schema.

    >>> shapes = Shapes({"$defs": {"Edit": {"properties": {"line": {"type": "integer"}}}}})
    >>> sorted(shapes.of({"items": {"$ref": "#/$defs/Edit"}}).item(0).member("line").types)
    ['integer']
    """

    def __init__(self, root: Json) -> None:
        """`root` is the schema that local references point into; what `of` is asked stands in it."""
        self._root = root
        self._nodes_left = MAX_SCHEMA_NODES
        self._known: dict[Hashable, tuple[Shape, Sequence[Json]]] = {}

    def of(self, *asked: Json, decided: frozenset[int] = frozenset()) -> Shape:
        """The shape of a place where these subschemas hold; `decided` are the ids of the anyOf and oneOf lists of which `asked` holds a member."""
        name = (*map(id, asked), decided)
        if name not in self._known:
            if self._nodes_left <= 0:
                return FREE
            # the subschemas are kept beside their shape: an id names a value only for as long as it lives
            meant = tuple(map(self._meant, asked))
            meant_name = (*map(id, meant), decided)
            if meant_name not in self._known:
                self._known[meant_name] = self._made(meant, decided), meant
            self._known[name] = self._known[meant_name][0], asked
        return self._known[name][0]

    def _meant(self, node: Json) -> Json:
        """What a subschema refers to, where it says nothing else; so that all who refer to it share its shapes."""
        for _ in range(MAX_DEPTH):
            words = mapping(node)
            if not isinstance(words.get("$ref"), str) or not _ONLY_REFERS.issuperset(words):
                break
            self._nodes_left -= 1
            node = pointed_at(self._root, words["$ref"])
        return node

    def _made(self, asked: Sequence[Json], decided: frozenset[int]) -> Shape:
        nodes = self._together(asked)
        lists = (members(node.get(word)) for node in nodes for word in _EITHER)
        either = next((found for found in lists if 0 < len(found) <= MAX_ALTERNATIVES and id(found) not in decided), None)
        types, scalars = self._types(asked), self._scalars(nodes)
        if either is None and not any(word in node for node in nodes for word in _INSIDE_OBJECT + _INSIDE_ARRAY):
            return FREE if types == ANY and scalars is None else Shape(types, scalars)
        if either is not None:
            decided |= {id(either)}
        alternatives = [(*asked, member) for member in either or ()]
        return _DeepShape(self, types, scalars, nodes, alternatives, decided)

    def _together(self, asked: Sequence[Json]) -> list[dict[str, Json]]:
        """The subschemas, those that they refer to, and those that they are made of; each once, so that a loop ends."""
        found: dict[int, dict[str, Json]] = {}
        waiting = list(reversed(asked))
        while waiting and len(found) < MAX_TOGETHER:
            self._nodes_left -= 1
            node = mapping(waiting.pop())
            if not node or id(node) in found:
                continue
            found[id(node)] = node
            waiting.extend(members(node.get("allOf"))[:MAX_TOGETHER])
            if isinstance(node.get("$ref"), str):
                waiting.append(pointed_at(self._root, node["$ref"]))
        return list(found.values())

    def _types(self, asked: Sequence[Json]) -> frozenset[str]:
        types = ANY
        for node in asked:
            walk = SchemaWalk(self._root, MAX_NODES)
            types &= walk.of(node)
            self._nodes_left -= MAX_NODES - walk.nodes_left
        return types or ANY

    def _scalars(self, nodes: Sequence[dict[str, Json]]) -> frozenset[Hashable] | None:
        """The values that all `enum` and `const` leave; None for any, and where a container or nothing at all is among them."""
        left: frozenset[Hashable] | None = None
        for node in nodes:
            for values in ([node["const"]] if "const" in node else [], members(node.get("enum"))):
                if not values:
                    continue
                if len(values) > MAX_ENUM or any(isinstance(value, list | dict) for value in values):
                    return None
                self._nodes_left -= len(values) // 16
                here = frozenset(map(scalar_key, values))
                left = here if left is None else left & here
        if left and any(node.get("nullable") is True for node in nodes):
            left |= {None}
        return left or None


class _DeepShape(Shape):
    """A shape that asks something of what is inside, or has alternatives."""

    def __init__(
        self,
        shapes: Shapes,
        types: frozenset[str],
        scalars: frozenset[Hashable] | None,
        nodes: Sequence[dict[str, Json]],
        alternatives: Sequence[Sequence[Json]],
        decided: frozenset[int],
    ) -> None:
        super().__init__(types, scalars)
        self._shapes = shapes
        self._either = alternatives
        self._members: dict[str, Shape] = {}
        self._decided = decided
        objects = [node for node in nodes if any(word in node for word in _INSIDE_OBJECT)]
        self._named = [(mapping(node.get("properties")), node.get("additionalProperties")) for node in objects if "patternProperties" not in node]
        self._named += [(mapping(node.get("properties")), None) for node in objects if "patternProperties" in node]
        self._placed = [_items(node) for node in nodes if any(word in node for word in _INSIDE_ARRAY)]
        self._required = frozenset(
            [key for node in nodes for key in members(node.get("required"))[:MAX_REQUIRED] if isinstance(key, str)][:MAX_REQUIRED]
        )
        self.asks_members = bool(objects)
        self.asks_items = bool(self._placed)
        self.prefix_count = max((len(prefix) for prefix, _ in self._placed), default=0)
        self.closed_count = sum(1 for _, others in self._named if others is False)

    @cached_property
    def alternatives(self) -> Sequence[Shape]:
        return [self._shapes.of(*asked, decided=self._decided) for asked in self._either]

    @property
    def asks_nothing(self) -> bool:
        return False

    def names(self, key: str) -> bool:
        return key in self._members or any(key in properties for properties, _ in self._named)

    def doubts(self, given: Mapping[str, object]) -> int:
        unknown = sum(1 for properties, others in self._named if others is False for key in given if key not in properties)
        return unknown + len(self._required - given.keys())

    def member(self, key: str) -> Shape:
        shape = self._members.get(key)
        if shape is None:
            asked = [properties.get(key, others) for properties, others in self._named]
            shape = self._shapes.of(*[node for node in asked if isinstance(node, dict)])
            # only the schema's own names are kept: the others are as many as a model can think of
            if self.names(key):
                self._members[key] = shape
        return shape

    def item(self, index: int) -> Shape:
        asked = [prefix[index] if index < len(prefix) else others for prefix, others in self._placed]
        return self._shapes.of(*[node for node in asked if isinstance(node, dict)])


def _items(node: dict[str, Json]) -> tuple[Sequence[Json], Json]:
    """What is asked of the first items one by one, and of the others; drafts before 2020-12 had both words under other names."""
    if isinstance(node.get("items"), list):
        return members(node["items"]), node.get("additionalItems")
    return members(node.get("prefixItems")), node.get("items")
