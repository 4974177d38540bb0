"""A response that streams an answer, and tasks that live as long as their request."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol, cast

import trio
from quart import request
from quart_trio.wrappers import TrioResponse

from pipeline.emit.base import Emitter
from pipeline.emit.chat import CONTENT_TYPE

HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
NURSERY = "penstock.nursery"
"""The key of the ASGI scope under which the nursery of a request's tasks lies."""


class Streamable(Protocol):
    """An answer that has begun, or is about to: `pipeline.flow.Answer`, and what stands for one."""

    @property
    def emitter(self) -> Emitter:
        """What knows how the answer went."""
        ...

    @property
    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its bytes."""
        ...

    async def aclose(self) -> None:
        """Close it and its upstream."""
        ...


class StreamedResponse(TrioResponse):
    """Server-sent events, one write for each list of events; the connection closes the answer."""

    def __init__(self, answer: Streamable) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # quart types its headers as a bare dict
            answer.pieces, headers=HEADERS, content_type=CONTENT_TYPE
        )
        self.answer = answer


def spawn(work: Callable[..., Awaitable[Any]], *words: object) -> None:
    """Start a task of the request in work; it is cancelled when the response is over or the client has left."""
    scope = cast("dict[str, object]", request.scope)
    cast("trio.Nursery", scope[NURSERY]).start_soon(work, *words)
