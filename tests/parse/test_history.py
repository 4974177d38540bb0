"""read_history: every content form and role, and results that answer nothing."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.request import ImagePart, Message, Role, TextPart, ToolCall
from tests.support.chat_bodies import parse, refused

PNG = "data:image/png;base64,AAAA"


def message(body):
    return parse(messages=[body]).messages[0]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("Hi", (TextPart("Hi"),)),
        ("", ()),
        (None, ()),
        ([], ()),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}], (TextPart("a"), TextPart("b"))),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b", "annotations": []}], (TextPart("a"), TextPart("b"))),
        ([{"type": "refusal", "refusal": "No."}], (TextPart("No."),)),
        ([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}], (ImagePart(PNG, "low"),)),
        ([{"type": "image_url", "image_url": {"url": PNG}}], (ImagePart(PNG, "auto"),)),
        ([{"type": "image_url", "image_url": PNG}], (ImagePart(PNG, "auto"),)),
        ([{"type": "input_image", "image_url": PNG, "detail": "high"}], (ImagePart(PNG, "high"),)),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], (TextPart("a"),)),
    ],
)
def test_content(content, parts):
    assert message({"role": "user", "content": content}).parts == parts


def test_absent_content():
    assert message({"role": "assistant"}).parts == ()


@pytest.mark.parametrize("kind", ["input_audio", "file", "input_file"])
def test_parts_that_no_upstream_takes(kind):
    error = refused(UnsupportedParameter, messages=[{"role": "user", "content": [{"type": kind}]}])
    assert error.param == "messages[0].content[0].type"


def test_audio_in_the_history():
    assert refused(UnsupportedParameter, messages=[{"role": "assistant", "audio": {"id": "a"}}]).param == "messages[0].audio"


@pytest.mark.parametrize(("sent", "role"), [("system", Role.SYSTEM), ("developer", Role.SYSTEM), ("user", Role.USER), ("assistant", Role.ASSISTANT)])
def test_roles(sent, role):
    assert message({"role": sent, "content": "x", "name": "ann"}) == Message(role, (TextPart("x"),), name="ann")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_echoed_reasoning(field):
    assert message({"role": "assistant", "content": "x", field: "hm"}).reasoning == "hm"


def test_a_refusal_in_its_own_field():
    assert message({"role": "assistant", "content": None, "refusal": "No."}).parts == (TextPart("No."),)


def call(call_id, name="f", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_calls_and_results_are_kept_as_sent():
    request = parse(
        messages=[
            {"role": "assistant", "content": "two", "tool_calls": [call("a", arguments='{"x": 007}'), call("b")]},
            {"role": "tool", "tool_call_id": "b", "content": "B"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "A"}]},
            {"role": "user", "content": "and?"},
        ]
    )
    assert request.messages == (
        Message(Role.ASSISTANT, (TextPart("two"),), (ToolCall("a", "f", '{"x": 007}'), ToolCall("b", "f", "{}"))),
        Message(Role.TOOL, (TextPart("B"),), tool_call_id="b"),
        Message(Role.TOOL, (TextPart("A"),), tool_call_id="a"),
        Message(Role.USER, (TextPart("and?"),)),
    )
    assert request.notices == ()


@pytest.mark.parametrize("call_id", ["zz", None])
def test_a_result_that_answers_nothing_is_kept_and_named(call_id):
    request = parse(messages=[{"role": "tool", "tool_call_id": call_id, "content": "lost?"}])
    assert request.messages == (Message(Role.TOOL, (TextPart("lost?"),), tool_call_id=call_id),)
    assert [(notice.code, notice.detail) for notice in request.notices] == [("orphan_tool_result", "messages[0] answers no call")]


def test_legacy_calls_pair_up_in_order():
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    result = {"role": "function", "name": "f"}
    request = parse(messages=[legacy, legacy, *({**result, "content": str(number)} for number in range(3))])
    made = [call.id for message in request.messages for call in message.tool_calls]
    results = [message for message in request.messages if message.role is Role.TOOL]
    assert len(set(made)) == 2
    assert [message.tool_call_id for message in results] == [*made, None]
    assert [message.text for message in results] == ["0", "1", "2"]
    assert {message.name for message in results} == {"f"}
    assert [notice.code for notice in request.notices] == ["legacy_functions", "tool_results_moved", "orphan_tool_result"]


def test_the_id_of_a_legacy_call_is_nobody_else_s():
    legacy = {"role": "assistant", "function_call": {"name": "f"}}
    request = parse(messages=[legacy, {"role": "assistant", "tool_calls": [call("call_legacy_1")]}])
    made = [call.id for message in request.messages for call in message.tool_calls]
    assert made[1] == "call_legacy_1"
    assert len(set(made)) == 2


def test_calls_of_somebody_else_are_refused():
    assert refused(messages=[{"role": "user", "function_call": {"name": "f"}}]).param == "messages[0].function_call"


def test_custom_calls_are_refused():
    custom = {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "x"}}
    assert refused(UnsupportedParameter, messages=[{"role": "assistant", "tool_calls": [custom]}]).param == "messages[0].tool_calls[0].type"
