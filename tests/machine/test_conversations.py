"""Whole answers made with their results: what was meant arrives, whole and in pieces, and a cut completes nothing that was not complete."""

import itertools
import json
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import Event, Failed, Notice, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from tests.machine.transcript import CUT_OFF, ENDED, deltas, lines, new_machine, settled
from tests.support.call_spellings import MARKER, TOOLS
from tests.support.conversations import NOTICES, Answer, Outcome, answers, merged
from tests.support.splits import cut

EDGES = st.lists(st.integers(0, 2000), max_size=20)


def run(fields: Iterable[tuple[str, str]], end: Event) -> list[Event]:
    machine = new_machine(TOOLS)
    return [event for one in [*deltas(fields), end] for event in machine.feed([one])]


def outcomes(events: Iterable[Event]) -> list[Outcome]:
    """What the client got, in order; a call only if it was completed."""
    found: list[Outcome] = []
    names: dict[int, str] = {}
    sources: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            found.append(("text", event.text))
        elif isinstance(event, ThinkingDelta):
            found.append(("think", event.text))
        elif isinstance(event, ToolCallStart):
            names[event.index], sources[event.index] = event.name, ""
        elif isinstance(event, ToolCallDelta):
            sources[event.index] += event.arguments
        elif isinstance(event, ToolCallEnd):
            found.append(("call", (names[event.index], json.loads(sources[event.index]))))
    return merged(found)


def codes(events: Iterable[Event]) -> set[str]:
    return {event.code for event in events if isinstance(event, Notice)}


@settings(max_examples=200)
@given(answers(), EDGES)
def test_what_was_meant_arrives(answer: Answer, edges):
    events = run(answer.fields, ENDED)
    found = outcomes(events)
    assert found == merged([outcome for segment in answer.segments for outcome in segment.outcome])
    assert answer.named <= codes(events) <= NOTICES
    if any(kind != "call" and MARKER.search(value) for kind, value in found):
        assert codes(events) & {"marker_kept", "malformed_call", "unknown_tool"}, "a marker came out and no notice names it"
    pieces = [(kind, piece) for kind, text in answer.fields for piece in cut(text, edges)]
    assert settled(lines(run(pieces, ENDED))) == settled(lines(events))


@settings(max_examples=200)
@given(answers(), st.integers(0, 1_000_000), EDGES)
def test_a_cut_answer_completes_nothing_that_was_not_complete(answer: Answer, where, edges):
    starts = [0, *itertools.accumulate(len(segment.source) for segment in answer.segments)]
    at = where % (starts[-1] + 1)
    place = max(number for number in range(len(answer.segments)) if starts[number] <= at)
    before, broken = answer.segments[:place], answer.segments[place]
    said = broken.source[: at - starts[place]]
    fields = [*((segment.field, segment.source) for segment in before), (broken.field, said)]
    events = run(fields, CUT_OFF)
    assert isinstance(events[-1], Failed)
    found = outcomes(events)

    whole = [outcome for segment in before for outcome in segment.outcome]
    complete = [outcome for kind, outcome in whole if kind == "call"]
    begun = [outcome for kind, outcome in broken.outcome if kind == "call"][: sum(end <= len(said) for end in broken.call_ends)]
    calls = [outcome for kind, outcome in found if kind == "call"]
    assert calls == [*complete, *begun][: len(calls)], "a call that was not complete"
    assert len(calls) >= len(complete), "a call that was complete is missing"
    for kind in ("text", "think"):
        kept = "".join(value for name, value in whole if name == kind)
        shown = "".join(value for name, value in found if name == kind)
        assert shown.startswith(kept), "what was said before the cut is lost"
        assert shown[len(kept) :] in said, "what nobody said"

    pieces = [(kind, piece) for kind, text in fields for piece in cut(text, edges)]
    assert settled(lines(run(pieces, CUT_OFF))) == settled(lines(events))
