"""parse_responses: parameters, options, the echo and the listing, and what holds of every body."""

import copy
import time
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseItem
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from pipeline.echo import Echo
from pipeline.errors import UnsupportedParameter
from pipeline.parameters import BY_NAME
from pipeline.parse.chat import parse_chat
from pipeline.parse.responses import ONLY_OPENAI, READ_HERE, STORED_AT_OPENAI, Envelope, parse_responses
from pipeline.request import AnswerFormat, ContextRule, ImagePart, Message
from tests.support.chat_bodies import JSON
from tests.support.responses_requests import (
    CRM,
    FIND,
    PATCH,
    PNG,
    as_chat,
    as_responses,
    call,
    conversations,
    encode,
    output,
    parse,
    parsed_or_refused,
    refused,
    request_of,
    said,
    thought,
)

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}


# -- parameters ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("background", True), ("conversation", "conv_1"), ("conversation", {"id": "c"}), ("prompt", {"id": "p"}), ("top_logprobs", 2), ("n", 2)],
)
def test_what_cannot_be_had_is_refused(name, value):
    assert refused(UnsupportedParameter, **{name: value}).param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("max_output_tokens", 0),
        ("max_output_tokens", "9"),
        ("instructions", ["x"]),
        ("previous_response_id", 3),
        *(
            (name, 3)
            for name in ("model", "metadata", "include", "prompt_cache_key", "safety_identifier", "service_tier", "user", "reasoning", "text")
        ),
        *((name, "yes") for name in ("stream", "store", "background", "parallel_tool_calls", "max_tool_calls", "stream_options")),
        ("truncation", "some"),
        ("truncation", 3),
        ("input", {}),
        ("input", 3),
    ],
)
def test_wrong_types_and_ranges_name_the_field(name: str, value: object):
    assert refused(**{name: value}).param == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"reasoning": {"summary": True}}, "reasoning.summary"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"verbosity": 3}}, "text.verbosity"),
        ({"include": [3]}, "include[0]"),
        ({"stream_options": {"include_obfuscation": 3}}, "stream_options.include_obfuscation"),
    ],
)
def test_wrong_types_inside_objects(fields, param):
    assert refused(**fields).param == param


NOTHING_SAID: dict[str, Any] = dict.fromkeys([*get_type_hints(ResponseCreateParamsStreaming), "messages"])


def test_null_says_nothing():
    said_null, said_nothing = parse(**(NOTHING_SAID | {"input": "Hello", "model": "composer-2.5"})), parse()
    assert (said_null.request, said_null.echo) == (said_nothing.request, said_nothing.echo)


def test_every_parameter_of_the_official_package_has_a_fate():
    read = {*Envelope.__struct_fields__, *READ_HERE, *ONLY_OPENAI, *STORED_AT_OPENAI, *BY_NAME}
    passed_on = {"prompt_cache_options", "prompt_cache_retention"}  # which an upstream of the same dialect takes as they are
    assert get_type_hints(ResponseCreateParamsStreaming).keys() - read == passed_on


def test_unknown_fields_are_kept_and_those_of_openai_are_named():
    request = request_of(
        **{"top_k": 5, "user": "ann", "metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k", "safety_identifier": "s"},
        **{
            "include": ["reasoning.encrypted_content"],
            "max_tool_calls": 3,
            "client_metadata": {"a": "b"},
            "context_management": [],
            "functions": [FIND],
        },
    )
    assert request.extra == {"top_k": 5, "user": "ann", "metadata": {"a": "b"}, "prompt_cache_key": "k", "safety_identifier": "s"}
    assert request.ignored == ("include", "max_tool_calls", "client_metadata", "functions")


def test_the_envelope():
    parsed = parse_responses(encode(stream=True), agent=True, conversation="c")
    assert (parsed.request.stream, parsed.request.agent, parsed.request.conversation, parsed.request.model) == (True, True, "c", "composer-2.5")
    assert parse_responses(b'{"input": "Hello"}').request.model == ""


# -- options ---------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasoning", "effort", "shown", "ignored"),
    [
        (None, None, False, ()),
        ({}, None, False, ()),
        ({"effort": "high"}, "high", False, ()),
        ({"effort": "high", "summary": "auto"}, "high", True, ()),
        ({"summary": "auto"}, None, True, ()),
        ({"summary": "detailed"}, None, True, ("reasoning.summary",)),
        ({"generate_summary": "auto"}, None, True, ()),
        ({"summary": "none"}, None, False, ()),
        ({"effort": "none", "summary": "auto"}, "none", False, ()),
        ({"summary": None, "mode": "x", "context": None}, None, False, ("reasoning.mode",)),
    ],
)
def test_a_summary_that_is_asked_for_shows_reasoning(reasoning, effort, shown, ignored):
    parsed = parse(reasoning=reasoning)
    options = parsed.request.options
    assert (options.reasoning_effort, options.reasoning, parsed.request.ignored) == (effort, shown, ignored)
    assert parsed.echo.reasoning["effort"] == effort


def test_the_format_of_the_answer():
    wished = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}
    parsed = parse(text={"format": wished, "verbosity": "low"}, max_output_tokens=9)
    options = parsed.request.options
    assert options.answer_format == AnswerFormat("json_schema", SCHEMA, "answer", strict=True, path="text.format.schema")
    assert (options.verbosity, options.max_tokens, parsed.request.ignored) == ("low", 9, ())
    assert parsed.echo.text == {"format": {**wished, "description": None}, "verbosity": "low"}
    assert parse(text={"format": {"type": "json_object"}}).echo.text == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(("word", "overflow"), [(None, None), ("auto", "trim"), ("disabled", "error")])
def test_truncation_is_the_rule_of_this_request(word, overflow):
    parsed = parse(truncation=word)
    assert parsed.request.context == ContextRule(overflow=overflow)
    assert parsed.echo.truncation == (word or "disabled")


def test_stream_options():
    assert request_of(stream_options={"include_obfuscation": False}).ignored == ()
    assert request_of(stream_options={"include_obfuscation": True, "x": 1}).ignored == ("stream_options.x", "stream_options.include_obfuscation")


# -- the echo and the listing ----------------------------------------------------------------------------------------------------------------------


def test_the_echo_of_a_request_that_says_nothing_has_the_values_of_the_schema():
    assert parse().echo == Echo()


SAYING = {
    "instructions": "Be brief.",
    "max_output_tokens": 9,
    "max_tool_calls": 2,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "concise"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "temperature": 0.5,
    "text": {"format": {"type": "json_object"}, "verbosity": "high"},
    "tool_choice": {"type": "function", "name": "find"},
    "top_p": 1,
    "truncation": "auto",
    "user": "ann",
    "frequency_penalty": 1.5,
    "presence_penalty": -1,
}


def test_the_echo_is_what_the_client_said():
    echo = parse(**SAYING, tools=[FIND]).echo
    assert {name: getattr(echo, name) for name in SAYING} == SAYING
    assert (echo.tools, echo.top_logprobs, echo.background) == ((FIND,), 0, False)


@pytest.mark.parametrize("fields", [{}, {**SAYING, "tools": [FIND, PATCH, CRM, {"type": "web_search"}]}], ids=["nothing", "all"])
def test_the_echo_is_what_the_official_client_reads(fields):
    echo = msgspec.to_builtins(parse(**fields).echo)
    del echo["namespaces"]
    answer = {"id": "resp_1", "object": "response", "created_at": 1.0, "model": "m", "output": [], **echo, "tools": list(echo["tools"])}
    Response.model_validate(answer, strict=True)


def test_the_listing_is_what_the_official_client_reads():
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": PNG, "detail": "low"}]},
        thought("Hm."),
        {"role": "assistant", "content": "Hello"},
        said("Again", id="msg_1"),
        call("a", id="fc_1"),
        output("a"),
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "x"},
    ]
    before = copy.deepcopy(items)
    listed = parse(input=items).input_items
    assert items == before
    for item in listed:
        TypeAdapter(ResponseItem).validate_python(item, strict=True)
    assert [item["id"].partition("_")[0] for item in listed] == ["msg", "msg", "rs", "msg", "msg", "fc", "fco", "ctc", "ctco"]
    assert (listed[4]["id"], listed[5]["id"]) == ("msg_1", "fc_1")


@given(st.lists(st.sampled_from(["msg_1", "msg_2", None, ""]), min_size=1, max_size=6))
def test_no_two_items_of_a_listing_have_one_id(ids):
    listed = parse(input=[{"role": "user", "content": "x", "id": each} for each in ids]).input_items
    assert len({item["id"] for item in listed}) == len(ids)
    first = {each: index for index, each in reversed(list(enumerate(ids))) if each}
    assert all(listed[index]["id"] == each for each, index in first.items())
    assert parse(input=[{"role": "user", "content": "x", "id": each} for each in ids]).input_items == listed


# -- properties ------------------------------------------------------------------------------------------------------------------------------------


def without_places(message: Message) -> Message:
    """A message whose images do not know where they stood."""
    parts = tuple(msgspec.structs.replace(part, path="") if isinstance(part, ImagePart) else part for part in message.parts)
    return msgspec.structs.replace(message, parts=parts)


@settings(deadline=None, max_examples=150)  # a busy machine is not a failure
@given(conversations())
def test_a_conversation_is_the_same_in_both_apis(conversation):
    chat = parse_chat(encode(input=None, **as_chat(conversation)))
    responses = parse(**as_responses(conversation)).request
    assert [without_places(message) for message in responses.messages] == list(chat.messages)
    assert responses.tools == chat.tools
    assert responses.tool_choice == chat.tool_choice
    assert [notice.code for notice in responses.notices] == [notice.code for notice in chat.notices]


NAMES = [
    *("type", "role", "content", "text", "id", "call_id", "name", "namespace", "arguments", "input", "output", "summary", "encrypted_content"),
    *("image_url", "detail", "refusal", "parameters", "format", "syntax", "definition", "strict", "description", "tools", "mode", "schema"),
    *("annotations", "phase", "effort", "generate_summary", "verbosity", "status", "tool_calls"),
]
WORDS = [
    *("message", "user", "assistant", "system", "developer", "function", "function_call", "custom_tool_call", "function_call_output", "reasoning"),
    *("item_reference", "compaction", "input_text", "output_text", "input_image", "input_file", "refusal", "custom", "namespace", "grammar", "lark"),
    *("allowed_tools", "auto", "none", "required", "mcp", "web_search", "find", "crm", "a", "json_schema", "disabled", PNG),
]
VALUES = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-1, 2) | st.just(1.5) | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=14,
)
TOP = [*get_type_hints(ResponseCreateParamsStreaming), "messages", "functions"]


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_any_json_is_parsed_or_a_request_error(body):
    parsed_or_refused(body)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(TOP), VALUES, max_size=5), st.booleans())
def test_any_values_at_the_top_are_parsed_or_a_request_error(body, has_input):
    parsed_or_refused({"input": "Hello", **body} if has_input else body)


@settings(deadline=None, max_examples=400)
@given(conversations(), VALUES, st.data())
def test_one_value_spoiled_is_parsed_or_a_request_error(conversation, value, data):
    body = copy.deepcopy(as_responses(conversation) | SAYING | {"tools": [FIND, PATCH, CRM]})
    here: Any = {"": body}
    key: Any = ""
    while isinstance(here[key], (dict, list)) and here[key] and (here is not body or data.draw(st.integers(0, 4))):
        here = here[key]
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
    here[key] = value
    parsed_or_refused(body)


def long_body(turns: int, text_bytes: int = 40) -> bytes:
    """A conversation with everything that takes work: folding, namespaces, results far away, ids that repeat, an offer of many tools."""
    items: list[dict[str, Any]] = [{"role": "user", "content": "x" * text_bytes}]
    for number in range(turns):
        items += [thought("z" * 40), said("y" * 40), call(f"c{number}", f"t{number % 50}", namespace="crm")]
    items += [output(f"c{number}", "o" * 40) for number in reversed(range(turns))]
    tools = [{"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": f"t{number}"} for number in range(turns)]}]
    allowed = [{"type": "function", "name": f"t{number}", "namespace": "crm"} for number in range(turns)]
    return encode(input=items, tools=tools, tool_choice={"type": "allowed_tools", "tools": allowed})


def seconds(body: bytes) -> float:
    took: list[float] = []
    for _ in range(3):
        began = time.process_time()
        parse_responses(body)
        took.append(time.process_time() - began)
    return min(took)


def test_the_time_is_linear_in_the_number_of_items_and_tools():
    assert seconds(long_body(2000)) < 8 * 3 * max(seconds(long_body(250)), 0.001)


def offer(tools: int, *, spaces: int, entry: dict[str, Any]) -> bytes:
    """Many tools in namespaces, and a choice that names the same of them as often."""
    inside = [{"type": "function", "name": f"t{number}"} for number in range(tools // spaces)]
    entries = [{"type": "namespace", "name": f"n{number}", "tools": inside} for number in range(spaces)]
    return encode(tools=entries, tool_choice={"type": "allowed_tools", "tools": [entry] * tools})


@pytest.mark.parametrize("is_space", [True, False], ids=["a namespace", "a name that many namespaces have"])
def test_naming_many_tools_many_times_takes_linear_time(is_space):
    def took(tools: int) -> float:
        entry = {"type": "namespace", "name": "n0"} if is_space else {"type": "function", "name": "t0"}
        return seconds(offer(tools, spaces=1 if is_space else tools, entry=entry))

    long = took(8000)
    assert long < 8 * 3 * max(took(1000), 0.001)
    assert long < 1


def test_a_choice_of_one_name_that_many_namespaces_have_takes_linear_time():
    def took(tools: int) -> float:
        entries = [{"type": "namespace", "name": f"n{number}", "tools": [{"type": "function", "name": "t"}]} for number in range(tools)]
        return seconds(encode(tools=entries, tool_choice={"type": "function", "name": "t"}))

    assert took(8000) < 8 * 3 * max(took(1000), 0.001)


def test_a_body_of_four_megabytes_is_parsed_at_once():
    body = long_body(300, 4 * 2**20)
    assert len(body) > 4 * 2**20
    assert seconds(body) < 0.6


def test_a_conversation_of_too_many_items_is_refused():
    assert refused(input=[{"role": "user", "content": "x"}] * 10_001).param == "input"
    assert refused(input=[{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 5_001}] * 2).param == "input[1].content"
