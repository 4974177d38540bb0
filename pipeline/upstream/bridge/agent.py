"""One agent inside the bridge: how it is made, sent its message, and removed.

Theory of operation: an agent is made for one run, under an id of ours, so that it can be removed even when nobody heard the answer. `send` opens the
stream of its run. When the bridge ended in between, both are done once more with the next start of it; what the first had begun went with it.
`remove` cancels the run, closes the agent and deletes what the bridge has stored of it. The bridge counts a run as active from the making of its
agent on, of which nobody was told when no message went through; it names it where it refuses the deletion, and that one is cancelled too.

Invariants: making is not broken off half-way, since an agent that is made after its removal would stay; `give_up` breaks it off where the bridge is
about to be stopped. `remove` never raises, takes at most `REMOVE_SECONDS`, and asks no other start of the bridge than the agent's own.
"""

import logging
import uuid
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec

from pipeline.credential import Secret
from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from pipeline.request import Tool
from pipeline.upstream.bridge.calls import END_SEEN_SECONDS
from pipeline.upstream.bridge.unary import Endpoint, ask
from pipeline.upstream.http import Client, Response, content_coding, opened, read_bounded
from pipeline.wire import sdk_requests as wire
from pipeline.wire.sdk_errors import active_run, error_from_unary
from pipeline.wire.sdk_models import Selection

log = logging.getLogger("penstock.bridge")

CREATE_SECONDS = 30.0
"""The bridge asks the vendor about the model."""

REMOVE_SECONDS = 10.0
CALL_SECONDS = 2.0
ERROR_SECONDS = 5.0
MAX_ERROR_BYTES = 65_536
RUN_LOST = "upstream_run_lost"
"""The code of an error that says that the bridge does not know an agent or a run."""

DELETE_PAUSES = (0.01, 0.05, 0.25, 1.0)
"""An agent cannot be deleted before its run has ended, which a cancelled one may take a moment for."""


class Order(msgspec.Struct, frozen=True):
    """What an agent is made of, and its message. `callers_key` says that the key is the caller's own."""

    selection: Selection
    key: Secret
    text: str
    images: tuple[wire.AgentImage, ...] = ()
    tools: tuple[Tool, ...] = ()
    callers_key: bool = True

    def __repr__(self) -> str:
        """Without the texts."""
        return f"Order({self.selection!r})"


class Bridge(Protocol):
    """The supervised bridge, as far as an agent needs it (`pipeline.upstream.bridge.process.BridgeProcess`)."""

    @property
    def current(self) -> Endpoint | None:
        """The start that is ready."""
        ...

    async def endpoint(self) -> Endpoint:
        """The same, waited for; raises PenstockError."""
        ...

    async def is_over(self, endpoint: Endpoint, within_seconds: float) -> bool:
        """Whether a start has ended, or does within so long."""
        ...

    def doubt(self, endpoint: Endpoint) -> None:
        """A start did not answer in time: it may hang."""
        ...


class Agent:
    """See the module. `endpoint` is the start of the bridge that it is made in, None before that; `is_sent` says that its message is on its way."""

    def __init__(self, client: Client, bridge: Bridge) -> None:
        self.id = f"agent-{uuid.uuid4()}"
        self.endpoint: Endpoint | None = None
        self._client = client
        self._bridge = bridge
        self.is_sent = False
        self._may_exist = False
        self._working: anyio.CancelScope | None = None  # around what is not broken off by cancelling the run
        self._is_given_up = False

    @property
    def is_in_current_bridge(self) -> bool:
        """Whether the start that it was made in is still there."""
        return self.endpoint is not None and self._bridge.current is self.endpoint

    def give_up(self) -> None:
        """The bridge is about to end, and the agent with it: what is under way about it is broken off, and nothing more is asked."""
        self._is_given_up = True
        if self._working is not None:
            self._working.cancel()

    @asynccontextmanager
    async def sent(self, order: Order) -> AsyncGenerator[Response, None]:
        """Make the agent, send its message, and give the stream of its run. Raises PenstockError for what the bridge says instead."""
        async with AsyncExitStack() as stack:
            response = await self._begun(stack, order)
            del order  # the stream may wait for hours, and the message is said
            yield response

    async def _begun(self, stack: AsyncExitStack, order: Order) -> Response:
        """The stream of the run, which the stack closes."""
        try:
            return await self._sent_once(stack, order)
        except (UpstreamUnavailable, StreamCut) as error:
            fault = error
        if self.endpoint is None or not await self._bridge.is_over(self.endpoint, END_SEEN_SECONDS):
            raise fault
        return await self._sent_once(stack, order)

    async def remove(self, run_id: str | None) -> None:
        """Leave nothing of it in the bridge; `run_id` names a run that is to be cancelled."""
        if not self._may_exist or self._is_given_up or not self.is_in_current_bridge:
            return
        with anyio.move_on_after(REMOVE_SECONDS, shield=True) as self._working:
            if run_id is not None:
                await self._asked(wire.CANCEL_RUN, wire.cancel_run(run_id))
            fault = await self._asked(wire.CLOSE_AGENT, wire.close_agent(self.id))
            if fault is not None and fault.code == RUN_LOST and not self.is_sent:
                return  # it was never made
            for pause in (*DELETE_PAUSES, None):
                fault = await self._asked(wire.DELETE_AGENT, wire.delete_agent(self.id))
                if fault is None or fault.code == RUN_LOST:  # which it also says of an agent that it does not know
                    return
                active = active_run(fault)
                if active is not None:
                    await self._asked(wire.CANCEL_RUN, wire.cancel_run(active))
                if pause is None:
                    log.warning("the bridge keeps what it stored of an agent until it ends: %s", fault.message)
                else:
                    await anyio.sleep(pause)

    async def _sent_once(self, stack: AsyncExitStack, order: Order) -> Response:
        self.endpoint = endpoint = await self._bridge.endpoint()
        await anyio.lowlevel.checkpoint_if_cancelled()
        await self._make(order, endpoint)
        self.is_sent = True
        secrets = self._secrets(order)
        headers = {**wire.STREAM_HEADERS, "Accept-Encoding": "identity", **endpoint.headers}
        sending = opened(self._client, "POST", endpoint.url + wire.SEND, headers, wire.send(self.id, order.text, order.images))
        response = await stack.enter_async_context(sending)
        if response.status_code != 200:
            raise await _refusal(response, secrets, callers_key=order.callers_key)
        if content_coding(response) is not None:
            raise ProtocolViolation("The bridge compressed its answer although it was asked not to.")
        return response

    async def _make(self, order: Order, endpoint: Endpoint) -> None:
        body = wire.create_agent(order.selection, key=order.key.reveal(), cwd=endpoint.workspace, tools=order.tools, agent_id=self.id)
        secrets = self._secrets(order)
        self._may_exist = True
        with anyio.CancelScope(shield=True) as self._working:
            try:
                made = await ask(
                    self._client,
                    endpoint,
                    wire.CREATE_AGENT,
                    body,
                    within_seconds=CREATE_SECONDS,
                    callers_key=order.callers_key,
                    secrets=secrets,
                )
            except UpstreamTimeout:
                self._bridge.doubt(endpoint)
                raise
            self.id = wire.read_agent_id(made)  # ours, unless the bridge makes its own
        await anyio.lowlevel.checkpoint_if_cancelled()

    def _secrets(self, order: Order) -> tuple[str, ...]:
        return (order.key.reveal(), *((self.endpoint.token.reveal(),) if self.endpoint else ()))

    async def _asked(self, path: str, body: bytes) -> PenstockError | None:
        """Ask the agent's own bridge; gives why it did not do it."""
        assert self.endpoint is not None
        try:
            await ask(self._client, self.endpoint, path, body, within_seconds=CALL_SECONDS)
        except PenstockError as error:
            log.debug("%s: %s", path, error.message)
            if isinstance(error, UpstreamTimeout):
                self._bridge.doubt(self.endpoint)
            return error
        return None


async def _refusal(response: Response, secrets: Collection[str], *, callers_key: bool) -> PenstockError:
    """Why there is no stream; its body is waited for only so long."""
    body = b""
    with anyio.move_on_after(ERROR_SECONDS):
        try:
            body = await read_bounded(response, MAX_ERROR_BYTES) if content_coding(response) is None else b""
        except UpstreamError:
            body = b""  # the status says enough
    return error_from_unary(response.status_code, response.headers, body, callers_key=callers_key, secrets=secrets)
