"""parse_chat as a whole: what real clients and the documented curl examples send, wrong types, and any JSON at all."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MalformedBody, RequestError
from pipeline.parse.chat import parse_chat
from pipeline.request import AnswerFormat, Request, Role, ToolChoice, ToolMode
from tests.support.chat_bodies import CHAT_BODIES, JSON, TOOL, USER, WEATHER, parse, refused

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Work out a sum.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}

# shapes of documented curl examples and of what SDKs and coding agents send
SHAPES = {
    "plain": {"model": "composer-2.5", "messages": [USER]},
    "messages before the model": {"messages": [{"role": "user", "content": "你好"}], "model": "claude-3.7-sonnet-thinking", "stream": True},
    "one tool": {"messages": [USER], "tools": [TOOL], "model": "gpt-4o", "stream": False},
    "a forced tool": {
        "model": "gemini-3-flash",
        "messages": [USER],
        "tools": [CALCULATOR],
        "tool_choice": {"type": "function", "function": {"name": "calculator"}},
        "stream": False,
    },
    "a coding agent": {
        "model": "cursor/composer-2.5",
        "max_tokens": 32000,
        "messages": [
            {"role": "system", "content": "You write code."},
            USER,
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "look first",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"filePath":"a.txt"}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "<file>\n1: hi\n</file>"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "read", "parameters": {"$schema": "x", "type": "object", "additionalProperties": False}}}
        ],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "strict helper": {"messages": [USER], "model": "m", "tools": [{"type": "function", "function": {**WEATHER, "strict": True}}]},
    "a JSON object": {"model": "composer-2.5", "response_format": {"type": "json_object"}, "messages": [USER]},
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_real_shapes_parse_without_notices(body):
    request = parse_chat(json.dumps(body).encode())
    assert request.notices == ()
    assert request.ignored == ()
    assert request.extra == {}
    assert request.model == body["model"]
    assert request.stream == body.get("stream", False)
    assert request.agent == ("tools" in body)
    assert len(request.messages) == len(body["messages"])


def test_a_coding_agent_s_body_in_full():
    request = parse_chat(json.dumps(SHAPES["a coding agent"]).encode())
    assert [message.role for message in request.messages] == [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL]
    assert request.messages[2].reasoning == "look first"
    assert request.messages[2].tool_calls[0].arguments == '{"filePath":"a.txt"}'
    assert request.messages[3].tool_call_id == "c1"
    assert request.tools[0].parameters == {"$schema": "x", "type": "object", "additionalProperties": False}
    assert (request.include_usage, request.options.max_tokens) == (True, 32000)


def test_a_model_may_be_left_out():
    assert parse_chat(json.dumps({"messages": [USER]}).encode()).model == ""


@pytest.mark.parametrize("messages", [None, []])
def test_no_messages(messages):
    error = refused(messages=messages)
    assert error.param == "messages"
    with pytest.raises(RequestError) as caught:
        parse_chat(b"{}")
    assert caught.value.param == "messages"


@pytest.mark.parametrize("extra", [{}, {"messages": None}, {"messages": []}])
def test_a_responses_body_is_told_where_to_go(extra):
    with pytest.raises(RequestError) as caught:
        parse_chat(json.dumps({"model": "gpt-4o", "input": "Hello", **extra}).encode())
    assert caught.value.message.endswith("send it to /v1/responses, or to /cursor/chat/completions for an answer in chat form.")
    assert "/cursor" in caught.value.message
    assert caught.value.param == "messages"


# (fields, the path that the error names)
WRONG = [
    ({"model": 3}, "model"),
    ({"messages": "hi"}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": None}]}, "messages[0].role"),
    ({"messages": [{"role": "robot"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
    ({"messages": [USER, {"role": "user", "content": {"a": 1}}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": ["hologram"]}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 3}]}]}, "messages[0].content[0].image_url"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content[0].image_url.url"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": ""}]}]}, "messages[0].content[0].image_url"),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]}, "messages[0].tool_calls[0].id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]}, "messages[0].tool_calls[0].function.name"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"messages": [{"role": "user", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name"),
    ({"messages": [{"role": "tool", "tool_call_id": 3}]}, "messages[0].tool_call_id"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": True}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stop": 3}, "stop"),
    ({"stop": ["a", 3]}, "stop[1]"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema.schema"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"reasoning_effort": 3}, "reasoning_effort"),
    ({"reasoning": "on"}, "reasoning"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=[f"{i}-{param}" for i, (_, param) in enumerate(WRONG)])
def test_wrong_types_name_their_field(fields, param):
    error = refused(**fields)
    assert error.param == param
    assert "`" not in error.message
    assert "$" not in error.message


def test_a_wrong_type_reads_well():
    assert refused(messages=[{"role": "user", "content": 3}]).message == "messages[0].content must be a string, an array or null, not an integer."


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6, "max_tokens": 5}, 6),
        ({"max_output_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": None, "max_tokens": 5}, 5),
        ({}, None),
    ],
)
def test_token_limit(fields, limit):
    assert parse(**fields).options.max_tokens == limit


def test_stop():
    assert parse(stop="END").options.stop == ("END",)
    assert parse(stop=["a", "b"]).options.stop == ("a", "b")
    request = parse(stop=["", "b"])
    assert request.options.stop == ("b",)
    assert [notice.code for notice in request.notices] == ["empty_stop"]


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": {"type": "text"}}, AnswerFormat()),
        ({"response_format": {"type": "json_object"}}, AnswerFormat("json_object")),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}, AnswerFormat("json_schema", SCHEMA, "n")),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
            AnswerFormat("json_schema", SCHEMA, "n", path="text.format.schema"),
        ),
        (
            {"response_format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
            AnswerFormat("json_schema", SCHEMA, "n", path="response_format.schema"),
        ),
        ({"text": {"verbosity": "low"}}, AnswerFormat()),
    ],
)
def test_answer_format(fields, expected):
    assert parse(**fields).options.answer_format == expected


@pytest.mark.parametrize(
    ("fields", "effort", "reasoning"),
    [
        ({}, None, False),
        ({"reasoning_effort": "high"}, "high", True),
        ({"reasoning_effort": "none"}, "none", False),
        ({"reasoning": True}, None, True),
        ({"reasoning": False, "reasoning_effort": "low"}, "low", False),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "low", True),
        ({"reasoning": {"effort": "low", "exclude": True}}, "low", False),
        ({"reasoning": {"enabled": False}}, None, False),
    ],
)
def test_reasoning(fields, effort, reasoning):
    options = parse(**fields).options
    assert (options.reasoning_effort, options.reasoning) == (effort, reasoning)


def test_parallel_tool_calls_are_allowed_unless_refused():
    assert parse().options.parallel_tool_calls
    assert not parse(parallel_tool_calls=False).options.parallel_tool_calls


def test_the_default_choice():
    assert parse(tools=[TOOL]).tool_choice == ToolChoice(ToolMode.AUTO)


FIELD_NAMES = [
    "model",
    "messages",
    "input",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "stop",
    "response_format",
    "text",
    "reasoning",
    "n",
]
INNER_NAMES = ["role", "content", "type", "text", "image_url", "tool_calls", "function", "name", "parameters", "allowed_tools", "tools", "mode", "id"]
NEAR_MISSES = st.recursive(
    JSON | st.sampled_from(["user", "tool", "function", "assistant", "text", "image_url", "json_schema", "allowed_tools"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER_NAMES), inner, max_size=4),
    max_leaves=15,
)


def parsed_or_error(value) -> Request | RequestError:
    try:
        return parse_chat(json.dumps(value).encode())
    except RequestError as error:
        return error


@settings(deadline=None)  # a busy machine is not a failure
@given(JSON | st.dictionaries(st.sampled_from(FIELD_NAMES), NEAR_MISSES, max_size=6))
def test_any_json_parses_or_is_a_request_error(value):
    outcome = parsed_or_error(value)
    assert isinstance(outcome, Request) or (outcome.status == 400 and outcome.message)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_a_request_error(body):
    with pytest.raises(RequestError) as caught:
        parse_chat(body)
    assert caught.value.status == 400


@settings(deadline=None)  # a busy machine is not a failure
@given(CHAT_BODIES)
def test_every_chat_body_parses(body):
    request = parse_chat(json.dumps(body).encode())
    assert len(request.messages) == len(body["messages"])
    assert [tool.name for tool in request.tools] == [tool["function"]["name"] for tool in body.get("tools", [])]
    assert sum(len(message.tool_calls) for message in request.messages) == sum(len(sent.get("tool_calls", [])) for sent in body["messages"])
    texts = [sent["content"] for sent in body["messages"] if isinstance(sent["content"], str)]
    came = [message.text for message in request.messages]
    assert not Counter(texts) - Counter(came)
    if "tool_results_moved" not in {notice.code for notice in request.notices}:
        assert all(
            message.text == sent["content"] for message, sent in zip(request.messages, body["messages"], strict=True) if sent["content"] in texts
        )
    if "client_metadata" in body:
        assert request.extra["client_metadata"] == body["client_metadata"]


def test_deep_json_in_a_schema_is_refused_whole():
    deep = b'{"messages": [{"role": "user", "content": "x"}], "tools": ' + b"[" * 500 + b"]" * 500 + b"}"
    with pytest.raises(MalformedBody):
        parse_chat(deep)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"name": "read", "input_schema": {"type": "object"}}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "b"}]}]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]},
            ]
        },
    ],
)
def test_a_body_of_anthropic_s_api_is_told_where_it_belongs(fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    with pytest.raises(RequestError, match="send it to /v1/messages"):
        parse_chat(json.dumps(body).encode())
