"""What of a request decides whether a run goes on with it: no two conversations are alike, and what a client may change is not compared."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import assume, given

from pipeline.request import ImagePart, Message, Options, Part, Role, TextPart, Thought, ToolCall, ToolChoice, ToolMode
from pipeline.upstream.bridge.turn import Continuation, Otherwise, Turn, continuation, turn_of
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

CALL_1, CALL_2 = (Message(Role.ASSISTANT, (), (call,)) for call in CALLS)
SAID = Message(Role.ASSISTANT, (TextPart("Let me look."),))
NOTE = user("<system-reminder>Be quick.</system-reminder>")


def brought(now: Turn, then: Turn = THEN) -> Continuation:
    given = continuation(now, then, CALLED)
    assert isinstance(given, Continuation), given
    return given


def otherwise(now: Turn, then: Turn = THEN) -> Otherwise:
    given = continuation(now, then, CALLED)
    assert isinstance(given, Otherwise)
    return given


TEXTS = st.text('ab\n\0,"[', max_size=3)
PARTS: st.SearchStrategy[Part] = st.one_of(st.builds(TextPart, TEXTS), st.builds(ImagePart, TEXTS))
MESSAGES = st.builds(
    Message,
    st.sampled_from(Role),
    st.lists(PARTS, max_size=2).map(tuple),
    st.lists(st.builds(ToolCall, TEXTS, TEXTS, st.sampled_from(["{}", '{"a":1}', "[", "no"])), max_size=2).map(tuple),
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
    assert turn_of(request(*before, ASSISTANT, *RESULTS)).places[turn_of(request(*before)).whole] == len(before)


def test_a_request_with_the_results_goes_on():
    given = brought(turn_of(BEHIND))
    assert [(each.call_id, each.texts) for each in given.results] == [("call_1", ("one",)), ("call_2", ("two",))]
    assert not given.has_words


@pytest.mark.parametrize(
    "messages",
    [
        [CALL_1, RESULTS[0], CALL_2, RESULTS[1]],
        [SAID, CALL_1, CALL_2, *RESULTS],
        [SAID, CALL_1, RESULTS[0], SAID, CALL_2, RESULTS[1]],
        [Message(Role.ASSISTANT, (TextPart("Let me look."),), CALLS[:1]), CALL_2, *RESULTS[::-1]],
    ],
)
def test_an_answer_that_is_written_as_several_messages_is_one(messages):
    given = brought(turn_of(request(*ASKED.messages, *messages)))
    assert {each.call_id: each.texts for each in given.results} == {"call_1": ("one",), "call_2": ("two",)}


def test_a_users_text_behind_the_results_goes_with_the_last_one_of_them():
    given = brought(turn_of(request(*BEHIND.messages, NOTE, user("USER: no"))))
    assert [each.texts for each in given.results] == [("one",), ("two", f"\n\nUSER: {NOTE.text}\n\nUSER: \\USER: no")]
    assert given.has_words
    assert brought(turn_of(request(*BEHIND.messages, user(" \n")))).results[-1].texts == ("two",)


@pytest.mark.parametrize(("echoed", "same"), [('{"lines": [1.0, 2]}', True), ('{ "lines":[1,2] }', True), ('{"lines": [1, 3]}', False)])
def test_the_arguments_of_earlier_calls_are_compared_by_their_value(echoed, same):
    def told(arguments: str) -> tuple[Message, ...]:
        return user("Look"), Message(Role.ASSISTANT, (), (ToolCall("call_0", "read", arguments),)), result("call_0", "nothing")

    then = turn_of(request(*told('{"lines":[1,2]}')))
    now = turn_of(request(*told(echoed), ASSISTANT, *RESULTS))
    assert isinstance(continuation(now, then, CALLED), Continuation) is same


@pytest.mark.parametrize(
    ("asked", "takes_over"),
    [
        (request(*ASKED.messages, ASSISTANT, user("Never mind.")), True),
        (request(user("Edited"), ASSISTANT, *RESULTS), True),
        (msgspec.structs.replace(BEHIND, model="other"), True),
        (request(user("Be brief."), *BEHIND.messages, user("Write a title.")), False),
        (request(*BEHIND.messages, user("Write a title."), tools=()), False),
        (request(*BEHIND.messages, user("Write a title."), model="other"), False),
    ],
)
def test_a_run_is_taken_over_by_its_own_conversation_alone(asked, takes_over):
    assert otherwise(turn_of(asked)).takes_over is takes_over


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
    brought(turn_of(request(*ASKED.messages, said, *RESULTS[::-1])))


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([ASSISTANT, RESULTS[0]], "each one once"),
        ([ASSISTANT, *RESULTS, RESULTS[0]], "each one once"),
        ([ASSISTANT, *RESULTS, result("call_3", "three")], "each one once"),
        ([Message(Role.ASSISTANT, (), (ToolCall("call_1", "grep", "{}"), CALLS[1])), *RESULTS], "each one once"),
        ([Message(Role.ASSISTANT, (), CALLS[:1]), RESULTS[0]], "each one once"),
        ([ASSISTANT], "something else"),
        ([ASSISTANT, *RESULTS, user("And?", ImagePart("data:"))], "something else"),
        ([ASSISTANT, *RESULTS, Message(Role.SYSTEM, (TextPart("Be brief."),))], "something else"),
        ([ASSISTANT, *RESULTS, Message(Role.ASSISTANT, (TextPart("It is"),))], "something else"),
        ([ASSISTANT, user("And?"), *RESULTS], "something else"),
        ([ASSISTANT, Message(Role.TOOL, (TextPart("one"),))], "something else"),
        ([], "something else"),
        ([user("More"), ASSISTANT, *RESULTS], "an earlier message"),
    ],
)
def test_everything_else_does_not_go_on(messages, why):
    assert why in otherwise(turn_of(request(*ASKED.messages, *messages))).why


def test_an_effort_counts_as_another_model_and_what_only_the_gateway_keeps_does_not():
    assert "model" in otherwise(turn_of(msgspec.structs.replace(BEHIND, options=Options(reasoning_effort="high")))).why
    free = msgspec.structs.replace(BEHIND, options=Options(max_tokens=5, stop=("x",), parallel_tool_calls=False), stream=True)
    brought(turn_of(free))


def test_a_wish_to_call_may_be_dropped_and_may_not_be_made():
    forced = turn_of(msgspec.structs.replace(ASKED, tool_choice=ToolChoice(ToolMode.FUNCTION, "read")))
    brought(turn_of(BEHIND), forced)
    for choice in (ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "grep"), ToolChoice(ToolMode.NONE)):
        otherwise(turn_of(msgspec.structs.replace(BEHIND, tool_choice=choice)))


def test_the_order_of_a_schemas_keys_is_no_other_tool():
    turned = msgspec.structs.replace(READ, parameters=dict(reversed(READ.parameters.items())))
    one, other = (turn_of(request("Look", tools=[tool])) for tool in (READ, turned))
    assert one.tools == other.tools


def test_results_have_the_images_that_stand_in_them():
    small, large = (ImagePart(data_url(png(size, size))) for size in (2, 9))
    shown = Message(Role.TOOL, (large, TextPart("a picture")), tool_call_id="call_2", is_error=True)
    asked = request(user("Look", small), Message(Role.ASSISTANT, (), CALLS), Message(Role.TOOL, (), tool_call_id="call_1"), shown)
    then = turn_of(request(*asked.messages[:1]))
    empty, pictured = brought(turn_of(asked, read_images(asked)), then).results
    assert (empty.texts, empty.images, empty.is_error) == (("",), (), False)
    assert (pictured.texts, pictured.images, pictured.is_error) == (("a picture",), ((png(9, 9), "image/png"),), True)


def test_no_text_of_the_conversation_is_kept():
    kept = turn_of(request("a very secret word", ASSISTANT, result("call_1", "a secret"), tools=())).bare
    assert "secret" not in repr(kept)
