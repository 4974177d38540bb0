"""read_history: every content form and role, and results that answer nothing."""

from unittest.mock import ANY

import pytest

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.request import ImagePart, Message, OpaquePart, Role, TextPart, ToolCall
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
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], (TextPart("a"), TextPart("b"))),
        ([{"type": "output_text", "text": "b", "annotations": []}], (TextPart("b", {"annotations": []}),)),
        ([{"type": "refusal", "refusal": "No."}], (TextPart("No."),)),
        ([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}], (ImagePart(PNG, "low"),)),
        ([{"type": "image_url", "image_url": {"url": PNG}}], (ImagePart(PNG, "auto"),)),
        ([{"type": "image_url", "image_url": PNG}], (ImagePart(PNG, "auto"),)),
        ([{"type": "input_image", "image_url": PNG, "detail": "high"}], (ImagePart(PNG, "high"),)),
        ([{"type": "image_url", "image_url": PNG, "detail": None, "x": None}], (ImagePart(PNG, extra={"x": None}),)),
        (
            [{"type": "image_url", "image_url": {"url": PNG, "detail": None, "x": 1}, "detail": "low", "y": 2}],
            (ImagePart(PNG, extra={"detail": "low", "y": 2, "image_url": {"x": 1}}),),
        ),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], (TextPart("a", {"cache_control": {"type": "ephemeral"}}),)),
        ([{"type": "text", "text": "", "cache_control": {}}], (TextPart("", {"cache_control": {}}),)),
        ([{"type": "refusal", "refusal": "No.", "text": 3}], (TextPart("No.", {"text": 3}),)),
    ],
)
def test_content(content, parts):
    assert message({"role": "user", "content": content}).parts == parts


def test_absent_content():
    assert message({"role": "assistant"}).parts == ()


@pytest.mark.parametrize("kind", ["input_audio", "file", "input_file", "video_url", "document", "of tomorrow", ""])
def test_a_part_of_another_type_is_kept_whole_and_not_looked_at(kind):
    part = {"type": kind, "text": {"a": 1}, "image_url": [None], "x": None}
    assert message({"role": "user", "content": [{"type": "text", "text": "Hi"}, part]}).parts == (
        TextPart("Hi"),
        OpaquePart(kind, part, "messages[0].content[1]"),
    )


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ("text", "messages[0].content[0]"),
        ({}, "messages[0].content[0].type"),
        ({"type": 3}, "messages[0].content[0].type"),
        ({"type": None, "text": "x"}, "messages[0].content[0].type"),
        ({"type": "text"}, "messages[0].content[0].text"),
        ({"type": "text", "text": None}, "messages[0].content[0].text"),
        ({"type": "text", "text": ["x"]}, "messages[0].content[0].text"),
        ({"type": "refusal", "refusal": 3}, "messages[0].content[0].refusal"),
        ({"type": "image_url", "image_url": {}}, "messages[0].content[0].image_url.url"),
        ({"type": "image_url", "image_url": 3}, "messages[0].content[0].image_url"),
        ({"type": "input_image", "image_url": PNG, "detail": 3}, "messages[0].content[0].detail"),
        ({"type": "input_image", "image_url": ""}, "messages[0].content[0].image_url"),
        ({"type": "input_image", "image_url": "file:///etc/passwd"}, "messages[0].content[0].image_url"),
    ],
)
def test_parts_that_cannot_be_read(part, param):
    assert refused(messages=[{"role": "user", "content": [part]}]).param == param


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


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"id": "a", "type": "custom", "custom": {"name": "patch", "input": "{ x\n"}}, ToolCall("a", "patch", "{ x\n", custom=True)),
        ({"id": "a", "custom": {"name": "patch"}, "function": None}, ToolCall("a", "patch", "", custom=True)),
        ({"id": "a", "type": "custom", "custom": {"name": "p", "x": 1}, "y": 2}, ToolCall("a", "p", "", True, {"y": 2, "custom": {"x": 1}})),
        ({**call("a"), "index": 0, "custom": None}, ToolCall("a", "f", "{}", extra={"index": 0})),
        ({**call("a"), "extra_content": {"google": {"thought_signature": "s"}}}, ToolCall("a", "f", "{}", extra={"extra_content": ANY})),
        ({"id": "a", "function": {"name": "f", "strict": None}}, ToolCall("a", "f", "", extra={"function": {"strict": None}})),
    ],
)
def test_custom_calls_and_what_nobody_reads_of_a_call(sent, expected):
    assert message({"role": "assistant", "tool_calls": [sent]}).tool_calls == (expected,)


@pytest.mark.parametrize(
    ("sent", "kind", "param"),
    [
        ({"id": "a", "type": "magic", "custom": {"name": "p"}}, UnsupportedParameter, "type"),
        ({"id": "a", "type": "custom", "function": {"name": "p"}}, RequestError, "custom"),
        ({"id": "a", "type": "custom"}, RequestError, "custom"),
        ({"id": "a"}, RequestError, "function"),
        ({"id": "a", "type": "custom", "custom": {"input": "x"}}, RequestError, "custom.name"),
        ({"id": "a", "type": "custom", "custom": {"name": "p", "input": {}}}, RequestError, "custom.input"),
    ],
)
def test_calls_that_cannot_be_read(sent, kind, param):
    assert refused(kind, messages=[{"role": "assistant", "tool_calls": [sent]}]).param == f"messages[0].tool_calls[0].{param}"


@pytest.mark.parametrize(
    ("sent", "extra"),
    [
        ({"role": "user", "cache_control": {"type": "ephemeral"}, "x": None}, {"cache_control": {"type": "ephemeral"}, "x": None}),
        ({"role": "user", "reasoning_content": "hm", "tool_calls": [], "tool_call_id": None}, {"reasoning_content": "hm"}),
        ({"role": "assistant", "annotations": [], "refusal": None, "audio": None, "function_call": None, "tool_calls": None}, {"annotations": []}),
        ({"role": "assistant", "thinking_blocks": [{"signature": "s"}], "reasoning": "hm"}, {"thinking_blocks": [{"signature": "s"}]}),
        ({"role": "assistant", "reasoning_content": "a", "reasoning": "b"}, {"reasoning": "b"}),
        ({"role": "assistant", "reasoning_content": "", "reasoning": "b"}, {"reasoning_content": ""}),
        ({"role": "tool", "tool_call_id": "a", "is_error": True}, {"is_error": True}),
    ],
)
def test_what_nobody_reads_of_a_message_stays_with_it(sent, extra):
    assert message(sent).extra == extra


def test_an_empty_reasoning_is_none_that_is_missing():
    assert [message({"role": "assistant", **fields}).reasoning for fields in ({}, {"reasoning": None}, {"reasoning_content": ""})] == [None, None, ""]
