"""What a schema asks of one place: shapes are found, shared, and bounded."""

from typing import Any

import pytest

from pipeline.machine.tools.json_types import ANY
from pipeline.machine.tools.shapes import FREE, MAX_ALTERNATIVES, MAX_ENUM, MAX_SCHEMA_NODES, MAX_TOGETHER, Shape, Shapes


def shape(schema: Any) -> Shape:
    return Shapes(schema).of(schema)


@pytest.mark.parametrize(
    "schema", [None, True, False, 7, "x", [], {}, {"title": "x"}, {"pattern": "(a+)+$"}, {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]
)
def test_a_schema_that_asks_nothing(schema):
    assert shape(schema) is FREE
    assert FREE.asks_nothing
    assert (FREE.member("a"), FREE.item(0), FREE.doubts({"a": 1}), FREE.names("a")) == (FREE, FREE, 0, False)


def test_places_where_the_same_holds_share_a_shape():
    node: dict[str, Any] = {"type": "array", "items": {"$ref": "#/$defs/node", "description": "again"}}
    shapes = Shapes({"$defs": {"node": node}})
    first = shapes.of({"$ref": "#/$defs/node"})
    assert first is shapes.of(node) is first.item(0) is first.item(7)


def test_all_that_holds_for_a_member_holds_together():
    schema = {
        "$ref": "#/$defs/base",
        "$defs": {"base": {"properties": {"a": {"type": ["integer", "string"]}}, "required": ["a"]}},
        "allOf": [{"properties": {"a": {"type": ["string", "null"]}, "b": {}}, "additionalProperties": False}],
        "additionalProperties": {"type": "boolean"},
    }
    found = shape(schema)
    # for the outer words `a` is one of the other members: no type is left, so none is asked
    assert found.member("a").types == ANY
    del schema["additionalProperties"]
    found = shape(schema)
    assert found.member("a").types == {"string"}
    assert (found.names("a"), found.names("c")) == (True, False)
    assert (found.doubts({"a": 1, "b": 1}), found.doubts({"b": 1}), found.doubts({"a": 1, "c": 1, "d": 1})) == (0, 1, 2)


def test_alternatives_ask_all_that_the_schema_asks_besides():
    found = shape({"properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"oneOf": [{"required": ["b"]}, {"required": ["c"]}]}]})
    first, second = found.alternatives
    assert first.member("a").types == {"integer"}
    assert [one.doubts({}) for one in (first, *second.alternatives)] == [1, 1, 1]
    assert [one.doubts({"b": 1}) for one in (first, *second.alternatives)] == [1, 0, 1]
    assert not first.alternatives


@pytest.mark.parametrize(
    ("schema", "scalars"),
    [
        ({"enum": [1, True, "1", None]}, {1, (True,), "1", None}),
        ({"enum": [1, 2], "const": 2}, {2}),
        ({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, {2}),
        ({"enum": [1], "nullable": True}, {1, None}),
        ({"enum": [1, [2]]}, None),
        ({"allOf": [{"enum": [1]}, {"enum": [2]}]}, None),
        ({"enum": list(range(MAX_ENUM + 1)), "type": "integer"}, None),
        ({"enum": 7, "type": "integer"}, None),
    ],
)
def test_the_scalars_that_are_left(schema, scalars):
    assert shape(schema).scalars == scalars


def test_what_is_too_much_asks_nothing_more_than_its_types():
    wide = {"anyOf": [{"type": "integer", "title": str(number)} for number in range(MAX_ALTERNATIVES + 1)]}
    assert shape(wide).types == {"integer"}
    assert not shape(wide).alternatives
    parts = [{"properties": {str(number): {"type": "integer"}}} for number in range(2 * MAX_TOGETHER)]
    assert {shape({"allOf": parts}).member(str(number)).asks_nothing for number in range(2 * MAX_TOGETHER)} == {True, False}


def test_the_work_for_one_schema_is_bounded():
    count = MAX_SCHEMA_NODES
    found = shape({"properties": {str(number): {"type": "integer", "title": str(number)} for number in range(count)}})
    bounded = [found.member(str(number)) for number in range(count)]
    assert bounded[0].types == {"integer"}
    assert bounded[-1] is FREE
    # what was made before is still known
    assert found.member("0") is bounded[0]
