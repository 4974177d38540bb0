"""Responses that can be asked for again: what is kept of each, the protocol of a store, and the one in this process's memory.

Theory of operation: a `StoredResponse` is bytes and nothing else, so that a database can hold it: the Response object and its input items as the
JSON that a client is sent, and the conversation up to and with the response's output as JSON of our own, from which a later request goes on
(`previous_response_id`). A store gives it back to its owner and to nobody else; an id of another owner is an unknown one, in every respect.

Invariants: nothing is changed once it is stored. `MemoryStore` holds at most `entries` and `max_bytes`; what was not asked for in `seconds` is
forgotten. Where there is no room, what goes is of the owner who holds the most, the new response counted, and there what was not asked for the
longest: who stores much drives out his own, and nobody's who stores less. A response that would itself have to go is not kept, and drives out
nothing. Left alone: which responses are stored (`server.routes.responses`), and who an owner is (`server.targets.owner_of`).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heapreplace
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
        """Keep a response; False where the store has no room for it."""
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


class _Share(msgspec.Struct):
    """What one owner has: the sizes of the responses by id, those not asked for the longest first, and their sum."""

    sizes: OrderedDict[str, int]
    size_bytes: int = 0


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
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def put(self, owner: str, response_id: str, stored: StoredResponse) -> bool:
        """See `ResponseStore`; there is no room for what is larger than the store may be, or than what every other owner has after making room."""
        self._forget_expired()
        self._forget((owner, response_id))
        size = stored.size_bytes
        if size > self._max_bytes:
            return False
        over = self.size_bytes + size - self._max_bytes
        if over > 0 or len(self._kept) >= self._max_entries:
            leaving = _leaving(self._shares, owner, size, over, is_one_too_many=len(self._kept) >= self._max_entries)
            if leaving is None:
                return False
            for name in leaving:
                self._forget(name)
        self._kept[owner, response_id] = _Entry(stored, self._clock())
        share = self._shares.setdefault(owner, _Share(OrderedDict()))
        share.sizes[response_id] = size
        share.size_bytes += size
        self.size_bytes += size
        return True

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """See `ResponseStore`; asking for a response makes it the last to go."""
        self._forget_expired()
        entry = self._kept.get((owner, response_id))
        if entry is None:
            return None
        self._kept[owner, response_id] = _Entry(entry.stored, self._clock())
        self._kept.move_to_end((owner, response_id))
        self._shares[owner].sizes.move_to_end(response_id)
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
        owner, response_id = name
        share = self._shares[owner]
        size = share.sizes.pop(response_id)
        share.size_bytes -= size
        self.size_bytes -= size
        if not share.sizes:
            del self._shares[owner]
        return True


def _leaving(shares: Mapping[str, _Share], owner: str, size: int, over: int, *, is_one_too_many: bool) -> list[tuple[str, str]] | None:
    """What has to go for a new response of the owner's, by owner and id; None where that is the new one.

    `over` is how many bytes are too many, and `is_one_too_many` says that one response is: that goes from who has the most responses. Of two with as
    much, the other one goes before the owner. The time is that of the owners and of what has to go.
    """
    weights = {name: share.size_bytes for name, share in shares.items()}
    weights[owner] = weights.get(owner, 0) + size
    queues: dict[str, Iterator[tuple[str, int]]] = {name: iter(share.sizes.items()) for name, share in shares.items()}
    gone: list[tuple[str, str]] = []
    if is_one_too_many:
        most = max(shares, key=lambda name: (len(shares[name].sizes) + (name == owner), name != owner))
        response_id, freed = next(queues[most])
        gone.append((most, response_id))
        weights[most] -= freed
        over -= freed
    heaviest = [(-weight, name == owner, name) for name, weight in weights.items()]
    heapify(heaviest)
    while over > 0:
        weight, is_own, name = heaviest[0]
        found = next(queues[name], None) if name in queues else None
        if found is None:
            return None
        gone.append((name, found[0]))
        over -= found[1]
        heapreplace(heaviest, (weight + found[1], is_own, name))
    return gone


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
