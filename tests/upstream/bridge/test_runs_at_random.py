"""Runs, requests and accidents in any order, over real sockets: every answer ends once, and nothing is left behind."""

import math
from contextlib import aclosing

import hypothesis.strategies as st
import trio
from hypothesis import HealthCheck, given, settings

from pipeline.events import Failed, Finish, UpstreamEvent
from pipeline.request import Request
from pipeline.upstream.sdk_bridge import SdkBridgeUpstream
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import KEY, DirectBridge, calls_of, direct_upstream, request, result, results_for, turn
from tests.support.composer_server import Cut
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_run import Run as FakeRun
from tests.support.fake_bridge_steps import Fire, HangUp, Say, Step, Until

SETTLING_SECONDS = 0.004
FINISH = sdk.finish("The end.")


class Puppet:
    """A run of the fake bridge that does what it is told, whenever it is told."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._told = trio.Event()

    def script(self, run: FakeRun) -> list[Step]:
        return [sdk.system(), *self._next(run)]

    def do(self, *steps: Step) -> None:
        self._steps += steps
        self._told.set()

    def _next(self, run: FakeRun) -> list[Step]:
        steps, self._steps, self._told = self._steps, [], trio.Event()
        if FINISH[-1] in steps:
            return steps
        return [*steps, Until(self._told), Say(self._next)]


class Client:
    """One conversation, which is asked about again and again."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.asked: Request = request(f"Question {number}")
        self.events: list[UpstreamEvent] = []
        self.ended = True
        self._reading = trio.CancelScope()

    def ask(self, asked: Request) -> None:
        self.asked, self.events, self.ended, self._reading = asked, [], False, trio.CancelScope()
        self.world.nursery.start_soon(self._read, asked)

    async def _read(self, asked: Request) -> None:
        events, upstream = self.events, self.world.upstream
        with self._reading as scope:
            async with aclosing(upstream.stream(upstream.write(asked), KEY)) as batches:
                async for batch in batches:
                    events += batch
        if not scope.cancelled_caught:
            assert [event for event in events if isinstance(event, Finish | Failed)] == events[-1:], events
            self.ended = True

    def leave(self) -> None:
        self._reading.cancel()
        self.ended = True
        self.events = []


class World:
    """Two clients, and a run for each agent that was asked for."""

    def __init__(self, bridge: FakeBridge, upstream: SdkBridgeUpstream, nursery: trio.Nursery, puppets: list[Puppet]) -> None:
        self.bridge = bridge
        self.upstream = upstream
        self.nursery = nursery
        self.puppets = puppets
        self.clients = [Client(self, number) for number in range(2)]

    def do(self, what: str, which: int) -> None:
        client = self.clients[which % 2]
        puppet = self.puppets[which % len(self.puppets)] if self.puppets else None
        if what in BY_A_RUN:
            if puppet is not None:
                puppet.do(*BY_A_RUN[what])
        elif what == "ask":
            if client.ended:
                client.ask(client.asked)
        elif what == "leave":
            client.leave()
        elif what in ("results", "wrong results", "other words"):
            if client.ended and calls_of(client.events):
                client.ask(self._behind(what, client))
        elif what == "expire":
            for run in self.upstream.parking.parked:
                run._scope.deadline = -math.inf
        else:
            assert isinstance(self.upstream.process, DirectBridge)
            self.upstream.process.end()

    def _behind(self, what: str, client: Client) -> Request:
        if what == "results":
            return results_for(client.asked, client.events)
        if what == "other words":
            return request(*client.asked.messages, turn(client.events), "Never mind.")
        return request(*client.asked.messages, turn(client.events), result("call_of_nobody", "ok"))


BY_A_RUN: dict[str, list[Step]] = {
    "say": [sdk.delta("Words. ")],
    "call": [Fire("read")],
    "calls": [Fire("read", {"path": "a"}, "same"), Fire("grep", {}, "same")],
    "unknown call": [Fire("format_disk")],
    "hang up": [HangUp()],
    "finish": [*FINISH],
    "refuse": [sdk.error_end("resource_exhausted", "Slow down", "RATE_LIMIT_EXCEEDED")],
    "cut": [Cut()],
}
ACTIONS = [*BY_A_RUN, "ask", "ask", "leave", "results", "results", "results", "wrong results", "other words", "expire", "the bridge ends"]


async def live(actions: list[tuple[str, int]]) -> None:
    puppets: list[Puppet] = []

    def script(run: FakeRun) -> list[Step]:
        puppets.append(Puppet())
        return puppets[-1].script(run)

    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=0.002, max_parked=1) as upstream, trio.open_nursery() as nursery:
        world = World(bridge, upstream, nursery, puppets)
        for what, which in actions:
            world.do(what, which)
            await trio.sleep(SETTLING_SECONDS)
        for client in world.clients:
            client.leave()
        await trio.sleep(SETTLING_SECONDS)
        world.do("expire", 0)
        await bridge.until(lambda: not upstream.parking.runs)
        await bridge.until(lambda: not bridge.left_behind())
        parking = upstream.parking
        assert (parking.runs, parking.parked, parking._by_call) == ((), (), {})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), min_size=1, max_size=14))
def test_whatever_happens_every_answer_ends_once_and_nothing_is_left_behind(actions):
    trio.run(live, [("ask", 0), *actions])


def test_the_worst_of_it_in_one_row():
    first = [
        ("ask", 0),
        ("ask", 1),
        ("calls", 0),
        ("call", 1),
        ("say", 0),
        ("results", 0),
        ("results", 1),
        ("call", 0),
        ("expire", 0),
        ("results", 0),
    ]
    trio.run(live, [*first, ("cut", 2), ("ask", 1), ("finish", 3), ("hang up", 0), ("the bridge ends", 0)])
