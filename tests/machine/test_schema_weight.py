"""What a schema costs: what is refused, what is let through, and that the figure is never too small."""

import itertools
import time

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.machine.schema_weight import MAX_EXPANDED, MAX_LEVELS, TooHeavy, weigh_schema


def doubling(count: int, keyword: str) -> dict:
    """Each definition names the next one twice."""
    definitions: dict = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(count)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{count}": {"type": "string"}}}


def chain(count: int, link) -> dict:
    definitions = {f"a{n}": link({"$ref": f"#/$defs/a{n + 1}"}) for n in range(count)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{count}": {}}}


TOO_HEAVY = {
    "doubling": doubling(16, "anyOf"),
    "doubling for all": doubling(16, "allOf"),
    "doubling by not": chain(40, lambda link: {"not": link, "if": link}),
    "in one list": {"anyOf": [{"type": "string"}] * (MAX_EXPANDED + 1)},
    "a reference to itself": {"$ref": "#"},
    "an empty circle": {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
    "a dynamic circle": {"$dynamicRef": "#here", "$dynamicAnchor": "here"},
    "a circle by name": {"$id": "https://a.example/b", "anyOf": [{"$ref": "b"}]},
    "a reference out": {"$ref": "https://a.example/"},
    "a reference to nothing": {"$ref": "#/$defs/a"},
    "levels": chain(MAX_LEVELS, lambda link: {"allOf": [link]}),
    "levels of properties": chain(MAX_LEVELS, lambda link: {"properties": {"a": link}}),
    "values": {"enum": list(range(60_000))},
}


@pytest.mark.parametrize("schema", TOO_HEAVY.values(), ids=TOO_HEAVY)
def test_what_is_refused(schema):
    began = time.process_time()
    with pytest.raises(TooHeavy):
        weigh_schema(schema)
    assert time.process_time() - began < 0.5


USED = {
    "a list": {"$ref": "#/$defs/l", "$defs": {"l": {"anyOf": [{"type": "null"}, {"properties": {"next": {"$ref": "#/$defs/l"}}}]}}},
    "a tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
    "an anchor": {"$ref": "#it", "$defs": {"a": {"$anchor": "it", "type": "object"}}},
    "an old anchor": {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#it", "definitions": {"a": {"$id": "#it", "type": "object"}}},
    "an id": {"$ref": "https://a.example/x", "$defs": {"a": {"$id": "https://a.example/x", "type": "object"}}},
    "escapes": {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"type": "object"}}},
    "booleans": {"properties": {"a": True, "b": False}, "additionalProperties": False},
    "a dynamic tree": {"$dynamicAnchor": "node", "properties": {"children": {"items": {"$dynamicRef": "#node"}}}},
}


@pytest.mark.parametrize("schema", USED.values(), ids=USED)
def test_what_is_used(schema):
    jsonschema_rs.validator_for(schema, offline=True)
    assert weigh_schema(schema).of({"children": [{}, {}], "next": {"next": None}}, 10_000) is not None


@pytest.mark.parametrize("schema", [None, 7, True, {"anyOf": 7, "properties": [1], "items": "x", "$ref": 5, "$id": [], "allOf": [1, None]}])
def test_what_is_no_schema_is_for_the_validator_to_refuse(schema):
    assert weigh_schema(schema).of({}, 1_000) is not None


def test_a_value_meets_one_of_the_properties_and_each_of_the_patterns():
    leaf = {"type": "string"}
    few, many = ({"properties": {f"p{n}": leaf for n in range(count)}} for count in (2, 200))
    assert cost(many, {"p1": "x"}) - cost(few, {"p1": "x"}) == 2 * 198  # the names themselves, for an object with one of them
    assert cost({"patternProperties": {"^a": leaf, "^b": leaf}}, {"p1": "x"}) > cost({"properties": {"^a": leaf, "^b": leaf}}, {"p1": "x"})


def cost(schema, value) -> int:
    found = weigh_schema(schema).of(value, 10**9)
    assert found is not None
    return found


def test_a_circle_doubles_with_the_depth_of_the_answer():
    schema = {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}] * 2}
    weight = weigh_schema(schema)
    value: dict = {}
    costs: list[int] = []
    for _ in range(12):
        costs.append(cost(schema, value))
        value = {"a": value}
    assert all(later > 1.9 * earlier for earlier, later in itertools.pairwise(costs[2:]))
    assert weight.of(value, 1_000) is None


LEAVES = st.sampled_from([True, {"type": "string"}, {"type": "integer"}, {"const": 1}, {"$ref": "#/$defs/d"}])
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda many: {"anyOf": many}),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: {"allOf": many}),
        inner.map(lambda one: {"not": one}),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2).map(lambda named: {"properties": named, "additionalProperties": True}),
        inner.map(lambda one: {"items": one}),
    ),
    max_leaves=12,
)
VALUES = st.recursive(
    st.sampled_from([1, "x", None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


def looks(schema, value, root) -> int:
    """How many subschemas a validator looks at that leaves nothing out."""
    if not isinstance(schema, dict):
        return 1
    same = [*schema.get("anyOf", []), *schema.get("allOf", []), *([schema["not"]] if "not" in schema else [])]
    if "$ref" in schema:
        same.append(root["$defs"]["d"])
    count = 1 + sum(looks(one, value, root) for one in same)
    if isinstance(value, dict):
        for name, child in value.items():
            if "properties" in schema:
                count += looks(schema["properties"].get(name, schema["additionalProperties"]), child, root)
    if isinstance(value, list) and "items" in schema:
        count += sum(looks(schema["items"], child, root) for child in value)
    return count


@settings(max_examples=300)
@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), st.sampled_from([{"type": "null"}, {"items": {"$ref": "#/$defs/d"}}]), VALUES)
def test_the_figure_is_never_too_small(schema, definition, value):
    root = {**schema, "$defs": {"d": definition}}
    found = weigh_schema(root).of(value, 10**9)
    assert found is not None
    assert found >= looks(root, value, root)
