"""The unary calls of a supervised bridge, whichever start of it is running.

Theory of operation: a call waits until the bridge is ready and asks it. One whose bridge ended, before or during the call, asks the next start once
more: what the first had begun went with it. A call about something that lives in one start, such as an agent, names that start's endpoint and asks
no other. One that is not answered in time makes the supervisor look whether the bridge is there.

Left alone: what the bodies say, which is for `pipeline.wire.sdk_requests`, and the streams of runs.
"""

from collections.abc import Collection

from pipeline.errors import ProtocolViolation, StreamCut, UpstreamTimeout, UpstreamUnavailable
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.bridge.unary import Endpoint, ask
from pipeline.upstream.http import Client
from pipeline.wire import sdk_requests as wire
from pipeline.wire.sdk_models import Listed, read_models

QUICK_SECONDS = 5.0
"""What needs no network."""

ACCOUNT_SECONDS = 15.0
"""What the bridge asks the vendor for."""

LIST_SECONDS = 9.0
"""A list is waited for a little longer by who keeps it, so that it is known that there was none."""

END_SEEN_SECONDS = 0.25
"""How long it may take until a bridge that closed its connections is known to have ended."""


class BridgeCalls:
    """Calls by `client`, to the bridge that `process` supervises. All raise PenstockError and nothing else."""

    def __init__(self, client: Client, process: BridgeProcess) -> None:
        self._client = client
        self._process = process

    async def call(
        self,
        path: str,
        body: bytes,
        *,
        within_seconds: float,
        callers_key: bool = True,
        secrets: Collection[str] = (),
        endpoint: Endpoint | None = None,
    ) -> bytes:
        """The answer of one method, as of `ask`; `within_seconds` begin when the bridge is ready. With an `endpoint` that start alone is asked."""

        async def asked(whom: Endpoint) -> bytes:
            try:
                return await ask(self._client, whom, path, body, within_seconds=within_seconds, callers_key=callers_key, secrets=secrets)
            except UpstreamTimeout:
                self._process.doubt(whom)
                raise

        if endpoint is not None:
            return await asked(endpoint)
        first = await self._process.endpoint()
        try:
            return await asked(first)
        except (UpstreamUnavailable, StreamCut) as error:
            fault = error
        if not await self._process.is_over(first, END_SEEN_SECONDS):
            raise fault
        return await asked(await self._process.endpoint())

    async def ping(self) -> None:
        """Raise if the bridge does not answer."""
        if not wire.read_pong(await self.call(wire.PING, wire.EMPTY, within_seconds=QUICK_SECONDS)):
            raise ProtocolViolation("The bridge answered with something else than was asked for.")

    async def version(self) -> wire.Version:
        """The versions of the bridge and of its protocol."""
        return wire.read_version(await self.call(wire.GET_VERSION, wire.EMPTY, within_seconds=QUICK_SECONDS))

    async def list_models(self, key: str, *, callers_key: bool = True) -> tuple[Listed, ...]:
        """The models of the key's account."""
        return read_models(await self._of_account(wire.LIST_MODELS, wire.list_models(key), key, callers_key, LIST_SECONDS))

    async def me(self, key: str, *, callers_key: bool = True) -> wire.User:
        """Whose key it is."""
        return wire.read_user(await self._of_account(wire.ME, wire.me(key), key, callers_key))

    async def _of_account(self, path: str, body: bytes, key: str, callers_key: bool, within_seconds: float = ACCOUNT_SECONDS) -> bytes:
        return await self.call(path, body, within_seconds=within_seconds, callers_key=callers_key, secrets=(key,))
