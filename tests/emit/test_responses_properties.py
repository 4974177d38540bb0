"""Responses emission over any answer, and over every recorded one under many cuts: the stream is well formed and says what the events say."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cases import Case, find_cases, load_case, shipped
from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead
from pipeline.emit.responses import ResponsesStream, output_messages, responses_dialect
from pipeline.emit.whole import Whole
from pipeline.errors import RateLimited, StreamCut
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
from pipeline.expectations import Replay
from pipeline.identity import Identity
from pipeline.models import MODELS, resolve_composer_model
from pipeline.upstream.replayed import KINDS
from tests.support.replayed_machines import machine_of
from tests.support.responses_checker import StreamChecker, checked, read_events
from tests.support.responses_types import assert_response, assert_typed
from tests.support.splits import cut, random_edges

HEAD = AnswerHead("resp_7", 17, "composer-2.5", show_thinking=True)
ECHO = Echo(namespaces={"b": ("space", "name")})
USAGE = UsageReport(3, 4)
CASES = [load_case(path) for path in find_cases(shipped())]
TEXT = st.text(min_size=1, max_size=8)
CUTTING = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


def in_pieces(text: str, index: int, sizes: Sequence[int]) -> list[Event]:
    return [ToolCallDelta(index, piece) for piece in cut(text, sizes) if piece]


@st.composite
def calls(draw: st.DrawFn) -> list[Event]:
    """A whole call; its index is set when it is known."""
    custom, sizes = draw(st.booleans()), draw(st.lists(st.integers(1, 20), max_size=4))
    arguments = draw(TEXT) if custom else json.dumps(draw(st.dictionaries(TEXT, TEXT, max_size=2)))
    return [ToolCallStart(0, "", draw(st.sampled_from("abc")), custom), *in_pieces(arguments, 0, sizes), ToolCallEnd(0)]


def numbered(blocks: Sequence[list[Event]]) -> list[Event]:
    """The events of blocks in their order, each call with an index and id of its own."""
    events: list[Event] = []
    index = -1
    for event in (event for block in blocks for event in block):
        match event:
            case ToolCallStart(_, _, name, custom):
                index += 1
                events.append(ToolCallStart(index, f"call_{index}", name, custom))
            case ToolCallDelta(_, arguments):
                events.append(ToolCallDelta(index, arguments))
            case ToolCallEnd():
                events.append(ToolCallEnd(index))
            case _:
                events.append(event)
    return events


TEXTS = st.one_of(
    st.builds(lambda text: [TextDelta(text)], TEXT),
    st.builds(lambda text: [ThinkingDelta(text)], TEXT),
    st.builds(lambda text: [RefusalDelta(text)], TEXT),
)
ASIDES: st.SearchStrategy[list[Event]] = st.sampled_from([[Notice("odd")], [UsageReport(1, 2)]])
BLOCKS: st.SearchStrategy[list[list[Event]]] = st.lists(st.one_of(TEXTS, TEXTS, calls(), ASIDES), max_size=12)
FAULTS = st.sampled_from([Failed(StreamCut("Cut off.")), Failed(RateLimited("Too fast.", retry_after_seconds=3))])
ENDS = st.one_of(FAULTS, st.builds(Finish, st.sampled_from(FinishReason)))


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Any well-formed answer; its last call may be cut where the end allows it."""
    end: Finish | Failed = draw(ENDS)
    blocks: list[list[Event]] = draw(BLOCKS)
    may_cut = isinstance(end, Failed) or end.reason in CUTTING
    cut_off: list[Event] = draw(calls())[:-1] if may_cut and draw(st.booleans()) else []
    return [*numbered([*blocks, cut_off]), end]


def batches(events: Sequence[Event], edges: Sequence[int]) -> list[list[Event]]:
    bounds = [0, *sorted({edge for edge in edges if 0 < edge < len(events)}), len(events)]
    return [[*events[start:stop]] for start, stop in itertools.pairwise(bounds)]


def stream(head: AnswerHead = HEAD) -> ResponsesStream:
    return ResponsesStream(head, lambda: USAGE, echo=ECHO, shows_reasoning=True, now=lambda: 99)


def told(events: Sequence[Event], kind: type) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta | ThinkingDelta | RefusalDelta) and type(event) is kind)


def assert_says(checker: StreamChecker, events: Sequence[Event]) -> None:
    """The stream told all texts and complete calls, no other, and its object ends as the events do."""
    whole = Whole()
    whole.add(events)
    assert checker.texts == {
        "output_text": told(events, TextDelta),
        "refusal": told(events, RefusalDelta),
        "summary_text": told(events, ThinkingDelta),
    }
    done = [item for item in checker.done if item["type"] in ("function_call", "custom_tool_call")]
    assert [(item["call_id"], item.get("arguments", item.get("input"))) for item in done] == [(call.id, call.arguments) for call in whole.calls]
    response = checker.response
    assert response is not None
    assert [item for item in response["output"] if "call_id" in item] == done
    if whole.error is not None:
        assert response["error"]["code"] == whole.error.code
    else:
        assert response["status"] == ("incomplete" if whole.reason in CUTTING else "completed")


@given(answers(), st.lists(st.integers(0, 60), max_size=6))
def test_any_answer_in_any_batches_is_a_well_formed_stream(events, edges):
    emitter = stream()
    sent = [emitter.feed(batch) for batch in [*batches(events, edges), []]]
    checker = checked(b"".join(sent))
    assert_says(checker, events)
    assert checker.response == emitter.response
    assert b"".join(sent) == stream().feed(events)
    assert emitter.chunks == len(read_events(b"".join(sent)))
    assert emitter.notices == [event for event in events if isinstance(event, Notice)]
    assert (emitter.reason is None) == (emitter.error is not None) == isinstance(events[-1], Failed)


@given(answers())
def test_any_answer_is_of_the_client_s_types(events):
    for event in read_events(stream().feed(events)):
        assert_typed(event)


@given(answers().filter(lambda events: isinstance(events[-1], Finish)))
def test_the_whole_form_is_the_final_object_of_the_stream(events):
    emitter = stream()
    emitter.feed(events)
    folded = Whole()
    folded.add(events)
    answer = json.loads(responses_dialect(ECHO, shows_reasoning=True, now=lambda: 99).whole(HEAD, folded, USAGE))
    assert answer == emitter.response
    assert_response(answer)


@given(answers())
def test_the_history_of_any_answer_holds_what_was_said(events):
    emitter = stream()
    emitter.feed(events)
    assert emitter.response is not None
    messages = output_messages(emitter.response, ECHO.namespaces)
    whole = Whole()
    whole.add(events)
    spoken = "".join(event.text for event in events if isinstance(event, TextDelta | RefusalDelta))
    assert len(messages) <= 1
    assert "".join(message.text for message in messages).replace("\n", "") == spoken.replace("\n", "")
    assert [call for message in messages for call in message.tool_calls] == whole.calls


class Reader:
    """A recorded case through its codec and machine, for any cut of its bytes."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.request = Replay(case).request()
        self.kind = KINDS[case.meta.upstream]
        self.prompt = self.kind.prompt(self.request)
        self.model = MODELS.get(resolve_composer_model(self.request.model) or "")

    def batches(self, pieces: Sequence[bytes]) -> list[list[Event]]:
        identity = Identity.frozen()
        decoder = self.kind.decoder(self.prompt, self.model)
        machine = machine_of(self.kind, self.request, lambda: identity.new("call_"))
        found: list[list[Event]] = []
        for raw in [*(decoder.feed(piece) for piece in pieces), decoder.end()]:
            found.append(machine.feed(raw))
            if found[-1] and isinstance(found[-1][-1], Finish | Failed):
                return found
        return [*found, [Failed(StreamCut("The upstream's stream ended before its end mark."))]]


def ways(data: bytes) -> list[list[bytes]]:
    """Whole, piece by piece if it is not long, and at seeded offsets."""
    single = [[data[at : at + 1] for at in range(len(data))]] if len(data) < 8_000 else []
    return [[data], *single, *(cut(data, random_edges(len(data), seed)) for seed in range(6))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_recorded_answer_under_every_cut(case: Case):
    reader = Reader(case)
    finals = []
    for number, pieces in enumerate(ways(case.stream)):
        lists = [batch for batch in reader.batches(pieces) if batch]
        emitter = stream()
        data = b"".join(emitter.feed(batch) for batch in lists)
        checker = checked(data)
        assert_says(checker, [event for batch in lists for event in batch])
        finals.append(checker.response)
        if number == 0:
            for event in read_events(data):
                assert_typed(event)
    assert all(final == finals[0] for final in finals)
