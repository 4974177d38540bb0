"""OpenAIResponsesUpstream over real sockets: what it sends, and what becomes of what comes back.

What it has in common with the upstream by Chat Completions is in test_openai_http.py and test_openai_chat.py.
"""

import json
from contextlib import aclosing

import pytest
import trio

from pipeline.errors import RateLimited, RequestError, StreamCut
from pipeline.events import Failed, Finish, FinishReason, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UsageReport
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.prompt.chat_body import ChatProfile
from pipeline.request import Grammar, Message, Options, Request, Role, TextPart, Tool
from pipeline.upstream.openai_responses import OpenAIResponsesConfig, OpenAIResponsesUpstream
from tests.support.chat_bodies import TOOL, WEATHER, parse
from tests.support.composer_server import Cut, Pause, Reply
from tests.support.openai_server import openai_server
from tests.support.responses_events import ENDPOINT, called, completed, custom_call, event, function_call, message, spoken, text, usage
from tests.support.responses_scripts import PATCH, PATCHED, in_pieces
from tests.support.splits import random_edges
from tests.upstream.test_openai_chat import OWN, direct, fault, flat

CALL = function_call("get_weather", '{"city":"Oban"}')
HELLO = parse()
APPLY_PATCH = Tool("ApplyPatch", "Changes files", custom=True, grammar=Grammar("lark", "start: /.+/"))
FIX_IT = Request("gpt-5.2", (Message(Role.USER, (TextPart("Fix it"),)),), (APPLY_PATCH,))


async def ask(script, request=HELLO, *, credential=OWN, key=None, **options):
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        config = OpenAIResponsesConfig(server.origin, credential, **options)
        upstream = OpenAIResponsesUpstream("gpt", config, client, new_id=lambda: "made_1")
        async with aclosing(upstream.stream(upstream.write(request), key)) as batches:
            return [batch async for batch in batches], server.requests


async def test_an_answer_with_all_that_belongs_to_it():
    request = parse(tools=[TOOL], temperature=0.5, seed=1, api_base="https://evil.example")
    script = [b"".join(spoken(["On it."])), Pause(0.02), b"".join(called(CALL, ['{"city"', ':"Oban"}'], 1)), completed(usage=usage(9, 3))]
    batches, (received,) = await ask(script, request)
    assert flat(batches) == [
        TextDelta("On it."),
        ToolCallStart(0, "call_1", "get_weather"),
        ToolCallDelta(0, '{"city"'),
        ToolCallDelta(0, ':"Oban"}'),
        ToolCallEnd(0),
        UsageReport(9, 3, estimated=False),
        Finish(FinishReason.TOOL_CALLS, "completed"),
    ]
    assert received.path == ENDPOINT
    assert received.json == {
        "model": "composer-2.5",
        "input": [{"type": "message", "role": "user", "content": "Hello"}],
        "store": False,
        "stream": True,
        "tools": [{"type": "function", **WEATHER, "strict": False}],
        "temperature": 0.5,
    }


async def test_what_has_no_effect_is_named_when_the_request_is_written():
    async with direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig("https://a.example"), client)
        outgoing = upstream.write(parse(seed=1, stop=["x"], messages=[{"role": "user", "content": "Hi", "cache_control": {}}]))
    assert outgoing.ignored == ("seed", "messages.cache_control")
    assert outgoing.stops == ("x",)
    assert [notice.detail for notice in outgoing.notices] == ["seed is not known to the Responses API"]


@pytest.mark.parametrize(("effort", "asked", "told"), [(True, True, False), (True, False, True), (False, True, True)])
async def test_a_summary_that_is_asked_for_is_not_named_as_ignored(effort, asked, told):
    request = parse(reasoning={"effort": "low" if asked else "none", "summary": "auto"})
    async with direct() as client:
        config = OpenAIResponsesConfig("https://a.example", OWN, profile=ChatProfile(reasoning_effort=effort))
        outgoing = OpenAIResponsesUpstream("gpt", config, client).write(request)
    assert ("summary" in json.loads(outgoing.body).get("reasoning", {})) is not told
    assert ("reasoning.summary" in outgoing.ignored) is told


async def test_an_answer_ends_at_a_stop_text_although_the_api_has_none():
    async with openai_server([text("One two ST"), text("OP three"), completed()], ENDPOINT) as server, direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig(server.origin, OWN), client)
        _, whole = await collect(Exchange(parse(stop="STOP"), upstream, Terms()))
    assert (whole.text, whole.reason) == ("One two ", FinishReason.STOP)
    assert "stop" not in server.requests[0].json


@pytest.mark.parametrize("native", [True, False])
async def test_a_custom_tool_s_call_is_raw_text_for_the_client_whatever_the_upstream_takes(native):
    wrapped = function_call("ApplyPatch", json.dumps({"input": PATCH}))
    item = PATCHED if native else wrapped
    script = [*called(item, in_pieces(item["input" if native else "arguments"])), completed(item)]
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        config = OpenAIResponsesConfig(server.origin, OWN, profile=ChatProfile(custom_tools=native))
        _, whole = await collect(Exchange(FIX_IT, OpenAIResponsesUpstream("gpt", config, client), Terms()))
    assert server.requests[0].json["tools"][0]["type"] == ("custom" if native else "function")
    assert [(call.name, call.arguments) for call in whole.calls] == [("ApplyPatch", PATCH)]


async def test_through_the_flow_streamed_and_whole():
    async with openai_server([*called(CALL, []), completed(CALL)], ENDPOINT) as server, direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig(server.origin, OWN), client)
        exchange = Exchange(parse(tools=[TOOL]), upstream, Terms(), model="gpt-5.2")
        answer = await open_stream(exchange)
        streamed = b"".join([piece async for piece in answer.pieces])
        await answer.aclose()
        _, whole = await collect(exchange)
    assert [received.json["model"] for received in server.requests] == ["gpt-5.2", "gpt-5.2"]
    assert b'"finish_reason":"tool_calls"' in streamed
    assert [(made.id, made.arguments) for made in whole.calls] == [("call_1", '{"city":"Oban"}')]


async def test_a_fault_before_the_first_event_is_raised_by_the_flow():
    async with openai_server([event("error", code="rate_limit_exceeded", message="x")], ENDPOINT) as server, direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig(server.origin, OWN), client)
        with pytest.raises(RateLimited):
            await open_stream(Exchange(HELLO, upstream, Terms()))


async def test_an_http_error_and_a_cut():
    batches, _ = await ask([Reply(400, b'{"error":{"message":"no such item","type":"invalid_request_error","param":"input[0]"}}')])
    assert (type(fault(batches)), fault(batches).param) == (RequestError, "input[0]")
    batches, _ = await ask([text("x"), Cut()])
    assert flat(batches)[0] == TextDelta("x")
    assert isinstance(fault(batches), StreamCut)


async def test_a_whole_answer_although_a_stream_was_asked_for():
    batches, _ = await ask([Reply(200, json.dumps({"status": "completed", "output": [message("x")]}).encode(), {"content-type": "application/json"})])
    assert flat(batches) == [TextDelta("x"), Finish(FinishReason.STOP, "completed")]


async def test_a_client_that_leaves_takes_the_upstream_with_it():
    async with openai_server([text("x"), Pause(5)], ENDPOINT) as server, direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig(server.origin, OWN), client)
        with trio.fail_after(1):
            async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
                assert await anext(batches) == [TextDelta("x")]
            await server.requests[0].gone.wait()


async def test_fifty_cuts_over_sockets_give_the_same_answer():
    stream = b"".join([text("na\u00efve \U0001f600"), *called(CALL, [], 1), completed(CALL, usage=usage(9, 3))])
    expected = flat((await ask([stream]))[0])
    assert isinstance(expected[-1], Finish)
    offsets = sorted({*random_edges(len(stream), 3), *range(1, len(stream), len(stream) // 45)})[:50]
    count = len(offsets)

    def script(_received):
        at = offsets.pop()
        return [stream[:at], Pause(0.004), stream[at:]]

    async with openai_server(script, ENDPOINT) as server, direct() as client:
        upstream = OpenAIResponsesUpstream("gpt", OpenAIResponsesConfig(server.origin, OWN), client)
        for _ in range(count):
            async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
                assert flat([batch async for batch in batches]) == expected
    assert len(server.requests) == count >= 40


async def test_custom_calls_have_no_json_to_check():
    batches, _ = await ask([*called(custom_call("patch", "a"), ["a"]), completed()], Request("m", HELLO.messages, options=Options(stop=("x",))))
    assert ToolCallStart(0, "call_1", "patch", custom=True) in flat(batches)
    assert not isinstance(flat(batches)[-1], Failed)
