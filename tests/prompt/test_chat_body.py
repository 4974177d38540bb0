"""write_chat_body: a client's Chat request reaches the upstream as it was, and never chooses where it goes."""

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnsupportedParameter
from pipeline.parse.chat import parse_chat
from pipeline.prompt.chat_body import DENIED_FIELDS, DENIED_PREFIXES, NO_PARAMETERS, OWN_FIELDS, ChatProfile, left_out, prompt_text, write_chat_body
from pipeline.request import Message, Request, Role, TextPart
from tests.support.chat_bodies import JSON, NAMES, TEXT, TOOL, USER, WEATHER, parse

ALL = ChatProfile()
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def written(profile: ChatProfile = ALL, **fields):
    return json.loads(write_chat_body(parse(**fields), profile))


def codes(profile: ChatProfile = ALL, **fields) -> list[tuple[str, str]]:
    return [(notice.code, notice.detail) for notice in left_out(parse(**fields), profile)]


CALLS = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oban"}'}}]
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
        (ChatProfile(verbosity=False), {"verbosity": "low"}, ["field_not_forwarded"]),
        (ChatProfile(prompt_cache_key=False), {"prompt_cache_key": "k"}, ["field_not_forwarded"]),
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


def test_the_prompt_for_the_estimate_holds_what_the_model_reads_and_a_line_for_an_image():
    text = prompt_text(parse(messages=[{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}], tools=[TOOL]))
    assert text == 'look\n[image]\nget_weather\nWeather of a city\n{"type":"object","properties":{"city":{"type":"string"}}}'


TEXTS = TEXT.filter(bool)
PARTS = st.builds(lambda text: {"type": "text", "text": text}, TEXTS) | st.just(IMAGE)
CALL = st.builds(lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}}, NAMES, NAMES, TEXTS.filter(str.strip))
MESSAGES = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user", "assistant"]), TEXT | st.lists(PARTS, min_size=2)
    ),
    st.builds(lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls}, st.none() | TEXTS, st.lists(CALL, min_size=1)),
    st.builds(lambda i, content: {"role": "tool", "tool_call_id": i, "content": content}, NAMES, TEXT),
)
OFFERED = st.lists(NAMES, min_size=1, unique=True).map(
    lambda names: [{"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object"}}} for name in names]
)
OPTIONAL = {
    "tools": OFFERED,
    "temperature": st.floats(0, 2),
    "max_tokens": st.integers(1, 10**6),
    "stop": st.lists(TEXTS, min_size=1, max_size=16),
    "reasoning_effort": st.sampled_from(["low", "high"]),
    "client_metadata": JSON,
}


@given(st.fixed_dictionaries({"model": NAMES, "messages": st.lists(MESSAGES, min_size=1, max_size=5)}, optional=OPTIONAL))
def test_nothing_is_lost(body):
    request = parse_chat(json.dumps(body).encode())
    written = json.loads(write_chat_body(request, ALL))
    if any(notice.code == "tool_results_moved" for notice in request.notices):
        by_all = partial(json.dumps, sort_keys=True)
        body = {**body, "messages": sorted(body["messages"], key=by_all)}
        written["messages"].sort(key=by_all)
    assert written == {**body, **STREAMED}
