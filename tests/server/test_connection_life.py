"""A connection ends when it should and takes nothing with it: no leak, no fault that leaves it, and clocks on whatever a client may be slow with."""

import json
import random
import socket
import ssl
from collections.abc import AsyncGenerator

import pytest
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.events import RawData
from hypercorn.trio.worker_context import WorkerContext

from pipeline.events import Finish, TextDelta
from server.app import create_app
from server.connection import Connection, Connections
from server.http1 import Http1
from server.lifecycle import Lifecycle
from server.listening import hypercorn_config
from server.settings import Settings
from tests.server.test_http1 import CHUNKED, H2C, HEALTH, REFUSED, WEBSOCKET
from tests.support.gateway_server import RunningServer, chat_request, read_all, read_until, running_server
from tests.support.scripted import ScriptedUpstream, Step
from tests.support.tls import CERTIFICATE, KEY

BODY = json.dumps({"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
HELLO: list[Step] = [[TextDelta("Hello")], [Finish()]]
PAUSE: list[Step] = [0.02, [TextDelta("x")]]
SLOW: list[Step] = [[TextDelta("Hello")], *(PAUSE * 200), [Finish()]]


@pytest.fixture
def connections(monkeypatch):
    """The open connections of the server that the test starts."""
    kept = Connections()
    monkeypatch.setattr("server.serve.Connections", lambda: kept)
    return kept


@pytest.fixture
async def server(connections) -> AsyncGenerator[RunningServer, None]:
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as running:
        yield running


async def settle(server: RunningServer, connections: Connections, *, within_seconds: float = 3) -> None:
    """Wait until nothing is in work and no connection is left, then ask for a sign of life."""
    with trio.fail_after(within_seconds):
        await connections.wait_until_none()
    assert server.lifecycle.in_work == 0
    stream = await server.send(HEALTH + b"Connection: close\r\n\r\n")
    with trio.fail_after(2):
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200")


def send_and_close(port: int, pieces: list[bytes], *, read_seconds: float) -> None:
    """One blocking client that reads a little and leaves."""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(max(read_seconds, 0.001))
        try:
            for piece in pieces:
                client.sendall(piece)
                if read_seconds:
                    client.recv(200)
        except OSError:
            pass  # the server may close first


@pytest.mark.parametrize(
    "request_",
    [
        CHUNKED.replace(b"/v1/chat/completions", b"http://[") + b"\r\n2\r\n{}XX0\r\n\r\n",
        CHUNKED + b"\r\nzz\r\n",
        HEALTH + b"\r\n\0\0 garbage\r\n\r\n",
    ],
    ids=["refused and garbled", "bad chunk", "garbage behind a request"],
)
async def test_no_request_ends_the_server(request_, server, connections):
    async def client(reads: bool) -> None:
        for _ in range(150):
            await trio.to_thread.run_sync(lambda: send_and_close(server.port, [request_], read_seconds=0.2 if reads else 0.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, True)
        nursery.start_soon(client, False)
    await settle(server, connections)
    assert not server.finished.is_set()


async def test_a_fault_of_one_connection_stays_in_it(server, connections, monkeypatch, caplog):
    stays = await server.send(HEALTH + b"\r\n")
    await read_until(stays, b"}")
    handle = Http1.handle

    async def broken(self: Http1, event: object) -> None:
        if isinstance(event, RawData) and b"break" in event.data:
            raise RuntimeError("a fault")
        await handle(self, event)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(Http1, "handle", broken)
    with trio.fail_after(2):
        assert await read_all(await server.send(b"break\r\n\r\n")) == b""
        await stays.send_all(HEALTH + b"\r\n")
        assert (await read_until(stays, b"}")).startswith(b"HTTP/1.1 200")
    await stays.aclose()
    await settle(server, connections)
    assert [record.getMessage() for record in caplog.records if record.name == "penstock.http"] == ["a connection ended with an unexpected error"]


@pytest.mark.parametrize("extra", [b"", b"\r\n", HEALTH + b"\r\n"], ids=["nothing", "a stray line", "a next request"])
async def test_a_client_that_leaves_is_let_go_whatever_it_sent_behind_its_request(extra, connections):
    upstream = ScriptedUpstream(SLOW)
    async with running_server(upstreams={"captured": upstream}) as server:
        for _ in range(5):
            stream = await server.send(chat_request(BODY) + extra)
            await read_until(stream, b"Hello")
            await stream.aclose()
        await settle(server, connections, within_seconds=1.5)
    assert upstream.closed == 5


async def test_a_resting_connection_whose_client_leaves_is_gone_at_once(server, connections):
    stream = await server.send(HEALTH + b"\r\n")
    await read_until(stream, b"}")
    await stream.aclose()
    await settle(server, connections, within_seconds=1)


async def test_stopping_does_not_wait_for_bytes_behind_a_request(connections):
    upstream = ScriptedUpstream([[TextDelta("Hello")], 0.3, [Finish()]])
    async with running_server(upstreams={"captured": upstream}, drain_seconds=8.0) as server:
        stream = await server.send(chat_request(BODY) + b"\r\n")
        await read_until(stream, b"Hello")
        server.lifecycle.stopping.set()
        with trio.fail_after(3):
            assert b"[DONE]" in await read_all(stream)
            await server.finished.wait()


async def test_an_aborted_connection_tells_its_upstream(connections):
    upstream = ScriptedUpstream([[TextDelta("Hello")], 60.0])
    async with running_server(upstreams={"captured": upstream}) as server:
        stream = await server.send(chat_request(BODY) + b"\r\n")
        await read_until(stream, b"Hello")
        await connections.abort()
        with trio.fail_after(1):
            await upstream.was_closed.wait()
        await settle(server, connections)


async def test_a_later_head_has_as_long_as_the_first(server, connections, monkeypatch):
    monkeypatch.setattr("server.connection.FIRST_REQUEST_SECONDS", 0.3)
    stream = await server.send(HEALTH + b"\r\n")
    await read_until(stream, b"}")
    await trio.sleep(0.5)  # rest has a longer clock
    began = trio.current_time()
    rest = b""
    with trio.fail_after(3), pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - the server closes somewhere in the head
        for byte in HEALTH * 20:
            await stream.send_all(bytes([byte]))
            with trio.move_on_after(0.05):
                rest += await stream.receive_some()
    assert rest == b""
    assert 0.2 < trio.current_time() - began < 1.5
    await stream.aclose()
    await settle(server, connections)


async def test_a_head_begun_behind_a_request_has_the_short_clock_too(server, connections, monkeypatch):
    monkeypatch.setattr("server.connection.FIRST_REQUEST_SECONDS", 0.3)
    stream = await server.send(chat_request(BODY) + HEALTH)
    with trio.fail_after(2):
        assert b"[DONE]" in await read_all(stream)
    await settle(server, connections)


async def test_a_handshake_has_as_long_as_a_first_request(connections, monkeypatch, tmp_path):
    monkeypatch.setattr("server.connection.FIRST_REQUEST_SECONDS", 0.3)
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}, tls_cert=certificate, tls_key=key) as server:
        silent = await server.connect()
        with trio.fail_after(2):
            assert await read_all(silent) == b""
        plain = await server.send(HEALTH + b"\r\n")
        with trio.fail_after(2):
            assert b"HTTP/" not in await read_all(plain)
        context = ssl.create_default_context(cadata=CERTIFICATE)
        for body in (HEALTH + b"Connection: close\r\n\r\n", chat_request(BODY, headers=("Connection: close",)), b"GET ?x HTTP/1.1\r\n\r\n"):
            secured = trio.SSLStream(await server.connect(), context, server_hostname="localhost", https_compatible=True)
            with trio.fail_after(2):
                await secured.send_all(body)
                assert (await secured.receive_some()).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
                async for _ in secured:
                    pass
        with trio.fail_after(2):
            await connections.wait_until_none()


async def test_a_slow_reader_makes_progress():
    """What counts is the time without a byte, not the time that a write takes."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    stream, reader = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in (ours, theirs))
    config = hypercorn_config(Settings())
    app = ASGIWrapper(create_app(Settings(), {}, Lifecycle(1)))
    connection = Connection(app, config, WorkerContext(None), {}, stream, connections=Connections(), write_stall_seconds=0.3)
    started = trio.current_time()
    async with stream, reader, trio.open_nursery() as nursery:
        nursery.start_soon(connection.write, b"x" * 60_000)
        received = 0
        with trio.fail_after(5):
            while received < 60_000:
                await trio.sleep(0.05)
                piece = await reader.receive_some(3000)
                assert piece, "broken off while it was reading"
                received += len(piece)
        assert trio.current_time() - started > 0.6
        with trio.fail_after(5):
            await connection.write(b"x" * 600_000)  # nobody reads
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"x")


SEEDS = [request for request, _, _ in REFUSED.values() if len(request) < 10_000] + [
    HEALTH + b"\r\n",
    HEALTH + WEBSOCKET,
    HEALTH + H2C,
    b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n",
    chat_request(BODY),
    chat_request(BODY, headers=("Connection: close",)),
    chat_request(BODY, headers=("Expect: 100-continue",)),
    chat_request(BODY)[:-5],
    CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    CHUNKED + b"\r\n%x\r\n%s\r\n0\r\nTrailer: a\r\n\r\n" % (len(BODY), BODY),
]
SPLICES = [
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n",
    b"Content-Length: 3\r\n",
    b"0\r\n\r\n",
]


def mutated(chance: random.Random) -> list[bytes]:
    """One or two requests with a few bytes changed, taken out or put in, in one or two pieces."""
    data = bytearray(b"".join(chance.choices(SEEDS, k=chance.randint(1, 2))))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(data))
        kind = chance.random()
        if kind < 0.4:
            data[at] = chance.randrange(256)
        elif kind < 0.7:
            del data[at : at + chance.randint(1, 8)]
        else:
            data[at:at] = chance.choice(SPLICES)
        data = data or bytearray(b"\0")
    cut = chance.randrange(len(data)) if chance.random() < 0.3 else len(data)
    return [bytes(piece) for piece in (data[:cut], data[cut:]) if piece]


@pytest.mark.slow
async def test_ten_seconds_of_broken_requests(connections, caplog):
    """Whatever comes, the server lives, no connection is left, and none ended in a way that we did not think of."""
    chance = random.Random(20_240_817)
    count = 0
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}, body_seconds=0.5) as server:
        ends = trio.current_time() + 10

        async def client() -> None:
            nonlocal count
            while trio.current_time() < ends:
                pieces, seconds = mutated(chance), chance.choice([0.0, 0.0, 0.02])
                await trio.to_thread.run_sync(lambda: send_and_close(server.port, pieces, read_seconds=seconds))  # noqa: B023 - awaited here
                count += 1

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(client)
        await settle(server, connections, within_seconds=5)
        assert not server.finished.is_set()
    assert count > 500
    assert [record.exc_text for record in caplog.records if record.name == "penstock.http"] == []
