"""Composer over the network, without sockets: what is sent, what comes back, which token is used, and which conversation it is."""

import uuid
from functools import partial
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import RequestError, UpstreamUnusable
from pipeline.events import Failed, Finish, TextDelta
from pipeline.identity import FROZEN_TIME, Identity
from pipeline.models import MODELS
from pipeline.prompt.composer import assemble_prompt
from pipeline.request import ImagePart, Message, Role
from pipeline.upstream.composer import API_BASE, REQUIRED, ComposerConfig
from pipeline.upstream.composer_account import EXCHANGE_PATH, IDENTITY_PATH
from pipeline.wire.composer import encode_end, encode_native_call, encode_text, encode_thinking
from pipeline.wire.composer_request import ComposerRequest, decode_request
from tests.support.composer_backend import ASK, KEY, TOKEN, Mocked, Pieces, batches_of, composer, events_of, failure_of, jwt, said
from tests.support.composer_server import ENDPOINT
from tests.support.image_files import PNG, data_url, png
from tests.support.splits import splits

STREAM = encode_thinking("hm") + encode_text("naïve") + encode_text("x" * 200, compress=True) + encode_native_call("c1", "read", "{}") + encode_end()
UNAUTHENTICATED = encode_end({"code": "unauthenticated", "message": "Error"})


def ok(*reads: bytes | Exception, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/connect+proto", **headers}, stream=Pieces(*reads))


def saying(*reads: bytes | Exception) -> Mocked:
    return Mocked(lambda _: ok(*reads))


def message_of(request: httpx.Request) -> ComposerRequest:
    return decode_request(request.content)


# -- the call ------------------------------------------------------------------------------------------------------------------------------------


async def test_the_call_is_the_documented_one():
    host = saying(STREAM)
    await events_of(host.upstream())
    assert [request.url.path for request in host.requests] == [EXCHANGE_PATH, ENDPOINT]
    call = host.requests[-1]
    assert (call.method, call.headers["authorization"]) == ("POST", f"Bearer {TOKEN}")
    assert (call.headers["content-type"], call.headers["connect-protocol-version"]) == ("application/connect+proto", "1")
    assert call.headers["accept-encoding"] == "identity"
    assert call.headers["user-agent"].startswith("penstock/")
    assert uuid.UUID(call.headers["x-request-id"])
    assert not [name for name in call.headers if name.startswith("x-cursor") or name == "cookie"]
    message = message_of(call)
    assert (message.text, message.model, message.agent, message.client_name) == (assemble_prompt(ASK), "composer-2.5", False, "penstock")
    assert uuid.UUID(message.conversation_id) != uuid.UUID(message.message_id)


async def test_what_the_operator_configured_is_sent():
    host = saying(STREAM)
    headers = {"X-Team": "blue", "authorization": "Basic theirs", "User-agent": "their-agent"}
    headers |= {"content-TYPE": "text/plain", "Host": "elsewhere.test", "Content-Length": "3", "Transfer-Encoding": "chunked"}
    await events_of(host.upstream(client_version="1.2.3", headers=headers))
    exchange, call = host.requests
    assert (call.headers["x-cursor-client-version"], call.headers["x-team"], call.headers["user-agent"]) == ("1.2.3", "blue", "their-agent")
    assert call.headers.get_list("authorization") == [f"Bearer {TOKEN}"]
    assert call.headers.get_list("content-type") == ["application/connect+proto"]
    assert (call.headers["host"], call.headers["content-length"]) == ("backend.test", str(len(call.content)))
    assert "transfer-encoding" not in call.headers
    assert "x-team" not in exchange.headers


@pytest.mark.parametrize(
    ("base_url", "endpoint", "url"),
    [
        ("http://backend.test", "/composer/chat", "http://backend.test/composer/chat"),
        ("http://backend.test/", "composer/chat", "http://backend.test/composer/chat"),
        ("http://backend.test/root", "/composer/chat", "http://backend.test/root/composer/chat"),
        ("http://backend.test", "HTTPS://chat.test/x?y=1", "HTTPS://chat.test/x?y=1"),
    ],
)
def test_the_endpoint_is_a_path_or_a_url(base_url, endpoint, url):
    assert ComposerConfig(base_url=base_url, endpoint=endpoint).url == url


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_setting_is_named(missing):
    upstream = saying(STREAM).upstream(**{missing: ""})
    with pytest.raises(UpstreamUnusable) as raised:
        upstream.write(ASK)
    assert (raised.value.status, raised.value.code) == (424, "upstream_not_configured")
    assert f"upstreams.composer.{missing}" in raised.value.message
    assert REQUIRED[missing] in raised.value.message
    assert upstream.models()


@pytest.mark.parametrize("conversation", [None, "s-1"])
async def test_images_are_sent_as_bytes_with_their_size(conversation):
    parts = (ImagePart(data_url(PNG)), ImagePart(data_url(png(640, 480))))
    request = msgspec.structs.replace(ASK, messages=(Message(Role.USER, parts),), conversation=conversation)
    host = saying(STREAM)
    await events_of(host.upstream(), request)
    message = message_of(host.requests[-1])
    assert [(image.data, image.width, image.height) for image in message.images] == [(PNG, 19, 7), (png(640, 480), 640, 480)]
    assert "[image 2]" in message.text


@pytest.mark.parametrize("url", ["https://a.example/b.png", "data:image/png;base64,AA==", data_url(PNG + bytes(1_000))])
def test_an_image_that_is_not_sent_is_the_clients_error(url):
    request = msgspec.structs.replace(ASK, messages=(Message(Role.USER, (ImagePart(url),)),))
    with pytest.raises(RequestError) as raised:
        saying().upstream(max_image_bytes=1_000).write(request)
    assert (raised.value.status, raised.value.param) == (400, "messages[0].content[0].image_url")


@pytest.mark.parametrize("header", [("X-A", "a\r\nX-B: b"), ("X-Ä", "a"), ("X-A", "ä"), ("X-A", "\0")])
def test_a_header_that_cannot_be_sent_is_refused_at_once(header):
    with pytest.raises(ValueError, match=r"upstreams\.composer\.headers"):
        saying().upstream(headers=dict([header]))


def test_the_models():
    upstream = saying().upstream(context_window=5)
    assert [model.id for model in upstream.models()] == list(MODELS)
    assert {model.context_window for model in upstream.models()} == {5}
    assert (upstream.find_model("cursor/composer-latest"), upstream.find_model("no-such-model")) == (
        msgspec.structs.replace(MODELS["composer-2.5"], context_window=5),
        None,
    )
    unset = saying().upstream()
    assert list(unset.models()) == list(MODELS.values())
    assert [unset.find_model(each) for each in ("composer-2.5", "gpt-5.2")] == [MODELS["composer-2.5"], MODELS["gpt-5.2"]]


# -- the answer ----------------------------------------------------------------------------------------------------------------------------------


async def test_one_read_is_one_list_and_silence_is_an_empty_one():
    first, second = encode_text("a") + encode_text("b"), encode_text("c") + encode_end()
    host = saying(b"", first[:4], first[4:], b"", b"", second[:2], second[2:])
    assert await batches_of(host.upstream()) == [[], [TextDelta("a"), TextDelta("b")], [], [], [TextDelta("c"), Finish()]]


async def test_every_cut_of_the_stream_gives_the_same_events():
    expected = await events_of(saying(STREAM).upstream())
    assert isinstance(expected[-1], Finish)
    for reads in splits(STREAM, seeds=20):
        assert await events_of(saying(*reads).upstream()) == expected


@pytest.mark.parametrize("fault", [None, httpx.ReadError("[Errno 104]"), httpx.RemoteProtocolError("incomplete")], ids=["end", "reset", "cut"])
async def test_a_stream_that_stops_anywhere_is_the_same_up_to_there_and_then_failed(fault):
    whole = await events_of(saying(STREAM).upstream())
    for stop in range(len(STREAM)):
        events = await events_of(saying(*[STREAM[:stop]] * bool(stop), *[fault] * (fault is not None)).upstream())
        assert events[:-1] == whole[: len(events) - 1]
        assert failure_of(events) == (502, "upstream_stream_cut")


async def test_a_character_that_the_fault_cut_off_is_told():
    events = await events_of(saying(encode_text("naï"[:3].encode()[:3]), httpx.ReadError("x")).upstream())
    assert [type(event).__name__ for event in events] == ["TextDelta", "Notice", "Failed"]


@pytest.mark.parametrize("behind", [encode_text("b"), b"", httpx.ReadError("reset")])
async def test_one_read_behind_the_end_may_end_the_body_and_says_nothing(behind):
    stream = Pieces(encode_text("a") + encode_end(), behind, AssertionError("read on"))
    events = await events_of(Mocked(lambda _: httpx.Response(200, stream=stream)).upstream())
    assert (events, stream.closed) == ([TextDelta("a"), Finish()], 1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!DOCTYPE html><html>hello", "upstream_protocol_error"),
        (b'{"accessToken": "x"}', "upstream_protocol_error"),
        (b"\0\xff\xff\xff\xff", "upstream_protocol_error"),
        (b"\0\0\0\0\2\x12\x7f", "upstream_protocol_error"),
        (b"\2\0\0\0\1<", "upstream_protocol_error"),
        (b"", "upstream_stream_cut"),
    ],
)
async def test_what_is_no_stream_is_a_fault(body, code):
    assert failure_of(await events_of(saying(*[body] * bool(body)).upstream())) == (502, code)


async def test_a_compressed_answer_is_refused():
    stream = Pieces(STREAM)
    host = Mocked(lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=stream))
    assert failure_of(await events_of(host.upstream())) == (502, "upstream_protocol_error")
    assert stream.closed == 1


async def test_a_bare_limit_on_a_long_request_is_about_its_length():
    host = saying(encode_end({"code": "resource_exhausted", "message": "Error"}))
    assert failure_of(await events_of(host.upstream())) == (502, "upstream_error")
    narrow = msgspec.structs.replace(ASK, model="gpt-5.2")
    host = saying(encode_end({"code": "resource_exhausted", "message": "Error"}))
    assert failure_of(await events_of(host.upstream(context_window=20), narrow)) == (400, "context_length_exceeded")


# -- the token -----------------------------------------------------------------------------------------------------------------------------------


def refusing(*, times: int, refusal: list[bytes] | None = None) -> Mocked:
    """Answers once, then refuses the token `times` times, by its status or inside the stream; every exchange gives another token."""
    count = 0

    def chat(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if not 1 < count <= 1 + times:
            return ok(STREAM)
        return ok(b"", *refusal) if refusal is not None else httpx.Response(401, stream=Pieces(b'{"message":"expired"}'))

    host = Mocked(chat, lambda _: httpx.Response(200, json={"accessToken": jwt(FROZEN_TIME + 3600, f"t{len(host.requests)}")}))
    return host


@pytest.mark.parametrize("refusal", [None, [UNAUTHENTICATED]], ids=["status", "end frame"])
async def test_a_kept_token_that_is_refused_is_exchanged_once_more(refusal):
    host = refusing(times=1, refusal=refusal)
    upstream = host.upstream()
    first, second = await events_of(upstream), await events_of(upstream)
    assert first == second
    assert [request.url.path for request in host.requests] == [EXCHANGE_PATH, ENDPOINT, ENDPOINT, EXCHANGE_PATH, ENDPOINT]
    assert len({request.headers["authorization"] for request in host.to(ENDPOINT)}) == 2
    assert len({request.content for request in host.to(ENDPOINT)[1:]}) == 1


@pytest.mark.parametrize("refusal", [None, [UNAUTHENTICATED]], ids=["status", "end frame"])
async def test_a_fresh_token_that_is_refused_is_told_and_forgotten(refusal):
    host = refusing(times=2, refusal=refusal)
    upstream = host.upstream()
    await events_of(upstream)
    assert failure_of(await events_of(upstream)) == (401, "invalid_api_key")
    assert len(host.to(ENDPOINT)) == 3
    assert isinstance((await events_of(upstream))[-1], Finish)
    assert (len(host.to(ENDPOINT)), len(host.to(EXCHANGE_PATH))) == (4, 3)


@pytest.mark.parametrize("refusal", [None, UNAUTHENTICATED], ids=["status", "end frame"])
async def test_the_first_token_of_all_is_not_exchanged_twice(refusal):
    host = Mocked(lambda _: ok(refusal) if refusal else httpx.Response(401, stream=Pieces(b"")))
    assert failure_of(await events_of(host.upstream())) == (401, "invalid_api_key")
    assert [request.url.path for request in host.requests] == [EXCHANGE_PATH, ENDPOINT]


@pytest.mark.parametrize("reads", [[encode_text("a") + UNAUTHENTICATED], [encode_text("a"), UNAUTHENTICATED]], ids=["one read", "two reads"])
async def test_a_refusal_behind_the_first_word_is_not_repeated(reads):
    host = refusing(times=1, refusal=reads)
    upstream = host.upstream()
    await events_of(upstream)
    events = await events_of(upstream)
    assert events[0] == TextDelta("a")
    assert failure_of(events) == (401, "invalid_api_key")
    assert len(host.to(ENDPOINT)) == 2


async def test_an_exchange_that_fails_is_the_answer():
    host = Mocked(lambda _: ok(STREAM), lambda _: httpx.Response(401, stream=Pieces(b"")))
    assert failure_of(await events_of(host.upstream())) == (401, "invalid_api_key")
    assert host.to(ENDPOINT) == []


@pytest.mark.parametrize("key", [None, "", "psk_0123456789", "cmp_0123456789", "a b", "é"])
async def test_without_a_key_nothing_is_sent(key):
    host = saying(STREAM)
    assert failure_of(await events_of(host.upstream(), key=key)) == (401, "invalid_api_key")
    assert host.requests == []


async def test_the_upstreams_own_key_is_used_in_place_of_the_callers():
    host = saying(STREAM)
    await events_of(host.upstream(credential=Credential(Kind.OWN, Secret("the-operators-own"))))
    assert host.to(EXCHANGE_PATH)[0].headers["authorization"] == "Bearer the-operators-own"
    assert KEY not in repr([request.headers.raw for request in host.requests])


async def test_without_a_credential_there_is_no_exchange():
    host = saying(STREAM)
    await events_of(host.upstream(credential=Credential(Kind.NONE), headers={"authorization": "Basic theirs"}))
    (call,) = host.requests
    assert call.headers.get_list("authorization") == ["Basic theirs"]


# -- the conversation ----------------------------------------------------------------------------------------------------------------------------


async def conversation_of(host: Mocked, conversation: str | None, key: str = KEY) -> str:
    # ids that are counted and not frozen, so that two requests of one test differ
    upstream = composer(host.client, "http://backend.test", identity=Identity())
    await events_of(upstream, msgspec.structs.replace(ASK, conversation=conversation), key)
    return message_of(host.to(ENDPOINT)[-1]).conversation_id


def accounts(**users: str) -> Mocked:
    """`users` are keys and the account of each."""

    def me(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"userId": users[request.headers["authorization"].removeprefix("Bearer ")]})

    return Mocked(lambda _: ok(STREAM), me=me)


async def test_a_conversation_keeps_its_id_across_requests_and_processes():
    first = await conversation_of(accounts(k1="ann"), "session", "k1")
    assert first == await conversation_of(accounts(k1="ann"), "session", "k1")
    assert first == await conversation_of(accounts(k2="ann"), "session", "k2")
    assert uuid.UUID(first).version == 4


async def test_another_session_or_account_is_another_conversation():
    host = accounts(k1="ann", k2="bob")
    found = {await conversation_of(host, session, key) for session in ("s1", "s2") for key in ("k1", "k2")}
    assert len(found) == 4


async def test_without_a_session_every_request_is_a_conversation_and_nobody_asks_who_it_is():
    host = accounts(k1="ann")
    assert await conversation_of(host, None, "k1") != await conversation_of(host, None, "k1")
    assert host.to(IDENTITY_PATH) == []


async def test_an_api_that_cannot_be_asked_does_not_stop_the_request():
    host = Mocked(lambda _: ok(STREAM), me=lambda _: httpx.Response(500, stream=Pieces(b"<html>")))
    found = {await conversation_of(host, "session", key) for key in ("k1", "k1", "k2")}
    assert len(found) == 2


async def test_a_key_that_the_api_refuses_stops_it():
    host = Mocked(lambda _: ok(STREAM), me=lambda _: httpx.Response(401, stream=Pieces(b"")))
    request = msgspec.structs.replace(ASK, conversation="session")
    assert failure_of(await events_of(host.upstream(), request)) == (401, "invalid_api_key")
    assert [request.url.path for request in host.requests] == [IDENTITY_PATH]


async def test_the_rest_of_the_message_is_as_it_was_written():
    host = accounts(k1="ann")
    upstream = host.upstream()
    request = msgspec.structs.replace(ASK, conversation="session", agent=True)
    written = decode_request(upstream.write(request).body)
    await events_of(upstream, request, "k1")
    sent = message_of(host.to(ENDPOINT)[-1])
    assert (sent.text, sent.model, sent.agent, sent.time_iso) == (written.text, written.model, True, written.time_iso)


def test_it_runs_under_asyncio_too():
    events = anyio.run(partial(events_of, saying(STREAM[:9], b"", STREAM[9:]).upstream()), backend="asyncio")
    assert isinstance(events[-1], Finish)


def test_the_api_base_has_a_default():
    assert ComposerConfig().api_base == API_BASE == "https://api.cursor.com"


async def test_thinking_and_text_are_whole():
    assert said(await events_of(saying(STREAM).upstream())) == ("hm", "naïve" + "x" * 200)


# -- whose fault a refusal is ---------------------------------------------------------------------------------------------------------------------

OWN_KEY = "operators-own-key"


def unauthorized(request: httpx.Request) -> httpx.Response:
    return httpx.Response(401, json={"message": f"no {request.headers['authorization']}"})


REFUSALS: dict[str, dict[str, Any]] = {
    "by the exchange": {"chat": lambda _: ok(STREAM), "exchange": unauthorized},
    "by the endpoint": {"chat": unauthorized},
    "in the stream": {"chat": lambda _: ok(UNAUTHENTICATED)},
    "behind the first text": {"chat": lambda _: ok(encode_text("x") + UNAUTHENTICATED)},
}


@pytest.mark.parametrize("answers", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(
    ("credential", "told"),
    [(Credential(Kind.CALLER), (401, "invalid_api_key")), (Credential(Kind.OWN, Secret(OWN_KEY)), (424, "upstream_credentials_refused"))],
    ids=["the caller's key", "the operator's key"],
)
async def test_who_can_mend_a_refused_key_is_told(answers, credential, told):
    events = await events_of(Mocked(**answers).upstream(credential=credential))
    assert failure_of(events) == told
    assert not [secret for secret in (OWN_KEY, KEY, TOKEN) if secret in repr(events)]


async def test_an_operators_key_that_no_header_can_hold_is_the_operators_to_mend():
    upstream = saying(STREAM).upstream(credential=Credential(Kind.OWN, Secret("two words")))
    assert failure_of(await events_of(upstream)) == (424, "upstream_credentials_refused")
    assert failure_of(await events_of(saying(STREAM).upstream(), key="two words")) == (401, "invalid_api_key")


async def test_a_missing_key_is_the_callers_to_send():
    assert failure_of(await events_of(saying(STREAM).upstream(), key=None)) == (401, "invalid_api_key")


async def test_what_the_operators_headers_hold_is_in_no_error():
    headers = {"x-corp-token": "hunter.2:CANARY/3", "x-team": "blue"}
    body = {"message": "team blue: unknown corp token hunter.2:CANARY/3, sorry"}
    in_the_stream = encode_text("x") + encode_end({"code": "permission_denied", **body})
    for host in (Mocked(lambda _: httpx.Response(403, json=body)), saying(in_the_stream)):
        last = (await events_of(host.upstream(headers=headers)))[-1]
        assert isinstance(last, Failed)
        assert last.error.message.endswith("It says: team blue: unknown corp token [removed], sorry")


async def test_a_token_refused_behind_the_first_text_is_dropped_and_nothing_is_repeated():
    tokens = iter([jwt(FROZEN_TIME + 3600, "withdrawn"), TOKEN])
    host = Mocked(
        lambda request: ok(STREAM if TOKEN in request.headers["authorization"] else encode_text("x") + UNAUTHENTICATED),
        exchange=lambda _: httpx.Response(200, json={"accessToken": next(tokens)}),
    )
    upstream = host.upstream()
    events = await events_of(upstream)
    assert (said(events), failure_of(events)) == (("", "x"), (401, "invalid_api_key"))
    assert len(host.to(ENDPOINT)) == 1
    assert isinstance((await events_of(upstream))[-1], Finish)
    assert (len(host.to(EXCHANGE_PATH)), len(host.to(ENDPOINT))) == (2, 2)
