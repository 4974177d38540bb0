"""AnthropicUpstream over real sockets: what it sends, and what becomes of what comes back.

What it has in common with the other upstreams is in test_openai_http.py and test_openai_chat.py.
"""

import json
from contextlib import aclosing

import pytest
import trio

from pipeline.clocks import Timeouts
from pipeline.credential import Credential, Kind, Secret
from pipeline.emit.base import AnswerHead
from pipeline.emit.messages import MessagesStream
from pipeline.errors import (
    AuthenticationError,
    BodyTooLarge,
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    RateLimited,
    RequestError,
    StreamCut,
    UnsupportedParameter,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import (
    Failed,
    Finish,
    FinishReason,
    NativeToolCall,
    Notice,
    Progress,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.parse.messages import parse_messages
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.prompt.window import Overflow
from pipeline.request import ImagePart, Message, Options, Request, Role, TextPart, Tool, ToolCall
from pipeline.upstream.anthropic import AnthropicConfig, AnthropicUpstream, anthropic_models_url, messages_url
from pipeline.upstream.model_list import ModelList
from pipeline.wire.anthropic_messages import OWN_HEADERS
from tests.support.anthropic_words import ENDPOINT, PING, SIGNATURE, START, begun, called, end, failed, message, over, spoken, text, thought, usage
from tests.support.chat_bodies import TOOL, WEATHER, parse
from tests.support.composer_server import Cut, Pause, Reply
from tests.support.listing_server import listing
from tests.support.messages_reader import MessagesReader
from tests.support.messages_requests import request_of
from tests.support.openai_server import openai_server
from tests.support.raw_server import raw_server
from tests.support.splits import random_edges
from tests.upstream.test_openai_chat import CALLER, KEY, OWN, direct, fault, flat

HELLO = parse()
USED = UsageReport(41, 32, estimated=False)
ASKED = UsageReport(41, 0, estimated=False)


async def ask(script, request=HELLO, *, credential=OWN, key=None, path="", **options):
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        config = AnthropicConfig(server.origin + path, credential, **options)
        upstream = AnthropicUpstream("claude", config, client, new_id=lambda: "made_1")
        async with aclosing(upstream.stream(upstream.write(request), key)) as batches:
            return [batch async for batch in batches], server.requests


async def test_an_answer_with_all_that_belongs_to_it():
    request = parse(tools=[TOOL], temperature=0.5, seed=1, api_base="https://evil.example")
    script = [START + PING + b"".join(spoken(["On it."])), Pause(0.02), *called("get_weather", ['{"city"', ':"Oban"}'], 1), end("tool_use")]
    batches, (received,) = await ask(script, request)
    assert [event for event in flat(batches) if not isinstance(event, Progress)] == [
        ASKED,
        TextDelta("On it."),
        ToolCallStart(0, "toolu_1", "get_weather"),
        ToolCallDelta(0, '{"city"'),
        ToolCallDelta(0, ':"Oban"}'),
        ToolCallEnd(0),
        USED,
        Finish(FinishReason.TOOL_CALLS, "tool_use"),
    ]
    assert received.path == ENDPOINT
    assert {name: received.headers.get(name) for name in ("anthropic-version", "x-api-key", "authorization", "anthropic-beta", "accept")} == {
        "anthropic-version": "2023-06-01",
        "x-api-key": KEY,
        "authorization": None,
        "anthropic-beta": None,
        "accept": "text/event-stream",
    }
    assert received.json == {
        "model": "composer-2.5",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "tools": [{"name": "get_weather", "description": WEATHER["description"], "input_schema": WEATHER["parameters"]}],
        "temperature": 0.5,
    }


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages", "?beta=true", "/v1?beta=true"])
async def test_base_urls_in_every_spelling(path):
    batches, (received,) = await ask([START, text("x"), end()], path=path)
    assert isinstance(flat(batches)[-1], Finish)
    assert received.path == ENDPOINT + ("?beta=true" if "?" in path else "")


def test_base_urls_with_a_path():
    """As the vendors give them for the variable `ANTHROPIC_BASE_URL`."""
    for base in ("https://a.example/anthropic", "https://a.example/anthropic/v1/", "https://a.example/anthropic/v1/messages"):
        assert messages_url(base) == "https://a.example/anthropic/v1/messages"
        assert anthropic_models_url(base) == "https://a.example/anthropic/v1/models?limit=1000"


async def test_the_operator_s_headers_are_sent_and_the_version_may_be_another():
    headers = {"anthropic-beta": "context-1m-2025-08-07", "Anthropic-Version": "2099-01-01", "Accept": "text/plain"}
    _, (received,) = await ask([START, text("x"), end()], headers=headers, key_header="authorization")
    sent = received.headers
    assert (sent["anthropic-beta"], sent["anthropic-version"], sent["accept"]) == ("context-1m-2025-08-07", "2099-01-01", "text/event-stream")
    assert (sent["authorization"], sent.get("x-api-key")) == (f"Bearer {KEY}", None)


@pytest.mark.parametrize(("credential", "sent"), [(OWN, KEY), (CALLER, "callers-own-key"), (Credential(), None)])
async def test_whose_key_is_sent(credential, sent):
    _, (received,) = await ask([START, text("x"), end()], credential=credential, key="callers-own-key")
    assert received.headers.get("x-api-key") == sent


def test_nothing_secret_is_shown():
    config = AnthropicConfig("https://a.example", Credential(Kind.OWN, Secret("canary-0123")), headers={"x-secret": "canary-0123"})
    assert "canary" not in repr(config)
    assert "profile=MessagesProfile(" in repr(config)


async def test_what_is_not_sent_is_named_when_the_request_is_written():
    async with direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig("https://a.example"), client)
        outgoing = upstream.write(parse(seed=1, stop=["x", "\n"], messages=[{"role": "user", "content": "Hi", "name": "Ann"}]))
    assert (outgoing.ignored, outgoing.stops, outgoing.notices) == (("seed", "messages.name"), ("\n",), ())


async def test_a_request_that_has_to_be_changed_says_so():
    called_before = Message(Role.ASSISTANT, tool_calls=(ToolCall("a|b", "now", "{"),))
    async with direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig("https://a.example"), client)
        outgoing = upstream.write(Request("m", (*HELLO.messages, called_before)))
    assert [notice.code for notice in outgoing.notices] == ["call_id_rewritten", "tool_result_supplied", "arguments_repaired"]


async def test_images_are_refused_by_their_place_where_the_profile_takes_none():
    request = Request("m", (*HELLO.messages, Message(Role.USER, (TextPart("x"), ImagePart("https://a.example/x.png")))))
    async with direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig("https://a.example", profile=MessagesProfile(images=False)), client)
        with pytest.raises(UnsupportedParameter) as raised:
            upstream.write(request)
    assert raised.value.param == "messages[1].content[1]"


@pytest.mark.parametrize(("overflow", "sent"), [(None, 2), (Overflow.TRIM, 1), (Overflow.ERROR, 0)])
async def test_what_does_not_fit_the_window(overflow, sent):
    old, new = (Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
    async with direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig("https://a.example", context_window=1_200, context_overflow=overflow), client)
        if not sent:
            with pytest.raises(ContextLengthExceeded):
                upstream.write(Request("m", (old, new)))
            return
        body = upstream.write(Request("m", (old, new))).body
    assert (b"old old" in body, b"new new" in body) == (sent == 2, True)


@pytest.mark.parametrize(
    ("status", "kind", "says", "error"),
    [
        (400, "invalid_request_error", "messages.0.content: bad", RequestError),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", PaymentRequired),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextLengthExceeded),
        (401, "authentication_error", "invalid x-api-key", AuthenticationError),
        (404, "not_found_error", "model: claude-9", ModelNotFound),
        (429, "rate_limit_error", "slow down", RateLimited),
        (529, "overloaded_error", "Overloaded", UpstreamUnavailable),
    ],
)
async def test_http_errors(status, kind, says, error):
    body = json.dumps({"type": "error", "error": {"type": kind, "message": says}, "request_id": "req_1"}).encode()
    reply = Reply(status, body, {"content-type": "application/json", "retry-after": "7"})
    batches, _ = await ask([reply], credential=CALLER, key="callers-own-key")
    assert type(fault(batches)) is error
    assert fault(batches).message.endswith(f"It says: {says}")
    assert fault(batches).retry_after_seconds == (7 if error in (RateLimited, UpstreamUnavailable) else None)


async def test_the_operator_s_refused_key_is_not_the_callers_business():
    body = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}).encode()
    batches, _ = await ask([Reply(401, body, {})])
    assert (type(fault(batches)), "x-api-key" in fault(batches).message) == (UpstreamUnusable, False)


async def test_an_error_before_anything_is_said_is_one_that_another_target_may_mend():
    async with openai_server([START + PING, Pause(0.01), failed("overloaded_error", "Overloaded")], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        with pytest.raises(UpstreamUnavailable) as raised:
            await open_stream(Exchange(HELLO, upstream, Terms()))
    assert raised.value.may_pass_elsewhere


async def test_a_cut():
    batches, _ = await ask([START, text("x"), Cut()])
    assert [event for event in flat(batches) if not isinstance(event, Progress)][:2] == [ASKED, TextDelta("x")]
    assert isinstance(fault(batches), StreamCut)


async def test_a_whole_answer_although_a_stream_was_asked_for():
    reply = json.dumps(message([{"type": "text", "text": "x"}], "end_turn", usage=usage(41, 32))).encode()
    batches, _ = await ask([Reply(200, reply, {"content-type": "application/json"})])
    assert flat(batches) == [TextDelta("x"), USED, Finish(FinishReason.STOP, "end_turn")]


async def test_an_answer_that_has_said_why_it_ended_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr("pipeline.upstream.posted.END_WAIT_SECONDS", 0.05)
    with trio.fail_after(2):
        batches, _ = await ask([START, text("x"), over("end_turn"), Pause(0.1), PING, Pause(5)])
    assert flat(batches)[-2:] == [USED, Finish(FinishReason.STOP, "end_turn")]


async def test_pings_are_no_sign_that_the_model_is_at_work():
    batches, _ = await ask([START, Pause(0.02), *(PING, Pause(0.02)) * 3, text("x"), end()])
    assert [batch for batch in batches if batch == [Progress()]] == [[Progress()]]  # of the answer's beginning
    assert [event for event in flat(batches) if not isinstance(event, Progress)][:2] == [ASKED, TextDelta("x")]


async def test_a_ping_does_not_put_off_the_clock_of_the_first_event():
    async with openai_server([PING, *(PING, Pause(0.05)) * 60], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        with trio.fail_after(2), pytest.raises(UpstreamTimeout):
            await open_stream(Exchange(HELLO, upstream, Terms(timeouts=Timeouts(first_event_seconds=0.3))))


async def test_too_large_a_request_is_told_as_that():
    body = json.dumps({"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}).encode()
    error = fault((await ask([Reply(413, body, {})]))[0])
    assert (type(error), error.status, error.code, error.may_pass_elsewhere) == (BodyTooLarge, 413, "request_too_large", False)


async def test_an_answer_is_sent_back_in_the_order_that_it_came_in():
    """With thoughts between the texts, which the API has signed where they stood."""
    answer = [*thought(["A"], 0, "sA"), *spoken(["Let me see."], 1), *thought(["B"], 2, "sB"), *called("now", ["{}"], 3, "toolu_A")]
    async with openai_server([START, *answer, end("tool_use")], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        asked = {"model": "m", "max_tokens": 9000, "thinking": {"type": "adaptive"}, "tools": [{"name": "now", "input_schema": {"type": "object"}}]}
        history = [{"role": "user", "content": "Hi"}]
        stream = MessagesStream(AnswerHead("msg_1", 0, "m", show_thinking=True), lambda: USED)
        async with aclosing(upstream.stream(upstream.write(request_of(**asked, messages=history)))) as batches:
            sent = b"".join([stream.feed([event for event in batch if not isinstance(event, Progress | NativeToolCall)]) async for batch in batches])
        blocks = MessagesReader(sent).message["content"]
        said = [{"role": "assistant", "content": blocks}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_A"}]}]
        body = json.loads(upstream.write(request_of(**asked, messages=[*history, *said])).body)
    assert body["messages"][1]["content"] == blocks
    assert [block.get("signature", block["type"]) for block in blocks] == ["sA", "text", "sB", "tool_use"]


async def test_a_client_that_leaves_takes_the_upstream_with_it():
    async with openai_server([START, text("x"), Pause(5)], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        with trio.fail_after(1):
            async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
                async for batch in batches:
                    if TextDelta("x") in batch:
                        break
            await server.requests[0].gone.wait()


async def test_fifty_cuts_over_sockets_give_the_same_answer():
    stream = b"".join(
        [START, *thought(["Hm"], 0, SIGNATURE), *spoken(["na\u00efve \U0001f600"], 1), *called("get_weather", ["{}"], 2), end("tool_use")]
    )

    def events(batches):
        return [event for event in flat(batches) if not isinstance(event, Progress)]

    expected = events((await ask([stream]))[0])
    assert isinstance(expected[-1], Finish)
    offsets = sorted({*random_edges(len(stream), 3), *range(1, len(stream), len(stream) // 45)})[:50]
    count = len(offsets)

    def script(_received):
        at = offsets.pop()
        return [stream[:at], Pause(0.004), stream[at:]]

    async with openai_server(script, ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        for _ in range(count):
            async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
                assert events([batch async for batch in batches]) == expected
    assert len(server.requests) == count >= 40


async def test_custom_tools_are_called_with_raw_text():
    request = Request("m", HELLO.messages, (Tool("patch", custom=True),))
    script = [START, *called("patch", ['{"input": "a', 'b"}']), end("tool_use")]
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        _, whole = await collect(Exchange(request, upstream, Terms()))
    assert [(call.name, call.arguments, call.custom) for call in whole.calls] == [("patch", "ab", True)]


async def test_stop_texts_that_the_api_does_not_take_end_the_answer_all_the_same():
    request = Request("m", HELLO.messages, options=Options(stop=("\n",)))
    async with openai_server([START, *spoken(["one", "\ntwo"]), end()], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        _, whole = await collect(Exchange(request, upstream, Terms()))
    assert (whole.text, whole.stop) == ("one", "\n")


async def test_a_call_without_an_id_gets_one_of_the_api_s_own():
    async with openai_server([START, *called("now", ["{}"], 0, None), end("tool_use")], ENDPOINT) as server, direct() as client:
        upstream = AnthropicUpstream("claude", AnthropicConfig(server.origin, OWN), client)
        async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
            started = [event for batch in [each async for each in batches] for event in batch if isinstance(event, ToolCallStart)]
    assert started[0].id.startswith("toolu_")


async def test_ids_are_unique_in_the_conversation():
    history = (*HELLO.messages, Message(Role.ASSISTANT, tool_calls=(ToolCall("toolu_1", "now", "{}"),)))
    batches, _ = await ask([START, *called("now", ["{}"]), end("tool_use")], Request("m", history))
    assert [event.id for event in flat(batches) if isinstance(event, ToolCallStart)] == ["made_1"]
    assert [event.code for event in flat(batches) if isinstance(event, Notice)] == ["duplicate_call_id"]


async def test_a_client_of_the_same_api_has_its_words_passed_on():
    body = {
        "model": "claude-sonnet-5",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Hi"}],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "metadata": {"user_id": "u"},
    }
    request = parse_messages(json.dumps(body).encode()).request
    batches, (received,) = await ask([START, begun(0, "redacted_thinking", data="x"), *spoken(["x"], 1), end()], request)
    assert received.json == {**body, "stream": True}
    assert isinstance(flat(batches)[-1], Finish | Failed)


async def test_its_models_are_listed():
    entries = [{"type": "model", "id": "claude-sonnet-5", "display_name": "Claude Sonnet 5", "max_input_tokens": 1_000_000, "max_tokens": 128_000}]
    async with raw_server(listing(*entries)) as server:
        models = ModelList(
            "claude", server.url(""), OWN, key_header="x-api-key", headers={"X-Title": "mine"}, own_headers=OWN_HEADERS, address=anthropic_models_url
        )
        listed = await models.ask()
    assert [(model.id, model.name, model.context_window, model.max_tokens) for model in listed.models] == [
        ("claude-sonnet-5", "Claude Sonnet 5", 1_000_000, 128_000)
    ]
