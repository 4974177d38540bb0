"""Which responses are kept, for whom, and what a later request has of them.

Theory of operation: `wanted` looks into a body for what it needs of the store, before it is parsed: the response that it goes on from and the items
that it refers to. `recalled` fetches those, so that parsing, which waits for nothing, finds them (`Recalled.conversation`, `Recalled.item`). When an
answer is over, `keep` stores it where the body's `store` and the setting of that name say so. An item's id holds its response's, so that an item is
found by its id alone.

Invariants: an owner sees nothing of another's, and is told of it what is told of an id that never was. What is fetched is charged to the request in
work before it is read, as its own body is: a short body may go on from a long conversation. Conversations are written and read in threads, and so are
items where they may be large; `Recalled.size_bytes` says how much there was, for what is done with it. Where the setting is `off` there is no store,
and `previous_response_id` is refused. Left alone: a body that cannot be read; its parser says what is wrong with it.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import msgspec
import trio

from pipeline.emit.responses import output_messages
from pipeline.errors import ResponseNotFound
from pipeline.events import Notice
from pipeline.parse.responses import ParsedResponses
from pipeline.request import Json, Message
from server.bodies import charge_decoded
from server.gateway import in_thread_if_large
from server.response_store import MemoryStore, ResponseStore, StoredResponse, read_history, written_history
from server.settings import Responses

RESPONSE_PREFIX = "resp_"
MAX_SHOWN_CHARS = 80
_ITEM = re.compile(r"[a-z]+_(?P<token>[^_]+)_\d+", re.ASCII)


class Wanted(msgspec.Struct, frozen=True):
    """What a body needs of the store; `store` is the client's own word, None where it said nothing."""

    previous_response_id: str | None = None
    store: bool | None = None
    items: tuple[str, ...] = ()


class _Body(msgspec.Struct):
    previous_response_id: str | None = None
    store: bool | None = None
    input: msgspec.Raw = msgspec.Raw(b"null")


class _Item(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct):
    output: list[msgspec.Raw]


class _Identified(msgspec.Struct):
    id: str


def wanted(body: bytes) -> Wanted:
    """Look into a body.

    >>> wanted(b'{"store": true, "input": [{"type": "item_reference", "id": "rs_1_0"}, {"role": "user", "content": "Hi", "id": 5}]}')
    Wanted(previous_response_id=None, store=True, items=('rs_1_0',))
    >>> wanted(b'{"store": 1}')
    Wanted(previous_response_id=None, store=None, items=())
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Wanted()
    try:
        items = msgspec.json.decode(found.input, type=list[_Item])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = []
    named = (_text(item.id) for item in items if _text(item.type) in (None, "item_reference"))
    return Wanted(found.previous_response_id, found.store, tuple(dict.fromkeys(name for name in named if name)))


def _text(value: msgspec.Raw) -> str | None:
    """The text that a value is, None for any other and for none: one bad item must not cost the others."""
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class Recalled(msgspec.Struct, frozen=True):
    """What was found of what a body needs; `size_bytes` is how much JSON it was."""

    missing: str
    history: Mapping[str, tuple[Message, ...]] = {}
    items: Mapping[str, Json] = {}
    size_bytes: int = 0

    def conversation(self, response_id: str) -> tuple[Message, ...]:
        """The conversation up to and with a response's output; raises ResponseNotFound with `missing` where it is not there."""
        if response_id not in self.history:
            raise not_found(response_id, self.missing, code="previous_response_not_found", param="previous_response_id")
        return self.history[response_id]

    def item(self, item_id: str) -> Json | None:
        """An item of an earlier response's output; None where it is not there."""
        return self.items.get(item_id)


class KeptResponses:
    """The responses that one server keeps."""

    def __init__(self, settings: Responses) -> None:
        self._rule = settings.store
        self._seconds = settings.seconds
        self._store: ResponseStore | None = None
        if settings.store != "off":
            self._store = MemoryStore(entries=settings.entries, max_bytes=settings.bytes, seconds=settings.seconds)

    @property
    def is_on(self) -> bool:
        """Whether anything is ever kept."""
        return self._store is not None

    @property
    def missing(self) -> str:
        """Why a response may not be there, for the person who asks for it."""
        if self._store is None:
            return "This server keeps no responses (`responses.store` is `off`)."
        which = "whose request says `store: true`" if self._rule == "explicit" else "whose request does not say `store: false`"
        when = f"that nobody asks for in {self._seconds:g} seconds, or when there is no more room"
        return f"This server keeps only responses {which}, and forgets one {when}."

    def keeps(self, store: bool | None) -> bool:
        """Whether a response is kept whose request says this of `store`."""
        return self._store is not None and (store is True or (store is None and self._rule == "default"))

    async def recalled(self, owner: str, needs: Wanted) -> Recalled:
        """What is there of what a body needs; raises Overloaded where there is no room for it."""
        history: dict[str, tuple[Message, ...]] = {}
        size = 0
        if self._store is not None and needs.previous_response_id is not None:
            previous = await self._store.get(owner, needs.previous_response_id)
            if previous is not None:
                charge_decoded(previous.history)
                size += len(previous.history)
                history[needs.previous_response_id] = await trio.to_thread.run_sync(read_history, previous.history)
        items, size_of_items = await self._items(owner, needs.items)
        return Recalled(self.missing, history, items, size + size_of_items)

    async def keep(self, owner: str, parsed: ParsedResponses, response: dict[str, Json], reasoning: str) -> Sequence[Notice]:
        """Store a response that is over, and all the reasoning that came with it; says so where there is no room for it."""
        if self._store is None or await self._store.put(owner, response["id"], await trio.to_thread.run_sync(_written, parsed, response, reasoning)):
            return ()
        return (Notice("response_not_kept", "the store has no room for it"),)

    async def find(self, owner: str, response_id: str, *, besides: str = "") -> StoredResponse:
        """The owner's response of this id; raises ResponseNotFound, which also says what there is to know `besides`."""
        found = None if self._store is None else await self._store.get(owner, response_id)
        if found is None:
            raise not_found(response_id, f"{self.missing} {besides}".rstrip())
        return found

    async def delete(self, owner: str, response_id: str) -> None:
        """Forget the owner's response of this id; raises ResponseNotFound."""
        if self._store is None or not await self._store.delete(owner, response_id):
            raise not_found(response_id, self.missing)

    async def _items(self, owner: str, item_ids: Sequence[str]) -> tuple[dict[str, Json], int]:
        """The items that are there, and the size of the responses that they are of."""
        found: dict[str, Json] = {}
        size = 0
        if self._store is None:
            return found, size
        read = partial(_items_of, item_ids=frozenset(item_ids))
        homes = dict.fromkeys(RESPONSE_PREFIX + match["token"] for item_id in item_ids if (match := _ITEM.fullmatch(item_id)))
        for response_id in homes:
            stored = await self._store.get(owner, response_id)
            if stored is not None:
                charge_decoded(stored.body)
                size += len(stored.body)
                found |= await in_thread_if_large(read, stored.body)
        return found, size


def _items_of(body: bytes, item_ids: AbstractSet[str]) -> dict[str, Json]:
    """Those items of a Response object's output that have one of the ids."""
    output = msgspec.json.decode(body, type=_Output).output
    named = ((msgspec.json.decode(item, type=_Identified).id, item) for item in output)
    return {item_id: msgspec.json.decode(item) for item_id, item in named if item_id in item_ids}


def _written(parsed: ParsedResponses, response: dict[str, Json], reasoning: str) -> StoredResponse:
    history = (*parsed.history, *output_messages(response, parsed.echo.namespaces, reasoning=reasoning))
    return StoredResponse(msgspec.json.encode(response), msgspec.json.encode(parsed.input_items), written_history(history))


def not_found(response_id: str, why: str, *, code: str | None = None, param: str | None = None) -> ResponseNotFound:
    """The error for an id that is not there; `why` is what there is to know of such ids."""
    return ResponseNotFound(f"There is no response {response_id[:MAX_SHOWN_CHARS]!r} here. {why}", code=code, param=param)
