"""Composer's backend over real sockets: who am I, the token exchange and the chat endpoint, on one host or on three; and what tests ask of it."""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import msgspec

from pipeline.clocks import SILENCE_SECONDS
from pipeline.credential import Credential, Kind
from pipeline.events import Event, Failed, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.identity import FROZEN_TIME, Identity
from pipeline.request import Message, Request, Role, TextPart
from pipeline.upstream.composer import ComposerConfig, ComposerUpstream
from pipeline.upstream.composer_account import EXCHANGE_PATH, IDENTITY_PATH
from pipeline.upstream.http import Client, open_client
from pipeline.upstream.http1.proxy import Proxies
from pipeline.upstream.transport import Transport
from tests.support.composer_server import ENDPOINT, ComposerServer, Received, Reply, Script, composer_server

KEY = "user0123456789abcdef-CANARY-KEY"
ASK = Request("composer-2.5", (Message(Role.USER, (TextPart("Hi"),)),), stream=True)
JSON = {"content-type": "application/json"}


def jwt(exp: object, name: str = "CANARY-TOKEN") -> str:
    """An access token that says when it expires."""
    parts = ({"alg": "none"}, {"exp": exp, "sub": name}, {"signature": name})
    return ".".join(base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode() for part in parts)


TOKEN = jwt(FROZEN_TIME + 3600)


def json_reply(status: int, value: object, **headers: str) -> Reply:
    return Reply(status, msgspec.json.encode(value), {**JSON, **headers})


def exchanged(token: str = TOKEN) -> Reply:
    return json_reply(200, {"accessToken": token, "refreshToken": "unused"})


@asynccontextmanager
async def composer_backend(script: Script, *, exchange: Script = (), me: Script = ()) -> AsyncIterator[ComposerServer]:
    """One host with all three calls; `requests` of the server tells what came, in order."""
    others: dict[str, Script] = {EXCHANGE_PATH: exchange or [exchanged()], IDENTITY_PATH: me or [json_reply(200, {"userId": 7})]}
    async with composer_server(script, others) as server:
        yield server


@asynccontextmanager
async def socket_client(silence_seconds: float = SILENCE_SECONDS) -> AsyncIterator[Client]:
    async with open_client(transport=Transport(connect_seconds=2, silence_seconds=silence_seconds, proxies=Proxies())) as client:
        yield client


def composer(client: Client, origin: str, *, identity: Identity | None = None, **config: Any) -> ComposerUpstream:
    """The upstream under test; with the caller's key, unless said otherwise."""
    settings: dict[str, Any] = {"base_url": origin, "endpoint": ENDPOINT, "api_base": origin, "credential": Credential(Kind.CALLER), **config}
    return ComposerUpstream("composer", ComposerConfig(**settings), client, identity=identity or Identity.frozen())


async def batches_of(upstream: ComposerUpstream, request: Request = ASK, key: str | None = KEY) -> list[list[UpstreamEvent]]:
    async with aclosing(upstream.stream(upstream.write(request), key)) as batches:
        return [batch async for batch in batches]


async def events_of(upstream: ComposerUpstream, request: Request = ASK, key: str | None = KEY) -> list[UpstreamEvent]:
    return [event for batch in await batches_of(upstream, request, key) for event in batch]


def failure_of(events: Sequence[UpstreamEvent | Event]) -> tuple[int, str]:
    """Status and code of the one fault that ends the events."""
    assert sum(isinstance(event, Failed) for event in events) == 1
    last = events[-1]
    assert isinstance(last, Failed)
    return last.error.status, last.error.code


def said(events: Sequence[UpstreamEvent]) -> tuple[str, str]:
    """All thinking and all text."""
    return (
        "".join(event.text for event in events if isinstance(event, ThinkingDelta)),
        "".join(event.text for event in events if isinstance(event, TextDelta)),
    )


def to(server: ComposerServer, path: str) -> list[Received]:
    """The requests that came to one path."""
    return [received for received in server.requests if received.path == path]


# -- without sockets -----------------------------------------------------------------------------------------------------------------------------


class Pieces(httpx.AsyncByteStream):
    """A body that comes in these reads; an empty one is silence, an exception is raised. `closed` counts the closes."""

    def __init__(self, *reads: bytes | Exception) -> None:
        self._left = iter(reads)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        read = next(self._left, None)
        if read is None:
            raise StopAsyncIteration
        if isinstance(read, Exception):
            raise read
        return read

    async def aclose(self) -> None:
        self.closed += 1


Answer = Callable[[httpx.Request], httpx.Response]


class Mocked:
    """The same calls as functions; `requests` are those that came."""

    def __init__(self, chat: Answer, exchange: Answer | None = None, me: Answer | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = {
            ENDPOINT: chat,
            EXCHANGE_PATH: exchange or (lambda _: httpx.Response(200, json={"accessToken": TOKEN})),
            IDENTITY_PATH: me or (lambda _: httpx.Response(200, json={"userId": 7})),
        }
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answers[request.url.path](request)

    def upstream(self, **config: Any) -> ComposerUpstream:
        return composer(self.client, "http://backend.test", **config)

    def to(self, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.path == path]
