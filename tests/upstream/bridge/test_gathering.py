"""Calls wait for others while there are any, and no longer than so long."""

import math

import pytest
import trio

from pipeline.upstream.bridge.gathering import MOST_SECONDS, Gathering
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import ASKED, Steps, answer, calls_of, direct_upstream
from tests.support.composer_server import Pause
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_steps import Fire


async def test_each_sign_of_work_makes_it_longer_up_to_a_limit(autojump_clock):
    gathering, began = Gathering(0.2), trio.current_time()
    assert gathering.until == math.inf
    for _ in range(100):
        gathering.wait(parallel=True)
        assert gathering.until == pytest.approx(min(trio.current_time() + 0.2, began + MOST_SECONDS))
        await trio.sleep(0.1)
    gathering.end()
    assert gathering.until == math.inf
    gathering.wait(parallel=True)
    assert gathering.until == pytest.approx(trio.current_time() + 0.2)


async def test_a_client_that_wants_one_call_at_a_time_does_not_wait(autojump_clock):
    gathering = Gathering(0.2)
    gathering.wait(parallel=False)
    assert gathering.until == trio.current_time()


async def test_more_seconds_than_the_limit_are_what_was_set(autojump_clock):
    gathering = Gathering(2 * MOST_SECONDS)
    gathering.wait(parallel=True)
    assert gathering.until == pytest.approx(trio.current_time() + 2 * MOST_SECONDS)


@pytest.mark.parametrize("sign", [sdk.unknown(), sdk.step_started(), sdk.status("RUNNING")])
async def test_what_is_no_work_of_the_models_keeps_no_call_back(sign):
    chatter: Steps = [step for _ in range(60) for step in (sign, Pause(0.01))]
    async with fake_bridge([sdk.system(), Fire("read"), *chatter]) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        with trio.fail_after(0.4):
            assert len(calls_of(await answer(upstream, ASKED))) == 1
