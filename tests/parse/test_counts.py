"""How many of each thing a body may hold."""

import time

import msgspec
import pytest

from pipeline.errors import RequestError
from pipeline.parse.body import MAX_ITEMS
from pipeline.parse.chat import parse_chat
from pipeline.parse.cursor import parse_cursor
from pipeline.parse.options import MAX_STOPS

USER = {"role": "user", "content": "a"}
PART = {"type": "text", "text": "a"}
CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


def body(**fields) -> bytes:
    return msgspec.json.encode({"messages": [USER], **fields})


TOO_MANY = {
    "messages": (body(messages=[USER] * (MAX_ITEMS + 1)), "messages"),
    "parts": (body(messages=[{"role": "user", "content": [PART] * (MAX_ITEMS + 1)}]), "messages[0].content"),
    "parts in all": (body(messages=[{"role": "user", "content": [PART] * 5_001}] * 2), "messages[1].content"),
    "calls in all": (body(messages=[{"role": "assistant", "tool_calls": [CALL] * 5_001}] * 2), "messages[1].tool_calls"),
    "tools": (body(tools=[{"type": "function", "function": {"name": f"t{n}"}} for n in range(MAX_ITEMS + 1)]), "tools"),
    "functions": (body(functions=[{"name": f"t{n}"} for n in range(MAX_ITEMS + 1)]), "functions"),
    "stop texts": (body(stop=["a"] * (MAX_STOPS + 1)), "stop"),
    "fields": (body(**{f"f{n}": 1 for n in range(MAX_ITEMS)}), None),
}


@pytest.mark.parametrize(("sent", "param"), TOO_MANY.values(), ids=TOO_MANY)
def test_what_is_there_too_often_is_refused_by_its_name(sent, param):
    for parse in (parse_chat, parse_cursor):
        with pytest.raises(RequestError) as caught:
            parse(sent)
        assert (caught.value.status, caught.value.param) == (400, param)


def test_the_limits_are_exact():
    assert len(parse_chat(body(messages=[USER] * MAX_ITEMS)).messages) == MAX_ITEMS
    assert len(parse_chat(body(stop=[str(n) for n in range(MAX_STOPS)])).options.stop) == MAX_STOPS


def test_a_body_of_very_many_messages_is_refused_quickly():
    sent = body(messages=[USER] * 120_000)
    began = time.process_time()
    with pytest.raises(RequestError):
        parse_chat(sent)
    assert time.process_time() - began < 0.5
