"""What holds for every answer: one result for all cuts, every stream well formed, prose untouched."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import Event, Failed, Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.grammar import COMPOSER
from pipeline.machine.markers import SPELLINGS, Kind
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import Tool
from tests.machine.marker_fragments import ANYTHING, EDGES, PROSE
from tests.machine.notation import B, E, S, b, e, full, spaced
from tests.machine.transcript import CUT_OFF, ENDED, deltas, lines, new_machine, settled
from tests.support.splits import cut


def run(kind: str, pieces: list[str], *, proper: bool = True) -> list[Event]:
    machine = new_machine()
    return [event for one in [*deltas((kind, piece) for piece in pieces), ENDED if proper else CUT_OFF] for event in machine.feed([one])]


@settings(max_examples=300)
@given(ANYTHING, EDGES, st.booleans(), st.sampled_from("TK"))
def test_one_answer_for_every_cut(text, edges, proper, kind):
    whole = run(kind, [text], proper=proper)
    assert settled(lines(run(kind, cut(text, edges), proper=proper))) == settled(lines(whole))


@settings(max_examples=300)
@given(ANYTHING, st.booleans())
def test_an_answer_is_well_formed(text, proper):
    events = run("T", [text], proper=proper)
    lines(events)  # which asserts the order of calls and that no delta is empty
    assert [isinstance(event, Finish | Failed) for event in events].index(True) == len(events) - 1
    arguments: dict[int, str] = {}
    ended: set[int] = set()
    for event in events:
        if isinstance(event, ToolCallStart):
            arguments[event.index] = ""
        elif isinstance(event, ToolCallDelta):
            arguments[event.index] += event.arguments
        elif isinstance(event, ToolCallEnd):
            assert isinstance(json.loads(arguments[event.index]), dict)
            ended.add(event.index)
    if isinstance(events[-1], Finish):
        assert ended == set(arguments), "a call that was never closed was answered with a proper end"


@given(st.lists(PROSE, max_size=20), st.sampled_from("TK"))
def test_prose_is_never_touched(pieces, kind):
    said = "".join(line.partition(" ")[2] for line in lines(run(kind, pieces)) if line.startswith(("text ", "think ")))
    assert said == "".join(pieces)


VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
HOSTILE = st.lists(
    st.sampled_from(["</think>", "<|final|>", f"{S}nokey\nx", "<", "<|", "<|tool_sep", '"', "\\", "\n", "  ", "{}", "\u2028", "\x00"]) | VALUES,
    max_size=8,
)


@settings(max_examples=200)
@given(HOSTILE.map("".join), VALUES, st.sampled_from([str, full, spaced]), EDGES)
def test_values_arrive_as_they_were_written(content, prose, spell, edges):
    ending = "\r\n" if content.endswith("\r") else "\n"
    text = f"{spell(B + b)}\nWrite\n{spell(S)}content\n{content}{ending}{spell(e + E)}"
    visible = prose.replace("<", "(")
    events = run("T", cut(visible + text, edges))
    assert json.loads("".join(event.arguments for event in events if isinstance(event, ToolCallDelta))) == {"content": content}
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == visible


def test_every_spelling_is_found_and_every_proper_prefix_may_become_one():
    for kind, word in SPELLINGS.items():
        plain = "</think>" if word is None else f"<|{word}|>"
        for text in {plain, plain.upper(), full(plain), spaced(plain)} if word else {plain, plain.upper()}:
            found = COMPOSER.find(f"a{text}b")
            assert found is not None
            assert (found.kind, found.start, found.stop) == (kind, 1, 1 + len(text))
            for length in range(1, len(text)):
                partial = COMPOSER.find(text[:length])
                assert partial is not None
                assert partial.kind is Kind.PARTIAL


@pytest.mark.parametrize("text", ["<b>", "< b", "<|x", "<|tool_x", "<" + " " * 17, "</thinker>", "<|tool_calls_begin|]"])
def test_what_cannot_become_a_marker_is_not_held(text):
    assert COMPOSER.find(text) is None


def test_a_call_over_the_limit_fails():
    tools = [Tool("Write", parameters={"properties": {"mode": {"type": "array"}}})]
    subject = new_machine(tools, ToolPolicy(max_argument_bytes=1000))
    subject.feed(deltas([("T", f"{B}{b}\nWrite\n{S}mode\n")]))
    events = [event for _ in range(300) for event in subject.feed(deltas([("T", "1, 2, ")]))]
    assert [event.error.code for event in events if isinstance(event, Failed)] == ["tool_call_too_large"]
