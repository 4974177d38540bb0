"""A scripted OpenAI-compatible server over a real socket, and the words to write its streams with.

A script is a sequence of steps, or a function from the request to one: `bytes` is one write of the answer's body, `Pause` waits and notices a client
that goes away, `Cut` ends the chunked body without its end, `Reset` resets the connection, `Reply` is a whole answer of another kind and `Late` holds
the head back; the last two only in the beginning. A connection serves one request.
"""

import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import trio

from tests.support.composer_server import Cut, Late, Pause, Reply, Reset, Step

ENDPOINT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
_READ_BYTES = 65_536


class Received:
    """One request; `gone` is set when the client left before the answer's end."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.gone = trio.Event()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script: TypeAlias = Sequence[Step] | Callable[[Received], Sequence[Step]]


class OpenAIServer:
    """What a test sees of the server."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.url = self.origin + ENDPOINT
        self.requests: list[Received] = []


@asynccontextmanager
async def openai_server(script: Script, path: str = ENDPOINT) -> AsyncIterator[OpenAIServer]:
    """Serve until the block is left; another path is answered with 404."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = OpenAIServer(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, partial(_serve, server, script, path), listeners, handler_nursery=nursery))
        yield server
        nursery.cancel_scope.cancel()


async def _serve(server: OpenAIServer, script: Script, path: str, stream: trio.SocketStream) -> None:
    received = None
    try:
        received = await _receive(stream)
        server.requests.append(received)
        if received.method != "POST" or received.path.partition("?")[0] != path:
            await _play(stream, received, [Reply(404, b'{"detail":"Not Found"}', {"content-type": "application/json"})])
        else:
            await _play(stream, received, script(received) if callable(script) else script)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        if received is not None:
            received.gone.set()
    finally:
        await trio.aclose_forcefully(stream)


async def _receive(stream: trio.SocketStream) -> Received:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := await stream.receive_some(_READ_BYTES)):
            raise trio.BrokenResourceError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        if not (more := await stream.receive_some(_READ_BYTES)):
            raise trio.BrokenResourceError
        body += more
    method, target, _ = first.split(" ")
    return Received(method, target, headers, body)


async def _play(stream: trio.SocketStream, received: Received, steps: Sequence[Step]) -> None:
    if steps and isinstance(steps[0], Late):
        if await _client_left(stream, steps[0].seconds):
            received.gone.set()
            return
        steps = steps[1:]
    if steps and isinstance(steps[0], Reply):
        reply = steps[0]
        await stream.send_all(_head(reply.status, {**reply.headers, "content-length": str(len(reply.body))}) + reply.body)
        return
    await stream.send_all(_head(200, {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}))
    for step in steps:
        match step:
            case bytes():
                await stream.send_all(b"%x\r\n%b\r\n" % (len(step), step))
            case Pause(seconds):
                if await _client_left(stream, seconds):
                    received.gone.set()
                    return
            case Cut():
                return
            case Reset():
                # lingering for no time at all makes the close a reset
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            case Reply() | Late():
                raise AssertionError("a Reply is a whole answer, and what is Late is its head: they can only be the first step")
    await stream.send_all(b"0\r\n\r\n")


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}connection: close\r\n\r\n".encode()


async def _client_left(stream: trio.SocketStream, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        return not await stream.receive_some(_READ_BYTES)
    return False


# -- words for streams -------------------------------------------------------------------------------------------------------------------------


def event(**fields: Any) -> bytes:
    """One `data:` event of these fields, in the compact and ASCII form of most servers."""
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def chunk(finish: str | None = None, /, **delta: Any) -> bytes:
    """One chunk of an answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event(id="chatcmpl-1", object="chat.completion.chunk", created=1_700_000_000, model="kimi-k3", choices=[choice])


def text(content: str) -> bytes:
    return chunk(content=content)


def call(**fields: Any) -> bytes:
    """One entry of `tool_calls`: index, id, and the name and arguments of its function."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return chunk(tool_calls=[{**fields, **({"function": function} if function else {})}])


def usage(prompt: int, completion: int, **details: Any) -> bytes:
    """The chunk with the usage and no choice."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}
    return event(id="chatcmpl-1", object="chat.completion.chunk", created=1_700_000_000, model="kimi-k3", choices=[], usage=counts)
