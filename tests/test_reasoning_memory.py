"""The reasoning memory: what comes back, to whom, however a client writes its history; that it is bounded, and linear."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import reasoning_memory
from pipeline.conversation_name import ConversationName
from pipeline.emit.whole import Whole
from pipeline.errors import AnswerUnsatisfied, StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.reasoning_memory import ENTRY_BYTES, ReasoningMemory, Remembering
from pipeline.request import ImagePart, Message, OpaquePart, Request, Role, TextPart, ToolCall

THOUGHT = "I had better look."
CALL = ToolCall("call_1", "read", '{"path": "a.py", "lines": [1, 2.5]}')
ME: dict[str, Any] = {"owner": "me", "model": "kimi-k3"}


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def assistant(text: str, *calls: ToolCall, **fields) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),) if text else (), calls, **fields)


def result(text: str, call_id: str = "call_1") -> Message:
    return Message(Role.TOOL, (TextPart(text),), tool_call_id=call_id)


def request(*messages: Message) -> Request:
    return Request("kimi", messages)


def answer(text: str, *calls: ToolCall, thinking: str = THOUGHT) -> list[Event]:
    events: list[Event] = [ThinkingDelta(thinking)] if thinking else []
    if text:
        events.append(TextDelta(text))
    for index, call in enumerate(calls):
        events += [ToolCallStart(index, call.id, call.name, call.custom), ToolCallDelta(index, call.arguments), ToolCallEnd(index)]
    return [*events, Finish(FinishReason.TOOL_CALLS)]


def whole(events: list[Event]) -> Whole:
    made = Whole()
    made.add(events)
    return made


def memory(entries: int = 100, max_bytes: int = 100_000, seconds: float = 60, **clock) -> ReasoningMemory:
    return ReasoningMemory(entries, max_bytes, seconds, **clock)


FIRST = request(Message(Role.SYSTEM, (TextPart("Be brief."),)), user("Look at it."))


def knowing(asked: Request = FIRST, events: list[Event] | None = None) -> ReasoningMemory:
    kept = memory()
    kept.remember(asked, whole(answer("Looking.", CALL) if events is None else events), **ME)
    return kept


def echoed(kept: ReasoningMemory, message: Message, before: Request = FIRST, **who) -> str | None:
    """What is put into `message`, echoed behind the conversation that it answered."""
    later = request(*before.messages, message, result("x = 1"))
    return kept.recall(later, **{**ME, **who}).messages[len(before.messages)].reasoning


def test_the_reasoning_comes_back_to_its_message():
    later = request(*FIRST.messages, assistant("Looking.", CALL), result("x = 1"))
    kept = knowing()
    recalled = kept.recall(later, **ME)
    assert [message.reasoning for message in recalled.messages] == [None, None, THOUGHT, None]
    assert msgspec.structs.replace(recalled, messages=later.messages) == later
    assert (kept.missing(later), kept.missing(recalled)) == (1, 0)


def test_a_whole_conversation_comes_back_turn_by_turn():
    kept, asked = memory(), FIRST
    for turn in range(4):
        call = ToolCall(f"call_{turn}", "read", f'{{"turn":{turn}}}')
        kept.remember(kept.recall(asked, **ME), whole(answer("", call, thinking=f"thought {turn}")), **ME)
        asked = request(*asked.messages, assistant("", call), result("done", call.id))
    recalled = kept.recall(asked, **ME)
    assert [message.reasoning for message in recalled.messages if message.tool_calls] == [f"thought {turn}" for turn in range(4)]


SAME = {
    "as sent": assistant("Looking.", CALL),
    "trimmed and folded": assistant("\n Look ing. \r\n", CALL),
    "in two parts": Message(Role.ASSISTANT, (TextPart("Look"), TextPart("ing.")), (CALL,)),
    "another id": assistant("Looking.", msgspec.structs.replace(CALL, id="functions-read-0")),
    "arguments without white space": assistant("Looking.", ToolCall("call_1", "read", '{"path":"a.py","lines":[1,2.5]}')),
    "arguments in another order": assistant("Looking.", ToolCall("call_1", "read", '{"lines":[1,2.5],"path":"a.py"}')),
    "arguments with escapes": assistant("Looking.", ToolCall("call_1", "read", '{"path":"\\u0061.py","lines":[1.0,25e-1]}')),
    "with extra fields": assistant("Looking.", msgspec.structs.replace(CALL, extra={"index": 0}), extra={"cache_control": {}}, name="kimi"),
}


@pytest.mark.parametrize("message", SAME.values(), ids=SAME)
def test_what_a_client_makes_of_an_answer_is_the_same_answer(message):
    assert echoed(knowing(), message) == THOUGHT


OTHER = {
    "other text": assistant("Looked.", CALL),
    "no text": assistant("", CALL),
    "other tool": assistant("Looking.", msgspec.structs.replace(CALL, name="write")),
    "other arguments": assistant("Looking.", msgspec.structs.replace(CALL, arguments='{"path":"b.py","lines":[1,2.5]}')),
    "one call more": assistant("Looking.", CALL, msgspec.structs.replace(CALL, id="call_2")),
}


@pytest.mark.parametrize("message", OTHER.values(), ids=OTHER)
def test_another_answer_has_other_reasoning(message):
    assert echoed(knowing(), message) is None


@pytest.mark.parametrize(
    "before",
    [
        request(user("Look at it.")),
        request(*FIRST.messages[:1], user("Look  at it.")),
        request(*FIRST.messages, user("")),
        request(FIRST.messages[0], msgspec.structs.replace(FIRST.messages[1], role=Role.SYSTEM)),
        request(FIRST.messages[0], Message(Role.USER, (TextPart("Look at it."), ImagePart("https://a.example/1.png")))),
    ],
)
def test_the_same_words_in_another_conversation_are_another_answer(before):
    assert echoed(knowing(), assistant("Looking.", CALL), before) is None


@pytest.mark.parametrize("who", [{"owner": "you"}, {"model": "kimi-k2"}, {"owner": "mekimi-k3", "model": ""}, {"owner": "", "model": "mekimi-k3"}])
def test_nobody_else_gets_it(who):
    assert echoed(knowing(), assistant("Looking.", CALL), **who) is None


def test_arguments_that_are_missing_are_an_empty_object():
    kept = knowing(events=answer("Looking.", ToolCall("call_1", "now", "{}")))
    assert echoed(kept, assistant("Looking.", ToolCall("call_1", "now", ""))) == THOUGHT
    assert echoed(kept, assistant("Looking.", ToolCall("call_1", "now", " {} "))) == THOUGHT


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("call_1", "ApplyPatch", "*** Begin\n+a\n", custom=True),
        ToolCall("call_1", "ApplyPatch", "*** Begin\n+a", custom=True),
        ToolCall("call_1", "ApplyPatch", "*** Begin\n+a"),
        ToolCall("call_1", "ApplyPatch", '{"input": "*** Begin\\n+a\\n"}'),
    ],
)
def test_a_custom_call_is_the_same_in_each_of_its_forms(call):
    kept = knowing(events=answer("", ToolCall("call_1", "ApplyPatch", "*** Begin\n+a\n", custom=True)))
    assert echoed(kept, assistant("", call)) == THOUGHT


def test_images_and_other_parts_are_told_apart_by_what_they_are():
    image = Message(Role.USER, (TextPart("See"), ImagePart("data:image/png;base64,AAAA")))
    fetched = Message(Role.USER, (TextPart("See"), ImagePart("data:image/png;base64,AAAA", "high", b"\0")))
    file = Message(Role.USER, (OpaquePart("file", {"type": "file", "file": {"file_id": "1", "name": "a"}}, "messages[0].content[0]"),))
    moved = Message(Role.USER, (OpaquePart("file", {"file": {"name": "a", "file_id": "1"}, "type": "file"}, "messages[9].content[0]"),))
    other = Message(Role.USER, (OpaquePart("file", {"type": "file", "file": {"file_id": "2", "name": "a"}}, "messages[0].content[0]"),))
    for before, same, different in ((image, fetched, file), (file, moved, other)):
        kept = knowing(request(before))
        assert echoed(kept, assistant("Looking.", CALL), request(same)) == THOUGHT
        assert echoed(kept, assistant("Looking.", CALL), request(different)) is None


def test_a_refusal_is_text_in_the_history():
    kept = knowing(events=[RefusalDelta("I'd rather not."), *answer("", CALL)])
    assert echoed(kept, assistant("I'd rather not.", CALL)) == THOUGHT


@pytest.mark.parametrize("events", [answer("No calls."), []], ids=["no calls", "nothing"])
def test_only_reasoning_before_calls_is_kept(events):
    assert len(knowing(events=events)) == 0


@pytest.mark.parametrize("target", [None, "a/kimi-k3"])
def test_a_turn_that_had_no_reasoning_is_not_missing_any(target):
    kept = knowing(events=answer("Looking.", CALL, thinking=""))
    later = request(*FIRST.messages, assistant("Looking.", CALL), result("x = 1"))
    assert kept.recall(later, **ME, target=target).messages[2].reasoning is None, "a model that never thinks may not know the field"
    kept.saw_thinking(target or "kimi-k3")
    recalled = kept.recall(later, **ME, target=target)
    assert recalled.messages[2].reasoning == ""
    assert (kept.missing(recalled), kept.missing(later)) == (0, 1)
    assert kept.recall(later, **ME, target="other").messages[2].reasoning is None


IN_PIECES = {
    "whole": ([1, 2, 3], [THOUGHT]),
    "call by call": ([1], [2], [3], [THOUGHT] * 3),
    "one and two": ([1], [2, 3], [THOUGHT] * 2),
    "two and one": ([1, 2], [3], [None] * 2),
    "the first alone": ([1], [THOUGHT]),
    "the first and the last": ([1], [3], [THOUGHT, None]),
    "in another order": ([1], [3], [2], [THOUGHT, None, None]),
    "without the first": ([2], [3], [None, None]),
}


@pytest.mark.parametrize("case", IN_PIECES.values(), ids=IN_PIECES)
def test_parallel_calls_may_be_echoed_in_pieces(case):
    *pieces, expected = case
    calls = {number: ToolCall(f"call_{number}", "read", f'{{"turn": {number}}}') for number in (1, 2, 3)}
    kept = knowing(events=answer("Looking.", *calls.values()))
    messages = []
    for at, numbers in enumerate(pieces):
        messages += [assistant("" if at else "Looking.", *(calls[number] for number in numbers))]
        messages += [result("done", f"call_{number}") for number in numbers]
    recalled = kept.recall(request(*FIRST.messages, *messages), **ME)
    assert [message.reasoning for message in recalled.messages if message.tool_calls] == expected


def test_a_call_behind_another_question_is_no_piece():
    calls = [ToolCall(f"call_{number}", "read", f'{{"turn": {number}}}') for number in (1, 2)]
    kept = knowing(events=answer("", *calls))
    recalled = kept.recall(request(*FIRST.messages, assistant("", calls[0]), result("x"), user("And now?"), assistant("", calls[1])), **ME)
    assert [message.reasoning for message in recalled.messages if message.tool_calls] == [THOUGHT, None]


@pytest.mark.parametrize(
    ("sent", "echoed_as"),
    [
        ("9007199254740993", "9007199254740992"),
        ("-12345678901234567890", "-12345678901234567000"),
        ("9007199254740992", "9007199254740992.0"),
        ("1e21", "1000000000000000000000"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
    ],
)
def test_numbers_are_as_javascript_has_them(sent, echoed_as):
    kept = knowing(events=answer("", ToolCall("call_1", "read", f'{{"a": [{{"b": {sent}}}]}}')))
    assert echoed(kept, assistant("", ToolCall("call_1", "read", f'{{"a":[{{"b":{echoed_as}}}]}}'))) == THOUGHT
    assert echoed(kept, assistant("", ToolCall("call_1", "read", '{"a":[{"b":9007199254749999}]}'))) is None


@pytest.mark.parametrize("number", ["9" * 400, "1" * 5000, "[" * 900 + "9007199254740993" + "]" * 900])
def test_no_number_is_too_much(number):
    same = ToolCall("call_1", "read", f'{{"a": {number}}}')
    assert echoed(knowing(events=answer("", same)), assistant("", same)) == THOUGHT


def test_thinkers_are_bounded():
    kept = memory()
    for number in range(reasoning_memory.MOST_THINKERS + 1):
        kept.saw_thinking(str(number))
    assert (kept.thinks("0"), kept.thinks("1"), kept.thinks(str(reasoning_memory.MOST_THINKERS))) == (False, True, True)


def test_reasoning_that_the_client_sent_stays():
    later = request(*FIRST.messages, assistant("Looking.", CALL, reasoning="The client's own."))
    kept = knowing()
    assert kept.recall(later, **ME) is later
    assert kept.missing(later) == 0


def test_a_turn_without_calls_is_not_missing_any():
    assert memory().missing(request(*FIRST.messages, assistant("Hello."))) == 0


# -- streams -----------------------------------------------------------------------------------------------------------------------------------


def remembering(kept: ReasoningMemory) -> Remembering:
    return Remembering(kept, FIRST, **ME)


def test_a_stream_is_remembered_at_its_end_and_passes_unchanged():
    kept, events = memory(), answer("Looking.", CALL)
    subject = remembering(kept)
    for event in events[:-1]:
        batch = [event]
        assert subject.feed(batch) is batch
        assert subject.feed([]) == []
    assert len(kept) == 0
    subject.feed(events[-1:])
    assert echoed(kept, assistant("Looking.", CALL)) == THOUGHT


@pytest.mark.parametrize("end", [Finish(), Failed(StreamCut("no"))])
def test_a_target_that_thinks_is_known_by_any_answer(end):
    kept = memory()
    Remembering(kept, FIRST, **ME, target="a/kimi-k3").feed([TextDelta("No."), end])
    assert not kept.thinks("a/kimi-k3")
    Remembering(kept, FIRST, **ME, target="a/kimi-k3").feed([ThinkingDelta("Hm."), TextDelta("No."), end])
    assert kept.thinks("a/kimi-k3")
    assert not kept.thinks("kimi-k3")


def test_a_stream_that_fails_is_not_remembered():
    kept = memory()
    remembering(kept).feed([*answer("Looking.", CALL)[:-1], Failed(StreamCut("no"))])
    assert len(kept) == 0


def test_a_second_answer_behind_a_failed_one_is_remembered_alone():
    kept = memory()
    subject = remembering(kept)
    subject.feed([ThinkingDelta("wrong"), TextDelta("No."), Failed(AnswerUnsatisfied("no"))])
    subject.feed(answer("Looking.", CALL))
    assert echoed(kept, assistant("Looking.", CALL)) == THOUGHT


def test_an_answer_larger_than_the_memory_is_not_collected():
    kept = memory(max_bytes=1000)
    subject = remembering(kept)
    for _ in range(20):
        subject.feed([ThinkingDelta("x" * 100)])
    assert len(subject._answer.thinking) <= 1000
    subject.feed(answer("Looking.", CALL))
    assert len(kept) == 0
    subject.feed(answer("Looking.", CALL))
    assert echoed(kept, assistant("Looking.", CALL)) == THOUGHT


# -- bounds ------------------------------------------------------------------------------------------------------------------------------------


def numbered(number: int) -> Request:
    return request(user(str(number)))


def test_what_is_not_asked_for_expires_and_what_is_asked_for_stays():
    now = [0.0]
    kept = memory(clock=lambda: now[0])
    for number in (1, 2):
        kept.remember(numbered(number), whole(answer("", CALL)), **ME)
    now[0] = 40
    assert echoed(kept, assistant("", CALL), numbered(1)) == THOUGHT
    now[0] = 60
    assert echoed(kept, assistant("", CALL), numbered(2)) is None
    assert (len(kept), kept.size_bytes) == (1, ENTRY_BYTES + len(THOUGHT))
    now[0] = 99
    assert echoed(kept, assistant("", CALL), numbered(1)) == THOUGHT
    now[0] = 159
    kept.recall(FIRST, **ME)
    assert (len(kept), kept.size_bytes) == (0, 0)


def test_what_was_not_asked_for_the_longest_goes_first():
    kept = memory(entries=2)
    for number in (1, 2):
        kept.remember(numbered(number), whole(answer("", CALL)), **ME)
    assert echoed(kept, assistant("", CALL), numbered(1)) == THOUGHT
    kept.remember(numbered(3), whole(answer("", CALL)), **ME)
    assert [echoed(kept, assistant("", CALL), numbered(number)) for number in (1, 2, 3)] == [THOUGHT, None, THOUGHT]


def test_one_that_does_not_fit_turns_nobody_out():
    kept = memory(max_bytes=2 * ENTRY_BYTES)
    kept.remember(numbered(1), whole(answer("", CALL)), **ME)
    kept.remember(numbered(2), whole(answer("", CALL, thinking="x" * 2 * ENTRY_BYTES)), **ME)
    assert len(kept) == 1


def test_the_same_answer_again_takes_no_more_room():
    kept = knowing()
    size = kept.size_bytes
    kept.remember(FIRST, whole(answer("Looking.", CALL)), **ME)
    assert (len(kept), kept.size_bytes) == (1, size)
    kept.remember(FIRST, whole(answer("Looking.", CALL, thinking="Or else.")), **ME)
    assert echoed(kept, assistant("Looking.", CALL)) == "Or else."


WORDS = st.text(st.sampled_from('ab{}":\\ \n\ud800ä😀'), max_size=6)
CALLS = st.builds(ToolCall, WORDS, WORDS, WORDS | st.just('{"a": 1.0}'), st.booleans())


@given(st.lists(st.tuples(st.sampled_from(["me", "you"]), st.sampled_from(["k2", "k3"]), WORDS, WORDS, CALLS), max_size=12))
def test_bounded_exact_and_never_anothers(turns):
    """Of what is remembered last for a name, the same name alone gets it; nothing else is ever given, and the bounds hold."""
    kept = memory(entries=5, max_bytes=5 * ENTRY_BYTES + 60)
    for number, (owner, model, asked, text, call) in enumerate(turns):
        kept.remember(request(user(asked)), whole(answer(text, call, thinking=f"{owner}/{model}/{number}")), owner=owner, model=model)
        assert len(kept) <= 5
        assert kept.size_bytes <= 5 * ENTRY_BYTES + 60
        assert kept.size_bytes == sum(ENTRY_BYTES + len(entry.text) for entry in kept._kept.values())
        assert echoed(kept, assistant(text, call), request(user(asked)), owner=owner, model=model) == f"{owner}/{model}/{number}"
    for _, _, asked, text, call in turns:
        for owner in ("me", "you"):
            for model in ("k2", "k3"):
                found = echoed(kept, assistant(text, call), request(user(asked)), owner=owner, model=model)
                assert found is None or found.startswith(f"{owner}/{model}/")


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), WORDS)
def test_no_two_conversations_have_one_name(first, second, text):
    kept = memory()
    kept.remember(request(*map(user, first)), whole(answer(text, CALL)), **ME)
    found = echoed(kept, assistant(text, CALL), request(*map(user, second)))
    assert (found == THOUGHT) == (first == second)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS, st.lists))
def test_arguments_written_anew_are_the_same(value):
    # as Python writes them, and tidied; half a character stands in an escape there
    tidy = json.dumps({"b": 1, "a": value}, separators=(",", ":"), sort_keys=True)
    kept = knowing(events=answer("", ToolCall("call_1", "read", json.dumps({"a": value, "b": 1.0}, indent=1))))
    found = echoed(kept, assistant("", ToolCall("call_1", "read", tidy)))
    assert found == THOUGHT or "\\ud800" in tidy


def test_the_cost_is_linear_in_the_conversation(monkeypatch):
    """Counted in bytes hashed: a conversation of ten times the turns costs ten times as much, and its text is hashed once."""
    hashed = [0]

    class Counting(ConversationName):
        def _field(self, data: bytes) -> None:
            hashed[0] += len(data)
            super()._field(data)

    monkeypatch.setattr(reasoning_memory, "ConversationName", Counting)

    def cost(turns: int) -> int:
        kept, before = knowing(), hashed[0]
        messages = [message for number in range(turns) for message in (assistant("Looking.", CALL), result(f"{number:0100d}"))]
        kept.recall(request(*FIRST.messages, *messages), **ME)
        return hashed[0] - before

    small, large = cost(30), cost(300)
    assert 9 * small < large < 11 * small
    assert large < 300 * 250
