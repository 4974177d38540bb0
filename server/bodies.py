"""Requests whose bodies are counted while they are in memory.

Each body has a limit of its own, but many requests together could still fill the memory with bodies that nobody has read. So every piece of one is
charged to the request's `Work` before it is kept, and all that was charged is given back when the request is over, since what is made of a body lives
as long. A piece for which there is no room refuses the request as Overloaded, and drops what there was of it.

What is made of a body is charged before it is made (`charge_decoded`), and so are files that are fetched for it (`charge_files`).
"""

from typing import Any, cast

from quart import request
from quart_trio.wrappers.request import TrioBody, TrioRequest

from pipeline.errors import Overloaded
from server.lifecycle import WORK, Work

COPIES = 3
"""Beside the body itself: its text decoded, as a prompt, and in the message that the upstream is sent."""

BYTES_OF_AN_OBJECT = 200
"""More or less what a small JSON object takes when it is decoded. Brackets in texts are counted too, so that the sum is rather too large."""

COPIES_OF_A_FILE = 2
"""The file itself, and in the message that the upstream is sent."""

DECODED_SHARE, FILES_SHARE = 1 / 2, 1 / 4
"""Of the room for all requests, the most that is charged for one: with its body it fits where nothing else is, so that asking again can help."""

_FULL = "The server holds as many request bodies as it may; try again shortly."


def decoded_bytes(body: bytes) -> int:
    """About how much memory takes what is made of a body, beside the body."""
    return COPIES * len(body) + BYTES_OF_AN_OBJECT * (body.count(b"{") + body.count(b"["))


def charge_decoded(body: bytes) -> None:
    """Charge what will be made of a body to the request in work; raises Overloaded where there is no room for it."""
    _charge(decoded_bytes(body), DECODED_SHARE)


def charge_files(size: int) -> int:
    """Charge files of so many bytes, which the request in work is about to get, and say what was charged; raises Overloaded."""
    return _charge(COPIES_OF_A_FILE * size, FILES_SHARE)


def settle_files(charged: int, size: int) -> None:
    """The files that were charged have so many bytes: give back what they do not need."""
    _work().give_back(max(0, charged - COPIES_OF_A_FILE * size))


def _charge(size: int, share: float) -> int:
    work = _work()
    size = min(size, int(work.most_bytes * share))
    if not work.charge(size):
        raise Overloaded(_FULL, retry_after_seconds=1)
    return size


def _work() -> Work:
    """The share of the request in work."""
    scope = cast("dict[str, Work]", request.scope)
    return scope[WORK]


class CountedBody(TrioBody):
    """Quart's body, with `work` to charge."""

    work: Work

    def append(self, data: bytes) -> None:
        """Keep a piece if there is room for it."""
        if self._must_raise is None and not self.work.charge(len(data)):
            self._must_raise = Overloaded(_FULL, retry_after_seconds=1)
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
