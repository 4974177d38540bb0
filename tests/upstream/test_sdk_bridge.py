"""The SDK bridge as an upstream, over a fake bridge and real sockets: single answers, their faults, and clients that leave."""

import msgspec
import pytest
import trio

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import (
    AuthenticationError,
    ContextLengthExceeded,
    ModelNotFound,
    RateLimited,
    RequestError,
    StreamCut,
    UnsupportedParameter,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import Finish, FinishReason, Progress, TextDelta, ThinkingDelta, UsageReport
from pipeline.flow import Exchange, Terms, collect
from pipeline.prompt.window import Overflow
from pipeline.request import ImagePart, Message, OpaquePart, Options, Role, TextPart, Tool
from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import (
    HELLO,
    KEY,
    LOOK,
    Steps,
    answer,
    calls_of,
    direct_upstream,
    failed,
    notices_of,
    request,
    results_for,
    text_of,
)
from tests.support.composer_server import Cut, Late, Pause, Reply
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.fake_bridge_steps import Call, Script, Until

# -- a request without tools


async def test_a_text_goes_to_a_fresh_agent_and_nothing_of_it_stays():
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        events = await answer(upstream, request("Hi", tools=()))
        assert [event for event in events if isinstance(event, ThinkingDelta | TextDelta)] == [
            ThinkingDelta("Hm. "),
            TextDelta("Hello "),
            TextDelta("there."),
        ]
        assert isinstance(events[-1], Finish)
        assert events[-1].reason is FinishReason.STOP
        (agent,) = bridge.agents
        assert (agent.key, agent.model, agent.params, agent.tools, agent.custom_tools) == (KEY, "composer-2.5", {"fast": "false"}, [], {})
        assert bridge.runs[0].text == "Hi"
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)
        assert bridge.to("CancelRun") == []


async def test_a_whole_exchange_has_the_usage_that_the_bridge_measured():
    script: Steps = [sdk.system(), sdk.delta("Hi"), *sdk.finish("Hi", used={"inputTokens": 90, "outputTokens": 7})]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        events = await answer(upstream, request("Hi", tools=()))
        (report,) = [event for event in events if isinstance(event, UsageReport)]
        assert (report.prompt_tokens, report.completion_tokens, report.estimated) == (90, 7, False)


async def test_silence_is_an_empty_list_and_data_that_says_nothing_is_progress():
    script: Steps = [sdk.system(), Pause(0.3), sdk.delta("Hi"), *sdk.finish("Hi")]
    async with fake_bridge(script, keepalive_seconds=0.02) as bridge, direct_upstream(bridge, silence_seconds=0.1) as upstream:
        batches = [batch async for batch in upstream.stream(upstream.write(request("Hi", tools=())), KEY)]
        assert batches[0] == [Progress()]
        assert [TextDelta("Hi")] in batches
        assert all(batch == [] or batch[0] is not None for batch in batches)


@pytest.mark.parametrize(
    ("model", "told", "params"),
    [
        ("composer-2.5", "composer-2.5", {"fast": "false"}),
        ("cursor/composer-2-5-fast", "composer-2.5", {"fast": "true"}),
        ("auto", "composer-2.5", {"fast": "false"}),
    ],
)
async def test_the_models_of_composer_are_known_without_the_list(model, told, params):
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        await answer(upstream, request("Hi", model=model))
        assert (bridge.agents[0].model, bridge.agents[0].params) == (told, params)
        assert bridge.to("ListModels") == []


async def test_another_model_is_looked_up_once_for_a_key():
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        listing = await upstream.list_models(KEY)
        other = next(model.id for model in listing.models if not model.id.startswith("composer-2.5"))
        for _ in range(2):
            await answer(upstream, request("Hi", model=other))
        assert bridge.agents[0].model in {row["id"] for row in bridge.models}
        assert len(bridge.to("ListModels")) == 1
        assert (await upstream.list_models(KEY)).is_kept
        await upstream.list_models("another-key-0123456789")
        assert len(bridge.to("ListModels")) == 2


async def test_a_model_that_nobody_knows_is_the_bridges_to_refuse():
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        assert isinstance(failed(await answer(upstream, request("Hi", model="gpt-99"))), ModelNotFound)
        assert bridge.runs == []


async def test_models_and_identity_are_asked_with_the_callers_key():
    async with fake_bridge(HELLO, keys={KEY}) as bridge, direct_upstream(bridge, context_window=9_000) as upstream:
        assert (await upstream.me(KEY)).key_name == "penstock-test"
        assert (await upstream.version()).protocol == "sdk.v1"
        listing = await upstream.list_models(KEY)
        assert "composer-2.5-fast" in [model.id for model in listing.models]
        assert {model.context_window for model in listing.models} == {9_000}
        assert isinstance((await upstream.list_models("wrong-key-0123456789")).error, AuthenticationError)
        assert isinstance((await upstream.list_models(None)).error, AuthenticationError)
        with pytest.raises(AuthenticationError):
            await upstream.me("wrong-key-0123456789")
        assert upstream.find_model("some-new-model") is not None
        assert upstream.find_model("x" * 300) is None


@pytest.mark.parametrize("size", [100_000, 15_000_000])
async def test_a_call_may_be_large_and_so_may_its_result(size):
    content, found = "x" * size, "y" * 10_000_000
    script: Steps = [sdk.system(), Call("read", {"path": content}, "tool_1"), sdk.delta("Done."), *sdk.finish("Done.")]
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        asked = request("Read it.")
        first = await answer(upstream, asked)
        (call,) = calls_of(first)
        assert msgspec.json.decode(call.arguments) == {"path": content}
        second = await answer(upstream, results_for(asked, first, found))
        assert (text_of(second), notices_of(second)) == ("Done.", [])
        assert [given.text == found for given in bridge.runs[0].results] == [True]


# -- faults


@pytest.mark.parametrize(
    ("key", "credential", "error"),
    [
        (None, Credential(Kind.CALLER), AuthenticationError),
        ("psk_4f9a0c77", Credential(Kind.CALLER), AuthenticationError),
        ("wrong-key-0123456789", Credential(Kind.CALLER), AuthenticationError),
        (None, Credential(Kind.OWN, Secret("wrong-key-0123456789")), UpstreamUnusable),
        (None, Credential(), UpstreamUnusable),
    ],
)
async def test_a_key_that_is_missing_or_refused(key, credential, error):
    async with fake_bridge(HELLO, keys={KEY}) as bridge, direct_upstream(bridge, credential=credential) as upstream:
        events = await answer(upstream, request("Hi"), key)
        assert type(failed(events)) is error
        assert "wrong-key" not in repr(events)
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([error_reply("resource_exhausted", "Slow down", "RATE_LIMIT_EXCEEDED")], RateLimited),
        ([sdk.error_end("resource_exhausted", "Slow down", "RATE_LIMIT_EXCEEDED")], RateLimited),
        ([sdk.system(), Cut()], StreamCut),
        ([Reply(404)], UpstreamUnusable),
        ([Late(0.05), Reply(503, b"<html>no</html>")], UpstreamUnavailable),
    ],
)
async def test_an_answer_that_fails_before_it_begins(script: Script, error):
    async with fake_bridge(script) as bridge, direct_upstream(bridge) as upstream:
        events = await answer(upstream, request("Hi"))
        assert type(failed(events)) is error
        assert len(events) == 1
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


async def test_an_answer_that_is_cut_keeps_what_came():
    async with fake_bridge([sdk.system(), sdk.delta("Half a"), Cut()]) as bridge, direct_upstream(bridge) as upstream:
        events = await answer(upstream, request("Hi"))
        assert text_of(events) == "Half a"
        assert isinstance(failed(events), StreamCut)
        await bridge.until(lambda: not bridge.left_behind())


@pytest.mark.parametrize("fault", [[error_reply("internal", "Network request failed")], [Cut()], [Late(0.05), Reply(200, b"not JSON")]])
async def test_an_agent_that_cannot_be_made(fault):
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        bridge.faults["CreateAgent"] = [fault]
        failed(await answer(upstream, request("Hi")))
        await bridge.until(lambda: bridge.to("CloseAgent"))
        assert (bridge.runs, bridge.to("DeleteAgent")) == ([], [])
        assert text_of(await answer(upstream, request("Hi"))) == "Hello there."
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)


async def test_what_cannot_be_written_is_refused():
    opaque = Message(Role.USER, (OpaquePart("file", {}, "messages[0].content[0]"),))
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge, context_window=1_000, context_overflow=Overflow.ERROR) as upstream:
        with pytest.raises(UnsupportedParameter):
            upstream.write(request(opaque))
        with pytest.raises(RequestError):
            upstream.write(request(Message(Role.USER, (ImagePart("https://example.com/a.png"),))))
        with pytest.raises(ContextLengthExceeded):
            upstream.write(request("word " * 4_000))


# -- the window of the model


async def test_results_that_are_too_long_for_a_fresh_agent_go_to_the_run_that_waits():
    async with fake_bridge(LOOK) as bridge, direct_upstream(bridge, context_window=2_000, context_overflow=Overflow.ERROR) as upstream:
        asked = request("Look")
        behind = results_for(asked, await answer(upstream, asked), "data " * 3_000)
        assert isinstance(failed(await answer(upstream, behind, "another-key-0123456789")), ContextLengthExceeded)
        second = await answer(upstream, behind)
        assert (text_of(second), notices_of(second)) == ("It is empty.", [])
        with pytest.raises(ContextLengthExceeded):
            upstream.write(behind)


async def test_only_what_a_fresh_agent_is_told_is_shortened():
    async with fake_bridge(LOOK, HELLO) as bridge, direct_upstream(bridge, context_window=6_000, context_overflow=Overflow.TRIM) as upstream:
        asked = request("old " * 2_500, Message(Role.ASSISTANT, (TextPart("Fine."),)), "Look", options=Options(max_tokens=500))
        behind = results_for(asked, await answer(upstream, asked), "data " * 2_600)
        assert "old old" in upstream.write(behind).prompt
        fresh = await answer(upstream, behind, "another-key-0123456789")
        assert (text_of(fresh), notices_of(fresh)) == ("Hello there.", ["context_trimmed"])
        assert "old old" not in bridge.runs[1].text
        second = await answer(upstream, behind)
        assert (text_of(second), notices_of(second)) == ("It is empty.", [])


async def test_a_tool_whose_name_the_bridge_would_lose_is_the_clients_to_rename():
    async with fake_bridge(HELLO) as bridge, direct_upstream(bridge) as upstream:
        error = failed(await answer(upstream, request("Hi", tools=(Tool("read"), Tool("__proto__")))))
        assert (type(error), error.param) == (UnsupportedParameter, "tools[1].name")
        await bridge.until(lambda: not upstream.parking.runs)
        assert bridge.calls == []


# -- a client that leaves


@pytest.mark.parametrize("when", ["making", "before the head", "before the id", "before a word", "in the text"])
async def test_a_client_that_leaves_has_its_run_cancelled_and_does_not_wait_for_it(when):
    never, late = trio.Event(), trio.Event()
    scripts: dict[str, Script] = {
        "making": [sdk.system(), Until(never)],
        "before the head": [Late(0.1), sdk.system(), Until(never)],
        "before the id": [Until(late), sdk.system(), Until(never)],
        "before a word": [sdk.system(), Until(never)],
        "in the text": [sdk.system(), sdk.delta("Some words"), Until(never)],
    }
    async with fake_bridge(scripts[when]) as bridge, direct_upstream(bridge) as upstream:
        if when == "making":
            bridge.faults["CreateAgent"] = [[Late(0.1), Reply(200, b'{"agentId": "agent-of-the-fake"}')]]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, upstream, request("Hi"))
            await bridge.until(lambda: bridge.to("CreateAgent") if when == "making" else bridge.runs)
            if when in ("before a word", "in the text"):
                await bridge.until(lambda: upstream.parking.runs[0]._decoder.run_id)
            left_at = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - left_at < 0.09
        late.set()
        await bridge.until(lambda: not bridge.left_behind() and not upstream.parking.runs)
        if when == "making":
            assert bridge.runs == []
            await bridge.until(lambda: bridge.to("CloseAgent"))
            assert bridge.to("CloseAgent")[0].body == {"agentId": "agent-of-the-fake"}
        else:
            await bridge.until(lambda: bridge.to("DeleteAgent"))
            assert [run.status for run in bridge.runs] == ["CANCELLED"]


async def test_an_answer_that_is_ended_early_has_its_run_cancelled():
    async with fake_bridge([sdk.system(), sdk.delta("One two STOP three"), Until(trio.Event())]) as bridge, direct_upstream(bridge) as upstream:
        asked = request("Count", tools=(), options=Options(stop=("STOP",)))
        body, _ = await collect(await Exchange.prepared(asked, upstream, Terms(), key=KEY))
        assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "One two "
        await bridge.until(lambda: not bridge.left_behind() and bridge.runs[0].status == "CANCELLED")


async def test_a_stop_does_not_wait_for_removals():
    async with fake_bridge(HELLO) as bridge:
        bridge.faults["CloseAgent"] = [[Late(60), Cut()]]
        async with direct_upstream(bridge) as upstream:
            await answer(upstream, request("Hi", tools=()))
            await bridge.until(lambda: bridge.to("CloseAgent"))
            assert upstream.parking.runs == ()
            began = trio.current_time()
        assert trio.current_time() - began < 0.5
