"""What quart-trio and hypercorn do by themselves and what we add: each test holds our side, and tells when a library has changed its own."""

import importlib.metadata
import inspect
import json

import pytest
import trio
from hypercorn.trio.task_group import TaskGroup

from pipeline.events import Finish, TextDelta
from server.connection import Connections
from server.settings import Settings, Timeouts
from tests.support.gateway_server import chat_request, read_all, read_until, running_server
from tests.support.scripted import ScriptedUpstream, Step

BODY = json.dumps({"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
WHOLE = json.dumps({"model": "composer-2.5", "messages": [{"role": "user", "content": "Hi"}]}).encode()
HELLO: list[Step] = [[TextDelta("Hello")], [Finish()]]
FOREVER: list[Step] = [[TextDelta("Hello")], 60.0, [Finish()]]


def test_the_seams_are_those_of_the_pinned_versions():
    """`server.connection` and `server.serve` stand on parts of hypercorn that it does not promise; look at both when this fails."""
    assert importlib.metadata.version("hypercorn") == "0.18.0"
    assert importlib.metadata.version("quart-trio") == "0.12.0"
    assert "self._nursery.start_soon" in inspect.getsource(TaskGroup.spawn_app)
    assert "_nursery" in vars(TaskGroup())


@pytest.mark.parametrize(("version", "headers"), [("1.1", ("Connection: close",)), ("1.0", ())])
async def test_the_connection_closes_when_it_should(version, headers):
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(chat_request(BODY, version=version, headers=headers))
        with trio.fail_after(1):
            answer = await read_all(stream)
    assert b"[DONE]" in answer


async def test_a_connection_serves_one_request_after_the_other():
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(chat_request(BODY))
        for _ in range(3):
            with trio.fail_after(1):
                assert b"[DONE]" in await read_until(stream, b"\r\n0\r\n\r\n")
            await stream.send_all(chat_request(BODY))


async def test_each_list_of_events_is_written_when_it_comes():
    steps: list[Step] = [[TextDelta("one")], 0.2, [TextDelta("two")], 60.0]
    async with running_server(upstreams={"captured": ScriptedUpstream(steps)}) as server:
        stream = await server.send(chat_request(BODY))
        with trio.fail_after(1):
            assert b"two" not in await read_until(stream, b'"one"')
            assert b'"two"' in await read_until(stream, b'"two"')


@pytest.mark.parametrize(
    ("body", "steps", "mark"),
    [(BODY, [60.0], b""), (BODY, FOREVER, b"Hello"), (WHOLE, FOREVER, b"")],
    ids=["before the first event", "in the stream", "before a whole answer"],
)
async def test_when_the_client_goes_the_upstream_is_closed(body, steps, mark, monkeypatch):
    connections = Connections()
    monkeypatch.setattr("server.serve.Connections", lambda: connections)
    upstream = ScriptedUpstream(steps)
    async with running_server(upstreams={"captured": upstream}) as server:
        stream = await server.send(chat_request(body))
        with trio.fail_after(1):
            if mark:
                await read_until(stream, mark)
            await upstream.was_opened.wait()
        await stream.aclose()
        left = trio.current_time()
        with trio.fail_after(1):
            await upstream.was_closed.wait()
        assert upstream.closed_at[0] - left < 1.0, "the aim is 0.1 s"
        with trio.fail_after(1):
            await connections.wait_until_none()
        assert server.lifecycle.in_work == 0


async def test_a_client_that_does_not_read_is_broken_off():
    flood: list[Step] = [[TextDelta("x" * 60_000)] for _ in range(2000)]
    upstream = ScriptedUpstream(flood)
    async with running_server(Settings(timeouts=Timeouts(write_stall_seconds=0.2)), {"captured": upstream}) as server:
        stream = await server.send(chat_request(BODY))
        with trio.fail_after(5):
            await upstream.was_closed.wait()
        await stream.aclose()


async def test_an_unread_client_stops_the_pull():
    given = 0

    def flood(_: object) -> list[Step]:
        nonlocal given

        class Counting(list[Step]):
            def __iter__(self):
                nonlocal given
                while True:
                    given += 1
                    yield [TextDelta("x" * 10_000)]

        return Counting()

    async with running_server(upstreams={"captured": ScriptedUpstream(flood)}) as server:
        stream = await server.send(chat_request(BODY))
        await trio.sleep(0.5)
        first = given
        await trio.sleep(0.3)
        assert given == first, "the upstream is still pulled"
        assert first * 10_000 < 64 * 1024 * 1024
        await stream.aclose()


async def test_a_body_that_does_not_arrive():
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}, body_seconds=0.1) as server:
        stream = await server.send(chat_request(BODY)[:-5])
        with trio.fail_after(1):
            answer = await read_until(stream, b"}}")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"request_timeout" in answer


async def test_stopping_lets_a_stream_finish_and_closes_idle_connections():
    upstream = ScriptedUpstream([[TextDelta("Hello")], 0.3, [Finish()]])
    async with running_server(upstreams={"captured": upstream}) as server:
        idle = await server.send(chat_request(BODY))
        await read_until(idle, b"\r\n0\r\n\r\n")
        unused = await server.connect()
        busy = await server.send(chat_request(BODY))
        await read_until(busy, b"Hello")
        server.lifecycle.stopping.set()
        with trio.fail_after(1.5):
            assert b"[DONE]" in await read_all(busy)
            assert await read_all(idle) == b""
            assert await read_all(unused) == b""
            await server.finished.wait()
        with pytest.raises(OSError, match="all attempts to connect"):
            await server.connect()


async def test_stopping_ends_a_long_stream_with_an_error_and_breaks_off_who_does_not_read():
    def steps(request: object) -> list[Step]:
        return [[TextDelta("x" * 60_000)] for _ in range(2000)] if upstream.opened > 1 else FOREVER

    upstream = ScriptedUpstream(steps)
    async with running_server(upstreams={"captured": upstream}, drain_seconds=1.0) as server:
        waiting = await server.send(chat_request(BODY))
        await read_until(waiting, b"Hello")
        deaf = await server.send(chat_request(BODY))
        await trio.sleep(0.2)
        server.lifecycle.stopping.set()
        started = trio.current_time()
        with trio.fail_after(5):
            rest = await read_all(waiting)
            await server.finished.wait()
        assert b"server_shutting_down" in rest
        assert b"[DONE]" not in rest
        assert trio.current_time() - started < 2.5
        await deaf.aclose()
    assert upstream.closed == 2


async def test_ready_says_so_while_the_listener_is_still_open():
    """What a load balancer still sends until it has asked `/ready` again is served; what is asked for once the listener has closed is refused."""
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}, prestop_seconds=0.3) as server, server.client() as client:
        late = await server.send(chat_request(WHOLE)[:-5])
        server.lifecycle.stopping.set()
        ready = await client.get("/ready")
        health = await client.get("/health")
        served = await client.post("/v1/chat/completions", content=WHOLE)
        assert (ready.status_code, health.status_code, served.status_code) == (503, 200, 200)
        with trio.fail_after(2):
            await server.lifecycle.draining.wait()
            with pytest.raises(OSError, match="all attempts to connect"):
                await server.connect()
            await late.send_all(chat_request(WHOLE)[-5:])
            refused = await read_all(late)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"server_shutting_down" in refused
