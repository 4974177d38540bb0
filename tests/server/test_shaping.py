"""What a route and a model's id say of a request."""

import msgspec
import pytest

from pipeline.models import Model
from pipeline.request import Message, Options, Request, Role, TextPart, ToolCall
from pipeline.upstream.health import Order
from server.routing import Destination, Plan
from server.settings import Route, Target
from server.shaping import GO_ON, shaped, shows_reasoning, strips_shown
from tests.support.scripted import ScriptedUpstream

USER = Message(Role.USER, (TextPart("Hi"),))
ASSISTANT = Message(Role.ASSISTANT, (TextPart("Hello"),))
CALLING = Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "now", "{}"),))
TARGETS = (Target(upstream="one", model="m"),)


def plan(effort: str | None = None, *, thinking: bool = False, fast: bool = False, **route) -> Plan:
    there = Destination(ScriptedUpstream([]), "m", Model("m", "m", "x"), frozenset({"m"}), "one/m", None, 20.0)
    return Plan((there,), Route(targets=TARGETS, **route), Order.GIVEN, effort, thinking, fast, frozenset({"m"}), "m")


@pytest.mark.parametrize(("asked", "least", "sent"), [(None, 32_000, None), (4_096, 32_000, 32_000), (64_000, 32_000, 64_000), (4_096, None, 4_096)])
def test_a_smaller_token_limit_is_raised(asked, least, sent):
    request = shaped(Request("m", (USER,), options=Options(max_tokens=asked)), plan(min_output_tokens=least))
    assert request.options.max_tokens == sent
    assert ("token_limit_raised" in [notice.code for notice in request.notices]) is (asked != sent)


@pytest.mark.parametrize(
    ("said", "effort", "thinking", "found"),
    [
        (None, "high", False, ("high", True)),
        ("low", "high", False, ("low", False)),
        (None, None, True, (None, True)),
        (None, None, False, (None, False)),
    ],
)
def test_a_body_s_effort_beats_the_id_s(said, effort, thinking, found):
    options = shaped(Request("m", (USER,), options=Options(reasoning_effort=said)), plan(effort, thinking=thinking)).options
    assert (options.reasoning_effort, options.reasoning) == found


@pytest.mark.parametrize(
    ("messages", "no_prefill", "added"),
    [((USER, ASSISTANT), True, True), ((USER, ASSISTANT), False, False), ((USER,), True, False), ((USER, CALLING), True, False), ((), True, False)],
)
def test_a_last_turn_of_the_assistant_s_gets_a_user_s_behind_it(messages, no_prefill, added):
    request = shaped(Request("m", messages), plan(no_prefill=no_prefill))
    assert request.messages == ((*messages, Message(Role.USER, (TextPart(GO_ON),))) if added else messages)
    assert bool(request.notices) is added


def test_the_route_s_window_is_the_request_s():
    request = shaped(Request("m", (USER,)), plan(context_window=1_000, context_overflow="trim"))
    assert (request.context.tokens, request.context.overflow) == (1_000, "trim")


def test_a_route_that_says_nothing_changes_nothing():
    request = Request("m", (USER, ASSISTANT), options=Options(max_tokens=5))
    assert shaped(request, plan()) == request
    assert [notice.code for notice in shaped(request, plan(fast=True)).notices] == ["fast_suffix_ignored"]


@pytest.mark.parametrize(
    ("route", "for_cursor", "strips"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"display_reasoning": "off"}, True, False),
        ({"display_reasoning": "off", "strip_think": True}, False, True),
    ],
)
def test_what_was_shown_is_taken_out_where_it_was_put_in(route, for_cursor, strips):
    assert strips_shown(Route(targets=TARGETS, **route), for_cursor=for_cursor) is strips


@pytest.mark.parametrize(
    ("output", "asked", "shown"), [("never", True, False), ("always", False, True), ("on-request", True, True), ("on-request", False, False)]
)
def test_reasoning_is_shown_as_the_setting_says(output, asked, shown):
    request = msgspec.structs.replace(Request("m", (USER,)), options=Options(reasoning=asked))
    assert shows_reasoning(request, output) is shown
