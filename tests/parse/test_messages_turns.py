"""The conversation of a Messages body: blocks as parts, results as turns, thoughts, and what is left out."""

from typing import Any

import pytest

from pipeline.events import Notice
from pipeline.parse.messages_blocks import DROPPED
from pipeline.request import BlockKind as K
from pipeline.request import ImagePart, Message, OpaquePart, Role, TextPart, Thought, ToolCall
from tests.support.messages_requests import (
    BASH,
    CACHED,
    HELLO,
    PNG,
    PNG_URL,
    assistant,
    messages_of,
    refused,
    request_of,
    result,
    text,
    use,
    user,
)

ASSISTANT, SYSTEM, TOOL, USER = Role.ASSISTANT, Role.SYSTEM, Role.TOOL, Role.USER
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A fact."}, "title": "Facts"}
ABOUT = {"type": "document", "source": {"type": "content", "content": "A fact."}, "context": "Of 1999.", "title": None}
FOUND = {"type": "search_result", "title": "Trio", "source": "https://a.example", "content": [text("Structured."), text("Concurrency.")]}
REFERENCE = {"type": "tool_reference", "tool_name": "WebSearch"}


# -- the system ------------------------------------------------------------------------------------------------------------------------------------


def test_system_is_one_message_in_front_and_its_blocks_stay_apart():
    first, second = messages_of(HELLO, system=[text("One."), text("Two.", **CACHED), text("")])
    assert first == Message(SYSTEM, (TextPart("One."), TextPart("\n"), TextPart("Two.", CACHED)))
    assert second == Message(USER, (TextPart("Hello"),))
    assert messages_of(HELLO, system="One.")[0] == Message(SYSTEM, (TextPart("One."),))


@pytest.mark.parametrize("system", [None, "", [], [text("")]])
def test_a_system_that_says_nothing_is_none(system):
    assert len(messages_of(HELLO, system=system)) == 1


def test_a_system_message_stands_where_it_was_sent():
    changed = {"role": "system", "content": [text("Be brief."), {"type": "tool_removal", "tool": {}}], "output_config": {"effort": "low"}}
    request = request_of(messages=[HELLO, changed, {"role": "system", "output_config": {"effort": "low"}}])
    assert request.messages[1:] == (Message(SYSTEM, (TextPart("Be brief."),), extra={"output_config": {"effort": "low"}}),)
    assert request.ignored == ("messages.output_config",)
    assert request.notices == (Notice("history_item_dropped", "tool_removal"), Notice("history_item_dropped", "empty system message"))


# -- parts -----------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (text("Hi", citations=None, cache_control=None), TextPart("Hi")),
        (text("Hi", **CACHED), TextPart("Hi", CACHED)),
        ({"type": "image", "source": PNG}, ImagePart(PNG_URL, path="messages[0].content[1]")),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}, **CACHED},
            ImagePart("https://a.example/b.png", extra=CACHED, path="messages[0].content[1]"),
        ),
        (PLAIN, TextPart("Facts\nA fact.", {"document": PLAIN})),
        (ABOUT, TextPart("Of 1999.\nA fact.", {"document": ABOUT})),
        (FOUND, TextPart("Trio\nhttps://a.example\nStructured.\nConcurrency.", {"search_result": FOUND})),
        ({"type": "compaction", "content": "So far."}, TextPart("So far.", {"compaction": {"type": "compaction", "content": "So far."}})),
    ],
)
def test_a_block_is_a_part(block, part):
    [message] = messages_of(user("x", block))
    between = (TextPart("\n"),) if isinstance(part, TextPart) else ()
    assert message == Message(USER, (TextPart("x"), *between, part))


@pytest.mark.parametrize(("content", "words"), [("A fact.", "A fact."), ([text("A"), text("fact.")], "A\nfact.")])
def test_a_document_of_blocks_of_text_is_text(content, words):
    document = {"type": "document", "source": {"type": "content", "content": content}}
    assert messages_of(user(document))[0].parts == (TextPart(words, {"document": document}),)


@pytest.mark.parametrize(
    "block",
    [
        PDF,
        {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": PNG}]}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "browser_state", "tabs": []},
        {"type": "novelty", "text": "x"},
    ],
)
def test_what_only_its_own_api_knows_is_kept_whole_with_its_place(block):
    assert messages_of(user("x", block))[0].parts[1] == OpaquePart(block["type"], block, "messages[0].content[1]", "anthropic")


@pytest.mark.parametrize("kind", sorted(DROPPED | {"compaction"}))
def test_what_ran_at_the_provider_is_left_out_and_said(kind):
    request = request_of(messages=[HELLO, assistant("Found.", {"type": kind}, "Good.")])
    assert request.messages[1] == Message(ASSISTANT, (TextPart("Found."), TextPart("\n"), TextPart("Good.")))
    assert request.notices == (Notice("history_item_dropped", kind),)


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"text": "x"}, "type"),
        ({"type": 3}, "type"),
        ({"type": "text"}, "text"),
        ({"type": "text", "text": 3}, "text"),
        ({"type": "image"}, "source"),
        ({"type": "image", "source": "x"}, "source"),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, "source.media_type"),
        ({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}, "source.url"),
        ({"type": "document"}, "source"),
        ({"type": "tool_reference"}, "tool_name"),
        ({"type": "compaction", "content": 3}, "content"),
        ({"type": "search_result", "title": 3}, "title"),
        ({"type": "input_text", "text": "x"}, "type"),
        ({"type": "thinking", "thinking": "Hm."}, "type"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": {}}, "type"),
        ({"type": "tool_result"}, "tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "is_error": "yes"}, "is_error"),
        ({"type": "tool_result", "tool_use_id": "a", "content": 3}, "content"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [3]}, "content[0]"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_result", "tool_use_id": "a"}]}, "content[0].type"),
    ],
)
def test_a_block_without_meaning_is_refused_by_its_place(block, param):
    assert refused(messages=[user("x", block)]).param == f"messages[0].content[1].{param}"


# -- the assistant ---------------------------------------------------------------------------------------------------------------------------------


def test_text_calls_and_thoughts_are_one_message():
    blocks: list[dict[str, Any] | str] = [
        {"type": "thinking", "thinking": "First.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "AAAA"},
        "According to it, ",
        text("grass is green", citations=[{"type": "char_location"}]),
        {"type": "thinking", "thinking": "Then.", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": ""},
        {**use(command="é\n", n=2**70, x=1.0), **CACHED, "caller": {"type": "direct"}},
        "Done.",
    ]
    request = request_of(messages=[HELLO, assistant(*blocks), user(result())], tools=[BASH])
    assert request.messages[1] == Message(
        ASSISTANT,
        (TextPart("According to it, "), TextPart("grass is green", {"citations": [{"type": "char_location"}]}), TextPart("\n"), TextPart("Done.")),
        (ToolCall("toolu_1", "Bash", f'{{"command":"é\\n","n":{2**70},"x":1.0}}', extra={**CACHED, "caller": {"type": "direct"}}),),
        reasoning="First.\n\nThen.",
        thoughts=(Thought("First.", "c2ln"), Thought(redacted="AAAA"), Thought("Then.")),
        order=(K.THOUGHT, K.THOUGHT, K.PART, K.PART, K.THOUGHT, K.CALL, K.PART, K.PART),
    )
    assert (request.ignored, request.notices) == ((), ())


@pytest.mark.parametrize("content", ["", [], [text("")], [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]])
def test_an_assistant_that_says_nothing_is_left_out(content):
    request = request_of(messages=[HELLO, {"role": "assistant", "content": content, "x": 1}, HELLO])
    assert [message.role for message in request.messages] == [USER, USER]
    assert request.notices == (Notice("history_item_dropped", "empty assistant message"),)
    assert request.ignored == ("messages.x",)


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "tool_use", "name": "b", "input": {}}, "id"),
        ({"type": "tool_use", "id": "a", "input": {}}, "name"),
        ({"type": "tool_use", "id": "a", "name": "b"}, "input"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}, "input"),
        ({"type": "thinking", "signature": "x"}, "thinking"),
        ({"type": "redacted_thinking"}, "data"),
        ({"type": "tool_result", "tool_use_id": "a"}, "type"),
    ],
)
def test_an_assistants_block_without_meaning_is_refused(block, param):
    assert refused(messages=[HELLO, assistant("x", block)]).param == f"messages[1].content[1].{param}"


# -- results ---------------------------------------------------------------------------------------------------------------------------------------


def test_results_come_before_the_rest_of_the_users_message():
    turn = user("First.", result("b", None), "Second.", result("a", [text("r"), text("s"), {"type": "image", "source": PNG}, REFERENCE], **CACHED))
    turn["name"] = "Ann"
    request = request_of(messages=[HELLO, assistant(use("a"), use("b")), turn])
    image = ImagePart(PNG_URL, path="messages[2].content[3].content[2]")
    assert request.messages[2:] == (
        Message(TOOL, (), tool_call_id="b"),
        Message(
            TOOL,
            (TextPart("r"), TextPart("\n"), TextPart("s"), image, TextPart("[tool WebSearch]", {"tool_reference": REFERENCE})),
            tool_call_id="a",
            extra=CACHED,
        ),
        Message(USER, (TextPart("First."), TextPart("\n"), TextPart("Second.")), extra={"name": "Ann"}),
    )
    assert request.notices == ()


def test_a_message_of_results_leaves_nothing_behind_them():
    request = request_of(messages=[HELLO, assistant(use()), {**user(result(is_error=True)), "x": 1}])
    assert request.messages[2:] == (Message(TOOL, (TextPart("ok"),), tool_call_id="toolu_1", is_error=True),)
    assert request.ignored == ("messages.x",)


def test_results_find_their_calls_as_in_chat_completions_and_notices_name_the_clients_places():
    lost = user("Well.", result("a"), result("zzz", "orphan"))
    request = request_of(messages=[HELLO, assistant(use("a")), HELLO, lost, assistant(use("b"))], system="S")
    assert [(message.role, message.tool_call_id) for message in request.messages] == [
        (SYSTEM, None),
        (USER, None),
        (ASSISTANT, None),
        (TOOL, "a"),
        (USER, None),
        (TOOL, "zzz"),
        (USER, None),
        (ASSISTANT, None),
    ]
    assert request.notices == (
        Notice("tool_results_moved", "messages[3].content[1] was moved behind the call that it answers"),
        Notice("orphan_tool_result", "messages[3].content[2] answers no call"),
        Notice("tool_call_unanswered", "messages[4] makes a call that has no result"),
    )


def test_an_empty_user_message_stays_one():
    assert messages_of({"role": "user", "content": ""}) == (Message(USER),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [HELLO] * 10_001}, "messages"),
        ({"messages": [user(*["x"] * 6000), user(*["x"] * 6000)]}, "messages[1].content"),
        ({"messages": [HELLO], "tools": [BASH] * 10_001}, "tools"),
        ({"messages": [assistant(*[use()] * 5000), assistant(*[use()] * 5001)]}, "messages[1].content"),
    ],
)
def test_what_is_there_too_often_is_refused(fields, param):
    assert refused(**fields).param == param
