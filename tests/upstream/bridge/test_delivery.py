"""Runs whose calls do not reach the client, over the flow that ends an answer: they are given up at once, and a second attempt is a fresh agent's."""

from typing import Any

import pytest

from pipeline.errors import AnswerUnsatisfied
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.request import AnswerFormat, Options, Request, ToolChoice, ToolMode
from pipeline.upstream.sdk_bridge import SdkBridgeUpstream
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import ASKED, KEY, LOOK, REPLAYED, Steps, answer, direct_upstream, notices_of, request, results_for, said, text_of
from tests.support.composer_server import Pause
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_steps import Call, Calls

TWO: Steps = [sdk.system(), Calls(Call("grep", {"pattern": "x" * 40}), Call("read", {"path": "y " * 400})), sdk.delta("Done."), *sdk.finish("Done.")]
REFUSED = request("Look", tool_choice=ToolChoice(ToolMode.FUNCTION, "grep"))
CUT = request("Look", options=Options(max_tokens=20))


async def whole(upstream: SdkBridgeUpstream, asked: Request, **terms: Any) -> Any:
    return (await collect(Exchange(asked, upstream, Terms(**terms), key=KEY)))[1]


async def read_as_stream(upstream: SdkBridgeUpstream, asked: Request) -> None:
    opened = await open_stream(Exchange(asked, upstream, Terms(), key=KEY))
    async for _ in opened.pieces:
        pass
    await opened.aclose()


async def test_an_answer_that_is_refused_leaves_no_run():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge, max_parked=1) as upstream:
        with pytest.raises(AnswerUnsatisfied):
            await whole(upstream, REFUSED, strict_tool_choice=True)
        assert upstream.parking.parked == ()
        assert len(bridge.agents) == 2  # it was asked again
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_is_cut_at_its_limit_leaves_no_run(streams):
    async with fake_bridge(TWO) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        await (read_as_stream if streams else whole)(upstream, CUT)
        assert upstream.parking.parked == ()
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


async def test_an_answer_whose_calls_left_keeps_its_run():
    async with fake_bridge(TWO) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        assert len((await whole(upstream, request("Look"))).calls) == 2
        assert len(upstream.parking.parked) == 1
        await read_as_stream(upstream, request("Look", stream=True))
        assert len(upstream.parking.parked) == 2


async def test_a_part_of_the_calls_is_not_enough_and_results_that_come_all_the_same_hear_why():
    script: Steps = [sdk.system(), Call("read"), Pause(5)]
    async with fake_bridge(script, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        (run,) = upstream.parking.parked
        run.settle(["call_of_another"])
        assert upstream.parking.parked == ()
        assert "not all of them" in said(await answer(upstream, results_for(ASKED, first))).detail


async def test_a_second_attempt_claims_no_run_and_blames_nobody():
    form = Options(answer_format=AnswerFormat("json_object"))
    asked = request("Look", options=form)
    first_run: Steps = [sdk.system(), Call("read"), sdk.delta("no JSON"), *sdk.finish("no JSON")]
    second_run: Steps = [sdk.system(), sdk.delta('{"a":1}'), *sdk.finish('{"a":1}')]
    async with fake_bridge(first_run, second_run) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, asked)
        given = await whole(upstream, results_for(asked, first))
        assert [notice.code for notice in given.notices] == ["asked_again"]
        assert len(bridge.agents) == 2


async def test_the_first_attempts_run_is_gone_on_with():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        second = await answer(upstream, results_for(ASKED, await answer(upstream, ASKED)))
        assert (text_of(second), notices_of(second)) == ("It is empty.", [])
