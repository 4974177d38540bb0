"""The table of parameters: every row is enumerated, so that a new one is tested when it is written."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.parse.chat import Envelope, parse_chat
from pipeline.parse.options import OptionFields
from pipeline.parse.parameters import PARAMETERS, Policy
from tests.support.chat_bodies import encode, parse, refused

READ_ELSEWHERE = {"messages", "tools", "tool_choice", "functions", "function_call"}
WITH_SHAPE = [row.name for row in PARAMETERS if row.shape is not None]

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


def test_every_parameter_that_is_read_has_a_row():
    read = {*OptionFields.__struct_fields__, *Envelope.__struct_fields__, *READ_ELSEWHERE}
    assert {row.name for row in PARAMETERS if row.policy in (Policy.HONOURED, Policy.MAPPED)} == read
    assert len({row.name for row in PARAMETERS}) == len(PARAMETERS)


def test_the_samples_cover_the_table():
    assert set(GOOD) == {row.name for row in PARAMETERS if row.policy is Policy.IGNORED}
    assert set(ASKS) == {row.name for row in PARAMETERS if row.policy is Policy.REJECTED}
    assert {name for name, _ in OUTSIDE} == {row.name for row in PARAMETERS if row.low is not None}


def test_ignored_parameters_are_reported_and_kept():
    request = parse(**GOOD)
    assert request.ignored == tuple(GOOD)
    assert request.extra == GOOD


def test_ignored_in_the_client_s_order():
    assert parse(user="u", temperature=1, seed=3).ignored == ("user", "temperature", "seed")


def test_unknown_fields_are_kept_and_not_judged():
    unknown = {"client_metadata": {"a": [1, None]}, "include": None, "prompt_cache_key": 7}
    request = parse(**unknown)
    assert (request.extra, request.ignored) == (unknown, ())


@pytest.mark.parametrize("name", [row.name for row in PARAMETERS if row.name != "messages"])
def test_null_means_absent(name):
    request = parse(**{name: None})
    assert (request.extra, request.ignored, request.notices) == ({}, (), ())


@pytest.mark.parametrize(("name", "value"), ASKS.items())
def test_rejected(name, value):
    error = refused(UnsupportedParameter, **{name: value})
    assert (error.param, error.code) == (name, "unsupported_parameter")


@pytest.mark.parametrize(("name", "value"), [(row.name, value) for row in PARAMETERS for value in row.harmless])
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


@pytest.mark.parametrize("row", [row for row in PARAMETERS if row.shape in (int, float)], ids=lambda row: row.name)
def test_a_boolean_is_no_number(row):
    assert refused(**{row.name: True}).param == row.name


def test_the_first_fault_is_the_one_reported_whatever_the_messages_say():
    assert refused(UnsupportedParameter, n=3, messages=[]).param == "n"


def test_agent_and_conversation_come_from_the_route():
    request = parse_chat(encode(), agent=True, conversation="c-1")
    assert (request.agent, request.conversation) == (True, "c-1")
    assert (parse().agent, parse().conversation) == (False, None)
