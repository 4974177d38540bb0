"""normalise and parse_cursor: what holds of every body, whatever is in it."""

import contextlib
import copy
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.parse.cursor import normalise, parse_cursor
from pipeline.parse.messages import parse_messages
from pipeline.request import ImagePart, Message, Part, Request, Role, TextPart, ToolCall
from tests.support.chat_bodies import JSON
from tests.support.cursor_bodies import FLAT_PATCH, NESTED_READ, as_anthropic, as_chat, as_responses, conversations, normalised
from tests.support.messages_requests import as_messages

WRITERS = {"chat": as_chat, "responses": as_responses, "anthropic": as_anthropic}


def parsed(body: dict[str, Any]):
    return parse_cursor(json.dumps({"model": "gpt-5", **body}).encode())


def without_places(request: Request) -> list[Message]:
    """The messages, with images that do not say where they stood."""
    return [
        msgspec.structs.replace(
            message, parts=tuple(msgspec.structs.replace(part, path="") if isinstance(part, ImagePart) else part for part in message.parts)
        )
        for message in request.messages
    ]


@settings(deadline=None, max_examples=150)  # a busy machine is not a failure
@given(conversations())
def test_the_three_dialects_are_one_request(conversation):
    chat, responses, anthropic = (parsed(write(conversation)) for write in WRITERS.values())
    assert without_places(chat) == without_places(responses) == without_places(anthropic)
    assert chat.tools == responses.tools == anthropic.tools
    assert chat.tool_choice == responses.tool_choice == anthropic.tool_choice


def without_spelling(request: Request) -> list[Message]:
    """The messages without what differs between the routes: thoughts, places, spaces around texts, images in results, custom tools as such."""
    found: list[Message] = []
    for message in request.messages:
        parts = tuple(_shown(message)) if message.role is Role.USER else (TextPart("".join(_words(message))),)
        shown = Message(message.role, parts, tuple(map(_as_function, message.tool_calls)), tool_call_id=message.tool_call_id)
        if found and found[-1].role is shown.role is Role.ASSISTANT:  # which Cursor's form has as one message
            before = found.pop()
            shown = Message(Role.ASSISTANT, (TextPart(before.text + shown.text),), before.tool_calls + shown.tool_calls)
        found.append(shown)
    return found


def _shown(message: Message) -> list[Part]:
    shown = [msgspec.structs.replace(part, path="") if isinstance(part, ImagePart) else part for part in message.parts]
    return [part for part in shown if part != TextPart("\n")]  # which stands between the texts of a Messages body alone


def _words(message: Message) -> list[str]:
    texts = ["[image omitted]" if isinstance(part, ImagePart) else part.text for part in message.parts if isinstance(part, (ImagePart, TextPart))]
    return [word for text in texts for word in text.split()]


def _as_function(call: ToolCall) -> ToolCall:
    return ToolCall(call.id, call.name, msgspec.json.encode({"input": call.arguments}).decode()) if call.custom else call


@settings(deadline=None, max_examples=150)
@given(conversations())
def test_a_messages_body_is_the_same_request(conversation):
    """But for thoughts, which Cursor never shows again, and images in results, which its upstreams never get."""
    cursor = parsed(as_anthropic(conversation))
    messages = parse_messages(json.dumps(as_messages(conversation)).encode()).request
    assert without_spelling(messages) == without_spelling(cursor)
    assert [tool.name for tool in messages.tools] == [tool.name for tool in cursor.tools]
    assert msgspec.structs.replace(messages.tools[0], extra={}) == cursor.tools[0]
    assert messages.tool_choice == cursor.tool_choice


@settings(deadline=None, max_examples=100)
@given(conversations(), st.sampled_from(sorted(WRITERS)))
def test_a_good_body_stays_when_normalised_again(conversation, dialect):
    normalised(**WRITERS[dialect](conversation))


NAMES = [
    *("type", "role", "content", "text", "id", "call_id", "tool_call_id", "tool_use_id", "name", "arguments", "input", "output", "tool_calls"),
    *("function", "custom", "function_call", "image_url", "url", "detail", "source", "media_type", "data", "is_error", "refusal", "audio", "index"),
    *("parameters", "input_schema", "format", "grammar", "syntax", "definition", "strict", "description", "cache_control", "annotations"),
    *("allowed_tools", "tools", "mode", "reasoning_content", "disable_parallel_tool_use", "effort", "cursorConversationId", "properties", "$schema"),
]
WORDS = [
    *("message", "user", "assistant", "tool", "function", "system", "developer", "function_call", "custom_tool_call", "function_call_output"),
    *("custom_tool_call_output", "reasoning", "item_reference", "text", "input_text", "output_text", "tool_use", "tool_result", "thinking", "image"),
    *("image_url", "input_image", "document", "refusal", "custom", "grammar", "lark", "allowed_tools", "auto", "none", "any", "required", "mcp"),
    *("web_search_preview", "base64", "url", "a", "b", "ApplyPatch", "call_1", "x|y", "{", '{"input":"x"}', "data:x", "object"),
]
VALUES = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-1, 2) | st.just(1.5) | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=14,
)
CALL_IDS = st.sampled_from(["a", "b", "a|b", ""])
GOOD = st.sampled_from(["t", "", None, [], [{"type": "text", "text": "t"}], [{"type": "input_image", "image_url": "data:x"}], [{"type": "thinking"}]])
ANY = st.one_of(GOOD, GOOD, GOOD, VALUES)
ENTRIES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": ANY}),
    st.builds(lambda i, a: {"type": "function_call", "call_id": i, "name": "f", "arguments": a}, CALL_IDS, VALUES),
    st.builds(lambda i, a: {"type": "custom_tool_call", "call_id": i, "name": "ApplyPatch", "input": a}, CALL_IDS, VALUES),
    st.builds(lambda i, o: {"type": "function_call_output", "call_id": i, "output": o}, CALL_IDS, ANY),
    st.builds(lambda i, o: {"role": "tool", "tool_call_id": i, "content": o}, CALL_IDS, ANY),
    st.builds(lambda o: {"role": "function", "name": "f", "content": o}, ANY),
    st.builds(
        lambda c, ids, more: {"role": "assistant", "content": c, "tool_calls": [{"id": i, "function": {"name": "f"}} for i in ids], **more},
        st.sampled_from([None, "", "text", [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]]),
        st.lists(CALL_IDS, max_size=3),
        st.dictionaries(st.sampled_from(["refusal", "reasoning_content", "name", "x"]), st.sampled_from(["t", "u", None]), max_size=2)
        | st.just({"function_call": {"name": "f", "arguments": "{"}}),
    ),
    st.builds(
        lambda ids, rest: {"role": "user", "content": [*({"type": "tool_result", "tool_use_id": i, "content": "r"} for i in ids), *rest]},
        st.lists(CALL_IDS, max_size=2),
        st.lists(st.just({"type": "text", "text": "t"}), max_size=1),
    ),
)
OTHERS = ["tools", "tool_choice", "functions", "function_call", "instructions", "system", "metadata", "reasoning", "stop_sequences", "stream_options"]
BODIES = st.builds(
    lambda place, entries, more: {place: entries, **more},
    st.sampled_from(["messages", "input"]),
    st.lists(ENTRIES, min_size=1, max_size=7),
    st.one_of(
        *(st.just({"tools": tools}) for tools in ([], [FLAT_PATCH], [NESTED_READ, FLAT_PATCH, {"type": "function", "name": "f"}])),
        st.dictionaries(st.sampled_from([*OTHERS, "stream", "store"]), VALUES, max_size=3),
        st.just({"tools": [FLAT_PATCH, NESTED_READ], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "Read"}]}}),
    ),
)


def is_idempotent(body: dict[str, Any]) -> None:
    try:
        normalise(body)
    except RequestError:  # anything else fails the test
        return
    normalised(**body)


@settings(deadline=None, max_examples=600)
@given(BODIES)
def test_what_is_normalised_stays_and_anything_else_is_a_request_error(body):
    is_idempotent(body)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from(["messages", "input", *OTHERS]), JSON))
def test_any_json_at_the_top_is_normalised_or_a_request_error(body):
    is_idempotent(body)


@settings(deadline=None, max_examples=300)
@given(conversations(), st.sampled_from(sorted(WRITERS)), VALUES, st.data())
def test_one_value_spoiled_is_parsed_or_a_request_error(conversation, dialect, value, data):
    body = copy.deepcopy(WRITERS[dialect](conversation))
    here: Any = {"": body}
    key: Any = ""
    while isinstance(here[key], (dict, list)) and here[key] and (here is not body or data.draw(st.integers(0, 4))):
        here = here[key]
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = value
    is_idempotent(body)
    with contextlib.suppress(RequestError):
        parsed(body)


@settings(deadline=None, max_examples=300)
@given(BODIES)
def test_every_call_has_one_result_directly_behind_it(body):
    try:
        messages = normalise(body).fields["messages"]
    except RequestError:
        return
    expected: list[str] = []
    for message in messages:
        if expected:
            assert (message["role"], message.get("tool_call_id")) == ("tool", expected.pop(0))
        else:
            assert message["role"] != "tool"
            expected = [call["id"] for call in message.get("tool_calls", [])]
    assert not expected


def long_body(turns: int, place: str, text_bytes: int) -> dict[str, Any]:
    """A conversation with everything that is out of order: results far away, bad ids, repeats, folding."""
    items: list[dict[str, Any]] = [{"role": "user", "content": "x" * text_bytes}]
    for number in range(turns):
        items.append({"role": "assistant", "content": "y" * 40, "reasoning_content": "z" * 40})
        items.append({"type": "function_call", "call_id": f"call|{number}", "name": "f", "arguments": {"n": number}})
    items += [{"type": "function_call_output", "call_id": f"call|{number}", "output": "o" * 40} for number in reversed(range(turns))]
    items += [{"type": "function_call_output", "call_id": "call|0", "output": "again"} for _ in range(turns)]
    return {place: items}


def seconds(body: dict[str, Any]) -> float:
    took: list[float] = []
    for _ in range(3):
        began = time.process_time()
        normalise(body)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("place", ["messages", "input"])
def test_the_time_is_linear_in_the_number_of_entries(place):
    small, large = long_body(300, place, 10), long_body(2400, place, 10)
    assert seconds(large) < 8 * 3 * max(seconds(small), 0.001)


def test_a_body_of_four_megabytes_is_parsed_at_once():
    raw = json.dumps({"model": "gpt-5", **long_body(500, "input", 4 * 2**20)}).encode()
    assert len(raw) > 4 * 2**20
    began = time.process_time()
    request = parse_cursor(raw)
    assert time.process_time() - began < 0.6
    assert len(request.messages[0].text) == 4 * 2**20
