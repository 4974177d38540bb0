"""Which item of a Responses answer an event is about, and what each item has said so far.

Theory of operation: an event belongs to the item of its `item_id`; where that is not known (some servers make a new one for each event), to the open
item of its kind at its `output_index`, and without that to the last one that is open. A call is also known by its `call_id`. In the response at the
end, an item that cannot be found so is the one at its place, or the next of its kind that is not accounted for.

Invariants: nothing raises; each search takes constant time. Left alone: what becomes of what an item says.
"""

from collections import deque
from enum import Enum, auto

from pipeline.request import Json
from pipeline.wire.openai_chunks import arguments_of, text_of
from pipeline.wire.openai_responses_calls import Call, Pieces
from pipeline.wire.openai_responses_events import Channel


class Kind(Enum):
    """What an item is."""

    MESSAGE = auto()
    REASONING = auto()
    CALL = auto()
    OTHER = auto()


KINDS = {"message": Kind.MESSAGE, "reasoning": Kind.REASONING, "function_call": Kind.CALL, "custom_tool_call": Kind.CALL}
"""An item's type -> its kind; any other is the record of something that the upstream did itself."""

KIND_OF_CHANNEL = {
    Channel.TEXT: Kind.MESSAGE,
    Channel.REFUSAL: Kind.MESSAGE,
    Channel.THOUGHT: Kind.REASONING,
    Channel.SUMMARY: Kind.REASONING,
    Channel.ARGUMENTS: Kind.CALL,
    Channel.INPUT: Kind.CALL,
}


class Said:
    """What one item has said on one channel: by part, and `all` of it in the order in which it was said.

    >>> said = Said()
    >>> said.add(0, "Hel"), said.missing(0, "Hello"), said.missing(0, "Help"), said.missing(0, "Goodbye")
    (0, (0, 'lo'), (0, 'p'), None)
    """

    def __init__(self) -> None:
        self._parts: dict[int, Pieces] = {}
        self.all = Pieces()
        self._last = 0
        self._last_is_done = False

    def add(self, index: int | None, text: str) -> int:
        """More of a part; returns which one it is, where the event does not say so."""
        index = self._place(index)
        self._parts.setdefault(index, Pieces()).add(text)
        self.all.add(text)
        self._last, self._last_is_done = index, False
        return index

    def missing(self, index: int | None, full: str) -> tuple[int, str] | None:
        """The part that an event is about, and what of it has not been said yet; None if what was said is not how it begins."""
        if index is None and self._last_is_done and len(full) == self._known(self._last).chars and self._known(self._last).begin(full):
            return self._last, ""  # told once more
        index = self._place(index)
        known = self._known(index)
        return (index, full[known.chars :]) if not full or known.begin(full) else None

    def done(self, index: int | None) -> None:
        """A part is complete; what comes without an index is another one."""
        self._last_is_done = self._last_is_done or index in (None, self._last)

    def _known(self, index: int) -> Pieces:
        return self._parts.get(index) or Pieces()

    def _place(self, index: int | None) -> int:
        return self._last + self._last_is_done if index is None else index


class Item:
    """One item of the output; `call` is set for a CALL."""

    def __init__(self, kind: Kind, index: int | None, call: Call | None = None) -> None:
        self.kind = kind
        self.index = index
        self.call = call
        self.is_done = False
        self.is_accounted_for = False
        self.said: dict[Channel, Said] = {}

    def said_on(self, channel: Channel) -> Said:
        """What was said on a channel."""
        return self.said.setdefault(channel, Said())


class ItemFinder:
    """The items that have begun, by all that they are known by.

    >>> finder = ItemFinder()
    >>> message = finder.open(Kind.MESSAGE, "msg_1", 0)
    >>> finder.find(Kind.MESSAGE, "msg_1", None) is message, finder.find(Kind.MESSAGE, "another", 0) is message, finder.find(Kind.CALL, "", 0)
    (True, True, None)
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._unaccounted: dict[Kind, deque[Item]] = {kind: deque() for kind in Kind}  # by the output at the end
        self._by_id: dict[tuple[Kind, str], Item] = {}
        self._by_call_id: dict[str, Item] = {}
        self._at: dict[int, Item] = {}
        self._shared: set[int] = set()  # indices at which more than one item has begun: some servers have one for all
        self._last: dict[Kind, Item] = {}

    def open(self, kind: Kind, item_id: str, index: int | None, *, custom: bool = False) -> Item:
        """A further item."""
        item = Item(kind, index, Call(custom=custom) if kind is Kind.CALL else None)
        self.items.append(item)
        self._unaccounted[kind].append(item)
        self._last[kind] = item
        if item_id:
            self._by_id[kind, item_id] = item
        if index is not None:
            if index in self._at:
                self._shared.add(index)
            self._at[index] = item
        return item

    def know_call(self, call_id: str, item: Item) -> None:
        """Remember a call by its own id; of two with the same, the first one."""
        self._by_call_id.setdefault(call_id, item)

    def added(self, kind: Kind, fields: dict[str, Json]) -> Item | None:
        """The item that the upstream adds for the second time."""
        item = self._by_id.get((kind, text_of(fields.get("id"))))
        return item if item is not None and not item.is_done and _may_be(item, fields) else None

    def find(self, kind: Kind, item_id: str, index: int | None) -> Item | None:
        """The item that an event is about; None if it was not added."""
        return self._by_id.get((kind, item_id)) or self._open_at(kind, index)

    def done(self, kind: Kind, fields: dict[str, Json], index: int | None) -> Item | None:
        """The item that is done, where its fields can be those of one that has begun."""
        by_call_id = self._by_call_id.get(text_of(fields.get("call_id"))) if kind is Kind.CALL else None
        for item in (self._by_id.get((kind, text_of(fields.get("id")))), by_call_id, self._open_at(kind, index)):
            if item is not None and _may_be(item, fields):
                return item
        return None

    def counterpart(self, kind: Kind, fields: dict[str, Json], place: int) -> Item | None:
        """The item that one of the output at the end is; it is then accounted for."""
        rest = self._unaccounted[kind]
        while rest and rest[0].is_accounted_for:
            rest.popleft()
        by_call_id = self._by_call_id.get(text_of(fields.get("call_id"))) if kind is Kind.CALL else None
        there = None if place in self._shared else self._at.get(place)
        for item in (self._by_id.get((kind, text_of(fields.get("id")))), by_call_id, there, rest[0] if rest else None):
            if item is not None and item.kind is kind and not item.is_accounted_for and (_may_be(item, fields) or _is_repeated(item, fields)):
                item.is_accounted_for = True
                return item
        return None

    def _open_at(self, kind: Kind, index: int | None) -> Item | None:
        """The item of a kind that is open at an index, or the last one where the index says nothing."""
        here = None if index is None else self._at.get(index)
        if here is None:
            here = self._last.get(kind)
            if here is not None and index is not None and here.index is not None:
                return None
        return here if here is not None and here.kind is kind and not here.is_done else None


def _may_be(item: Item, fields: dict[str, Json]) -> bool:
    """Whether an item's fields can be those of this one: calls differ when their ids do."""
    told = text_of(fields.get("call_id"))
    return item.call is None or not told or not item.call.upstream_id or told == item.call.upstream_id


def _is_repeated(item: Item, fields: dict[str, Json]) -> bool:
    """Whether it is the same call under another id."""
    call = item.call
    return call is not None and call.name == fields.get("name") and call.says(arguments_of(fields.get("input" if call.custom else "arguments")))
