"""The items of a Responses body: what each kind becomes, what folds, and what is left out by name."""

import json
from functools import partial
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from openai.types.responses import response_input_item_param

from pipeline.errors import ResponseNotFound, UnsupportedParameter
from pipeline.parse.responses_items import LEFT_OUT
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.prompt.responses_body import RESPONSES_PROFILE, write_responses_body
from pipeline.request import ImagePart, Message, OpaquePart, Role, TextPart, ToolCall
from tests.support.responses_requests import PNG, call, messages_of, notices_of, output, parse, refused, request_of, said, thought

BLIND = msgspec.structs.replace(RESPONSES_PROFILE, images=False)
HELLO = {"role": "user", "content": "Hello"}
HELLO_MESSAGE = Message(Role.USER, (TextPart("Hello"),))


def said_by(role: Role, *texts: str, **more) -> Message:
    return Message(role, tuple(map(TextPart, texts)), **more)


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("Hello", (HELLO_MESSAGE,)),
        ([HELLO], (HELLO_MESSAGE,)),
        ([{**HELLO, "type": "message"}], (HELLO_MESSAGE,)),
        ([{**HELLO, "type": None, "id": "msg_1", "status": "completed"}], (HELLO_MESSAGE,)),
        ([{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}], (said_by(Role.SYSTEM, "a"), said_by(Role.SYSTEM, "b"))),
        ([{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}], (said_by(Role.USER, "a", "b"),)),
        ([{"role": "user", "content": ""}], (Message(Role.USER),)),
        ([{"role": "user", "content": None, "name": "Ann"}], (Message(Role.USER, name="Ann"),)),
        ([{"role": "assistant", "content": "Hi"}], (said_by(Role.ASSISTANT, "Hi"),)),
        ([{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}], (said_by(Role.ASSISTANT, "No."),)),
        ([said("")], (Message(Role.ASSISTANT),)),
    ],
)
def test_messages(value, messages):
    assert request_of(input=value).messages == messages


def test_images_and_files():
    inside = {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
    image = {"type": "input_image", "image_url": PNG, "detail": "high"}
    [message] = messages_of(
        {"role": "user", "content": [{"type": "input_text", "text": ""}, image, {"type": "input_file", "file_id": None, **inside}]}
    )
    assert message.parts == (
        ImagePart(PNG, "high", path="input[0].content[1]"),
        OpaquePart("file", {"type": "file", "file": inside}, "input[0].content[2]"),
    )


def test_a_file_by_its_address_has_no_form_elsewhere():
    linked = {"type": "input_file", "file_url": "https://a.example/b.pdf"}
    error = refused(UnsupportedParameter, input=[HELLO, {"role": "user", "content": [linked]}])
    assert error.param == "input[1].content[0].file_url"


@pytest.mark.parametrize("write", [partial(write_chat_body, profile=ChatProfile(images=False)), partial(write_responses_body, profile=BLIND)])
def test_what_an_upstream_does_not_take_is_named_as_the_client_wrote_it(write):
    image = {"type": "input_image", "image_url": PNG}
    shown = {"role": "user", "content": [{"type": "input_text", "text": ""}, {"type": "input_text", "text": "a"}, image]}
    fields = {"instructions": "Be brief.", "input": [said("a"), said("b"), call(), output("a", "ok"), shown]}
    with pytest.raises(UnsupportedParameter) as caught:
        write(request_of(**fields))
    assert caught.value.param == "input[4].content[2]"
    with pytest.raises(UnsupportedParameter) as caught:
        write(request_of(instructions="Be brief.", input=[said("a"), call(), output("a", [image])]))
    assert caught.value.param == "input[2].output[0]"
    earlier = (Message(Role.USER, (ImagePart(PNG, path="input[0].content[0]"),)),)
    with pytest.raises(UnsupportedParameter) as caught:
        write(parse(input="Go on", previous_response_id="resp_1", recall=lambda _: earlier).request)
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("ok", (TextPart("ok"),)),
        ("", ()),
        (
            [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG}],
            (TextPart("a"), ImagePart(PNG, path="input[2].output[1]")),
        ),
        ([], ()),
    ],
)
@pytest.mark.parametrize("custom", [False, True], ids=["function", "custom"])
def test_a_call_and_its_result(value, parts, custom):
    kind = "custom_tool_call" if custom else "function_call"
    made = {"type": kind, "call_id": "a", "name": "find", "input" if custom else "arguments": "x", "id": "fc_1", "status": "completed"}
    assert messages_of(HELLO, made, {"type": f"{kind}_output", "call_id": "a", "output": value, "id": "fco_1"}) == (
        HELLO_MESSAGE,
        Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "find", "x", custom),)),
        Message(Role.TOOL, parts, tool_call_id="a"),
    )


def test_neighbours_of_the_assistant_are_one_turn_with_all_of_its_reasoning():
    items = [thought("Hm.", "Ah."), said("One."), call("a"), thought("Oh."), said("Two."), call("b"), output("a"), output("b"), said("Three.")]
    first, *_, last = messages_of(HELLO, *items)[1:]
    assert first == Message(
        Role.ASSISTANT,
        (TextPart("One."), TextPart("\n"), TextPart("Two.")),
        (ToolCall("a", "find", "{}"), ToolCall("b", "find", "{}")),
        reasoning="Hm.\n\nAh.\n\nOh.",
    )
    assert last == said_by(Role.ASSISTANT, "Three.")


@pytest.mark.parametrize(
    ("item", "reasoning"),
    [
        (thought("a"), "a"),
        (thought("a", content=[{"type": "reasoning_text", "text": "whole"}]), "whole"),
        (thought("a", content=None, encrypted_content=None), "a"),
        (thought("a", content=[{"type": "reasoning_text", "text": ""}]), "a"),
        (thought(), None),
        ({"type": "reasoning"}, None),
    ],
)
def test_reasoning_belongs_to_the_turn_that_follows(item, reasoning):
    assert messages_of(HELLO, item, said("Hi"))[1].reasoning == reasoning
    assert messages_of(HELLO, item, call(), output())[1].reasoning == reasoning


def test_encrypted_reasoning_is_named_and_its_summary_stays():
    items = [HELLO, thought("a", encrypted_content="gAAA"), said("Hi"), HELLO, thought(encrypted_content="gAAB"), said("Hi")]
    assert [message.reasoning for message in messages_of(*items)] == [None, "a", None, None]
    assert notices_of(*items) == [("encrypted_reasoning_dropped", "encrypted reasoning of another server (2)")]


@pytest.mark.parametrize("behind", [[], [HELLO], [output("a")]], ids=["nothing", "user", "result"])
def test_reasoning_that_nothing_follows_is_left_out_by_name(behind):
    items = [call("a"), output("a"), HELLO, thought("Hm."), *behind]
    assert all(message.reasoning is None for message in messages_of(*items))
    assert ("history_item_dropped", "reasoning that nothing follows") in notices_of(*items)


@pytest.mark.parametrize("kind", sorted(LEFT_OUT))
def test_items_of_openai_are_left_out_by_name(kind):
    item = {"type": kind, "id": "x_1", "anything": {"a": 1}}
    assert messages_of(HELLO, item, item) == (HELLO_MESSAGE,)
    assert notices_of(HELLO, item, item) == [("history_item_dropped", f"{kind} (2)")]


def kinds_of_the_package() -> set[str]:
    kinds: set[str] = set()
    for each in get_args(response_input_item_param.ResponseInputItemParam):
        hint = get_type_hints(each)["type"]
        kinds.update(word for word in _words(hint) if isinstance(word, str))
    return kinds


def _words(hint: Any) -> set[Any]:
    """The literals in a type, at any depth."""
    inner = get_args(hint)
    return {word for each in inner for word in ({each} if isinstance(each, str) else _words(each))}


def test_every_kind_of_item_that_the_official_package_knows_is_read_or_left_out():
    kinds = kinds_of_the_package()
    assert len(kinds) > 20
    for kind in kinds - LEFT_OUT:
        item = {"type": kind, "role": "user", "id": "rs_1", "call_id": "a", "name": "find", "output": "x", "input": "x"}
        parse(input=[HELLO, item])


def test_a_reference_is_the_item_where_it_is_stored():
    items = {"msg_1": said("Kept."), "fc_1": call("a", id="fc_1"), "x": {"type": "item_reference", "id": "x"}}
    given = [HELLO, {"type": "item_reference", "id": "msg_1"}, {"id": "fc_1"}, {"id": "rs_gone"}, output("a")]
    parsed = parse(input=given, stored=items.get)
    assert parsed.request.messages[1] == said_by(Role.ASSISTANT, "Kept.", tool_calls=(ToolCall("a", "find", "{}"),))
    assert [(notice.code, notice.detail) for notice in parsed.request.notices] == [("history_item_dropped", "item_reference")]
    assert [item["type"] for item in parsed.input_items] == ["message", "message", "function_call", "function_call_output"]


@pytest.mark.parametrize("item_id", ["msg_1", "fc_1", "x"])
@pytest.mark.parametrize("stored", [None, {"x": {"type": "item_reference", "id": "x"}}.get])
def test_a_text_or_a_call_that_is_not_stored_is_not_lost_in_silence(item_id, stored):
    with pytest.raises(ResponseNotFound, match="store: true") as refused:
        parse(input=[HELLO, {"type": "item_reference", "id": item_id}], stored=stored)
    assert (refused.value.code, refused.value.param) == ("item_not_found", "input[1].id")


@pytest.mark.parametrize(
    ("items", "order", "code", "place"),
    [
        ([HELLO, output("a"), thought("x"), call("a")], ["user", "assistant", "tool"], "tool_results_moved", "input[1] was moved"),
        ([HELLO, thought(), said("x"), output("a")], ["user", "assistant", "tool"], "orphan_tool_result", "input[3] answers no call"),
        ([HELLO, thought("x"), said("x"), call("a"), HELLO], ["user", "assistant", "user"], "tool_call_unanswered", "input[1] makes a call"),
        ([HELLO, call("a"), HELLO, output("a")], ["user", "assistant", "tool", "user"], "tool_results_moved", "input[3] was moved"),
    ],
)
def test_calls_and_results_find_each_other_and_a_notice_names_the_item(items, order, code, place):
    assert [message.role.value for message in messages_of(*items)] == order
    [(said_code, detail)] = notices_of(*items)
    assert said_code == code
    assert detail.startswith(place)


def test_fields_of_openai_are_named_and_others_stay():
    part = {"type": "output_text", "text": "Hi", "annotations": [{"type": "url_citation"}], "x": 1}
    items = [HELLO, {**said("Hi", phase="final_answer", y=2), "content": [part]}, call("a", caller={"type": "direct"}, z=3), output("a", w=4)]
    request = request_of(input=items)
    assert request.ignored == ("input.content.annotations", "input.phase", "input.caller")
    _, message, result = request.messages
    assert (message.extra, message.parts[0].extra, message.tool_calls[0].extra, result.extra) == ({"y": 2}, {"x": 1}, {"z": 3}, {"w": 4})


def test_of_a_field_that_two_items_of_a_turn_have_the_first_counts():
    request = request_of(input=[HELLO, said("a", y=1), said("b", y=2, v=3)])
    assert request.messages[1].extra == {"y": 1, "v": 3}
    assert request.ignored == ("input.y",)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("Hello", "input[0]"),
        (None, "input[0]"),
        ({}, "input[0].type"),
        ({"type": 3}, "input[0].type"),
        ({"type": "of_tomorrow", "role": "user", "content": "x"}, "input[0].type"),
        ({"type": "message"}, "input[0].role"),
        ({"role": "tool", "content": "x"}, "input[0].role"),
        ({"role": 3}, "input[0].role"),
        ({"role": "user", "content": 3}, "input[0].content"),
        ({"role": "user", "content": ["x"]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}, "input[0].content[0].image_url"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "input[0].tool_calls"),
        ({"type": "function_call", "name": "find", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "a"}, "input[0].name"),
        ({"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}, "input[0].arguments"),
        ({"type": "custom_tool_call", "call_id": "a", "name": "f", "input": {}}, "input[0].input"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "a"}, "input[0].output"),
        ({"type": "function_call_output", "call_id": "a", "output": 3}, "input[0].output"),
        (
            {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image", "image_url": "file:///a"}]},
            "input[0].output[0].image_url",
        ),
        ({"type": "reasoning", "summary": "x"}, "input[0].summary"),
        ({"type": "reasoning", "summary": [{}]}, "input[0].summary[0].text"),
        ({"type": "item_reference"}, "input[0].id"),
    ],
)
def test_items_without_meaning(item, param):
    if param == "input[0].id":
        assert refused(input=[item], stored=lambda _: None).param == param
    else:
        assert refused(input=[item]).param == param


def test_a_file_is_what_both_apis_take():
    inside = {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
    request = request_of(input=[{"role": "user", "content": [{"type": "input_file", **inside}]}])
    [chat] = json.loads(write_chat_body(request, ChatProfile()))["messages"]
    [responses] = json.loads(write_responses_body(request, RESPONSES_PROFILE))["input"]
    assert chat["content"] == [{"type": "file", "file": inside}]
    assert responses["content"] == [{"type": "input_file", **inside}]


@pytest.mark.parametrize("value", [None, "", []])
def test_an_input_of_nothing(value):
    assert refused(input=value).param == "input"


@pytest.mark.parametrize("items", [[thought("x")], [{"type": "compaction"}], [{"type": "item_reference", "id": "rs_1"}]])
def test_an_input_of_which_nothing_is_left(items):
    assert refused(input=items).param == "input"


def test_a_chat_body_is_sent_elsewhere():
    assert "/v1/chat/completions" in refused(input=None, messages=[HELLO]).message


def test_an_earlier_response_leads_the_conversation_and_has_no_instructions():
    made = Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "find", "{}"),))
    asked: list[str] = []

    def recall(response_id):
        asked.append(response_id)
        return (HELLO_MESSAGE, made)

    parsed = parse(input=[output("a")], previous_response_id="resp_1", instructions="Be brief.", recall=recall)
    result = Message(Role.TOOL, (TextPart("ok"),), tool_call_id="a")
    assert parsed.request.messages == (said_by(Role.SYSTEM, "Be brief."), HELLO_MESSAGE, made, result)
    assert parsed.history == (HELLO_MESSAGE, made, result)
    assert parsed.request.notices == ()
    assert (asked, parsed.echo.previous_response_id) == (["resp_1"], "resp_1")
    assert [item["type"] for item in parsed.input_items] == ["function_call_output"]
    assert parse(input=None, previous_response_id="resp_1", recall=recall).history == (HELLO_MESSAGE, made)


def test_without_a_store_an_earlier_response_is_refused():
    error = refused(UnsupportedParameter, previous_response_id="resp_1")
    assert error.param == "previous_response_id"
    assert "nothing is stored" in error.message


def test_what_recall_raises_is_what_the_client_is_told():
    def recall(_):
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        parse(previous_response_id="resp_1", recall=recall)
