"""Chat Completions bodies: a short way to parse one, and a hypothesis strategy for valid ones."""

import json

import pytest
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.parse.chat import parse_chat

USER = {"role": "user", "content": "Hello"}
WEATHER = {"name": "get_weather", "description": "Weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOL = {"type": "function", "function": WEATHER}


def encode(**fields):
    return json.dumps({"model": "composer-2.5", "messages": [USER], **fields}).encode()


def parse(**fields):
    return parse_chat(encode(**fields))


def refused(kind=RequestError, **fields):
    """The error of a body; its class must be exactly `kind`."""
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert type(caught.value) is kind, caught.value
    assert caught.value.status == 400
    return caught.value


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.text("abcXYZ_-", min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PARTS = st.one_of(
    st.builds(lambda kind, text: {"type": kind, "text": text}, st.sampled_from(["text", "input_text", "output_text"]), TEXT),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXT),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}),
)
CONTENT = st.none() | TEXT | st.lists(PARTS, max_size=3)
CALLS = st.builds(lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}}, NAMES, NAMES, TEXT)
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "developer", "user", "assistant"]), CONTENT),
    st.builds(
        lambda content, calls, thought: {"role": "assistant", "content": content, "tool_calls": calls, "reasoning_content": thought},
        CONTENT,
        st.lists(CALLS, max_size=2),
        st.none() | TEXT,
    ),
    st.builds(lambda i, content: {"role": "tool", "tool_call_id": i, "content": content}, NAMES, CONTENT),
)
TOOLS = st.lists(NAMES, max_size=3, unique=True).map(
    lambda names: [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]
)
OPTIONAL = {
    "tools": TOOLS,
    "tool_choice": st.sampled_from(["auto", "none", None]),
    "stream": st.none() | st.booleans(),
    "temperature": st.none() | st.floats(0, 2),
    "max_tokens": st.none() | st.integers(1, 10**6),
    "stop": st.none() | TEXT | st.lists(TEXT, max_size=3),
    "reasoning_effort": st.sampled_from(["low", "high", None]),
    "client_metadata": JSON,
}
CHAT_BODIES = st.fixed_dictionaries({"model": TEXT, "messages": st.lists(MESSAGES, min_size=1, max_size=5)}, optional=OPTIONAL)
