"""Each row of the table of a run's states is a scenario over real sockets; and what may never be left behind is not, whatever the row."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import pytest
import trio

from pipeline.events import UpstreamEvent
from pipeline.request import Request
from pipeline.upstream.bridge import states
from pipeline.upstream.bridge.run import Run
from pipeline.upstream.bridge.states import OVER, TRANSITIONS, State
from pipeline.upstream.sdk_bridge import SdkBridgeUpstream
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import KEY, answer, direct_upstream, notices_of, request, results_for, text_of, turn
from tests.support.composer_server import Cut, Pause
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_steps import Call, Fire, HangUp, Step, Until

ASKED = request("Look into a.py")
FOR_EVER = Pause(3600)

# what the bridge does -> the steps that do it
BY_THE_BRIDGE: dict[str, list[Step]] = {
    states.SAID: [sdk.delta("More. "), FOR_EVER],
    states.CALLED: [Fire("grep", {"pattern": "x"}), FOR_EVER],
    states.ENDED: [*sdk.finish("The end."), Pause(0.2)],
    states.BROKEN: [Cut(), FOR_EVER],
    states.WITHDRAWN: [HangUp(), FOR_EVER],
}


# a refusal, which is the one end that a run has without having said anything
REFUSED: list[Step] = [sdk.error_end("internal", "Something broke")]
BEFORE_ANYTHING = (State.STARTING, State.CONTINUING)


class Scenario:
    """One run in a state, and the means to do something to it."""

    def __init__(self, upstream: SdkBridgeUpstream, bridge: FakeBridge, go: trio.Event) -> None:
        self.upstream = upstream
        self.bridge = bridge
        self.go = go
        self.events: list[UpstreamEvent] = []
        self._readers: list[trio.CancelScope] = []

    async def read(self, asked: Request) -> None:
        batches: AsyncGenerator[list[UpstreamEvent], None] = self.upstream.stream(self.upstream.write(asked), KEY)
        with trio.CancelScope() as scope:
            self._readers.append(scope)
            async with aclosing(batches):
                async for batch in batches:
                    self.events += batch

    async def leave(self) -> None:
        for scope in self._readers:
            scope.cancel()


def steps_to(state: State, go: trio.Event) -> list[Step]:
    """What a run does to come into a state, and wait there."""
    match state:
        case State.STARTING:
            return [Until(go)]
        case State.STREAMING:
            return [sdk.system(), sdk.delta("Let me see. "), Until(go)]
        case State.CONTINUING:
            return [sdk.system(), sdk.delta("Let me see. "), Call("read", {"path": "a.py"}), Until(go)]
        case _:
            return [sdk.system(), sdk.delta("Let me see. "), Fire("read", {"path": "a.py"}), Until(go)]


async def supersede(scenario: Scenario) -> None:
    await answer(scenario.upstream, request(*ASKED.messages, turn(scenario.events), "Never mind."))


async def end_without_calls(scenario: Scenario) -> None:
    (run,) = scenario.upstream.parking.parked
    run.settle([])


async def crowd_out(scenario: Scenario) -> None:
    await answer(scenario.upstream, request("Another conversation"))


async def bring_results(scenario: Scenario) -> None:
    scenario.go.set()
    await answer(scenario.upstream, results_for(ASKED, scenario.events))


async def leave(scenario: Scenario) -> None:
    await scenario.leave()


async def stop(scenario: Scenario) -> None:
    scenario.upstream.parking.stop()


async def wait(scenario: Scenario) -> None:
    """The time does it."""


BY_OTHERS: dict[str, Callable[[Scenario], Awaitable[None]]] = {
    states.LEFT: leave,
    states.STOPPED: stop,
    states.SUPERSEDED: supersede,
    states.UNTOLD: end_without_calls,
    states.CROWDED_OUT: crowd_out,
    states.RESULTS: bring_results,
    states.UNANSWERED: wait,
    states.QUIET: wait,
}

ROWS = [(state, what) for state, ways in TRANSITIONS.items() for what in ways]


@pytest.fixture
def moves(monkeypatch):
    """What happened to all runs, in order."""
    made: list[tuple[State, str]] = []
    move = Run._move

    def noted(run: Run, what: str) -> None:
        made.append((run.state, what))
        move(run, what)

    monkeypatch.setattr(Run, "_move", noted)
    return made


@pytest.mark.parametrize(("state", "what"), ROWS, ids=[f"{state.name}: {what}" for state, what in ROWS])
async def test_each_row_happens_and_leaves_nothing_behind(state, what, moves):
    go = trio.Event()
    by_the_bridge = REFUSED if what == states.ENDED and state in BEFORE_ANYTHING else BY_THE_BRIDGE.get(what, [])
    steps = [*steps_to(state, go), *by_the_bridge]
    if state is State.STARTING and what == states.BROKEN:
        steps.remove(FOR_EVER)  # nobody knows by which id to cancel it
    elif state is State.STARTING and what != states.ENDED:
        # its id comes late, and cancelling it has to wait for that
        steps[2 if what in (states.CALLED, states.SAID) else 1 :] = [Pause(0.1), sdk.system(), FOR_EVER]
    second: list[Step] = [sdk.system(), Fire("grep"), FOR_EVER] if what == states.CROWDED_OUT else [sdk.system(), *sdk.finish("Fine.")]
    settings = {
        "gather_seconds": 60.0 if state is State.GATHERING and what != states.QUIET else 0.02,
        "park_seconds": 0.1 if what == states.UNANSWERED else 60.0,
        "max_parked": 1,
    }
    async with fake_bridge(steps, second) as bridge, direct_upstream(bridge, **settings) as upstream, trio.open_nursery() as nursery:
        scenario = Scenario(upstream, bridge, go)
        nursery.start_soon(scenario.read, ASKED)
        await bridge.until(lambda: bridge.runs)
        if state is State.CONTINUING:
            await bridge.until(lambda: (State.GATHERING, states.QUIET) in moves and upstream.parking.parked)
            nursery.start_soon(scenario.read, results_for(ASKED, scenario.events))
            await bridge.until(lambda: (State.PARKED, states.RESULTS) in moves and bridge.runs[0].results)
        (run,) = upstream.parking.runs
        await bridge.until(lambda: run.state is state)
        if state is State.PARKED:
            await bridge.until(lambda: scenario.events)
        if what in BY_THE_BRIDGE:
            go.set()
        else:
            await BY_OTHERS[what](scenario)
        await bridge.until(lambda: (state, what) in moves)
        assert run.state is TRANSITIONS[state][what] or what == states.RESULTS  # behind which the model has said more already
        await scenario.leave()
        go.set()
        for other in upstream.parking.parked:
            other.give_up(states.SUPERSEDED)
        # where the gateway stops, the bridge would be stopped with all that is in it
        await bridge.until(lambda: (what == states.STOPPED or not bridge.left_behind()) and not upstream.parking.runs)
        assert upstream.parking.parked == ()


def test_a_state_that_is_over_is_left_for_no_other():
    assert {State.FINISHED, State.ABANDONED, State.LOST} == OVER
    assert set(TRANSITIONS) == set(State)


async def test_a_call_that_is_given_up_before_it_was_told_leaves_no_trace_but_a_notice():
    go = trio.Event()
    steps: list[Step] = [sdk.system(), Fire("read"), Until(go), HangUp(), sdk.delta("Without it."), *sdk.finish("Without it.")]
    async with fake_bridge(steps) as bridge, direct_upstream(bridge, gather_seconds=60.0) as upstream:
        async with trio.open_nursery() as nursery:
            scenario = Scenario(upstream, bridge, go)
            nursery.start_soon(scenario.read, ASKED)
            await bridge.until(lambda: bridge.runs and bridge.runs[0].waiting and upstream.parking.runs)
            (run,) = upstream.parking.runs
            await bridge.until(lambda: run.state is State.GATHERING)
            go.set()
        assert notices_of(scenario.events) == ["call_withdrawn"]
        assert text_of(scenario.events) == "Without it."
        await bridge.until(lambda: not bridge.left_behind())
