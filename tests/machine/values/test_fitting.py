"""A value's spelling under its schema, at every depth: examples, and the schema validator as an oracle."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.machine.tools.json_types import ANY
from pipeline.machine.tools.shapes import Shape, Shapes
from pipeline.machine.values.fitting import MAX_NAMED, Fitted, Fitting
from tests.support.typed_values import NUMBER_TEXTS, Source, Typed, typed_values, written

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
EDIT = {"type": "object", "properties": {"line": INTEGER, "text": STRING, "all": {"type": "boolean"}, "tags": {"type": "array", "items": STRING}}}
EDITS = {"type": "array", "items": EDIT}
KINDS = {
    "anyOf": [
        {"type": "object", "properties": {"kind": {"const": "insert"}, "at": INTEGER}, "required": ["kind", "at"]},
        {"type": "object", "properties": {"kind": {"const": "replace"}, "at": STRING}, "required": ["kind", "at"]},
    ]
}


def fit(source: str, schema: Any, root: Any = None) -> Fitted:
    fitted = Fitting().source(source, Shapes(schema if root is None else root).of(schema), "t.x")
    assert fitted is not None
    return fitted


def fit_text(text: str, schema: Any) -> Fitted:
    return Fitting().text(text, Shapes(schema).of(schema), "t.x")


@pytest.mark.parametrize(
    ("schema", "source", "expected"),
    [
        # a number, true or false where a string is asked
        (EDITS, '[{"text": 1.50}]', '[{"text":"1.50"}]'),
        (EDITS, '[{"text": true, "line": 1}]', '[{"text":"true","line":1}]'),
        (EDITS, '[{"text": -0}, {"tags": [1e5, "a"]}]', '[{"text":"-0"},{"tags":["1e5","a"]}]'),
        ({"type": ["string", "array"]}, "1.50", '"1.50"'),
        ({"type": ["string", "integer"]}, "1.50", '"1.50"'),
        # a string where another type is asked
        (EDITS, '[{"line": "12345678901234567890"}]', '[{"line":12345678901234567890}]'),
        (EDITS, '[{"all": "true"}, {"all": " false\\n"}]', '[{"all":true},{"all":false}]'),
        (EDITS, '"[{\\"line\\": \\"7\\"}]"', '[{"line":7}]'),
        (EDITS, '[{"tags": "[1, \\"b\\"]"}]', '[{"tags":["1", "b"]}]'.replace(", ", ",")),
        ({"type": "null"}, '"null"', "null"),
        ({"type": ["integer", "null"]}, '"null"', "null"),
        # members that the schema does not name, first items and the others
        ({"additionalProperties": INTEGER}, '{"a": "1", "b": 2}', '{"a":1,"b":2}'),
        ({"properties": {"a": STRING}, "additionalProperties": INTEGER}, '{"a": 1, "b": "2"}', '{"a":"1","b":2}'),
        ({"prefixItems": [STRING], "items": INTEGER}, '[1, "1", "2"]', '["1",1,2]'),
        ({"items": [STRING], "additionalItems": INTEGER}, '[1, "1"]', '["1",1]'),
        ({"properties": {"a": STRING}, "patternProperties": {"^b": {}}, "additionalProperties": INTEGER}, '{"b": "2"}', '{"b": "2"}'),
        # references and allOf
        ({"$defs": {"n": INTEGER}, "items": {"$ref": "#/$defs/n"}}, '["7"]', "[7]"),
        ({"type": "object", "properties": {"next": {"$ref": "#"}, "n": INTEGER}}, '{"next": {"next": {"n": "1"}}}', '{"next":{"next":{"n":1}}}'),
        ({"allOf": [{"properties": {"a": INTEGER}}, {"properties": {"a": {}, "b": STRING}}]}, '{"a": "1", "b": 2}', '{"a":1,"b":"2"}'),
        ({"type": "integer", "nullable": True}, '"7"', "7"),
        ({"$ref": "#/$defs/a", "$defs": {"a": INTEGER}, "nullable": True}, "null", "null"),
        # enum and const, through alternatives too
        ({"enum": ["1", "2"]}, "1", '"1"'),
        ({"enum": [1, 2]}, '"1"', "1"),
        ({"enum": ["1", 1]}, '"1"', '"1"'),
        ({"enum": [1, True]}, '"true"', "true"),
        ({"enum": ["a", None]}, "null", "null"),
        ({"anyOf": [{"const": "1"}, {"const": 2}]}, "1", '"1"'),
        ({"anyOf": [{"const": "1"}, {"const": 2}]}, '"2"', "2"),
        # the alternative that fits, else the one that changes least, else the first
        (KINDS, '{"kind": "insert", "at": "1"}', '{"kind":"insert","at":1}'),
        (KINDS, '{"kind": "replace", "at": 1}', '{"kind":"replace","at":"1"}'),
        ({"oneOf": [INTEGER, {"type": "null"}]}, '"7"', "7"),
        ({"oneOf": [{"items": STRING}, {"items": INTEGER}]}, '[1, "2", 3]', "[1,2,3]"),
        ({"oneOf": [{"items": STRING}, {"items": INTEGER}]}, '[1, "2"]', '["1","2"]'),
        ({"anyOf": [{"properties": {"a": INTEGER}, "additionalProperties": False}, {"properties": {"b": INTEGER}}]}, '{"b": "1"}', '{"b":1}'),
        ({"anyOf": [{"anyOf": [INTEGER, {"type": "boolean"}]}, {"type": "array"}]}, '"true"', "true"),
        # of a key that is given twice, what every decoder has
        ({"properties": {"a": INTEGER}}, '{"a": "1", "a": "2"}', '{"a":2}'),
    ],
)
def test_a_value_that_does_not_fit_is_spelled_so_that_it_does(schema, source, expected):
    assert fit(source, schema) == (expected, [])


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        (EDITS, '[ {"line" : 1.0 , "text":"1.50"} ]'),
        (EDITS, '[{"text":"\\u0061\\/"},{"other":[1,  2]}]'),
        ({"type": "number"}, "1e400"),
        ({"type": "integer"}, "12345678901234567890123"),
        ({"type": "integer"}, "1e3"),
        ({"type": ["integer", "string"]}, '"7"'),
        ({"anyOf": [INTEGER, STRING]}, '"7"'),
        ({"anyOf": [STRING, {"type": "object"}]}, '"{\\"a\\": 1}"'),
        ({"type": ["string", "null"]}, '"null"'),
        ({"enum": ["null", None]}, '"null"'),
        ({"enum": ["a", None]}, '"null"'),
        ({"enum": [[1], "a"]}, "[1]"),
        ({}, '{"a": "1"}'),
        ({"$ref": "https://elsewhere.example/schema"}, '"7"'),
        ({"items": {"$ref": "#/$defs/gone"}}, '["7"]'),
    ],
)
def test_a_value_that_fits_keeps_its_text(schema, source):
    assert fit(source, schema) == (source, [])


@pytest.mark.parametrize(
    ("schema", "source", "misfits"),
    [
        (EDITS, '[{}, {}, {"line": "x"}]', ["t.x[2].line is not integer"]),
        (EDITS, '{"line": 1}', ["t.x is not array"]),
        (EDITS, "[[]]", ["t.x[0] is not object"]),
        (EDITS, '[{"text": null, "line": ""}]', ["t.x[0].text is not string", "t.x[0].line is not integer"]),
        (EDITS, '"[{\\"line\\": \\"x\\"}"', ["t.x is not array"]),
        ({"type": "integer"}, '"\\"7\\""', ["t.x is not integer"]),
        ({"type": "integer"}, "1.5", ["t.x is not integer"]),
        ({"type": "string"}, '{"a": 1}', ["t.x is not string"]),
        ({"anyOf": [INTEGER, {"type": "null"}]}, '"x"', ["t.x is not integer or null"]),
        ({"anyOf": [INTEGER, EDITS]}, '[{"line": "x"}]', ["t.x[0].line is not integer"]),
        # a name that is the model's own text is not told
        ({"additionalProperties": INTEGER}, '{"secret": "x"}', ["t.x.* is not integer"]),
    ],
)
def test_what_fits_nowhere_passes_as_it_is_and_is_named(schema, source, misfits):
    assert fit(source, schema) == (source, misfits)


def test_a_value_is_mended_beside_one_that_cannot_be():
    assert fit('[{"line": "x"}, {"line": "7"}]', EDITS) == ('[{"line": "x"},{"line":7}]', ["t.x[0].line is not integer"])
    assert fit('"[{\\"line\\": \\"x\\"}]"', EDITS) == ('[{"line": "x"}]', ["t.x[0].line is not integer"])


def test_many_misfits_are_counted():
    text, misfits = fit(json.dumps(["x"] * 100), {"items": INTEGER})
    assert json.loads(text) == ["x"] * 100
    assert misfits[:1] + misfits[MAX_NAMED:] == ["t.x[0] is not integer", f"t.x holds {100 - MAX_NAMED} more such values"]


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("7", {"integer"}, ("7", True)),
        ("7.0", {"integer"}, ("7.0", True)),
        ("7.5", {"integer"}, ('"7.5"', False)),
        ("1e400", {"number", "integer"}, ("1e400", True)),
        ("true", {"boolean"}, ("true", True)),
        ("True", {"boolean"}, ('"True"', False)),
        ("7", {"integer", "string"}, ("7", True)),
        ("7.50", {"integer", "string"}, ('"7.50"', True)),
        ("x", {"integer", "string"}, ('"x"', True)),
        ("null", {"string", "null"}, ('"null"', True)),
        ('"x"', {"integer", "string"}, (r'"\"x\""', True)),
        (' {"a": 1}\n', {"object"}, ('{"a": 1}', True)),
        ("[1, 2", {"array"}, ('"[1, 2"', False)),
        ("[1]", ANY, ("[1]", True)),
        ("7", ANY, ('"7"', True)),
        ("\ud800", {"string"}, ('"\\ud800"', True)),
    ],
)
def test_raw_text_under_types_alone(text, kinds, expected):
    fitted = Fitting().text(text, Shape(frozenset(kinds)), "t")
    assert (fitted.text, not fitted.misfits) == expected


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (EDITS, '[{"line": "7"}]', ('[{"line":7}]', [])),
        (EDITS, '[{"line": "x"}]', ('[{"line": "x"}]', ["t.x[0].line is not integer"])),
        (EDITS, "[{", ('"[{"', ["t.x is not array; passed as a string"])),
        # a union: first as anything but a string, where it fits, then as a string
        ({"anyOf": [STRING, EDITS]}, '[{"line": "7"}]', ('[{"line":7}]', [])),
        ({"anyOf": [STRING, EDITS]}, "[7]", ('"[7]"', [])),
        ({"type": ["string", "array"], "items": INTEGER}, "[7]", ("[7]", [])),
        ({"type": ["string", "array"], "items": INTEGER}, '["x"]', (r'"[\"x\"]"', [])),
        ({"enum": ["1", 2]}, "1", ('"1"', [])),
        ({"enum": ["1", 2]}, "2", ("2", [])),
        ({"properties": {"a": INTEGER}}, '{"a": "1"}', ('{"a":1}', [])),
    ],
)
def test_raw_text_under_a_schema(schema, text, expected):
    assert fit_text(text, schema) == expected


# -- the validator as the oracle ---------------------------------------------------------------------------------------------------------------


def accepts(schema: Any, source: str) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(json.loads(source))


@given(st.sampled_from(["anyOf", "oneOf"]).flatmap(typed_values), st.sampled_from(["", " ", "\n\t"]))
def test_a_valid_value_is_not_touched(case: Typed, space: str):
    source = written(case.value, space)
    assume(accepts(case.schema, source))
    assert fit(source, case.schema) == (source.strip(), [])


@given(typed_values(), st.sampled_from(["", " "]))
def test_a_value_on_the_wrong_side_of_its_quotes_becomes_valid(case: Typed, space: str):
    fitted = fit(written(case.wrong, space), case.schema)
    assert fitted.misfits == []
    assert accepts(case.schema, fitted.text)
    assert fit(fitted.text, case.schema) == fitted


@given(NUMBER_TEXTS, st.sampled_from(["number", "string"]))
def test_a_number_keeps_its_digits(number: str, kind: str):
    schema = {"items": {"type": kind}}
    expected = f"[{number}]" if kind == "number" else f'["{number}"]'
    assert fit(f"[{number}]", schema).text == expected
    assert fit(f'["{number}"]', schema).text == expected


WORDS = [
    "type",
    "items",
    "prefixItems",
    "properties",
    "additionalProperties",
    "required",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "nullable",
    "$ref",
]
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["a", "7", "#", "#/a", "string"])
)
JSON_VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([*WORDS, "a", "patternProperties"]), inner, max_size=5)),
)


@given(JSON_VALUES, JSON_VALUES)
def test_no_schema_and_no_value_raises(schema: Any, value: Any):
    fitted = fit(json.dumps(value), schema)
    json.loads(fitted.text)


@given(JSON_VALUES, st.one_of(st.text(), st.from_regex(r'[\[\]{}",:0-9a\\]{0,12}', fullmatch=True)))
def test_no_text_raises(schema: Any, text: str):
    json.loads(fit_text(text, schema).text)
    fitted = Fitting().source(text, Shapes(schema).of(schema), "t.x")
    if fitted is not None:
        json.loads(fitted.text)


def test_the_generator_draws_what_it_says():
    assert written([Source("1.50"), {"a": Source('"x"')}], " ") == '[ 1.50 , { "a" : "x" } ]'
