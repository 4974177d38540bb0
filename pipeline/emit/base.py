"""What flow.py asks of a dialect: an emitter for the stream form, a function for the whole form, and what both are given.

A dialect is a value, so that a surface chooses one and the flow knows none. An emitter turns one list of events into one piece of bytes. Behind the
last piece it knows how the answer went, for the log and the usage.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pipeline.emit.whole import Whole
from pipeline.errors import PenstockError
from pipeline.events import Event, FinishReason, Notice, UsageReport
from pipeline.models import Price


class BrokenOff(Exception):
    """A stream is over and must not look so: its connection is to be broken."""


class AnswerHead(msgspec.Struct, frozen=True):
    """What is the same all through one answer. `model` is the id as the client wrote it, `created` in seconds since the epoch."""

    id: str
    created: int
    model: str
    show_thinking: bool = False
    include_usage: bool = False
    price: Price | None = None


class Emitter(Protocol):
    """The stream form of one answer.

    `chunks` counts the events that were written. `is_broken` says that the client must see a broken connection and no proper end, since what it has
    got would be taken for whole.
    """

    chunks: int
    notices: list[Notice]
    reason: FinishReason | None
    error: PenstockError | None
    is_broken: bool

    def feed(self, events: Sequence[Event]) -> bytes:
        """The bytes of one list of events; a keep-alive comment for an empty one, and nothing for events that this dialect does not show."""
        ...


class Dialect(msgspec.Struct, frozen=True):
    """How answers are written: the prefix of their ids, the stream form, and the whole form of an answer without an error."""

    id_prefix: str
    stream: Callable[[AnswerHead, Callable[[], UsageReport]], Emitter]
    whole: Callable[[AnswerHead, Whole, UsageReport], bytes]
