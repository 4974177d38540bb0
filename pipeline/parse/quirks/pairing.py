"""Results behind the calls that they answer, one for each call (N10 pairing).

Theory of operation: turns come in, in the order sent; they go out with each assistant's turn followed by exactly one result for each of its calls, in
the order of the calls. Ids repeat, since some models count their calls anew in every turn: a result answers an open call of its id in the latest
stretch between user messages that has one, and there the oldest; else it is a further result of the latest call of that id; else it answers a call
that comes later.
- A further result is added to the first.
- A result that answers no call becomes the user's text, with its id and output, where it stood.
- A call without a result gets one that says so, also at the very end: strict upstreams refuse the whole history otherwise.
What is in good order already comes out as it went in. Each turn is looked at a fixed number of times.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from pipeline.parse.quirks.calls import Call
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import text_part
from pipeline.parse.quirks.turns import Turn

NO_RESULT = "[no result was recorded]"
ORPHAN = "[result of the tool call {id}, which is not in this conversation]"


class _Made(msgspec.Struct, eq=False):
    """A call, where it was made, and the results found for it."""

    call: Call
    turn: int
    stretch: int
    results: list[int] = []


class _Calls:
    """The calls that were made so far, by their ids."""

    def __init__(self) -> None:
        self.all: list[_Made] = []
        self._last: dict[str, _Made] = {}
        self._open: dict[str, list[deque[_Made]]] = {}

    def make(self, call: Call, turn: int, stretch: int) -> None:
        made = _Made(call, turn, stretch)
        key = call.id or ""
        self.all.append(made)
        self._last[key] = made
        stretches = self._open.setdefault(key, [])
        if not stretches or stretches[-1][0].stretch != stretch:
            stretches.append(deque())
        stretches[-1].append(made)

    def answered_by(self, key: str) -> _Made | None:
        """The call that a result of this id belongs to."""
        stretches = self._open.get(key)
        if not stretches:
            return self._last.get(key)
        made = stretches[-1].popleft()
        if not stretches[-1]:
            stretches.pop()
        return made


def pair_results(turns: Sequence[Turn], ledger: Ledger) -> list[Turn]:
    """N10 pairing: the turns in order, each call with its result.

    >>> call = Turn("assistant", "input[1]", calls=[Call("a", "now", "{}", custom=False, path="input[1]")])
    >>> [turn.role for turn in pair_results([Turn("tool", "input[0]", answers="a"), call], Ledger())]
    ['assistant', 'tool']
    """
    calls, orphans = _matched(turns)
    of_turn: dict[int, list[_Made]] = {}
    for made in calls.all:
        of_turn.setdefault(made.turn, []).append(made)
    if any(index != place for index, place in _places(turns, of_turn)):
        ledger.repaired("tool_results_moved", "results of tools were moved behind the calls that they answer")
    return list(_ordered(turns, of_turn, orphans, ledger))


def _matched(turns: Sequence[Turn]) -> tuple[_Calls, frozenset[int]]:
    """The calls with their results, and the results that have no call."""
    calls = _Calls()
    early: list[int] = []
    stretch = 0
    for index, turn in enumerate(turns):
        stretch += turn.role == "user"
        for call in turn.calls:
            calls.make(call, index, stretch)
        if turn.role == "tool" and not _add(calls, turn.answers, index):
            early.append(index)
    return calls, frozenset(index for index in early if not _add(calls, turns[index].answers, index))


def _add(calls: _Calls, key: str | None, index: int) -> bool:
    made = None if key is None else calls.answered_by(key)
    if made is None:
        return False
    made.results.append(index)
    return True


def _places(turns: Sequence[Turn], of_turn: dict[int, list[_Made]]) -> Iterator[tuple[int, int]]:
    """Each first result that is there, and the place behind its turn where it belongs, counted from the results that are there."""
    for turn, made in of_turn.items():
        there = [each.results[0] for each in made if each.results]
        yield from zip(there, range(turn + 1, turn + 1 + len(there)), strict=True)


def _ordered(turns: Sequence[Turn], of_turn: dict[int, list[_Made]], orphans: frozenset[int], ledger: Ledger) -> Iterator[Turn]:
    for index, turn in enumerate(turns):
        if index in orphans:
            ledger.repaired("tool_result_as_text", "a result that answers no call became the user's text")
            yield _as_text(turn)
        elif turn.role != "tool":
            yield turn
            for made in of_turn.get(index, ()):
                yield _result(made, turns, ledger)


def _result(made: _Made, turns: Sequence[Turn], ledger: Ledger) -> Turn:
    """The one result of a call."""
    if not made.results:
        ledger.repaired("tool_result_supplied", "a call without a result got one that says so")
        return Turn("tool", made.call.path, [text_part(NO_RESULT, made.call.path)], answers=made.call.id)
    first, *further = (turns[index] for index in made.results)
    for turn in further:
        ledger.repaired("tool_result_repeated", "a further result of the same call was added to the first")
        first.parts.extend(turn.parts)
    first.answers = made.call.id
    return first


def _as_text(turn: Turn) -> Turn:
    """A result without a call as the user's words."""
    named = f"{ORPHAN.format(id=turn.answers or turn.legacy_name or 'without an id')}\n"
    return Turn("user", turn.path, [text_part(named + "\n".join(text for part in turn.parts if (text := part.text)), turn.path)])
