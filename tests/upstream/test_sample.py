"""Values for schemas: valid under every schema of the supported kinds, and an end to every other."""

import time

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline.prompt.neutral import MARKER
from pipeline.upstream.hints import MAX_LOOKED_AT_CHARS, Hint, one_line
from pipeline.upstream.patterns import example_of
from pipeline.upstream.sample import sample_arguments, sample_value
from tests.support.chat_bodies import JSON

CHECKER = Draft202012Validator.FORMAT_CHECKER
# no command: what is run stays our own constant, also where a pattern or a format asks for something else
NAMES = st.sampled_from(["path", "query", "city", "url", "items", "count", "n", "a b", "email", "date", "x"])
HINTS = st.sampled_from(["", "Read a.txt in Paris, 7 times; 2+2", "https://example.org/x?y=1 a@b.example", "-3 0.5 1e9"]) | st.text(max_size=60)


@st.composite
def integers(draw):
    low, span = draw(st.integers(-50, 50)), draw(st.integers(0, 30))
    schema = {"type": draw(st.sampled_from(["integer", "number"])), draw(st.sampled_from(["minimum", "x-unknown"])): low}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + span + 1
    if draw(st.booleans()) and "exclusiveMaximum" not in schema and "maximum" not in schema:
        schema["multipleOf"] = draw(st.sampled_from([1, 3, 10, 0.5, 0.25]))
    return schema


@st.composite
def numbers(draw):
    low = draw(st.floats(-100, 100))
    return {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + draw(st.floats(0.25, 5))}


@st.composite
def strings(draw):
    schema = {"type": "string"}
    match draw(st.integers(0, 3)):
        case 0:
            schema["format"] = draw(st.sampled_from(["date", "date-time", "uri", "email", "uuid", "ipv4", "time"]))
        case 1:
            schema["pattern"] = draw(st.sampled_from([r"^[A-Z]{2}-\d+$", "^(get|put) ?x*$", r"^\w+@\w+\.\w{2,3}$", "^[^a]$", "", r"\.py$"]))
        case 2:
            least = draw(st.integers(0, 120))
            schema |= {"minLength": least, "maxLength": least + draw(st.integers(0, 40))}
        case _:
            schema |= draw(st.sampled_from([{}, {"default": "d"}, {"examples": ["e"]}, {"default": 1}, {"default": "", "minLength": 2}]))
    return schema


SCALARS = st.one_of(
    integers(),
    numbers(),
    strings(),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": ["null", "integer"]}, {"const": {"a": [1]}}, {"type": "boolean", "default": True}]
    ),
    st.lists(st.none() | st.integers() | st.text(max_size=5), min_size=1, max_size=4).map(lambda members: {"enum": members}),
)


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema = {"type": "object", "properties": properties}
    if draw(st.booleans()):
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.booleans())
    if draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, len(properties)))
    return schema


@st.composite
def arrays(draw, inner):
    schema = {"type": "array", "minItems": draw(st.integers(0, 4)), "items": draw(inner)}
    if draw(st.booleans()):
        schema["maxItems"] = schema["minItems"] + draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, max_size=2))
        schema.pop("maxItems", None)
    return schema


def combined(inner):
    return st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda members: {"anyOf": members}),
        inner.map(lambda schema: schema if Draft202012Validator(schema).is_valid(None) else {"oneOf": [{"type": "null"}, schema]}),
        inner.map(lambda schema: {"allOf": [schema, {"description": "the same"}]}),
    )


SCHEMAS = st.recursive(SCALARS, combined, max_leaves=8)


# how a schema stands in a document: as it is, or behind a reference
DOCUMENTS = st.one_of(
    SCHEMAS,
    SCHEMAS.map(lambda schema: {"$defs": {"a/b": schema}, "$ref": "#/$defs/a~1b"}),
    SCHEMAS.map(lambda schema: {"x-parts": [schema], **objects_with({"$ref": "#/x-parts/0"})}),
)


def objects_with(schema):
    return {"type": "object", "properties": {"x": schema, "y": {"type": "array", "items": schema}}, "required": ["x", "y"]}


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, HINTS)
def test_the_value_is_valid(schema, hint):
    value = sample_value(schema, hint)
    Draft202012Validator(schema, format_checker=CHECKER).validate(value)
    assert value == sample_value(schema, hint)


@settings(max_examples=150, deadline=None)
@given(objects(SCHEMAS), HINTS)
def test_the_arguments_are_valid(schema, hint):
    Draft202012Validator(schema, format_checker=CHECKER).validate(sample_arguments(schema, hint))


KEYWORDS = """
    type properties required items prefixItems enum const anyOf allOf oneOf $ref minimum maximum exclusiveMinimum multipleOf minLength maxLength
    minItems maxItems uniqueItems minProperties pattern format default examples nullable additionalProperties description
"""


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(KEYWORDS.split()),
        JSON
        | st.sampled_from(
            ["string", "object", "array", "number", "integer", "#", "#/properties", 10**400, -1, 1e300, {"$ref": "#"}, [{"$ref": "#"}]]
        ),
        max_size=6,
    ),
    st.text(max_size=30),
)
def test_no_schema_raises(schema, hint):
    msgspec.json.encode(sample_value(schema, hint))
    assert isinstance(sample_arguments(schema, hint), dict)


HOSTILE = {
    "itself": {"$ref": "#"},
    "a ring": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}] * 9}}},
    "a tree of requirements": {"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
    "arrays of arrays": {"type": "array", "minItems": 64, "items": {"$ref": "#"}},
    "a billion items": {"type": "array", "minItems": 10**9},
    "a billion characters": {"type": "string", "minLength": 10**9},
    "a billion properties": {"type": "object", "minProperties": 10**9},
    "combinations": {"allOf": [{"anyOf": [{"$ref": "#"}] * 50}] * 50},
    "a slow pattern": {"type": "string", "pattern": "^(a+)+$" * 50 + "((((((((((((((((((((" * 9},
    "many repeats": {"type": "string", "pattern": "((((a{255}){255}){255}){255}){255}"},
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
def test_everything_ends(schema):
    started = time.process_time()
    assert len(msgspec.json.encode(sample_value(schema, "hello"))) < 100_000
    assert time.process_time() - started < 2


def test_items_that_must_differ():
    for items in ({"type": "string"}, {"type": "integer", "minimum": 5}, {"enum": [1, 2, 3, 4]}, {"type": "string", "format": "uuid"}):
        schema = {"type": "array", "items": items, "minItems": 4, "uniqueItems": True}
        jsonschema.validate(sample_value(schema, "hello"), schema, format_checker=CHECKER)


# -- words ---------------------------------------------------------------------------------------------------------------------------------------

WORDS = {
    "expression": ("What is 12 / (3 - 1)?", "12 / (3 - 1)"),
    "formula": ("Nothing to add in 2025", "2+2"),
    "path": ("see https://example.com/a.html and ./docs/intro.md.", "./docs/intro.md"),
    "file_name": ("What is in .env.local?", "README.md"),
    "directory": ("look in src/app/ please", "src/app/"),
    "cwd": ("hello", "."),
    "url": ("fetch https://example.org/a?b=c.", "https://example.org/a?b=c"),
    "destination": ("Fly from here to São Paulo tomorrow", "São Paulo"),
    "shellCommand": ("run rm -rf /", 'echo "hello from penstock"'),
    "code": ("import os", 'print("hello from penstock")'),
    "pattern": ("Where is parse_request defined? (all of it)", "parse_request"),
    "regex": ('find "hello world" in it', "hello world"),
    "query": ("What\n is   up?", "What is up?"),
    "description": ("one two three four five six seven", "one two three four five six"),
}


@pytest.mark.parametrize(("name", "message", "expected"), [(name, *row) for name, row in WORDS.items()], ids=WORDS)
def test_words_for_a_name(name, message, expected):
    assert sample_arguments({"properties": {name: {"type": "string"}}}, message) == {name: expected}


def test_a_command_is_ours_whatever_the_schema_suggests():
    schema = {"properties": {"command": {"type": "string", "default": "rm -rf /", "examples": ["ls"], "pattern": "^rm"}}}
    assert sample_arguments(schema, "rm -rf /") == {"command": 'echo "hello from penstock"'}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<|tool_", "<|tool_sep|>", "sep|>", "< ", "|final|>", "</th", "</think>", "ink>", "｜", "\n", "a "]), max_size=12))
def test_no_marker_survives(pieces):
    message = "".join(pieces)
    assert MARKER.search(one_line(message, 100)) is None
    assert MARKER.search(Hint(message).wording("query") or "") is None


def test_a_long_message_is_read_in_linear_time():
    started = time.process_time()
    for piece in ("a/", "1+", "in A", "<task>", "a.b@", '"', "-", "((((1", " to A, A"):
        for name in ("expression", "path", "location", "directory", "email", "url", "pattern", "date"):
            Hint(piece * 500_000).wording(name)
    assert time.process_time() - started < 5
    assert len(Hint("x" * 500_000).text) <= MAX_LOOKED_AT_CHARS


# -- patterns ------------------------------------------------------------------------------------------------------------------------------------

PATTERNS = {
    r"^\d{4}-\d{2}$": "0000-00",
    r"[^abc]x": "0x",
    r"^[]-]$": "]",
    r"(a|b)+\.(?:py|js)": "a.py",
    "": "",
    r"^(?!x)": None,
    r"a*?": None,
    r"\1": None,
    r"[z": None,
    r"(": None,
    r")": None,
    r"a{2,1000}": "aa",
    r"a{9999}": None,
    r"\p{L}": None,
}


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items())
def test_examples_of_patterns(pattern, expected):
    assert example_of(pattern) == expected


@given(st.text("ab^$.*+?{}[]()|\\d-,01", max_size=20))
def test_no_pattern_raises(pattern):
    assert isinstance(example_of(pattern), str | None)
