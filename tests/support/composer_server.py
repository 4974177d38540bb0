"""A scripted server that speaks Composer's wire over a real socket, for recording fixtures and for tests of faults.

A script is a sequence of steps, or a function from the request to one:

- `bytes`: written as one HTTP chunk of the answer's body, in one write;
- `Late(seconds)`: nothing for a while, not even the answer's head; only as the first step;
- `Pause(seconds)`: nothing for a while; a client that goes away ends it and sets `Received.gone`;
- `Cut()`: the connection is closed, so that the chunked body has no end;
- `Reset()`: the connection is reset;
- `Reply(status, body, headers)`: a whole answer of another kind, such as an HTTP error or a token; only as the first step, or after `Late`.

A script that runs to its end ends the body properly, and the connection is kept for the next request. `POST` to the endpoint must be Connect: what is
not is answered with 404, 405, 415 or 400, and kept in `requests` all the same. Other paths have scripts of their own in `others`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import msgspec
import trio

from pipeline.errors import ProtocolViolation
from pipeline.wire.composer_request import ComposerRequest, decode_request
from tests.support.http_connection import HttpConnection

ENDPOINT = "/composer/chat"
CONTENT_TYPE = "application/connect+proto"


class Late(msgspec.Struct, frozen=True):
    seconds: float


class Pause(msgspec.Struct, frozen=True):
    seconds: float


class Cut(msgspec.Struct, frozen=True):
    pass


class Reset(msgspec.Struct, frozen=True):
    pass


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Received:
    """One request. `message` is None when the body is not a Composer request; `gone` is set when the client left before the answer's end."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.gone = trio.Event()
        self.message: ComposerRequest | None = None
        with suppress(ProtocolViolation):
            self.message = decode_request(body)


Step: TypeAlias = bytes | Late | Pause | Cut | Reset | Reply
Script: TypeAlias = Sequence[Step] | Callable[[Received], Sequence[Step]]


class ComposerServer:
    """What a test sees of the server."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.url = self.origin + ENDPOINT
        self.requests: list[Received] = []
        self.connections = 0


@asynccontextmanager
async def composer_server(script: Script, others: Mapping[str, Script] | None = None) -> AsyncIterator[ComposerServer]:
    """Serve until the block is left."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = ComposerServer(listeners[0].socket.getsockname()[1])
    scripts = {ENDPOINT: script, **(others or {})}
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, partial(_serve, server, scripts), listeners, handler_nursery=nursery))
        yield server
        nursery.cancel_scope.cancel()


async def _serve(server: ComposerServer, scripts: Mapping[str, Script], stream: trio.SocketStream) -> None:
    connection = HttpConnection(stream)
    server.connections += 1
    try:
        while (request := await connection.request()) is not None:
            received = Received(request.method, request.path, request.headers, request.body)
            server.requests.append(received)
            if not await _answer(connection, received, _steps(received, scripts)):
                break
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        if server.requests:
            server.requests[-1].gone.set()
    finally:
        await trio.aclose_forcefully(stream)


def _steps(received: Received, scripts: Mapping[str, Script]) -> Sequence[Step]:
    script = scripts.get(received.path)
    if script is None:
        return [Reply(404)]
    if received.path == ENDPOINT and (refusal := _refusal(received)) is not None:
        return [refusal]
    return script(received) if callable(script) else script


def _refusal(received: Received) -> Reply | None:
    if received.method != "POST":
        return Reply(405)
    if received.headers.get("content-type") != CONTENT_TYPE:
        return Reply(415)
    if received.headers.get("connect-protocol-version") != "1" or received.message is None:
        return Reply(400, b'{"code":"invalid_argument","message":"not a Connect request"}', {"content-type": "application/json"})
    return None


async def _answer(connection: HttpConnection, received: Received, steps: Sequence[Step]) -> bool:
    """Play the steps; returns whether the connection can be used again."""
    if steps and isinstance(steps[0], Late):
        if await _client_left(connection, received, steps[0].seconds):
            return False
        steps = steps[1:]
    if steps and isinstance(steps[0], Reply):
        reply = steps[0]
        await connection.answer(reply.status, reply.body, reply.headers)
        return True
    await connection.begin(CONTENT_TYPE)
    for step in steps:
        match step:
            case bytes():
                await connection.piece(step)
            case Pause(seconds):
                if await _client_left(connection, received, seconds):
                    return False
            case Cut():
                return False
            case Reset():
                connection.reset()
                return False
            case Reply() | Late():
                raise AssertionError("a Reply is a whole answer, and what is Late is its head: they can only be the first step")
    await connection.end()
    return True


async def _client_left(connection: HttpConnection, received: Received, seconds: float) -> bool:
    """Wait; True as soon as the client closes."""
    with trio.move_on_after(seconds):
        await connection.client_left()
        received.gone.set()
        return True
    return False
