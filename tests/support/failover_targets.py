"""OpenAI-compatible targets over real sockets, each of which does what a test says, and candidates made of them.

What a target does is a script of `tests.support.openai_server`, or a `Place` at which nothing of HTTP is spoken: `REFUSED`, a port that nobody
listens on; `BLACK_HOLE`, a listener whose queue is full, so that the kernel answers no one; `NO_SUCH_HOST`; `BAD_CERTIFICATE`, TLS with a certificate
that nobody trusts.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import trio

from pipeline.clocks import Stop, Timeouts
from pipeline.credential import Credential, Kind, Secret
from pipeline.failover import Candidate, Trail, collect_first, open_first
from pipeline.flow import Answer, Exchange, Terms
from pipeline.identity import Identity
from pipeline.request import Message, Request, Role, TextPart
from pipeline.upstream.base import Upstream
from pipeline.upstream.health import Health
from pipeline.upstream.http import Client, open_client
from pipeline.upstream.http1.proxy import Proxies
from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream
from pipeline.upstream.transport import Transport
from tests.support.openai_server import DONE, Received, Script, chunk, openai_server, text
from tests.support.raw_server import raw_server
from tests.support.tls import CERTIFICATE, KEY

SECRETS = {"a": "sk-first-0123456789-CANARY", "b": "sk-second-9876543210-CANARY", "c": "sk-third-5678901234-CANARY"}
CONNECT_SECONDS = 0.3
FIRST_EVENT_SECONDS = 0.4
IDLE_SECONDS = 0.3
ASK = Request("kimi", (Message(Role.USER, (TextPart("Hi"),)),))
ANSWER = [text("second"), chunk("stop") + DONE]


class Place(Enum):
    """Where no HTTP is spoken."""

    REFUSED = auto()
    BLACK_HOLE = auto()
    NO_SUCH_HOST = auto()
    BAD_CERTIFICATE = auto()


Fault = Place | Script


class Targets:
    """What a test has of its targets, `a`, `b` and so on; `hits` counts the requests that each has received, `seconds` is the last opening's time."""

    def __init__(self) -> None:
        self.upstreams: dict[str, Upstream] = {}
        self.received: dict[str, list[Received]] = {}
        self.health = Health()
        self.trail = Trail()
        self.stop = Stop()
        self.seconds = 0.0

    @property
    def hits(self) -> dict[str, int]:
        return {name: len(requests) for name, requests in self.received.items()}

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(attempt.target, attempt.outcome) for attempt in self.trail.attempts]

    @property
    def cooling(self) -> set[str]:
        return {name for name in self.upstreams if self.health.cooling_seconds(name)}

    async def opened(self, **fields) -> tuple[Exchange, Answer]:
        return await self._first(open_first, **fields)

    async def streamed(self, **fields) -> bytes:
        """The bytes of the whole stream."""
        _, answer = await self.opened(**fields)
        try:
            return b"".join([piece async for piece in answer.pieces])
        finally:
            await answer.aclose()

    async def collected(self, **fields) -> bytes:
        """The body of the whole answer."""
        _, body, _ = await self._first(collect_first, **fields)
        return body

    async def _first(self, first, *, conversation: str | None = None, wait_seconds: float = 0, total_seconds: float = 30, **fields) -> Any:
        began = trio.current_time()
        total_at = began + total_seconds
        candidates = [candidate(name, upstream, total_at=total_at, stop=self.stop, **fields) for name, upstream in self.upstreams.items()]
        try:
            return await first(candidates, self.health, self.trail, conversation=conversation, wait_seconds=wait_seconds, total_at=total_at)
        finally:
            self.seconds = trio.current_time() - began


def candidate(name: str, upstream: Upstream, *, total_at: float | None = None, stop: Stop | None = None, **fields) -> Candidate:
    """A candidate whose exchange is made when its turn comes; a field `request` or `timeouts` is for that, the others are the candidate's."""
    request = fields.pop("request", ASK)
    timeouts = fields.pop("timeouts", Timeouts(CONNECT_SECONDS, FIRST_EVENT_SECONDS, IDLE_SECONDS))
    terms = Terms(identity=Identity.frozen(), timeouts=timeouts, stop=stop or Stop(), total_at=total_at)

    async def prepare() -> Exchange:
        return await Exchange.prepared(request, upstream, terms, model=name)

    return Candidate(name, prepare, **fields)


@asynccontextmanager
async def targets(*faults: Fault) -> AsyncIterator[Targets]:
    """One target for each of the faults, `a` the first."""
    async with AsyncExitStack() as stack:
        made = Targets()
        transport = Transport(proxies=Proxies(), connect_seconds=CONNECT_SECONDS, write_seconds=2)
        client = await stack.enter_async_context(open_client(transport=transport))
        for name, fault in zip(SECRETS, faults, strict=False):
            origin = await _origin(stack, fault, made, name)
            made.upstreams[name] = _upstream(name, origin, client)
        yield made


def _upstream(name: str, origin: str, client: Client) -> OpenAIChatUpstream:
    config = OpenAIChatConfig(origin, Credential(Kind.OWN, Secret(SECRETS[name])))
    return OpenAIChatUpstream(name, config, client, new_id=lambda: "made_1")


async def _origin(stack: AsyncExitStack, fault: Fault, made: Targets, name: str) -> str:
    made.received[name] = []
    match fault:
        case Place.REFUSED:
            return f"http://127.0.0.1:{_free_port()}"
        case Place.BLACK_HOLE:
            return f"http://127.0.0.1:{_full_listener(stack)}"
        case Place.NO_SUCH_HOST:
            trio.socket.set_custom_hostname_resolver(NoHosts())  # for this test's run alone
            return "http://nowhere.invalid"
        case Place.BAD_CERTIFICATE:
            server = await stack.enter_async_context(raw_server([], tls=_untrusted()))
            return server.url("", scheme="https", host="localhost")
        case _:
            scripted = await stack.enter_async_context(openai_server(fault))
            made.received[name] = scripted.requests
            return scripted.origin


def _free_port() -> int:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def _full_listener(stack: AsyncExitStack) -> int:
    listener = stack.enter_context(closing(socket.socket()))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(2):
        waiting = stack.enter_context(closing(socket.socket()))
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    port: int = listener.getsockname()[1]
    return port


def _untrusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        for name, content in (("certificate", CERTIFICATE), ("key", KEY)):
            Path(folder, name).write_text(content)
        context.load_cert_chain(Path(folder, "certificate"), Path(folder, "key"))
    return context


class NoHosts(trio.abc.HostnameResolver):
    """A name service that knows no name."""

    async def getaddrinfo(self, *args, **kwargs) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, *args, **kwargs) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
