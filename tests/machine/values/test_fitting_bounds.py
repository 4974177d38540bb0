"""The bounds of fitting: schemas and values that are hostile, alone or together."""

import json
import time
from typing import Any

import pytest

from pipeline.machine.tools.shapes import Shapes
from pipeline.machine.values.fitting import MAX_STEPS, Fitted, Fitting

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def fit(source: str, schema: Any) -> Fitted:
    fitted = Fitting().source(source, Shapes(schema).of(schema), "t.x")
    assert fitted is not None
    return fitted


def nested(count: int, word: str, innermost: Any, wrap: Any = lambda schema: schema) -> Any:
    schema = innermost
    for _ in range(count):
        schema = {word: wrap(schema)}
    return schema


def referred(schema: Any) -> tuple[Any, str]:
    places = {f"p{n}": {"$ref": "#/$defs/here", "maximum": n} for n in range(5_000)}
    return {"$defs": {"here": schema}, "properties": places}, json.dumps(dict.fromkeys(places, "x"))


def tree(depth: int) -> str:
    inner = ", ".join([tree(depth - 1)] * 2) if depth else ""
    return f'{{"kind": "f", "inner": [{inner}]}}'


HOSTILE: dict[str, tuple[Any, str]] = {
    "a loop of three references": ({"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"$ref": "#/c"}, "c": {"$ref": "#/a"}}, '{"a": 1}'),
    "alternatives that are the schema itself": ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "items": {"$ref": "#"}}, "[[[1]]]"),
    "very many alternatives": ({"anyOf": [{"type": "array", "title": str(n)} for n in range(100_000)]}, '"7"'),
    "very many parts": ({"allOf": [{"type": ["integer", "string"], "title": str(n)} for n in range(100_000)]}, '"7"'),
    "very deep alternatives": (nested(10_000, "anyOf", INTEGER, lambda schema: [schema]), '"x"'),
    "very deep items": (nested(10_000, "items", INTEGER), "[" * 200 + "]" * 200),
    "alternatives to the power of forty": (nested(40, "anyOf", STRING, lambda schema: [schema] * 8), '"x"'),
    "three lists of alternatives at once": (
        {"allOf": [{"anyOf": [{"title": f"{list_} {n}", "items": INTEGER} for n in range(100)]} for list_ in range(3)]},
        json.dumps(["x"] * 2_000),
    ),
    "a tree of alternatives": (
        {"anyOf": [{"properties": {"kind": {"const": kind}, "inner": {"items": {"$ref": "#"}}}} for kind in "abcdefgh"]},
        tree(12),
    ),
    "many references to a long enum": referred({"enum": list(range(9_999))}),
    "many references to many alternatives": referred({"anyOf": [{"type": "integer", "title": str(n)} for n in range(1_900)]}),
    "many references to a long pointer": referred({"$ref": "#/" + "a/" * 250_000, "maximum": 1}),
    "many references to many members": referred({"properties": {str(n): STRING for n in range(9_999)}, "required": [str(n) for n in range(9_999)]}),
    "a long array": ({"items": STRING}, "[" + ",".join(["1"] * 500_000) + "]"),
    "many arrays": ({"items": {"$ref": "#"}, "type": "array"}, "[" + ",".join(["[]"] * 300_000) + "]"),
    "many alternatives of a long string": ({"anyOf": [{"type": "array", "title": str(n)} for n in range(100)]}, json.dumps("[" + "1," * 300_000)),
    "a long name": ({"properties": {"a" * 1_000_000: {}}}, json.dumps({"a" * 1_000_000: "x"})),
    "a number without end": ({"type": "string", "enum": [1]}, "1e" + "9" * 500_000),
}


@pytest.mark.parametrize(("schema", "source"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_schemas_and_values_take_no_time_and_pass_as_they_are(schema, source):
    started = time.perf_counter()
    assert fit(source, schema).text == source
    assert time.perf_counter() - started < 1


def test_alternatives_at_every_level_do_not_multiply():
    kinds = [{"properties": {"kind": {"const": kind}, "inner": {"$ref": "#"}, "line": INTEGER}, "required": ["kind"]} for kind in "ab"]
    source = '{"kind": "b", "inner": ' * 20 + '{"kind": "b", "line": "7"}' + "}" * 20
    assert fit(source, {"anyOf": kinds}).text.endswith('{"kind":"b","line":7}' + "}" * 20)


def test_a_value_over_the_bound_is_typed_at_its_own_level_only():
    schema = {"type": "array", "items": INTEGER}
    fitting, shape = Fitting(visits=3), Shapes(schema).of(schema)
    assert fitting.source('["1", "2"]', shape, "t.x") == ("[1,2]", [])
    assert fitting.source('["1", "2"]', shape, "t.x") == ('["1", "2"]', [])
    assert fitting.source('"[7]"', shape, "t.x") == ("[7]", [])
    assert fitting.source('"7"', shape, "t.x") == ('"7"', ["t.x is not array"])


def test_what_is_deeper_than_the_bound_passes_as_it_is():
    schema = {"items": {"$ref": "#"}, "type": ["array", "integer"]}
    for depth, inside in ((MAX_STEPS, "7"), (MAX_STEPS + 1, '"7"')):
        assert fit("[" * depth + '"7"' + "]" * depth, schema).text == "[" * depth + inside + "]" * depth


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000])
def test_brackets_deeper_than_the_decoder_follows_are_no_json(text):
    shape = Shapes({}).of({"type": "array"})
    assert Fitting().source(text, shape, "t.x") is None
    assert Fitting().text(text, shape, "t.x") == (f'"{text}"', ["t.x is not array; passed as a string"])
