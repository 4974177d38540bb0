"""parse_cursor: chat bodies, Responses-shaped bodies, and what is not read on this path."""

import contextlib
import json

import pytest
from hypothesis import given, settings

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.parse.chat import parse_chat
from pipeline.parse.cursor import parse_cursor
from pipeline.request import ImagePart, Message, Role, TextPart
from tests.support.chat_bodies import CHAT_BODIES, JSON, USER, WEATHER


def parse(**fields):
    return parse_cursor(json.dumps({"model": "gpt-4o", **fields}).encode())


def refused(**fields):
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    return caught.value


HELLO = Message(Role.USER, (TextPart("Hello"),))


@settings(deadline=None)  # a busy machine is not a failure
@given(CHAT_BODIES)
def test_a_body_with_messages_is_a_chat_body(body):
    raw = json.dumps(body).encode()
    assert parse_cursor(raw) == parse_chat(raw)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", [{"input": "Hello"}, {"input": [USER]}, {"input": [{"type": "message", **USER}], "messages": []}])
def test_input_becomes_messages(body, stream):
    request = parse(**body, stream=stream)
    assert (request.messages, request.stream, request.extra) == ((HELLO,), stream, {})


def test_instructions_lead():
    items = [{"role": "developer", "content": "Two."}, USER]
    request = parse(instructions="One.", input=items)
    assert request.messages == (Message(Role.SYSTEM, (TextPart("One."),)), Message(Role.SYSTEM, (TextPart("Two."),)), HELLO)


def test_parts():
    content = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:x", "detail": "auto"}]
    assert parse(input=[{"role": "user", "content": content}]).messages[0].parts == (TextPart("a"), ImagePart("data:x"))


def test_the_rest_is_read_as_in_chat():
    request = parse(
        input="Hello",
        tools=[{"type": "function", **WEATHER}],
        max_output_tokens=9,
        reasoning={"effort": "high"},
        text={"format": {"type": "json_object"}},
        store=False,
        include=["reasoning.encrypted_content"],
    )
    assert [tool.name for tool in request.tools] == ["get_weather"]
    assert request.agent
    assert (request.options.max_tokens, request.options.reasoning_effort) == (9, "high")
    assert request.options.answer_format.kind == "json_object"
    assert request.extra == {"store": False, "include": ["reasoning.encrypted_content"]}


@pytest.mark.parametrize("fields", [{}, {"input": ""}, {"input": []}, {"input": None, "messages": []}])
def test_neither_messages_nor_input(fields):
    assert refused(**fields).param == "messages"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [USER, {"type": "message", "role": "user", "content": 3}]}, "input[1].content"),
        ({"input": "x", "instructions": 3}, "instructions"),
        ({"input": [USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input[1]"),
    ],
)
def test_refused(fields, param):
    assert refused(**fields).param == param


def test_an_item_of_another_kind_is_named():
    assert "function_call_output" in refused(input=[{"type": "function_call_output", "call_id": "c", "output": "x"}]).message


def test_the_table_of_parameters_holds_here_too():
    error = refused(input="x", background=True)
    assert isinstance(error, UnsupportedParameter)
    assert error.param == "background"


@settings(deadline=None)  # a busy machine is not a failure
@given(JSON, JSON)
def test_any_input_parses_or_is_a_request_error(value, instructions):
    with contextlib.suppress(RequestError):  # anything else fails the test
        assert parse(input=value, instructions=instructions).messages
