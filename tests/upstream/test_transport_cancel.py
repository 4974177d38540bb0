"""Cancellation in every state: the socket is closed at once, and nothing is left behind."""

import random

import anyio
import httpx
import pytest

from tests.support.open_transport import open_transport, opened_pieces, settled, socket_count
from tests.support.raw_server import REQUEST, Flood, Wait, raw_server

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class BodyWithoutEnd:
    """Not a generator, since httpx leaves its caller's generator open when a request is cancelled."""

    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"x" * 65_536


@pytest.mark.parametrize("state", ["sending", "waiting for the head", "inside the head", "inside the body", "between pieces"])
async def test_a_cancelled_request_closes_its_socket_at_once(state):
    never = anyio.Event()
    scripts: dict[str, list[object]] = {
        "sending": [Wait(anyio.Event())],
        "waiting for the head": [REQUEST],
        "inside the head": [REQUEST, HEAD[:20]],
        "inside the body": [REQUEST, HEAD + b"2\r\nhi\r\n"],
        "between pieces": [REQUEST, HEAD + b"2\r\nhi\r\n"],
    }
    base = socket_count()
    async with raw_server(scripts[state]) as server, open_transport(write_seconds=30) as (client, transport):
        scope = anyio.CancelScope()

        async def go():
            content = BodyWithoutEnd() if state == "sending" else b""
            with scope:
                async with client.stream("POST", server.url(), content=content) as response, opened_pieces(response) as pieces:
                    async for _ in pieces:
                        if state == "between pieces":
                            await never.wait()

        ours = 3  # the listener and both ends of the connection
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go)
            await settled(base + ours)
            await anyio.sleep(0.05)
            scope.cancel()
        assert await settled(base + ours - (1 if state == "sending" else 2), seconds=0.1) <= base + ours - 1
        assert transport.idle_count == 0
    assert await settled(base) == base


async def test_a_cancelled_connect_leaves_nothing():
    """The peer takes the connection and never answers the handshake of TLS."""
    base = socket_count()
    async with raw_server([REQUEST]) as server, open_transport(connect_seconds=30) as (client, transport):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.get, server.url(scheme="https"))
                await settled(1, lambda: sum(bool(peer.held) for peer in server.peers))
                scope.cancel()
        assert scope.cancelled_caught
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        assert transport.idle_count == 0
    assert await settled(base) == base


async def cancel_at_random(count: int, seed: int) -> None:
    chance = random.Random(seed)
    base = socket_count()
    whole = [REQUEST, HEAD + b"2\r\nhi\r\n0\r\n\r\n"] * 3
    async with raw_server(*([whole, [REQUEST, HEAD, Flood(b"2\r\nhi\r\n")]] * count)) as server, open_transport() as (client, transport):

        async def go():
            with anyio.move_on_after(chance.random() * 0.02):
                try:
                    async with client.stream("POST", server.url(), content=b"x" * 5000) as response:
                        async for _ in response.aiter_raw():
                            pass
                except httpx.TransportError:
                    pass

        limit = anyio.Semaphore(16)

        async def limited():
            async with limit:
                await go()

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(limited)
        # both ends of each idle connection, and the listener
        await settled(base + 1 + 2 * transport.idle_count)
        assert socket_count() == base + 1 + 2 * transport.idle_count
        assert transport.idle_count <= 20
    assert await settled(base) == base


async def test_three_hundred_random_cancels_leak_nothing():
    await cancel_at_random(300, 1)


@pytest.mark.slow
async def test_two_thousand_random_cancels_leak_nothing():
    await cancel_at_random(2000, 2)
