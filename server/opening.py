"""Answers that begin before their upstream does: `cursor.early_headers_seconds`.

Theory of operation: opening an answer may take as long as all of its targets together. A client that gives up on a response without a head is sent
the head after so many seconds, and comments from then on; the opening goes on meanwhile in a task of the request's own, and may still go from one
target to the next, since no event has left. When it is done, its pieces are passed on as if they had been there from the start. When it failed, the
dialect says so in its stream: the status has left. Which events say it is for who answers.

Invariants: the client's leaving cancels the task. Whatever was opened is closed, and once: by `aclose`, or by the task itself where it is
opened in the same moment as the client leaves, behind `aclose`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import trio

from pipeline.emit.base import BrokenOff, Emitter
from pipeline.errors import PenstockError
from pipeline.events import Event
from pipeline.flow import Answer


class Opening:
    """An answer that is being opened; `over` is set when it is, or when it failed."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self._is_left = False

    async def run(self, opened: Callable[[], Awaitable[Answer]]) -> None:
        """Open; never raises but for a cancellation."""
        try:
            self.answer = await opened()
        except Exception as error:
            self.error = error
        finally:
            self.over.set()
        if self._is_left and self.answer is not None:
            with trio.CancelScope(shield=True):
                await self.answer.aclose()

    async def aclose(self) -> None:
        """Nobody wants the answer any more."""
        # nothing is awaited between these two, so that either this or `run` closes it
        self._is_left = True
        if self.answer is not None:
            await self.answer.aclose()

    async def wait(self, seconds: float) -> Answer | None:
        """The answer if it is there in time; raises what its opening raised. Who is cancelled here leaves nothing open."""
        try:
            with trio.move_on_after(seconds):
                await self.over.wait()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self.aclose()
            raise
        if self.error is not None:
            raise self.error
        return self.answer


class EarlyAnswer:
    """What `pipeline.flow.Answer` is to a response, over an opening that is not over."""

    def __init__(self, opening: Opening, failing: Emitter, said: Callable[[PenstockError], Sequence[Event]], keepalive_seconds: float) -> None:
        """Where the opening fails, `failing` writes what is `said` of that."""
        self._opening = opening
        self._failing = failing
        self._said = said
        self._keepalive_seconds = keepalive_seconds
        self.pieces = self._pieces()

    @property
    def emitter(self) -> Emitter:
        """The one that writes, or has written, the answer."""
        return self._failing if self._opening.answer is None else self._opening.answer.emitter

    async def aclose(self) -> None:
        """Close the stream, and what was opened."""
        try:
            await self.pieces.aclose()
        finally:
            await self._opening.aclose()  # noqa: ASYNC102 - an answer bounds the time of its own closing

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield self._failing.feed([])
        while not self._opening.over.is_set():
            with trio.move_on_after(self._keepalive_seconds):
                await self._opening.over.wait()
            if not self._opening.over.is_set():
                yield self._failing.feed([])
        error = self._opening.error
        if isinstance(error, PenstockError):
            yield self._failing.feed(self._said(error))
            if self._failing.is_broken:
                raise BrokenOff
        elif error is not None:
            raise error
        elif self._opening.answer is not None:
            async for piece in self._opening.answer.pieces:
                yield piece
