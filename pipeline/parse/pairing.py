"""Which tool result answers which call, and the order that every upstream takes: results directly behind the message whose calls they answer.

Theory of operation: turns come in, each a message with the keys of the calls that it makes, or the key of the call that it answers. A key is a call's
id, or the function's name in the legacy form. Keys repeat: some models count their calls anew in every turn. So a result answers an open call
of its key in the latest stretch between user messages that has one, and there the oldest. A further result for an id that has one is another result
of the same call. A result whose call comes only later answers that one. A name says less than an id: it answers one open, earlier call or none.

A conversation in good order comes out as it went in. Otherwise
- a result that stands elsewhere is moved behind its call, in the order sent (`tool_results_moved`);
- a result that answers no call stays a tool's message, in its place (`orphan_tool_result`): as a user's, its words would have a user's standing;
- a call without a result stays alone (`tool_call_unanswered`).
No message is ever added, dropped or merged. Of what is still odd then, an upstream that is strict refuses what it does not take.
Each Notice names the first place and counts the others, so that a long history says no more than a short one.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from pipeline.events import Notice
from pipeline.request import Message, Role


class Key(NamedTuple):
    """What calls and results have in common: an id that the client wrote, or the name of a legacy function."""

    word: str
    is_name: bool = False


class Turn(NamedTuple):
    """A message; `makes` are the keys of its calls, in order, and `answers` that of the call whose result it is."""

    message: Message
    makes: tuple[Key, ...] = ()
    answers: Key | None = None


def pair_results(turns: Sequence[Turn], path: str) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """The messages in order, and what was out of place; `path` is where they stand in the body.

    >>> from pipeline.request import ToolCall
    >>> calls = Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "now", "{}"),))
    >>> messages, [notice] = pair_results([Turn(Message(Role.TOOL), answers=Key("a")), Turn(calls, makes=(Key("a"),))], "messages")
    >>> [message.role.value for message in messages], notice.detail
    (['assistant', 'tool'], 'messages[0] was moved behind the call that it answers')
    """
    if not any(turn.makes or turn.message.role is Role.TOOL for turn in turns):
        return tuple(turn.message for turn in turns), ()
    answered, unanswered = _paired(turns)
    orphans = [index for index, turn in enumerate(turns) if turn.message.role is Role.TOOL and index not in answered]
    notices = (
        _notice("tool_results_moved", _moved(turns, answered), path, "was moved behind the call that it answers"),
        _notice("orphan_tool_result", orphans, path, "answers no call"),
        _notice("tool_call_unanswered", unanswered, path, "makes a call that has no result"),
    )
    return tuple(_ordered(turns, answered)), tuple(notice for notice in notices if notice is not None)


class _Call(NamedTuple):
    turn: int
    id: str


class _Stretch(NamedTuple):
    """The open calls of one key between two user messages; `number` counts the user messages before it."""

    number: int
    calls: deque[_Call]


class _Calls:
    """The calls that were made so far, by their keys. Each is looked at a fixed number of times, however many share a key."""

    def __init__(self) -> None:
        self._made: dict[Key, list[_Call]] = {}
        self._open: dict[Key, list[_Stretch]] = {}

    def make(self, key: Key, call: _Call, stretch: int) -> None:
        self._made.setdefault(key, []).append(call)
        stretches = self._open.setdefault(key, [])
        if not stretches or stretches[-1].number != stretch:
            stretches.append(_Stretch(stretch, deque()))
        stretches[-1].calls.append(call)

    def answer(self, key: Key) -> _Call | None:
        """The earlier call that a result belongs to."""
        stretches = self._open.get(key, [])
        while stretches and not stretches[-1].calls:
            stretches.pop()
        if stretches:
            return stretches[-1].calls.popleft()
        return None if key.is_name or key not in self._made else self._made[key][-1]

    def left(self) -> dict[Key, deque[_Call]]:
        """The calls that no result has answered, in order."""
        return {key: deque(call for stretch in stretches for call in stretch.calls) for key, stretches in self._open.items()}

    def first(self, key: Key) -> _Call | None:
        """The first call of a key, whether it was answered or not."""
        return self._made[key][0] if key in self._made else None


def _paired(turns: Sequence[Turn]) -> tuple[dict[int, _Call], list[int]]:
    """The call of each result that has one, and the turns of calls that have no result."""
    calls = _Calls()
    answered: dict[int, _Call] = {}
    early: list[tuple[int, Key]] = []
    stretch = 0
    for index, turn in enumerate(turns):
        stretch += turn.message.role is Role.USER
        for key, call in zip(turn.makes, turn.message.tool_calls, strict=True):
            calls.make(key, _Call(index, call.id), stretch)
        if turn.answers is not None:
            found = calls.answer(turn.answers)
            if found is None:
                early.append((index, turn.answers))
            else:
                answered[index] = found
    left = calls.left()
    for index, key in early:
        later = None if key.is_name else left[key].popleft() if left.get(key) else calls.first(key)
        if later is not None:
            answered[index] = later
    return answered, sorted(call.turn for waiting in left.values() for call in waiting)


def _moved(turns: Sequence[Turn], answered: dict[int, _Call]) -> list[int]:
    """The results that do not stand among those of their message's calls, directly behind it."""
    moved: list[int] = []
    before = -1  # the last message that stays where it is
    for index in range(len(turns)):
        if index not in answered:
            before = index
        elif answered[index].turn != before:
            moved.append(index)
    return moved


def _ordered(turns: Sequence[Turn], answered: dict[int, _Call]) -> Iterable[Message]:
    results: dict[int, list[Message]] = {}
    for index, call in sorted(answered.items()):
        results.setdefault(call.turn, []).append(msgspec.structs.replace(turns[index].message, tool_call_id=call.id))
    for index, turn in enumerate(turns):
        if index not in answered:
            yield turn.message
            yield from results.get(index, ())


def _notice(code: str, places: Sequence[int], path: str, what: str) -> Notice | None:
    if not places:
        return None
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    return Notice(code, f"{path}[{places[0]}] {what}{more}")
