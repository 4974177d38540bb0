"""The calls of a Responses answer, one after the other, and the text between them in its place.

Theory of operation: calls are opened, grow and are done in any order; what comes out is start, deltas and end of one call at a time, numbered from 0.
The call that was opened first is let out as it comes; other calls and all text wait behind it until it is over. It is over when its item is done, or
when something waits and all of its arguments were told.

Invariants: nothing raises; time is linear. A call starts when its name is known, and ends only if it was done, or if its arguments are JSON at the
answer's proper end; `are_whole` says whether that is so for all. Arguments pass as they came; a function's empty ones become `{}`, and those of a
done call that are no JSON are named by a Notice `invalid_arguments` before the end. Ids are kept; a missing or repeated one is made anew. A call that
never got a name is dropped with a Notice.
"""

from collections import deque
from collections.abc import Callable

from pipeline.events import Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.wire.openai_calls import is_json

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
        self.is_settled = False  # so, and they can be run
        self.is_done = False
        self.is_cut = False  # its item was done, and not completed
        self.is_queued = False
        self.has_ended = False
        self.told = Pieces()

    @property
    def arguments(self) -> str:
        """As far as they have come."""
        return self.told.text

    def add(self, piece: str) -> None:
        """More of the arguments."""
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
            self.is_settled = self.custom or is_json(self.arguments)

    @property
    def shown_name(self) -> str:
        """For a Notice."""
        return self.name[:_MAX_NAME_CHARS]


class CallQueue:
    """The order of calls and text. Each method appends the events that are certain now.

    >>> events, queue = [], CallQueue(new_id=lambda: "call_1")
    >>> call = Call(custom=False)
    >>> call.name, call.is_done = "now", True
    >>> queue.open(call, events), queue.speak(TextDelta("So."), events)
    (None, None)
    >>> events[-2:]
    [ToolCallEnd(index=0), TextDelta(text='So.')]
    """

    def __init__(self, *, new_id: Callable[[], str]) -> None:
        """`new_id` makes ids for calls that come without one."""
        self.count = 0
        self._new_id = new_id
        self._ids: set[str] = set()
        self._waiting: deque[Call | Spoken] = deque()

    @property
    def are_whole(self) -> bool:
        """Whether every call so far may end."""
        return all(_may_end(entry) for entry in self._waiting if isinstance(entry, Call))

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
                if not (head.is_done and not head.is_cut) and not (head.is_settled and len(waiting) > 1):
                    return
                self._close(head, events)
            waiting.popleft()

    def end(self, events: list[UpstreamEvent]) -> None:
        """The answer ends properly: everything that waits comes out, up to a call that was cut off."""
        waiting = self._waiting
        while waiting:
            head = waiting.popleft()
            if not isinstance(head, Call):
                events.append(head)
                continue
            self._show(head, events)
            if not _may_end(head):
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
            events.append(Notice("duplicate_call_id", "two calls of the answer had the same id; the later one got a new id"))
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


def _may_end(call: Call) -> bool:
    """Whether a call is complete at the answer's end: it was done, or all of its arguments were told, or they are JSON; or it is dropped anyhow."""
    if not call.name:
        return True
    if call.is_done:
        return not call.is_cut or (not call.custom and is_json(call.arguments))
    return call.is_settled or (not call.custom and is_json(call.arguments))
