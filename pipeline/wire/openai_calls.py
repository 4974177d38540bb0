"""Tool-call deltas of Chat Completions as well-formed calls, whatever their indices and ids are worth.

Theory of operation: each `CallDelta` is given to the call that it continues, or opens one; what comes out is start, deltas and end of one call after
the other, numbered from 0. Servers leave indices out, use one for all calls, count from anywhere, repeat ids or make a new one for each delta, and
send names late or in pieces. The rules, first one first:

- an id that is known continues its call; a new id opens a call, except at an index whose call has no id yet or is unfinished and gets no name;
- without an id, the index decides; without both, the last call goes on unless there is a name, which opens one;
- a call whose arguments are a finished object, or that has another name already, is not continued by a name with arguments: that is a further call.

Events do not nest, so one call is open at a time. What comes behind it, calls and text alike, waits until the open call's arguments are a whole JSON
object, or the answer's end. A call starts when its name is certain: it is one that the client offers and no beginning of another, or the arguments
have begun.

The call of a custom tool has raw text for arguments, in which nothing says that it is over, and the next call may come before its last piece: so it
ends with the answer. In an answer that was cut short it is whole only if a whole call was begun behind it and none of its own input came later; the
first call that is not known to be whole then stays open, and what waits behind it is left out with a Notice `call_cut`.

Invariants: nothing raises; time is linear. Arguments pass as they came; empty ones become `{}`; those that are no JSON value at the call's end are
named by a Notice `invalid_arguments` before it. A custom tool's input is never looked at, and may be empty. A call that never got a name is dropped
with a Notice. Ids are kept; a missing one is made anew, and so is one that repeats another of the answer or of the conversation.
"""

from collections import deque
from collections.abc import Callable, Collection, Set
from itertools import pairwise

import msgspec

from pipeline.events import (
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UpstreamEvent,
)
from pipeline.wire.openai_arguments import ObjectScan, is_json

Spoken = TextDelta | ThinkingDelta | ThinkingEnd | RefusalDelta


class CallDelta(msgspec.Struct, frozen=True, gc=False):
    """One entry of `tool_calls`, its fields made texts; empty is absent. `arguments` is the input where it is the call of a custom tool."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    custom: bool = False


class _Call:
    """What is known of one call; `number` is its place in the answer once it has started."""

    def __init__(self, index: int | None, call_id: str) -> None:
        self.index = index
        self.id = call_id
        self.name = ""
        self.next_name = ""  # a name that was repeated when the arguments were finished: the head of a further call, or an echo
        self.number: int | None = None
        self.ended = False
        self.custom = False
        self.is_interleaved = False  # arguments came when a later call had begun
        self.has_arguments = False
        self.pieces: list[str] = []
        self.sent = 0
        self._scan = ObjectScan()
        self._scanned = 0
        self._was_json: bool | None = None  # when the object had reached its end

    @property
    def is_finished(self) -> bool:
        """Whether the arguments are an object with its end; those of a custom tool never are."""
        if self.custom:
            return False
        for piece in self.pieces[self._scanned :]:
            self._scan.feed(piece)
        self._scanned = len(self.pieces)
        return self._scan.closed

    @property
    def is_complete(self) -> bool:
        """Whether nothing more of the arguments is to come: they are a whole JSON object. Looked at once, when that has its end."""
        if not self.is_finished:
            return False
        if self._was_json is None:
            self._was_json = is_json("".join(self.pieces))
        return self._was_json

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are known to be complete: a function's are JSON, and of a custom tool's input nothing says so."""
        return not self.custom and is_json("".join(self.pieces))

    def continued_by(self, delta: CallDelta) -> bool:
        """Whether a delta under this call's id or index is more of it."""
        if delta.name and self.name and delta.name != self.name and (self.has_arguments or self.number is not None):
            return False
        if not delta.arguments.strip() or not self.is_finished:
            return True
        return not (delta.name or self.next_name)

    def take(self, delta: CallDelta) -> None:
        """Add a delta's name and arguments."""
        self.custom = self.custom or (delta.custom and self.number is None)
        if delta.name and delta.name != self.name:
            self.name += delta.name
        elif delta.name and self.is_finished:
            self.next_name = delta.name
        if delta.arguments:
            self.pieces.append(delta.arguments)
            self._was_json = self._was_json and delta.arguments.isspace()
            self.has_arguments = self.has_arguments or not delta.arguments.isspace()


class ChatCalls:
    """The calls of one answer. Each method appends the events that are certain now.

    >>> events = []
    >>> calls = ChatCalls(new_id=lambda: "call_1")
    >>> calls.add(CallDelta(name="now", arguments="{}"), events)
    >>> calls.end(events)
    >>> events
    [ToolCallStart(index=0, id='call_1', name='now'), ToolCallDelta(index=0, arguments='{}'), ToolCallEnd(index=0)]
    """

    def __init__(self, *, new_id: Callable[[], str], names: Collection[str] = (), taken_ids: Collection[str] = ()) -> None:
        """`names` are the tools that the client offers, where that is known; `taken_ids` are those of the conversation's earlier calls."""
        self.count = 0
        self._new_id = new_id
        # A name that begins another one may still be the first piece of that; in order, one of those that it begins stands right behind it.
        self._certain_names = frozenset(name for name, following in pairwise([*sorted(set(names)), ""]) if not following.startswith(name))
        self._last: _Call | None = None
        self._newest: _Call | None = None
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._ids = set(taken_ids)
        self._queue: deque[_Call | Spoken] = deque()

    @property
    def are_whole(self) -> bool:
        """Whether every call so far is known to be: what was cut off inside a call, or before its arguments, is not whole."""
        return not self._halves()

    def add(self, delta: CallDelta, events: list[UpstreamEvent]) -> None:
        """The next entry of `tool_calls`."""
        call = self._find(delta)
        if call is None:
            call = self._open(delta, events)
        else:
            self._identify(call, delta, events)
        if call.ended:
            if delta.arguments.strip():
                events.append(Notice("late_arguments", f"{call.name}: arguments behind their end were dropped"))
            elif delta.name:
                call.next_name = delta.name
            return
        call.is_interleaved = call.is_interleaved or bool(delta.arguments and call is not self._newest)
        call.take(delta)
        self._advance(events)

    def speak(self, event: Spoken, events: list[UpstreamEvent]) -> None:
        """Text, which may not come inside a call."""
        if self._queue:
            self._queue.append(event)
            self._advance(events)
        else:
            events.append(event)

    def end(self, events: list[UpstreamEvent], *, cut: bool = False) -> None:
        """The answer ends properly, and everything that waits comes out; of one that was `cut` short, what stands before the first half call."""
        halves = self._halves() if cut else frozenset[_Call]()
        queue = self._queue
        while queue:
            head = queue.popleft()
            if not isinstance(head, _Call):
                events.append(head)
            elif not head.name:
                events.append(Notice("nameless_call", "the upstream sent a tool call without a name; it was dropped"))
            else:
                self._send(head, events)
                if head in halves:
                    behind = f"; what came behind it was left out ({len(queue)} pieces)" if queue else ""
                    why = "the upstream ended its answer inside the call; the call was not completed"
                    events.append(Notice("call_cut", f"{head.name}: {why}{behind}"))
                    queue.clear()
                else:
                    self._end(head, events)

    def _halves(self) -> Set[_Call]:
        """The waiting calls that are not known to be whole."""
        halves, is_backed = set[_Call](), False
        for call in reversed(self._queue):
            if isinstance(call, _Call) and not (is_backed and call.custom and not call.is_interleaved):
                is_whole = call.is_whole
                is_backed = is_backed or is_whole
                if not is_whole:
                    halves.add(call)
        return halves

    def _find(self, delta: CallDelta) -> _Call | None:
        """The call that a delta continues."""
        here = None if delta.index is None else self._by_index.get(delta.index)
        if delta.id:
            return self._find_by_id(delta, here)
        if here is not None:
            return here if here.continued_by(delta) else None
        last = self._last
        if last is None:
            return None
        if delta.name:  # at an index that is not used yet, or without one
            return last if delta.index is None and not last.name else None
        return last if last.continued_by(delta) else None

    def _find_by_id(self, delta: CallDelta, here: _Call | None) -> _Call | None:
        known = self._by_id.get(delta.id)
        if known is not None:
            elsewhere = delta.index is not None and delta.index != known.index and here is None and delta.name
            return None if elsewhere or not known.continued_by(delta) else known
        if here is None:
            return None
        if not here.id:  # its id comes late
            return here if here.continued_by(delta) else None
        return None if delta.name or here.is_finished else here

    def _open(self, delta: CallDelta, events: list[UpstreamEvent]) -> _Call:
        here = self._by_id.get(delta.id) if delta.id else None if delta.index is None else self._by_index.get(delta.index)
        if not delta.id and delta.index is None:
            here = self._last
        call = _Call(delta.index, delta.id)
        if not delta.name and here is not None:
            call.name, here.next_name = here.next_name, ""
        if delta.id:
            self._by_id[delta.id] = call
            self._take_id(call, delta.id, events)
        if delta.index is not None:
            self._by_index[delta.index] = call
        self._last = self._newest = call
        self._queue.append(call)
        return call

    def _take_id(self, call: _Call, call_id: str, events: list[UpstreamEvent]) -> None:
        """Give a call its id, or a new one where another call has that."""
        if call_id in self._ids:
            events.append(Notice("duplicate_call_id", "a call had the id of an earlier one; it got a new id"))
            call_id = self._new_id()
        call.id = call_id
        self._ids.add(call_id)

    def _identify(self, call: _Call, delta: CallDelta, events: list[UpstreamEvent]) -> None:
        """Remember what else this call is known by; an id that comes before its start is still its own."""
        if delta.id and delta.id not in self._by_id:
            self._by_id[delta.id] = call
            if not call.id and call.number is None:
                self._take_id(call, delta.id, events)
        if delta.index is not None:
            self._by_index.setdefault(delta.index, call)
        self._last = call

    def _advance(self, events: list[UpstreamEvent]) -> None:
        """Let out what is certain, from the head of the queue."""
        queue = self._queue
        while queue:
            head = queue[0]
            if not isinstance(head, _Call):
                events.append(head)
            else:
                if head.name and (head.number is not None or head.has_arguments or head.name in self._certain_names):
                    self._send(head, events)
                if head.number is None or len(queue) == 1 or not head.is_complete:
                    return
                self._end(head, events)
            queue.popleft()

    def _send(self, call: _Call, events: list[UpstreamEvent]) -> None:
        """Start a call, and send what there is of it."""
        if call.number is None:
            if not call.id:
                call.id = self._new_id()
                self._ids.add(call.id)
            call.number = self.count
            self.count += 1
            events.append(ToolCallStart(call.number, call.id, call.name, call.custom))
        number = call.number
        events += [ToolCallDelta(number, piece) for piece in call.pieces[call.sent :]]
        call.sent = len(call.pieces)

    def _end(self, call: _Call, events: list[UpstreamEvent]) -> None:
        number = call.number or 0
        call.ended = True
        if call.custom:
            pass  # any text is its input, and so is none
        elif not call.has_arguments:
            events.append(ToolCallDelta(number, "{}"))
        elif not is_json("".join(call.pieces)):
            events.append(Notice("invalid_arguments", f"{call.name}: the arguments are not valid JSON, and were passed on as they are"))
        events.append(ToolCallEnd(number))
