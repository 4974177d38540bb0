"""The runs of one bridge: which of them is called back, and which one a request goes on with.

Theory of operation: a run is here from its beginning to its end. The listener asks for the run of an agent (`answer`), and a request for the run
that waits for the results that it brings (`claim`): the run is found by the ids of the last calls in the conversation, which were ours, and by the
key. Then everything else of the request has to be as it was (`pipeline.upstream.bridge.turn`). If it is not, the request goes to a fresh agent that
is told all of it, with a Notice that says why. The run is given up where this is how its conversation goes on: the request is the same up to the
calls, or it ends with their results. A request that is neither, such as one for a summary that shows the calls to another model, disturbs the run as
little as one of a stranger: the results may still come.

Invariants: a run is claimed at most once for each time that it is parked; a request with another key reaches no run and disturbs none, whatever ids
it knows. At most `max_parked` runs wait: the one that has waited longest is given up for the next. What is known of calls whose run went on or is
gone, so that the Notice can say it, is bounded too.
"""

from collections import OrderedDict
from collections.abc import Collection

import msgspec

from pipeline.events import Notice
from pipeline.upstream.bridge import states
from pipeline.upstream.bridge.run import Run
from pipeline.upstream.bridge.states import OVER, State
from pipeline.upstream.bridge.turn import Otherwise, Turn, continuation
from pipeline.wire.sdk_callbacks import ToolCallback, tool_result

MAX_REMEMBERED = 1024
"""Calls of which it is known what became of their run."""

# what led a run out of its waiting -> what the client reads whose results come behind that
TOO_LATE = {
    states.RESULTS: "the results were brought before",
    states.UNANSWERED: "the results did not come in time",
    states.WITHDRAWN: "the agent had withdrawn its calls",
    states.SUPERSEDED: "another request had gone on with the conversation",
    states.UNTOLD: "the answer with its calls was not one that calls tools, or not all of them were in it",
    states.CROWDED_OUT: "too many runs were waiting for results",
    states.BROKEN: "the bridge ended meanwhile",
}

_Name = tuple[str, str]
"""Whose call it is, as the digest of the key, and the call's id."""


class Claim(msgspec.Struct, frozen=True):
    """The run that a request goes on with, if there is one, and what the client should know about that."""

    run: Run | None = None
    notice: Notice | None = None


def replayed(why: str) -> Notice:
    """What a client is told when a fresh agent takes over from a run."""
    return Notice("run_replayed", f"a fresh agent was told the whole conversation: {why}")


def text_with_results() -> Notice:
    """What a client is told whose request had a user's text behind the results."""
    return Notice("text_with_results", "the user's text behind the results was given to the waiting run as a further text of the last one")


class Parking:
    """See the module."""

    def __init__(self, max_parked: int = 100) -> None:
        self._max_parked = max_parked
        self._runs: set[Run] = set()
        self._removed: set[Run] = set()  # those that are over and not gone from the bridge yet
        self._parked: OrderedDict[Run, list[_Name]] = OrderedDict()
        self._by_call: dict[str, Run] = {}
        self._gone: OrderedDict[_Name, str] = OrderedDict()

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those that are not over."""
        return (*self._runs,)

    @property
    def parked(self) -> tuple[Run, ...]:
        """Those that wait for results, the one that has waited longest first."""
        return (*self._parked,)

    def add(self, run: Run) -> None:
        """A run begins."""
        self._runs.add(run)

    async def live(self, run: Run) -> None:
        """A run's own task, until nothing of it is left in the bridge."""
        try:
            await run.live()
        finally:
            self._removed.discard(run)

    def changed(self, run: Run) -> None:
        """A run has come into another state."""
        if run.state is State.PARKED:
            self._park(run)
        else:
            self._leave(run)
        if run.state in OVER and run in self._runs:
            self._runs.discard(run)
            self._removed.add(run)

    def awaits(self, call_ids: Collection[str], key_digest: str | None = None, model: str | None = None) -> bool:
        """Whether a run waits for the results of such a call; one of this key and model, or of any."""
        run = next((self._by_call[call_id] for call_id in call_ids if call_id in self._by_call), None)
        return run is not None and run.is_waiting and key_digest in (None, run.key_digest) and model in (None, run.turn.model)

    def claim(self, turn: Turn, key_digest: str) -> Claim:
        """The run that goes on with this request, with its results given; or none."""
        run = next((self._by_call[call_id] for call_id in turn.called if call_id in self._by_call), None)
        if run is None or run.key_digest != key_digest:
            why = next((self._gone[name] for call_id in turn.called if (name := (key_digest, call_id)) in self._gone), None)
            return Claim(notice=replayed(why) if why is not None and turn.brings_results else None)
        if not run.is_waiting:  # its time is over, and its task does not know yet
            return Claim(notice=replayed(TOO_LATE[states.UNANSWERED]))
        brought = continuation(turn, run.turn, run.calls.told)
        if isinstance(brought, Otherwise):
            if brought.takes_over:
                run.give_up(states.SUPERSEDED)
            return Claim(notice=replayed(brought.why))
        run.go_on(turn, brought.results)
        return Claim(run, text_with_results() if brought.has_words else None)

    async def answer(self, callback: ToolCallback) -> bytes:
        """The result of a call, as the body that the bridge is sent; cancelled when the bridge does not wait for it any more."""
        run = next((run for run in self._runs if run.agent.id == callback.agent_id), None)
        if run is None:
            return tool_result(["There is no such agent here, or its run is over."], is_error=True)
        call = run.called(callback)
        try:
            return await call.result()
        finally:
            run.withdrawn(call)

    def bridge_ended(self, generation: int) -> None:
        """A start of the bridge is over: what was parked in it is lost. A run that is read notices it by its stream."""
        for run in self.parked:
            endpoint = run.agent.endpoint
            if run.state is State.PARKED and endpoint is not None and endpoint.generation == generation:
                run.give_up(states.BROKEN)

    def stop(self) -> None:
        """The bridge is about to be stopped, and all runs with it, also what is still to be removed from it."""
        for run in (*self._runs, *self._removed):
            run.stop()

    def _park(self, run: Run) -> None:
        names = [(run.key_digest, call_id) for call_id in run.calls.told]
        self._parked[run] = names
        self._by_call.update(dict.fromkeys(run.calls.told, run))
        while len(self._parked) > self._max_parked:
            next(iter(self._parked)).give_up(states.CROWDED_OUT)

    def _leave(self, run: Run) -> None:
        for name in self._parked.pop(run, ()):
            self._by_call.pop(name[1], None)
            if run.why in TOO_LATE:
                self._gone[name] = TOO_LATE[run.why]
        while len(self._gone) > MAX_REMEMBERED:
            self._gone.popitem(last=False)
