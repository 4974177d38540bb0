"""Types from the schema, and hostile schemas."""

import json
import time

import pytest

from pipeline.machine.arguments import ArgumentWriter
from pipeline.machine.fitting import type_of, typed
from pipeline.machine.json_types import ANY
from pipeline.machine.schema import ToolSchema
from pipeline.request import Tool


def types(schema: dict, **root) -> frozenset[str]:
    return ToolSchema(Tool("t", parameters={"properties": {"x": schema}, **root})).types("x")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"type": "number"}, {"number", "integer"}),
        ({"enum": ["a", 1, None]}, {"string", "integer", "null"}),
        ({"const": True}, {"boolean"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"integer", "string"}),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": "string"}]}, {"string"}),
        ({"$ref": "#/$defs/a~1b"}, {"array"}),
        ({"$ref": "#/$defs/loop"}, ANY),
        ({"$ref": "https://elsewhere.example/x"}, ANY),
        ({}, ANY),
        ({"type": "string", "enum": [1]}, ANY),
    ],
)
def test_the_types_of_a_property(schema, expected):
    definitions = {"a/b": {"type": "array"}, "loop": {"$ref": "#/$defs/loop"}}
    assert types(schema, **{"$defs": definitions}) == expected


@pytest.mark.parametrize(
    "schema", [None, True, [], "x", 7, {"type": 7}, {"type": [7, []]}, {"anyOf": "x"}, {"allOf": [None]}, {"enum": "x"}, {"$ref": "#"}]
)
def test_a_schema_that_makes_no_sense_allows_everything(schema):
    assert types(schema) == ANY


def test_a_hostile_schema_does_not_hang():
    wide: dict = {"type": "string"}
    for _ in range(40):
        wide = {"anyOf": [wide] * 8}
    started = time.perf_counter()
    types({"anyOf": [{"$ref": "#/properties/x"}] * 50})
    types(wide)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("7", {"integer"}, ("7", True)),
        ("7.0", {"integer"}, ("7.0", True)),
        ("7.5", {"integer"}, ('"7.5"', False)),
        ("true", {"boolean"}, ("true", True)),
        ("True", {"boolean"}, ('"True"', False)),
        ("7", {"integer", "string"}, ("7", True)),
        ("x", {"integer", "string"}, ('"x"', True)),
        (' {"a": 1}\n', {"object"}, ('{"a": 1}', True)),
        ("[1, 2", {"array"}, ('"[1, 2"', False)),
        ("[1]", ANY, ("[1]", True)),
        ("7", ANY, ('"7"', True)),
    ],
)
def test_values_are_typed_by_the_schema(text, kinds, expected):
    assert typed(text, frozenset(kinds)) == expected


@pytest.mark.parametrize("source", ["[" * 100_000, "NaN", "1e999", "0x1F", "'a'", "", "\ud800"])
def test_what_is_no_json_has_no_type(source):
    assert type_of(source) is None


def test_an_untyped_value_streams_as_soon_as_it_is_no_container():
    writer = ArgumentWriter(ToolSchema(Tool("t")))
    assert writer.open("k") == '{"k":'
    assert writer.write(" ") == ""
    assert writer.write("ab") == '" ab'
    assert writer.write('"') == '\\"'
    assert writer.close() + writer.end() == '"}'


def test_an_untyped_container_is_kept_until_it_parses():
    writer = ArgumentWriter(ToolSchema(Tool("t")))
    found = writer.open("k") + writer.write("[1,") + writer.write("2]") + writer.close() + writer.open("l") + writer.write("[oops") + writer.close()
    assert json.loads(found + writer.end()) == {"k": [1, 2], "l": "[oops"}
