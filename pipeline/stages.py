"""The stages of an answer: async generators over lists, each around something synchronous. `pipeline.flow` alone knows their order.

Invariants: a list stays one list, and the one that ends the answer is the last. Whatever is given up is closed, and what it was fed from with it. An
empty list is silence; it goes on where one came in, and where a client would else hear nothing for too long.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from time import monotonic
from typing import TypeVar

from pipeline.clocks import SILENCE_SECONDS, Quiet, Watched
from pipeline.emit.base import BrokenOff, Emitter
from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, Notice, Progress, UpstreamEvent

Given = TypeVar("Given")
Made = TypeVar("Made")


async def stage(batches: AsyncGenerator[list[Given], None], feed: Callable[[list[Given]], list[Made]]) -> AsyncGenerator[list[Made], None]:
    """A synchronous machine as a stage; it ends with the list that ends the answer.

    An empty list goes on where one came in, and where a machine has held everything back for `SILENCE_SECONDS`: its client hears nothing either way.
    """
    quiet = Quiet()
    async with aclosing(batches):
        async for batch in batches:
            made = feed(batch)
            if quiet.passes(made) or not batch:
                yield made
            if made and isinstance(made[-1], Finish | Failed):
                return


async def complete(batches: Watched) -> AsyncGenerator[list[UpstreamEvent], None]:
    """A stream that ends without an end mark was cut, and says so; `Progress` has been seen by the clocks and ends here, as silence if it goes on."""
    quiet = Quiet()
    async with aclosing(batches):
        async for batch in batches:
            says_nothing_yet = bool(batch) and isinstance(batch[0], Progress)
            if says_nothing_yet:
                batch = []
            if not quiet.passes(batch) and says_nothing_yet:
                continue
            yield batch
            if batch and isinstance(batch[-1], Finish | Failed):
                return
        yield [Failed(StreamCut("The upstream's stream ended before its end mark."))]


async def first_events(events: AsyncIterator[list[Event]], begun: list[Event]) -> None:
    """Add all up to the first list that says something; raises the error of an answer that fails before it does. Notices say nothing to a client."""
    async for batch in events:
        begun += batch
        said = next((event for event in batch if not isinstance(event, Notice)), None)
        if isinstance(said, Failed):
            raise said.error
        if said is not None:
            return
    raise StreamCut("The upstream's stream ended before it began.")


async def emitted(
    first: list[Event], events: AsyncGenerator[list[Event], None], emitter: Emitter, keepalive_seconds: float = SILENCE_SECONDS
) -> AsyncGenerator[bytes, None]:
    """The emitter as the last stage: never an empty piece, and a comment whenever nothing was to be shown for a while.

    Raises BrokenOff behind the last piece of an answer whose client must not take it for whole.
    """
    async with aclosing(events):
        yield emitter.feed(first)
        quiet_since = monotonic()
        async for batch in events:
            now = monotonic()
            # an empty list is `SILENCE_SECONDS` of silence, or less
            piece = emitter.feed(batch) if batch or keepalive_seconds <= SILENCE_SECONDS else b""
            if not piece and now - quiet_since >= keepalive_seconds:
                piece = emitter.feed([])
            if piece:
                quiet_since = now
                yield piece
    if emitter.is_broken:
        raise BrokenOff
