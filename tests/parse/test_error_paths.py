"""Every error of parsing names a place in the body: one that exists, or a field that is missing from an object that exists."""

import copy
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import MalformedBody, PenstockError
from pipeline.parameters import BY_NAME
from pipeline.parse.chat import parse_chat
from pipeline.parse.cursor import parse_cursor
from tests.support.chat_bodies import CHAT_BODIES, JSON

PARSERS = {"/v1": parse_chat, "/cursor": parse_cursor}
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
NOT_HERE = object()


def walked(body: Any, path: str) -> list[Any]:
    """The values on the way to a path; the last one is NOT_HERE when an object or array ends before it."""
    assert re.fullmatch(r"[^.\[\]]+(\.[^.\[\]]+|\[\d+\])*", path), path
    values = [body]
    for name, index in STEP.findall(path):
        here = values[-1]
        if name and isinstance(here, dict):
            values.append(here.get(name, NOT_HERE))
        elif index and isinstance(here, list) and int(index) < len(here):
            values.append(here[int(index)])
        else:
            values.append(NOT_HERE)
    return values


def error_of(parse, raw: bytes) -> PenstockError | None:
    try:
        parse(raw)
    except PenstockError as error:
        return error
    return None


def check(parse, body: Any) -> None:
    error = error_of(parse, msgspec.json.encode(body))
    if error is None:
        return
    assert error.status == 400
    assert error.message
    if isinstance(body, dict) and not isinstance(error, MalformedBody):
        assert error.param is not None
        *before, last = walked(body, error.param)
        assert NOT_HERE not in before, error.param
        assert last is not NOT_HERE or isinstance(before[-1], dict), error.param
        assert error.param in error.message, error.message


# every name that some reader knows, so that random values come to where they are read
INNER = [
    *("role", "content", "type", "text", "refusal", "image_url", "url", "detail", "name", "audio", "reasoning_content"),
    *("tool_calls", "tool_call_id", "function_call", "id", "function", "arguments", "parameters", "description", "strict"),
    *("allowed_tools", "mode", "tools", "format", "verbosity", "json_schema", "schema", "effort", "enabled", "exclude", "include_usage"),
]
WORDS = [
    *("user", "assistant", "tool", "function", "system", "text", "image_url", "input_text", "refusal", "data:x", "https://a.example/b"),
    *("json_schema", "json_object", "allowed_tools", "auto", "none", "required", "any", "custom", "web_search", "f", "x"),
]
VALUES = st.recursive(
    JSON | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=12,
)
CALLS = st.fixed_dictionaries({"id": VALUES}, optional={"type": VALUES, "function": VALUES})
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "developer"])},
    optional={
        "content": VALUES
        | st.lists(st.fixed_dictionaries({"type": st.sampled_from(WORDS)}, optional={name: VALUES for name in INNER if name != "type"}), max_size=2),
        "tool_calls": st.lists(CALLS, max_size=2),
        **dict.fromkeys(("name", "tool_call_id", "function_call", "audio", "reasoning_content"), VALUES),
    },
)
# mostly those that have a parser of their own: the others are one check each
FIELDS = [*(name for name in BY_NAME if name != "messages"), *["tools", "tool_choice", "functions", "response_format", "text", "input", "stop"] * 4]


@st.composite
def near_misses(draw):
    """A body with messages, some of the fields that are known, and any values."""
    messages = draw(st.just([{"role": "user"}]) | st.lists(MESSAGES, min_size=1, max_size=3) | VALUES)
    return {"messages": messages, **{name: draw(VALUES) for name in draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))}}


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@settings(max_examples=150)
@given(body=near_misses() | JSON)
@example(body={"logit_bias": {"1": 10**400}})
@example(body={"temperature": -(10**400)})
@example(body={"messages": [{"role": "user"}], "tools": [{"type": "function"}], "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}})
def test_near_misses(parse, body):
    check(parse, body)


@st.composite
def spoiled(draw):
    """A valid body with one value, at any depth, replaced."""
    body = copy.deepcopy(draw(CHAT_BODIES))  # parts of it are the strategy's own
    here: Any = {"": body}
    key: Any = ""
    while isinstance(here[key], (dict, list)) and here[key] and (here is not body or draw(st.integers(0, 4))):
        here = here[key]
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = draw(VALUES)
    return body


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@settings(max_examples=100)
@given(body=spoiled())
def test_one_value_spoiled(parse, body):
    check(parse, body)


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@given(body=CHAT_BODIES, data=st.data())
def test_any_cut_and_any_byte(parse, body, data):
    """Bytes that are nearly JSON are parsed, or refused as a client's error."""
    raw = bytearray(msgspec.json.encode(body))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    error = error_of(parse, bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert error is None or error.status == 400
