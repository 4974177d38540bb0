"""The output items of a Response, and the events that tell of them.

Theory of operation: an item is added, its text is told in deltas, and it is done; then the next one may be added, so that items never interleave. A
message and reasoning hold their text in parts, which are added and done likewise; a call holds it itself. What differs between texts is the table
`Channel`. An item's id is the prefix of its kind, the token of the answer's id, and its place in the output, in the stream and in the object at its
end.

Invariants: events are numbered from 0 without gaps, and each says its type twice, in its `event:` line and in its data. The deltas of a text are
what its done event holds; `output` holds the items in the order in which they were added, each as its done event has it. An item is done once, or
never. Of what is cut, text stays as an incomplete item; a call is left out, since a client runs what it finds.
"""

from collections.abc import Mapping
from copy import deepcopy
from enum import Enum
from typing import Any

import msgspec

from pipeline.echo import NO_NAMESPACES
from pipeline.events import ToolCallStart

encode = msgspec.json.Encoder().encode


class Holder(msgspec.Struct, frozen=True):
    """What a text stands in: an item's type, the prefix of its id, and, where the text stands in parts, the item's field for them.

    `part_event` begins the types of the events about parts, and `part_index` is their field for a part's place.
    """

    kind: str
    id_prefix: str
    parts: str = ""
    part_event: str = ""
    part_index: str = ""


MESSAGE = Holder("message", "msg_", "content", "response.content_part", "content_index")
REASONING = Holder("reasoning", "rs_", "summary", "response.reasoning_summary_part", "summary_index")
FUNCTION_CALL = Holder("function_call", "fc_")
CUSTOM_CALL = Holder("custom_tool_call", "ctc_")


class Form(msgspec.Struct, frozen=True):
    """How a text is told: `event` begins the types of its events, `field` holds all of it in the end.

    `part` is the part as it is before its text comes; `extra` are fields of every event that neither the text nor its place is.
    """

    holder: Holder
    event: str
    field: str
    part: Mapping[str, Any] = {}
    extra: Mapping[str, Any] = {}


class Channel(Enum):
    """The texts of an answer; `form` says how each is told."""

    TEXT = Form(
        MESSAGE, "response.output_text", "text", part={"type": "output_text", "annotations": [], "logprobs": [], "text": ""}, extra={"logprobs": []}
    )
    REFUSAL = Form(MESSAGE, "response.refusal", "refusal", part={"type": "refusal", "refusal": ""})
    SUMMARY = Form(REASONING, "response.reasoning_summary_text", "text", part={"type": "summary_text", "text": ""})
    ARGUMENTS = Form(FUNCTION_CALL, "response.function_call_arguments", "arguments")
    INPUT = Form(CUSTOM_CALL, "response.custom_tool_call_input", "input")

    @property
    def form(self) -> Form:
        """The row."""
        return self.value  # pyright: ignore[reportAny]


class Told:
    """One text that is being told: what came of it, and the bytes around its next delta's number and text."""

    def __init__(self, channel: Channel, place: dict[str, Any]) -> None:
        form = channel.form
        name = f"{form.event}.delta"
        self.channel = channel
        self.place = place
        self.pieces: list[str] = []
        self.before_number = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        self.before_text = b"," + encode(place)[1:-1] + b',"delta":'
        self.behind = b"}\n\n" if not form.extra else b"," + encode(form.extra)[1:] + b"\n\n"


class Item:
    """An item that was added and is not done; `fields` are what it is so far, and `told` is the text in it that is being told."""

    def __init__(self, channel: Channel, token: str, number: int, fields: Mapping[str, Any]) -> None:
        self.holder = holder = channel.form.holder
        self.number = number
        self.id = f"{holder.id_prefix}{token}_{number}"
        self.parts: list[dict[str, Any]] = []
        self.fields: dict[str, Any] = {"id": self.id, "type": holder.kind, "status": "in_progress", **fields}
        if holder.parts:
            self.fields[holder.parts] = self.parts
        self.told = self._begin(channel)

    @property
    def is_call(self) -> bool:
        """Whether a client would run it."""
        return not self.holder.parts

    def add_part(self, channel: Channel) -> None:
        """What is told next stands in a part of its own."""
        self.parts.append(deepcopy(dict(channel.form.part)))
        self.told = self._begin(channel, len(self.parts) - 1)

    def settle(self) -> dict[str, Any]:
        """Put the text that was told where it belongs, the part or the item, and return that."""
        where = self.fields if self.is_call else self.parts[-1]
        where[self.told.channel.form.field] = "".join(self.told.pieces)
        return where

    def _begin(self, channel: Channel, part: int = 0) -> Told:
        place = {"item_id": self.id, "output_index": self.number}
        return Told(channel, place if self.is_call else place | {self.holder.part_index: part})


class ItemWriter:
    r"""Writes the events of one answer and keeps its items; `count` is how many events there were, and the number of the next.

    >>> writer = ItemWriter("7")
    >>> writer.say(Channel.REFUSAL, "No").splitlines()[-2]
    b'data: {"type":"response.refusal.delta","sequence_number":2,"item_id":"msg_7_0","output_index":0,"content_index":0,"delta":"No"}'
    >>> writer.finish("completed").count(b"\n\n"), writer.output[0]["status"]
    (3, 'completed')
    """

    def __init__(self, token: str, namespaces: Mapping[str, tuple[str, str]] = NO_NAMESPACES) -> None:
        """`token` is what the ids of all items have; `namespaces` tells which tool of which namespace a flat name stands for."""
        self.count = 0
        self.output: list[dict[str, Any]] = []
        self._token = token
        self._namespaces = namespaces
        self._item: Item | None = None

    @property
    def has_open_call(self) -> bool:
        """Whether a call was added and is not done."""
        return self._item is not None and self._item.is_call

    @property
    def has_broken_call(self) -> bool:
        """Whether what came of the open call cannot be run: a function's arguments are JSON, and only a custom tool's input is any text."""
        item = self._item
        return item is not None and item.told.channel is Channel.ARGUMENTS and not _is_json("".join(item.told.pieces))

    def told_on(self, channel: Channel) -> Told | None:
        """The text that the next delta of a channel would be added to, without anything else being told."""
        return self._item.told if self._item is not None and self._item.told.channel is channel else None

    def event(self, name: str, fields: Mapping[str, Any]) -> bytes:
        """The next event."""
        return self.framed(name, encode(fields)[1:-1])

    def framed(self, name: str, fields: bytes) -> bytes:
        """The next event, of fields that are JSON already, without the braces around them."""
        number, self.count = self.count, self.count + 1
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (name.encode(), name.encode(), number, fields)

    def say(self, channel: Channel, text: str) -> bytes:
        """A delta of a text in parts; the part and its item are opened where they are not open, and what else is open is done."""
        item = self._item
        if item is not None and item.told.channel is channel:
            return self._delta(item.told, text)
        opening, item = self._turn_to(channel)
        return opening + self._delta(item.told, text)

    def open_call(self, start: ToolCallStart) -> bytes:
        """Add a call; what was open before is done."""
        channel = Channel.INPUT if start.custom else Channel.ARGUMENTS
        namespace, name = self._namespaces.get(start.name, ("", start.name))
        within = {"namespace": namespace} if namespace else {}
        before = self.finish("completed")
        return before + self._add(channel, {"call_id": start.id, "name": name, **within, channel.form.field: ""})[0]

    def add_arguments(self, text: str) -> bytes:
        """A delta of the open call's arguments."""
        item = self._item
        return self._delta(item.told, text) if item is not None and item.is_call else b""

    def end_call(self) -> bytes:
        """The open call is whole and may be run."""
        item = self._item
        if item is None or not item.is_call:
            return b""
        form = item.told.channel.form
        whole = {form.field: item.settle()[form.field]}
        if form is Channel.ARGUMENTS.form:
            whole["name"] = item.fields["name"]
        return self.event(f"{form.event}.done", item.told.place | whole) + self._done(item, "completed")

    def finish(self, status: str) -> bytes:
        """The open item is done, with this status; a call that is still open is left out, without a word."""
        item, self._item = self._item, None
        return b"" if item is None or item.is_call else self._end_part(item) + self._done(item, status)

    def give_up(self) -> None:
        """Nothing more comes: keep the text of the open item as incomplete, and leave out an open call. Nothing is told of either."""
        item, self._item = self._item, None
        if item is not None and not item.is_call:
            item.settle()
            self.output.append(item.fields | {"status": "incomplete"})

    def _delta(self, told: Told, text: str) -> bytes:
        told.pieces.append(text)
        number, self.count = self.count, self.count + 1
        return b"%b%d%b%b%b" % (told.before_number, number, told.before_text, encode(text), told.behind)

    def _turn_to(self, channel: Channel) -> tuple[bytes, Item]:
        """Open a part of this channel, in the open item if it can hold it."""
        holder, item = channel.form.holder, self._item
        if item is not None and item.holder is holder:
            opening = self._end_part(item)
        else:
            opening = self.finish("completed")
            added, item = self._add(channel, {"role": "assistant"} if holder is MESSAGE else {})
            opening += added
        item.add_part(channel)
        return opening + self.event(f"{holder.part_event}.added", item.told.place | {"part": channel.form.part}), item

    def _end_part(self, item: Item) -> bytes:
        form, place, part = item.told.channel.form, item.told.place, item.settle()
        done = self.event(f"{form.event}.done", place | {form.field: part[form.field], **form.extra})
        return done + self.event(f"{item.holder.part_event}.done", place | {"part": part})

    def _add(self, channel: Channel, fields: Mapping[str, Any]) -> tuple[bytes, Item]:
        item = self._item = Item(channel, self._token, len(self.output), fields)
        return self.event("response.output_item.added", {"output_index": item.number, "item": item.fields}), item

    def _done(self, item: Item, status: str) -> bytes:
        self._item = None
        self.output.append(item.fields | {"status": status})
        return self.event("response.output_item.done", {"output_index": item.number, "item": self.output[-1]})


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
