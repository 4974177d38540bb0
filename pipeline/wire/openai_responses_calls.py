"""The calls of a Responses answer, one after the other, and the text between them in its place.

Theory of operation: calls are opened, grow and are done in any order; what comes out is start, deltas and end of one call at a time, numbered from 0.
The call that was opened first is let out as it comes; other calls and all text wait behind it until it is over. A function's call is over when all of
its arguments were told and are JSON, and its item is done or something waits. A custom tool's input is any text, so its call is over only when its
item is completed.

At the answer's proper end a call ends that was done, or whose arguments were all told or are JSON; `are_whole` says whether that is so for all. An
answer that is incomplete was broken off somewhere: there a function's call ends only if its arguments are JSON, and a custom tool's if its item was
completed. The first call that does not end stays open, and what waits behind it is left out with a Notice `call_cut`.

Invariants: nothing raises; time is linear. A call starts when its name is known. Arguments pass as they came; a function's empty ones become `{}`,
and those that are no JSON are named by a Notice `invalid_arguments` before the end. Ids are kept; a missing one is made anew, and so is one that
repeats another of the answer or of the conversation. A call that never got a name is dropped with a Notice.
"""

from collections import deque
from collections.abc import Callable, Collection

from pipeline.events import Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.json_values import decode_json
from pipeline.wire.openai_arguments import is_json

Spoken = TextDelta | ThinkingDelta | RefusalDelta

_MAX_NAME_CHARS = 64


class Pieces:
    """A text that comes in pieces, joined no oftener than it grows; `chars` is its length.

    >>> pieces = Pieces()
    >>> pieces.add("Hel"), pieces.add("lo"), pieces.text, pieces.chars
    (None, None, 'Hello', 5)
    """

    def __init__(self) -> None:
        self.chars = 0
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """So far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, piece: str) -> None:
        """The next piece."""
        self._pieces.append(piece)
        self.chars += len(piece)

    def begin(self, text: str) -> bool:
        """Whether another text begins with this one; one that is shorter is not looked at."""
        return len(text) >= self.chars and text.startswith(self.text)


class Call:
    """What is known of one call; `number` is its place in the answer once it has started, `upstream_id` its call id as the upstream told it."""

    def __init__(self, *, custom: bool) -> None:
        self.custom = custom
        self.name = ""
        self.upstream_id = ""
        self.id = ""
        self.number: int | None = None
        self.waiting: list[str] = []  # arguments that nobody has seen yet
        self.has_shown = False
        self.offered = ""  # arguments in the item as it was added, which count only if none are told later
        self.was_told = False  # all of its arguments, by one event or more
        self.is_settled = False  # so, and they are JSON; never of a custom tool's call
        self.is_done = False
        self.is_completed = False  # its item is done, and was not broken off
        self.is_cut = False  # its item was done, and not completed
        self.is_contradicted = False  # its arguments were told twice, and not the same
        self.is_queued = False
        self.has_ended = False
        self.told = Pieces()
        self._decoded: Json = None
        self._decoded_chars = -1  # of how much of them

    @property
    def arguments(self) -> str:
        """As far as they have come."""
        return self.told.text

    def add(self, piece: str) -> None:
        """More of the arguments."""
        self.is_settled = False
        self.told.add(piece)
        self.waiting.append(piece)

    def replace(self, arguments: str) -> None:
        """Other arguments, as long as nobody has seen the first ones."""
        self.told, self.waiting = Pieces(), []
        self.add(arguments)

    def settle(self) -> None:
        """All of the arguments were told; looks at them the first time, since a server may say so again and again."""
        if not self.was_told:
            self.was_told = True
            self.is_settled = not self.custom and is_json(self.arguments)

    def complete(self) -> None:
        """Its item is completed, as the upstream says."""
        if not self.is_completed:
            self.is_completed, self.is_cut = True, False
            self.was_told, self.is_settled = True, not self.custom and is_json(self.arguments)

    def says(self, arguments: str) -> bool:
        """Whether these are its arguments, if need be in other words."""
        if self.custom or arguments == self.arguments:
            return arguments == self.arguments
        if self._decoded_chars != self.told.chars:
            self._decoded, self._decoded_chars = _decoded(self.arguments), self.told.chars
        return self._decoded is not None and self._decoded == _decoded(arguments)

    @property
    def shown_name(self) -> str:
        """For a Notice."""
        return self.name[:_MAX_NAME_CHARS]


class CallQueue:
    """The order of calls and text. Each method appends the events that are certain now.

    >>> events, queue = [], CallQueue(new_id=lambda: "call_1")
    >>> call = Call(custom=False)
    >>> call.name = "now"
    >>> call.add("{}"), call.complete(), queue.open(call, events), queue.speak(TextDelta("So."), events)
    (None, None, None, None)
    >>> events[-2:]
    [ToolCallEnd(index=0), TextDelta(text='So.')]
    """

    def __init__(self, *, new_id: Callable[[], str], taken_ids: Collection[str] = ()) -> None:
        """`new_id` makes ids for calls that come without one; `taken_ids` are those of the conversation's earlier calls."""
        self.count = 0
        self._new_id = new_id
        self._ids = set(taken_ids)
        self._waiting: deque[Call | Spoken] = deque()

    @property
    def are_whole(self) -> bool:
        """Whether every call so far may end with an answer that is completed."""
        return all(_may_end(entry, cut=False) for entry in self._waiting if isinstance(entry, Call))

    def open(self, call: Call, events: list[UpstreamEvent]) -> None:
        """A further call."""
        call.is_queued = True
        self._waiting.append(call)
        self.advance(events)

    def speak(self, event: Spoken, events: list[UpstreamEvent]) -> None:
        """Text, which may not come inside a call."""
        if self._waiting:
            self._waiting.append(event)
            self.advance(events)
        else:
            events.append(event)

    def advance(self, events: list[UpstreamEvent]) -> None:
        """Let out what is certain, from the head of the queue."""
        waiting = self._waiting
        while waiting:
            head = waiting[0]
            if not isinstance(head, Call):
                events.append(head)
            else:
                self._show(head, events)
                if not _is_over(head, is_waited_for=len(waiting) > 1):
                    return
                self._close(head, events)
            waiting.popleft()

    def end(self, events: list[UpstreamEvent], *, cut: bool) -> None:
        """The answer ends: everything that waits comes out, up to a call that may not end. `cut` says that the answer is incomplete."""
        waiting = self._waiting
        while waiting:
            head = waiting.popleft()
            if not isinstance(head, Call):
                events.append(head)
                continue
            self._show(head, events)
            if not _may_end(head, cut=cut):
                behind = f"; what came behind it was left out ({len(waiting)} pieces)" if waiting else ""
                events.append(Notice("call_cut", f"{head.shown_name}: the upstream ended its answer inside the call{behind}"))
                return
            self._close(head, events)

    def _show(self, call: Call, events: list[UpstreamEvent]) -> None:
        """Start a call whose name is known, and send what there is of it."""
        if call.number is None:
            if not call.name:
                return
            self._identify(call, events)
            call.number = self.count
            self.count += 1
            events.append(ToolCallStart(call.number, call.id, call.name, call.custom))
        if call.waiting:
            number, call.has_shown = call.number, True
            events += [ToolCallDelta(number, piece) for piece in call.waiting]
            call.waiting = []

    def _identify(self, call: Call, events: list[UpstreamEvent]) -> None:
        call.id = call.upstream_id
        if call.id in self._ids:
            events.append(Notice("duplicate_call_id", "a call had the id of an earlier one; it got a new id"))
            call.id = ""
        call.id = call.id or self._new_id()
        self._ids.add(call.id)

    def _close(self, call: Call, events: list[UpstreamEvent]) -> None:
        call.has_ended = True
        if call.number is None:
            events.append(Notice("nameless_call", "the upstream sent a tool call without a name; it was dropped"))
            return
        if not call.custom:
            arguments = call.arguments
            if not arguments or arguments.isspace():
                events.append(ToolCallDelta(call.number, "{}"))
            elif not is_json(arguments):
                events.append(Notice("invalid_arguments", f"{call.shown_name}: the arguments are not valid JSON, and were passed on as they are"))
        events.append(ToolCallEnd(call.number))


def _decoded(arguments: str) -> Json:
    return decode_json(arguments.encode(errors="replace"))


def _is_over(call: Call, *, is_waited_for: bool) -> bool:
    """Whether a call ends while the answer goes on."""
    return call.is_completed if call.custom or not call.name else call.is_settled and (call.is_completed or is_waited_for)


def _may_end(call: Call, *, cut: bool) -> bool:
    """Whether a call is complete when the answer ends; one without a name is dropped anyhow."""
    if not call.name:
        return True
    if not call.custom and is_json(call.arguments):
        return True
    if cut:
        return call.custom and call.is_completed
    return not call.is_cut if call.is_done else call.custom and call.was_told
