"""write_chat_body: a client's Chat request reaches the upstream as it was, and never chooses where it goes."""

import hashlib
import json
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnsupportedParameter
from pipeline.parse.chat import parse_chat
from pipeline.prompt.chat_body import (
    DENIED_FIELDS,
    DENIED_PREFIXES,
    OWN_FIELDS,
    ChatProfile,
    left_out,
    not_passed,
    not_passed_inside,
    prompt_text,
    write_chat_body,
)
from pipeline.prompt.chat_tools import NO_PARAMETERS
from pipeline.prompt.unread import MAX_NAME_CHARS, MAX_NAMES, unread_by_prompts, unread_inside
from pipeline.request import Message, Options, Request, Role, TextPart, Tool, ToolCall
from tests.support.chat_bodies import JSON, NAMES, TEXT, TOOL, USER, WEATHER, parse

ALL = ChatProfile()
CACHED = ChatProfile(prompt_cache_key=True)
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def written(profile: ChatProfile = ALL, **fields):
    return json.loads(write_chat_body(parse(**fields), profile))


def codes(profile: ChatProfile = ALL, **fields) -> list[tuple[str, str]]:
    return [(notice.code, notice.detail) for notice in left_out(parse(**fields), profile)]


CALLS = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oban"}'}}]
GRAMMAR = {"syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "custom": {"name": "patch", "description": "Changes files", "format": {"type": "grammar", "grammar": GRAMMAR}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

# what a client sends and the upstream gets, to the letter
UNCHANGED = {
    "a conversation": {"messages": [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "Hi", "name": "Ann"}, USER]},
    "parts and images": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}]}]},
    "image detail": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b", "detail": "low"}}]}]
    },
    "calls and results": {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": CALLS},
            {"role": "tool", "content": "wet", "tool_call_id": "call_1", "name": "get_weather"},
        ]
    },
    "calls with text and reasoning": {"messages": [USER, {"role": "assistant", "content": "ok", "tool_calls": CALLS, "reasoning_content": "hm"}]},
    "tools": {"tools": [TOOL, {"type": "function", "function": {"name": "x", "parameters": SCHEMA, "strict": True}}]},
    "tools, not strict": {"tools": [{"type": "function", "function": {"name": "x", "parameters": SCHEMA, "strict": False}}]},
    "required": {"tools": [TOOL], "tool_choice": "required"},
    "none": {"tools": [TOOL], "tool_choice": "none"},
    "a function": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "one call at most": {"tools": [TOOL], "parallel_tool_calls": False},
    "limits": {"max_tokens": 99, "stop": ["END", "\n"]},
    "json_object": {"response_format": {"type": "json_object"}},
    "json_schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
    "reasoning effort": {"reasoning_effort": "high"},
    "sampling": {"temperature": 0.2, "top_p": 0.9, "presence_penalty": 1, "frequency_penalty": -1.5, "seed": 7, "logit_bias": {"50256": -100}},
    "what OpenAI adds": {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "flex", "verbosity": "low", "prompt_cache_key": "k"},
    "empty reasoning": {"messages": [{"role": "assistant", "content": "x", "reasoning_content": ""}]},
    "both spellings of reasoning": {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "a", "reasoning": "b"}]},
    "fields of messages": {
        "messages": [
            {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}, "x": None},
            {"role": "assistant", "content": "Hi", "annotations": [], "thinking_blocks": [{"type": "thinking", "signature": "s"}]},
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b", "format": "png"}, "cache_control": {}}]},
        ]
    },
    "fields of calls": {
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [{**CALLS[0], "index": 0, "extra_content": {"google": {"thought_signature": "s"}}}]},
            {"role": "tool", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "tool_call_id": "call_1", "is_error": True},
        ]
    },
    "fields of tools": {
        "tools": [{"type": "function", "function": {**WEATHER, "cache_control": {}, "x": None}, "cache_control": {"type": "ephemeral"}}]
    },
    "other parts": {
        "messages": [
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
        ]
    },
    "custom tools": {"tools": [TOOL, PATCH], "tool_choice": {"type": "custom", "custom": {"name": "patch"}}},
    "custom tools of any text": {"tools": [{"type": "custom", "custom": {"name": "say"}, "x": {"custom": 1}}], "tool_choice": "required"},
    "fields of custom tools": {
        "tools": [
            {"type": "custom", "custom": {"name": "p", "defer": True, "format": {"type": "grammar", "grammar": {**GRAMMAR, "x": 1}, "y": 2}}},
            {"type": "custom", "custom": {"name": "q", "format": {"type": "text", "z": 1}}},
        ]
    },
    "custom calls": {
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "{ a\n"}}]},
            {"role": "tool", "content": "done", "tool_call_id": "c"},
        ]
    },
    "what others add": {"top_k": 40, "min_p": 0.1, "chat_template_kwargs": {"thinking": True}, "provider": {"order": ["a"]}, "x": None},
}


@pytest.mark.parametrize("fields", UNCHANGED.values(), ids=UNCHANGED)
def test_a_request_reaches_the_upstream_as_it_was(fields):
    assert written(**fields) == {"model": "composer-2.5", "messages": [USER], **STREAMED, **fields}
    assert codes(**fields) == []


# what a client sends -> what the upstream gets of it
NORMALISED = {
    "not streamed": ({"stream": False}, {}),
    "usage not asked for": ({"stream": True, "stream_options": {"include_usage": False}}, {}),
    "developer": ({"messages": [{"role": "developer", "content": "x"}]}, {"messages": [{"role": "system", "content": "x"}]}),
    "one text part": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, {"messages": [{"role": "user", "content": "x"}]}),
    "no content": ({"messages": [{"role": "user", "content": None}]}, {"messages": [{"role": "user", "content": ""}]}),
    "no arguments": (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": " "}}]}]},
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}}]}
            ]
        },
    ),
    "no schema": (
        {"tools": [{"type": "function", "function": {"name": "x"}}]},
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": NO_PARAMETERS}}]},
    ),
    "flat tools": ({"tools": [{"type": "function", **WEATHER}]}, {"tools": [TOOL]}),
    "flat custom tools": (
        {"tools": [{"type": "custom", "name": "p", "format": {"type": "grammar", **GRAMMAR}}], "tool_choice": {"type": "custom", "name": "p"}},
        {
            "tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": GRAMMAR}}}],
            "tool_choice": {"type": "custom", "custom": {"name": "p"}},
        },
    ),
    "any text": (
        {"tools": [{"type": "custom", "custom": {"name": "p", "description": "", "format": {"type": "text"}}}]},
        {"tools": [{"type": "custom", "custom": {"name": "p"}}]},
    ),
    "names of parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "input_text", "text": "a", "x": 1}, {"type": "input_image", "image_url": "https://a.b"}]}
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a", "x": 1}, {"type": "image_url", "image_url": {"url": "https://a.b"}}]}
            ]
        },
    ),
    "a refusal": (
        {"messages": [{"role": "assistant", "content": None, "refusal": "No.", "audio": None, "tool_calls": []}]},
        {"messages": [{"role": "assistant", "content": "No."}]},
    ),
    "a legacy call": (
        {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, {"role": "function", "name": "f", "content": "x"}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_legacy_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "content": "x", "name": "f", "tool_call_id": "call_legacy_1"},
            ]
        },
    ),
    "allowed tools": (
        {
            "tools": [TOOL, PATCH],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "patch"}}]}},
        },
        {"tools": [PATCH]},
    ),
    "defaults": ({"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True, "response_format": {"type": "text"}}, {"tools": [TOOL]}),
    "choices without tools": ({"tools": [], "tool_choice": "none", "parallel_tool_calls": False}, {}),
    "legacy functions": (
        {"functions": [WEATHER], "function_call": {"name": "get_weather"}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    ),
    "any": ({"tools": [TOOL], "tool_choice": "any"}, {"tools": [TOOL], "tool_choice": "required"}),
    "max_completion_tokens": ({"max_completion_tokens": 9}, {"max_tokens": 9}),
    "one stop text": ({"stop": "END"}, {"stop": ["END"]}),
    "a schema without a name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}},
    ),
    "text.format": ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    "reasoning.effort": ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    "reasoning in the history": (
        {"messages": [{"role": "assistant", "content": "x", "reasoning": "hm"}]},
        {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "hm"}]},
    ),
}


@pytest.mark.parametrize(("fields", "expected"), NORMALISED.values(), ids=NORMALISED)
def test_what_is_normalised(fields, expected):
    assert written(**fields) == {"model": "composer-2.5", "messages": [USER], **STREAMED, **expected}


@pytest.mark.parametrize("name", [*sorted(DENIED_FIELDS), *(prefix + "x" for prefix in DENIED_PREFIXES), "API-Base", "Extra-Headers"])
def test_a_body_never_chooses_a_host_a_model_or_a_transport(name):
    profile = ChatProfile(pass_fields=(name,))
    assert written(profile, **{name: "https://evil.example"}) == {"model": "composer-2.5", "messages": [USER], **STREAMED}
    assert codes(profile, **{name: "https://evil.example"}) == [("field_not_forwarded", f"{name} would choose a host, a model or a transport")]


@pytest.mark.parametrize("name", sorted(OWN_FIELDS))
def test_a_field_that_we_write_cannot_come_from_elsewhere(name):
    request = Request("m", (Message(Role.USER, (TextPart("x"),)),), extra={name: "other"})
    assert json.loads(write_chat_body(request, ALL)) == {"model": "m", "messages": [{"role": "user", "content": "x"}], **STREAMED}
    assert [notice.code for notice in left_out(request, ALL)] == ["field_not_forwarded"]


def test_the_token_limit_stands_under_the_targets_name_only():
    profile = ChatProfile(token_limit_field="n_predict")
    assert written(profile, max_tokens=9, n_predict=1000)["n_predict"] == 9
    assert "max_tokens" not in written(profile, max_tokens=9)


def test_only_listed_fields_pass_and_the_others_are_named():
    profile = ChatProfile(pass_fields=("top_k",))
    body = written(profile, top_k=4, min_p=0.1, temperature=0.5)
    assert {name for name in body if name not in ("model", "messages")} == {*STREAMED, "top_k"}
    detail = "is not among the fields that are passed on"
    assert codes(profile, top_k=4, min_p=0.1, temperature=0.5) == [("field_not_forwarded", f"{name} {detail}") for name in ("min_p", "temperature")]


@pytest.mark.parametrize(
    ("profile", "fields", "notices"),
    [
        (ChatProfile(reasoning_effort=False), {"reasoning_effort": "low"}, ["reasoning_effort_dropped"]),
        (ChatProfile(pass_fields=()), {"verbosity": "low"}, ["field_not_forwarded"]),
        (ChatProfile(pass_fields=()), {"prompt_cache_key": "k"}, ["field_not_forwarded"]),
        (ChatProfile(reasoning_field=""), {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "hm"}]}, ["reasoning_dropped"]),
    ],
)
def test_what_a_profile_does_not_take_is_dropped_and_named(profile, fields, notices):
    text = json.dumps(written(profile, **fields))
    assert not any(word in text for word in ("reasoning", "verbosity", "prompt_cache_key"))
    assert [code for code, _ in codes(profile, **fields)] == notices


def test_reasoning_in_the_history_has_the_targets_name():
    messages = [{"role": "assistant", "content": "x", "reasoning_content": "hm"}]
    assert written(ChatProfile(reasoning_field="reasoning"), messages=messages)["messages"] == [
        {"role": "assistant", "content": "x", "reasoning": "hm"}
    ]


def test_images_are_refused_where_the_target_takes_none():
    with pytest.raises(UnsupportedParameter) as caught:
        written(ChatProfile(images=False), messages=[USER, {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}])
    assert caught.value.param == "messages[1].content[1]"


@pytest.mark.parametrize("name", ["baseURL", "baseUrl", "apiKey", "apiBase", "api-base", " API_BASE ", "extraHeaders", "awsRegion", "AzureEndpoint"])
def test_another_spelling_of_a_denied_field_is_denied_too(name):
    fields = {name: "https://evil.example", "topK": 5}
    assert "evil" not in json.dumps(written(ALL, **fields))
    assert written(ALL, **fields)["topK"] == 5
    assert [code for code, _ in codes(ALL, **fields)] == ["field_not_forwarded"]


def test_names_in_notices_are_bounded():
    fields = {f"api_base{'x' * 500}\n{number}": 1 for number in range(50)}
    notices = left_out(Request("m", (), extra=fields), ChatProfile(pass_fields=()))
    assert len(notices) == 17
    assert all(len(notice.detail) < 120 and notice.detail.isprintable() for notice in notices)
    assert notices[-1].detail == "and 34 more"


def test_what_is_left_out_inside_other_objects_is_named_once():
    fields = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}], "x": 1},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.b", "format": "png"}, "cache_control": {}}], "x": 2},
            {"role": "assistant", "tool_calls": [{**CALLS[0], "extra_content": {"a": {"b": 1}}}]},
        ],
        "tools": [{**TOOL, "cache_control": {}}, {"type": "function", "function": {"name": "f", "cache_control": {}, "y": 1}}],
        "text": {"verbosity": "low"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "x": 1}, "z": 1},
    }
    names = (
        *("messages.x", "messages.content.cache_control", "messages.content.image_url.format", "messages.tool_calls.extra_content"),
        *("tools.cache_control", "tools.function.cache_control", "tools.function.y"),
        *("response_format.z", "response_format.json_schema.x"),
    )
    request = parse(**fields)
    nothing, some = (
        ChatProfile(pass_fields=()),
        ChatProfile(pass_fields=("tools.function.y", "messages.content.cache_control", "response_format.z"), verbosity=True),
    )
    assert unread_inside(request) == names
    assert unread_by_prompts(request) == (*names, "text.verbosity")
    assert not_passed_inside(request, ALL) == ("text.verbosity",)
    assert not_passed_inside(request, nothing) == (*names, "text.verbosity")
    assert not_passed_inside(request, some) == tuple(name for name in names if name not in some.pass_fields)
    bare = written(nothing, **fields)
    assert not any(word in json.dumps(bare) for word in ("cache_control", "extra_content", '"format"', '"x"', '"y"', '"z"', "low"))
    assert bare["messages"][0] == {"role": "user", "content": "a"}
    body = written(some, **fields)
    assert body["messages"][0] == {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}
    assert body["tools"][1]["function"] == {"name": "f", "parameters": NO_PARAMETERS, "y": 1}
    assert body["verbosity"] == "low"
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}, "z": 1}


def test_names_inside_are_bounded():
    messages = [{"role": "user", "content": "x", "long" * 99 + str(number): 1, f"x{number}": 1} for number in range(100)]
    names = unread_inside(parse(messages=messages))
    assert len(names) == MAX_NAMES
    assert max(map(len, names)) == MAX_NAME_CHARS


def test_a_field_of_the_client_never_takes_the_place_of_what_we_write():
    extra = {"role": "system", "content": "other", "tool_calls": [], "function": {"name": "other", "x": 1}}
    message = Message(Role.ASSISTANT, (TextPart("x", {"type": "file"}),), (ToolCall("a", "f", "{}", extra=extra),), extra=extra)
    request = Request("m", (message,), (Tool("f", extra=extra),))
    body = json.loads(write_chat_body(request, ALL))
    [sent] = body["messages"]
    assert (sent["role"], sent["content"], sent["tool_calls"][0]["function"]["name"]) == ("assistant", "x", "f")
    assert (body["tools"][0]["function"]["name"], body["tools"][0]["function"]["x"]) == ("f", 1)


@pytest.mark.parametrize(
    ("conversation", "profile", "fields", "expected"),
    [
        ("s-1", ChatProfile(), {}, None),
        ("s-1", CACHED, {}, "s-1"),
        (None, CACHED, {}, None),
        ("s-1", CACHED, {"prompt_cache_key": "mine"}, "mine"),
        ("x" * 64, CACHED, {}, "x" * 64),
        ("x" * 65, CACHED, {}, hashlib.sha256(b"x" * 65).hexdigest()),
    ],
)
def test_a_conversation_is_the_key_of_its_cache(conversation, profile, fields, expected):
    request = msgspec.structs.replace(parse(**fields), conversation=conversation)
    assert json.loads(write_chat_body(request, profile)).get("prompt_cache_key") == expected


def test_the_prompt_for_the_estimate_holds_what_the_model_reads_and_a_line_for_an_image():
    text = prompt_text(parse(messages=[{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}], tools=[TOOL]))
    assert text == 'look\n[image]\nget_weather\nWeather of a city\n{"type":"object","properties":{"city":{"type":"string"}}}'


def test_the_prompt_for_the_estimate_holds_other_parts_and_grammars_too():
    text = prompt_text(parse(messages=[{"role": "user", "content": [{"type": "file"}]}], tools=[PATCH]))
    assert text == "[file]\npatch\nChanges files\nstart: /.+/"


TEXTS = TEXT.filter(bool)
# names of which none is read anywhere
UNREAD = st.dictionaries(st.sampled_from(["cache_control", "extra_content", "x", "é", "annotations", "signature"]), JSON, max_size=2)


def beside(*, at=(), **fields):
    """Objects of these fields, with others that nobody reads, also inside those of their objects whose names are given."""

    def joined(drawn, extra, *inside):
        return {**extra, **drawn, **{name: {**found, **drawn[name]} for name, found in zip(at, inside, strict=True)}}

    return st.builds(joined, st.fixed_dictionaries(fields), UNREAD, *(UNREAD for _ in at))


TEXT_PARTS = beside(type=st.just("text"), text=TEXTS)
IMAGES = beside(at=("image_url",), type=st.just("image_url"), image_url=st.just(IMAGE["image_url"]))
OTHERS = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(["file", "input_audio", "document"]), UNREAD)
SEVERAL = st.lists(TEXT_PARTS | IMAGES | OTHERS, min_size=1).filter(lambda parts: len(parts) > 1 or len(parts[0]) > 2 or parts[0]["type"] != "text")
FUNCTION_CALLS = beside(
    at=("function",), id=NAMES, type=st.just("function"), function=st.fixed_dictionaries({"name": NAMES, "arguments": TEXTS.filter(str.strip)})
)
CUSTOM_CALLS = beside(at=("custom",), id=NAMES, type=st.just("custom"), custom=st.fixed_dictionaries({"name": NAMES, "input": TEXT}))
CALL_LISTS = st.lists(FUNCTION_CALLS | CUSTOM_CALLS, min_size=1, max_size=3)
MESSAGES = st.one_of(
    beside(role=st.sampled_from(["system", "user", "assistant"]), content=TEXT | SEVERAL),
    beside(role=st.just("assistant"), content=st.none() | TEXTS | SEVERAL, tool_calls=CALL_LISTS, reasoning_content=TEXT, name=NAMES),
    beside(role=st.just("tool"), tool_call_id=NAMES, content=TEXT | SEVERAL),
)
FUNCTIONS = beside(
    at=("function",),
    type=st.just("function"),
    function=st.fixed_dictionaries(
        {"name": NAMES, "description": TEXTS, "parameters": st.just({"type": "object"})}, optional={"strict": st.booleans()}
    ),
)
FORMATS = beside(at=("grammar",), type=st.just("grammar"), grammar=st.fixed_dictionaries({"syntax": NAMES, "definition": TEXT}))
CUSTOM_TOOLS = beside(at=("custom",), type=st.just("custom"), custom=st.fixed_dictionaries({"name": NAMES}, optional={"format": FORMATS}))
OFFERED = st.lists(FUNCTIONS | CUSTOM_TOOLS, min_size=1, max_size=3, unique_by=lambda tool: tool[tool["type"]]["name"])
OPTIONAL = {
    "tools": OFFERED,
    "temperature": st.floats(0, 2),
    "max_tokens": st.integers(1, 10**6),
    "stop": st.lists(TEXTS, min_size=1, max_size=16),
    "reasoning_effort": st.sampled_from(["low", "high"]),
    "verbosity": st.sampled_from(["low", "high"]),
    "client_metadata": JSON,
    "response_format": beside(type=st.just("json_object"))
    | beside(at=("json_schema",), type=st.just("json_schema"), json_schema=st.fixed_dictionaries({"name": NAMES, "schema": st.just({})})),
}
BODIES = st.fixed_dictionaries({"model": NAMES, "messages": st.lists(MESSAGES, min_size=1, max_size=5)}, optional=OPTIONAL)


@given(BODIES)
def test_nothing_is_lost(body):
    request = parse_chat(json.dumps(body).encode())
    written = json.loads(write_chat_body(request, ALL))
    if any(notice.code == "tool_results_moved" for notice in request.notices):
        by_all = partial(json.dumps, sort_keys=True)
        body = {**body, "messages": sorted(body["messages"], key=by_all)}
        written["messages"].sort(key=by_all)
    assert written == {**body, **STREAMED}


@given(BODIES)
def test_what_is_not_passed_on_is_named(body):
    nothing = ChatProfile(pass_fields=())
    request = parse_chat(json.dumps(body).encode())
    assert [*not_passed(request, nothing)] == [name for name in body if name in ("temperature", "verbosity", "client_metadata")]
    plain = msgspec.structs.replace(request, extra={}, messages=(), tools=(), options=Options())
    assert not_passed_inside(plain, nothing) == ()
    assert parse_chat(write_chat_body(request, nothing)).tools == tuple(msgspec.structs.replace(tool, extra={}) for tool in request.tools)
    assert unread_inside(parse_chat(write_chat_body(request, nothing))) == ()
