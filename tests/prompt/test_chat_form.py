"""What Chat Completions do not take of a conversation is said in another place."""

import pytest

from pipeline.prompt.chat_form import images_behind_results, single_system
from pipeline.request import ImagePart, Message, OpaquePart, Request, Role, TextPart, ToolCall

SEEN = ImagePart("data:image/png;base64,eA==")
OTHER = ImagePart("https://a.example/b.png")
CALLS = Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "look", "{}"), ToolCall("b", "look", "{}")))
HELLO = Message(Role.USER, (TextPart("Hello"),))


def result(call_id: str, *parts) -> Message:
    return Message(Role.TOOL, parts, tool_call_id=call_id)


def system(*texts: str) -> Message:
    return Message(Role.SYSTEM, tuple(map(TextPart, texts)))


def test_images_of_results_stand_in_a_user_s_message_behind_the_last_of_them():
    given = (HELLO, CALLS, result("a", TextPart("A map:"), SEEN), result("b", OTHER, SEEN), Message(Role.ASSISTANT, (TextPart("I see."),)))
    request = images_behind_results(Request("m", given))
    assert [message.role.value for message in request.messages] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert [message.text for message in request.messages[2:4]] == ["A map:[image 1, shown below]", "[image 2, shown below][image 3, shown below]"]
    assert request.messages[4].parts[1:] == (SEEN, OTHER, SEEN)
    assert [notice.code for notice in request.notices] == ["tool_images_moved"]
    assert images_behind_results(request) is request


def test_images_of_the_last_results_end_the_conversation():
    request = images_behind_results(Request("m", (HELLO, CALLS, result("a", SEEN), result("b", TextPart("none")))))
    assert [message.role.value for message in request.messages] == ["user", "assistant", "tool", "tool", "user"]


def test_other_parts_of_a_result_stay_as_they_are():
    file = OpaquePart("file", {"type": "file"}, "messages[2].content[0]")
    request = images_behind_results(Request("m", (HELLO, CALLS, result("a", file, SEEN))))
    assert request.messages[2].parts == (file, TextPart("[image 1, shown below]"))


@pytest.mark.parametrize("messages", [(), (HELLO,), (system("a"), HELLO), (Message(Role.USER, (SEEN,)),), (HELLO, CALLS, result("a", TextPart("x")))])
def test_what_needs_no_change_is_the_same_object(messages):
    request = Request("m", messages)
    assert images_behind_results(request) is request
    assert single_system(request) is request


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((system("a"), system("b"), HELLO), "a\n\nb"),
        ((system("a"), HELLO, system("b")), "a\n\nb"),
        ((HELLO, system("a")), "a"),
        ((system(), system("b"), HELLO), "b"),
        ((system("a", "b"), system("c"), HELLO), "ab\n\nc"),
    ],
)
def test_the_system_s_texts_stand_in_one_message_in_front(given, text):
    request = single_system(Request("m", given))
    assert request.messages == (system(text), HELLO)
    assert [notice.code for notice in request.notices] == ["system_messages_joined"]
    assert single_system(request) is request
