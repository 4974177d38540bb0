"""Whatever the parsers accept, AnthropicUpstream writes as a strict judge of the API takes it, or refuses as the client's error."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.parse.chat import parse_chat
from pipeline.parse.cursor import parse_cursor
from pipeline.parse.messages import parse_messages
from pipeline.parse.responses import parse_responses
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.request import Request
from pipeline.upstream.anthropic import AnthropicConfig, AnthropicUpstream
from tests.support.chat_bodies import CHAT_BODIES, TEXT
from tests.support.messages_judge import Refused, judge
from tests.upstream.test_openai_chat import direct

MARK = {"cache_control": {"type": "ephemeral"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Terms"}}

WORDS = st.sampled_from(["Hi", "  ", "a ", "", "\n", "b"]) | TEXT
MARKS = st.sampled_from([{}, {}, MARK])
IDS = st.sampled_from(["a", "b", "call|1", "c" * 70, "é", ""])
NAMES = st.sampled_from(["f", "g", "mcp.tool", "f g"])

TEXTS = st.builds(lambda text, mark: {"type": "text", "text": text, **mark}, WORDS, MARKS)
CONTENT = WORDS | st.lists(TEXTS | st.just(IMAGE), max_size=3)
CALLS = st.builds(
    lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    IDS,
    NAMES,
    st.sampled_from(["{}", '{"a":1}', "", "[1]", "x", '{"a":']),
)
CHAT_MESSAGES = st.one_of(
    st.builds(
        lambda role, content, more: {"role": role, "content": content, **more},
        st.sampled_from(["system", "user", "assistant", "developer"]),
        CONTENT,
        st.sampled_from([{}, {}, MARK, {"name": "bob"}]),
    ),
    st.builds(
        lambda content, calls, more: {"role": "assistant", "content": content, "tool_calls": calls, **more},
        CONTENT | st.none(),
        st.lists(CALLS, min_size=1, max_size=3),
        st.sampled_from([{}, {"reasoning_content": "hm"}]),
    ),
    st.builds(lambda id, content: {"role": "tool", "tool_call_id": id, "content": content}, IDS, CONTENT),
)
SCHEMA = {"type": "object", "properties": {}}
CHAT = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(CHAT_MESSAGES, min_size=1, max_size=6)},
    optional={
        "tools": st.lists(st.sampled_from(["f", "g"]), max_size=2, unique=True).map(
            lambda names: [{"type": "function", "function": {"name": name, "parameters": SCHEMA, **MARK}} for name in names]
        ),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0.1, 1),
        "max_tokens": st.integers(1, 4000),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "high"]),
        "stop": st.lists(WORDS, max_size=3),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.sampled_from(
            [{"type": "json_object"}, {"type": "json_schema", **MARK, "json_schema": {"name": "x", "schema": {"type": "object"}}}]
        ),
    },
)

USES = st.builds(lambda id, name: {"type": "tool_use", "id": id, "name": name, "input": {}}, st.sampled_from(["a", "b", "c"]), NAMES)
RESULTS = st.builds(
    lambda id, content, failed: {"type": "tool_result", "tool_use_id": id, "content": content, **failed},
    st.sampled_from(["a", "b", "c"]),
    WORDS | st.lists(TEXTS | st.just(DOCUMENT), max_size=2),
    st.sampled_from([{}, {"is_error": True}]),
)
THOUGHTS = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "", "signature": "t"},
    ]
)


def turn(role: str, blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda content: {"role": role, "content": content}, WORDS | st.lists(blocks, min_size=1, max_size=4))


MESSAGES = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "max_tokens": st.integers(1100, 5000),
        "messages": st.lists(
            turn("user", TEXTS | RESULTS | st.just(DOCUMENT))
            | turn("assistant", TEXTS | USES | THOUGHTS)
            | turn("system", TEXTS | st.just(DOCUMENT)),
            min_size=1,
            max_size=6,
        ),
    },
    optional={
        "system": WORDS | st.lists(TEXTS | st.just(DOCUMENT), max_size=2),
        "tools": st.lists(st.sampled_from(["f", "g"]), unique=True, max_size=2).map(
            lambda names: [{"name": name, "input_schema": SCHEMA} for name in names]
        ),
        "thinking": st.sampled_from([{"type": "disabled"}, {"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}]),
        "stop_sequences": st.lists(WORDS, max_size=2),
    },
)

ITEMS = st.one_of(
    st.builds(lambda role, text: {"type": "message", "role": role, "content": text}, st.sampled_from(["user", "system", "developer"]), WORDS),
    st.builds(lambda text: {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}, WORDS),
    st.builds(
        lambda id, arguments: {"type": "function_call", "call_id": id, "name": "f", "arguments": arguments}, IDS, st.sampled_from(["{}", "x", "[]"])
    ),
    st.builds(lambda id, text: {"type": "function_call_output", "call_id": id, "output": text}, IDS, WORDS),
    st.builds(lambda id: {"type": "custom_tool_call", "call_id": id, "name": "patch", "input": "raw"}, IDS),
    st.builds(lambda id, text: {"type": "custom_tool_call_output", "call_id": id, "output": text}, IDS, WORDS),
)
RESPONSES = st.fixed_dictionaries(
    {"model": st.just("m"), "input": WORDS | st.lists(ITEMS, min_size=1, max_size=7)},
    optional={
        "instructions": WORDS,
        "reasoning": st.sampled_from([{"effort": "high"}, {"effort": "none"}, {"summary": "auto"}]),
        "tools": st.just([{"type": "custom", "name": "patch"}, {"type": "function", "name": "f", "parameters": {"type": "object"}}]),
        "tool_choice": st.sampled_from(["auto", "required", {"type": "custom", "name": "patch"}]),
        "temperature": st.floats(0, 2),
        "max_output_tokens": st.integers(16, 4000),
    },
)

CASES: dict[str, tuple[Callable[[bytes], Request], st.SearchStrategy[Any]]] = {
    "chat, any": (parse_chat, CHAT_BODIES),
    "chat": (parse_chat, CHAT),
    "cursor": (parse_cursor, CHAT),
    "cursor, blocks": (parse_cursor, MESSAGES),
    "messages": (lambda body: parse_messages(body).request, MESSAGES),
    "responses": (lambda body: parse_responses(body).request, RESPONSES),
}
PROFILES = [MessagesProfile(thinking=thinking) for thinking in ("adaptive", "budget", "off")]


@pytest.mark.parametrize("case", CASES)
async def test_what_is_written_is_what_the_api_takes(case):
    parse, bodies = CASES[case]
    async with direct() as client:
        upstreams = [AnthropicUpstream("a", AnthropicConfig("https://a.example", profile=profile), client) for profile in PROFILES]

        @settings(deadline=None, max_examples=200)
        @given(bodies, st.sampled_from(upstreams))
        def written(body: dict[str, Any], upstream: AnthropicUpstream) -> None:
            try:
                outgoing = upstream.write(parse(json.dumps(body).encode()))
            except RequestError:
                return
            judge(json.loads(outgoing.body))

        written()


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": " "}]},
        {"messages": [{"role": "assistant", "content": "x "}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]},
        {"messages": [{"role": "user", "content": "x"}], "system": [DOCUMENT]},
        {"messages": [{"role": "user", "content": "x"}], "thinking": {"type": "enabled", "budget_tokens": 9}},
        {"messages": [{"role": "user", "content": "x", "cache_control": {}}]},
    ],
)
def test_the_judge_is_strict(body):
    with pytest.raises(Refused):
        judge({"model": "m", "max_tokens": 9, **body})
