"""The reasoning of earlier answers, for clients that do not send it back and models that want it back.

Theory of operation: a thinking model that called tools is to get its own thinking back with the results; DeepSeek and Kimi refuse the conversation
without it. Cursor sends none. So an answer with calls is remembered (`remember`, or `Remembering` for a stream), and `recall` puts its reasoning back
into the next request, where the same message stands behind the same conversation. That it had none is remembered too, as an empty text: such a turn
is not `missing` any, and is sent with the empty field that these vendors want there, to a target that was seen to think at all.

The name of an entry is a hash over the owner, the model, all messages before the answer, and the answer itself (`pipeline.conversation_name`). It is
computed along the conversation, so that a request costs one pass over its text however many turns it holds. The model is the one that the client
asked for, whichever target answered: a conversation that goes on at another target takes its reasoning along, as it does all else that it holds. That
is no leak, since that target is given the whole conversation anyhow, and its owner is part of the name.

An answer with several calls is known also by its first alone, and each other call behind the results of those before it: some clients echo call,
result, call, result. One whose first call a client leaves out is not known.

`missing` counts the turns before the last user message too: Kimi looks at every message that calls tools, and DeepSeek wants the reasoning of such
turns in all later requests (until V3.2 it ignored that of earlier questions). A conversation that has lost some is never whole again for them.

Invariants: what one owner or model said is never given to another. No prompt is kept, only its hash; the reasoning is kept in this process alone. At
most `entries` and `max_bytes`; what was not asked for in `seconds` is forgotten, and what was not asked for the longest goes first. Nothing raises,
whatever a model said. Left alone: what the model is told where nothing is remembered (`missing` counts those turns, and `thinks` knows of which
targets this process has seen any reasoning).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from pipeline.conversation_name import ConversationName, call_digest
from pipeline.emit.whole import Whole
from pipeline.events import Event, Failed, Finish, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.request import Message, Request, Role, TextPart

ENTRY_BYTES = 256
"""What an entry takes beside its text: its name, its time and the table's share."""

MOST_THINKERS = 4096
"""Targets that were seen to think; clients write their ids."""

_DIGEST_BYTES = 32


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """An answer's reasoning, empty where it had none; `rest` are the digests of the calls that may come behind this one in messages of their own."""

    text: bytes
    rest: tuple[bytes, ...]
    used_at: float


class ReasoningMemory:
    """See the module; `clock` gives seconds.

    >>> from pipeline.request import ToolCall
    >>> call = ToolCall("call_1", "read", '{"path": "a"}')
    >>> answer, request = Whole(), Request("kimi", (Message(Role.USER, (TextPart("Look."),)),))
    >>> answer.calls.append(call)
    >>> answer.add([ThinkingDelta("I had better look.")])
    >>> memory = ReasoningMemory(100, 100_000, 60)
    >>> memory.remember(request, answer, owner="me", model="kimi")
    >>> later = Request("kimi", (*request.messages, Message(Role.ASSISTANT, (), (call,))))
    >>> memory.recall(later, owner="me", model="kimi").messages[1].reasoning, memory.missing(memory.recall(later, owner="you", model="kimi"))
    ('I had better look.', 1)
    """

    def __init__(self, entries: int, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self._max_entries = entries
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, _Entry] = OrderedDict()
        self._thinkers: OrderedDict[str, None] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """What is taken of `max_bytes`."""
        return self._bytes

    def recall(self, request: Request, *, owner: str, model: str, target: str | None = None) -> Request:
        """The request with the reasoning that is known for its assistant messages that call tools and have none; the same one where there is none.

        `target` is who gets it, where that is told apart from the model.
        """
        self._forget_expired()
        wanting = [index for index, message in enumerate(request.messages) if _wants(message)]
        if not wanting or not self._kept:
            return request
        messages = list(request.messages)
        conversation = ConversationName(owner, model)
        had_none = "" if self.thinks(target or model) else None
        text, rest = b"", tuple[bytes, ...]()
        for index, message in enumerate(messages[: wanting[-1] + 1]):
            conversation.add(message)
            if message.role is Role.TOOL:
                continue
            if _wants(message) and (entry := self._find(conversation.digest())) is not None:
                text, rest = entry.text, entry.rest
            elif _wants(message) and _is_piece(message, rest):
                rest = rest[len(message.tool_calls) :]
            else:
                rest = ()
                continue
            if (reasoning := _decoded(text) or had_none) is not None:
                messages[index] = msgspec.structs.replace(message, reasoning=reasoning)
        return msgspec.structs.replace(request, messages=tuple(messages))

    def missing(self, request: Request) -> int:
        """How many assistant messages call tools and have no reasoning, where nobody knows that they had none."""
        return sum(_wants(message) and message.reasoning is None for message in request.messages)

    def remember(self, request: Request, answer: Whole, *, owner: str, model: str) -> None:
        """Keep the reasoning of a complete answer to this request, if it called tools."""
        if not answer.calls:
            return
        conversation = ConversationName(owner, model)
        for message in request.messages:
            conversation.add(message)
        said, calls, reasoning = (TextPart(answer.text + answer.refusal),), tuple(answer.calls), _encoded(answer.thinking)
        if len(calls) > 1:
            first = conversation.digest(Message(Role.ASSISTANT, said, calls[:1]))
            self._keep(first, reasoning, tuple(map(call_digest, calls[1:])))
        self._keep(conversation.digest(Message(Role.ASSISTANT, said, calls)), reasoning)

    def saw_thinking(self, target: str) -> None:
        """A target has thought."""
        self._thinkers[target] = None
        self._thinkers.move_to_end(target)
        if len(self._thinkers) > MOST_THINKERS:
            self._thinkers.popitem(last=False)

    def thinks(self, target: str) -> bool:
        """Whether a target was seen to think."""
        return target in self._thinkers

    def _find(self, name: bytes) -> _Entry | None:
        entry = self._kept.get(name)
        if entry is None:
            return None
        self._kept[name] = _Entry(entry.text, entry.rest, self._clock())
        self._kept.move_to_end(name)
        return entry

    def _keep(self, name: bytes, text: bytes, rest: tuple[bytes, ...] = ()) -> None:
        self._forget_expired()
        before = self._kept.pop(name, None)
        if before is not None:
            self._bytes -= _size(before)
        entry = _Entry(text, rest, self._clock())
        if _size(entry) > self.max_bytes:  # all the others would have to go for it
            return
        self._kept[name] = entry
        self._bytes += _size(entry)
        while len(self._kept) > self._max_entries or self._bytes > self.max_bytes:
            self._forget_first()

    def _forget_expired(self) -> None:
        # a use moves an entry to the end, so that those not used for the longest stand first
        oldest = self._clock() - self._seconds
        while self._kept and next(iter(self._kept.values())).used_at <= oldest:
            self._forget_first()

    def _forget_first(self) -> None:
        _, entry = self._kept.popitem(last=False)
        self._bytes -= _size(entry)


class Remembering:
    """Shown an answer's events as they pass, it remembers the reasoning at their end; behind a failed answer it takes a second one to the request."""

    def __init__(self, memory: ReasoningMemory, request: Request, *, owner: str, model: str, target: str | None = None) -> None:
        """`request` is as the client sent it, before anything was recalled; `target` is who answers, where that is told apart from the model."""
        self._memory = memory
        self._request = request
        self._owner = owner
        self._model = model
        self._target = target or model
        self._begin()

    def feed(self, events: list[Event]) -> list[Event]:
        """Take note of a list and pass it on as it is."""
        if not events:
            return events
        self._size += _characters(events)
        if self._size <= self._memory.max_bytes:  # a larger answer would not be kept
            self._answer.add(events)
        last = events[-1]
        if isinstance(last, Finish) and self._size <= self._memory.max_bytes:
            self._memory.remember(self._request, self._answer, owner=self._owner, model=self._model)
        if isinstance(last, Finish | Failed):
            if self._answer.thinking:
                self._memory.saw_thinking(self._target)
            self._begin()
        return events

    def _begin(self) -> None:
        self._answer = Whole()
        self._size = 0


def _wants(message: Message) -> bool:
    return message.role is Role.ASSISTANT and bool(message.tool_calls) and not message.reasoning


def _is_piece(message: Message, rest: tuple[bytes, ...]) -> bool:
    """Whether a message holds the next calls of an answer that its client echoes in several."""
    return not message.text and rest[: len(message.tool_calls)] == tuple(map(call_digest, message.tool_calls))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _size(entry: _Entry) -> int:
    return ENTRY_BYTES + len(entry.text) + _DIGEST_BYTES * len(entry.rest)


def _characters(events: Sequence[Event]) -> int:
    size = 0
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta | RefusalDelta):
            size += len(event.text)
        elif isinstance(event, ToolCallDelta):
            size += len(event.arguments)
    return size
