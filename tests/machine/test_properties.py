"""What holds for every answer: one result for all cuts, nothing lost, work in proportion, and little held back."""

import json
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.machine import markers, thinking, toolcalls
from pipeline.machine.answer import AnswerMachine
from pipeline.machine.inventory import ToolPolicy
from pipeline.machine.markers import LONGEST, SPELLINGS, Kind, find_marker
from pipeline.request import Tool
from tests.machine.test_cases import TOOLS, B, E, S, b, e, full, lines, settled, spaced
from tests.support.splits import cut
from tests.support.transcripts import merge

FRAGMENTS = st.sampled_from(
    [
        B,
        b,
        S,
        e,
        E,
        "<|final|>",
        "<｜/final｜>",
        "</think>",
        "<",
        "<|",
        "<|tool_",
        "|>",
        "\n",
        "\r\n",
        " ",
        "Write",
        "content",
        "path",
        "{",
        '"',
        "é",
        "𝄞",
    ]
)
PROSE = st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=40)
ANYTHING = st.lists(FRAGMENTS | PROSE, max_size=25).map("".join)
EDGES = st.lists(st.integers(0, 400), max_size=12)


def machine() -> AnswerMachine:
    numbers = count()
    return AnswerMachine(new_id=lambda: f"call_{next(numbers)}", tools=TOOLS)


def run(pieces: list[UpstreamEvent], end: UpstreamEvent) -> list[Event]:
    subject = machine()
    return [event for piece in [*pieces, end] for event in subject.feed([piece])]


@settings(max_examples=300)
@given(ANYTHING, EDGES, st.booleans(), st.booleans())
def test_one_answer_for_every_cut(text, edges, proper, in_thinking):
    delta = ThinkingDelta if in_thinking else TextDelta
    end = Finish() if proper else Failed(StreamCut("cut"))
    whole = run([delta(text)] if text else [], end)
    pieces = run([delta(piece) for piece in cut(text, edges) if piece], end)
    assert settled(lines(pieces)) == settled(lines(whole))


@settings(max_examples=300)
@given(ANYTHING, st.booleans())
def test_an_answer_is_well_formed(text, proper):
    events = run([TextDelta(text)] if text else [], Finish() if proper else Failed(StreamCut("cut")))
    assert isinstance(events[-1], Finish | Failed)
    assert not any(isinstance(event, Finish | Failed) for event in events[:-1])
    assert not any(isinstance(event, TextDelta | ThinkingDelta) and not event.text for event in events)
    arguments: dict[int, str] = {}
    ended: set[int] = set()
    for event in merge(events):
        if isinstance(event, ToolCallStart):
            arguments[event.index] = ""
        elif isinstance(event, ToolCallDelta):
            assert event.arguments
            arguments[event.index] += event.arguments
        elif isinstance(event, ToolCallEnd):
            assert isinstance(json.loads(arguments[event.index]), dict)
            ended.add(event.index)
    if isinstance(events[-1], Finish):
        assert ended == set(arguments), "a call that was never closed was answered with a proper end"


@given(st.lists(PROSE, max_size=20))
def test_prose_is_never_touched(pieces):
    text = "".join(pieces)
    events = run([TextDelta(piece) for piece in pieces if piece], Finish())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text


VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
HOSTILE = st.lists(
    st.sampled_from(["</think>", "<|final|>", f"{S}nokey\nx", "<", "<|", "<|tool_sep", '"', "\\", "\n", "  ", "{}", "\u2028", "\x00"]) | VALUES,
    max_size=8,
)


@settings(max_examples=300)
@given(HOSTILE.map("".join), VALUES, st.sampled_from([str, full, spaced]), EDGES)
def test_values_arrive_as_they_were_written(content, prose, spell, edges):
    text = f"{spell(B + b)}\nWrite\n{spell(S)}content\n{content}\n{spell(e + E)}"
    visible = prose.replace("<", "(")
    events = merge(run([TextDelta(piece) for piece in cut(visible + text, edges) if piece], Finish()))
    calls = [json.loads(event.arguments) for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [{"content": content}]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == visible


def test_every_spelling_is_found_and_every_proper_prefix_may_become_one():
    for kind, word in SPELLINGS.items():
        plain = "</think>" if word is None else f"<|{word}|>"
        for text in {plain, plain.upper(), full(plain), spaced(plain)} if word else {plain, plain.upper()}:
            found = find_marker(f"a{text}b")
            assert found is not None
            assert (found.kind, found.start, found.stop) == (kind, 1, 1 + len(text))
            for length in range(1, len(text)):
                partial = find_marker(text[:length])
                assert partial is not None
                assert partial.kind is Kind.PARTIAL


@pytest.mark.parametrize("text", ["<b>", "< b", "<|x", "<|tool_x", "<" + " " * 17, "</thinker>", "<|tool_calls_begin|]"])
def test_what_cannot_become_a_marker_is_not_held(text):
    assert find_marker(text) is None


@pytest.mark.parametrize("before", ["", f"{B}{b}\nWrite\n{S}content\n"])
def test_hold_back_is_bounded(before):
    """Prose and string values leave as soon as they can no longer become a marker."""
    subject = machine()
    subject.feed([TextDelta("x"), *([TextDelta(before)] if before else [])])
    worst = sent = 0
    hostile = "a <b <| tool_ <|tool_sep|> <|tool_sep|>nokey\n <|tool_call_ <\n\n|\n < | final > </thin " * 3
    for arrived, character in enumerate(hostile, start=1):
        sent += sum(
            len(event.text) if isinstance(event, TextDelta) else len(json.loads(f'"{event.arguments}"'))
            for event in subject.feed([TextDelta(character)])
            if isinstance(event, TextDelta | ToolCallDelta)
        )
        worst = max(worst, arrived - sent)
    assert worst <= LONGEST


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        ("", "Some prose with a < b and <b>markup</b>. "),
        (f"{B}{b}\nWrite\n{S}content\n", "if a < b: <|tool_sep|>x\n"),
        (f"{B}{b}\nWrite\n{S}mode\n", "[1, 2, 3],\n"),
    ],
    ids=["prose", "string argument", "kept argument"],
)
@pytest.mark.parametrize("size", [1, 4, 4096])
def test_work_is_in_proportion_to_the_text(monkeypatch, before, piece, size):
    """Eight times the text is eight times the characters looked at, within a tenth."""
    looked_at = 0

    def counting(text: str, start: int = 0):
        nonlocal looked_at
        found = find_marker(text, start)
        looked_at += (found.stop if found else len(text)) - start
        return found

    monkeypatch.setattr(toolcalls, "find_marker", counting)
    monkeypatch.setattr(thinking, "find_marker", counting)

    def work(length: int) -> int:
        nonlocal looked_at
        looked_at = 0
        subject = machine()
        text = before + (piece * (length // len(piece) + 1))[:length]
        for start in range(0, len(text), size):
            subject.feed([TextDelta(text[start : start + size])])
        return looked_at

    small, large = work(10_000), work(80_000)
    assert large <= 8 * small * 1.1 + 10 * LONGEST
    assert markers.LONGEST < 100


def test_a_call_over_the_limit_fails():
    subject = AnswerMachine(
        new_id=lambda: "call_1",
        tools=[Tool("Write", parameters={"properties": {"mode": {"type": "array"}}})],
        policy=ToolPolicy(max_argument_bytes=1000),
    )
    subject.feed([TextDelta(f"{B}{b}\nWrite\n{S}mode\n")])
    events = [event for _ in range(300) for event in subject.feed([TextDelta("1, 2, ")])]
    assert [event.error.code for event in events if isinstance(event, Failed)] == ["tool_call_too_large"]
