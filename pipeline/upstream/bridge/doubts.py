"""Whether a bridge that runs does anything at all.

Theory of operation: a program may hang, and its port still takes connections then. Who waited for an answer in vain raises a doubt (`raise_doubt`).
It is settled by the supervisor alone, however many there are: the bridge is asked whether it is there, and one that does not say so within
`ANSWER_SECONDS` hangs.

Left alone: what is done about it.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio

from pipeline.errors import PenstockError, UpstreamTimeout
from pipeline.upstream.bridge.unary import Endpoint, ask
from pipeline.upstream.http import Client
from pipeline.wire import sdk_requests as wire

log = logging.getLogger("penstock.bridge")

ANSWER_SECONDS = 2.0


class Doubts:
    """Those about the bridges that one supervisor starts, one after the other; `client` asks them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._raised = anyio.Event()

    def raise_doubt(self) -> None:
        """The bridge that runs now did not answer in time."""
        self._raised.set()

    async def hangs_before(self, end: Callable[[], Awaitable[object]], endpoint: Endpoint) -> bool:
        """Wait for the `end` of a bridge; whether it hangs before that."""
        hangs = False
        async with anyio.create_task_group() as waiting:

            async def settle() -> None:
                nonlocal hangs
                while not hangs:
                    self._raised = anyio.Event()
                    await self._raised.wait()
                    hangs = not await self._answers(endpoint)
                waiting.cancel_scope.cancel()

            waiting.start_soon(settle)
            await end()
            waiting.cancel_scope.cancel()
        return hangs

    async def _answers(self, endpoint: Endpoint) -> bool:
        """Whether it says that it is there. Another answer is one too, and none at all because its end has begun is no hanging."""
        try:
            await ask(self._client, endpoint, wire.PING, wire.EMPTY, within_seconds=ANSWER_SECONDS)
        except UpstreamTimeout:
            return False
        except PenstockError as error:
            log.debug("a bridge that was doubted: %s", error.message)
        return True
