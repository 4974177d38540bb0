"""What Composer says went wrong, through the whole flow: status, code, Retry-After, and nothing that a client should not see."""

import logging
import traceback

import httpx
import msgspec
import pytest
import trio

from pipeline.errors import PenstockError
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.identity import Identity
from pipeline.upstream.composer import ComposerConfig, ComposerUpstream
from pipeline.wire.composer import encode_end, encode_text
from tests.support.composer_backend import ASK, KEY, TOKEN, Mocked, Pieces

HTML = b"<!DOCTYPE html><html><body>CANARY-BODY</body></html>"


def exchange(upstream: ComposerUpstream, key: str | None = KEY) -> Exchange:
    return Exchange(ASK, upstream, Terms(identity=Identity.frozen()), key=key)


async def refused(host: Mocked, **config) -> PenstockError:
    """The error of the streamed form and of the whole form, which must be the same."""
    with pytest.raises(PenstockError) as streamed:
        await open_stream(exchange(host.upstream(**config)))
    with pytest.raises(PenstockError) as whole:
        await collect(exchange(host.upstream(**config)))
    first, second = streamed.value, whole.value
    assert (first.body(), first.status, first.retry_after_seconds) == (second.body(), second.status, second.retry_after_seconds)
    return first


def answering(status: int, body: bytes, **headers: str) -> Mocked:
    return Mocked(lambda _: httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()}, stream=Pieces(body)))


def ending(code: str, name: str = "", text: str = "", before: bytes = b"") -> Mocked:
    details = [{"type": "x", "debug": {"error": name, "details": {"title": "", "detail": text}}}]
    end = encode_end({"code": code, "message": "Error", "details": details})
    return Mocked(lambda _: httpx.Response(200, stream=Pieces(before + end)))


STATUSES = [
    (401, 401, "invalid_api_key", False),
    (402, 402, "payment_required", False),
    (403, 403, "permission_denied", False),
    (404, 424, "upstream_endpoint_gone", False),
    (301, 424, "upstream_endpoint_gone", False),
    (302, 424, "upstream_endpoint_gone", False),
    (307, 424, "upstream_endpoint_gone", False),
    (308, 424, "upstream_endpoint_gone", False),
    (429, 429, "rate_limit_exceeded", True),
    (464, 502, "upstream_error", False),
    (500, 502, "upstream_error", True),
    (502, 502, "upstream_error", True),
    (503, 503, "upstream_unavailable", True),
    (504, 504, "upstream_timeout", True),
    (204, 502, "upstream_error", True),
    (418, 502, "upstream_error", True),
]


@pytest.mark.parametrize("body", [HTML, b"", b'{"message":"CANARY: wait"}', b'{"error":{"message":"CANARY: wait"}}', b"\xff" * 100, b"[" * 4000])
@pytest.mark.parametrize(("status", "told", "code", "is_retryable"), STATUSES, ids=[str(row[0]) for row in STATUSES])
async def test_a_status(status, told, code, is_retryable, body):
    host = answering(status, body, retry_after="7", location="http://elsewhere.test/")
    error = await refused(host)
    assert (error.status, error.code) == (told, code)
    assert error.retry_after_seconds == (7 if is_retryable else None)
    assert "CANARY-BODY" not in error.message
    assert "<" not in error.message
    if b"wait" in body and not 300 <= status < 400:
        assert error.message.endswith("CANARY: wait")
    assert {request.url.host for request in host.requests} == {"backend.test"}


async def test_464_says_what_it_is():
    assert "refused this account or session" in (await refused(answering(464, HTML))).message


ENDS = [
    ("unauthenticated", "", "", 401, "invalid_api_key"),
    ("internal", "ERROR_BAD_API_KEY", "", 401, "invalid_api_key"),
    ("internal", "ERROR_BAD_USER_API_KEY", "", 401, "invalid_api_key"),
    ("internal", "ERROR_AUTH_TOKEN_EXPIRED", "", 401, "invalid_api_key"),
    ("permission_denied", "", "", 403, "permission_denied"),
    ("resource_exhausted", "ERROR_PRO_USER_ONLY", "", 403, "permission_denied"),
    ("resource_exhausted", "ERROR_PLAN_REQUIRED", "", 403, "permission_denied"),
    ("resource_exhausted", "", "Please update to the newest version.", 424, "upstream_client_outdated"),
    ("internal", "ERROR_OUTDATED_CLIENT", "", 424, "upstream_client_outdated"),
    ("resource_exhausted", "", "You hit your usage limit.", 429, "insufficient_quota"),
    ("resource_exhausted", "", "See our pricing.", 429, "insufficient_quota"),
    ("resource_exhausted", "ERROR_USER_RATE_LIMIT_EXCEEDED", "", 429, "rate_limit_exceeded"),
    ("resource_exhausted", "ERROR_RATE_LIMITED", "", 429, "rate_limit_exceeded"),
    ("internal", "ERROR_CONVERSATION_TOO_LONG", "", 400, "context_length_exceeded"),
    ("internal", "ERROR_MAX_TOKENS", "", 400, "context_length_exceeded"),
    ("internal", "ERROR_BAD_MODEL_NAME", "", 404, "model_not_found"),
    ("unavailable", "", "", 503, "upstream_unavailable"),
    ("internal", "ERROR_TIMEOUT", "", 504, "upstream_timeout"),
    ("deadline_exceeded", "", "", 504, "upstream_timeout"),
    ("resource_exhausted", "", "", 502, "upstream_error"),
    ("internal", "", "", 502, "upstream_error"),
    ("data_loss", "", "", 502, "upstream_error"),
]


@pytest.mark.parametrize(("code", "name", "text", "status", "told"), ENDS)
async def test_an_end_frame_before_the_first_word(code, name, text, status, told):
    error = await refused(ending(code, name, text))
    assert (error.status, error.code) == (status, told)
    if told == "upstream_error":
        assert code in error.message


@pytest.mark.parametrize(("code", "name", "text", "status", "told"), ENDS)
async def test_an_end_frame_behind_the_first_word(code, name, text, status, told):
    answer = await open_stream(exchange(ending(code, name, text, encode_text("a")).upstream()))
    try:
        pieces = [piece async for piece in answer.pieces]
    finally:
        await answer.aclose()
    last = pieces[-1].split(b"data: ")[-1]
    assert msgspec.json.decode(last)["error"]["code"] == told
    assert b"[DONE]" not in b"".join(pieces)


FAULTS = [
    (httpx.ConnectError("CANARY-HOST refused"), 503, "upstream_unavailable"),
    (httpx.ConnectTimeout("CANARY-HOST"), 504, "upstream_timeout"),
    (httpx.WriteTimeout("CANARY-HOST"), 504, "upstream_timeout"),
    (httpx.ReadError("CANARY-HOST"), 502, "upstream_stream_cut"),
    (httpx.RemoteProtocolError("CANARY-HOST"), 502, "upstream_stream_cut"),
    (httpx.ProxyError("CANARY-HOST"), 503, "upstream_unavailable"),
    (httpx.UnsupportedProtocol("CANARY-HOST"), 424, "upstream_not_configured"),
]


@pytest.mark.parametrize("stage", ["exchange", "chat"])
@pytest.mark.parametrize(("fault", "status", "code"), FAULTS, ids=[type(row[0]).__name__ for row in FAULTS])
async def test_a_connection_that_fails(stage, fault, status, code):
    def fail(_: httpx.Request) -> httpx.Response:
        raise fault

    host = Mocked(fail) if stage == "chat" else Mocked(lambda _: httpx.Response(500, stream=Pieces()), fail)
    error = await refused(host)
    assert (error.status, error.code) == (status, code)
    assert "CANARY" not in error.message


async def test_an_error_whose_words_never_end_is_told_without_them(autojump_clock):
    class Endless(Pieces):
        async def __anext__(self) -> bytes:
            await trio.sleep(2)
            return b""

    error = await refused(Mocked(lambda _: httpx.Response(403, stream=Endless())))
    assert (error.status, trio.current_time() < 60) == (403, True)


async def test_an_error_of_megabytes_is_read_to_its_bound():
    read = 0

    class Large(Pieces):
        async def __anext__(self) -> bytes:
            nonlocal read
            read += 1
            return b" " * 10_000

    error = await refused(Mocked(lambda _: httpx.Response(403, stream=Large())))
    assert (error.status, read) == (403, 14)  # seven for each of the two forms


async def test_no_secret_is_in_any_error_log_or_repr(caplog):
    """The upstream quotes the key and the token in every way that it has of telling something."""
    caplog.set_level(logging.DEBUG)
    quoted = f"the key {KEY} and the token {TOKEN} are bad, {KEY[:12]}"
    body = msgspec.json.encode({"message": quoted})
    hosts = [
        answering(400, body),
        answering(401, body),
        answering(500, msgspec.json.encode({"error": quoted})),
        ending("internal", "", quoted),
        ending("unauthenticated", "ERROR_BAD_API_KEY", quoted),
        Mocked(lambda _: httpx.Response(500, stream=Pieces()), lambda _: httpx.Response(401, stream=Pieces(body))),
        Mocked(lambda _: httpx.Response(500, stream=Pieces(b" " * 40 + body + b"x" * 600))),
    ]
    shown: list[str] = []
    for host in hosts:
        error = await refused(host)
        upstream = host.upstream()
        shown += [repr(error), error.message, "".join(traceback.format_exception(error)), repr(error.__cause__), repr(upstream), repr(vars(upstream))]
    shown += [record.getMessage() for record in caplog.records]
    config = ComposerConfig(base_url="http://backend.test", endpoint="/x", headers={"Authorization": TOKEN})
    shown += [repr(config), str(config)]
    everything = "\n".join(shown)
    assert "[removed]" in everything
    for secret in (KEY, TOKEN, KEY[:12]):
        assert secret not in everything
