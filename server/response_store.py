"""Responses that can be asked for again: what is kept of each, the protocol of a store, and the one in this process's memory.

Theory of operation: a `StoredResponse` is bytes and nothing else, so that a database can hold it: the Response object and its input items as the
JSON that a client is sent, and the conversation up to and with the response's output as JSON of our own, from which a later request goes on
(`previous_response_id`). A store gives it back to its owner and to nobody else; an id of another owner is an unknown one, in every respect.

Invariants: nothing is changed once it is stored. `MemoryStore` holds at most `entries` and `max_bytes`; what was not asked for in `seconds` is
forgotten, and what was not asked for the longest goes first. Left alone: which responses are stored (`server.routes.responses`), and who an owner is
(`server.targets.owner_of`).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pipeline.request import ImagePart, Json, Message, OpaquePart, Part, Role, TextPart, ToolCall

ENTRY_BYTES = 512
"""What an entry takes beside its text: its id, its owner, its time and the table's share."""


class StoredResponse(msgspec.Struct, frozen=True):
    """One response. `body` is its object and `input_items` an array, both JSON; `history` is what `written_history` makes."""

    body: bytes
    input_items: bytes
    history: bytes

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, more or less."""
        return ENTRY_BYTES + len(self.body) + len(self.input_items) + len(self.history)


class ResponseStore(Protocol):
    """Keeps responses by owner and id."""

    async def put(self, owner: str, response_id: str, stored: StoredResponse) -> bool:
        """Keep a response; False where the store has no room for one of its size."""
        ...

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """The owner's response of this id; None where there is none any more, or never was."""
        ...

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forget a response; False where the owner has none of this id."""
        ...


class _Entry(msgspec.Struct, frozen=True):
    stored: StoredResponse
    used_at: float


class MemoryStore:
    """A store that lives as long as its process; `clock` gives seconds.

    >>> import trio
    >>> store = MemoryStore(entries=1, max_bytes=10_000, seconds=60)
    >>> trio.run(store.put, "me", "resp_1", StoredResponse(b"{}", b"[]", b"[]")), len(store)
    (True, 1)
    >>> trio.run(store.get, "you", "resp_1") is None, trio.run(store.delete, "me", "resp_1"), store.size_bytes
    (True, True, 0)
    """

    def __init__(self, *, entries: int, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = 0
        self._max_entries = entries
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def put(self, owner: str, response_id: str, stored: StoredResponse) -> bool:
        """See `ResponseStore`; what it has no room for is larger than the whole store may be."""
        self._forget_expired()
        self._forget((owner, response_id))
        if stored.size_bytes > self._max_bytes:
            return False
        self._kept[owner, response_id] = _Entry(stored, self._clock())
        self.size_bytes += stored.size_bytes
        while len(self._kept) > self._max_entries or self.size_bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))
        return True

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See `ResponseStore`; asking for a response makes it the last to go."""
        self._forget_expired()
        entry = self._kept.get((owner, response_id))
        if entry is None:
            return None
        self._kept[owner, response_id] = _Entry(entry.stored, self._clock())
        self._kept.move_to_end((owner, response_id))
        return entry.stored

    async def delete(self, owner: str, response_id: str) -> bool:
        """See `ResponseStore`."""
        self._forget_expired()
        return self._forget((owner, response_id))

    def _forget_expired(self) -> None:
        # a use moves an entry to the end, so that those not used for the longest stand first
        oldest = self._clock() - self._seconds
        while self._kept and next(iter(self._kept.values())).used_at <= oldest:
            self._forget(next(iter(self._kept)))

    def _forget(self, name: tuple[str, str]) -> bool:
        entry = self._kept.pop(name, None)
        if entry is None:
            return False
        self.size_bytes -= entry.stored.size_bytes
        return True


# -- the conversation as bytes -----------------------------------------------------------------------------------------------------------------


class _StoredMessage(msgspec.Struct, omit_defaults=True):
    """A `Message`, its parts not yet told apart."""

    role: Role
    parts: tuple[dict[str, Json], ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None
    extra: dict[str, Json] = {}


_read_messages = msgspec.json.Decoder(tuple[_StoredMessage, ...]).decode


def written_history(messages: Sequence[Message]) -> bytes:
    """Messages as `StoredResponse.history`.

    >>> messages = (Message(Role.USER, (TextPart("Hi"), ImagePart("data:,x"))),)
    >>> read_history(written_history(messages)) == messages
    True
    """
    return msgspec.json.encode(messages)


def read_history(history: bytes) -> tuple[Message, ...]:
    """The messages that `written_history` was given."""
    return tuple(
        Message(kept.role, tuple(map(_part, kept.parts)), kept.tool_calls, kept.tool_call_id, kept.name, kept.reasoning, kept.extra)
        for kept in _read_messages(history)
    )


def _part(fields: dict[str, Json]) -> Part:
    """A part by the field that only its kind has."""
    if "url" in fields:
        return msgspec.convert(fields, ImagePart)
    if "kind" in fields:
        return msgspec.convert(fields, OpaquePart)
    return msgspec.convert(fields, TextPart)
