"""Whether an answer is right, for any input: what must hold whatever the model wrote.

- Nothing raises; exactly one `Finish` or `Failed` comes, and it is the last event.
- Calls are numbered, do not nest and hold no text; the arguments of one that ended are a JSON object; after `Finish` none is open.
- The whole, a random split and character by character give the same settled transcript.
- A cut completes no call that the whole answer does not complete.
- Where there is no call, every visible character that is not part of a token comes out again.
- The time is in proportion to the length.

A `Make` gives the machine, so that a test can plant a fault and see it found.
"""

import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple, Protocol, TypeAlias

from pipeline.events import Event, Failed, Finish, UpstreamEvent
from tests.fuzz.inputs import Input, Setup
from tests.machine.transcript import CUT_OFF, ENDED, deltas, lines, settled
from tests.support.splits import cut, random_edges

SLOW_SECONDS = 0.25
THOROUGH_CHARS = 300
SAMPLED = 60
_TOKEN = re.compile(r"<\s{0,16}[|｜]\s{0,16}(?:tool[_▁](?:calls?[_▁](?:begin|end)|sep)|/?final)\s{0,16}[|｜]\s{0,16}>|</think>", re.IGNORECASE)


class Machine(Protocol):
    """What is judged."""

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        """The events that one list became."""
        ...


Make: TypeAlias = Callable[[Setup], Machine]
Pieces: TypeAlias = list[tuple[str, str]]


class Problem(NamedTuple):
    """What is wrong: a kind that a smaller input must share, and words for people."""

    kind: str
    detail: str


class _Wrong(Exception):
    """Carries a Problem out of a check."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind)
        self.problem = Problem(kind, detail)


def of_setup(setup: Setup) -> Machine:
    """The machine as it is."""
    return setup.machine()


def judge(given: Input, chance: Random, make: Make = of_setup, *, thorough: bool = False) -> Problem | None:
    """The first problem of an input, None when all is well. `thorough` tries every two-way split and every cut, or many of a long input."""
    started = time.perf_counter()
    try:
        whole = _answer(make, given, list(given.fields))
        for pieces in _splits(given, chance, thorough=thorough):
            other = _answer(make, given, pieces)
            if other != whole:
                where = "both fields, split" if len({kind for kind, text in given.fields if text}) > 1 else "split"
                raise _Wrong(f"{where}: {_difference(whole, other)}", f"whole: {whole}\nsplit: {other}\npieces: {pieces!r}")
        _check_lost(given, whole)
        size = given.size
        for at in _cuts(size, chance, thorough=thorough):
            _check_cut(make, given, at, whole)
    except _Wrong as wrong:
        return wrong.problem
    except AssertionError as wrong:
        return Problem(f"malformed stream: {wrong}", traceback.format_exc(limit=-2))
    except Exception as raised:
        return Problem(f"raised {type(raised).__name__}", traceback.format_exc(limit=-6))
    if not thorough and time.perf_counter() - started > SLOW_SECONDS and _seconds(given, make) > SLOW_SECONDS:
        return Problem("slow", f"{_seconds(given, make):.2f} s for {given.size} characters, character by character")
    return None


def _seconds(given: Input, make: Make) -> float:
    """The best of three runs: a busy machine is no finding."""
    best = float("inf")
    pieces = [(kind, character) for kind, text in given.fields for character in text]
    for _ in range(3):
        started = time.perf_counter()
        _answer(make, given, pieces)
        best = min(best, time.perf_counter() - started)
    return best


def _cuts(size: int, chance: Random, *, thorough: bool) -> Iterable[int]:
    if not thorough:
        return [chance.randint(0, size)]
    return range(size) if size <= THOROUGH_CHARS else chance.sample(range(size), SAMPLED)


def _splits(given: Input, chance: Random, *, thorough: bool) -> Iterable[Pieces]:
    one_by_one = [(kind, character) for kind, text in given.fields for character in text]
    if thorough:
        yield one_by_one
        places = [(place, at) for place, (_, text) in enumerate(given.fields) for at in range(1, len(text))]
        for place, at in places if len(places) <= THOROUGH_CHARS else chance.sample(places, SAMPLED):
            kind, text = given.fields[place]
            yield [*given.fields[:place], (kind, text[:at]), (kind, text[at:]), *given.fields[place + 1 :]]
    elif chance.random() < 0.3:
        yield one_by_one
    for _ in range(10 if thorough else 1):
        yield [(kind, piece) for kind, text in given.fields for piece in cut(text, random_edges(len(text), chance.getrandbits(32)))]


def _run(make: Make, setup: Setup, pieces: Iterable[tuple[str, str]], end: UpstreamEvent) -> list[Event]:
    feed = make(setup).feed
    return [event for one in [*deltas(pieces), end] for event in feed([one])]


def _answer(make: Make, given: Input, pieces: Pieces) -> list[str]:
    """The settled transcript, after the checks that need no other run."""
    events = _run(make, given.setup, pieces, ENDED if given.proper else CUT_OFF)
    ends = sum(isinstance(event, Finish | Failed) for event in events)
    if ends != 1 or not isinstance(events[-1], Finish | Failed):
        raise _Wrong("end", f"{ends} terminal events; the last event is {events[-1] if events else None!r}")
    found = lines(events)
    for line in found:
        if line.startswith("call ") and not _is_object(line):
            raise _Wrong("arguments", f"a call ended whose arguments are no JSON object: {line}")
        if line.startswith("open ") and isinstance(events[-1], Finish):
            raise _Wrong("open", f"a call is open at a proper end: {line}")
    return settled(found)


def _is_object(line: str) -> bool:
    # a name may hold spaces, an object begins with its brace
    try:
        return isinstance(json.loads(line[line.index(" {") :]), dict)
    except ValueError:
        return False


def _check_cut(make: Make, given: Input, at: int, whole: list[str]) -> None:
    """No call is completed behind a cut that the whole answer does not complete."""
    left, pieces = at, []
    for kind, text in given.fields:
        pieces.append((kind, text[:left]))
        left -= len(pieces[-1][1])
    found = _answer(make, Input(tuple(pieces), False, given.setup), pieces)
    more = Counter(line for line in found if line.startswith("call ")) - Counter(line for line in whole if line.startswith("call "))
    # an answer that failed as a whole may have failed before the other field's calls were let go
    if more and not any(line.startswith("failed ") for line in whole):
        raise _Wrong("cut", f"cut behind {at} characters, and completed: {list(more)}")


def _check_lost(given: Input, whole: list[str]) -> None:
    """Nothing visible is lost where no call came and no notice names a loss."""
    if any(line.startswith(("call ", "open ", "failed ")) for line in whole) or given.setup.markup.hidden_prefix_hold_chars:
        return
    if {kind for kind, _ in given.fields} == {"T", "K"} or any(line in whole for line in ("notice call_cut", "notice parallel_call_dropped")):
        return
    sent = "".join(text for _, text in given.fields)
    if _TOKEN.search(_TOKEN.sub("", "".join(sent.split()))):
        return  # what stands on both sides of a token makes another one: whether that is one depends on who looks
    said = _visible(sent)
    came = _visible("".join(line.partition(" ")[2] for line in whole if line.startswith(("text ", "think "))))
    if said != came:
        raise _Wrong("lost", f"went in: {said!r}\ncame out: {came!r}")


def _visible(text: str) -> str:
    """The text without white space, and then without tokens until none is left: white space that went with a token must not make one."""
    text = "".join(text.split())
    while (shorter := _TOKEN.sub("", text)) != text:
        text = shorter
    return text


def _difference(whole: list[str], other: list[str]) -> str:
    """How two transcripts differ, without the words: alike for inputs that differ in the same way."""
    if _by_kind(whole) == _by_kind(other):
        return "the order of text, thinking and calls"
    counts = Counter(map(_head, whole)), Counter(map(_head, other))
    only = (counts[0] - counts[1], counts[1] - counts[0])
    if not any(only):
        return f"what is said in {' and '.join(sorted({_head(line) for line in set(whole) ^ set(other)}))}"
    return f"{' and '.join(sorted(only[0])) or 'nothing'} as a whole, {' and '.join(sorted(only[1])) or 'nothing'} in pieces"


def _head(line: str) -> str:
    """What a line is about: its kind, and the code of a notice or failure."""
    return line if line.startswith(("notice ", "failed ", "finish ")) else line.partition(" ")[0]


def _by_kind(found: list[str]) -> tuple[str, str, list[str]]:
    def said(kind: str) -> str:
        return "".join(line.removeprefix(kind) for line in found if line.startswith(kind))

    return said("text "), said("think "), [line for line in found if not line.startswith(("text ", "think "))]
