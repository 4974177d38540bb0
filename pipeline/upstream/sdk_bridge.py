"""The bridge of Cursor's SDK as an upstream: its agents, asked with the caller's own key, with the client's tools as tools of theirs.

Theory of operation: the bridge is a program of the vendor's, which runs beside the server (`pipeline.upstream.bridge.process`). A request becomes
one message to a fresh agent, which is told the whole conversation (`pipeline.prompt.agent_message`) and offered the tools; one that is forbidden to
call is offered none. When the agent calls tools, its run waits, and the request that brings the results goes on with it
(`pipeline.upstream.bridge.parking`). A request that cannot, because the run is gone or the conversation is another one, is told to a fresh agent too,
with a Notice `run_replayed`; and so is one whose run is lost before it has said anything to it.

`open_sdk_bridge` holds what lives longer than a request: the supervisor, the listener for the agents' calls, and the tasks of the runs. At its end
the runs end first, then the listener, then the bridge.

Images are sent as bytes, as with Composer: those that came as `data:` URLs, and those that were fetched before. The models are those of the key's
account (`pipeline.upstream.bridge.accounts`).

Invariants: the key goes to the bridge on this machine and nowhere else, and names no run: its digest does. Nothing raises while streaming: faults are
`Failed`, without the key in their words. Left alone: how long an answer may take (`pipeline.clocks`), and what calls are checked for (the machines).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import PenstockError, UpstreamUnusable
from pipeline.events import Failed, Notice, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import MODELS, Model, resolve_composer_model
from pipeline.parameters import Family, ignored_by
from pipeline.prompt.agent_message import agent_message, show_messages
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.transcript import check_parts
from pipeline.prompt.unread import unread_by_prompts
from pipeline.prompt.window import Overflow
from pipeline.request import Request, Tool, ToolMode
from pipeline.upstream.base import Outgoing
from pipeline.upstream.bridge import states
from pipeline.upstream.bridge.accounts import Accounts
from pipeline.upstream.bridge.agent import Agent, Order
from pipeline.upstream.bridge.calls import BridgeCalls
from pipeline.upstream.bridge.launch import Launch
from pipeline.upstream.bridge.listener import open_listener
from pipeline.upstream.bridge.outgoing import BridgeOutgoing, Telling, bridge_outgoing
from pipeline.upstream.bridge.parking import TOO_LATE, Claim, Parking, replayed
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.bridge.run import Run, Waiting
from pipeline.upstream.bridge.states import State
from pipeline.upstream.bridge.turn import last_calls, turn_of
from pipeline.upstream.http import Client
from pipeline.upstream.images import MAX_BYTES, Fetcher, ImageFile, fetch_images, most_fetched_bytes, read_images
from pipeline.upstream.model_list import Listing
from pipeline.upstream.request_window import check_length, fitted
from pipeline.upstream.single_flight import fingerprint
from pipeline.usage.estimate import Method
from pipeline.wire.sdk_models import Selection
from pipeline.wire.sdk_requests import AgentImage, User, Version

NO_KEY = "This upstream is asked with a key of Cursor's, and the gateway's settings give it none."
MAX_MODEL_ID_CHARS = 256


class SdkBridgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one upstream is configured with.

    `launch` is how the program is started. A call of a tool is passed on when nothing more came for `gather_seconds`, and its results are waited for
    `park_seconds`, by `max_parked` runs at a time. `context_window`, in tokens, is that of every model, None that the bridge is the judge.
    """

    launch: Launch = Launch()
    credential: Credential = Credential()
    park_seconds: float = 300.0
    gather_seconds: float = 0.2
    max_parked: int = 100
    context_window: int | None = None
    context_overflow: Overflow | None = None
    usage_method: Method = "calibrated"
    max_image_bytes: int = MAX_BYTES


class SdkBridgeUpstream:
    """See the module. `open_sdk_bridge` makes one; `process` is the supervisor of its bridge, and `parking` knows the runs."""

    def __init__(
        self,
        name: str,
        config: SdkBridgeConfig,
        client: Client,
        process: BridgeProcess,
        parking: Parking,
        tasks: TaskGroup,
        *,
        fetcher: Fetcher | None = None,
        identity: Identity | None = None,
    ) -> None:
        """`tasks` is where runs live; the others are those of `open_sdk_bridge`."""
        self.name = name
        self.writes_markers = False
        self.keeps_promises = False
        self._config = config
        self._client = client
        self.process = process
        self.parking = parking
        self._tasks = tasks
        self._fetcher = fetcher
        self._identity = identity or Identity()
        self._calls = BridgeCalls(client, process)
        self._accounts = Accounts(self._calls, callers_key=self._is_callers, context_window=config.context_window)

    # -- models and identity -------------------------------------------------------------------------------------------------------------------

    def models(self) -> Sequence[Model]:
        """Those that Composer is known to list; the bridge is asked by `list_models`."""
        return [self._accounts.with_window(model) for model in MODELS.values()]

    def find_model(self, model_id: str) -> Model | None:
        """Any id is one that the account may have; of some more is known."""
        if len(model_id) > MAX_MODEL_ID_CHARS:
            return None
        resolved = resolve_composer_model(model_id)
        return self._accounts.with_window(Model(model_id, model_id, "cursor") if resolved is None else MODELS[resolved])

    async def list_models(self, key: str | None) -> Listing:
        """The models of the account; never raises."""
        try:
            return await self._accounts.listing(self._secret(key))
        except PenstockError as error:
            return Listing(error=error)

    def break_off(self) -> None:
        """The server stops at once: neither its runs nor the bridge are waited for."""
        self.parking.stop()
        self.process.break_off()

    async def me(self, key: str | None) -> User:
        """Whose key it is; raises PenstockError."""
        return await self._calls.me(self._secret(key), callers_key=self._is_callers)

    async def version(self) -> Version:
        """The versions of the bridge and of its protocol; raises PenstockError."""
        return await self._calls.version()

    # -- requests ------------------------------------------------------------------------------------------------------------------------------

    async def prepared(self, request: Request) -> Request:
        """The request with the images of the web in it. Raises RequestError for one that cannot be had."""
        if self._fetcher is None or not most_fetched_bytes(request):
            return request
        check_parts(request)
        config = self._config
        if not self.parking.awaits(last_calls(request.messages)):
            check_length(request, config.context_window, config.context_overflow, method=config.usage_method)
        return await fetch_images(request, self._fetcher, max_bytes=config.max_image_bytes)

    def write(self, request: Request) -> Outgoing:
        """The request as a fresh agent would be told it; one that a run may wait for is weighed against the window, and goes to that run unweighed.

        Raises:
            RequestError: the conversation does not fit the window, or a part of it is nothing that is sent.
        """
        config = self._config
        check_parts(request)
        images = read_images(request, max_bytes=config.max_image_bytes)
        turn = turn_of(request, images)
        request = in_function_form(request)
        weighed = partial(
            fitted, request, config.context_window, config.context_overflow, write=agent_message, show=show_messages, method=config.usage_method
        )
        ignored = (*ignored_by(Family.SDK_BRIDGE, request), *unread_by_prompts(request))
        return bridge_outgoing(request, turn, images, ignored, weighed, config.usage_method, is_awaited=self.parking.awaits(turn.called))

    def awaits(self, request: Request, key: str | None) -> bool:
        """Whether a run waits for the results of this request's last calls."""
        calls = last_calls(request.messages)
        if not self.parking.awaits(calls):
            return False
        try:
            return self.parking.awaits(calls, fingerprint(self._secret(key)), request.model)
        except PenstockError:
            return False

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer; `key` is the caller's own, which is used where the upstream has none of its own."""
        assert isinstance(outgoing, BridgeOutgoing)
        parallel = outgoing.request.options.parallel_tool_calls
        try:
            secret = self._secret(key)
        except PenstockError as error:
            yield [Failed(error)]
            return
        claim = Claim() if outgoing.is_second else self.parking.claim(outgoing.turn, fingerprint(secret))
        told = Telling([] if claim.notice is None else [claim.notice])
        if claim.run is not None:
            outgoing.current.run = claim.run
            async with aclosing(claim.run.batches(parallel=parallel)) as batches:
                async for batch in batches:
                    if not told.has_begun and _is_lost(claim.run, batch):
                        break
                    yield told.feed(batch)
                else:
                    return
            told = Telling([replayed(TOO_LATE[states.BROKEN])])
        told.notices += outgoing.fresh.notices
        if outgoing.fresh.fault is not None:
            yield [*told.notices, Failed(outgoing.fresh.fault)]
            return
        selection = await self._accounts.selection(outgoing.request, secret)
        run = outgoing.current.run = self._begun(outgoing, secret, selection)
        async with aclosing(run.batches(parallel=parallel)) as batches:
            async for batch in batches:
                yield told.feed(batch)

    def _begun(self, outgoing: BridgeOutgoing, secret: str, selection: Selection) -> Run:
        """A fresh agent's run, whose task has been started."""
        config = self._config
        order = Order(
            selection,
            Secret(secret),
            outgoing.fresh.prompt,
            tuple(map(_image, outgoing.fresh.images)),
            _offered(outgoing.request),
            callers_key=self._is_callers,
        )
        run = Run(
            Agent(self._client, self.process),
            order,
            outgoing.turn,
            key_digest=fingerprint(secret),
            waiting=Waiting(config.gather_seconds, config.park_seconds),
            new_id=partial(self._identity.new, "call_"),
            changed=self.parking.changed,
        )
        self.parking.add(run)
        self._tasks.start_soon(self.parking.live, run)
        return run

    def _secret(self, key: str | None) -> str:
        secret = self._config.credential.key(key)
        if secret is None:
            raise UpstreamUnusable(NO_KEY)
        return secret

    @property
    def _is_callers(self) -> bool:
        return self._config.credential.kind is Kind.CALLER


@asynccontextmanager
async def open_sdk_bridge(
    name: str,
    config: SdkBridgeConfig,
    client: Client,
    *,
    fetcher: Fetcher | None = None,
    identity: Identity | None = None,
    supervisor: type[BridgeProcess] = BridgeProcess,
) -> AsyncGenerator[SdkBridgeUpstream, None]:
    """One upstream, whose bridge is started and supervised until the block is left.

    `client` is shared and stays open; `identity` makes ids; without a `fetcher`, images of the web are refused; `supervisor` is for tests, which may
    have no program to supervise. Raises OSError when there is no port to listen on.
    """
    parking = Parking(config.max_parked)
    listener = await open_listener(parking.answer)
    process = supervisor(name, config.launch, client, callback=listener.callback)
    process.on_exit(parking.bridge_ended)
    fault: Exception | None = None
    async with anyio.create_task_group() as supervising:
        supervising.start_soon(process.run)
        async with anyio.create_task_group() as listening:
            listening.start_soon(listener.run)
            async with anyio.create_task_group() as runs:
                try:
                    yield SdkBridgeUpstream(name, config, client, process, parking, runs, fetcher=fetcher, identity=identity)
                except Exception as raised:  # a task group would wrap it up
                    fault = raised
                finally:
                    parking.stop()
                    runs.cancel_scope.cancel()
            listening.cancel_scope.cancel()
        supervising.cancel_scope.cancel()
    if fault is not None:
        raise fault


def _offered(request: Request) -> tuple[Tool, ...]:
    """The tools that the agent is given."""
    return () if request.tool_choice.mode is ToolMode.NONE else request.tools


def _image(file: ImageFile) -> AgentImage:
    return AgentImage(file.data, file.header.media_type, file.header.width, file.header.height)


def _is_lost(run: Run, batch: list[UpstreamEvent]) -> bool:
    """Whether a list that comes before anything else was said only tells that the run is lost."""
    said = next((event for event in batch if not isinstance(event, Notice)), None)
    return run.state is State.LOST and isinstance(said, Failed)
