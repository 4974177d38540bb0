"""pair_results: which result answers which call, the order that comes of it, and what is said about it.

A conversation is written in short: `u` is a user's message, `a1:x,y` an assistant's with the calls x and y, `r1:x` a result for x, `f1:name` an
assistant's legacy call and `g1:name` its result; the number tells messages apart.
"""

import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.parse import pairing
from pipeline.parse.chat import parse_chat
from pipeline.parse.history import read_history
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.request import Role
from tests.support.chat_bodies import MESSAGES

MOVED, ORPHAN, UNANSWERED, LEGACY = "tool_results_moved", "orphan_tool_result", "tool_call_unanswered", "legacy_functions"

# conversation, the order that comes of it, the notices
CASES = {
    "in order": ("u a1:x r1:x a2", "u a1:x r1:x a2", []),
    "results in another order than their calls": ("a1:x,y r1:y r2:x", "a1:x,y r1:y r2:x", []),
    "behind another message": ("a1:x u r1:x", "a1:x r1:x u", [MOVED]),
    "two, between them a message": ("a1:x,y r1:x u r2:y", "a1:x,y r1:x r2:y u", [MOVED]),
    "before its call": ("u r1:x a1:x", "u a1:x r1:x", [MOVED]),
    "behind the next calls": ("a1:x a2:y r1:x r2:y", "a1:x r1:x a2:y r2:y", [MOVED]),
    "swapped between two messages": ("a1:x r2:y a2:y r1:x", "a1:x r1:x a2:y r2:y", [MOVED]),
    "one answers nothing": ("u r1:z a1:x r2:x", "u r1:z a1:x r2:x", [ORPHAN]),
    "one that answers nothing stands between": ("a1:x r1:z r2:x", "a1:x r2:x r1:z", [MOVED, ORPHAN]),
    "no result": ("a1:x,y r1:y u", "a1:x,y r1:y u", [UNANSWERED]),
    "the last message calls": ("u a1:x", "u a1:x", [UNANSWERED]),
    "two results for one call": ("a1:x r1:x r2:x", "a1:x r1:x r2:x", []),
    "a second result, later": ("a1:x r1:x u r2:x", "a1:x r1:x r2:x u", [MOVED]),
    "ids that begin anew in every turn": ("a1:0 r1:0 u a2:0 r2:0 u a3:0 r3:0", "a1:0 r1:0 u a2:0 r2:0 u a3:0 r3:0", []),
    "ids that begin anew, and the first is left alone": ("a1:0 u a2:0 r1:0", "a1:0 u a2:0 r1:0", [UNANSWERED]),
    "ids that begin anew, two calls open": ("a1:0 a2:0 r1:0 r2:0", "a1:0 r1:0 a2:0 r2:0", [MOVED]),
    "the same id twice in one message": ("a1:0,0 r1:0 r2:0", "a1:0,0 r1:0 r2:0", []),
    "two open before the user's message": ("a1:0 a2:0 u r1:0", "a1:0 r1:0 a2:0 u", [MOVED, UNANSWERED]),
    "one open before each of two": ("a1:0 u a2:0 u r1:0", "a1:0 u a2:0 r1:0 u", [MOVED, UNANSWERED]),
    "one before its call and one behind": ("r1:x a1:x r2:x", "a1:x r1:x r2:x", [MOVED]),
    "a legacy call": ("f1:n g1:n u f2:n g2:n", "f1:n g1:n u f2:n g2:n", [LEGACY]),
    "a legacy result before its call": ("g1:n f1:n", "g1:n f1:n", [LEGACY, ORPHAN, UNANSWERED]),
    "a legacy result too many": ("f1:n g1:n g2:n", "f1:n g1:n g2:n", [LEGACY, ORPHAN]),
    "a name is no id": ("a1:n g1:n", "a1:n g1:n", [ORPHAN, UNANSWERED]),
}


def body_of(short: str):
    """A message; its own word is its content."""
    word, _, rest = short.partition(":")
    match word[0]:
        case "a":
            calls = [{"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call in rest.split(",") if call]
            return {"role": "assistant", "content": short, "tool_calls": calls}
        case "r":
            return {"role": "tool", "content": short, "tool_call_id": rest}
        case "f":
            return {"role": "assistant", "content": short, "function_call": {"name": rest, "arguments": "{}"}}
        case "g":
            return {"role": "function", "content": short, "name": rest}
    return {"role": "user", "content": short}


def parsed(messages):
    return parse_chat(msgspec.json.encode({"messages": messages}))


@pytest.mark.parametrize(("conversation", "order", "codes"), CASES.values(), ids=CASES)
def test_the_order(conversation, order, codes):
    request = parsed([body_of(short) for short in conversation.split()])
    assert " ".join(message.text for message in request.messages) == order
    assert [notice.code for notice in request.notices] == codes


@pytest.mark.parametrize(("conversation", "order"), [(given, order) for given, order, _ in CASES.values()], ids=CASES)
def test_each_result_has_the_id_of_its_call(conversation, order):
    messages = parsed([body_of(short) for short in conversation.split()]).messages
    for message, short in zip(messages, order.split(), strict=True):
        if short[0] == "r":
            assert message.tool_call_id == short.partition(":")[2]
        if message.role is Role.TOOL and message.tool_call_id in {call.id for other in messages for call in other.tool_calls}:
            before = next(other for other in reversed(messages[: messages.index(message)]) if other.role is not Role.TOOL)
            assert message.tool_call_id in {call.id for call in before.tool_calls}


def test_a_notice_names_the_first_place_and_counts():
    request = parsed([body_of(short) for short in ["r1:p", "r2:q", "a1:x,y", "u", "r3:x", "r4:y", "r5:z"]])
    assert [notice.detail for notice in request.notices] == [
        "messages[4] was moved behind the call that it answers (and 1 more)",
        "messages[0] answers no call (and 2 more)",
    ]


LONG = {
    "one id for all": lambda count: [*["a:x"] * count, "u", *["r:x"] * count],
    "an id each": lambda count: [*(f"a:{number}" for number in range(count)), "u", *(f"r:{number}" for number in range(count))],
    "results first": lambda count: [*["r:x"] * count, *["a:x"] * count],
    "one call, and results astray": lambda count: ["a:x", *["u", "r:x"] * count],
    "calls left alone": lambda count: [*["a:x", "u"] * count, *["r:x"] * count],
    "legacy": lambda count: [*["f:n"] * count, "u", *["g:n"] * count],
}


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
def test_a_long_history_takes_linear_time(long):
    """Counted in lines of the module that ran, which no busy machine changes."""

    def lines(count: int) -> int:
        ran = 0

        def trace(frame, event, _argument):
            nonlocal ran
            ran += event == "line"
            return trace if frame.f_code.co_filename == pairing.__file__ else None

        messages = [body_of(short) for short in long(count)]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            read_history(messages, "messages")
        finally:
            sys.settrace(before)
        return ran

    assert lines(800) <= 4.1 * lines(200)


CONVERSATIONS = st.lists(
    st.one_of(
        st.just("u"),
        st.lists(st.sampled_from("xyz"), max_size=3).map(lambda ids: f"a:{','.join(ids)}"),
        st.sampled_from("xyz").map("r:{}".format),
        st.sampled_from("mn").map("f:{}".format),
        st.sampled_from("mn").map("g:{}".format),
    ),
    min_size=1,
    max_size=12,
)


@given(CONVERSATIONS)
def test_nothing_is_lost_and_what_is_no_result_stays_in_order(conversation):
    sent = [body_of(f"{short[0]}{number}{short[1:]}") for number, short in enumerate(conversation)]
    request = parsed(sent)
    came = [message.text for message in request.messages]
    assert sorted(came) == sorted(message["content"] for message in sent)
    assert [text for text in came if text[0] not in "rg"] == [message["content"] for message in sent if message["content"][0] not in "rg"]
    assert (came != [message["content"] for message in sent]) == (MOVED in {notice.code for notice in request.notices})


def rewritten(request):
    """What a body that was written of a request is parsed into."""
    return parse_chat(write_chat_body(request, ChatProfile()))


@given(CONVERSATIONS)
def test_what_is_in_order_stays_so(conversation):
    once = parsed([body_of(short) for short in conversation])
    again = rewritten(once)
    assert again.messages == once.messages
    assert MOVED not in {notice.code for notice in again.notices}


@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_parsing_what_was_written_of_a_parsed_body_changes_nothing(messages):
    once = rewritten(parsed(messages))  # writing normalises: no arguments are {}, no texts are ""
    again = rewritten(once)
    assert (again.messages, again.tools, again.tool_choice) == (once.messages, once.tools, once.tool_choice)
