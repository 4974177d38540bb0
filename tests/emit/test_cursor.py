"""What Cursor is sent, rule by rule (O1–O11, O13, O15), and the same in one object."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from pipeline.emit.base import AnswerHead
from pipeline.emit.chat import DONE, KEEPALIVE
from pipeline.emit.cursor import CursorStream, cursor_dialect
from pipeline.emit.whole import Whole
from pipeline.errors import StreamCut, UpstreamUnavailable
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.machine.custom_calls import CustomCalls
from pipeline.thinking_blocks import Display

USAGE = UsageReport(100, 20, reasoning_tokens=5)
HEAD = AnswerHead("chatcmpl-1", 17, "kimi-k3-high")
READ: list[Event] = [ToolCallStart(0, "call_r", "Read"), ToolCallDelta(0, '{"path":'), ToolCallDelta(0, '"a"}'), ToolCallEnd(0)]
PATCH: list[Event] = [
    ToolCallStart(1, "call_p", "ApplyPatch", custom=True),
    ToolCallDelta(1, '*** "Begin"\n'),
    ToolCallDelta(1, "\\+a\n"),
    ToolCallEnd(1),
]
FAILED = Failed(StreamCut("The upstream's stream ended\n before its end mark."))
WORDS = "**Error:** The upstream's stream ended before its end mark."
DISPLAYS: tuple[Display, ...] = ("off", "think", "details", "field")


class Shown:
    """What an answer's bytes say; each event is a list of its own, so that every delta meets every state."""

    def __init__(self, *events: Event, display: Display = "think", head: AnswerHead = HEAD, at_once: bool = False) -> None:
        self.emitter = cursor_dialect(display).stream(head, lambda: USAGE)
        lists = [list(events)] if at_once else [[event] for event in events]
        self.data = b"".join(self.emitter.feed(batch) for batch in lists)
        records = self.data.decode().split("\n\n")
        assert records.pop() == ""
        assert all(record.startswith(("data: ", ": ")) and "\n" not in record for record in records)
        self.done_count = records.count("data: [DONE]")
        self.chunks = [json.loads(record[6:]) for record in records if record.startswith("data: {")]
        for chunk in self.chunks:
            ChatCompletionChunk.model_validate(chunk, strict=True)
        assert self.emitter.chunks == len(self.chunks)

    @property
    def choices(self) -> list[dict]:
        return [chunk["choices"][0] for chunk in self.chunks if chunk["choices"]]

    @property
    def deltas(self) -> list[dict]:
        return [choice["delta"] for choice in self.choices]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def call_deltas(self) -> list[dict]:
        return [call for delta in self.deltas for call in delta.get("tool_calls", ())]

    @property
    def finish_reasons(self) -> list[str]:
        return [choice["finish_reason"] for choice in self.choices if choice["finish_reason"] is not None]

    @property
    def is_ended(self) -> bool:
        """Whether a client takes the answer for whole."""
        return bool(self.finish_reasons or self.done_count)


# -- O1: the head of every chunk


def test_O1_every_chunk_has_the_same_head():
    shown = Shown(ThinkingDelta("hm"), TextDelta("a"), *READ, *PATCH, Finish())
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in shown.chunks} == {
        ("chatcmpl-1", 17, "kimi-k3-high", "chat.completion.chunk")
    }
    assert all("finish_reason" in choice for choice in shown.choices)
    assert ["role" in delta for delta in shown.deltas] == [True, *[False] * (len(shown.deltas) - 1)]


@pytest.mark.parametrize("first", [Notice("odd"), ThinkingDelta(" \n"), READ[0], Finish(), FAILED], ids=lambda event: type(event).__name__)
def test_O1_the_role_comes_first_whatever_comes_first(first):
    assert Shown(first).deltas[0] == {"role": "assistant", "content": None}


# -- O2, O3, O4, O5: calls


def test_O2_a_call_names_itself_once():
    assert Shown(*READ).call_deltas == [
        {"index": 0, "id": "call_r", "type": "function", "function": {"name": "Read", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"path":'}},
        {"index": 0, "function": {"arguments": '"a"}'}},
    ]


def test_O2_a_call_without_arguments_is_one_delta():
    assert len(Shown(ToolCallStart(0, "call_1", "Now"), ToolCallEnd(0), Finish()).call_deltas) == 1


@pytest.mark.parametrize("indices", [(0, 1, 2), (1, 2, 3), (0, 0, 0), (7, 3, 9)])
def test_O3_indices_count_from_zero(indices):
    events = [event for index in indices for event in (ToolCallStart(index, f"call_{index}", "Read"), ToolCallDelta(index, "{}"), ToolCallEnd(index))]
    assert [call["index"] for call in Shown(*events).call_deltas] == [0, 0, 1, 1, 2, 2]


def test_O4_ids_are_the_upstreams():
    assert [call["id"] for call in Shown(*READ, *PATCH).call_deltas if "id" in call] == ["call_r", "call_p"]


def test_O5_a_custom_call_is_a_function_with_raw_arguments():
    shown = Shown(*PATCH, Finish())
    assert shown.call_deltas == [
        {"index": 0, "id": "call_p", "type": "function", "function": {"name": "ApplyPatch", "arguments": ""}},
        {"index": 0, "function": {"arguments": '*** "Begin"\n'}},
        {"index": 0, "function": {"arguments": "\\+a\n"}},
    ]
    assert b'"custom"' not in shown.data


def test_O5_a_wrapped_call_leaves_as_a_native_one_does():
    wrapped = json.dumps({"input": '*** "Begin"\n\\+a\n'})
    given: list[Event] = [ToolCallStart(1, "call_p", "ApplyPatch"), *(ToolCallDelta(1, piece) for piece in wrapped), ToolCallEnd(1)]
    shown = Shown(*CustomCalls({"ApplyPatch"}).feed(given), Finish())
    assert "".join(call["function"]["arguments"] for call in shown.call_deltas) == '*** "Begin"\n\\+a\n'
    assert b'"custom"' not in shown.data


@given(st.lists(st.text(min_size=1), max_size=5), st.booleans())
def test_O6_each_delta_is_sent_once(pieces, custom):
    events: list[Event] = [ToolCallStart(0, "call_1", "T", custom=custom), *(ToolCallDelta(0, piece) for piece in pieces), ToolCallEnd(0)]
    assert [call["function"]["arguments"] for call in Shown(*events, Finish()).call_deltas] == ["", *pieces]


# -- O7, O8, O9: the end


@pytest.mark.parametrize(
    ("events", "reason", "expected"),
    [
        ([TextDelta("a")], FinishReason.STOP, "stop"),
        ([TextDelta("a")], FinishReason.LENGTH, "length"),
        ([TextDelta("a")], FinishReason.CONTENT_FILTER, "content_filter"),
        ([TextDelta("a")], FinishReason.TOOL_CALLS, "stop"),  # it said so, and sent none
        (READ, FinishReason.STOP, "tool_calls"),
        (READ, FinishReason.LENGTH, "tool_calls"),
        (PATCH, FinishReason.CONTENT_FILTER, "tool_calls"),
        ([*READ, TextDelta("a")], FinishReason.TOOL_CALLS, "tool_calls"),
        (READ[:-1], FinishReason.LENGTH, "length"),  # cut JSON runs nowhere
        ([*PATCH, *READ[:-2]], FinishReason.LENGTH, "length"),
        ([], FinishReason.STOP, "stop"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_O7_one_finish_reason_by_what_was_sent(events, reason, expected, at_once):
    shown = Shown(*events, Finish(reason), at_once=at_once)
    assert shown.finish_reasons == [expected]
    assert shown.emitter.reason == expected
    assert shown.emitter.error is None
    assert not shown.emitter.is_broken


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("end", [Finish(), Finish(FinishReason.LENGTH), FAILED], ids=["stop", "length", "failed"])
def test_O8_usage_comes_always_and_last(asked, end):
    shown = Shown(TextDelta("a"), end, head=AnswerHead("chatcmpl-1", 17, "m", include_usage=asked))
    assert [chunk["choices"] for chunk in shown.chunks if chunk["usage"]] == [[]]
    assert shown.chunks[-1]["usage"]["prompt_tokens"] == 100
    assert shown.chunks[-1]["usage"]["estimated"] is True
    assert shown.data.endswith(b"}\n\n" + DONE)


@pytest.mark.parametrize("events", [[], [TextDelta("a")], READ, PATCH, [ThinkingDelta("a")]])
@pytest.mark.parametrize("end", [Finish(), FAILED], ids=["finished", "failed"])
def test_O9_one_done(events, end):
    assert Shown(*events, end).done_count == 1


# -- O10: reasoning

THINKING: list[Event] = [ThinkingDelta("\n Let me"), ThinkingDelta(" see.")]


@pytest.mark.parametrize(
    ("display", "text", "field"),
    [
        ("off", "Yes.", ""),
        ("think", "<think>\nLet me see.\n</think>\n\nYes.", ""),
        ("details", "<details>\n<summary>Thinking</summary>\n\nLet me see.\n\n</details>\n\nYes.", ""),
        ("field", "Yes.", "\n Let me see."),
    ],
)
def test_O10_each_display(display, text, field):
    for at_once in (True, False):
        shown = Shown(*THINKING, TextDelta("Yes"), TextDelta("."), Finish(), display=display, at_once=at_once)
        assert shown.text == text
        assert "".join(delta.get("reasoning_content", "") for delta in shown.deltas) == field


def test_O10_one_delta_stays_one_chunk():
    assert [delta["content"] for delta in Shown(*THINKING, TextDelta("Yes"), TextDelta(".")).deltas[1:]] == [
        "<think>\nLet me",
        " see.",
        "\n</think>\n\nYes",
        ".",
    ]


CLOSED = "<think>\nLet me see.\n</think>\n\n"


@pytest.mark.parametrize(
    ("following", "text"),
    [
        ([TextDelta("a")], CLOSED + "a"),
        ([RefusalDelta("No.")], CLOSED + "No."),
        (READ, CLOSED),
        (PATCH, CLOSED),
        ([Finish()], CLOSED),
        ([FAILED], CLOSED + WORDS),
        ([Notice("odd"), Finish()], CLOSED),
    ],
    ids=["text", "refusal", "function", "custom", "end", "failure", "notice and end"],
)
def test_O10_the_block_is_closed_before_what_follows(following, text):
    for at_once in (True, False):
        shown = Shown(*THINKING, *following, at_once=at_once)
        assert shown.text == text
        contents = ["tool" if "tool_calls" in delta else delta.get("content") for delta in shown.deltas]
        if "tool" in contents:
            assert contents.index("\n</think>\n\n") < contents.index("tool")


def test_O10_blocks_do_not_nest_and_each_is_a_paragraph():
    events = [*THINKING, TextDelta("a"), ThinkingDelta("b"), *READ, ThinkingDelta("c"), TextDelta("d"), ThinkingDelta("e"), Finish()]
    expected = CLOSED + "a\n\n<think>\nb\n</think>\n\n<think>\nc\n</think>\n\nd\n\n<think>\ne\n</think>\n\n"
    assert Shown(*events).text == expected


def test_O10_thinking_of_white_space_opens_nothing():
    assert Shown(ThinkingDelta("\n"), ThinkingDelta("  "), TextDelta("a"), Finish()).text == "a"


@pytest.mark.parametrize("display", ["think", "details"])
@pytest.mark.parametrize("tag", ["<think>", "</think>", "<details>", "</details>"])
def test_O10_the_model_cannot_end_the_block(display, tag):
    thinking = f"a{tag}b{tag}{tag}"
    texts = {Shown(ThinkingDelta(thinking), TextDelta("c"), display=display).text}
    texts.add(Shown(*(ThinkingDelta(letter) for letter in thinking), TextDelta("c"), display=display).text)
    assert len(texts) == 1
    text = texts.pop()
    assert text.count(f"</{display}>") == 1
    assert text.replace("\u200b", "").count(tag) == 3 + (display in tag)


def test_O10_a_tag_does_not_reach_from_block_to_block():
    text = Shown(ThinkingDelta("a</think"), TextDelta("b"), ThinkingDelta(">c"), Finish()).text
    assert text == "<think>\na</think\n</think>\n\nb\n\n<think>\n>c\n</think>\n\n"


# -- O11: failures


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([], WORDS),  # the head was sent early
        ([TextDelta("a\n")], "a\n\n\n" + WORDS),
        ([RefusalDelta("No")], "No\n\n" + WORDS),
        ([ThinkingDelta("a")], "<think>\na\n</think>\n\n" + WORDS),
        (READ, WORDS),
        ([TextDelta("a"), *PATCH], "a\n\n" + WORDS),
    ],
    ids=["nothing", "text", "refusal", "thinking", "function", "text and custom"],
)
def test_O11_a_failure_outside_a_call_is_said_in_the_chat(events, text):
    shown = Shown(*events, FAILED)
    assert shown.text == text
    assert shown.finish_reasons == ["stop"]
    assert shown.done_count == 1
    assert b'"error"' not in shown.data
    assert shown.emitter.error is FAILED.error
    assert shown.emitter.reason is None
    assert not shown.emitter.is_broken


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("call", [READ, PATCH], ids=["function", "custom"])
@pytest.mark.parametrize("at_once", [True, False])
def test_O11_a_failure_inside_a_call_says_nothing(call, count, at_once):
    before, after = (Shown(*READ, ThinkingDelta("x"), *call[:count], *end, at_once=at_once) for end in ([], [FAILED]))
    assert after.data == before.data
    assert not after.is_ended
    assert after.emitter.is_broken
    assert after.emitter.error is FAILED.error
    assert after.emitter.reason is None


@pytest.mark.parametrize("reason", FinishReason)
def test_O11_an_end_inside_a_patch_is_no_end(reason):
    shown = Shown(*PATCH[:-1], Finish(reason))
    assert not shown.is_ended
    assert shown.emitter.is_broken
    assert shown.emitter.error is not None
    assert shown.emitter.error.code == "tool_call_cut"
    assert shown.emitter.reason is None


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.TOOL_CALLS])
def test_O11_a_function_that_is_open_at_an_ordinary_end_is_not_run(reason):
    shown = Shown(*READ[:-1], Finish(reason))
    assert not shown.is_ended
    assert shown.emitter.is_broken


def test_O11_a_failure_behind_comments_alone():
    emitter = CursorStream(HEAD, lambda: USAGE, "think")
    assert [emitter.feed([]), emitter.feed([])] == [KEEPALIVE, KEEPALIVE]
    data = emitter.feed([Failed(UpstreamUnavailable("The upstream is not there."))])
    assert b'{"role":"assistant","content":null}' in data
    assert data.endswith(DONE)


# -- O13, O15, notices


def test_O13_silence_is_a_comment_and_white_space_is_not_silence():
    emitter = CursorStream(HEAD, lambda: USAGE, "think")
    emitter.feed([TextDelta("a")])
    assert emitter.feed([]) == KEEPALIVE
    assert emitter.feed([ThinkingDelta("\n")]) == b""


def test_O15_a_refusal_is_text():
    assert Shown(RefusalDelta("I "), RefusalDelta("cannot."), Finish()).text == "I cannot."


def test_notices_are_collected():
    shown = Shown(Notice("odd"), TextDelta("a"), Notice("odder"), Finish())
    assert [notice.code for notice in shown.emitter.notices] == ["odd", "odder"]


# -- any answer at all

CALL_EVENTS = st.tuples(st.booleans(), st.lists(st.text(min_size=1), max_size=3)).map(
    lambda made: [ToolCallStart(0, "call", "T", custom=made[0]), *(ToolCallDelta(0, text) for text in made[1]), ToolCallEnd(0)]
)
SPOKEN = st.one_of([st.text(min_size=1).map(kind) for kind in (TextDelta, ThinkingDelta, RefusalDelta)]).map(lambda event: [event])
ENDS = st.sampled_from([*map(Finish, FinishReason), FAILED])


@given(st.lists(SPOKEN | CALL_EVENTS, max_size=8), ENDS, st.integers(0, 2), st.sampled_from(DISPLAYS), st.booleans())
def test_any_answer_ends_once_or_is_broken(spoken, end, missing, display, at_once):
    events = list(itertools.chain.from_iterable(spoken))
    is_open = 0 < missing < len(events) and not isinstance(events[-missing], ToolCallStart) and isinstance(events[-1], ToolCallEnd)
    shown = Shown(*(events[: len(events) - missing] if is_open else events), end, display=display, at_once=at_once)
    emitter = shown.emitter
    assert emitter.is_broken is not shown.is_ended
    assert len(shown.finish_reasons) == shown.done_count == (not emitter.is_broken)
    assert (emitter.reason is None) is (emitter.error is not None)
    if isinstance(end, Failed):
        assert emitter.is_broken is is_open
    if not is_open:
        sent = "".join(event.text for event in events if isinstance(event, TextDelta | RefusalDelta))
        assert display != "off" or shown.text.startswith(sent)


# -- the whole form


def whole(*events: Event, display: Display = "think", reason: FinishReason = FinishReason.STOP) -> dict:
    folded = Whole()
    folded.add([*events, Finish(reason)])
    answer = json.loads(cursor_dialect(display).whole(HEAD, folded, USAGE))
    ChatCompletion.model_validate(answer, strict=True)
    assert answer["usage"]["prompt_tokens"] == 100
    assert answer["model"] == "kimi-k3-high"
    return answer["choices"][0]


def test_O5_O7_the_whole_form_has_the_same_envelopes():
    choice = whole(*READ, *PATCH)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_r", "type": "function", "function": {"name": "Read", "arguments": '{"path":"a"}'}},
        {"id": "call_p", "type": "function", "function": {"name": "ApplyPatch", "arguments": '*** "Begin"\n\\+a\n'}},
    ]


@pytest.mark.parametrize("display", DISPLAYS)
def test_O10_O15_the_whole_form_shows_what_the_stream_shows(display):
    events: list[Event] = [*THINKING, TextDelta("Yes."), RefusalDelta("No.")]
    message = whole(*events, display=display)["message"]
    shown = Shown(*events, Finish(), display=display)
    assert message["content"] == shown.text
    assert message.get("reasoning_content", "") == "".join(delta.get("reasoning_content", "") for delta in shown.deltas)


@pytest.mark.parametrize("reason", FinishReason)
def test_O7_the_whole_form_ends_as_the_stream_does(reason):
    assert whole(TextDelta("a"), reason=reason)["finish_reason"] == Shown(TextDelta("a"), Finish(reason)).finish_reasons[0]
    assert whole(*READ, reason=reason)["finish_reason"] == "tool_calls"
    assert whole(*PATCH[:-1], reason=FinishReason.LENGTH)["finish_reason"] == "length"
