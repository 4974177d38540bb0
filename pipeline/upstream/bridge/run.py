"""One run of the SDK's agent: a task that keeps it in the bridge, and the requests that read it, one after the other.

Theory of operation: `live` is the run's own task, in the upstream's task group. It makes the agent, opens the stream, and puts what comes of it into
an inbox; whatever ends the run, it removes the agent before it ends itself. So a run can outlive the request that began it, and nobody who leaves has
to wait for the removal. `batches` is one request's reading: lists of events, until the run ends, or is parked because its model called tools.

The bridge calls a tool by a request of its own (`called`), beside the stream. When calls are out, and for `gather_seconds` neither the model said
more nor another call came, the calls leave as the end of the answer; where the client wants one call at a time, the first leaves at once, and the
others are kept for the next request. `settle` says which of them left whole: a run with a call that its client never saw is given up. `go_on` takes
their results, and the next `batches` reads the same stream on. What may follow what is in `pipeline.upstream.bridge.states`.

A run is cancelled by its id, which its first message tells. Who leaves before that message leaves the task waiting for it, `RUN_ID_SECONDS` at most.

Invariants: each call is answered, or the bridge has withdrawn it, when the task ends; an answer that its reader leaves before its end cancels the
run. The task never raises. The time that a parked run may wait is the deadline of its own scope, so that no clock of its own is needed. What a parked
run holds is digests, the end of a text, and the key, to take it out of whatever the bridge says.
"""

import logging
import math
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing

import anyio
import msgspec

from pipeline.clocks import Quiet
from pipeline.errors import PenstockError, StreamCut, UpstreamError, UpstreamUnavailable
from pipeline.events import Failed, Finish, FinishReason, Notice, Progress, UpstreamEvent
from pipeline.upstream.bridge import states
from pipeline.upstream.bridge.agent import RUN_LOST, Agent, Order
from pipeline.upstream.bridge.gathering import Gathering
from pipeline.upstream.bridge.inbox import Inbox
from pipeline.upstream.bridge.pending import PendingCall, PendingCalls
from pipeline.upstream.bridge.states import OVER, TRANSITIONS, State
from pipeline.upstream.bridge.turn import Result, Turn
from pipeline.upstream.http import END_SECONDS, pieces
from pipeline.upstream.redaction import redacted
from pipeline.wire.error_text import clean_message
from pipeline.wire.sdk_callbacks import ToolCallback
from pipeline.wire.sdk_run import RunDecoder

log = logging.getLogger("penstock.bridge")

RUN_ID_SECONDS = 10.0
MAX_NOTICES = 16
_MAX_NAME_CHARS = 64


class Waiting(msgspec.Struct, frozen=True):
    """How long, in seconds: for calls that are made side by side, and for the results of calls."""

    gather_seconds: float = 0.2
    park_seconds: float = 300.0


class Run:
    """See the module.

    `turn` is the request that was answered last, without its results, `key_digest` names whose run it is, `why` is what led to the state.
    """

    def __init__(
        self,
        agent: Agent,
        order: Order,
        turn: Turn,
        *,
        key_digest: str,
        waiting: Waiting,
        new_id: Callable[[], str],
        changed: Callable[["Run"], None],
    ) -> None:
        """`changed` is told of each new state, and `new_id` makes ids for calls."""
        self.state = State.STARTING
        self.why = ""
        self.agent = agent
        self.turn = turn.bare
        self.key_digest = key_digest
        self.calls = PendingCalls()
        self._order: Order | None = order
        self._tools = frozenset(tool.name for tool in order.tools)
        self._secrets = (order.key.reveal(),)
        self._park_seconds = waiting.park_seconds
        self._gathering = Gathering(waiting.gather_seconds)
        self._new_id = new_id
        self._changed = changed
        self._decoder = RunDecoder(callers_key=order.callers_key, secrets=self._secrets, custom_tools=self._tools)
        self._inbox = Inbox()
        self._notices: list[Notice] = []
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()
        self._is_parallel = True
        self._has_finished_well = False

    @property
    def is_waiting(self) -> bool:
        """Whether results of its calls are still in time."""
        return self.state is State.PARKED and not self._scope.cancel_called

    # -- the run's task ------------------------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Keep the run until it is over, and remove it from the bridge."""
        try:
            with self._scope:
                await self._talk()
                if self.state is State.PARKED:  # nobody reads, and nobody will
                    self.give_up(states.BROKEN)
                await self._over.wait()
            if self.state is State.PARKED:
                self._move(states.UNANSWERED)
        except Exception:
            log.exception("a fault of ours in a run of the bridge")
            self._inbox.end(UpstreamError("The run was ended by a fault of the gateway."))
        finally:
            if self.state not in OVER:
                self._move(states.STOPPED)
            self._inbox.end(UpstreamUnavailable("This gateway is shutting down."))
            self._drain()
            try:
                run_id = None if self._has_finished_well else self._decoder.run_id
                await self.agent.remove(run_id)  # noqa: ASYNC102 - the shield and the time are in there
            finally:
                self.calls.refuse_all("The result did not come.")

    async def _talk(self) -> None:
        """Read the whole stream into the inbox."""
        order, self._order = self._order, None
        assert order is not None
        fault: PenstockError | None = None
        try:
            async with self.agent.sent(order) as response:
                del order
                async with aclosing(pieces(response)) as received:
                    async for piece in received:
                        if self.state not in OVER:
                            await self._inbox.put(piece)
                        elif not self._has_finished_well and self._is_known(piece):
                            break
        except PenstockError as error:
            fault = error
        self._inbox.end(fault)

    def _is_known(self, piece: bytes = b"") -> bool:
        """Whether there is an id to cancel the run by, or none to come; nobody reads any more."""
        self._decoder.feed(piece)
        return self._decoder.run_id is not None or self._decoder.finished

    def _drain(self) -> None:
        while (piece := self._inbox.take()) is not None:
            self._decoder.feed(piece)

    def _stop(self) -> None:
        """End the task; at once, or when it is known how the run is cancelled."""
        self._over.set()
        self._drain()
        if self._has_finished_well:
            # the rest of the body's frame, so that the connection can be used again
            self._scope.deadline = anyio.current_time() + END_SECONDS
        elif not self.agent.is_sent or self._inbox.ended or self._is_known():
            self._scope.cancel()
        else:
            self._scope.deadline = anyio.current_time() + RUN_ID_SECONDS

    # -- what the bridge and the parking do ----------------------------------------------------------------------------------------------------

    def called(self, callback: ToolCallback) -> PendingCall:
        """A tool is called; who asked waits for the result, and says by `withdrawn` when it no longer does."""
        call = PendingCall(self._new_id(), callback.tool_name, callback.arguments, callback.tool_call_id)
        if self.state in OVER:
            call.refuse("This run is over.")
        elif callback.tool_name not in self._tools:
            call.refuse("There is no such tool.")
            self._say(
                Notice("unknown_tool", f"the agent called {clean_message(callback.tool_name[:_MAX_NAME_CHARS])!r}, and was told that there is none")
            )
        else:
            self.calls.add(call)
            self._move(states.CALLED)
            if self.state is State.GATHERING:
                self._gathering.wait(parallel=self._is_parallel)
        self._inbox.tell()
        return call

    def withdrawn(self, call: PendingCall) -> None:
        """The bridge does not wait for this call any more; one that was answered is none of them."""
        if not self.calls.withdraw(call):
            return
        if self.state is State.PARKED and call.is_told:
            self.give_up(states.WITHDRAWN)
        elif self.state is State.GATHERING:
            self._say(Notice("call_withdrawn", f"the agent called {call.name} and gave the call up"))
            if not self.calls:
                self._gathering.end()
                self._move(states.WITHDRAWN)
            self._inbox.tell()

    def go_on(self, turn: Turn, results: Sequence[Result]) -> None:
        """Give the results of the calls that were told; `batches` reads the answer to the request that brought them."""
        self._move(states.RESULTS)
        self._scope.deadline = math.inf
        self.turn = turn.bare
        self._decoder.go_on()
        self.calls.answer(results)

    def settle(self, delivered: Collection[str]) -> None:
        """The answer that the calls left with is over, and these have left whole."""
        if self.state is State.PARKED and not self.calls.told.keys() <= set(delivered):
            self.give_up(states.UNTOLD)

    def give_up(self, why: str) -> None:
        """Nobody wants a parked run any more, or it is gone."""
        self._move(why)
        self._stop()

    def stop(self) -> None:
        """The bridge is about to be stopped."""
        self.agent.give_up()
        if self.state not in OVER:
            self._move(states.STOPPED)
        self._scope.cancel()

    # -- the requests --------------------------------------------------------------------------------------------------------------------------

    async def batches(self, *, parallel: bool = True) -> AsyncGenerator[list[UpstreamEvent], None]:
        """One request's answer. Without `parallel` each answer has one call at the most. Leaving it before its end cancels the run."""
        self._is_parallel = parallel
        quiet = Quiet()
        try:
            if self.calls:  # they were kept from the answer before
                self._move(states.CALLED)
                self._gathering.wait(parallel=parallel)
            while True:
                while self.state not in OVER and (piece := self._inbox.take()) is not None:
                    batch = self._read(piece)
                    if quiet.passes(batch) or not piece:
                        yield batch
                    if batch and isinstance(batch[-1], Finish | Failed):
                        return
                if self.state in OVER:  # not by this request
                    yield [Failed(self._inbox.fault or UpstreamUnavailable("This gateway is shutting down."))]
                    return
                if self._inbox.ended:
                    yield self._end()
                    return
                if self._notices:
                    yield self._taken_notices()
                elif self.calls and anyio.current_time() >= self._gathering.until:
                    yield self._parked()
                    return
                else:
                    await self._inbox.wait(self._gathering.until)
        finally:
            if self.state not in OVER and self.state is not State.PARKED:
                self._move(states.LEFT)
                self._stop()

    def _read(self, piece: bytes) -> list[UpstreamEvent]:
        """The events of one read."""
        decoder = self._decoder
        activity, messages = decoder.activity, decoder.data_messages
        events = decoder.feed(piece)
        if decoder.activity != activity:
            self._move(states.SAID)
            if self.calls:
                self._gathering.wait(parallel=self._is_parallel)
        if decoder.finished:
            return self._ended(events)
        if not events and decoder.data_messages != messages:
            return [Progress()]
        return events

    def _end(self) -> list[UpstreamEvent]:
        """The end of the stream's body, or why there is none."""
        is_broken = self._inbox.fault is None or _is_loss(self._inbox.fault)
        return self._ended(self._decoder.end(self._inbox.fault), is_broken=is_broken)

    def _ended(self, events: list[UpstreamEvent], *, is_broken: bool = False) -> list[UpstreamEvent]:
        last = events[-1] if events else Failed(StreamCut("The run's stream ended without its result."))
        if isinstance(last, Failed):
            last = Failed(redacted(last.error, self._secrets))
            is_broken = is_broken or last.error.code == RUN_LOST
        withdrawn = [Notice("call_withdrawn", f"the run ended, and its call of {call.name} with it") for call in self.calls]
        self._has_finished_well = isinstance(last, Finish)
        self._move(states.BROKEN if is_broken else states.ENDED)
        self._stop()
        return [*self._taken_notices(), *events[:-1], *withdrawn, last]

    def _parked(self) -> list[UpstreamEvent]:
        """The calls that leave with this answer, and its end."""
        calls = self.calls.tell(self._decoder.call_order, parallel=self._is_parallel)
        self._gathering.end()
        self._scope.deadline = anyio.current_time() + self._park_seconds
        self._move(states.QUIET)
        return [*self._taken_notices(), *calls, Finish(FinishReason.TOOL_CALLS)]

    def _say(self, notice: Notice) -> None:
        if len(self._notices) < MAX_NOTICES:
            self._notices.append(notice)

    def _taken_notices(self) -> list[UpstreamEvent]:
        taken, self._notices = self._notices, []
        return [*taken]

    def _move(self, what: str) -> None:
        before, self.state = self.state, TRANSITIONS[self.state][what]
        if self.state is not before:
            self.why = what
            self._changed(self)


def _is_loss(error: PenstockError) -> bool:
    """Whether it says that the bridge is gone, rather than that it refused something."""
    return isinstance(error, StreamCut) or error.code in ("upstream_bridge_restarted", "upstream_bridge_down", RUN_LOST)
