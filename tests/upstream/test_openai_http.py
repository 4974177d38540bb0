"""What both kinds of OpenAI-compatible upstreams do alike: headers and keys, the base URL's query, and the window."""

from contextlib import aclosing

import pytest

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import ContextLengthExceeded, PermissionDenied, UpstreamUnusable
from pipeline.events import Failed
from pipeline.prompt.window import Overflow
from pipeline.request import ContextRule, Message, Request, Role, TextPart
from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream
from pipeline.upstream.openai_http import ENDPOINTS, KEY_HEADERS, endpoint_url
from pipeline.upstream.openai_responses import OpenAIResponsesConfig, OpenAIResponsesUpstream
from tests.support import openai_server as chat
from tests.support import responses_events as responses
from tests.support.chat_bodies import parse
from tests.support.composer_server import Reply
from tests.upstream.test_openai_chat import CALLER, KEY, OWN, direct

KINDS = {
    "chat": (OpenAIChatUpstream, OpenAIChatConfig, chat.ENDPOINT, [chat.text("x"), chat.chunk("stop"), chat.DONE]),
    "responses": (OpenAIResponsesUpstream, OpenAIResponsesConfig, responses.ENDPOINT, [responses.text("x"), responses.completed()]),
}
HELLO = parse()
OLD, NEW = (Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
LONG = Request("m", (OLD, NEW))


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


async def ask(kind, *, answer=None, query="", key="callers-own-key", credential=OWN, **options):
    """The events that one request gives, and the request as the server received it."""
    make, config, path, script = kind
    async with chat.openai_server(answer or script, path) as server, direct() as client:
        upstream = make("one", config(server.origin + "/v1" + query, credential, **options), client)
        async with aclosing(upstream.stream(upstream.write(HELLO), key)) as batches:
            events = [event async for batch in batches for event in batch]
        return events, server.requests[-1]


@pytest.mark.parametrize("header", KEY_HEADERS)
@pytest.mark.parametrize(("credential", "sent"), [(OWN, KEY), (CALLER, "callers-own-key"), (Credential(), None)])
async def test_the_key_is_sent_in_the_header_that_the_settings_name(kind, header, credential, sent):
    _, received = await ask(kind, credential=credential, key_header=header)
    wanted = None if sent is None else f"Bearer {sent}" if header == "authorization" else sent
    assert {name: received.headers.get(name) for name in KEY_HEADERS} == {name: wanted if name == header else None for name in KEY_HEADERS}


async def test_the_query_of_the_base_url_stays_at_the_end(kind):
    events, received = await ask(kind, query="?api-version=2025-04-01&x=1")
    assert received.path == kind[2] + "?api-version=2025-04-01&x=1"
    assert not isinstance(events[-1], Failed)


async def test_the_operator_s_headers_are_sent_and_replace_nothing(kind):
    headers = {"X-Title": "mine", "Content-Type": "text/plain", "AUTHORIZATION": "Bearer other", "host": "evil.example"}
    _, received = await ask(kind, headers=headers)
    sent = received.headers
    assert (sent["x-title"], sent["content-type"], sent["authorization"]) == ("mine", "application/json", f"Bearer {KEY}")
    assert sent["host"].startswith("127.0.0.1")


async def test_the_operator_s_headers_are_told_to_nobody(kind):
    config = kind[1]("https://a.example", OWN, headers={"x-secret": "canary-0123"})
    assert "canary" not in repr(config)
    reply = Reply(403, b'{"error":{"message":"bad header canary-0123 given","code":"canary-0123"}}')
    events, _ = await ask(kind, answer=[reply], headers={"x-secret": "canary-0123"})
    assert isinstance(events[-1], Failed)
    error = events[-1].error
    assert type(error) is PermissionDenied
    assert "canary" not in error.message + (error.code or "")


async def test_settings_that_cannot_be_sent_are_refused(kind):
    make, config, *_ = kind
    async with direct() as client:
        for options in ({"headers": {"x": "a\nb"}}, {"headers": {"x\u00e9": "a"}}, {"key_header": "cookie"}):
            with pytest.raises(ValueError, match=r"upstreams\.one"):
                make("one", config("https://a.example", **options), client)


async def test_a_key_that_no_header_may_have_is_not_sent(kind):
    make, config, *_ = kind
    async with direct() as client:
        upstream = make("one", config("http://127.0.0.1:9", Credential(Kind.OWN, Secret("a\nb"))), client)
        [[failed]] = [batch async for batch in upstream.stream(upstream.write(HELLO), None)]
    assert type(failed.error) is UpstreamUnusable


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("base_url", ["https://a.example", "https://a.example/v1/", "https://a.example/v1/{}", " https://a.example/v1/{}/ "])
def test_base_urls_in_every_spelling(base_url, endpoint):
    for written in ENDPOINTS:
        assert endpoint_url(base_url.format(written), endpoint) == f"https://a.example/v1/{endpoint}"


# -- the window: (upstream's tokens, upstream's overflow, route's rule) -> what becomes of two turns of about a thousand tokens each
WINDOWS = [
    (None, None, ContextRule(), "sent"),
    (1_200, None, ContextRule(), "sent"),
    (None, Overflow.ERROR, ContextRule(), "sent"),
    (1_200, Overflow.ERROR, ContextRule(), "refused"),
    (1_200, Overflow.SIGNAL, ContextRule(), "refused"),
    (1_200, Overflow.TRIM, ContextRule(), "trimmed"),
    (100_000, Overflow.ERROR, ContextRule(), "sent"),
    (100_000, Overflow.ERROR, ContextRule(tokens=1_200), "refused"),
    (100_000, Overflow.ERROR, ContextRule(tokens=1_200, overflow="trim"), "trimmed"),
    (1_200, Overflow.ERROR, ContextRule(tokens=100_000), "sent"),
    (1_200, None, ContextRule(overflow="trim"), "trimmed"),
    (200, Overflow.TRIM, ContextRule(), "refused"),
]


@pytest.mark.parametrize(("tokens", "overflow", "rule", "outcome"), WINDOWS)
async def test_what_does_not_fit_the_window(kind, tokens, overflow, rule, outcome):
    make, config, *_ = kind
    request = Request("m", LONG.messages, context=rule)
    async with direct() as client:
        upstream = make("one", config("https://a.example", OWN, context_window=tokens, context_overflow=overflow), client)
        if outcome == "refused":
            with pytest.raises(ContextLengthExceeded, match="maximum context length is"):
                upstream.write(request)
            return
        outgoing = upstream.write(request)
    trimmed = outcome == "trimmed"
    assert [b"old old" in outgoing.body, b"new new" in outgoing.body] == [not trimmed, True]
    assert [notice.code for notice in outgoing.notices] == (["context_trimmed"] if trimmed else [])
    assert ("old" in outgoing.prompt) is not trimmed
