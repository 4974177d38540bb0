"""The idle connections: reuse, one retry of a dead one, expiry, and the limit."""

import anyio
import httpx
import pytest

from tests.support.open_transport import open_transport, opened_pieces, settled, socket_count
from tests.support.raw_server import REQUEST, Close, Pause, Reset, Wait, raw_server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def test_a_complete_response_keeps_its_connection():
    async with raw_server([REQUEST, ANSWER] * 50) as server, open_transport() as (client, transport):
        for _ in range(50):
            assert (await client.get(server.url())).content == b"hi"
        assert (len(server.peers), transport.idle_count) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ANSWER + b"surprise",
    ],
    ids=["close", "1.0", "pipelined", "surplus"],
)
async def test_what_ends_a_connection(answer):
    async with raw_server([REQUEST, answer], [REQUEST, ANSWER]) as server, open_transport() as (client, transport):
        assert (await client.get(server.url())).content == b"hi"
        assert transport.idle_count == 0
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        assert (await client.get(server.url())).content == b"hi"


async def test_surplus_behind_a_chunked_body_fails_it_at_no_cut():
    """The answer is complete; what else the peer says must not depend on how its bytes fell into reads."""
    body = b"2\r\nhi\r\n0\r\n\r\n"
    stream, surplus = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    places = range(len(stream) - len(body), len(stream) + 4)
    scripts = [[REQUEST, (stream + surplus)[:at], Pause(0.01), (stream + surplus)[at:]] for at in places]
    async with raw_server(*scripts) as server, open_transport() as (client, _):
        for _ in scripts:
            assert (await client.get(server.url())).content == b"hi"
            await anyio.sleep(0.02)  # what comes between two answers is for the next request to find
        assert len(server.peers) == len(scripts)


async def test_a_request_that_asks_for_the_end_gets_it():
    async with raw_server([REQUEST, ANSWER]) as server, open_transport() as (client, transport):
        await client.get(server.url(), headers={"Connection": "close"})
        assert transport.idle_count == 0


@pytest.mark.parametrize("late", [[Close()], [Reset()], [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], [b"x"]])
async def test_an_idle_connection_on_which_something_happened_is_not_used(late):
    async with raw_server([REQUEST, ANSWER, Pause(0.01), *late], [REQUEST, ANSWER]) as server, open_transport() as (client, _):
        await client.get(server.url())
        await anyio.sleep(0.05)
        assert (await client.post(server.url(), content=b"once")).content == b"hi"
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


def dies_on_the_second(*before: object) -> list[object]:
    return [REQUEST, ANSWER, REQUEST, *before]


@pytest.mark.parametrize("ending", [Close(), Reset()])
async def test_a_reused_connection_that_dies_without_a_byte_is_replaced_once(ending):
    async with raw_server(dies_on_the_second(ending), [REQUEST, ANSWER]) as server, open_transport() as (client, _):
        await client.get(server.url())
        assert (await client.post(server.url(), content=b"again")).content == b"hi"
        assert [request[-5:] for request in server.requests[1:]] == [b"again", b"again"]
        assert len(server.peers) == 2


async def test_the_second_try_is_the_last():
    async with raw_server(dies_on_the_second(Close()), [REQUEST, Close()]) as server, open_transport() as (client, _):
        await client.get(server.url())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(server.url(), content=b"again")
        assert [len(peer.requests) for peer in server.peers] == [2, 1]


@pytest.mark.parametrize("byte", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_no_second_try_after_a_byte(byte):
    async with raw_server(dies_on_the_second(byte, Pause(0.01), Close()), [REQUEST, ANSWER]) as server, open_transport() as (client, _):
        await client.get(server.url())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(server.url(), content=b"again")
        assert len(server.peers) == 1


async def test_no_second_try_for_a_body_that_is_gone():
    async def parts():
        yield b"once"

    async with raw_server(dies_on_the_second(Close()), [REQUEST, ANSWER]) as server, open_transport() as (client, _):
        await client.get(server.url())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(server.url(), content=parts())
        assert len(server.peers) == 1


async def test_idle_connections_expire():
    async with raw_server([REQUEST, ANSWER] * 2) as server, open_transport(idle_expiry_seconds=0.05) as (client, transport):
        await client.get(server.url())
        assert transport.idle_count == 1
        await anyio.sleep(0.08)
        await client.get(server.url())
        assert (len(server.peers), transport.idle_count) == (2, 1)
        await server.peers[0].gone.wait()


async def test_there_are_never_more_idle_ones_than_allowed_and_the_oldest_goes_first():
    together = anyio.Event()
    script = [REQUEST, Wait(together), ANSWER, REQUEST, ANSWER]
    async with raw_server(script) as server, open_transport(max_idle=3) as (client, transport):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(client.get, server.url())
            await settled(8, lambda: len(server.requests))
            together.set()
        assert transport.idle_count == 3
        assert await settled(5, lambda: sum(peer.gone.is_set() for peer in server.peers)) == 5
        await client.get(server.url())
        assert len(server.peers) == 8


async def test_origins_do_not_share():
    async with raw_server([REQUEST, ANSWER] * 3) as one, raw_server([REQUEST, ANSWER] * 3) as other, open_transport() as (client, transport):
        for server in (one, other, one, other, other, one):
            await client.get(server.url())
        assert (len(one.peers), len(other.peers), transport.idle_count) == (1, 1, 2)


async def test_closing_the_client_closes_the_idle_ones_and_those_that_come_back():
    release = anyio.Event()
    base = socket_count()
    async with raw_server([REQUEST, ANSWER, REQUEST, ANSWER[:-1], Wait(release), ANSWER[-1:]]) as server:
        async with open_transport() as (client, transport):
            await client.get(server.url())
            assert transport.idle_count == 1
            other = await transport.handle_async_request(httpx.Request("GET", server.url()))
            await transport.aclose()
            release.set()
            assert await other.aread() == b"hi"
            assert transport.idle_count == 0
        for peer in server.peers:
            with anyio.fail_after(1):
                await peer.gone.wait()
    assert await settled(base) == base


@pytest.mark.parametrize("read", [True, False])
async def test_a_body_read_in_part_or_not_at_all_closes(read):
    async with raw_server([REQUEST, ANSWER[:-1]]) as server, open_transport() as (client, transport):
        async with client.stream("GET", server.url()) as response:
            if read:
                async with opened_pieces(response) as pieces:
                    assert await anext(pieces) == b"h"
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        assert transport.idle_count == 0
