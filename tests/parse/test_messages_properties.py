"""parse_messages: what holds of every body, whatever is in it."""

import copy
import json
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parse.messages import parse_messages
from tests.support.chat_bodies import JSON
from tests.support.cursor_bodies import conversations
from tests.support.messages_requests import HELLO, as_messages, assistant, claude_code_body, encode, parsed_or_refused, result, use, user

NAMES = ["type", "role", "content", "text", "id", "tool_use_id", "name", "input", "source", "url", "data", "media_type", "is_error", "thinking", "x"]
WORDS = [
    *("user", "assistant", "system", "tool", "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "base64"),
    *("url", "content", "server_tool_use", "search_result", "tool_reference", "compaction", "auto", "any", "enabled", "json_schema", "{", ""),
]
VALUES = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-1, 2) | st.just(1.5) | st.just(2**70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
FIELDS = ["messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata", "stop_sequences", "top_k", "n", "x"]


@settings(deadline=None, max_examples=300)  # a busy machine is not a failure
@given(st.one_of(st.just(claude_code_body()), conversations().map(as_messages)), VALUES, st.data())
def test_one_value_spoiled_is_parsed_or_a_clients_error(good, value, data):
    body = copy.deepcopy(good)
    here: Any = {"": body}
    key: Any = ""
    while isinstance(here[key], (dict, list)) and here[key] and (here is not body or data.draw(st.integers(0, 4))):
        here = here[key]
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = value
    parsed_or_refused(json.dumps(body).encode())


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(FIELDS), st.one_of(JSON, VALUES)))
def test_any_json_in_any_field_is_parsed_or_a_clients_error(fields):
    parsed_or_refused(encode(**fields))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_a_clients_error(body):
    parsed_or_refused(body)


@settings(deadline=None, max_examples=100)
@given(conversations().map(as_messages))
def test_the_same_body_is_the_same_request_and_every_result_is_behind_its_call(body):
    raw = json.dumps(body).encode()
    request = parse_messages(raw).request
    assert request == parse_messages(raw).request
    open_calls: list[str] = []
    for message in request.messages:
        if message.tool_call_id is not None:
            open_calls.remove(message.tool_call_id)
        else:
            assert not open_calls
            open_calls = [call.id for call in message.tool_calls]
    assert not open_calls


def long_body(turns: int) -> bytes:
    """Results far from their calls, results of none, calls without any, and ids that repeat."""
    thought = {"type": "thinking", "thinking": "z" * 40}
    asked = [assistant(thought, "y" * 40, use(f"a{number}"), use("same")) for number in range(turns)]
    answered = [user(result(f"a{number}"), result("same"), result("none"), "x" * 40) for number in reversed(range(turns))]
    return encode(messages=[HELLO, *asked, *answered])


def seconds(turns: int) -> float:
    body = long_body(turns)
    took: list[float] = []
    for _ in range(3):
        began = time.process_time()
        parse_messages(body)
        took.append(time.process_time() - began)
    return min(took)


def test_the_time_is_linear_in_the_number_of_turns():
    assert seconds(1200) < 8 * 3 * max(seconds(150), 0.001)


def test_a_body_of_four_megabytes_is_parsed_at_once():
    body = encode(messages=[user("x" * 2**21, "y" * 2**21), assistant(use(text="z" * 2**20)), user(result(content="r" * 2**20))])
    began = time.process_time()
    request = parse_messages(body).request
    assert time.process_time() - began < 0.6
    assert len(request.messages[0].text) == 2**22 + 1
