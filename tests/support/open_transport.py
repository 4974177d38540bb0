"""An httpx client over our transport, going direct, and what a test asks of its connections."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from pipeline.upstream.http1.proxy import Proxies
from pipeline.upstream.transport import Transport


@asynccontextmanager
async def open_transport(**settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Transport]]:
    """A client and its transport; both are closed with the block."""
    transport = Transport(**{"proxies": Proxies(), "connect_seconds": 2, "write_seconds": 2, **settings})
    async with httpx.AsyncClient(transport=transport, timeout=None) as client:
        yield client, transport


async def pieces_of(response: httpx.Response) -> list[bytes]:
    """The body, read by read, with the silences."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return [piece async for piece in response.stream]


@asynccontextmanager
async def opened_pieces(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body's pieces for a reader that may leave early: httpx wraps the stream in a generator, which must be closed then."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    pieces = aiter(response.stream)
    try:
        yield pieces
    finally:
        assert isinstance(pieces, AsyncGenerator)
        await pieces.aclose()


def socket_count() -> int:
    """The sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue
    return count


async def settled(expected: int, count: Any = socket_count, seconds: float = 2) -> int:
    """Wait until the count is what is expected, or for some seconds; returns it."""
    deadline = anyio.current_time() + seconds
    while count() != expected and anyio.current_time() < deadline:  # noqa: ASYNC110 -- the kernel sets no event
        await anyio.sleep(0.005)
    return count()
