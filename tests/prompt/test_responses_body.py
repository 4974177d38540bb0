"""The Responses body: each thing of a Request in its form, and nothing lost in silence."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types.responses import ResponseInputItem
from pydantic import TypeAdapter

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parameters import PARAMETERS, Effect, Family
from pipeline.parse.chat import parse_chat
from pipeline.prompt.chat_body import ChatProfile
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.responses_body import LACKING, RESPONSES_PROFILE, left_out, not_passed, not_passed_inside, write_responses_body
from pipeline.request import Grammar, ImagePart, Message, OpaquePart, Options, Request, Role, TextPart, Tool, ToolCall, ToolChoice, ToolMode
from tests.support.chat_bodies import CHAT_BODIES, TOOL, USER, WEATHER, parse

HELLO = {"type": "message", "role": "user", "content": "Hello"}
PATCH = Tool("ApplyPatch", "Changes files", custom=True, grammar=Grammar("lark", "start: /.+/"))
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def written(request: Request, **profile: Any) -> Any:
    return json.loads(write_responses_body(request, msgspec.structs.replace(RESPONSES_PROFILE, **profile)))


def body_of(**fields: Any) -> Any:
    """The body of a Chat Completions body."""
    return written(parse(**fields))


def items(*messages: dict[str, Any]) -> Any:
    return body_of(messages=[*messages])["input"]


def test_the_least():
    assert body_of() == {"model": "composer-2.5", "input": [HELLO], "store": False, "stream": True}


def test_a_system_message_at_the_beginning_is_the_instructions_and_others_stay_in_their_place():
    system = [{"role": "system", "content": text} for text in ("Be brief.", "Be kind.", "Be gone.")]
    body = body_of(messages=[*system[:2], USER, system[2], USER])
    later = [{"type": "message", "role": "system", "content": text} for text in ("Be kind.", "Be gone.")]
    assert (body["instructions"], body["input"]) == ("Be brief.", [later[0], HELLO, later[1], HELLO])


def test_what_comes_before_a_system_message_stays_before_it():
    body = body_of(messages=[USER, {"role": "developer", "content": "Be brief."}])
    assert "instructions" not in body
    assert [item["role"] for item in body["input"]] == ["user", "system"]


def test_a_conversation_of_a_system_message_alone_has_input():
    body = body_of(messages=[{"role": "system", "content": "Be brief."}])
    assert "instructions" not in body
    assert body["input"] == [{"type": "message", "role": "system", "content": "Be brief."}]


def test_parts_and_images():
    detailed = {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}}
    assert items({"role": "user", "content": [{"type": "text", "text": "See"}, IMAGE, detailed]}) == [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "low"},
            ],
        }
    ]
    said = items({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, USER)[0]
    assert said["content"] == [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]


def test_images_where_the_profile_has_none():
    request = parse(messages=[{"role": "user", "content": [IMAGE]}])
    with pytest.raises(UnsupportedParameter) as caught:
        write_responses_body(request, ChatProfile(images=False))
    assert caught.value.param == "messages[0].content[0]"


def test_files_have_a_form_here_and_sounds_have_not():
    named = {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
    for kind, fields in (("file", {"type": "file", "file": named}), ("input_file", {"type": "input_file", **named})):
        request = Request("m", (Message(Role.USER, (OpaquePart(kind, fields, "messages[0].content[0]"),)),))
        assert written(request)["input"][0]["content"] == [{"type": "input_file", **named}]
    for kind, fields in (("input_audio", {"type": "input_audio", "input_audio": {}}), ("file", {"type": "file", "file": "x"})):
        with pytest.raises(UnsupportedParameter) as caught:
            write_responses_body(Request("m", (Message(Role.USER, (OpaquePart(kind, fields, "messages[0].content[0]"),)),)), RESPONSES_PROFILE)
        assert caught.value.param == "messages[0].content[0]"


def test_the_latest_call_of_an_id_says_what_its_result_is():
    """Models count their calls anew: one id is a custom tool's call in one turn and a function's in the next."""
    patch = {"id": "call_0", "type": "custom", "custom": {"name": "ApplyPatch", "input": "p"}}
    read = {"id": "call_0", "type": "function", "function": {"name": "Read", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "call_0", "content": "ok"}
    turns: list[list[dict[str, Any]]] = [[{"role": "assistant", "tool_calls": [made]}, result, USER] for made in (patch, read, patch)]
    assert [item["type"] for item in items(USER, *turns[0], *turns[1], *turns[2]) if item["type"] != "message"] == [
        *("custom_tool_call", "custom_tool_call_output"),
        *("function_call", "function_call_output"),
        *("custom_tool_call", "custom_tool_call_output"),
    ]


def test_calls_and_results():
    calls = [{"id": f"c{at}", "type": "function", "function": {"name": "now", "arguments": text}} for at, text in enumerate(['{"a": 1}', ""])]
    assert items(
        USER,
        {"role": "assistant", "content": "Hm.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c0", "content": "noon"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "see"}, IMAGE]},
    ) == [
        HELLO,
        {"type": "message", "role": "assistant", "content": "Hm."},
        {"type": "function_call", "call_id": "c0", "name": "now", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": "noon"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
        },
    ]
    silent = items(USER, {"role": "assistant", "content": None, "tool_calls": calls[:1]}, {"role": "tool", "tool_call_id": "c0", "content": ""})
    assert silent[1:] == [
        {"type": "function_call", "call_id": "c0", "name": "now", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c0", "output": ""},
    ]


PATCHED = (
    Message(Role.USER, (TextPart("Go"),)),
    Message(Role.ASSISTANT, tool_calls=(ToolCall("c", "ApplyPatch", 'raw "text"', custom=True), ToolCall("d", "now", "{}"))),
    Message(Role.TOOL, (TextPart("done"),), tool_call_id="c"),
    Message(Role.TOOL, (TextPart("noon"),), tool_call_id="d"),
)


def test_custom_tools_as_such():
    choice = ToolChoice(ToolMode.FUNCTION, "ApplyPatch")
    body = written(Request("m", PATCHED, (PATCH, Tool("any", custom=True)), choice))
    assert body["tools"] == [
        {
            "type": "custom",
            "name": "ApplyPatch",
            "description": "Changes files",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
        {"type": "custom", "name": "any"},
    ]
    assert body["tool_choice"] == {"type": "custom", "name": "ApplyPatch"}
    assert body["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c", "name": "ApplyPatch", "input": 'raw "text"'},
        {"type": "function_call", "call_id": "d", "name": "now", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        {"type": "function_call_output", "call_id": "d", "output": "noon"},
    ]


def test_custom_tools_as_functions():
    body = written(in_function_form(Request("m", PATCHED, (PATCH,))))
    assert body["tools"][0]["type"] == "function"
    assert [item["type"] for item in body["input"][1:]] == ["function_call", "function_call", "function_call_output", "function_call_output"]
    assert json.loads(body["input"][1]["arguments"]) == {"input": 'raw "text"'}


@pytest.mark.parametrize(("strict", "sent"), [({}, False), ({"strict": None}, False), ({"strict": False}, False), ({"strict": True}, True)])
def test_functions_are_strict_only_where_the_client_says_so(strict, sent):
    [tool] = body_of(tools=[{"type": "function", "function": {**WEATHER, **strict}}])["tools"]
    assert tool == {"type": "function", **WEATHER, "strict": sent}


def test_a_function_without_a_schema():
    [tool] = body_of(tools=[{"type": "function", "function": {"name": "now"}}])["tools"]
    assert tool == {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}}, "strict": False}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("none", "none"),
        ("required", "required"),
        ("auto", None),
        ({"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "name": "get_weather"}),
    ],
)
def test_tool_choice(choice, sent):
    assert body_of(tools=[TOOL], tool_choice=choice).get("tool_choice") == sent


def test_without_tools_nothing_is_said_of_them():
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body_of(parallel_tool_calls=False, tool_choice="none").keys()
    assert body_of(tools=[TOOL], parallel_tool_calls=False)["parallel_tool_calls"] is False


SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True}}},
            {"text": {"format": {"type": "json_schema", "name": "n", "description": "d", "schema": SCHEMA, "strict": True}}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"text": {"format": {"type": "json_schema", "name": "response", "schema": SCHEMA}}},
        ),
        ({"text": {"verbosity": "low"}}, {"text": {"verbosity": "low"}}),
        ({"verbosity": "high"}, {"text": {"verbosity": "high"}}),
        ({"verbosity": "high", "text": {"verbosity": "low"}}, {"text": {"verbosity": "high"}}),
        ({"reasoning_effort": "high"}, {"reasoning": {"effort": "high", "summary": "auto"}}),
        ({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
        ({"reasoning": True}, {"reasoning": {"summary": "auto"}}),
        ({"temperature": 0.5, "user": "u", "top_k": 5, "include": ["x"]}, {"temperature": 0.5, "user": "u", "top_k": 5, "include": ["x"]}),
        ({"stop": "x", "seed": 1, "store": True, "instructions": "no", "previous_response_id": "r", "api_base": "x"}, {}),
    ],
    ids=str,
)
def test_options(fields, sent):
    assert {name: value for name, value in body_of(**fields).items() if name not in ("model", "input", "store", "stream")} == sent


def test_what_the_profile_does_not_take():
    request = parse(reasoning_effort="high", text={"verbosity": "low"}, top_k=5, user="u")
    bare = ChatProfile(reasoning_effort=False, pass_fields=("user",))
    assert json.loads(write_responses_body(request, bare)).keys() == {"model", "input", "store", "stream", "user"}
    assert not_passed(request, bare) == ("reasoning_effort", "top_k")
    assert not_passed_inside(request, bare) == ("text.verbosity",)
    assert [notice.code for notice in left_out(request, bare)] == ["reasoning_effort_dropped", "field_not_forwarded"]
    assert "verbosity" in not_passed(parse(verbosity="low"), bare)
    assert "text" not in json.loads(write_responses_body(parse(verbosity="low"), bare))


def test_the_cache_key_is_the_conversation_s_or_the_client_s_own():
    request = parse_chat(json.dumps({"model": "m", "messages": [USER]}).encode(), conversation="c-1")
    assert written(request)["prompt_cache_key"] == "c-1"
    assert "prompt_cache_key" not in written(request, prompt_cache_key=False)
    assert written(msgspec.structs.replace(request, extra={"prompt_cache_key": "mine"}))["prompt_cache_key"] == "mine"


def test_what_is_left_out_is_named():
    request = parse(
        messages=[
            {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": "Hm.", "reasoning_content": "a thought"},
            USER,
        ],
        seed=1,
        api_key="x",
        store=True,
    )
    assert not_passed(request, RESPONSES_PROFILE) == ("seed", "api_key", "store")
    assert not_passed_inside(request, RESPONSES_PROFILE) == ("messages.name", "messages.content.cache_control")
    assert left_out(request, RESPONSES_PROFILE) == (
        Notice("reasoning_dropped", "a Responses API takes no reasoning in the history but its own"),
        Notice("field_not_forwarded", "seed is not known to the Responses API"),
        Notice("field_not_forwarded", "api_key would choose a host, a model or a transport"),
        Notice("field_not_forwarded", "store is written by the gateway"),
    )


def test_many_fields_are_named_up_to_a_limit():
    notices = left_out(Request("m", (), extra={f"api_base{'_' * at}": at for at in range(40)}), RESPONSES_PROFILE)
    assert (len(notices), notices[-1].detail) == (17, "and 24 more")


def test_the_table_of_parameters_knows_what_the_api_has_not():
    lacking = {row.name for row in PARAMETERS if row.outcome(Family.OPENAI_RESPONSES).effect is Effect.IGNORED}
    assert lacking == LACKING - {"n", "stop"} | {"store"}  # n is refused, stop is the flow's, and store is the gateway's own


ITEM = TypeAdapter[Any](ResponseInputItem)


@given(CHAT_BODIES)
def test_every_body_is_one_that_the_api_knows_and_says_all_of_the_conversation(body):
    try:
        request = parse_chat(json.dumps(body).encode())
    except RequestError:
        return
    sent = written(request)
    for item in sent["input"]:
        ITEM.validate_python(as_the_sdk_has_it(item))
    told = sent.get("instructions", "") + "".join(texts(item) for item in sent["input"])
    assert told == "".join(
        message.text + "".join(call.arguments if call.arguments.strip() else "{}" for call in message.tool_calls) for message in request.messages
    )
    calls = [item["call_id"] for item in sent["input"] if item["type"].endswith("_call")]
    assert calls == [call.id for message in request.messages for call in message.tool_calls]
    named = {*not_passed(request, RESPONSES_PROFILE), "verbosity"}
    assert request.extra.keys() - named <= sent.keys()


def as_the_sdk_has_it(item: dict[str, Any]) -> dict[str, Any]:
    """Its types demand of the parts of an assistant's message what the API itself does without: ids and annotations."""
    if item.get("role") != "assistant" or isinstance(item["content"], str):
        return item
    parts = [{**part, "annotations": []} if part["type"] == "output_text" else part for part in item["content"]]
    images = [part for part in parts if part["type"] == "input_image"]  # which a test may put there, and no model says
    return {**item, "role": "user", "content": images} if images else {**item, "id": "msg_1", "status": "completed", "content": parts}


def texts(item: dict[str, Any]) -> str:
    content: Any = item.get("content", item.get("output", item.get("arguments")))
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def test_options_and_images_stand_where_they_are_read():
    request = Request("m", (Message(Role.USER, (ImagePart("https://a.example/b.png", "high"),)),), options=Options(max_tokens=3))
    assert written(request)["input"][0]["content"] == [{"type": "input_image", "image_url": "https://a.example/b.png", "detail": "high"}]
