"""Schemas, values that conform to them, and the same values as a model spells them wrong: on the other side of the quotes.

Values are trees whose leaves are JSON source, so that a number keeps the digits that it was given.
"""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

Schema = dict[str, Any]


class Source(str):
    """A leaf: one scalar as JSON source."""

    __slots__ = ()


class Typed(NamedTuple):
    """A schema, a tree that conforms to it, and one that conforms when its strings and other scalars have changed sides where they must."""

    schema: Schema
    value: Any
    wrong: Any


def quoted(text: str) -> Source:
    return Source(json.dumps(text, ensure_ascii=len(text) % 2 == 0))


def written(tree: Any, space: str = "") -> str:
    """The tree as JSON text, with this white space wherever JSON allows it."""
    if isinstance(tree, Source):
        return str(tree)
    if isinstance(tree, list):
        return "[" + space + f"{space},{space}".join(written(item, space) for item in tree) + space + "]"
    members = (f"{quoted(key)}{space}:{space}{written(member, space)}" for key, member in tree.items())
    return "{" + space + f"{space},{space}".join(members) + space + "}"


NUMBER_TEXTS = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.builds("{}.{}".format, st.integers(-99, 99), st.sampled_from(["5", "50", "10", "25"])),
    st.builds("{}e{}".format, st.integers(1, 99), st.integers(-30, 30)),
)
INTEGER_TEXTS = st.one_of(st.integers(-(10**25), 10**25).map(str), st.builds("{}.0".format, st.integers(-99, 99)))
BOOLEAN_TEXTS = st.sampled_from(["true", "false"])
TEXTS = st.one_of(st.text(max_size=6), st.sampled_from(["007", "null", "[1]", '{"a": 1}', "", " 7 ", '"7"']))
NAMES = st.sampled_from(["path", "line", "kind", "a b", "é"])
ENUM_VALUES = st.one_of(st.integers(-9, 9), st.booleans(), st.none(), st.sampled_from(["a", "7", "true", "null", "1.5"]))


@st.composite
def _leaves(draw: st.DrawFn, name: str) -> Typed:
    if name == "string":
        sided = draw(st.one_of(NUMBER_TEXTS, BOOLEAN_TEXTS, st.none()))
        value = quoted(draw(TEXTS) if sided is None else sided)
        return Typed({"type": name}, value, value if sided is None else Source(sided))
    text = draw({"integer": INTEGER_TEXTS, "number": NUMBER_TEXTS, "boolean": BOOLEAN_TEXTS, "null": st.just("null")}[name])
    return Typed({"type": name}, Source(text), quoted(draw(st.sampled_from(["", " "])) + text))


@st.composite
def _unions(draw: st.DrawFn) -> Typed:
    names = draw(st.lists(st.sampled_from(["string", "integer", "number", "boolean", "null"]), min_size=2, max_size=3, unique=True))
    leaf = draw(_leaves(names[0]))
    return leaf._replace(schema={"type": names})


@st.composite
def _enums(draw: st.DrawFn) -> Typed:
    values = draw(st.lists(ENUM_VALUES, min_size=1, max_size=4))
    value = Source(json.dumps(draw(st.sampled_from(values))))
    wrong = value
    if isinstance(json.loads(value), bool | int):
        wrong = quoted(value)
    elif json.loads(value) in ("7", "true", "1.5"):
        wrong = Source(json.loads(value))
    return Typed({"const": values[0]} if len(values) == 1 else {"enum": values}, value, wrong)


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    if draw(st.booleans()):
        item, count = draw(inner), draw(st.integers(0, 3))
        return Typed({"type": "array", "items": item.schema}, [item.value] * count, [item.wrong] * count)
    items = draw(st.lists(inner, min_size=1, max_size=3))
    return Typed({"type": "array", "prefixItems": [item.schema for item in items]}, [item.value for item in items], [item.wrong for item in items])


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    members = draw(st.dictionaries(NAMES, inner, max_size=3))
    given = draw(st.sets(st.sampled_from(sorted(members)))) if members else set()
    schema: Schema = {"type": "object", "properties": {key: member.schema for key, member in members.items()}}
    if draw(st.booleans()):
        schema["required"] = sorted(given)
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    return Typed(schema, {key: members[key].value for key in sorted(given)}, {key: members[key].wrong for key in sorted(given)})


@st.composite
def _maps(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    member, keys = draw(inner), draw(st.lists(st.text(max_size=3), max_size=3, unique=True))
    return Typed({"type": "object", "additionalProperties": member.schema}, dict.fromkeys(keys, member.value), dict.fromkeys(keys, member.wrong))


@st.composite
def _both(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    first, second = draw(_objects(inner)), draw(inner)
    first.schema.pop("additionalProperties", None)
    schema = {"allOf": [first.schema, {"type": "object", "properties": {"besides": second.schema}}]}
    return Typed(schema, {**first.value, "besides": second.value}, {**first.wrong, "besides": second.wrong})


@st.composite
def _either(draw: st.DrawFn, inner: st.SearchStrategy[Typed], word: str) -> Typed:
    members = draw(st.lists(inner, min_size=1, max_size=3))
    chosen = draw(st.sampled_from(members))
    return Typed({word: [member.schema for member in members]}, chosen.value, chosen.wrong)


@st.composite
def typed_values(draw: st.DrawFn, either: str = "anyOf", depth: int = 3) -> Typed:
    """A schema without hostile parts, and its values; `either` is the word for alternatives."""
    leaves = [_unions(), _enums(), *(_leaves(name) for name in ("string", "integer", "number", "boolean", "null"))]
    inner = typed_values(either, depth - 1)
    found = draw(st.one_of(*leaves, *([_arrays(inner), _objects(inner), _maps(inner), _both(inner), _either(inner, either)] if depth else [])))
    # a container's text, where a container is asked and no string
    if isinstance(found.value, list | dict) and "type" in found.schema and draw(st.integers(0, 3)) == 0:
        found = found._replace(wrong=quoted(written(found.wrong)))
    return found
