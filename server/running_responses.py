"""Responses that are on their way to their clients, so that another request can cancel them.

Theory of operation: `begin` puts a `RunningResponse` between an answer and its connection. It passes the answer's bytes on, one pull at a time, and
is known under its owner and id until it is over. `cancel` ends it from another task: the upstream is closed at once, whether the answer waits for it
or for its client, and the stream then ends as a failed one with the code `response_cancelled`, since the API's streams have no other word for it. The
Response object that is left has the status `cancelled`.

Invariants: `over` is called once with the Response object of an answer that came to an end of any kind, and before its client is sent that end, so
that who has seen the end finds the response where it was stored. It is not called for an answer whose client left. Left alone: what `over` does, and
whole answers, whose ids nobody knows before they are over.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import trio

from pipeline.emit.base import Emitter
from pipeline.emit.responses import ResponsesStream
from pipeline.errors import RequestError
from pipeline.events import Failed, Notice
from pipeline.flow import Answer
from pipeline.request import Json

CANCELLED = "response_cancelled"
"""The code of a stream that was cancelled."""

Over = Callable[[dict[str, Json]], Awaitable[Sequence[Notice]]]
"""Told of the Response object of an answer that is over; gives what is to be said of it in the log."""


class RunningResponses:
    """Those of one server, by owner and id."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], RunningResponse] = {}

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, owner: str, response_id: str, answer: Answer, over: Over) -> "RunningResponse":
        """The answer as one that can be cancelled, until it is closed; its dialect is that of the Responses API."""
        name = owner, response_id
        running = self._running[name] = RunningResponse(answer, over, lambda: self._running.pop(name, None))
        return running

    def is_running(self, owner: str, response_id: str) -> bool:
        """Whether the owner's response of this id is on its way."""
        return (owner, response_id) in self._running

    async def cancel(self, owner: str, response_id: str) -> dict[str, Json] | None:
        """The owner's response of this id as it is when it is cancelled; None where none is on its way."""
        running = self._running.get((owner, response_id))
        return None if running is None else await running.cancel()


class RunningResponse:
    """What `pipeline.flow.Answer` is to a response, for an answer that may be cancelled."""

    def __init__(self, answer: Answer, over: Over, forget: Callable[[], object]) -> None:
        """`forget` is called when it cannot be cancelled any more."""
        assert isinstance(answer.emitter, ResponsesStream)
        self.pieces = self._pieces()
        self._answer = answer
        self._stream = answer.emitter
        self._on_over = over
        self._forget = forget
        self._pull: trio.CancelScope | None = None
        self._is_cancelled = False
        self._response: dict[str, Json] | None = None
        self._last = b""
        self._settled = trio.Event()
        self._closing = trio.Lock()

    @property
    def emitter(self) -> Emitter:
        """The one that writes the answer."""
        return self._stream

    async def aclose(self) -> None:
        """Close the stream and its upstream; it cannot be cancelled any more."""
        self._forget()
        self._settled.set()
        await self.pieces.aclose()
        await self._close_answer()

    async def cancel(self) -> dict[str, Json] | None:
        """End the stream; the Response object that is left, or that had been reached. None where its client had left."""
        if not self._is_cancelled and self._response is None and not self._settled.is_set():
            self._is_cancelled = True
            if self._pull is not None:
                self._pull.cancel()
            else:
                await self._conclude()
        await self._settled.wait()
        return self._response

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        while not self._is_cancelled:
            piece = await self._next()
            if piece is None:
                break
            if self._stream.response is not None:
                await self._settle(self._stream.response)
            yield piece
            if self._stream.response is not None:  # also where the upstream has more to say
                break
        if self._is_cancelled:
            if self._response is None:
                await self._conclude()
            await self._settled.wait()
            if self._last:
                yield self._last

    async def _next(self) -> bytes | None:
        """The next piece; None at the end, and when a cancellation comes."""
        self._pull = trio.CancelScope()
        try:
            with self._pull:
                return await anext(self._answer.pieces, None)
        finally:
            self._pull = None
        return None

    async def _conclude(self) -> None:
        """Close the upstream, and say what became of the response; once, in whichever task is first to come."""
        await self._close_answer()
        with trio.CancelScope(shield=True):  # who cancels may leave, and the stream waits for its end
            if self._response is None and self._stream.response is None:
                self._last = self._stream.feed([Failed(RequestError("The response was cancelled.", code=CANCELLED))])
                if self._stream.response is not None:
                    await self._settle({**self._stream.response, "status": "cancelled", "error": None})

    async def _settle(self, response: dict[str, Json]) -> None:
        if self._response is None:
            self._response = response
            try:
                self._stream.notices.extend(await self._on_over(response))
            finally:
                self._forget()
                self._settled.set()

    async def _close_answer(self) -> None:
        # a generator that is being closed cannot be closed a second time meanwhile; shielded, since the lock is a checkpoint and closing is not
        with trio.CancelScope(shield=True):
            async with self._closing:
                await self._answer.aclose()
