"""What may stand where in a Messages body: marks of the cache, texts of nothing, and images outside of a user's message."""

import json

import pytest

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.parse.chat import parse_chat
from pipeline.parse.messages import parse_messages
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.messages_body import write_messages_body
from pipeline.prompt.messages_form import in_messages_form
from pipeline.prompt.messages_names import check_tool_names
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.request import Request, Tool
from tests.support.messages_judge import judge

MARK = {"cache_control": {"type": "ephemeral"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Terms"}}
HELLO = {"role": "user", "content": "Hello"}
CALL = {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}


def text(said, **more):
    return {"type": "text", "text": said, **more}


def through(request, **profile):
    """The body, which the judge takes; the names of what is not in it; the codes of the notices."""
    kind = MessagesProfile(**profile)
    formed, changed = in_messages_form(in_dialect(request, "anthropic"), kind)
    made = write_messages_body(formed, kind)
    body = json.loads(made.data)
    judge(body)
    return body, {*formed.ignored, *made.ignored}, [notice.code for notice in (*changed, *made.notices)]


def chat(*messages, profile=None, **fields):
    return through(parse_chat(json.dumps({"model": "m", "messages": messages, **fields}).encode()), **(profile or {}))


def own(*messages, profile=None, **fields):
    body = {"model": "m", "max_tokens": 9000, "messages": messages, **fields}
    return through(parse_messages(json.dumps(body).encode()).request, **(profile or {}))


# -- order

THINKING = [{"type": "thinking", "thinking": name, "signature": f"signed {name}"} for name in "AB"]
USE = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12"}


@pytest.mark.parametrize(
    "blocks",
    [
        [THINKING[0], text("Let me see."), THINKING[1], USE],
        [text("First."), THINKING[0], USE, text("Now."), {"type": "redacted_thinking", "data": "x"}],
        [USE, text("Calling.")],
    ],
)
def test_the_blocks_of_an_assistant_come_back_in_their_order(blocks):
    body, ignored, codes = own(HELLO, {"role": "assistant", "content": blocks}, {"role": "user", "content": [RESULT]}, thinking={"type": "adaptive"})
    assert body["messages"][1]["content"] == blocks
    assert (ignored, codes) == (set(), [])


def test_the_order_stays_when_thoughts_are_left_out():
    unsigned = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    blocks = [unsigned, USE, THINKING[0], text("Now.")]
    body, _, codes = own(HELLO, {"role": "assistant", "content": blocks}, {"role": "user", "content": [RESULT]})
    assert body["messages"][1]["content"] == blocks[1:]
    assert codes == ["reasoning_dropped"]


# -- marks of the cache


def test_the_mark_of_a_message_stands_in_its_last_block():
    called = {"role": "assistant", "content": "Looking.", "tool_calls": [CALL], **MARK}
    result = {"role": "tool", "tool_call_id": "a", "content": "12", **MARK}
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}, **MARK}}
    body, ignored, _ = chat({"role": "system", "content": "Be brief.", **MARK}, {**HELLO, **MARK}, called, result, tools=[tool])
    assert body["system"] == [text("Be brief.", **MARK)]
    asked, said, told = (message["content"] for message in body["messages"])
    assert asked == [text("Hello", **MARK)]
    assert (said[0], said[1]["cache_control"]) == (text("Looking."), MARK["cache_control"])
    assert told == [{"type": "tool_result", "tool_use_id": "a", "content": "12", **MARK}]
    assert body["tools"][0]["cache_control"] == MARK["cache_control"]
    assert ignored == set()


def test_the_mark_of_a_blank_text_moves_to_the_block_before():
    body, ignored, _ = own({"role": "user", "content": [text("Hi"), text(" ", **MARK)]})
    assert body["messages"] == [{"role": "user", "content": [text("Hi", **MARK)]}]
    body, ignored, _ = own(HELLO, {"role": "assistant", "content": [text("", **MARK)]})
    assert (body["messages"], ignored) == ([{"role": "user", "content": [text("Hello", **MARK)]}], set())
    body, ignored, _ = own({"role": "user", "content": [text("\n", **MARK), text("Hi")]})
    assert (body["messages"], ignored) == ([HELLO | {"content": "Hi"}], {"messages.content.cache_control"})
    body, _, _ = own(
        HELLO, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [{**RESULT, "content": [text("", **MARK)]}, text("And?")]}
    )
    assert body["messages"][2]["content"][0] == {"type": "tool_result", "tool_use_id": "toolu_1", **MARK}


def test_a_mark_on_a_document_stands_in_its_block():
    body, _, _ = own({"role": "user", "content": [DOCUMENT, text(" ", **MARK)]})
    assert body["messages"][0]["content"] == [{**DOCUMENT, **MARK}]


def test_a_mark_is_no_part_of_the_answers_form():
    schema = {"type": "object", "additionalProperties": False}
    body, ignored, _ = chat(HELLO, response_format={"type": "json_schema", **MARK, "json_schema": {"name": "x", "schema": schema}})
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert ignored == {"response_format.cache_control"}


# -- what holds nothing


def test_messages_of_nothing_are_left_out_before_the_rest_is_decided():
    body, _, codes = chat(HELLO, {"role": "assistant", "content": "Hello "}, {"role": "user", "content": " "})
    assert body["messages"][1] == {"role": "assistant", "content": "Hello"}
    assert codes == ["trailing_space_removed"]
    assert chat({"role": "system", "content": "Be brief."}, {"role": "user", "content": " "})[0]["messages"][0]["role"] == "user"


def test_a_conversation_of_nothing_is_refused():
    with pytest.raises(RequestError) as raised:
        chat({"role": "user", "content": " \n"})
    assert raised.value.param == "messages"


# -- images and documents


def test_images_of_a_system_message_stand_in_the_users_turn():
    body, _, codes = chat({"role": "system", "content": [text("Look."), PICTURE]}, HELLO)
    assert (body["system"], body["messages"]) == ("Look.", [{"role": "user", "content": [IMAGE, text("Hello")]}])
    assert codes == ["images_moved"]


@pytest.mark.parametrize("system_messages", [False, True])
def test_a_system_message_in_the_middle_keeps_all_that_it_holds(system_messages):
    body, _, codes = chat(HELLO, {"role": "system", "content": [text("Look."), PICTURE]}, profile={"system_messages": system_messages})
    assert body["messages"][0]["content"] == [text("Hello"), text("<system-reminder>\nLook."), IMAGE, text("\n</system-reminder>")]
    assert codes == ["system_message_as_user"]


def test_the_text_of_a_system_message_in_the_middle_is_not_lost_to_its_document():
    body, ignored, _ = own(HELLO, {"role": "system", "content": [text("IMPORTANT"), DOCUMENT]}, HELLO)
    assert body["messages"][0]["content"][1] == text("<system-reminder>\nIMPORTANT\nTerms\n</system-reminder>")
    assert ignored == {"system.document"}


def test_images_of_the_assistant_stand_in_the_users_turn_behind_it():
    drawn = {"role": "assistant", "content": [text("Here."), PICTURE]}
    body, _, codes = chat(HELLO, drawn, HELLO)
    assert [message["content"] for message in body["messages"]] == ["Hello", "Here.", [IMAGE, text("Hello")]]
    assert codes == ["images_moved"]
    assert [message["role"] for message in chat(HELLO, drawn)[0]["messages"]] == ["user", "assistant"]
    called = {**drawn, "tool_calls": [CALL]}
    body, _, _ = chat(HELLO, called)  # its result is supplied
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "image"]


# -- names of tools


def test_names_in_the_history_become_ones_that_the_api_takes():
    calls = [{**CALL, "id": id, "function": {"name": name, "arguments": "{}"}} for id, name in zip("abc", ("a.b", "a b", "a.b"), strict=True)]
    first, again = (chat(HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, HELLO, *more) for more in ((), (HELLO,)))
    names = [block["name"] for block in first[0]["messages"][1]["content"]]
    assert names[0] == names[2] != names[1]
    assert [tool["name"] for tool in first[0]["tools"]] == names[:2]
    assert again[0]["messages"][1] == first[0]["messages"][1]
    assert first[2].count("call_name_rewritten") == 1


@pytest.mark.parametrize(
    ("name", "is_fine"), [("mcp__a-B_9", True), ("x" * 128, True), ("x" * 129, False), ("a.b", False), ("", False), ("é", False)]
)
def test_a_tool_is_offered_by_a_name_that_the_api_takes(name, is_fine):
    request = Request("m", (), (Tool("now"), Tool(name)))
    if is_fine:
        return check_tool_names(request)
    with pytest.raises(UnsupportedParameter) as raised:
        check_tool_names(request)
    assert raised.value.param == "tools[1]"


# -- thinking that the API would refuse


@pytest.mark.parametrize(("effort", "profile"), [("high", "adaptive"), ("high", "budget")])
def test_a_message_to_continue_that_begins_without_a_thought_is_continued_without(effort, profile):
    body, _, codes = chat(HELLO, {"role": "assistant", "content": "{"}, reasoning_effort=effort, profile={"thinking": profile})
    assert ("thinking" in body, codes) == (False, ["thinking_left_out"])
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body, _, codes = own(HELLO, {"role": "assistant", "content": "{"}, thinking=thinking, profile={"thinking": profile})
    assert ("thinking" in body, codes) == (False, ["thinking_left_out"])
    body, _, codes = own(HELLO, {"role": "assistant", "content": [THINKING[0], text("{")]}, thinking=thinking)
    assert (body["thinking"], codes) == (thinking, [])


@pytest.mark.parametrize("kind", ["adaptive", "between_tools"])
@pytest.mark.parametrize(
    "fields", [{"max_tokens": 1500}, {"tool_choice": {"type": "any"}, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}]
)
def test_thinking_that_becomes_no_budget_is_named(kind, fields):
    body, _, codes = own(HELLO, thinking={"type": kind}, profile={"thinking": "budget"}, **fields)
    assert ("thinking" in body, codes) == (False, ["thinking_left_out"])
