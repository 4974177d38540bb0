"""What of a request decides whether a run goes on with it: no two conversations are alike, and what a client may change is not compared."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import assume, given

from pipeline.request import ImagePart, Message, Options, Part, Role, TextPart, Thought, ToolCall, ToolChoice, ToolMode
from pipeline.upstream.bridge.turn import difference, turn_of
from pipeline.upstream.images import read_images
from tests.support.bridge_client import READ, request, result, user
from tests.support.image_files import data_url, png

CALLS = (ToolCall("call_1", "read", "{}"), ToolCall("call_2", "grep", "{}"))
CALLED = {"call_1": "read", "call_2": "grep"}
ASKED = request("Look")
THEN = turn_of(ASKED)
ASSISTANT = Message(Role.ASSISTANT, (TextPart("Let me look."),), CALLS)
RESULTS = (result("call_1", "one"), result("call_2", "two"))
BEHIND = request(*ASKED.messages, ASSISTANT, *RESULTS)

TEXTS = st.text('ab\n\0,"[', max_size=3)
PARTS: st.SearchStrategy[Part] = st.one_of(st.builds(TextPart, TEXTS), st.builds(ImagePart, TEXTS))
MESSAGES = st.builds(
    Message,
    st.sampled_from(Role),
    st.lists(PARTS, max_size=2).map(tuple),
    st.lists(st.builds(ToolCall, TEXTS, TEXTS, st.just("{}")), max_size=2).map(tuple),
    st.one_of(st.none(), TEXTS),
    st.one_of(st.none(), TEXTS),
    is_error=st.booleans(),
)
CONVERSATIONS = st.lists(MESSAGES, max_size=3)


@given(CONVERSATIONS, CONVERSATIONS)
def test_two_conversations_have_the_same_digest_only_if_they_are_the_same(one, other):
    assume(one != other)
    assert turn_of(request(*one)).whole != turn_of(request(*other)).whole


@given(CONVERSATIONS)
def test_the_part_before_the_last_calls_has_the_digest_that_it_had_as_a_whole(before):
    assert turn_of(request(*before, ASSISTANT, *RESULTS)).before == turn_of(request(*before)).whole


def test_a_request_with_the_results_goes_on():
    now = turn_of(BEHIND)
    assert difference(now, THEN, CALLED) is None
    assert now.results is not None
    assert [(each.call_id, each.texts) for each in now.results] == [("call_1", ("one",)), ("call_2", ("two",))]


@pytest.mark.parametrize(
    "said",
    [
        Message(Role.ASSISTANT, (), CALLS),
        Message(Role.ASSISTANT, (TextPart("Other words."),), CALLS, reasoning="Hm.", thoughts=(Thought("Hm."),)),
        Message(Role.ASSISTANT, (), CALLS[::-1]),
        Message(Role.ASSISTANT, (), tuple(msgspec.structs.replace(call, arguments='{"a": 1}') for call in CALLS)),
    ],
)
def test_the_words_of_the_last_turn_and_its_arguments_are_not_compared(said):
    assert difference(turn_of(request(*ASKED.messages, said, *RESULTS[::-1])), THEN, CALLED) is None


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([ASSISTANT, RESULTS[0]], "each one once"),
        ([ASSISTANT, *RESULTS, RESULTS[0]], "each one once"),
        ([ASSISTANT, *RESULTS, result("call_3", "three")], "each one once"),
        ([Message(Role.ASSISTANT, (), (ToolCall("call_1", "grep", "{}"), CALLS[1])), *RESULTS], "each one once"),
        ([Message(Role.ASSISTANT, (), CALLS[:1]), RESULTS[0]], "each one once"),
        ([ASSISTANT], "something else"),
        ([ASSISTANT, *RESULTS, user("And?")], "something else"),
        ([ASSISTANT, user("And?"), *RESULTS], "something else"),
        ([ASSISTANT, Message(Role.TOOL, (TextPart("one"),))], "something else"),
        ([], "something else"),
        ([user("More"), ASSISTANT, *RESULTS], "an earlier message"),
    ],
)
def test_everything_else_does_not_go_on(messages, why):
    assert why in (difference(turn_of(request(*ASKED.messages, *messages)), THEN, CALLED) or "")


def test_an_effort_counts_as_another_model_and_what_only_the_gateway_keeps_does_not():
    assert "model" in (difference(turn_of(msgspec.structs.replace(BEHIND, options=Options(reasoning_effort="high"))), THEN, CALLED) or "")
    free = msgspec.structs.replace(BEHIND, options=Options(max_tokens=5, stop=("x",), parallel_tool_calls=False), stream=True)
    assert difference(turn_of(free), THEN, CALLED) is None


def test_a_wish_to_call_may_be_dropped_and_may_not_be_made():
    forced = turn_of(msgspec.structs.replace(ASKED, tool_choice=ToolChoice(ToolMode.FUNCTION, "read")))
    assert difference(turn_of(BEHIND), forced, CALLED) is None
    for choice in (ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "grep"), ToolChoice(ToolMode.NONE)):
        assert difference(turn_of(msgspec.structs.replace(BEHIND, tool_choice=choice)), THEN, CALLED) is not None


def test_the_order_of_a_schemas_keys_is_no_other_tool():
    turned = msgspec.structs.replace(READ, parameters=dict(reversed(READ.parameters.items())))
    one, other = (turn_of(request("Look", tools=[tool])) for tool in (READ, turned))
    assert one.tools == other.tools


def test_results_have_the_images_that_stand_in_them():
    small, large = (ImagePart(data_url(png(size, size))) for size in (2, 9))
    shown = Message(Role.TOOL, (large, TextPart("a picture")), tool_call_id="call_2", is_error=True)
    asked = request(user("Look", small), Message(Role.ASSISTANT, (), CALLS), Message(Role.TOOL, (), tool_call_id="call_1"), shown)
    empty, pictured = turn_of(asked, read_images(asked)).results or ()
    assert (empty.texts, empty.images, empty.is_error) == (("",), (), False)
    assert (pictured.texts, pictured.images, pictured.is_error) == (("a picture",), ((png(9, 9), "image/png"),), True)


def test_no_text_of_the_conversation_is_kept():
    kept = turn_of(request("a very secret word", tools=()))
    assert "secret" not in repr(kept)
