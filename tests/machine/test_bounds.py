"""What an answer may cost: characters looked at in proportion to its length, little held back in every state, memory that does not grow with it.

`pytest -s` prints the figures.
"""

import json
import tracemalloc

import pytest

from pipeline.events import Event, TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.machine.grammar import Grammar
from pipeline.machine.markers import LONGEST
from pipeline.machine.values.json_object import ObjectReader
from tests.machine.notation import B, E, S, b, e
from tests.machine.transcript import ENDED, deltas, new_machine

VALUE = f"{B}{b}\nWrite\n{S}content\n"
JSON = f'{B}{b}Write{S}{{"content":"'
WHOLE_JSON = f'{B}{b}{{"arguments":{{"content":"'
MARKUP = "Some prose with a < b and <b>markup</b>. "


class Examined:
    """Counts the characters that the machine's scanners look at."""

    def __init__(self) -> None:
        self.characters = 0

    def scanning(self, method):
        """A search from an offset to a marker, or to the end of the text."""

        def counted(grammar, text, start=0):
            found = method(grammar, text, start)
            self.characters += (found.stop if found else len(text)) - start
            return found

        return counted

    def looking(self, method):
        """A look at one place: a marker stands there, or its first characters say that none does."""

        def counted(grammar, text, position):
            found = method(grammar, text, position)
            self.characters += found.stop - position if found else 1
            return found

        return counted

    def reading(self, method):
        """A reader that goes on from an offset: what it took, and what it has to look at again."""

        def counted(reader, text, at):
            self.characters += len(text) - at
            return method(reader, text, at)

        return counted


@pytest.fixture
def examined(monkeypatch) -> Examined:
    """The one place that knows which methods scan."""
    counter = Examined()
    monkeypatch.setattr(Grammar, "find", counter.scanning(Grammar.find))
    monkeypatch.setattr(Grammar, "at", counter.looking(Grammar.at))
    monkeypatch.setattr(ObjectReader, "read", counter.reading(ObjectReader.read))
    return counter


@pytest.mark.parametrize("size", [4, 4096])
@pytest.mark.parametrize(
    ("kind", "before", "piece", "after"),
    [
        ("T", "", MARKUP, ""),
        ("K", "", MARKUP, ""),
        ("T", VALUE, f"if a < b: {S}x\n", f"\n{e}{E}"),
        ("T", f"{B}{b}\nWrite\n{S}mode\n", "[1, 2, 3],\n<|", f"\n{e}{E}"),
        ("T", JSON, f'if a < b: {e}{E} \\"\\n', f'"}}{e}{E}'),
        ("T", WHOLE_JSON, f'if a < b: {e}{E} \\"\\n', f'"}},"name":"Write"}}{e}{E}'),
    ],
    ids=["prose", "thinking", "a string argument", "a kept argument", "a JSON body", "a JSON body whose name comes last"],
)
def test_work_is_in_proportion_to_the_text(examined, request, kind, before, piece, after, size):
    """Eight times the text is eight times the characters looked at, within a tenth."""

    def looked_at(length: int) -> int:
        examined.characters = 0
        machine = new_machine()
        text = before + piece * (length // len(piece)) + after
        for start in range(0, len(text), size):
            machine.feed(deltas([(kind, text[start : start + size])]))
        machine.feed([ENDED])
        return examined.characters

    small, large = looked_at(100_000), looked_at(800_000)
    print(f"\n{request.node.callspec.id}: {small:,} characters looked at for 100 kB, {large:,} for 800 kB: factor {large / small:.3f} of 8")
    assert small >= 20_000, "nothing was counted"
    assert large <= 8 * small * 1.1
    assert large <= 800_000 * 4, "more than a few looks at each character"


HOSTILE = (
    "a <b <| tool_ <|tool_sep|> <|tool_sep|>nokey\n <|tool_call_ <\n\n|\n < | final > </thin "
    f"< {' ' * 15}| {' ' * 15}tool_calls_begin {' ' * 15}| {' ' * 15}! "
)


def longest(word: str) -> str:
    """A marker with as much white space as it may have, without its '>'."""
    space = " " * 16
    return f"<{space}|{space}{word}{space}|{space}"


BEHIND_END = f"x{longest('tool_call_end')}>{' ' * 16}{longest('tool_calls_begin')}! x{e}{' ' * 16}.  {e}\n\n\n{longest('tool_calls_end')}! "
LOOK_AHEAD = LONGEST + 16 + LONGEST
HEAD = 512

# state -> field, what leads there, text that stays what it is there, and the most that may be held of it
STATES: dict[str, tuple[str, str, str, int]] = {
    "prose": ("T", "x", HOSTILE, LONGEST),
    "thinking": ("K", "x", HOSTILE.replace("< | final >", ""), LONGEST),
    "behind the answer token": ("K", "x</think>y", HOSTILE, LONGEST),
    "a string value": ("T", VALUE, HOSTILE + BEHIND_END, LOOK_AHEAD + 2),
    "a string value in the space form": ("T", f"{B}{b}Write {S}content ", HOSTILE + BEHIND_END, LOOK_AHEAD + 2),
    "a value behind a separator and most of a key": ("T", VALUE, f"x{S}pat. {S}{' ' * 16}paths ", LONGEST + 16 + 128 + 2),
    "a value behind a begin and most of a name": ("T", VALUE, f"x{b}{' ' * 16}Writ. {b}Write{' ' * 16}. ", LONGEST + 16 + 128 + 16 + 1),
    "a string of a JSON body": ("T", JSON, (HOSTILE + BEHIND_END).replace("\n", "\\n") + r"\ud834\udd1e \u00e9 \" ", 12),
    "a call of a tool that was not offered": ("T", f"{B}{b}\nNope\n{S}x", HOSTILE + BEHIND_END, LOOK_AHEAD),
    "behind a block's begin": ("T", "x", f"{longest('tool_calls_begin')}>{' ' * 16}{longest('tool_call_begin')}! {B}. ", LONGEST + 16 + LONGEST),
    "a call's head": (
        "T",
        "x",
        f"{longest('tool_calls_begin')}>{' ' * 16}{longest('tool_call_begin')}>{' ' * 16}{'n' * 128}{' ' * 16}{longest('tool_sep')}! ",
        LONGEST + 16 + LONGEST + HEAD,
    ),
}


def said(events: list[Event], *, in_json: bool) -> int:
    """Characters that left, as text or as an argument's; those of a JSON body leave in their own source."""
    total = 0
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta):
            total += len(event.text)
        elif isinstance(event, ToolCallDelta):
            total += len(event.arguments if in_json else json.loads(f'"{event.arguments}"'))
    return total


@pytest.mark.parametrize("state", STATES)
def test_hold_back_is_bounded(state):
    """Character by character, what has arrived and has not left is never more than the state's bound, and all of it leaves."""
    kind, before, text, bound = STATES[state]
    machine = new_machine()
    machine.feed(deltas([(kind, before)]))
    worst = sent = 0
    stream = text * 3 + "."
    for arrived, character in enumerate(stream, start=1):
        sent += said(machine.feed(deltas([(kind, character)])), in_json=before is JSON)
        worst = max(worst, arrived - sent)
    print(f"\nheld back at most in {state}: {worst} characters; the bound is {bound}")
    assert sent == len(stream), "the text of this state is not what it should be"
    assert 0 < worst <= bound


def test_memory_does_not_grow_with_a_streamed_argument():
    """256 KiB in pieces of four characters: what the machine keeps of it is no more than its hold-back."""
    machine = new_machine()
    machine.feed(deltas([("T", VALUE)]))
    piece = deltas([("T", "a<b\n")])
    for _ in range(100):
        machine.feed(piece)
    tracemalloc.start()
    try:
        for _ in range(256 * 1024 // 4):
            machine.feed(piece)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"\n256 KiB of an argument in pieces of four: {kept:,} bytes kept, {peak:,} at most")
    assert peak < 32 * 1024
