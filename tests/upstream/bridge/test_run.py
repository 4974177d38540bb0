"""Runs that call tools, over a fake bridge and real sockets: calls leave as an answer's end, and results go back to the same run."""

import gc
import tracemalloc

import msgspec
import trio

from pipeline.events import Finish, FinishReason, UsageReport
from pipeline.request import Grammar, ImagePart, Message, Options, Role, TextPart, Tool, ToolCall, ToolChoice, ToolMode
from pipeline.upstream.bridge.agent import Order
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import (
    ASKED,
    GREP,
    HELLO,
    KEY,
    LOOK,
    READ,
    Steps,
    answer,
    calls_of,
    direct_upstream,
    notices_of,
    request,
    result,
    results_for,
    text_of,
    turn,
    until_said,
    user,
)
from tests.support.composer_server import Pause
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_steps import Call, Calls, Fire, Say, Until
from tests.support.image_files import data_url, png


def image(width: int = 3, height: int = 2) -> ImagePart:
    return ImagePart(data_url(png(width, height)))


async def test_a_run_goes_on_with_the_results_of_its_tools():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        assert text_of(first) == "Let me look."
        (call,) = calls_of(first)
        assert (call.name, call.arguments, call.id[:5]) == ("read", '{"path":"a.py"}', "call_")
        assert first[-1] == Finish(FinishReason.TOOL_CALLS)
        assert not any(isinstance(event, UsageReport) for event in first)
        second = await answer(upstream, results_for(ASKED, first, "nothing in it"))
        assert text_of(second) == "It is empty."
        assert isinstance(second[-1], Finish)
        assert notices_of(second) == []
        assert [(each.text, each.is_error, each.id) for each in bridge.runs[0].results] == [("nothing in it", False, "tool_1\nfc_2")]
        assert bridge.agents[0].tools == ["mcp"]
        assert bridge.agents[0].custom_tools.keys() == {"read", "grep"}
        assert len(bridge.agents) == 1
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


async def test_the_usage_of_a_run_over_several_requests_is_told_in_words():
    used = {"inputTokens": 500, "outputTokens": 20, "cacheReadTokens": 100}
    script: Steps = [sdk.system(), Call("read"), sdk.delta("Done."), *sdk.finish("Done.", used=used)]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        second = await answer(upstream, results_for(ASKED, await answer(upstream, ASKED)))
        assert notices_of(second) == ["run_usage"]
        assert not any(isinstance(event, UsageReport) for event in second)


async def test_calls_side_by_side_leave_together_and_take_their_results_in_any_order():
    script: Steps = [
        sdk.system(),
        Calls(Call("read", {"path": "a"}), Call("read", {"path": "b"}), Call("grep")),
        sdk.delta("Done."),
        *sdk.finish("Done."),
    ]
    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        first = await answer(upstream, ASKED)
        calls = calls_of(first)
        assert sorted(call.arguments for call in calls) == ['{"path":"a"}', '{"path":"b"}', "{}"]
        results = [result(call.id, f"result of {call.name} {call.arguments}") for call in reversed(calls)]
        second = await answer(upstream, request(*ASKED.messages, turn(first), *results))
        assert text_of(second) == "Done."
        assert {each.text for each in bridge.runs[0].results} == {f"result of {call.name} {call.arguments}" for call in calls}
        for each in bridge.runs[0].results:
            assert msgspec.json.encode(each.args).decode() in each.text


async def test_calls_leave_in_the_order_in_which_the_model_began_them():
    begun = [sdk.custom_tool_started("read", {}, "tool_1"), sdk.custom_tool_started("grep", {}, "tool_2")]
    script: Steps = [sdk.system(), *begun, Fire("grep", {}, "tool_2"), Fire("write", {}), Pause(0.02), Fire("read", {}, "tool_1"), Pause(5)]
    asked = request("Look", tools=(READ, GREP, Tool("write")))
    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        assert [call.name for call in calls_of(await answer(upstream, asked))] == ["read", "grep", "write"]


async def test_a_run_that_waits_does_not_hold_what_it_was_sent():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        await answer(upstream, ASKED)
        tracemalloc.start()
        try:
            await answer(upstream, request("x" * 3_000_000, Message(Role.USER, (image(),))))
            gc.collect()
            ours = tracemalloc.take_snapshot().filter_traces(
                [tracemalloc.Filter(True, "*/pipeline/*"), tracemalloc.Filter(True, "*/httpx/*"), tracemalloc.Filter(True, "*/msgspec/*")]
            )
        finally:
            tracemalloc.stop()
        assert len(upstream.parking.parked) == 2
        assert sum(each.size for each in ours.traces) < 1_000_000
        assert not [each for each in gc.get_objects() if isinstance(each, Order)]


async def test_a_call_that_comes_late_is_the_next_answers():
    late = trio.Event()
    script: Steps = [sdk.system(), Fire("read"), Until(late), Fire("grep"), Say(lambda run: []), Pause(0.2), sdk.delta("Hm."), Until(trio.Event())]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, ASKED)
        assert [call.name for call in calls_of(first)] == ["read"]
        late.set()
        await bridge.until(lambda: len(bridge.runs[0].waiting) == 2)
        behind = results_for(ASKED, first)
        second = await answer(upstream, behind)
        assert [call.name for call in calls_of(second)] == ["grep"]
        third = upstream.stream(upstream.write(results_for(behind, second)), KEY)
        await until_said(third, "Hm.")
        await third.aclose()
        await bridge.until(lambda: not bridge.left_behind())
        assert len(bridge.agents) == 1


async def test_one_call_at_a_time_for_a_client_that_wants_it_so():
    script: Steps = [sdk.system(), sdk.delta("Both."), Calls(Call("read"), Call("grep")), sdk.delta("Done."), *sdk.finish("Done.")]
    asked = request("Look", options=Options(parallel_tool_calls=False))
    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=30.0) as upstream:
        first = await answer(upstream, asked)
        assert text_of(first) == "Both."
        assert len(calls_of(first)) == 1
        await bridge.until(lambda: len(upstream.parking.runs[0].calls) == 2)
        behind = results_for(asked, first)
        second = await answer(upstream, behind)
        assert {call.name for call in (*calls_of(first), *calls_of(second))} == {"read", "grep"}
        assert text_of(await answer(upstream, results_for(behind, second))) == "Done."
        assert len(bridge.agents) == 1


async def test_a_tool_that_was_not_offered_is_refused_to_the_agent_at_once():
    script: Steps = [sdk.system(), Call("format_disk"), Say(lambda run: [sdk.delta(run.results[0].text)]), *sdk.finish()]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        events = await answer(upstream, ASKED)
        assert text_of(events) == "There is no such tool."
        assert notices_of(events) == ["unknown_tool"]
        assert bridge.runs[0].results[0].is_error


async def test_a_request_that_forbids_calls_gets_an_agent_without_tools():
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        await answer(upstream, request("Hi", tool_choice=ToolChoice(ToolMode.NONE)))
        assert (bridge.agents[0].tools, bridge.agents[0].custom_tools) == ([], {})


async def test_custom_tools_are_functions_and_their_results_go_back():
    tool = Tool("patch", "Changes files.", custom=True, grammar=Grammar("lark", "start: /.+/"))
    script: Steps = [sdk.system(), Call("patch", {"input": "+ line"}), sdk.delta("Patched."), *sdk.finish("Patched.")]
    asked = request("Patch it", tools=(tool,))
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, asked)
        (call,) = calls_of(first)
        assert list(bridge.agents[0].custom_tools["patch"].input_schema["properties"]) == ["input"]
        kept = Message(Role.ASSISTANT, (), (ToolCall(call.id, "patch", "+ line", custom=True),))
        second = await answer(upstream, request(*asked.messages, kept, result(call.id, "ok"), tools=(tool,)))
        assert text_of(second) == "Patched."


async def test_images_go_to_a_fresh_agent_and_into_results():
    asked = request(user("What is this?", image(), image(5, 4)))
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge) as upstream:
        first = await answer(upstream, asked)
        assert [kind for kind, _ in bridge.runs[0].images] == ["image/png", "image/png"]
        (call,) = calls_of(first)
        shown = Message(Role.TOOL, (TextPart("a picture"), image(7, 7)), tool_call_id=call.id, is_error=True)
        await answer(upstream, request(*asked.messages, turn(first), shown))
        (given,) = bridge.runs[0].results
        assert [part["type"] for part in given.content] == ["text", "image"]
        assert given.content[1]["mimeType"] == "image/png"
        assert given.is_error


async def test_calls_with_the_same_id_or_none_are_told_apart():
    script: Steps = [
        sdk.system(),
        Calls(Call("read", {"path": "a"}, "same"), Call("read", {"path": "b"}, "same"), Call("grep")),
        sdk.delta("Ok."),
        *sdk.finish("Ok."),
    ]
    async with fake_bridge(script) as bridge, direct_upstream(bridge, gather_seconds=0.1) as upstream:
        first = await answer(upstream, ASKED)
        assert len({call.id for call in calls_of(first)}) == 3
        assert text_of(await answer(upstream, results_for(ASKED, first))) == "Ok."
