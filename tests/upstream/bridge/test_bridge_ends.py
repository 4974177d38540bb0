"""The SDK bridge as a program: what becomes of runs when it is killed, started again, or stopped with the gateway."""

import queue
import threading

import anyio
import pytest
import trio

from pipeline.credential import Credential, Kind
from pipeline.errors import (
    StreamCut,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.upstream.bridge.launch import Launch
from pipeline.upstream.bridge.states import State
from pipeline.upstream.http import open_client
from pipeline.upstream.sdk_bridge import SdkBridgeConfig, open_sdk_bridge
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import (
    ASKED,
    HELLO,
    KEY,
    LOOK,
    REPLAYED,
    Steps,
    answer,
    direct_upstream,
    failed,
    request,
    results_for,
    said,
    started_upstream,
    text_of,
    until_said,
)
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_steps import Call, Until


async def test_a_bridge_that_is_killed_while_a_run_waits_is_started_again_and_told_the_conversation():
    async with fake_bridge(LOOK, REPLAYED) as bridge, started_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        (run,) = upstream.parking.runs
        bridge.starts[0].kill()
        await bridge.until(lambda: run.state is State.LOST)
        second = await answer(upstream, results_for(ASKED, first, "nothing in it"))
        assert "the bridge ended" in said(second).detail
        assert "nothing in it" in bridge.runs[1].text
        assert len(bridge.starts) == 2
        assert not upstream.parking.runs


async def test_a_bridge_that_is_killed_in_the_text_ends_the_answer():
    async with fake_bridge([sdk.system(), sdk.delta("Half a"), Until(trio.Event())], HELLO) as bridge, started_upstream(bridge) as upstream:
        batches = upstream.stream(upstream.write(request("Hi")), KEY)
        await until_said(batches, "Half a")
        bridge.starts[0].kill()
        rest = [event async for batch in batches for event in batch]
        assert isinstance(failed(rest), StreamCut)
        assert text_of(await answer(upstream, request("Hi"))) == "Hello there."


async def test_a_run_that_is_lost_behind_its_results_is_told_again_within_the_same_request():
    script: Steps = [sdk.system(), Call("read"), Until(trio.Event())]
    async with fake_bridge(script, REPLAYED) as bridge, started_upstream(bridge) as upstream, trio.open_nursery() as nursery:
        behind = results_for(ASKED, await answer(upstream, ASKED))
        told = []

        async def ask() -> None:
            told.extend(await answer(upstream, behind))

        nursery.start_soon(ask)
        await bridge.until(lambda: bridge.runs[0].results)
        bridge.starts[0].kill()
        await bridge.until(lambda: told)
        assert text_of(told) == "Once more."
        assert "the bridge ended" in said(told).detail


async def test_a_bridge_that_ended_between_two_requests_is_started_for_the_next():
    async with fake_bridge(HELLO) as bridge, started_upstream(bridge) as upstream:
        assert text_of(await answer(upstream, request("Hi"))) == "Hello there."
        bridge.starts[0].kill()
        assert text_of(await answer(upstream, request("Hi"))) == "Hello there."
        assert len(bridge.starts) == 2


async def test_another_gateway_gets_the_results_of_a_run_that_it_does_not_know():
    async with fake_bridge(LOOK, REPLAYED) as bridge:
        async with started_upstream(bridge) as upstream:
            first = await answer(upstream, ASKED)
        assert bridge.starts[0].gone.is_set()
        async with started_upstream(bridge) as upstream:
            second = await answer(upstream, results_for(ASKED, first, "nothing in it"))
        assert text_of(second) == "Once more."
        assert "What is in a.py?" in bridge.runs[1].text
        assert "nothing in it" in bridge.runs[1].text
        assert bridge.left_behind() == []


async def test_leaving_ends_what_is_read_and_what_waits_at_once():
    async with fake_bridge(LOOK, [sdk.system(), sdk.delta("Half a"), Until(trio.Event())]) as bridge:
        async with started_upstream(bridge) as upstream:
            await answer(upstream, ASKED)
            batches = upstream.stream(upstream.write(request("Hi")), KEY)
            await until_said(batches, "Half a")
            left_at = trio.current_time()
        assert trio.current_time() - left_at < 2
        rest = [event async for batch in batches for event in batch]
        assert isinstance(failed(rest), UpstreamUnavailable)
        assert bridge.starts[0].gone.is_set()


async def test_what_came_before_the_end_and_was_not_read_is_not_read_any_more():
    spoken = trio.Event()
    script: Steps = [sdk.system(), sdk.delta("Half a"), Until(spoken), sdk.delta(" sentence"), Until(trio.Event())]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        batches = upstream.stream(upstream.write(request("Hi")), KEY)
        await until_said(batches, "Half a")
        (run,) = upstream.parking.runs
        spoken.set()
        await bridge.until(lambda: run._inbox._pieces)
        upstream.parking.stop()
        (rest,) = [batch async for batch in batches]
        assert isinstance(failed(rest), UpstreamUnavailable)


async def test_what_is_raised_around_it_comes_out_as_it_is():
    async with fake_bridge(HELLO) as bridge:
        with pytest.raises(LookupError, match="of the server"):
            async with started_upstream(bridge):
                raise LookupError("of the server")


async def test_a_program_that_is_not_there_is_told_to_the_client():
    config = SdkBridgeConfig(launch=Launch(command=("/no/such/program",)), credential=Credential(Kind.CALLER))
    async with open_client() as client, open_sdk_bridge("cursor", config, client) as upstream:
        assert isinstance(failed(await answer(upstream, request("Hi"))), UpstreamUnusable)


def test_it_runs_under_asyncio_too():
    ready: queue.SimpleQueue[tuple[FakeBridge, trio.lowlevel.TrioToken, trio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        async with fake_bridge(LOOK) as bridge:
            ready.put((bridge, trio.lowlevel.current_trio_token(), stop := trio.Event()))
            await stop.wait()

    async def ask(bridge: FakeBridge) -> None:
        async with started_upstream(bridge) as upstream:
            first = await answer(upstream, ASKED)
            assert text_of(await answer(upstream, results_for(ASKED, first))) == "It is empty."
            batches = upstream.stream(upstream.write(ASKED), KEY)
            await until_said(batches, "Let me look.")
            await batches.aclose()
            with anyio.fail_after(5):
                while upstream.parking.runs or bridge.left_behind():  # noqa: ASYNC110 - any state of any object
                    await anyio.sleep(0.005)
        assert [run.status for run in bridge.runs] == ["FINISHED", "CANCELLED"]

    served = threading.Thread(target=trio.run, args=(serve,))
    served.start()
    bridge, token, stop = ready.get(timeout=5)
    try:
        anyio.run(ask, bridge, backend="asyncio")
    finally:
        token.run_sync_soon(stop.set)
        served.join()
