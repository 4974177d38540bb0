"""Which types a schema allows and which properties it names, and schemas that make no sense or are hostile."""

import time
from typing import Any

import pytest

from pipeline.machine.tools.json_types import ANY, MAX_NODES, SchemaWalk, is_text, pointed_at, type_name

DEFINITIONS: dict[str, Any] = {
    "a/b": {"type": "array"},
    "c d": {"anyOf": [{"type": "boolean"}, {"type": "integer"}]},
    "loop": {"$ref": "#/$defs/loop"},
}


def types(schema: Any) -> frozenset[str]:
    return SchemaWalk({"$defs": DEFINITIONS}).of(schema)


def nested(count: int, word: str, innermost: Any) -> Any:
    schema = innermost
    for _ in range(count):
        schema = {word: [schema]}
    return schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"type": "number"}, {"number", "integer"}),
        ({"enum": ["a", 1, None]}, {"string", "integer", "null"}),
        ({"enum": [1.5]}, {"number", "integer"}),
        ({"type": "integer", "enum": [1.5, 2]}, {"integer"}),
        ({"const": True}, {"boolean"}),
        ({"const": None}, {"null"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"integer", "string"}),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": "string"}]}, {"string"}),
        ({"$ref": "#/$defs/a~1b"}, {"array"}),
        ({"$ref": "#/$defs/c%20d"}, {"boolean", "integer"}),
        ({"$ref": "#/$defs/c d/anyOf/1"}, {"integer"}),
        ({"$ref": "#/$defs/c d/anyOf/2"}, ANY),
        ({"$ref": "#/$defs/loop"}, ANY),
        ({"$ref": "https://elsewhere.example/x"}, ANY),
        ({"$ref": "#an-anchor"}, ANY),
        ({}, ANY),
        ({"type": "string", "enum": [1]}, ANY),
    ],
)
def test_the_types_of_a_schema(schema, expected):
    assert types(schema) == expected


@pytest.mark.parametrize(
    "schema", [None, True, [], "x", 7, {"type": 7}, {"type": [7, []]}, {"anyOf": "x"}, {"allOf": [None]}, {"enum": "x"}, {"$ref": "#"}]
)
def test_a_schema_that_makes_no_sense_allows_everything(schema):
    assert types(schema) == ANY


def test_null_beside_a_string_changes_nothing():
    assert is_text(frozenset({"string", "null"}))
    assert not is_text(frozenset({"null"}))
    assert not is_text(frozenset({"string", "integer"}))


def test_properties_come_through_references_and_alternatives():
    root = {
        "$ref": "#/$defs/base",
        "$defs": {"base": {"properties": {"a": 1}}},
        "allOf": [{"properties": {"b": 2}}],
        "anyOf": [{"properties": {"c": 3}}, {"properties": 7}],
        "properties": {"a": 4},
    }
    assert SchemaWalk(root).properties(root) == {"a": 4, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("#", {"a~/": [{"": 1}]}), ("#/a~0~1/0", {"": 1}), ("#/a~0~1/0/", 1), ("#/a~0~1/1", None), ("#/a~0~1/-1", None), ("#x", None), ("", None)],
)
def test_a_pointer(reference, expected):
    assert pointed_at({"a~/": [{"": 1}]}, reference) == expected


@pytest.mark.parametrize(
    ("value", "name"), [(True, "boolean"), (1, "integer"), (1.0, "number"), ("", "string"), ([], "array"), ({}, "object"), (None, "null")]
)
def test_the_type_of_a_decoded_value(value, name):
    assert type_name(value) == name


EITHER_TO_THE_FORTIETH: Any = {"type": "string"}
for _ in range(40):
    EITHER_TO_THE_FORTIETH = {"anyOf": [EITHER_TO_THE_FORTIETH] * 8}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"$ref": "#"}] * 50}, ANY),
        (EITHER_TO_THE_FORTIETH, ANY),
        ({"anyOf": [{"type": "integer"}] * 1_000_000}, ANY),
        ({"allOf": [{"type": "integer"}] * 1_000_000}, {"integer"}),
        ({"enum": [1] * 1_000_000}, ANY),
        ({"type": ["integer"] * 1_000_000}, {"integer"}),
        (nested(10_000, "anyOf", {"type": "integer"}), ANY),
        ({"$ref": "#/" + "x/" * 1_000_000}, ANY),
    ],
    ids=["loop", "exponential", "wide anyOf", "wide allOf", "long enum", "long type", "deep", "long pointer"],
)
def test_a_hostile_schema_takes_no_time(schema, expected):
    started = time.perf_counter()
    assert SchemaWalk(schema).of(schema) == expected
    SchemaWalk(schema).properties(schema)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("word", ["anyOf", "allOf"])
def test_a_walk_ends_with_its_budget(word):
    schema = {word: [{"type": "integer"} for _ in range(10 * MAX_NODES)]}
    walks = SchemaWalk(schema), SchemaWalk(schema)
    walks[0].of(schema)
    walks[1].properties(schema)
    assert [walk.nodes_left for walk in walks] == [-1, -1]


def test_many_references_to_many_properties_take_no_time():
    large: dict[str, Any] = {"properties": {str(number): {} for number in range(100_000)}}
    root = {"$defs": {"large": large}, "anyOf": [{"$ref": "#/$defs/large"}] * MAX_NODES}
    started = time.perf_counter()
    assert len(SchemaWalk(root).properties(root)) == 100_000
    assert time.perf_counter() - started < 0.5
