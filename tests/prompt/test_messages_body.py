"""write_messages_body: what a request becomes in Anthropic's API, field by field, and what is not in it by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.chat import parse_chat
from pipeline.parse.messages import parse_messages
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.messages_blocks import FAILED_SILENTLY, check_images
from pipeline.prompt.messages_body import write_messages_body
from pipeline.prompt.messages_form import in_messages_form
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.prompt.output_rules import RULES_HEADING
from pipeline.request import (
    AnswerFormat,
    ImagePart,
    Message,
    OpaquePart,
    Options,
    Request,
    Role,
    TextPart,
    Thought,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)

PLAIN = MessagesProfile()
HELLO = Message(Role.USER, (TextPart("Hello"),))
PNG, JPEG = "iVBORw0KGgoAAAA=", "/9j/AAAA"
CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
NOW = Tool("now", parameters={"type": "object", "properties": {}})
USED = (HELLO, Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "now", "{}"),)), Message(Role.TOOL, (TextPart("12"),), tool_call_id="a"))


def written(*messages, profile=PLAIN, **fields):
    """The body as the API reads it, and what is said beside it."""
    made = write_messages_body(Request("claude", messages or (HELLO,), **fields), profile)
    return json.loads(made.data), made


def of(**fields):
    """What an option becomes, without what every body has."""
    body, made = written(**fields)
    return {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}, made


def turns(*messages, **fields):
    return written(*messages, **fields)[0]["messages"]


def own(body, profile=PLAIN):
    """A body of the same API, through all of it."""
    request = parse_messages(json.dumps({"model": "claude", "max_tokens": 9, **body}).encode()).request
    return through(request, profile)


def chat(body, profile=PLAIN):
    """A body of Chat Completions, through all of it."""
    return through(parse_chat(json.dumps({"model": "claude", "messages": [{"role": "user", "content": "Hello"}], **body}).encode()), profile)


def through(request, profile):
    formed, changed = in_messages_form(in_function_form(in_dialect(request, "anthropic")), profile)
    made = write_messages_body(formed, profile)
    return json.loads(made.data), (*formed.ignored, *made.ignored), [notice.code for notice in (*changed, *made.notices)]


def test_the_least_that_there_is():
    assert written()[0] == {"model": "claude", "max_tokens": 32_000, "messages": [{"role": "user", "content": "Hello"}], "stream": True}


# -- the conversation


def test_the_system_stands_in_front():
    system = Message(Role.SYSTEM, (TextPart("Be brief."),))
    assert written(system, HELLO)[0]["system"] == "Be brief."
    marked = Message(Role.SYSTEM, (TextPart("One."), TextPart("\n"), TextPart("Two.", {"cache_control": {"type": "ephemeral"}})))
    assert written(system, marked, HELLO)[0]["system"] == [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}},
    ]


def test_messages_of_one_role_are_one_and_results_come_first():
    called = Message(Role.ASSISTANT, (TextPart("Looking."),), (ToolCall("a", "now", '{"zone": 1.0}'), ToolCall("b", "now", "{}")))
    results = (Message(Role.TOOL, (TextPart("12"),), tool_call_id="a"), Message(Role.TOOL, (), tool_call_id="b", is_error=True))
    assert turns(HELLO, HELLO, called, *results, HELLO) == [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}] * 2},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "a", "name": "now", "input": {"zone": 1.0}},
                {"type": "tool_use", "id": "b", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "12"},
                {"type": "tool_result", "tool_use_id": "b", "content": FAILED_SILENTLY, "is_error": True},
                {"type": "text", "text": "Hello"},
            ],
        },
    ]


def test_arguments_are_written_as_they_came():
    call = ToolCall("a", "now", '{"b": 1.0, "a": 12345678901234567890123}')
    assert b'"input":{"b": 1.0, "a": 12345678901234567890123}' in written(HELLO, Message(Role.ASSISTANT, tool_calls=(call,)))[1].data


def test_what_holds_nothing_is_left_out():
    empty = [Message(role, (TextPart(" \n"),)) for role in (Role.USER, Role.ASSISTANT)]
    assert turns(HELLO, empty[1], empty[0], HELLO) == [{"role": "user", "content": [{"type": "text", "text": "Hello"}] * 2}]
    assert turns(HELLO, Message(Role.ASSISTANT, thoughts=(Thought("Hm.", "s"),))) == [{"role": "user", "content": "Hello"}]
    nothing = Message(Role.TOOL, (TextPart(""),), tool_call_id="a")
    assert turns(*USED[:2], nothing)[2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_thoughts_stand_in_front():
    thoughts = (Thought("Hm.", "c2ln"), Thought(redacted="x"))
    assert turns(HELLO, Message(Role.ASSISTANT, (TextPart("Hi"),), thoughts=thoughts))[1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Hi"},
    ]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (f"data:image/png;base64,{PNG}", {"type": "base64", "media_type": "image/png", "data": PNG}),
        (f"data:image/png;base64,{JPEG}", {"type": "base64", "media_type": "image/jpeg", "data": JPEG}),
        (f"data:image/jpg;name=a;base64,{JPEG}", {"type": "base64", "media_type": "image/jpeg", "data": JPEG}),
        (f"DATA:application/x;BASE64,{PNG[:8]}\n{PNG[8:]}", {"type": "base64", "media_type": "image/png", "data": PNG}),
        ("data:image/png;base64,-_8%3D", {"type": "base64", "media_type": "image/png", "data": "+/8="}),
        ("https://a.example/x.png", {"type": "url", "url": "https://a.example/x.png"}),
    ],
)
def test_images(url, source):
    request = Request("m", (Message(Role.USER, (ImagePart(url, extra={"cache_control": {}}),)),))
    check_images(request, PLAIN)
    assert turns(*request.messages)[0]["content"] == [{"type": "image", "source": source, "cache_control": {}}]


@pytest.mark.parametrize(
    ("url", "path", "place", "error"),
    [
        ("https://a.example", "", "messages[1].content[0]", UnsupportedParameter),
        ("https://a.example", "input[3]", "input[3]", UnsupportedParameter),
        ("data:,x", "", "messages[1].content[0]", RequestError),
        ("data:image/png;base64,", "", "messages[1].content[0]", RequestError),
    ],
)
def test_images_that_cannot_be_sent_are_refused_by_their_place(url, path, place, error):
    request = Request("m", (HELLO, Message(Role.USER, (ImagePart(url, path=path),))))
    with pytest.raises(error) as raised:
        check_images(request, MessagesProfile(images=error is RequestError))
    assert (type(raised.value), raised.value.param) == (error, place)


def test_parts_of_the_api_itself_pass_whole():
    block = {"type": "document", "source": {"type": "text", "data": "Terms"}, "title": "T"}
    pdf = OpaquePart("document", {"type": "document", "source": {"type": "file", "file_id": "f"}}, "messages[0].content[1]", "anthropic")
    content = turns(Message(Role.USER, (TextPart("Terms", {"document": block}), pdf)), dialect="anthropic")[0]["content"]
    assert content == [block, pdf.fields]


# -- tools


def test_tools_and_the_choice_among_them():
    tools = (
        Tool("now"),
        Tool("then", "Later", {"properties": {}}, strict=True, extra={"cache_control": {}}),
        Tool("x", parameters=OPEN, strict=False),
    )
    assert of(tools=tools)[0] == {
        "max_tokens": 32_000,
        "tools": [
            {"name": "now", "input_schema": {"type": "object"}},
            {"name": "then", "description": "Later", "input_schema": {"type": "object", "properties": {}}, "strict": True, "cache_control": {}},
            {"name": "x", "input_schema": OPEN},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "becomes"),
    [
        (ToolChoice(), True, None),
        (ToolChoice(), False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.REQUIRED), True, {"type": "any"}),
        (ToolChoice(ToolMode.REQUIRED), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.FUNCTION, "now"), True, {"type": "tool", "name": "now"}),
        (ToolChoice(ToolMode.NONE), False, {"type": "none"}),
    ],
)
def test_the_choice(choice, parallel, becomes):
    assert of(tools=(NOW,), tool_choice=choice, options=Options(parallel_tool_calls=parallel))[0].get("tool_choice") == becomes


def test_a_conversation_with_calls_names_their_tools_though_none_may_be_called():
    body, _ = written(*USED)
    assert (body["tools"], body["tool_choice"]) == ([{"name": "now", "input_schema": {"type": "object"}}], {"type": "none"})
    assert not {"tools", "tool_choice"} & written()[0].keys()


def test_custom_tools_are_functions():
    body, _, _ = chat({"tools": [{"type": "custom", "custom": {"name": "patch"}}]})
    assert body["tools"][0]["input_schema"]["required"] == ["input"]


# -- options


def test_limit_and_stop_texts():
    fields, made = of(options=Options(max_tokens=5, stop=("END", "\n", " ")))
    assert fields == {"max_tokens": 5, "stop_sequences": ["END"]}
    assert made.stops == ("\n", " ")


EFFORT = Options(reasoning_effort="high", reasoning=True)


@pytest.mark.parametrize(
    ("profile", "fields", "thinking", "config", "ignored"),
    [
        ({}, {}, None, None, ()),
        ({}, {"options": EFFORT}, {"type": "adaptive", "display": "summarized"}, {"effort": "high"}, ()),
        ({}, {"options": Options(reasoning=True)}, {"type": "adaptive", "display": "summarized"}, None, ()),
        ({}, {"options": Options(reasoning_effort="minimal")}, {"type": "adaptive", "display": "summarized"}, {"effort": "low"}, ()),
        ({}, {"options": Options(reasoning_effort="none")}, {"type": "disabled"}, None, ()),
        ({"reasoning_effort": False}, {"options": EFFORT}, {"type": "adaptive", "display": "summarized"}, None, ("reasoning_effort",)),
        ({"thinking": "off"}, {"options": EFFORT}, None, None, ("reasoning_effort",)),
        ({"thinking": "off"}, {"options": Options(reasoning=True)}, None, None, ("reasoning",)),
        ({"thinking": "off"}, {"options": Options(reasoning_effort="none")}, None, None, ()),
        ({"thinking": "budget"}, {"options": EFFORT}, {"type": "enabled", "budget_tokens": 16_000}, None, ()),
        ({"thinking": "budget"}, {"options": Options(reasoning=True)}, {"type": "enabled", "budget_tokens": 8192}, None, ()),
        ({"thinking": "budget"}, {"options": Options(reasoning_effort="low")}, {"type": "enabled", "budget_tokens": 2048}, None, ()),
        ({"thinking": "budget"}, {"options": Options(max_tokens=3000, reasoning=True)}, {"type": "enabled", "budget_tokens": 1500}, None, ()),
    ],
)
def test_a_wish_for_reasoning(profile, fields, thinking, config, ignored):
    body, made = written(profile=MessagesProfile(**profile), **fields)
    assert (body.get("thinking"), body.get("output_config"), made.ignored) == (thinking, config, ignored)
    assert not made.notices


@pytest.mark.parametrize(
    ("profile", "messages", "fields"),
    [
        ({}, (HELLO,), {"options": EFFORT, "tools": (NOW,), "tool_choice": ToolChoice(ToolMode.REQUIRED)}),
        ({"thinking": "budget"}, (HELLO,), {"options": Options(reasoning=True, max_tokens=2047)}),
        ({"thinking": "budget"}, USED, {"options": EFFORT}),
        ({"thinking": "budget"}, (*USED, HELLO), {"options": EFFORT}),
    ],
)
def test_what_the_api_would_refuse_with_thinking_is_asked_without(profile, messages, fields):
    body, made = written(*messages, profile=MessagesProfile(**profile), **fields)
    assert "thinking" not in body
    assert [notice.code for notice in made.notices] == ["thinking_left_out"]


def test_with_the_thoughts_in_front_of_the_calls_there_is_thinking():
    thinking = MessagesProfile(thinking="budget")
    asked, called, result = USED
    thought = Message(Role.ASSISTANT, tool_calls=called.tool_calls, thoughts=(Thought("Hm.", "s"),))
    answered = Message(Role.ASSISTANT, (TextPart("12"),))
    for messages in ((asked, thought, result), (asked, called, result, answered, HELLO)):
        body, made = written(*messages, profile=thinking, options=EFFORT)
        assert (body["thinking"]["type"], made.notices) == ("enabled", ())


@pytest.mark.parametrize(
    ("kind", "schema", "strict", "profile", "is_field"),
    [
        ("json_schema", CLOSED, None, {}, True),
        ("json_schema", OPEN, True, {}, True),
        ("json_schema", OPEN, None, {}, False),
        ("json_schema", {"type": "array", "items": OPEN}, None, {}, False),
        ("json_schema", {"type": "array", "items": CLOSED}, None, {}, True),
        ("json_schema", CLOSED, None, {"structured_outputs": False}, False),
        ("json_object", None, None, {}, False),
    ],
)
def test_the_form_of_the_answer(kind, schema, strict, profile, is_field):
    body, _ = written(profile=MessagesProfile(**profile), options=Options(answer_format=AnswerFormat(kind, schema, strict=strict)))
    assert body.get("output_config") == ({"format": {"type": "json_schema", "schema": schema}} if is_field else None)
    assert body.get("system", "").startswith(RULES_HEADING) is not is_field


@pytest.mark.parametrize(
    ("fields", "passed", "ignored"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}, ()),
        ({"temperature": 1.5}, {}, ("temperature",)),
        ({"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low"}, {}, ("temperature", "top_p")),
        ({"temperature": 1, "top_p": 0.95, "reasoning_effort": "low"}, {"temperature": 1, "top_p": 0.95}, ()),
        ({"temperature": 0.5, "reasoning_effort": "none"}, {"temperature": 0.5}, ()),
        ({"user": "u", "seed": 1, "logit_bias": {"1": 2}, "store": True}, {}, ("user", "seed", "logit_bias", "store")),
        ({"verbosity": "low"}, {}, ("verbosity",)),
    ],
)
def test_other_fields_of_chat_completions(fields, passed, ignored):
    body, told, _ = chat(fields)
    assert {name: body[name] for name in body.keys() & fields.keys()} == passed
    assert told == ignored


@pytest.mark.parametrize(
    ("fields", "becomes"),
    [
        ({"reasoning_effort": "high"}, {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}),
        ({"max_completion_tokens": 7, "stop": "END"}, {"max_tokens": 7, "stop_sequences": ["END"]}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": CLOSED}}},
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
        ),
        ({"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    ],
)
def test_the_wishes_of_a_client_of_chat_completions(fields, becomes):
    body, ignored, codes = chat(fields)
    assert {name: body[name] for name in becomes} == becomes
    assert (ignored, codes) == ((), [])


def test_names_of_authors_and_details_of_images_are_named():
    message = Message(Role.USER, (ImagePart("https://a.example", "high"),), name="Ann")
    assert written(message)[1].ignored == ("messages.name", "messages.content.image_url.detail")
    assert written(options=Options(verbosity="low"))[1].ignored == ("text.verbosity",)


# -- clients of the same API

MARK = {"cache_control": {"type": "ephemeral"}}
OWN: dict[str, Any] = {
    "max_tokens": 9,
    "system": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two.", **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi", **MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"a": 1}, "caller": {"type": "direct"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "tool_reference", "tool_name": "x"}], **MARK},
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "r"}], "citations": {"enabled": True}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, **MARK},
            ],
        },
    ],
    "tools": [{"name": "now", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True, **MARK}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_k": 5,
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
    "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": OPEN}},
    "cache_control": {"type": "ephemeral"},
    "new_field": [1],
}


def test_its_own_words_come_out_as_they_went_in():
    body, ignored, codes = own(OWN)
    assert body == {"model": "claude", "stream": True, **OWN}
    assert (ignored, codes) == ((), [])


def test_fields_that_the_profile_does_not_let_through_are_named():
    body, ignored, _ = own(OWN, MessagesProfile(pass_fields=("metadata", "tools.cache_control")))
    assert body["tools"] == [{"name": "now", "description": "d", "input_schema": {"type": "object"}, **MARK}]
    assert body["system"][1] == {"type": "text", "text": "Two."}
    assert body["metadata"] == {"user_id": "u"}
    assert body["thinking"] == OWN["thinking"]
    assert not body.keys() & {"temperature", "top_k", "cache_control", "new_field"}
    assert ignored == (
        *("temperature", "top_k", "cache_control", "new_field"),
        *("system.cache_control", "messages.content.cache_control", "messages.content.caller", "tools.defer_loading"),
    )
    assert body["messages"][2]["content"][1] == OWN["messages"][2]["content"][1]


def test_fields_that_would_choose_a_host_never_pass():
    made = write_messages_body(Request("m", (HELLO,), extra={"api_base": "https://evil.example"}, dialect="anthropic"), PLAIN)
    assert b"evil" not in made.data
    assert (made.ignored, made.notices) == (("api_base",), (Notice("field_not_forwarded", "api_base would choose a host, a model or a transport"),))


@pytest.mark.parametrize(
    ("thinking", "profile", "becomes", "ignored", "codes"),
    [
        ({"type": "adaptive"}, {}, {"type": "adaptive"}, (), []),
        ({"type": "between_tools"}, {}, {"type": "between_tools"}, (), []),
        ({"type": "between_tools"}, {"thinking": "budget"}, {"type": "enabled", "budget_tokens": 8192}, (), []),
        ({"type": "disabled"}, {}, {"type": "disabled"}, (), []),
        ({"type": "enabled", "budget_tokens": 5000}, {"thinking": "off"}, None, ("thinking",), []),
        ({"type": "adaptive"}, {"thinking": "budget"}, {"type": "enabled", "budget_tokens": 8192}, (), []),
    ],
)
def test_its_thinking_is_what_the_profile_allows(thinking, profile, becomes, ignored, codes):
    body, told, said = own({"messages": [{"role": "user", "content": "Hi"}], "thinking": thinking, "max_tokens": 32_000}, MessagesProfile(**profile))
    assert (body.get("thinking"), told, said) == (becomes, ignored, codes)


def test_thoughts_of_another_upstream_end_its_thinking_until_the_turn_is_over():
    history = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "tool_use", "id": "a", "name": "now", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "12"}]},
    ]
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 9000}
    body, _, codes = own({"messages": history, **thinking})
    assert ("thinking" in body, codes) == (False, ["reasoning_dropped", "thinking_left_out"])
    body, _, codes = own({"messages": [*history, {"role": "assistant", "content": "12"}, {"role": "user", "content": "Thanks"}], **thinking})
    assert ("thinking" in body, codes) == (True, ["reasoning_dropped"])


def test_an_effort_that_the_target_does_not_take_is_named():
    body, ignored, _ = own(
        {"messages": [{"role": "user", "content": "Hi"}], "output_config": {"effort": "max"}}, MessagesProfile(reasoning_effort=False)
    )
    assert ("output_config" in body, ignored) == (False, ("output_config.effort",))


@pytest.mark.parametrize(("extra", "is_marked"), [({}, False), ({"system": [{"type": "text", "text": "x", **MARK}]}, True), (MARK, True)])
def test_a_conversation_is_marked_to_be_cached_where_nobody_did(extra, is_marked):
    body, _, _ = own({"messages": [{"role": "user", "content": "Hi"}], **extra}, MessagesProfile(prompt_cache=True))
    assert body.get("cache_control") == (MARK["cache_control"] if not is_marked or extra is MARK else None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_texts_are_verbatim(asked, said):
    messages = (Message(Role.USER, (TextPart("x" + asked),)), Message(Role.ASSISTANT, (TextPart("y" + said),)), HELLO)
    try:
        ("x" + asked + said).encode()
    except UnicodeEncodeError:
        return
    assert [turn["content"] for turn in turns(*messages)] == ["x" + asked, "y" + said, "Hello"]
