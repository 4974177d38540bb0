"""WebsiteUpstream over real sockets: what it sends, what becomes of what comes back, that it closes, and what it lets nobody see."""

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
import pytest
import trio

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import (
    AnswerUnsatisfied,
    AuthenticationError,
    ContextLengthExceeded,
    PenstockError,
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
from pipeline.events import Failed, Finish, FinishReason, NativeToolCall, Progress, TextDelta, ThinkingDelta, UpstreamEvent, UsageReport
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.identity import Identity
from pipeline.machine.answer import Markup
from pipeline.models import MODELS, Model
from pipeline.prompt.website_messages import site_messages
from pipeline.prompt.window import Overflow
from pipeline.request import Message, Request, Role, TextPart, Tool, ToolChoice, ToolMode
from pipeline.upstream.http import Client, open_client
from pipeline.upstream.http1.proxy import Proxies
from pipeline.upstream.post_headers import FIXED_HEADERS
from pipeline.upstream.transport import Transport
from pipeline.upstream.website import WebsiteConfig, WebsiteUpstream
from tests.support.chat_bodies import TOOL, parse
from tests.support.composer_server import Cut, Late, Pause, Reply, Reset, Step
from tests.support.openai_server import DONE, Received, Script, openai_server
from tests.support.raw_server import REQUEST, raw_server
from tests.support.raw_server import Pause as RawPause
from tests.support.splits import random_edges
from tests.support.website_scripts import HTML, PAGE, TRIGGER, marked, trigger_of
from tests.support.website_words import END, ENDPOINT, START, available, finish, part, text, thought, usage

KEY = "sk-0123456789abcdef-CANARY"
OWN = Credential(Kind.OWN, Secret(KEY))
CALLER = Credential(Kind.CALLER)
STOP = Finish(FinishReason.STOP, "stop")
HELLO = parse()
JSON = {"content-type": "application/json"}


def direct() -> Client:
    """A client over our own transport, without the proxies of the environment."""
    return open_client(transport=Transport(proxies=Proxies(), connect_seconds=2, write_seconds=2))


def website(client: Client, url: str, **config: Any) -> WebsiteUpstream:
    return WebsiteUpstream("web", WebsiteConfig(url=url, **{"credential": OWN, **config}), client, identity=Identity.frozen())


async def ask(script: Script, request: Request = HELLO, *, key: str | None = None, **config: Any) -> tuple[list[list[UpstreamEvent]], list[Received]]:
    """The lists that one request gives, and what the server received."""
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        upstream = website(client, server.origin + ENDPOINT, **config)
        async with aclosing(upstream.stream(upstream.write(request), key)) as batches:
            return [batch async for batch in batches], server.requests


def flat(batches: Sequence[Sequence[UpstreamEvent]]) -> list[UpstreamEvent]:
    return [event for batch in batches for event in batch]


def fault(batches: Sequence[Sequence[UpstreamEvent]]) -> PenstockError:
    last = batches[-1][-1]
    assert isinstance(last, Failed)
    return last.error


# -- what is sent --------------------------------------------------------------------------------------------------------------------------------


async def test_an_answer_with_all_that_belongs_to_it():
    script: list[Step] = [START, thought("hm"), Pause(0.05), text("Hi"), available("a", "now", {}), finish("stop", usage=usage(9, 3)), DONE]
    batches, (received,) = await ask(script)
    counted = UsageReport(9, 3, estimated=False)
    assert [event for event in flat(batches) if not isinstance(event, Progress)] == [
        *(ThinkingDelta("hm"), TextDelta("Hi"), NativeToolCall("", "now", "{}"), counted, STOP)
    ]
    assert (received.method, received.path) == ("POST", ENDPOINT)
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert (received.headers["content-type"], received.headers["accept"]) == ("application/json", "text/event-stream")
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["user-agent"].startswith("penstock/")
    assert not {name for name in received.headers if name.startswith(("sec-", "x-", "cookie", "origin", "referer"))}
    assert received.json == {
        "context": [],
        "model": "composer-2.5",
        "id": "chat_000000000000000000000001",
        "messages": [{"id": "msg_000000000000000000000002", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}],
        "trigger": "submit-message",
    }


async def test_the_operator_s_headers_are_sent_and_replace_nothing():
    headers = {"X-Title": "mine", "User-Agent": "their-agent", "Content-Type": "text/plain", "AUTHORIZATION": "Bearer other", "Host": "evil.example"}
    _, (received,) = await ask([END], headers=headers)
    assert (received.headers["x-title"], received.headers["user-agent"]) == ("mine", "their-agent")
    assert (received.headers["content-type"], received.headers["authorization"]) == ("application/json", f"Bearer {KEY}")
    assert received.headers["host"].startswith("127.0.0.1")
    assert {"content-type", "host", "transfer-encoding"} <= FIXED_HEADERS


async def test_a_header_of_the_operator_s_may_be_the_credential_where_there_is_no_other():
    _, (received,) = await ask([END], credential=Credential(), headers={"Authorization": "Basic theirs"})
    assert received.headers["authorization"] == "Basic theirs"


@pytest.mark.parametrize("header", [("X-A", "a\r\nX-B: b"), ("X-Ä", "a"), ("X-A", "ä"), ("X-A", "\0")])
async def test_a_header_that_cannot_be_sent_is_refused_at_once(header):
    async with direct() as client:
        with pytest.raises(ValueError, match=r"upstreams\.web\.headers"):
            website(client, "https://a.example", headers=dict([header]))


async def test_the_address_is_used_as_it_is():
    async with openai_server([END], "/a/b") as server, direct() as client:
        upstream = website(client, server.origin + "/a/b?team=x&y=1")
        assert flat([batch async for batch in upstream.stream(upstream.write(HELLO))])[-1] == STOP
    assert server.requests[0].path == "/a/b?team=x&y=1"


@pytest.mark.parametrize(("credential", "sent"), [(OWN, f"Bearer {KEY}"), (CALLER, "Bearer callers-own-key"), (Credential(), None)])
async def test_one_credential_and_no_other(credential, sent):
    _, (received,) = await ask([END], credential=credential, key="callers-own-key")
    assert received.headers.get("authorization") == sent


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


@pytest.mark.parametrize(
    ("asked", "effort", "sent"),
    [
        ("", None, "composer-2.5"),
        ("anthropic/claude-4.5-sonnet", None, "claude-4.5-sonnet"),
        ("gpt-5.2", "high", "gpt-5.2-high"),
        ("some/new-model", "high", "some/new-model"),
    ],
)
async def test_the_model(asked, effort, sent):
    _, (received,) = await ask([END], parse(model=asked, **({"reasoning_effort": effort} if effort else {})))
    assert received.json["model"] == sent


async def test_the_models():
    async with direct() as client:
        upstream = website(client, "https://a.example", context_window=5)
        assert [model.id for model in upstream.models()] == list(MODELS)
        assert {model.context_window for model in upstream.models()} == {5}
        assert MODELS["composer-2.5"].price is not None
        assert {model.price for model in upstream.models()} == {None}
        found = upstream.find_model("cursor/composer-latest")
        assert found is not None
        assert (found.id, found.context_window, found.price) == ("composer-2.5", 5, None)
        assert upstream.find_model("any/thing") == Model("any/thing", "any/thing", "web", context_window=5)
        assert upstream.find_model("x" * 201) is None
        assert (upstream.writes_markers, upstream.keeps_promises) == (True, False)
        assert website(client, "https://a.example").models()[0].context_window is None


async def test_what_is_not_set_is_named():
    async with direct() as client:
        upstream = website(client, "")
        with pytest.raises(UpstreamUnusable, match=r"upstreams\.web\.url") as raised:
            upstream.write(HELLO)
    assert (raised.value.status, raised.value.code) == (424, "upstream_not_configured")


async def test_an_image_is_refused_before_anything_is_sent():
    content = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    request = parse(messages=[{"role": "user", "content": content}])
    async with direct() as client:
        upstream = website(client, "http://127.0.0.1:9")
        assert await upstream.prepared(request) is request
        with pytest.raises(UnsupportedParameter) as raised:
            upstream.write(request)
    assert raised.value.param == "messages[0].content[1]"


async def test_a_second_attempt_has_new_ids_and_the_same_trigger():
    async with direct() as client:
        upstream = website(client, "https://a.example")
        outgoing = upstream.write(parse(tools=[TOOL]))
    again = outgoing.renewed()
    one, other = json.loads(outgoing.body), json.loads(again.body)
    assert one["id"] != other["id"]
    assert [message["parts"] for message in one["messages"]] == [message["parts"] for message in other["messages"]]
    assert outgoing.trigger == again.trigger == TRIGGER
    assert TRIGGER in outgoing.body.decode()


async def test_no_trigger_without_tools():
    async with direct() as client:
        upstream = website(client, "https://a.example")
        assert [upstream.write(request).trigger for request in (HELLO, parse(tools=[TOOL], tool_choice="none"))] == ["", ""]


async def test_the_messages_are_written_once(monkeypatch):
    written = []

    def counted(request, **options):
        written.append(request)
        return site_messages(request, **options)

    monkeypatch.setattr("pipeline.prompt.website_messages.site_messages", counted)
    async with direct() as client:
        outgoing = website(client, "https://a.example").write(HELLO)
        outgoing.renewed()
    assert written == [HELLO]


async def test_what_has_no_effect_is_named():
    async with direct() as client:
        outgoing = website(client, "https://a.example").write(parse(temperature=0.2, top_k=5, messages=[{"role": "user", "content": "x", "y": 1}]))
    assert outgoing.ignored == ("temperature", "top_k", "messages.y")


async def test_a_conversation_that_does_not_fit():
    turns = tuple(Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
    turns = (turns[0], Message(Role.ASSISTANT, (TextPart("Yes."),)), turns[1])
    async with direct() as client:
        for overflow in (Overflow.ERROR, Overflow.SIGNAL):
            with pytest.raises(ContextLengthExceeded):
                website(client, "https://a.example", context_window=1_200, context_overflow=overflow).write(Request("m", turns))
        trimmed = website(client, "https://a.example", context_window=1_200, context_overflow=Overflow.TRIM).write(Request("m", turns))
        unset = website(client, "https://a.example", context_overflow=Overflow.ERROR).write(Request("m", turns))
    assert [message["parts"][0]["text"][:4] for message in json.loads(trimmed.body)["messages"]] == ["new "]
    assert [notice.code for notice in trimmed.notices] == ["context_trimmed"]
    assert len(json.loads(unset.body)["messages"]) == 3


# -- what comes back -----------------------------------------------------------------------------------------------------------------------------


# status, headers, body -> the error, and its code
REFUSALS = {
    "a page": (200, HTML, PAGE, UpstreamUnusable, "upstream_refused"),
    "a page without its type": (200, {}, PAGE, UpstreamUnusable, "upstream_refused"),
    "a page under another type": (200, {"content-type": "text/event-stream"}, b"\n " + PAGE, UpstreamUnusable, "upstream_refused"),
    "a page that is compressed": (200, {**HTML, "content-encoding": "gzip"}, b"\x1f\x8b", UpstreamUnusable, "upstream_refused"),
    "a bot check": (403, {**HTML, "cf-mitigated": "challenge"}, PAGE, UpstreamUnusable, "upstream_refused"),
    "a bot check as a limit": (429, {**HTML, "x-vercel-mitigated": "challenge"}, PAGE, UpstreamUnusable, "upstream_refused"),
    "403": (403, JSON, b'{"error":"no robots"}', UpstreamUnusable, "upstream_refused"),
    "401": (401, JSON, b"{}", UpstreamUnusable, "upstream_credentials_refused"),
    "404": (404, HTML, PAGE, UpstreamUnusable, "upstream_endpoint_gone"),
    "429": (429, {**HTML, "retry-after": "7"}, PAGE, RateLimited, "rate_limit_exceeded"),
    "500": (500, HTML, PAGE, UpstreamError, "upstream_error"),
    "503": (503, {**JSON, "retry-after": "7"}, b'{"message":"busy"}', UpstreamUnavailable, "upstream_unavailable"),
    "504": (504, HTML, PAGE, UpstreamTimeout, "upstream_timeout"),
    "a redirect": (307, {"location": "http://127.0.0.1:9/login"}, b"", UpstreamUnusable, "upstream_endpoint_gone"),
    "compressed": (200, {"content-type": "text/event-stream", "content-encoding": "gzip"}, b"\x1f\x8b", ProtocolViolation, "upstream_protocol_error"),
    "JSON": (200, JSON, b'{"ok":true}', ProtocolViolation, "upstream_protocol_error"),
    "an error in JSON": (200, JSON, b'{"error":{"message":"x","code":"rate_limit_exceeded"}}', RateLimited, "rate_limit_exceeded"),
}


@pytest.mark.parametrize(("status", "headers", "body", "error", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_refusals(status, headers, body, error, code):
    batches, requests = await ask([Reply(status, body, headers)])
    assert len(requests) == 1
    assert [type(found) for found in flat(batches)] == [Failed]
    found = fault(batches)
    assert (type(found), found.code) == (error, code)
    assert not any(word in found.message for word in ("<", "Ray ID", "Just a", "Checking"))
    assert found.retry_after_seconds == (7 if "retry-after" in headers else None)


async def test_a_page_is_not_read_to_its_end():
    """A page of a firewall may be held open; its head says enough."""
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 1000000\r\n\r\n<html>"
    async with raw_server([REQUEST, head, RawPause(5)]) as server, direct() as client:
        upstream = website(client, server.url(""))
        with trio.fail_after(2):
            batches = [batch async for batch in upstream.stream(upstream.write(HELLO))]
    assert fault(batches).code == "upstream_refused"


@pytest.mark.parametrize(
    ("script", "before", "error"),
    [
        ([Cut()], [], StreamCut),
        ([text("x"), Cut()], [TextDelta("x")], StreamCut),
        ([text("x"), Pause(0.02), Reset()], [TextDelta("x")], StreamCut),
        ([text("x")], [TextDelta("x")], StreamCut),
        ([text("x"), part("error", errorText="An error occurred.")], [TextDelta("x")], UpstreamError),
        ([text("x"), part("abort")], [TextDelta("x")], UpstreamError),
    ],
)
async def test_broken_answers(script, before, error):
    batches, _ = await ask(script)
    assert flat(batches)[:-1] == before
    assert type(fault(batches)) is error


async def test_an_answer_that_was_complete_survives_a_broken_connection():
    assert flat((await ask([text("x") + finish(), Pause(0.02), Reset()]))[0]) == [TextDelta("x"), STOP]


@pytest.mark.parametrize("reply", [Reply(401, f'{{"error":"{KEY}"}}'.encode(), JSON), part("error", errorText=f"bad {KEY} given")])
async def test_keys_that_the_website_quotes_are_removed(reply, caplog):
    caplog.set_level(logging.DEBUG)
    for credential, error in ((OWN, UpstreamUnusable), (CALLER, AuthenticationError)):
        batches, _ = await ask([reply], credential=credential, key=KEY)
        assert "CANARY" not in fault(batches).message
        assert type(fault(batches)) is (error if isinstance(reply, Reply) else UpstreamError)
    assert "CANARY" not in caplog.text


async def test_the_operator_s_headers_are_told_to_nobody():
    assert "canary" not in repr(WebsiteConfig(url="https://a.example", headers={"x-secret": "canary-0123"}))
    batches, _ = await ask([Reply(403, b'{"error":"bad header canary-0123 given"}', JSON)], headers={"x-secret": "canary-0123"})
    assert "canary" not in fault(batches).message
    assert "bad header [removed] given" in fault(batches).message


@pytest.mark.parametrize("header", [{"Cookie": "theme=dark; sid=canary-0123"}, {"X-Auth": "Bearer canary-0123"}])
@pytest.mark.parametrize("reply", [Reply(403, b'{"error":"bad session canary-0123"}', JSON), part("error", errorText="bad session canary-0123")])
async def test_what_a_header_is_made_of_is_told_to_nobody_either(header, reply):
    batches, _ = await ask([reply], headers=header)
    assert "bad session [removed]" in fault(batches).message


async def test_a_key_as_the_code_of_an_error_in_the_stream_is_removed():
    key = "key_0123456789abcdef_canary"
    script = [text("x"), part("error", error={"message": "no", "status": 400, "code": key, "param": key})]
    batches, _ = await ask(script, credential=CALLER, key=key)
    found = fault(batches)
    assert (type(found), found.code, found.param, flat(batches)[0]) == (RequestError, "invalid_request", None, TextDelta("x"))


@pytest.mark.parametrize("so_far", [b"", b'{"error":'])
async def test_the_body_of_an_error_is_waited_for_only_so_long(monkeypatch, so_far):
    monkeypatch.setattr("pipeline.upstream.website.ERROR_SECONDS", 0.05)
    head = b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    async with raw_server([REQUEST, head + so_far, RawPause(5)]) as server, direct() as client:
        upstream = website(client, server.url(""))
        with trio.fail_after(2):
            batches = [batch async for batch in upstream.stream(upstream.write(HELLO))]
    assert type(fault(batches)) is UpstreamError


async def test_nobody_listens():
    async with direct() as client:
        for url, error in (("http://127.0.0.1:9", UpstreamUnavailable), ("ftp://a.example", UpstreamUnusable)):
            upstream = website(client, url)
            assert type(fault([batch async for batch in upstream.stream(upstream.write(HELLO))])) is error


async def test_empty_pieces_are_silence_and_comments_are_nothing():
    class Body(httpx.AsyncByteStream):
        def __init__(self):
            self.pieces = iter([b"", b": ping\n\n", START, text("a") + text("b"), b"", text("c")[:9], text("c")[9:], finish(), DONE, b"late"])

        def __aiter__(self):
            return self

        async def __anext__(self):
            return next(self.pieces)

    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))) as client:
        upstream = website(client, "http://a.example")
        batches = [batch async for batch in upstream.stream(upstream.write(HELLO))]
    assert batches == [[], [Progress()], [TextDelta("a"), TextDelta("b")], [], [TextDelta("c")], [STOP]]


@pytest.mark.parametrize("script", [[Late(5)], [Pause(5)], [text("x"), Pause(5)]])
async def test_closing_closes_the_connection(script):
    async with openai_server([*script, END], ENDPOINT) as server, direct() as client:
        upstream = website(client, server.origin + ENDPOINT)
        batches = upstream.stream(upstream.write(HELLO))
        with trio.move_on_after(0.15):
            async for _ in batches:
                pass
        await batches.aclose()
        with trio.fail_after(1):
            await server.requests[0].gone.wait()


@pytest.mark.parametrize("tail", [[], [RawPause(0.005)], "mark"], ids=["at once", "the end alone", "mark and end alone"])
async def test_the_connection_of_an_answer_is_used_again(tail):
    def chunk(body: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(body), body)

    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    said, last = text("x") + finish(), b"0\r\n\r\n"
    writes = [head + chunk(said + DONE), *tail, last] if tail else [head + chunk(said + DONE) + last]
    if tail == "mark":
        writes = [head + chunk(said), RawPause(0.005), chunk(DONE), RawPause(0.005), last]
    async with raw_server([REQUEST, *writes] * 5) as server, direct() as client:
        upstream = website(client, server.url(""))
        for _ in range(5):
            await collect(Exchange(HELLO, upstream, Terms()))
        assert (len(server.requests), len(server.peers)) == (5, 1)


async def test_a_website_that_goes_on_behind_its_end_is_left():
    async with openai_server([text("x") + finish(), Pause(5)], ENDPOINT) as server, direct() as client:
        upstream = website(client, server.origin + ENDPOINT)
        with trio.fail_after(1):
            assert flat([batch async for batch in upstream.stream(upstream.write(HELLO))]) == [TextDelta("x"), STOP]
            await server.requests[0].gone.wait()


async def test_fifty_cuts_over_sockets_give_the_same_answer():
    stream = START + text("na\u00efve \U0001f600") + available("a", "now", {"x": "\U0001f600"}) + finish("stop", usage=usage(9, 3)) + DONE
    expected = [event for event in flat((await ask([stream]))[0]) if not isinstance(event, Progress)]
    assert isinstance(expected[-1], Finish)

    def script(received: Received) -> list[bytes | Pause]:
        at = offsets.pop()
        return [stream[:at], Pause(0.004), stream[at:]]

    offsets = sorted({*random_edges(len(stream), 3), *range(1, len(stream), len(stream) // 50)})[:50]
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        upstream = website(client, server.origin + ENDPOINT)
        for _ in range(len(offsets)):
            async with aclosing(upstream.stream(upstream.write(HELLO))) as batches:
                found = [event for event in flat([batch async for batch in batches]) if not isinstance(event, Progress)]
                assert found == expected
    assert len(server.requests) >= 40


# -- through the flow ----------------------------------------------------------------------------------------------------------------------------


WEATHER = Tool("get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
REQUIRED = Request("composer-2.5", HELLO.messages, (WEATHER,), ToolChoice(ToolMode.REQUIRED))


def calls(received: Received) -> Sequence[bytes]:
    return [START, *(text(piece) for piece in ("On it.\n", marked("get_weather", trigger_of(received), city="Oban"))), END]


def says(words: str) -> Callable[[Received], Sequence[bytes]]:
    return lambda _: [START, text(words), END]


class Turns:
    """A website that answers the first request in one way, and the others in the next ones."""

    def __init__(self, *turns: Callable[[Received], Sequence[bytes]]) -> None:
        self.triggers: list[str] = []
        self._left = list(turns)

    def __call__(self, received: Received) -> Sequence[bytes]:
        self.triggers.append(trigger_of(received))
        return (self._left.pop(0) if len(self._left) > 1 else self._left[0])(received)


async def test_a_call_in_the_text_streamed_and_whole():
    async with openai_server(calls, ENDPOINT) as server, direct() as client:
        upstream = website(client, server.origin + ENDPOINT)
        request = msgspec.structs.replace(REQUIRED, tool_choice=ToolChoice())
        answer = await open_stream(Exchange(request, upstream, Terms(), model="kimi-k3"))
        streamed = b"".join([piece async for piece in answer.pieces])
        await answer.aclose()
        _, whole = await collect(Exchange(request, upstream, Terms(), model="kimi-k3"))
    assert [received.json["model"] for received in server.requests] == ["kimi-k3", "kimi-k3"]
    assert len({trigger_of(received) for received in server.requests}) == 2
    assert b'"finish_reason":"tool_calls"' in streamed
    assert b"@@" not in streamed
    assert [(call.name, call.arguments) for call in whole.calls] == [("get_weather", '{"city":"Oban"}')]
    assert whole.text == "On it.\n"


@pytest.mark.parametrize(
    "quoted", [marked("get_weather", "", city="x"), marked("get_weather", "@@0123456789ab@@", city="x"), marked("get_weather", "@@@@", city="x")]
)
async def test_a_call_without_this_request_s_trigger_is_text(quoted):
    async with openai_server(says(f"The file says {quoted}."), ENDPOINT) as server, direct() as client:
        _, whole = await collect(
            Exchange(msgspec.structs.replace(REQUIRED, tool_choice=ToolChoice()), website(client, server.origin + ENDPOINT), Terms())
        )
    assert whole.calls == []
    assert whole.text == f"The file says {quoted}."
    assert whole.reason is FinishReason.STOP


MARKERS = "</think> so <|tool_calls_begin|><|tool_call_begin|>\nget_weather\n<|tool_sep|>city\nx\n<|tool_call_end|><|tool_calls_end|> <|final|>x"


@pytest.mark.parametrize("asked", [HELLO, REQUIRED, msgspec.structs.replace(REQUIRED, tool_choice=ToolChoice(ToolMode.NONE))])
async def test_composer_s_markers_and_tokens_are_a_website_s_text(asked):
    script = [START, thought(f"about {MARKERS}"), text(MARKERS), END]
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        _, whole = await collect(Exchange(asked, website(client, server.origin + ENDPOINT), Terms(markup=Markup(hidden_prefix_hold_chars=100))))
    assert (whole.text, whole.thinking, whole.calls) == (MARKERS, f"about {MARKERS}", [])


async def test_what_the_operator_switched_on_is_read_without_tools_too():
    async with openai_server(says('[TOOL_CALL]get_weather[ARGS]{"city": "x"}'), ENDPOINT) as server, direct() as client:
        exchange = Exchange(HELLO, website(client, server.origin + ENDPOINT), Terms(markup=Markup(dialects=("bracket",))))
        _, whole = await collect(exchange)
    assert "call_without_tools" in [notice.code for notice in whole.notices]


async def test_a_native_call_gets_an_id_of_ours():
    async with openai_server([available("a\nb" * 100, "get_weather", {"city": "x"}), END], ENDPOINT) as server, direct() as client:
        _, whole = await collect(Exchange(REQUIRED, website(client, server.origin + ENDPOINT), Terms()))
    [call] = whole.calls
    assert call.id.startswith("call_")
    assert call.id.isascii()
    assert call.id.replace("_", "").isalnum()


async def test_an_answer_that_was_asked_for_twice_costs_twice_what_the_website_measures():
    def counted(words: Callable[[Received], Sequence[bytes]]) -> Callable[[Received], Sequence[bytes]]:
        return lambda received: [*words(received)[:-1], finish("stop", usage=usage(9, 3))]

    async with openai_server(Turns(counted(says("No.")), counted(calls)), ENDPOINT) as server, direct() as client:
        exchange = Exchange(REQUIRED, website(client, server.origin + ENDPOINT), Terms(strict_tool_choice=True))
        await collect(exchange)
        assert len(server.requests) == 2
    assert exchange.meter.report() == UsageReport(18, 6, estimated=False)


async def test_a_native_call_of_another_tool_is_dropped_with_a_notice():
    async with openai_server([available("a", "rm", {}), END], ENDPOINT) as server, direct() as client:
        _, whole = await collect(
            Exchange(msgspec.structs.replace(REQUIRED, tool_choice=ToolChoice()), website(client, server.origin + ENDPOINT), Terms())
        )
    assert whole.calls == []
    assert "unknown_tool" in [notice.code for notice in whole.notices]


async def test_a_required_call_that_did_not_come_is_asked_for_once_more():
    turns = Turns(says("No."), calls)
    async with openai_server(turns, ENDPOINT) as server, direct() as client:
        _, whole = await collect(Exchange(REQUIRED, website(client, server.origin + ENDPOINT), Terms(strict_tool_choice=True)))
    assert [call.name for call in whole.calls] == ["get_weather"]
    assert "asked_again" in [notice.code for notice in whole.notices]
    assert len(server.requests) == 2
    assert len({received.json["id"] for received in server.requests}) == 2
    assert len(set(turns.triggers)) == 1


async def test_a_required_call_that_never_comes_is_a_fault_after_two():
    async with openai_server(Turns(says("No.")), ENDPOINT) as server, direct() as client:
        with pytest.raises(AnswerUnsatisfied):
            await collect(Exchange(REQUIRED, website(client, server.origin + ENDPOINT), Terms(strict_tool_choice=True)))
        assert len(server.requests) == 2


async def test_a_stream_is_not_asked_for_twice():
    request = msgspec.structs.replace(REQUIRED, stream=True)
    async with openai_server(Turns(says("No.")), ENDPOINT) as server, direct() as client:
        answer = await open_stream(Exchange(request, website(client, server.origin + ENDPOINT), Terms(strict_tool_choice=True)))
        streamed = b"".join([piece async for piece in answer.pieces])
        await answer.aclose()
    assert b"tool_choice_unsatisfied" in streamed
    assert b"[DONE]" not in streamed
    assert len(server.requests) == 1


async def test_without_strictness_it_is_a_notice():
    async with openai_server(Turns(says("No.")), ENDPOINT) as server, direct() as client:
        _, whole = await collect(Exchange(REQUIRED, website(client, server.origin + ENDPOINT), Terms()))
    assert whole.text == "No."
    assert "tool_choice_unsatisfied" in [notice.code for notice in whole.notices]
    assert len(server.requests) == 1


async def test_usage_is_the_website_s_where_it_counts_and_estimated_where_not():
    async with openai_server([text("x"), finish("stop", usage=usage(9, 3))], ENDPOINT) as server, direct() as client:
        exchange = Exchange(HELLO, website(client, server.origin + ENDPOINT), Terms())
        await collect(exchange)
        report = exchange.meter.report()
        assert (report.prompt_tokens, report.completion_tokens, report.estimated) == (9, 3, False)
    async with openai_server([text("x"), END], ENDPOINT) as server, direct() as client:
        exchange = Exchange(HELLO, website(client, server.origin + ENDPOINT), Terms())
        await collect(exchange)
        assert exchange.meter.report().estimated


async def test_a_refusal_before_the_first_event_is_raised_by_the_flow():
    async with openai_server([Reply(403, PAGE, HTML)], ENDPOINT) as server, direct() as client:
        with pytest.raises(UpstreamUnusable) as raised:
            await open_stream(Exchange(HELLO, website(client, server.origin + ENDPOINT), Terms()))
    assert raised.value.status == 424


async def test_a_custom_tool_s_call_is_raw_text_for_the_client():
    def script(received: Received) -> Sequence[bytes]:
        return [text(marked("patch", trigger_of(received), input="a\nb")), END]

    request = Request("m", HELLO.messages, (Tool("patch", custom=True),))
    async with openai_server(script, ENDPOINT) as server, direct() as client:
        _, whole = await collect(Exchange(request, website(client, server.origin + ENDPOINT), Terms()))
    assert [(call.name, call.arguments) for call in whole.calls] == [("patch", "a\nb")]
