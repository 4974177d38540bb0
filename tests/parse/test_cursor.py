"""parse_cursor: whole bodies as Cursor sends them, and errors that name places in what was sent."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.prompt.responses_body import write_responses_body
from pipeline.request import Grammar, ImagePart, Message, OpaquePart, Role, TextPart, Tool, ToolCall, ToolChoice, ToolMode
from tests.support.cursor_bodies import FLAT_PATCH, GRAMMAR, HELLO, NESTED_READ, PATCH, READ_SCHEMA, call, calls, normalised, parse, refused, result


def test_an_agent_turn_in_the_form_of_responses():
    request = parse(
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Fix it"}, {"type": "input_image", "image_url": "data:x", "detail": "auto"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Look.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1\nfc_1", "name": "Read", "arguments": '{"path":"a"}', "status": "completed"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "ApplyPatch", "input": PATCH},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"},
            {"type": "function_call_output", "call_id": "call_1\nfc_1", "output": [{"type": "input_text", "text": "x = 1"}]},
        ],
        instructions="You are an agent.",
        tools=[{"type": "function", "name": "Read", "parameters": READ_SCHEMA, "strict": False}, FLAT_PATCH, {"type": "web_search"}],
        tool_choice="auto",
        stream=True,
        store=False,
        include=["reasoning.encrypted_content"],
        metadata={"cursorConversationId": "7b1d"},
        max_output_tokens=9,
        reasoning={"effort": "high", "summary": "auto"},
        text={"verbosity": "low"},
    )
    made = request.messages[3].tool_calls[0].id
    assert request.messages == (
        Message(Role.SYSTEM, (TextPart("You are an agent."),)),
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("Fix it"), ImagePart("data:x", path="input[1].content[1]"))),
        Message(
            Role.ASSISTANT,
            (TextPart("Look."),),
            (ToolCall(made, "Read", '{"path":"a"}'), ToolCall("call_2", "ApplyPatch", PATCH, custom=True)),
        ),
        Message(Role.TOOL, (TextPart("x = 1"),), tool_call_id=made),
        Message(Role.TOOL, (TextPart("Done"),), tool_call_id="call_2"),
    )
    assert request.tools == (
        Tool("Read", "", READ_SCHEMA),
        Tool("ApplyPatch", "Edit files.", custom=True, grammar=Grammar(GRAMMAR["syntax"], GRAMMAR["definition"])),
    )
    assert (request.tool_choice, request.agent, request.stream, request.include_usage) == (ToolChoice(), True, True, True)
    assert (request.conversation, request.options.max_tokens, request.options.reasoning_effort) == ("7b1d", 9, "high")
    assert request.ignored == ("store", "include", "reasoning.summary")
    assert [notice.code for notice in request.notices] == [
        "hosted_tool_ignored",
        "history_item_dropped",
        "tool_results_moved",
        "call_id_rewritten",
    ]


def test_a_plain_chat_body():
    """The shape of a model whose name Cursor does not know: `name` and `index` in the history, and `user`."""
    history = [
        {"role": "system", "content": "S"},
        HELLO,
        {"role": "assistant", "content": "t", "tool_calls": [{**call("c1"), "index": 0}, {**call("c2"), "index": 1}]},
        {**result("c1"), "name": "Read"},
        {**result("c2"), "name": "Read"},
    ]
    request = parse(messages=history, tools=[NESTED_READ], tool_choice="auto", temperature=0, user="u", stream=True)
    assert request.messages[2] == Message(Role.ASSISTANT, (TextPart("t"),), (ToolCall("c1", "Read", "{}"), ToolCall("c2", "Read", "{}")))
    assert request.messages[3] == Message(Role.TOOL, (TextPart("ok"),), tool_call_id="c1")
    assert (request.extra, request.ignored, request.notices) == ({"temperature": 0}, ("user",), ())


def test_empty_tools():
    request = parse(messages=[HELLO], tools=None, tool_choice="required", parallel_tool_calls=False)
    assert (request.tools, request.tool_choice.mode, request.agent) == ((), ToolMode.AUTO, False)


def test_what_is_no_text_knows_where_it_stood():
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    request = parse(input=[{"type": "reasoning"}, {"role": "user", "content": [{"type": "thinking"}, sound]}], instructions="A")
    assert request.messages[1].parts == (OpaquePart("input_audio", sound, "input[1].content[1]"),)


@pytest.mark.parametrize("write", [write_chat_body, write_responses_body])
def test_n3_an_image_that_a_target_does_not_take_is_named_where_the_client_put_it(write):
    content = [{"type": "thinking"}, {"type": "text", "text": ""}, {"type": "text", "text": "a"}, {"type": "input_image", "image_url": "data:x"}]
    request = parse(input=[{"type": "reasoning"}, {"role": "user", "content": content}], instructions="A")
    with pytest.raises(UnsupportedParameter) as caught:
        write(request, ChatProfile(images=False))
    assert caught.value.param == "input[1].content[3]"
    assert caught.value.param in caught.value.message


@pytest.mark.parametrize("write", [write_chat_body, write_responses_body])
def test_n3_an_image_in_its_place_is_named_there(write):
    request = parse(messages=[HELLO, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}])
    assert request.messages[1].parts == (ImagePart("data:x"),)
    with pytest.raises(UnsupportedParameter) as caught:
        write(request, ChatProfile(images=False))
    assert caught.value.param == "messages[1].content[0]"


# body -> where its first fault stands, in the body as sent
REFUSED = {
    "N0 neither": ({}, "messages"),
    "N0 both empty": ({"input": "", "messages": []}, "messages"),
    "N0 null": ({"input": None, "messages": None}, "messages"),
    "N0 messages no list": ({"messages": "hi"}, "messages"),
    "N0 messages of another type": ({"messages": [HELLO, 3]}, "messages[1]"),
    "N0 input no list": ({"input": 3}, "input"),
    "N0 input of another type": ({"input": [3]}, "input[0]"),
    "N0 nothing left": ({"input": [{"type": "reasoning"}]}, "input"),
    "N2 instructions": ({"input": "x", "instructions": 3}, "instructions"),
    "N2 system": ({"messages": [HELLO], "system": [{"type": "text"}]}, "system[0].text"),
    "N3 role": ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
    "N3 no role": ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
    "N3 content": ({"input": [HELLO, {"type": "message", "role": "user", "content": 3}]}, "input[1].content"),
    "N3 part": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    "N3 part without a type": ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    "N3 text part without text": ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    "N3 image without a url": ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0].image_url"),
    "N3 image of another scheme": (
        {"instructions": "A", "input": [{"role": "user", "content": [{"type": "thinking"}, {"type": "input_image", "image_url": "file:///x"}]}]},
        "input[0].content[1].image_url",
    ),
    "N3 audio": ({"messages": [HELLO, {"role": "assistant", "content": "x", "audio": {"id": "a"}}], "instructions": "A"}, "messages[1].audio"),
    "N3 calls of a user": ({"messages": [{"role": "user", "content": "x", "tool_calls": [call()]}]}, "messages[0].tool_calls"),
    "N4 no name": ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
    "N4 no id": ({"input": [HELLO, {"type": "custom_tool_call", "name": "x"}]}, "input[1].call_id"),
    "N4 no id in tool_calls": ({"messages": [calls({**call(), "id": None})]}, "messages[0].tool_calls[0].id"),
    "N4 calls no list": ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "messages[0].tool_calls"),
    "N4 call of another type": ({"messages": [calls({**call(), "type": "magic"})]}, "messages[0].tool_calls[0].type"),
    "N4 unknown item": ({"input": [HELLO, {"type": "teleport_call"}]}, "input[1].type"),
    "N9 document source": (
        {"input": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://a.example/b"}}]}]},
        "input[0].content[0].source.type",
    ),
    "N9 document without a source": ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0].source"),
    "N9 image source": (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
        "messages[0].content[0].source.type",
    ),
    "N9 tool_use of a user": ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].type"),
    "N9 tool_result of an assistant": ({"messages": [{"role": "assistant", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].type"),
    "N9 tool_use without an id": ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]}, "messages[0].content[0].id"),
}


@pytest.mark.parametrize(("fields", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(fields, param):
    assert refused(**fields).param == param


def test_too_many_messages_are_refused_where_the_client_put_them():
    unanswered = [{"type": "function_call", "call_id": f"c{number}", "name": "f"} for number in range(10_000)]
    assert refused(input=[{"role": "user", "content": "x"}] * 10_001).param == "input"
    assert refused(input=unanswered + unanswered[:1]).param == "input"
    assert refused(messages=[calls(*[call(f"c{number}") for number in range(10_001)])]).param == "messages[0].tool_calls"


def test_n10_results_that_are_supplied_are_not_counted_as_the_clients():
    made = [{"type": "function_call", "call_id": f"c{number}", "name": "f"} for number in range(9_999)]
    assert len(parse(input=[*made, HELLO]).messages) == 1 + 9_999 + 1
    assert len(parse(messages=[calls(*[call(f"c{number}") for number in range(10_000)])]).messages) == 1 + 10_000


def test_the_table_of_parameters_holds_here_too():
    error = refused(input="x", logprobs=True)
    assert isinstance(error, UnsupportedParameter)
    assert error.param == "logprobs"


def test_normalising_is_pure():
    body = {
        "input": [{"type": "function_call", "call_id": "a|b", "name": "f", "arguments": {"x": [1]}}],
        "tools": [{"name": "f", "input_schema": {}}],
    }
    first, second = normalised(**body), normalised(**body)
    assert (first.fields, first.notices, first.ignored) == (second.fields, second.notices, second.ignored)
