"""Reasoning that an answer showed as text is taken out of the history, and nothing else is (O10)."""

import json
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.emit.base import AnswerHead
from pipeline.emit.cursor import CursorStream
from pipeline.emit.reasoning_display import displayed
from pipeline.events import Event, Finish, Notice, RefusalDelta, TextDelta, ThinkingDelta, UsageReport
from pipeline.parse.cursor import parse_cursor
from pipeline.parse.shown_reasoning import LARGE_CHARS, is_large, strip_shown, strip_text
from pipeline.request import ImagePart, Message, Part, Request, Role, TextPart, ToolCall
from pipeline.thinking_blocks import BLOCKS, Display

DISPLAYS: tuple[Display, ...] = ("off", "think", "details", "field")
FORMS = tuple(BLOCKS)
BLOCK = "<think>\nHm.\n</think>\n\n"
DETAILS = "<details>\n<summary>Thinking</summary>\n\nHm.\n\n</details>\n\n"
FRAGMENTS = (
    *(
        "<think>",
        "</think>",
        "<details>",
        "</details>",
        "<summary>Thinking</summary>",
        "<thi",
        "nk>",
        "\n",
        "\n\n",
        " ",
        "\t",
        "a",
        "b c.",
        "```",
        "~~~",
    ),
    *("```py\n", "\r\n", "é", "\u200b", "Hm."),
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join) | st.text()


def shown(events: list[Event], display: Display) -> str:
    """The text that a client has got, and sends back."""
    emitter = CursorStream(AnswerHead("chatcmpl-1", 1, "m"), lambda: UsageReport(1, 1), display)
    data = b"".join(emitter.feed([event]) for event in events)
    chunks = [json.loads(record[6:]) for record in data.decode().split("\n\n") if record.startswith("data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@given(st.sampled_from(DISPLAYS), TEXTS, TEXTS)
def test_O10_what_was_shown_is_removed(display, thinking, text):
    assume(strip_text(text) == text)  # a block that the model wrote itself is no text of the user's either
    assert strip_text(displayed(display, thinking, text)) == text


@given(
    st.sampled_from(DISPLAYS),
    st.lists(st.tuples(st.sampled_from([TextDelta, ThinkingDelta, RefusalDelta]), TEXTS.filter(bool)), max_size=8),
)
def test_O10_however_often_the_model_thought(display, spoken):
    events: list[Event] = [kind(text) for kind, text in spoken]
    text = "".join(text for kind, text in spoken if kind is not ThinkingDelta)
    assume(not any(mark in text for mark in ("```", "~~~", "<think>", "<details>")))  # a block in an open block of code is text
    assert strip_text(shown([*events, Finish()], display)) == text


@given(st.sampled_from(FORMS), TEXTS, TEXTS, st.sampled_from([str.strip, lambda text: text.replace("\n", "\r\n"), lambda text: "\n" + text]))
def test_O10_a_client_may_trim_it(display, thinking, text, changed):
    assume(thinking.strip())
    assume(strip_text(text) == text)
    assume("\r" not in thinking + text)
    left = strip_text(changed(displayed(display, thinking, text)))
    assert left.strip() == changed(text).strip()
    assert strip_text(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "Use `<think>` for that.\n\nAnd </think> ends it.",
        "A tag: <think>\nHm.\n</think>\n\nin a sentence",
        "Behind one line end\n<think>\nHm.</think>\n\nonly",
        "Behind one line end\n<think> Hm.\n</think>\n\nonly",
        "Behind one line end\n<think>\nHm.\n</think> only",
        "```html\n<think>\nHm.\n</think>\n\n```",
        "```\n\n<think>\nHm.\n</think>\n\n```",
        "~~~ html\n\n<think>\nHm.\n</think>\n\n```\n\n<details>\n<summary>Thinking</summary>\n\nHm.\n\n</details>\n~~~",
        "```\n```py\n\n<think>\nHm.\n</think>\n\n```",
        "````\n```\n\n<think>\nHm.\n</think>\n````\n",
        "```\nnever closed\n\n<think>\nHm.\n</think>\n\n",
        "    <think>\nHm.\n</think>",
        "<thinking>\nHm.\n</thinking>",
        "<think>Hm.</think>",
        "<THINK>\nHm.\n</THINK>",
        "<details>\n<summary>More</summary>\n\nHm.\n\n</details>\n",
        "Text.\n\n<think>\nwithout an end",
        "Text.\n\n<think>\nwith the other end\n</details>",
        "</think>\n\nText.",
        "",
        " \n",
    ],
)
def test_O10_other_text_stays(text):
    assert strip_text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (BLOCK + "Yes.", "Yes."),
        (DETAILS + "Yes.", "Yes."),
        (BLOCK + DETAILS + BLOCK + "Yes.", "Yes."),
        (BLOCK.strip(), ""),
        ("<think>\nstopped whi", ""),
        ("<think>\nstopped\n\n```\n<details>", ""),
        ("<think>", ""),
        (BLOCK + "<details> <summary>Thinking</summary>\nstopped", ""),
        ("One.\n\n" + BLOCK + "Two.\n\n" + DETAILS + "Three.", "One.Two.Three."),
        ("```py\ncode\n```\n\n" + BLOCK + "Two.", "```py\ncode\n```Two."),
        (BLOCK + "```\n<think>\n```", "```\n<think>\n```"),
        ("<think>\n```\ncode\n</think>\n\nYes.\n\n" + BLOCK, "Yes."),
        ("Inline ```code``` here\n\n" + BLOCK + "Two.", "Inline ```code``` hereTwo."),
        ("One.\r\n\r\n" + BLOCK.replace("\n", "\r\n") + "Two.", "One.Two."),
        (BLOCK + "\n\n  indented", "\n\n  indented"),
        (BLOCK + "one\n" + BLOCK + "two", "one\ntwo"),
        ("one\n" + DETAILS + "two\n" + BLOCK.strip(), "one\ntwo"),
        (BLOCK.strip() + "\none\n" + BLOCK.strip() + "\ntwo", "one\ntwo"),
        ("one\r\n" + BLOCK.replace("\n", "\r\n") + "two", "one\r\ntwo"),
        ("one\n<think>\nstopped", "one\n<think>\nstopped"),
    ],
)
def test_O10_blocks_go(text, left):
    assert strip_text(text) == left


def request(*messages: Message) -> Request:
    return Request("m", messages, notices=(Notice("earlier"),))


def says(*texts: str, role: Role = Role.ASSISTANT, calls: tuple[ToolCall, ...] = ()) -> Message:
    return Message(role, tuple(TextPart(text) for text in texts), calls)


def test_O10_only_assistants_are_read():
    others = [says(BLOCK + "Yes.", role=role) for role in Role if role is not Role.ASSISTANT]
    given = request(*others, says("Nothing."))
    assert strip_shown(given) is given
    changed = strip_shown(request(*others, says(BLOCK + "Yes.")))
    assert changed.messages == (*others, says("Yes."))
    assert changed.notices == (Notice("earlier"), Notice("shown_reasoning_removed", "1 of the assistant's messages"))


def test_O10_a_message_with_nothing_left_goes_unless_it_calls():
    calls = (ToolCall("call_1", "Read", "{}"),)
    given = request(says("Go.", role=Role.USER), says(BLOCK), says("<think>\nstop"), says(BLOCK, calls=calls), says("<think>\n", "Yes."))
    assert strip_shown(given).messages == (says("Go.", role=Role.USER), says(calls=calls), says("Yes."))
    assert strip_shown(given).notices[-1].detail == "4 of the assistant's messages"


def test_O10_what_was_empty_before_stays():
    empty = Message(Role.ASSISTANT)
    assert strip_shown(request(empty, says(""), says(BLOCK))).messages == (empty, says(""))


def test_O10_the_rest_of_a_part_and_a_message_stays():
    image: Part = ImagePart("data:,")
    parts = (image, TextPart(BLOCK + "Yes.", {"cache_control": {"type": "ephemeral"}}))
    message = Message(Role.ASSISTANT, parts, name="a", reasoning="r", extra={"x": 1})
    (after,) = strip_shown(request(message)).messages
    left = (image, TextPart("Yes.", {"cache_control": {"type": "ephemeral"}}))
    assert after == Message(Role.ASSISTANT, left, name="a", reasoning="r", extra={"x": 1})


@pytest.mark.parametrize("apart", ["messages", "parts", "items"])
def test_N4_O10_what_was_shown_in_texts_that_are_folded_goes(apart):
    """Cursor sends one answer as several messages, items or parts, which become one text."""
    texts = [BLOCK + "one", DETAILS + "two", BLOCK.strip(), "three"]
    if apart == "parts":
        entries: list[dict[str, object]] = [{"role": "assistant", "content": [{"type": "text", "text": text} for text in texts]}]
    else:
        kind = {"type": "message"} if apart == "items" else {}
        entries = [{**kind, "role": "assistant", "content": text} for text in texts]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "q"}, *entries, {"role": "user", "content": "r"}]})
    assert strip_shown(parse_cursor(body.encode())).messages[1] == says("one\ntwo\nthree")


def test_a_request_is_large_by_the_text_of_its_assistants():
    long = "x" * LARGE_CHARS
    assert not is_large(request(says(long + "x", role=Role.USER), says(long)))
    assert is_large(request(says(long), says("x")))


@pytest.mark.parametrize("unit", ["\n\n<think>\na", "\n```\n\n<details>\n<summary>Thinking</summary>"])
def test_blocks_without_an_end_are_looked_for_once(unit):
    """Text that is made to look like a million blocks costs what a search for one costs."""
    text = "x" + unit * 200_000
    before = time.thread_time()
    assert strip_text(text) == text
    assert time.thread_time() - before < 0.25


def test_what_stands_behind_the_last_tag_is_not_looked_at():
    text = "<details>" + "\n" * 5_000_000
    before = time.thread_time()
    assert strip_text(text) == text
    assert time.thread_time() - before < 0.1


@pytest.mark.parametrize(
    "unit",
    [
        "x\n\n<think>\n",
        "x\n\n<details>\n<summary>Thinking</summary>\n\n",
        "x\n<details>" + " " * 40,
        BLOCK,
        "```\n",
        "`",
        "\n",
        "x\n\n" + DETAILS,
    ],
)
def test_time_is_linear_in_the_text(unit):
    def seconds(size: int) -> float:
        text = "x" + unit * (size // len(unit)) + "<think>"
        before = time.thread_time()
        strip_text(text)
        return time.thread_time() - before

    small = min(seconds(50_000) for _ in range(3))
    assert min(seconds(800_000) for _ in range(2)) < 16 * 5 * max(small, 0.0005)
