"""The table of parameters: every row is enumerated, so that a new one is tested when it is written."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.parameters import ANY_OTHER, BY_NAME, PARAMETERS
from pipeline.parse.chat import Envelope, parse_chat
from pipeline.parse.options import OptionFields
from tests.support.chat_bodies import TOOL, encode, parse, refused

ROWS = tuple(BY_NAME.values())
READ_ELSEWHERE = {"messages", "tools", "tool_choice", "functions", "function_call"}
WITH_SHAPE = [row.name for row in ROWS if not isinstance(row.shape, str)]

# a value of the right type that asks for something
GOOD = {
    "temperature": 0.5,
    "top_p": 1,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "logit_bias": {"50256": -100},
    "seed": 12345678901234567890,
    "user": "u-1",
    "metadata": {"run": "7"},
    "store": False,
    "service_tier": "flex",
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "web_search_options": {},
}
ASKS = {"n": 2, "logprobs": True, "top_logprobs": 5, "audio": {"voice": "alloy"}, "modalities": ["text", "audio"], "background": True}
OUTSIDE = [
    *((name, value) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") for value in (0, -1, 10**40)),
    ("temperature", 2.01),
    ("temperature", -0.1),
    ("temperature", 10**300),
    ("top_p", 1.5),
    ("presence_penalty", 2.5),
    ("frequency_penalty", -2.5),
    ("logit_bias", {"1": 3, "2": 101}),
    ("top_logprobs", 21),
    ("top_logprobs", -1),
    ("n", 0),
    ("n", 129),
]


def test_every_parameter_that_is_read_has_a_row_and_the_others_are_kept_or_rejected():
    read = {*OptionFields.__struct_fields__, *Envelope.__struct_fields__, *READ_ELSEWHERE}
    assert {row.name for row in ROWS if not row.is_kept and not row.is_rejected} == read


def test_the_last_row_stands_for_all_others_and_rows_of_one_name_check_alike():
    assert PARAMETERS[-1].name == ANY_OTHER
    assert [row.name for row in PARAMETERS].count(ANY_OTHER) == 1
    assert len({(row.name, row.values) for row in PARAMETERS}) == len(PARAMETERS)
    checks = {(row.name, row.low, row.high, repr(row.harmless), repr(row.shape)) for row in PARAMETERS}
    assert len(checks) == len(ROWS) + 1


def test_the_samples_cover_the_table():
    assert set(GOOD) == {row.name for row in ROWS if row.is_kept}
    assert set(ASKS) == {row.name for row in ROWS if row.is_rejected}
    assert {name for name, _ in OUTSIDE} == {row.name for row in ROWS if row.low is not None}


def test_what_no_parser_reads_is_kept_in_the_client_s_order():
    assert list(parse(**GOOD).extra.items()) == list(GOOD.items())
    assert list(parse(user="u", temperature=1, seed=3).extra) == ["user", "temperature", "seed"]


# fields -> what is named because nobody gets it
NOT_READ = [
    ({"max_completion_tokens": 6, "max_tokens": 5}, ["max_tokens"]),
    ({"max_completion_tokens": 6, "max_output_tokens": 7, "max_tokens": 6}, ["max_output_tokens"]),
    ({"max_completion_tokens": 6, "max_tokens": 6}, []),
    ({"response_format": {"type": "json_object"}, "text": {"format": {"type": "text"}}}, ["text.format"]),
    ({"response_format": {"type": "text"}, "text": {"format": {"type": "text"}}}, []),
    ({"verbosity": "low", "text": {"verbosity": "high"}}, ["text.verbosity"]),
    ({"verbosity": "low", "text": {"verbosity": "low"}}, []),
    ({"reasoning_effort": "low", "reasoning": {"effort": "high", "enabled": True}}, ["reasoning.effort"]),
    ({"reasoning": {"effort": "high", "summary": "auto", "max_tokens": None, "exclude": False}}, ["reasoning.summary"]),
    ({"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}}, ["stream_options.include_obfuscation"]),
    ({"text": {"format": {"type": "text"}, "x": 1}}, ["text.x"]),
    ({"text": {"format": {"type": "json_schema", "schema": {}, "x": 1, "y": None}}}, ["text.format.x"]),
    ({"text": {"format": {"type": "json_schema", "json_schema": {"schema": {}, "x": 1}, "y": 1}}}, ["text.format.y", "text.format.json_schema.x"]),
    ({"reasoning": True, "stream_options": None, "text": {}}, []),
    ({"tools": [TOOL], "tool_choice": "none", "function_call": "auto"}, ["function_call"]),
    ({"tools": [TOOL], "tool_choice": None, "function_call": "auto"}, []),
]


@pytest.mark.parametrize(("fields", "names"), NOT_READ, ids=str)
def test_what_nobody_reads_is_named(fields, names):
    assert list(parse(**fields).ignored) == names


def test_verbosity_has_two_spellings():
    request = parse(text={"verbosity": "low"})
    assert (request.options.verbosity, request.extra) == ("low", {})
    request = parse(text={"verbosity": "low"}, verbosity="high")
    assert (request.options.verbosity, request.extra) == (None, {"verbosity": "high"})
    assert refused(text={"verbosity": 3}).param == "text.verbosity"


def test_unknown_fields_are_kept_and_not_judged():
    unknown = {"client_metadata": {"a": [1, None]}, "include": None, "prompt_cache_key": 7}
    request = parse(**unknown)
    assert (request.extra, request.ignored) == (unknown, ())


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "messages"])
def test_null_means_absent(name):
    request = parse(**{name: None})
    assert (request.extra, request.ignored, request.notices) == ({}, (), ())


@pytest.mark.parametrize(("name", "value"), ASKS.items())
def test_rejected(name, value):
    error = refused(UnsupportedParameter, **{name: value})
    assert (error.param, error.code) == (name, "unsupported_parameter")
    assert error.message.endswith(".")


@pytest.mark.parametrize(("name", "value"), [(row.name, value) for row in ROWS for value in row.harmless])
def test_a_rejected_parameter_that_asks_for_nothing_passes(name, value):
    request = parse(**{name: value})
    assert (request.extra, request.ignored) == ({}, ())


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_out_of_range(name, value):
    error = refused(**{name: value})
    assert error.param == name
    assert "must be between" in error.message or "out of range" in error.message


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_wrong_type(name):
    wrong = 3 if name in ("user", "service_tier", "verbosity", "audio", "metadata", "prediction", "web_search_options") else "wrong"
    assert refused(**{name: wrong}).param == name


@pytest.mark.parametrize("row", [row for row in ROWS if row.shape in (int, float)], ids=lambda row: row.name)
def test_a_boolean_is_no_number(row):
    assert refused(**{row.name: True}).param == row.name


def test_the_first_fault_is_the_one_reported_whatever_the_messages_say():
    assert refused(UnsupportedParameter, n=3, messages=[]).param == "n"


def test_agent_and_conversation_come_from_the_route():
    request = parse_chat(encode(), agent=True, conversation="c-1")
    assert (request.agent, request.conversation) == (True, "c-1")
    assert (parse().agent, parse().conversation) == (False, None)


# response_format -> what nobody reads of it
FORMATS = [
    ({"type": "json_object", "schema": {}, "strict": None}, {"schema": {}}),
    ({"type": "json_schema", "json_schema": {"schema": {}, "x": None}, "strict": True}, {"strict": True, "json_schema": {"x": None}}),
    ({"type": "json_schema", "schema": {}, "strict": True, "x": 1}, {"x": 1}),
    ({"type": "text", "x": None}, {"x": None}),
    ({"type": "json_schema", "json_schema": {"schema": {}, "name": None}, "strict": None}, {}),
]


@pytest.mark.parametrize(("asked", "extra"), FORMATS, ids=str)
def test_what_nobody_reads_of_the_format_stays_with_it(asked, extra):
    request = parse(response_format=asked)
    assert (request.options.answer_format.extra, request.ignored) == (extra, ())
