"""in_messages_form: the conversation as Anthropic's API takes it, and each change named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prompt import messages_results
from pipeline.prompt.messages_form import in_messages_form
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.prompt.messages_results import NO_RESULT
from pipeline.request import ImagePart, Message, Request, Role, TextPart, Thought, ToolCall

S, U, A, T = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL
IMAGE = ImagePart("data:image/png;base64,AAAA")


def say(role, *texts, **fields):
    return Message(role, tuple(TextPart(text) for text in texts), **fields)


def call(id, name="now", arguments="{}"):
    return ToolCall(id, name, arguments)


def made(*messages, **profile):
    """The messages, and the codes of what was changed."""
    request, notices = in_messages_form(Request("m", tuple(messages)), MessagesProfile(**profile))
    return [*request.messages], [notice.code for notice in notices]


GOOD = [
    say(S, "Be brief."),
    say(U, "Hi"),
    say(A, "Looking.", tool_calls=(call("toolu_1"), call("toolu_2")), thoughts=(Thought("Hm.", "c2ln"),), reasoning="Hm."),
    say(T, "12", tool_call_id="toolu_1"),
    say(T, "13", tool_call_id="toolu_2", is_error=True),
    say(A, "It is 12."),
    say(U, "Thanks"),
]


def test_what_is_in_good_order_stays_as_it_is():
    assert made(*GOOD) == (GOOD, [])


# -- calls and results


def test_every_call_has_one_result_behind_it():
    messages, codes = made(say(U, "Hi"), say(A, tool_calls=(call("a"), call("b"))), say(T, "1", tool_call_id="b"), say(U, "And?"))
    assert [(message.tool_call_id, message.text) for message in messages[2:]] == [("b", "1"), ("a", NO_RESULT), (None, "And?")]
    assert codes == ["tool_result_supplied"]


def test_a_call_at_the_very_end_has_one_too():
    assert made(say(U, "Hi"), say(A, tool_calls=(call("a"),)))[0][-1] == say(T, NO_RESULT, tool_call_id="a")


def test_further_results_are_added_to_the_first():
    answers = (say(T, "1", tool_call_id="a"), say(T, "2", tool_call_id="a", is_error=True))
    messages, codes = made(say(U, "Hi"), say(A, tool_calls=(call("a"),)), *answers)
    assert [(message.text, message.is_error) for message in messages[2:]] == [("1\n2", True)]
    assert codes == ["tool_result_repeated"]


def test_a_result_without_a_call_is_the_users_text():
    messages, codes = made(say(T, "0", tool_call_id="z"), say(U, "Hi"), say(A, tool_calls=(call("a"),)), say(T, "1", tool_call_id="b"))
    assert [(message.role, message.text) for message in messages] == [
        (U, "[result of the tool call z, which is not in this conversation]\n0"),
        (U, "Hi"),
        (A, ""),
        (T, NO_RESULT),
        (U, "[result of the tool call b, which is not in this conversation]\n1"),
    ]
    assert codes == ["tool_result_as_text", "tool_result_supplied"]


@pytest.mark.parametrize("odd", ["functions.now:0", "a|b", "", "x" * 65, "é"])
def test_an_id_that_the_api_refuses_becomes_another_in_the_call_and_its_result(odd):
    said = (say(U, "Hi"), say(A, tool_calls=(call(odd),)), say(T, "1", tool_call_id=odd))
    messages, codes = made(*said)
    [new] = messages[1].tool_calls
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", new.id)
    assert messages[2] == say(T, "1", tool_call_id=new.id)
    assert codes == ["call_id_rewritten"]
    longer, _ = made(*said, say(A, "1"), say(U, "And?"))
    assert longer[:3] == messages


def test_equal_ids_of_several_calls_become_different_ones():
    turn = (say(A, tool_calls=(call("a"),)), say(T, "1", tool_call_id="a"))
    messages, _ = made(
        say(U, "Hi"), *turn, *turn, say(A, tool_calls=(call("a"), call("a"))), say(T, "2", tool_call_id="a"), say(T, "3", tool_call_id="a")
    )
    ids = [each.id for message in messages for each in message.tool_calls]
    assert len(set(ids)) == len(ids) == 4
    assert ids[0] == "a"
    assert [message.tool_call_id for message in messages if message.role is T] == ids
    assert [message.text for message in messages if message.role is T] == ["1", "1", "2", "3"]


@pytest.mark.parametrize("odd", ["a", "a|b"])
def test_ids_that_repeat_take_linear_work(odd, monkeypatch):
    digests: list[int] = []
    digest = messages_results._digest

    def counted(call_id: str, number: int) -> str:
        digests.append(number)
        return digest(call_id, number)

    monkeypatch.setattr(messages_results, "_digest", counted)
    messages, _ = made(say(U, "Hi"), say(A, tool_calls=tuple(call(odd) for _ in range(500))))
    assert len({each.id for each in messages[1].tool_calls}) == 500
    assert len(digests) <= 500


@pytest.mark.parametrize(
    ("arguments", "becomes", "codes"),
    [
        ('{"a": 1.0}', '{"a": 1.0}', []),
        ("", "{}", []),
        (" ", "{}", []),
        ("null", "{}", ["arguments_repaired"]),
        ("[]", "{}", ["arguments_repaired"]),
        ("[1]", '{"input":"[1]"}', ["arguments_repaired"]),
        ('{"a": ', '{"input":"{\\"a\\": "}', ["arguments_repaired"]),
    ],
)
def test_arguments_are_an_object(arguments, becomes, codes):
    messages, told = made(say(U, "Hi"), say(A, tool_calls=(call("a", arguments=arguments),)), say(T, "1", tool_call_id="a"))
    assert messages[1].tool_calls[0].arguments == becomes
    assert told == codes


def test_a_failed_result_with_an_image_says_in_its_text_that_it_failed():
    failed = Message(T, (TextPart("no"), IMAGE), tool_call_id="a", is_error=True)
    messages, _ = made(say(U, "Hi"), say(A, tool_calls=(call("a"),)), failed)
    assert messages[2] == Message(T, (TextPart("[error]\nno"), IMAGE), tool_call_id="a")


# -- the system's

BEHIND_A_USER = [say(U, "Hi"), say(S, "Be brief."), say(A, "Hello")]


def test_a_system_message_between_the_others_is_the_users():
    messages, codes = made(*BEHIND_A_USER)
    assert messages == [say(U, "Hi"), say(U, "<system-reminder>\nBe brief.\n</system-reminder>"), say(A, "Hello")]
    assert codes == ["system_message_as_user"]


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        (BEHIND_A_USER, True),
        ([say(U, "Hi"), say(S, "Be brief.")], True),
        ([say(U, "Hi"), say(S, "Be"), say(S, "brief.")], True),
        ([say(U, "Hi"), say(A, tool_calls=(call("a"),)), say(T, "1", tool_call_id="a"), say(S, "Be brief.")], True),
        ([say(A, "Hi"), say(S, "Be brief.")], False),
        ([say(U, "Hi"), say(S, "Be brief."), say(U, "And?")], False),
    ],
)
def test_where_the_profile_allows_it_a_system_message_stays_where_the_api_does(said, stays):
    messages, codes = made(*said, system_messages=True)
    systems = [message.text for message in messages if message.role is S]
    assert systems == ((["Be\nbrief."] if len(said) == 3 and said[2].role is S else ["Be brief."]) if stays else [])
    assert codes == ([] if stays else ["system_message_as_user"])


def test_what_a_system_message_says_beside_its_text_is_named_where_it_is_lost():
    request = Request("m", (say(U, "Hi"), say(S, "x", extra={"clear_at": "never"})), ignored=("speed",), dialect="anthropic")
    assert in_messages_form(request, MessagesProfile())[0].ignored == ("speed", "messages.clear_at")
    assert in_messages_form(request, MessagesProfile(system_messages=True))[0].ignored == ("speed",)


def test_a_conversation_of_system_messages_alone_has_a_users():
    messages, _ = made(say(S, "One."), say(S, "Two."))
    assert messages == [say(S, "One."), say(U, "<system-reminder>\nTwo.\n</system-reminder>")]


# -- reasoning

SIGNED, UNSIGNED, HIDDEN = Thought("Hm.", "c2ln"), Thought("Oh."), Thought(redacted="x")


@pytest.mark.parametrize(
    ("profile", "stay", "codes"),
    [
        ({}, (SIGNED, HIDDEN), ["reasoning_dropped"]),
        ({"unsigned_thinking": True}, (SIGNED, UNSIGNED, HIDDEN), []),
        ({"thinking": "off"}, (), ["reasoning_dropped"]),
        ({"thinking": "off", "unsigned_thinking": True}, (), ["reasoning_dropped"]),
    ],
)
def test_which_thoughts_go_back(profile, stay, codes):
    messages, told = made(say(U, "Hi"), say(A, "Hello", thoughts=(SIGNED, UNSIGNED, HIDDEN), reasoning="Hm.\n\nOh."), say(U, "And?"), **profile)
    assert (messages[1].thoughts, told) == (stay, codes)


@pytest.mark.parametrize(("profile", "stay", "codes"), [({}, (), ["reasoning_dropped"]), ({"unsigned_thinking": True}, (Thought("Hm."),), [])])
def test_reasoning_of_other_apis_is_nobodys_thought_unless_the_profile_takes_such(profile, stay, codes):
    messages, told = made(say(U, "Hi"), say(A, "Hello", reasoning="Hm."), say(U, "And?"), **profile)
    assert (messages[1].thoughts, told) == (stay, codes)


# -- the message that is continued


@pytest.mark.parametrize(
    ("texts", "becomes", "codes"),
    [
        (["Hello"], "Hello", []),
        (["Hello \n"], "Hello", ["trailing_space_removed"]),
        (["Hello ", " \n"], "Hello", ["trailing_space_removed"]),
    ],
)
def test_white_space_at_its_end_is_left_out(texts, becomes, codes):
    messages, told = made(say(U, "Hi"), say(A, *texts))
    assert messages[-1].text == becomes
    assert told == codes
    assert made(say(U, "Hi"), say(A, "Hello "), say(U, "And?"))[0][1].text == "Hello "


IDS = st.sampled_from(["a", "b", "a|b", ""])
TURNS = st.one_of(
    st.builds(say, st.sampled_from([S, U, A]), st.sampled_from(["", "x", "y "])),
    st.builds(lambda ids: Message(A, tool_calls=tuple(map(call, ids))), st.lists(IDS, min_size=1, max_size=3)),
    st.builds(lambda id, text: say(T, text, tool_call_id=id), IDS, st.sampled_from(["", "r"])),
)


@given(st.lists(TURNS, max_size=10), st.booleans())
def test_any_conversation_is_one_that_the_api_takes(turns, system_messages):
    if not any(turn.role is T or turn.tool_calls or turn.text for turn in turns):
        return
    messages, _ = made(*turns, system_messages=system_messages)
    ids = [each.id for message in messages for each in message.tool_calls]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each) for each in ids)
    waiting: set[str] = set()
    for message in messages:
        if message.role is T:
            assert message.tool_call_id in waiting
            waiting.remove(message.tool_call_id)
        else:
            assert not waiting
            waiting = {each.id for each in message.tool_calls}
    assert not waiting
    before, after = ("".join(sorted("".join(m.text for m in some if m.text))) for some in (turns, messages))
    assert all(after.count(letter) >= before.count(letter) for letter in "xyr")
