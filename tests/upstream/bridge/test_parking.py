"""Requests that bring results of tools, and which of them go on with the run that waits for them."""

import msgspec
import pytest
import trio

from pipeline.request import AnswerFormat, ImagePart, Message, Options, Role, ToolChoice, ToolMode
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import (
    ASKED,
    GREP,
    KEY,
    LOOK,
    READ,
    REPLAYED,
    Steps,
    answer,
    calls_of,
    direct_upstream,
    notices_of,
    request,
    result,
    results_for,
    said,
    text_of,
    turn,
    until_said,
    user,
)
from tests.support.composer_server import Cut, Pause
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.fake_bridge_steps import Call, Calls, Fire, HangUp, Until
from tests.support.image_files import data_url, png


def changed_messages(events, asked=ASKED):
    return request("What is in b.py?", turn(events), *(result(call.id, "ok") for call in calls_of(events)))


CHANGES = {
    "an earlier message is another one": changed_messages,
    "the results are not those of all": lambda events: request(*ASKED.messages, turn(events), result("call_of_nobody", "ok")),
    "each one once": lambda events: request(*results_for(ASKED, events).messages, result(calls_of(events)[0].id, "again")),
    "something else than the results": lambda events: request(*ASKED.messages, turn(events), "Never mind."),
    "stands behind them": lambda events: request(*results_for(ASKED, events).messages, user("And this?", ImagePart(data_url(png(3, 2))))),
    "the model is another one": lambda events: results_for(ASKED, events, model="composer-2.5-fast"),
    "the tools are other ones": lambda events: results_for(ASKED, events, tools=(READ,)),
    "are other ones": lambda events: results_for(ASKED, events, tools=(msgspec.structs.replace(READ, parameters={"type": "object"}), GREP)),
    "`tool_choice`": lambda events: results_for(ASKED, events, tool_choice=ToolChoice(ToolMode.REQUIRED)),
    "`response_format`": lambda events: results_for(ASKED, events, options=Options(answer_format=AnswerFormat("json_object"))),
    "or is gone": lambda events: request("Be brief.", *results_for(ASKED, events).messages),
}


@pytest.mark.parametrize("why", CHANGES)
async def test_a_conversation_that_goes_on_otherwise_is_told_to_a_fresh_agent(why):
    async with fake_bridge(LOOK, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        changed = CHANGES[why](first)
        second = await answer(upstream, changed)
        assert why in said(second).detail
        assert text_of(second) == "Once more."
        assert len(bridge.agents) == 2
        assert bridge.runs[0].status == "CANCELLED"
        assert changed.messages[0].text in bridge.runs[1].text
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


async def test_a_users_text_behind_the_results_goes_to_the_run_with_them():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        second = await answer(upstream, request(*results_for(ASKED, first).messages, "And quickly."))
        assert (text_of(second), notices_of(second)) == ("It is empty.", ["text_with_results"])
        assert [part["text"] for part in bridge.runs[0].results[0].content] == ["ok", "\n\nUSER: And quickly."]
        assert len(bridge.agents) == 1


async def test_a_request_beside_the_conversation_leaves_the_run_alone():
    async with fake_bridge(LOOK, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        behind = results_for(ASKED, first)
        title = await answer(upstream, request("You write titles.", *behind.messages, "Write one.", tools=()))
        assert (text_of(title), notices_of(title)) == ("Once more.", ["run_replayed"])
        assert text_of(await answer(upstream, behind)) == "It is empty."


async def test_an_answer_that_is_echoed_as_several_messages_goes_on():
    script: Steps = [sdk.system(), sdk.delta("Look."), Calls(Call("read"), Call("grep")), sdk.delta("Done."), *sdk.finish("Done.")]
    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        first = turn(await answer(upstream, ASKED))
        rows: list[Message] = [Message(Role.ASSISTANT, first.parts)]
        for call in first.tool_calls:
            rows += [Message(Role.ASSISTANT, (), (call,)), result(call.id, "ok")]
        second = await answer(upstream, request(*ASKED.messages, *rows))
        assert (text_of(second), notices_of(second)) == ("Done.", [])


async def test_a_stream_that_is_cut_behind_many_keep_alives_is_noticed():
    cut = trio.Event()
    script: Steps = [sdk.system(), Fire("read"), Until(cut), Cut(), Until(trio.Event())]
    async with fake_bridge(script, REPLAYED, keepalive_seconds=0.002) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        await trio.sleep(0.2)
        assert len(upstream.parking.parked) == 1
        cut.set()
        await bridge.until(lambda: not upstream.parking.parked)
        assert "the bridge ended" in said(await answer(upstream, results_for(ASKED, first))).detail


async def test_another_key_reaches_no_run_and_disturbs_none():
    async with fake_bridge(LOOK, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        behind = results_for(ASKED, first)
        stranger = await answer(upstream, behind, "the-key-of-another-one")
        assert (text_of(stranger), notices_of(stranger)) == ("Once more.", [])
        assert bridge.agents[1].key == "the-key-of-another-one"
        assert text_of(await answer(upstream, behind)) == "It is empty."


async def test_a_choice_that_was_carried_out_may_be_dropped():
    asked = request("What is in a.py?", tool_choice=ToolChoice(ToolMode.FUNCTION, "read"))
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        assert text_of(await answer(upstream, results_for(asked, await answer(upstream, asked)))) == "It is empty."
        assert len(bridge.agents) == 1


async def test_a_retry_of_the_same_results_while_the_first_streams_is_a_fresh_agents():
    script: Steps = [sdk.system(), Call("read"), sdk.delta("Slowly "), Until(go := trio.Event()), sdk.delta("done."), *sdk.finish("Slowly done.")]
    async with fake_bridge(script, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        behind = results_for(ASKED, await answer(upstream, ASKED))
        first = upstream.stream(upstream.write(behind), KEY)
        await until_said(first, "Slowly ")
        retry = await answer(upstream, behind)
        assert text_of(retry) == "Once more."
        assert "the results were brought before" in said(retry).detail
        go.set()
        await until_said(first, "done.")
        await first.aclose()


async def test_results_that_nobody_waited_for_any_longer_are_told_to_a_fresh_agent():
    async with fake_bridge(LOOK, REPLAYED) as bridge, direct_upstream(bridge, park_seconds=0.05) as upstream:
        first = await answer(upstream, ASKED)
        await bridge.until(lambda: not upstream.parking.runs and bridge.runs[0].status == "CANCELLED")
        second = await answer(upstream, results_for(ASKED, first, "nothing in it"))
        assert "did not come in time" in said(second).detail
        assert "nothing in it" in bridge.runs[1].text
        await bridge.until(lambda: not bridge.left_behind())


async def test_calls_that_the_bridge_gives_up_while_they_wait_end_the_run():
    script: Steps = [sdk.system(), Fire("read"), Until(go := trio.Event()), HangUp(), Until(trio.Event())]
    async with fake_bridge(script, REPLAYED) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        go.set()
        await bridge.until(lambda: not upstream.parking.runs and bridge.runs[0].status == "CANCELLED")
        assert "withdrawn" in said(await answer(upstream, results_for(ASKED, first))).detail
        await bridge.until(lambda: not bridge.left_behind())


async def test_of_too_many_waiting_runs_the_oldest_is_given_up():
    asked = [request(f"Question {number}") for number in range(3)]
    async with fake_bridge(LOOK, LOOK, LOOK, REPLAYED) as bridge, direct_upstream(bridge, max_parked=2) as upstream:
        answers = [await answer(upstream, each) for each in asked]
        assert len(upstream.parking.parked) == 2
        assert text_of(await answer(upstream, results_for(asked[1], answers[1]))) == "It is empty."
        assert "too many" in said(await answer(upstream, results_for(asked[0], answers[0]))).detail
        assert text_of(await answer(upstream, results_for(asked[2], answers[2]))) == "It is empty."


async def test_two_clients_with_the_same_words_have_a_run_each():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        answers = [await answer(upstream, ASKED) for _ in range(2)]
        for number in (1, 0):
            behind = results_for(ASKED, answers[number], f"result {number}")
            assert text_of(await answer(upstream, behind)) == "It is empty."
            assert bridge.runs[number].results[0].text == f"result {number}"
        assert len(bridge.agents) == 2


async def test_an_agent_that_nobody_knows_and_one_whose_run_is_over_get_an_error():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        callbacks = bridge.direct.callbacks
        assert callbacks is not None
        told = await callbacks.call(Call("read"), "agent-of-nobody")
        assert (told.status, told.is_error) == (200, True)
        await answer(upstream, results_for(ASKED, await answer(upstream, ASKED)))
        told = await callbacks.call(Call("read"), bridge.agents[0].id)
        assert (told.status, told.is_error) == (200, True)


async def test_the_time_for_results_is_no_limit_of_what_comes_behind_them():
    script: Steps = [sdk.system(), Call("read"), Pause(0.4), sdk.delta("Done."), *sdk.finish("Done.")]
    async with fake_bridge(script) as bridge, direct_upstream(bridge, park_seconds=0.3) as upstream:
        assert text_of(await answer(upstream, results_for(ASKED, await answer(upstream, ASKED)))) == "Done."


async def test_a_call_is_answered_even_where_its_run_cannot_be_cancelled():
    script: Steps = [sdk.system(), Call("read"), sdk.delta("Then not."), *sdk.finish("Then not.")]
    async with fake_bridge(script) as bridge, direct_upstream(bridge, park_seconds=0.05) as upstream:
        bridge.faults["CancelRun"] = [[error_reply("internal", "Something broke")]] * 6
        await answer(upstream, ASKED)
        await bridge.until(lambda: bridge.runs[0].results)
        (given,) = bridge.runs[0].results
        assert (given.status, given.is_error, given.text) == (200, True, "The result did not come.")
