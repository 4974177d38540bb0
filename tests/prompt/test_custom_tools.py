"""in_function_form: custom tools and their calls as functions, and nothing else changed."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prompt.custom_tools import PARAMETERS, in_function_form
from pipeline.request import Grammar, Message, Request, Role, Tool, ToolCall, ToolChoice, ToolMode
from tests.support.chat_bodies import CHAT_BODIES, TEXT, parse

FUNCTION = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
PATCH = {
    "type": "custom",
    "cache_control": {"type": "ephemeral"},
    "custom": {
        "name": "patch",
        "description": "Changes files.",
        "x": 1,
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: A", "y": 2},
    },
}


def test_a_tool_takes_one_text_and_says_what_the_text_is():
    request = in_function_form(parse(tools=[FUNCTION, PATCH], tool_choice={"type": "custom", "name": "patch"}))
    description = "Changes files.\n\n`input` is raw text, no JSON and no code fence, that matches this lark grammar:\nstart: A"
    extra = {"cache_control": {"type": "ephemeral"}, "function": {"x": 1}}
    assert request.tools == (Tool("now", "", {"type": "object"}), Tool("patch", description, PARAMETERS, extra=extra))
    assert request.tool_choice == ToolChoice(ToolMode.FUNCTION, "patch")


@pytest.mark.parametrize(
    ("tool", "description"),
    [
        (Tool("p", custom=True), ""),
        (Tool("p", "Says.", custom=True), "Says."),
        (
            Tool("p", custom=True, grammar=Grammar("regex", "[a-z]")),
            "`input` is raw text, no JSON and no code fence, that matches this regex grammar:\n[a-z]",
        ),
    ],
)
def test_a_description_says_no_more_than_there_is(tool, description):
    assert in_function_form(Request("m", (), (tool,))).tools == (Tool("p", description, PARAMETERS),)


def test_only_the_format_s_own_fields_are_dropped():
    tool = Tool("p", custom=True, extra={"custom": {"format": {"y": 2}}})
    assert in_function_form(Request("m", (), (tool,))).tools[0].extra == {}


@given(TEXT)
def test_a_call_s_input_can_be_read_back(text):
    call = ToolCall("a", "patch", text, custom=True, extra={"x": 1, "custom": {"y": 2}})
    other = ToolCall("b", "now", "{}")
    messages = (Message(Role.ASSISTANT, tool_calls=(other, call)), Message(Role.TOOL, tool_call_id="a"))
    changed = in_function_form(Request("m", messages)).messages
    assert changed[0].tool_calls[0] is other
    assert json.loads(changed[0].tool_calls[1].arguments) == {"input": text}
    assert changed[0].tool_calls[1] == ToolCall("a", "patch", changed[0].tool_calls[1].arguments, extra={"x": 1, "function": {"y": 2}})
    assert changed[1] is messages[1]


@given(CHAT_BODIES, st.booleans())
def test_what_holds_no_custom_tool_comes_back_as_it_is(body, has_tool):
    request = parse(**body)
    assert in_function_form(request) is request
    if has_tool:
        request = msgspec.structs.replace(request, tools=(*request.tools, Tool("p", custom=True)))
        changed = in_function_form(request)
        assert changed.messages is request.messages
        assert changed.tools[:-1] == request.tools[:-1]
        assert in_function_form(changed) is changed


def test_a_request_is_not_changed_in_place():
    request = parse(tools=[PATCH])
    in_function_form(request)
    assert request == parse(tools=[PATCH])
