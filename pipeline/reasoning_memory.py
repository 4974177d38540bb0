"""The reasoning of earlier answers, for clients that do not send it back and models that want it back.

Theory of operation: a thinking model that called tools is to get its own thinking back with the results; DeepSeek and Kimi refuse the conversation
without it. Cursor sends none. So an answer with calls is remembered (`remember`, or `Remembering` for a stream), and `recall` puts its reasoning back
into the next request, where the same message stands behind the same conversation.

The name of an entry is a SHA-256 over the owner, the model, all messages before the answer, and the answer itself, each field behind its length. It
is computed along the conversation, so that a request costs one pass over its text however many turns it holds. Only what survives a client is hashed:

- of a message its role and its text; of an assistant's text not the white space, which clients trim, fold and join anew;
- of an image its URL, of another part its fields;
- of a call its tool and its arguments: their JSON value, since clients write it anew, and of a custom tool's call the raw input without white space,
  whether or not it lies in the wrapper that stands for it where there are only functions;
- no ids: Kimi's (`functions.read:0`) are rewritten on their way through Cursor, and beside the whole conversation they tell nothing apart;
- neither reasoning nor `name` nor `extra`: clients drop them, or move them as a cache mark is moved.

Invariants: what one owner or model said is never given to another. No prompt is kept, only its hash; the reasoning is kept in this process alone. At
most `entries` and `max_bytes`; what was not asked for in `seconds` is forgotten, and what was not asked for the longest goes first. Nothing raises,
whatever a model said. Left alone: what the model is told where nothing is remembered (`missing` counts those turns).
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from pipeline.emit.whole import Whole
from pipeline.events import Event, Failed, Finish, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.request import WRAPPED_INPUT, ImagePart, Json, Message, OpaquePart, Request, Role, TextPart, ToolCall

ENTRY_BYTES = 256
"""What an entry takes beside its text: its name, its time and the table's share."""

_EXACT = 2**53


class _Entry(msgspec.Struct, frozen=True, gc=False):
    text: bytes
    used_at: float


class ReasoningMemory:
    """See the module; `clock` gives seconds.

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
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """What is taken of `max_bytes`."""
        return self._bytes

    def recall(self, request: Request, *, owner: str, model: str) -> Request:
        """The request with the reasoning that is known for its assistant messages that call tools and have none; the same one where there is none."""
        self._forget_expired()
        wanting = [index for index, message in enumerate(request.messages) if _wants(message)]
        if not wanting or not self._kept:
            return request
        messages = list(request.messages)
        conversation = _Conversation(owner, model)
        for index, message in enumerate(messages[: wanting[-1] + 1]):
            conversation.add(message)
            if _wants(message) and (text := self._find(conversation.name())) is not None:
                messages[index] = msgspec.structs.replace(message, reasoning=text)
        return msgspec.structs.replace(request, messages=tuple(messages))

    def missing(self, request: Request) -> int:
        """How many assistant messages call tools and have no reasoning."""
        return sum(_wants(message) for message in request.messages)

    def remember(self, request: Request, answer: Whole, *, owner: str, model: str) -> None:
        """Keep the reasoning of a complete answer to this request, if it called tools."""
        if not answer.calls or not answer.thinking:
            return
        conversation = _Conversation(owner, model)
        for message in request.messages:
            conversation.add(message)
        conversation.add(Message(Role.ASSISTANT, (TextPart(answer.text + answer.refusal),), tuple(answer.calls)))
        self._keep(conversation.name(), _encoded(answer.thinking))

    def _find(self, name: bytes) -> str | None:
        entry = self._kept.get(name)
        if entry is None:
            return None
        self._kept[name] = _Entry(entry.text, self._clock())
        self._kept.move_to_end(name)
        return entry.text.decode("utf-8", "surrogatepass")

    def _keep(self, name: bytes, text: bytes) -> None:
        self._forget_expired()
        before = self._kept.pop(name, None)
        if before is not None:
            self._bytes -= _size(before)
        entry = _Entry(text, self._clock())
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

    def __init__(self, memory: ReasoningMemory, request: Request, *, owner: str, model: str) -> None:
        """`request` is as the client sent it, before anything was recalled."""
        self._memory = memory
        self._request = request
        self._owner = owner
        self._model = model
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
            self._begin()
        return events

    def _begin(self) -> None:
        self._answer = Whole()
        self._size = 0


class _Conversation:
    """The running hash of a conversation."""

    def __init__(self, owner: str, model: str) -> None:
        self._hash = hashlib.sha256()
        self._text(owner)
        self._text(model)

    def add(self, message: Message) -> None:
        """The next message."""
        is_answer = message.role is Role.ASSISTANT
        self._text(message.role.value)
        self._text(_without_space(message.text) if is_answer else message.text)
        others = [part for part in message.parts if not isinstance(part, TextPart)]
        self._count(len(others))
        for part in others:
            self._part(part)
        self._count(len(message.tool_calls))
        for call in message.tool_calls:
            self._text(call.name)
            self._field(_arguments(call))

    def name(self) -> bytes:
        """The hash of all that was added, of 32 bytes."""
        return self._hash.digest()

    def _part(self, part: ImagePart | OpaquePart) -> None:
        if isinstance(part, ImagePart):
            self._text("image")
            self._text(part.url)
        else:
            self._text(part.kind)
            self._field(_canonical(part.fields) or b"")

    def _text(self, text: str) -> None:
        self._field(_encoded(text))

    def _field(self, data: bytes) -> None:
        self._count(len(data))
        self._hash.update(data)

    def _count(self, number: int) -> None:
        self._hash.update(number.to_bytes(8, "big"))


def _wants(message: Message) -> bool:
    return message.role is Role.ASSISTANT and bool(message.tool_calls) and not message.reasoning


def _arguments(call: ToolCall) -> bytes:
    """What is the same of a call's arguments however they are written."""
    fields = None if call.custom else _object(call.arguments)
    if fields is not None:
        wrapped = fields.get(WRAPPED_INPUT)
        if len(fields) == 1 and isinstance(wrapped, str):
            return _encoded(_without_space(wrapped))
        if (canonical := _canonical(fields)) is not None:
            return canonical
    return _encoded(_without_space(call.arguments))


def _number(literal: str) -> int | float:
    """1.0 and 1e2 as JavaScript writes them."""
    value = float(literal)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


_read_object = msgspec.json.Decoder(dict[str, Json], float_hook=_number).decode


def _object(text: str) -> dict[str, Json] | None:
    """The object that arguments are, None where they are none; clients write no arguments in either way."""
    try:
        return _read_object(_encoded(text)) if text.strip() else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _canonical(value: Json) -> bytes | None:
    try:
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.EncodeError, ValueError, RecursionError):
        return None


def _without_space(text: str) -> str:
    return "".join(text.split())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _size(entry: _Entry) -> int:
    return ENTRY_BYTES + len(entry.text)


def _characters(events: Sequence[Event]) -> int:
    size = 0
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta | RefusalDelta):
            size += len(event.text)
        elif isinstance(event, ToolCallDelta):
            size += len(event.arguments)
    return size
