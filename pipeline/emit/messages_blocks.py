"""The content blocks of a Messages answer: which event opens, fills and closes which block.

Theory of operation: events come in one by one; the steps that they mean for the blocks go out. The stream form writes each step as an event of the
API, the whole form adds them up (`add_up`): both are made of the same steps, so that they cannot differ. Text and refusals are text blocks, reasoning
is thinking blocks where it is shown, and each call is a block of its own; a block is closed when another kind of event comes.

Invariants: blocks do not overlap. The block of a call is closed only by its own end, and only if its arguments are a JSON object; `broken` says that
they were not, and nothing comes behind that.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeGuard

import msgspec

from pipeline.events import Event, RefusalDelta, TextDelta, ThinkingDelta, ThinkingEnd, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.request import Json

TEXT, THINKING, REDACTED, TOOL_USE = "text", "thinking", "redacted_thinking", "tool_use"

_decode = msgspec.json.Decoder().decode


class Opened(NamedTuple):
    """A block begins: its type, and its fields, those that are filled later empty."""

    kind: str
    fields: dict[str, Json]


class Piece(NamedTuple):
    """The next characters of the open block: the type of the delta, its one field, and the field of the block that they go to."""

    kind: str
    field: str
    text: str
    into: str


class Closed(NamedTuple):
    """The open block is complete."""


Step = Opened | Piece | Closed


class Blocks:
    """The blocks of one answer. `open` is the type of the block that is open.

    `show_thinking` says whether there are blocks of reasoning, and `omit_thinking` that they have no text, but for the signature.
    """

    def __init__(self, *, show_thinking: bool, omit_thinking: bool = False) -> None:
        self.open: str | None = None
        self.broken = False
        self._shows_thinking = show_thinking
        self._omits_thinking = omit_thinking
        self._arguments: list[str] = []

    def steps(self, event: Event) -> Iterator[Step]:
        """What an event means for the blocks; nothing, if it is not about them."""
        match event:
            case TextDelta(text) | RefusalDelta(text):
                yield from self._into(TEXT, {"text": ""})
                yield Piece("text_delta", "text", text, "text")
            case ThinkingDelta(text) if self._shows_thinking and not self._omits_thinking:
                yield from self._into(THINKING, {"thinking": "", "signature": ""})
                yield Piece("thinking_delta", "thinking", text, "thinking")
            case ThinkingEnd() if self._shows_thinking:
                yield from self._end_thinking(event)
            case ToolCallStart(_, call_id, name):
                self._arguments = []
                yield from self._close()
                yield from self._into(TOOL_USE, {"id": call_id, "name": name, "input": {}})
            case ToolCallDelta(_, arguments):
                self._arguments.append(arguments)
                yield Piece("input_json_delta", "partial_json", arguments, "input")
            case ToolCallEnd():
                self.broken = read_input("".join(self._arguments)) is None
                if not self.broken:
                    yield from self._close()
            case _:
                pass

    def end(self) -> Iterator[Step]:
        """The answer is over. The block of a call that has not come to its end stays open."""
        if self.open != TOOL_USE:
            yield from self._close()

    def _end_thinking(self, end: ThinkingEnd) -> Iterator[Step]:
        if end.redacted:
            yield from self._close()
            yield from self._into(REDACTED, {"data": end.redacted})
        elif end.signature:  # a block may have a signature and no text
            yield from self._into(THINKING, {"thinking": "", "signature": ""})
            yield Piece("signature_delta", "signature", end.signature, "signature")
        if self.open in (THINKING, REDACTED):
            yield from self._close()

    def _into(self, kind: str, fields: dict[str, Json]) -> Iterator[Step]:
        if self.open != kind:
            yield from self._close()
            self.open = kind
            yield Opened(kind, fields)

    def _close(self) -> Iterator[Step]:
        if self.open is not None:
            self.open = None
            yield Closed()


def read_input(arguments: str) -> dict[str, Json] | None:
    """The input of a call, None where its arguments are no JSON object."""
    try:
        value: Json = _decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return value if _is_object(value) else None


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def add_up(steps: Iterable[Step]) -> list[Json]:
    """The complete blocks, in order.

    >>> blocks = Blocks(show_thinking=False)
    >>> add_up([step for event in (TextDelta("Hel"), TextDelta("lo")) for step in blocks.steps(event)] + list(blocks.end()))
    [{'type': 'text', 'text': 'Hello'}]
    """
    content: list[Json] = []
    block: dict[str, Json] = {}
    pieces: dict[str, list[str]] = {}
    for step in steps:
        match step:
            case Opened(kind, fields):
                block, pieces = {"type": kind, **fields}, {}
            case Piece(_, _, text, into):
                pieces.setdefault(into, []).append(text)
            case Closed():
                filled = {name: _value(name, texts) for name, texts in pieces.items()}
                content.append({**block, **filled})
    return content


def _value(name: str, texts: Sequence[str]) -> Json:
    text = "".join(texts)
    return read_input(text) if name == "input" else text
