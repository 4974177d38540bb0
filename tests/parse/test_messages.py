"""parse_messages: the fields of a body, tools and choice, sessions, and what is said of what is left out."""

import json

import pytest

from pipeline.errors import MalformedBody, RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.messages_fields import LEFT_OUT
from pipeline.parse.messages import parse_messages
from pipeline.request import AnswerFormat, ToolChoice, ToolMode
from tests.support.messages_requests import BASH, CACHED, HELLO, WEB_SEARCH, claude_code_body, encode, parse, refused, request_of

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}}

# -- parameters ------------------------------------------------------------------------------------------------------------------------------------


def test_a_body_of_claude_code_is_read_whole():
    parsed = parse_messages(json.dumps(claude_code_body()).encode())
    request = parsed.request
    assert [message.role.value for message in request.messages] == ["system", "user", "system", "assistant", "tool", "tool", "tool", "user"]
    assert [message.tool_call_id for message in request.messages if message.tool_call_id] == ["toolu_2", "toolu_1", "toolu_3"]
    assert [message.is_error for message in request.messages if message.tool_call_id] == [True, False, False]
    assert [tool.name for tool in request.tools] == ["Bash", "Read", "ToolSearch", "WebSearch"]
    assert (request.stream, request.include_usage, request.agent, request.options.max_tokens) == (True, True, True, 32_000)
    assert (request.options.reasoning, request.options.reasoning_effort, request.options.reasoning_budget) == (True, "high", None)
    assert request.ignored == ("context_management",)
    assert request.notices == ()
    assert parsed.session == "f08b50e5-123a-4338-8821-ac6b64710a6f"
    assert request.extra.keys() == {"metadata", "thinking", "output_config"}
    assert request.dialect == "anthropic"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"temperature": 1.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["a", 3]}, "stop_sequences[1]"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences"),
        ({"model": 3}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": "me"}, "metadata"),
        ({"metadata": {"user_id": 3}}, "metadata.user_id"),
        ({"thinking": "on"}, "thinking"),
        ({"thinking": {"type": "much"}}, "thinking.type"),
        ({"thinking": {"budget_tokens": 2048}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": "2048"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"output_config": 3}, "output_config"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"schema": {}}}, "output_format.type"),
        ({"cache_control": "yes"}, "cache_control"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"content": "Hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "model", "content": "Hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": []}]}, "messages"),
        ({"system": 3}, "system"),
        ({"system": [{"type": "thinking", "thinking": "Hm."}]}, "system[0].type"),
    ],
)
def test_wrong_types_and_ranges_name_the_field(fields, param):
    assert refused(**fields).param == param


def test_what_is_not_json_is_said_to_be_none():
    with pytest.raises(MalformedBody):
        parse_messages(b'{"messages": [')
    with pytest.raises(MalformedBody):
        parse_messages(b'{"messages":' + b"[" * 200 + b"]" * 200 + b"}")


@pytest.mark.parametrize(("name", "value"), [("n", 2), ("logprobs", True), ("audio", {"voice": "x"})])
def test_what_no_upstream_can_do_is_refused_here_too(name, value):
    assert refused(UnsupportedParameter, **{name: value}).param == name


def test_a_count_of_tokens_needs_no_limit():
    body = json.dumps({"model": "m", "messages": [HELLO]}).encode()
    assert parse_messages(body, for_count=True).request.options.max_tokens is None
    with pytest.raises(RequestError, match="max_tokens is required"):
        parse_messages(body)


@pytest.mark.parametrize(
    ("body", "route"),
    [
        ({"input": "Hello"}, "/v1/responses"),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "ok"}]}, "/v1/chat/completions"),
        ({"messages": [{"role": "developer", "content": "Be brief."}]}, "/v1/chat/completions"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}]}, "/v1/chat/completions"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}, "/v1/chat/completions"),
        ({"messages": [HELLO], "tools": [{"type": "function", "function": {"name": "now"}}]}, "/v1/chat/completions"),
    ],
)
def test_a_body_of_another_api_is_told_where_it_belongs(body, route):
    with pytest.raises(RequestError, match=route):
        parse_messages(json.dumps({"max_tokens": 9, **body}).encode())


def test_what_only_an_upstream_of_the_same_api_takes_stays_as_sent():
    fields = {
        "temperature": 0.5,
        "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
        "metadata": {"user_id": "me", "x": 1},
        "cache_control": {"type": "ephemeral"},
        "output_config": {"effort": "max", "task_budget": {"type": "tokens", "total": 9}},
        "something_new": {"a": 1},
    }
    request = request_of(**fields)
    assert request.extra == fields
    assert request.ignored == ()


def test_what_no_upstream_gets_is_named():
    given: dict[str, object] = dict.fromkeys(LEFT_OUT, "x")
    request = request_of(**given | {"betas": []}, reasoning_effort="low", stop="END", n=1)
    assert set(request.ignored) == (LEFT_OUT - {"betas"}) | {"reasoning_effort", "stop"}
    assert request.extra == {}


def test_a_field_of_chat_completions_that_nobody_reads_is_kept():
    request = request_of(seed=7, user="me")
    assert request.extra == {"seed": 7, "user": "me"}
    assert refused(seed="x").param == "seed"


def test_stop_sequences_are_stop():
    request = request_of(stop_sequences=["END", ""])
    assert request.options.stop == ("END",)
    assert [notice.code for notice in request.notices] == ["empty_stop"]


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_the_form_of_the_answer(place):
    asked = {"type": "json_schema", "schema": SCHEMA, "x": 1}
    request = request_of(**({"output_config": {"effort": "low", "format": asked}} if place == "output_config" else {"output_format": asked}))
    path = "output_config.format.schema" if place == "output_config" else "output_format.schema"
    assert request.options.answer_format == AnswerFormat("json_schema", SCHEMA, path=path, extra={"x": 1})
    assert request.extra == ({"output_config": {"effort": "low"}} if place == "output_config" else {})


def test_of_two_forms_of_the_answer_the_newer_place_counts():
    new, old = {"type": "json_schema", "schema": SCHEMA}, {"type": "json_schema", "schema": {}}
    request = request_of(output_config={"format": new}, output_format=old)
    assert request.options.answer_format.schema == SCHEMA
    assert request.ignored == ("output_format",)
    assert request_of(output_config={"format": new}, output_format=new).ignored == ()


@pytest.mark.parametrize(
    ("thinking", "config", "expected"),
    [
        (None, None, (False, None, None)),
        (None, {"effort": "high"}, (False, None, "high")),
        ({"type": "disabled"}, {"effort": "high"}, (False, None, None)),
        ({"type": "disabled"}, None, (False, None, None)),
        ({"type": "adaptive"}, None, (True, None, "medium")),
        ({"type": "between_tools"}, None, (True, None, "medium")),
        ({"type": "adaptive", "display": "omitted"}, {"effort": "max"}, (True, None, "xhigh")),
        ({"type": "enabled", "budget_tokens": 4095}, None, (True, 4095, "low")),
        ({"type": "enabled", "budget_tokens": 4096}, None, (True, 4096, "medium")),
        ({"type": "enabled", "budget_tokens": 16_383}, None, (True, 16_383, "medium")),
        ({"type": "enabled", "budget_tokens": 16_384}, None, (True, 16_384, "high")),
        ({"type": "enabled", "budget_tokens": 2**31 - 1}, None, (True, 2**31 - 1, "high")),
        ({"type": "enabled", "budget_tokens": 1024}, {"effort": "high"}, (True, 1024, "high")),
    ],
)
def test_thinking_is_reasoning(thinking, config, expected):
    options = request_of(thinking=thinking, output_config=config).options
    assert (options.reasoning, options.reasoning_budget, options.reasoning_effort) == expected


# -- tools -----------------------------------------------------------------------------------------------------------------------------------------


def test_a_tool_keeps_its_schema_and_what_nobody_reads():
    schema = {"$schema": "x", "anyOf": []}
    [tool] = request_of(tools=[{"type": "custom", "name": "a", "input_schema": schema, "strict": True, "defer_loading": True, **CACHED}]).tools
    assert (tool.name, tool.parameters, tool.strict, tool.custom) == ("a", schema, True, False)
    assert tool.extra == {"defer_loading": True, **CACHED}


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"name": "a"}], "tools[0].input_schema"),
        ([{"input_schema": {}}], "tools[0].name"),
        ([{"name": " ", "input_schema": {}}], "tools[0].name"),
        ([BASH, BASH], "tools[1].name"),
        ([{"name": "a", "input_schema": [1]}], "tools[0].input_schema"),
        ([{"name": "a", "input_schema": {}, "strict": "yes"}], "tools[0].strict"),
        ([{"name": "a", "input_schema": {}, "description": 3}], "tools[0].description"),
        ([{"type": "magic", "name": "a"}], "tools[0].type"),
        ([3], "tools[0]"),
        ({}, "tools"),
    ],
)
def test_what_is_no_tool_is_refused(tools, param):
    assert refused(tools=tools).param == param


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("web_search_20250305", "web_search"),
        ("bash_20250124", "bash"),
        ("text_editor_20250728", "text_editor"),
        ("computer_20251124", "computer"),
        ("memory_20250818", "memory"),
        ("mcp_toolset", "mcp"),
        ("novelty_20270101", "a typed tool"),
    ],
)
def test_a_typed_tool_is_left_out_with_a_notice(kind, word):
    request = request_of(tools=[{"type": kind, "name": "x"}, BASH])
    assert [tool.name for tool in request.tools] == ["Bash"]
    assert request.notices == (Notice("hosted_tool_ignored", f"{word} is a tool of Anthropic's own models and servers"),)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
        ({"type": "any"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "tool", "name": "Bash"}, ToolChoice(ToolMode.FUNCTION, "Bash")),
    ],
)
def test_the_choice(choice, expected):
    assert request_of(tools=[BASH], tool_choice=choice).tool_choice == expected


def test_one_call_at_a_time():
    assert request_of(tools=[BASH]).options.parallel_tool_calls
    assert not request_of(tools=[BASH], tool_choice={"type": "auto", "disable_parallel_tool_use": True}).options.parallel_tool_calls


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "web_search"}, {"type": "any"}])
def test_a_choice_of_what_was_left_out_is_none(choice):
    request = request_of(tools=[WEB_SEARCH], tool_choice=choice)
    assert (request.tools, request.tool_choice) == ((), ToolChoice())
    assert [notice.code for notice in request.notices] == ["hosted_tool_ignored", "tool_choice_dropped"]


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("auto", "tool_choice"),
        ({"name": "Bash"}, "tool_choice.type"),
        ({"type": "function", "name": "Bash"}, "tool_choice.type"),
        ({"type": "tool"}, "tool_choice.name"),
        ({"type": "tool", "name": "Read"}, "tool_choice.name"),
        ({"type": "auto", "disable_parallel_tool_use": 1}, "tool_choice.disable_parallel_tool_use"),
    ],
)
def test_a_choice_without_meaning_is_refused(choice, param):
    assert refused(tools=[BASH], tool_choice=choice).param == param


def test_any_tool_of_none_is_refused_and_other_keys_are_named():
    assert refused(tool_choice={"type": "any"}).param == "tool_choice"
    assert request_of(tools=[BASH], tool_choice={"type": "auto", "x": 1}).ignored == ("tool_choice.x",)


# -- the session -----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        (None, None),
        ("", None),
        ("someone", "someone"),
        ("user_ab12_account_cd34_session_f08b50e5-123a", "f08b50e5-123a"),
        ("user_ab12_account__session_", "user_ab12_account__session_"),
        ('{"device_id": "a", "session_id": "f08b"}', "f08b"),
        ('{"session_id": ""}', '{"session_id": ""}'),
        ('{"session_id": 3}', '{"session_id": 3}'),
        ("{not json", "{not json"),
        ('{"a":' * 3000, '{"a":' * 3000),
    ],
)
def test_the_session_of_a_user(user_id, session):
    parsed = parse(metadata={"user_id": user_id})
    assert parsed.session == session
    assert parsed.request.conversation is None


def test_what_the_route_knows_is_in_the_request():
    request = parse_messages(encode(), agent=True, conversation="c").request
    assert (request.agent, request.conversation) == (True, "c")
    assert not parse_messages(encode()).request.agent


def test_a_thread_is_refused_in_the_api_s_own_words():
    for thread in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        with pytest.raises(UnsupportedParameter) as refused:
            parse_messages(json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "thread": thread}).encode())
        assert (refused.value.code, refused.value.param) == ("thread_unsupported_request", "thread")


def test_a_compaction_is_refused_in_the_api_s_own_words_and_is_no_matter_for_a_count():
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(UnsupportedParameter) as refused:
        parse_messages(json.dumps(body | {"compaction": {"type": "summarize"}}).encode())
    assert (refused.value.code, refused.value.param) == ("compaction_unavailable", "compaction")
    counted = parse_messages(json.dumps(body | {"compaction": {"type": "summarize"}}).encode(), for_count=True)
    assert counted == parse_messages(json.dumps(body).encode(), for_count=True)
    assert parse_messages(json.dumps(body | {"compaction": None}).encode()) == parse_messages(json.dumps(body).encode())
