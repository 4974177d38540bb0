"""The account behind a key: the token exchange, the identity, how long they are kept, and where the key goes."""

import httpx
import pytest
import trio

from pipeline.credential import Secret
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation
from pipeline.identity import FROZEN_TIME
from pipeline.upstream.composer_account import MAX_KEY_CHARS, ComposerAccounts
from pipeline.upstream.single_flight import fingerprint
from tests.support.composer_backend import KEY, TOKEN, Pieces, jwt


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = FROZEN_TIME

    def __call__(self) -> float:
        return self.seconds


class Host:
    """Gives `reply` to every request, or raises it."""

    def __init__(self, reply: httpx.Response | Exception) -> None:
        self.reply = reply
        self.requests: list[httpx.Request] = []
        self.now = Now()
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.accounts = ComposerAccounts(client, "http://backend.test/root/", "http://api.test", self.now)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        reply = self.reply
        return httpx.Response(reply.status_code, headers=reply.headers, stream=Pieces(reply.content))


def giving(token: str) -> httpx.Response:
    return httpx.Response(200, json={"accessToken": token})


async def test_the_exchange_is_the_documented_call():
    host = Host(giving(TOKEN))
    held = await host.accounts.token(KEY)
    assert (held.value, held.is_kept) == (Secret(TOKEN), False)
    (request,) = host.requests
    assert (request.method, str(request.url), request.content) == ("POST", "http://backend.test/root/auth/exchange_user_api_key", b"{}")
    assert (request.headers["authorization"], request.headers["content-type"]) == (f"Bearer {KEY}", "application/json")
    assert request.headers["user-agent"].startswith("penstock/")


@pytest.mark.parametrize(
    ("token", "seconds"),
    [
        (jwt(FROZEN_TIME + 3600), 3540),
        (jwt(int(FROZEN_TIME) + 3600), 3540),
        (jwt(FROZEN_TIME + 59), 0),
        (jwt(FROZEN_TIME - 3600), 0),
        (jwt("soon"), 300),
        (jwt(None), 300),
        (jwt([1]), 300),
        ("opaque", 300),
        ("a.b.c", 300),
        ("a.!!!!.c", 300),
        ("..", 300),
        ("a.bnVsbA.c", 300),
        ("one.two.three.four", 300),
    ],
)
async def test_a_token_is_kept_until_a_minute_before_it_expires(token, seconds):
    host = Host(giving(token))
    await host.accounts.token(KEY)
    if seconds:
        host.now.seconds += seconds - 0.5
        assert (await host.accounts.token(KEY)).is_kept
        host.now.seconds += 1
    assert not (await host.accounts.token(KEY)).is_kept
    assert len(host.requests) == 2


async def test_a_dropped_token_is_exchanged_again():
    host = Host(giving(TOKEN))
    held = await host.accounts.token(KEY)
    host.accounts.drop_token(KEY, held.value)
    assert not (await host.accounts.token(KEY)).is_kept


async def test_two_keys_that_begin_alike_are_two():
    host = Host(giving(TOKEN))
    shared = "k" * 40
    for key in (shared + "a", shared + "b", shared + "a"):
        await host.accounts.token(key)
    assert [request.headers["authorization"][-1] for request in host.requests] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"<html>",
        b'{"accessToken":7}',
        b'{"accessToken":""}',
        b'{"accessToken":"a b"}',
        b'{"accessToken":"a\\r\\nX: y"}',
        b'{"accessToken":"\\u00e9"}',
        b"[" * 5000,
        b'{"accessToken":"' + b"a" * 70_000 + b'"}',
        b"\xff",
    ],
)
async def test_an_answer_without_a_token_is_a_fault(body):
    host = Host(httpx.Response(200, content=body))
    with pytest.raises(ProtocolViolation):
        await host.accounts.token(KEY)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, (401, "invalid_api_key")),
        (402, (402, "payment_required")),
        (403, (403, "permission_denied")),
        (301, (424, "upstream_endpoint_gone")),
        (307, (424, "upstream_endpoint_gone")),
        (404, (424, "upstream_endpoint_gone")),
        (405, (424, "upstream_endpoint_gone")),
        (429, (429, "rate_limit_exceeded")),
        (500, (502, "upstream_error")),
        (503, (503, "upstream_unavailable")),
        (204, (502, "upstream_error")),
    ],
)
async def test_a_refused_exchange(status, expected):
    headers = {"location": "http://elsewhere.test/", "retry-after": "7"}
    host = Host(httpx.Response(status, headers=headers, json={"error": {"message": f"the key {KEY} is bad"}}))
    with pytest.raises(PenstockError) as raised:
        await host.accounts.token(KEY)
    assert (raised.value.status, raised.value.code) == expected
    assert KEY not in raised.value.message
    assert raised.value.retry_after_seconds == (7 if status in (429, 500, 503) else None) or status == 204
    assert len(host.requests) == 1


async def test_a_compressed_answer_is_not_read():
    host = Host(httpx.Response(200, headers={"content-encoding": "x-gzip"}, content=b'{"accessToken":"a"}'))
    with pytest.raises(ProtocolViolation):
        await host.accounts.token(KEY)


async def test_an_answer_that_does_not_end_is_not_waited_for(autojump_clock):
    class Endless(Pieces):
        async def __anext__(self) -> bytes:
            await trio.sleep(3)
            return b" "

    stream = Endless()
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=stream)))
    accounts = ComposerAccounts(client, "http://backend.test", "http://api.test", Now())
    with pytest.raises(PenstockError) as raised:
        await accounts.token(KEY)
    assert (raised.value.status, stream.closed) == (504, 1)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "ключ", "a\0", "k" * (MAX_KEY_CHARS + 1), "\ud800", "a\x7f"])
async def test_what_cannot_be_a_key_is_not_sent(key):
    host = Host(giving(TOKEN))
    with pytest.raises(AuthenticationError):
        await host.accounts.token(key)
    with pytest.raises(AuthenticationError):
        await host.accounts.identity(key)
    assert host.requests == []


@pytest.mark.parametrize(
    ("body", "identity"),
    [
        ({"userId": 7, "userEmail": "a@example.test"}, "7"),
        ({"userId": "u-1"}, "u-1"),
        ({"userId": 0}, "0"),
        ({"userId": "", "userEmail": "a@example.test"}, "a@example.test"),
        ({"userEmail": "a@example.test"}, "a@example.test"),
        ({}, fingerprint(KEY)),
        ({"userId": ["7"]}, fingerprint(KEY)),
    ],
)
async def test_the_identity(body, identity):
    host = Host(httpx.Response(200, json=body))
    assert await host.accounts.identity(KEY) == identity
    (request,) = host.requests
    assert (request.method, str(request.url), request.headers["authorization"]) == ("GET", "http://api.test/v1/me", f"Bearer {KEY}")


async def test_the_identity_is_kept_for_an_hour():
    host = Host(httpx.Response(200, json={"userId": 7}))
    for seconds in (0, 3599, 2):
        host.now.seconds += seconds
        await host.accounts.identity(KEY)
    assert len(host.requests) == 2


@pytest.mark.parametrize(
    "reply", [httpx.Response(500), httpx.Response(404), httpx.Response(302), httpx.Response(200, content=b"<html>"), httpx.ConnectError("no")]
)
async def test_an_api_that_cannot_be_asked_is_stood_in_for_a_while(reply):
    host = Host(reply)
    for _ in range(3):
        assert await host.accounts.identity(KEY) == fingerprint(KEY)
    assert len(host.requests) == 1
    host.reply = httpx.Response(200, json={"userId": 7})
    host.now.seconds += 61
    assert await host.accounts.identity(KEY) == "7"


async def test_a_key_that_the_api_refuses_is_refused():
    host = Host(httpx.Response(401, json={"message": f"who is {KEY}?"}))
    with pytest.raises(AuthenticationError) as raised:
        await host.accounts.identity(KEY)
    assert KEY not in raised.value.message


async def test_what_is_kept_does_not_hold_the_key():
    host = Host(giving(TOKEN))
    await host.accounts.token(KEY)
    host.reply = httpx.Response(200, json={"userId": 7})
    await host.accounts.identity(KEY)
    kept = repr([vars(value) for value in vars(host.accounts).values() if hasattr(value, "__dict__")])
    assert fingerprint(KEY) in kept
    assert KEY not in kept
    assert TOKEN not in kept
