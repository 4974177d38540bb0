"""OpenAIChatUpstream over real sockets: what it sends, what becomes of what comes back, and that it closes."""

import logging
from collections.abc import Sequence
from contextlib import aclosing

import httpx
import pytest
import trio

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import (
    AuthenticationError,
    ModelNotFound,
    PaymentRequired,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RequestError,
    StreamCut,
    UnsupportedParameter,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import (
    Failed,
    Finish,
    FinishReason,
    Notice,
    Progress,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UpstreamEvent,
    UsageReport,
)
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.models import Model
from pipeline.prompt.chat_body import ChatProfile
from pipeline.request import Request, Tool
from pipeline.upstream.http import Client, open_client
from pipeline.upstream.http1.proxy import Proxies
from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream, chat_url
from pipeline.upstream.transport import Transport
from tests.support.chat_bodies import TOOL, USER, parse
from tests.support.composer_server import Cut, Late, Pause, Reply, Reset, Step
from tests.support.openai_server import DONE, Received, Script, call, chunk, event, openai_server, text, usage
from tests.support.raw_server import REQUEST, raw_server
from tests.support.raw_server import Pause as RawPause
from tests.support.splits import random_edges

KEY = "sk-0123456789abcdef-CANARY"
OWN = Credential(Kind.OWN, Secret(KEY))
CALLER = Credential(Kind.CALLER)
END = chunk("stop") + DONE
STOP = Finish(FinishReason.STOP, "stop")
HELLO = parse()


def direct() -> Client:
    """A client over our own transport, without the proxies of the environment."""
    return open_client(transport=Transport(proxies=Proxies(), connect_seconds=2, write_seconds=2))


async def ask(
    script: Script, request: Request = HELLO, *, credential: Credential = OWN, key: str | None = None, **options
) -> tuple[list[list[UpstreamEvent]], list[Received]]:
    """The lists that one request gives, and what the server received."""
    async with openai_server(script) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, credential, **options), client, new_id=lambda: "made_1")
        async with aclosing(upstream.stream(upstream.write(request), key)) as batches:
            return [batch async for batch in batches], server.requests


def flat(batches: Sequence[Sequence[UpstreamEvent]]) -> list[UpstreamEvent]:
    return [event for batch in batches for event in batch]


def fault(batches: Sequence[Sequence[UpstreamEvent]]):
    last = batches[-1][-1]
    assert isinstance(last, Failed)
    return last.error


async def test_an_answer_with_all_that_belongs_to_it():
    request = parse(tools=[TOOL], temperature=0.5, api_base="https://evil.example")
    script: list[Step] = [
        text("On it."),
        call(index=0, id="a", name="get_weather", arguments='{"city"'),
        Pause(0.05),
        call(index=0, arguments=':"Oban"}'),
    ]
    batches, (received,) = await ask([*script, chunk("tool_calls") + usage(9, 3) + DONE], request)
    assert flat(batches) == [
        TextDelta("On it."),
        ToolCallStart(0, "a", "get_weather"),
        ToolCallDelta(0, '{"city"'),
        ToolCallDelta(0, ':"Oban"}'),
        ToolCallEnd(0),
        UsageReport(9, 3, estimated=False),
        Finish(FinishReason.TOOL_CALLS, "tool_calls"),
    ]
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["accept-encoding"] == "identity"
    assert received.json == {
        "model": "composer-2.5",
        "messages": [USER],
        "tools": [TOOL],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://a.example", "https://a.example/v1/chat/completions"),
        ("https://a.example/", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1beta/openai/", "https://a.example/v1beta/openai/chat/completions"),
        ("http://[::1]:8000/v1?api-version=1", "http://[::1]:8000/v1/chat/completions?api-version=1"),
    ],
)
def test_base_urls_in_every_spelling(base_url, url):
    assert chat_url(base_url) == url


async def test_models_are_whatever_the_upstream_serves():
    async with direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("https://a.example", OWN, context_window=1000), client)
        assert upstream.models() == ()
        assert upstream.find_model("any/thing") == Model("any/thing", "any/thing", "kimi", context_window=1000)
        assert upstream.writes_markers is False
        assert KEY not in repr(upstream) + repr(OpenAIChatConfig("https://a.example", OWN))


@pytest.mark.parametrize(("credential", "sent"), [(OWN, f"Bearer {KEY}"), (CALLER, "Bearer callers-own-key"), (Credential(), None)])
async def test_one_credential_and_no_other(credential, sent):
    _, (received,) = await ask([END], credential=credential, key="callers-own-key")
    assert received.headers.get("authorization") == sent
    assert "x-api-key" not in received.headers


@pytest.mark.parametrize(
    ("credential", "key", "error"),
    [
        (CALLER, None, AuthenticationError),
        (CALLER, "psk_0123456789", AuthenticationError),
        (CALLER, "a\r\nx-evil: 1", AuthenticationError),
        (CALLER, "schl\u00fcssel", AuthenticationError),
        (Credential(Kind.OWN, Secret("a\nb")), None, UpstreamUnusable),
    ],
)
async def test_a_key_that_cannot_be_sent_opens_no_connection(credential, key, error):
    batches, requests = await ask([END], credential=credential, key=key)
    assert type(fault(batches)) is error
    assert requests == []


async def test_a_missing_image_capability_is_told_before_anything_is_sent():
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    async with direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("http://127.0.0.1:9", OWN, profile=ChatProfile(images=False)), client)
        with pytest.raises(UnsupportedParameter):
            upstream.write(parse(messages=[{"role": "user", "content": content}]))


HTTP = {
    400: RequestError,
    402: PaymentRequired,
    403: PermissionDenied,
    404: UpstreamUnusable,
    408: UpstreamTimeout,
    409: UpstreamUnavailable,
    425: UpstreamUnavailable,
    429: RateLimited,
    500: UpstreamError,
    502: UpstreamError,
    503: UpstreamUnavailable,
    504: UpstreamTimeout,
    307: UpstreamUnusable,
}


@pytest.mark.parametrize("status", HTTP)
@pytest.mark.parametrize("body", [b'{"error":{"message":"because of %b"}}' % KEY.encode(), b"<html>x</html>", b""])
async def test_http_errors_become_faults_before_the_first_event(status, body):
    headers = {"retry-after": "7", "location": "http://127.0.0.1:9/"}
    batches, requests = await ask([Reply(status, body, headers)])
    assert len(requests) == 1
    assert [type(found) for found in flat(batches)] == [Failed]
    error = fault(batches)
    assert type(error) is HTTP[status]
    assert "CANARY" not in error.message
    assert "<" not in error.message
    assert error.retry_after_seconds == (7 if status in (408, 409, 425, 429, 500, 502, 503, 504) else None)


async def test_an_unknown_model_is_a_404():
    batches, _ = await ask([Reply(404, b'{"error":{"message":"no","code":"model_not_found"}}')])
    assert type(fault(batches)) is ModelNotFound


@pytest.mark.parametrize(("credential", "error"), [(OWN, UpstreamUnusable), (CALLER, AuthenticationError), (Credential(), UpstreamUnusable)])
@pytest.mark.parametrize("reply", [Reply(401), event(error={"code": "invalid_api_key", "message": KEY})])
async def test_who_can_mend_a_refused_key_is_told(credential, error, reply):
    batches, _ = await ask([reply], credential=credential, key=KEY)
    assert type(fault(batches)) is error
    assert "CANARY" not in fault(batches).message


async def test_keys_that_the_upstream_quotes_are_removed_from_errors_in_the_stream():
    batches, _ = await ask([text("x"), event(error={"message": f"the key {KEY} is tired"})])
    assert fault(batches).message == "The upstream failed. It says: the key [removed] is tired"


@pytest.mark.parametrize(
    ("script", "before", "error"),
    [
        ([Cut()], [], StreamCut),
        ([text("x"), Cut()], [TextDelta("x")], StreamCut),
        ([text("x"), Pause(0.02), Reset()], [TextDelta("x")], StreamCut),
        ([text("x")], [TextDelta("x")], StreamCut),
        ([text("x"), event(error={"message": "x", "code": 503})], [TextDelta("x")], UpstreamUnavailable),
        ([Reply(200, b"<html>sign in</html>", {"content-type": "text/html"})], [], ProtocolViolation),
        ([Reply(200, b"\x1f\x8b", {"content-encoding": "gzip"})], [], ProtocolViolation),
        ([Reply(200, b"{}", {})], [], ProtocolViolation),
    ],
)
async def test_broken_answers(script, before, error):
    batches, _ = await ask(script)
    assert flat(batches)[:-1] == before
    assert type(fault(batches)) is error


async def test_an_answer_that_was_complete_survives_a_broken_connection():
    assert flat((await ask([text("x") + chunk("stop"), Pause(0.02), Reset()]))[0]) == [TextDelta("x"), STOP]


async def test_a_whole_completion_is_an_answer():
    body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}'
    batches, _ = await ask([Reply(200, body, {"content-type": "application/json"})])
    assert flat(batches) == [TextDelta("x"), UsageReport(9, 3, estimated=False), STOP]


async def test_nobody_listens():
    async with direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("http://127.0.0.1:9", OWN), client)
        assert type(fault([batch async for batch in upstream.stream(upstream.write(HELLO), None)])) is UpstreamUnavailable
        for base_url in ("ftp://a.example", ""):
            upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(base_url, OWN), client)
            assert type(fault([batch async for batch in upstream.stream(upstream.write(HELLO), None)])) is UpstreamUnusable


async def test_empty_pieces_are_silence_and_comments_are_nothing():
    class Body(httpx.AsyncByteStream):
        def __init__(self):
            self.pieces = iter([b"", b": keep-alive\n\n", text("a") + text("b"), b"", chunk("stop"), DONE, text("late")])

        def __aiter__(self):
            return self

        async def __anext__(self):
            return next(self.pieces)

    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))) as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("http://a.example", OWN), client)
        batches = [batch async for batch in upstream.stream(upstream.write(HELLO), None)]
    assert batches == [[], [TextDelta("a"), TextDelta("b")], [], [Progress()], [STOP]]


@pytest.mark.parametrize("script", [[Late(5)], [Pause(5)], [text("x"), Pause(5)], [text("x") + chunk("stop"), Pause(5)]])
async def test_closing_closes_the_connection(script):
    async with openai_server([*script, END]) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN), client)
        batches = upstream.stream(upstream.write(HELLO), None)
        with trio.move_on_after(0.15):
            async for _ in batches:
                pass
        await batches.aclose()
        with trio.fail_after(1):
            await server.requests[0].gone.wait()


@pytest.mark.parametrize("gap", [[], [RawPause(0.005)]], ids=["with [DONE]", "in a write of its own"])
async def test_the_connection_of_an_answer_is_used_again(gap):
    """Through the flow, which leaves with the last list: the end of the body may still be on its way then."""
    body = text("x") + END
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    steps = [REQUEST, answer, *gap, b"0\r\n\r\n"] if gap else [REQUEST, answer + b"0\r\n\r\n"]
    async with raw_server(steps * 5) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.url(""), OWN), client)
        for _ in range(5):
            await collect(Exchange(HELLO, upstream, Terms()))
        assert (len(server.requests), len(server.peers)) == (5, 1)


async def test_an_upstream_that_goes_on_behind_its_end_is_left():
    async with openai_server([text("x") + END, Pause(5)]) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN), client)
        with trio.fail_after(1):
            assert flat([batch async for batch in upstream.stream(upstream.write(HELLO), None)]) == [TextDelta("x"), STOP]
            await server.requests[0].gone.wait()


async def test_fifty_cuts_over_sockets_give_the_same_answer():
    stream = (
        text("na\u00efve \U0001f600")
        + call(index=0, id="a", name="get_weather", arguments='{"city":"Oban"}')
        + chunk("tool_calls")
        + usage(9, 3)
        + DONE
    )
    expected = flat((await ask([stream]))[0])
    assert isinstance(expected[-1], Finish)

    def script(received: Received) -> list[bytes | Pause]:
        at = offsets.pop()
        return [stream[:at], Pause(0.004), stream[at:]]

    offsets = sorted({*random_edges(len(stream), 3), *range(1, len(stream), len(stream) // 50)})[:50]
    count = len(offsets)
    async with openai_server(script) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN), client)
        for _ in range(count):
            async with aclosing(upstream.stream(upstream.write(HELLO), None)) as batches:
                assert flat([batch async for batch in batches]) == expected
    assert len(server.requests) == count >= 40


async def test_through_the_flow_streamed_and_whole():
    async with openai_server([call(id="a", name="get_weather", arguments={"city": "Oban"}), END]) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN), client)
        exchange = Exchange(parse(tools=[TOOL]), upstream, Terms(), model="kimi-k3")
        answer = await open_stream(exchange)
        streamed = b"".join([piece async for piece in answer.pieces])
        await answer.aclose()
        _, whole = await collect(exchange)
    assert [received.json["model"] for received in server.requests] == ["kimi-k3", "kimi-k3"]
    assert b'"finish_reason":"tool_calls"' in streamed
    assert [(made.id, made.arguments) for made in whole.calls] == [("a", '{"city":"Oban"}')]
    assert whole.reason is FinishReason.TOOL_CALLS


async def test_a_fault_before_the_first_event_is_raised_by_the_flow():
    async with openai_server([event(error={"message": "x", "code": "rate_limit_exceeded"})]) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN), client)
        with pytest.raises(RateLimited):
            await open_stream(Exchange(parse(base_url="https://evil.example"), upstream, Terms()))


async def test_a_proxy_that_refuses_is_the_operators_to_mend():
    batches, _ = await ask([Reply(407, b"<html>authenticate</html>")])
    assert (type(fault(batches)), fault(batches).code) == (UpstreamUnusable, "upstream_proxy_refused")


async def test_no_remnant_of_a_key_with_dots_and_slashes_is_told():
    key = "sk-proj-abcdefghijkl.CANARY/0123:456"
    own = Credential(Kind.OWN, Secret(key))
    for reply in (Reply(403, b'{"error":{"message":"Bad key %b given"}}' % key.encode()), event(error={"message": f"Bad key {key} given"})):
        batches, _ = await ask([reply], credential=own)
        assert "CANARY" not in fault(batches).message
        assert "Bad key [removed] given" in fault(batches).message


async def test_the_key_is_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    await ask([text("x"), END])
    await ask([Reply(401, KEY.encode())])
    assert "CANARY" not in caplog.text


async def test_what_is_left_out_is_known_when_the_request_is_written():
    async with direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("https://a.example"), client)
        outgoing = upstream.write(parse(api_base="https://evil.example"))
    assert outgoing.notices == (Notice("field_not_forwarded", "api_base would choose a host, a model or a transport"),)


@pytest.mark.parametrize("native", [True, False])
async def test_a_custom_tool_s_call_is_raw_text_for_the_client_whatever_the_upstream_takes(native):
    inner = {"custom": {"name": "patch", "input": "a\nb"}} if native else {"function": {"name": "patch", "arguments": '{"input":"a\\nb"}'}}
    script = [chunk(tool_calls=[{"index": 0, "id": "a", "type": next(iter(inner)), **inner}]), chunk("tool_calls"), DONE]
    request = Request("m", HELLO.messages, (Tool("patch", custom=True),))
    async with openai_server(script) as server, direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig(server.origin, OWN, profile=ChatProfile(custom_tools=native)), client)
        _, whole = await collect(Exchange(request, upstream, Terms()))
    assert server.requests[0].json["tools"][0]["type"] == ("custom" if native else "function")
    assert [(call.name, call.arguments) for call in whole.calls] == [("patch", "a\nb")]


async def test_what_is_not_passed_on_inside_other_objects_is_named():
    async with direct() as client:
        upstream = OpenAIChatUpstream("kimi", OpenAIChatConfig("https://a.example", profile=ChatProfile(pass_fields=())), client)
        outgoing = upstream.write(parse(top_k=5, messages=[{**USER, "cache_control": {}}]))
    assert outgoing.ignored == ("top_k", "messages.cache_control")
