"""A real server on a free port, and a client that sees every byte."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from pipeline.upstream.base import Upstream
from server.config import load_settings
from server.lifecycle import Lifecycle
from server.listening import listen
from server.serve import serve
from server.settings import Server, Settings


class RunningServer:
    """A server that serves; `lifecycle.stopping.set()` stops it, `finished` is set when it has ended."""

    def __init__(self, port: int, lifecycle: Lifecycle) -> None:
        self.port = port
        self.lifecycle = lifecycle
        self.finished = trio.Event()
        self.streams: list[trio.SocketStream] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.streams.append(stream)
        return stream

    async def send(self, request: bytes) -> trio.SocketStream:
        stream = await self.connect()
        await stream.send_all(request)
        return stream

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, trust_env=False)


@asynccontextmanager
async def running_server(
    settings: Settings | None = None, upstreams: Mapping[str, Upstream] | None = None, **server: Any
) -> AsyncGenerator[RunningServer, None]:
    """Serve on loopback; `server` are keys of `[server]`."""
    settings = settings or Settings()
    settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, **{"port": 0, "drain_seconds": 2.0, **server}))
    assert isinstance(settings.server, Server)
    listener = listen(settings)
    port = listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        lifecycle = Lifecycle.under(settings.server)
        running = RunningServer(port, lifecycle)

        async def start(*, task_status: trio.TaskStatus[Lifecycle]) -> None:  # noqa: ASYNC128 - serve() does it
            await serve(settings, listener, lifecycle=lifecycle, upstreams=upstreams, task_status=task_status)
            running.finished.set()

        await nursery.start(start)
        yield running
        for stream in running.streams:
            await stream.aclose()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def gateway_from(folder: Path, toml: str, *, mode: str | None = None, **environ: str) -> AsyncGenerator[RunningServer, None]:
    """Serve by the settings of a file with this text, and these variables alone."""
    path = folder / "penstock.toml"
    path.write_text(toml)
    overrides = {} if mode is None else {"auth.mode": mode}
    loaded = load_settings(overrides=overrides, config=path, environ={"HOME": str(folder), **environ}, cwd=folder)
    async with running_server(loaded.settings) as server:
        yield server


def chat_request(body: bytes, *, path: str = "/v1/chat/completions", headers: tuple[str, ...] = (), version: str = "1.1") -> bytes:
    """A POST as raw bytes."""
    lines = [f"POST {path} HTTP/{version}", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    """Everything up to and including the first read that completes `mark`, or the end of the stream."""
    received = b""
    while mark not in received:
        piece = await stream.receive_some()
        if not piece:
            break
        received += piece
    return received


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the server closes."""
    received = b""
    async for piece in stream:
        received += piece
    return received
