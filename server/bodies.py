"""Requests whose bodies are counted while they are in memory.

Each body has a limit of its own, but many requests together could still fill the memory with bodies that nobody has read. So every piece of one is
charged to the request's `Work` before it is kept, and all that was charged is given back when the request is over, since what is made of a body lives
as long. A piece for which there is no room refuses the request as Overloaded, and drops what there was of it.
"""

from typing import Any, cast

from quart_trio.wrappers.request import TrioBody, TrioRequest

from pipeline.errors import Overloaded
from server.lifecycle import WORK, Work


class CountedBody(TrioBody):
    """Quart's body, with `work` to charge."""

    work: Work

    def append(self, data: bytes) -> None:
        """Keep a piece if there is room for it."""
        if self._must_raise is None and not self.work.charge(len(data)):
            self._must_raise = Overloaded("The server holds as many request bodies as it may; try again shortly.", retry_after_seconds=1)
            self.clear()
            self.work.give_back()
            self.set_complete()
        super().append(data)


class CountedRequest(TrioRequest):
    """A request that was given a `Work` in its ASGI scope."""

    body_class = CountedBody

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        scope = cast("dict[str, Work]", self.scope)
        cast("CountedBody", self.body).work = scope[WORK]
