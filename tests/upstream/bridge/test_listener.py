"""The listener for the agents' calls, over real sockets: who gets in, in which form, and what happens when somebody leaves."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
import trio
from anyio.abc import SocketAttribute

from pipeline.upstream.bridge import listener as room
from pipeline.upstream.bridge.listener import CallbackListener, open_listener
from pipeline.wire.sdk_callbacks import CALL_CUSTOM_TOOL, ToolCallback, tool_result

BODY = b'{"toolName":"read","args":{"path":"a.py"},"toolCallId":"x\\ny","agentId":"agent-1"}'
RESULT = tool_result(["4 files"])


class Desk:
    """Answers calls, at once or when it is told to."""

    def __init__(self) -> None:
        self.calls: list[ToolCallback] = []
        self.cancelled: list[ToolCallback] = []
        self.go = trio.Event()
        self.go.set()

    async def answer(self, callback: ToolCallback) -> bytes:
        self.calls.append(callback)
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.cancelled.append(callback)
            raise
        return RESULT


@asynccontextmanager
async def serving(answer: Callable[[ToolCallback], Awaitable[bytes]]) -> AsyncGenerator[CallbackListener]:
    listener = await open_listener(answer)
    async with anyio.create_task_group() as tasks:
        await tasks.start(listener.run)
        yield listener
        tasks.cancel_scope.cancel()


async def connect(listener: CallbackListener) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(listener.callback.url.rpartition(":")[2]))


def head(listener: CallbackListener, *more: str, method: str = "POST", path: str = CALL_CUSTOM_TOOL, token: str | None = None) -> bytes:
    bearer = listener.callback.token.reveal() if token is None else token
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {bearer}", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def post(listener: CallbackListener, body: bytes = BODY, **fields: str) -> bytes:
    return head(listener, f"Content-Length: {len(body)}", **fields) + body


async def read_answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    """A whole answer with a length; (0, b"") when the connection is closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await stream.receive_some()
        if not piece:
            return 0, data
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in top.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += await stream.receive_some()
    return int(top.split()[1]), body


async def until(is_so: Callable[[], object]) -> None:
    with trio.fail_after(2):
        while not is_so():  # noqa: ASYNC110 - any state of any object
            await trio.sleep(0.001)


async def test_a_call_is_answered_and_the_connection_used_again():
    desk = Desk()
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        for _ in range(3):
            await stream.send_all(post(listener))
            assert await read_answer(stream) == (200, RESULT)
        assert listener.connection_count == 1
    assert desk.calls == [ToolCallback("read", '{"path":"a.py"}', "x\ny", "agent-1")] * 3


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_a_request_may_come_in_pieces_and_in_chunks(size):
    desk = Desk()
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:])) + b"0\r\n\r\n"
        data = head(listener, "Transfer-Encoding: chunked") + chunked + post(listener)
        for start in range(0, len(data), size):
            await stream.send_all(data[start : start + size])
        assert await read_answer(stream) == (200, RESULT)
        assert await read_answer(stream) == (200, RESULT)


async def test_who_expects_a_word_before_the_body_gets_it():
    async with serving(Desk().answer) as listener, await connect(listener) as stream:
        await stream.send_all(head(listener, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(BODY)
        assert await read_answer(stream) == (200, RESULT)


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"token": "guessed"}, 401, "unauthenticated"),
        ({"token": ""}, 401, "unauthenticated"),
        ({"token": "guessed", "path": "/else"}, 401, "unauthenticated"),
        ({"path": "/else"}, 404, "unimplemented"),
        ({"method": "PUT"}, 405, "unimplemented"),
        ({"body": b'{"toolName":"read"}'}, 400, "invalid_argument"),
        ({"body": b"[1"}, 400, "invalid_argument"),
        ({"body": b""}, 400, "invalid_argument"),
    ],
)
async def test_what_is_no_call_of_the_bridge_is_refused_and_reaches_nobody(wrong, status, code):
    desk = Desk()
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        await stream.send_all(post(listener, **wrong))
        answered, body = await read_answer(stream)
        assert (answered, msgspec.json.decode(body)["code"]) == (status, code)
        # what was refused in a proper form does not cost the connection
        await stream.send_all(post(listener))
        assert await read_answer(stream) == (200, RESULT)
    assert len(desk.calls) == 1


async def test_a_token_is_in_no_repr_and_another_one_each_time():
    async with serving(Desk().answer) as one, serving(Desk().answer) as other:
        assert one.callback.token != other.callback.token
        assert one.callback.token.reveal() not in repr(one.callback)


@pytest.mark.parametrize("form", ["length", "chunks"])
async def test_a_body_over_the_limit_is_refused(form, monkeypatch):
    monkeypatch.setattr(room, "MAX_BODY_BYTES", 1000)
    desk = Desk()
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        body = b"[" + b" " * 1100
        data = head(listener, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(body), body) if form == "chunks" else post(listener, body)
        await stream.send_all(data)
        status, told = await read_answer(stream)
        assert (status, msgspec.json.decode(told)["code"]) == (413, "resource_exhausted")
    assert desk.calls == []


@pytest.mark.parametrize("data", [b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"x" * 20_000 + b"\r\n\r\n"])
async def test_what_is_not_http_is_told_so_and_closed(data):
    async with serving(Desk().answer) as listener, await connect(listener) as stream:
        await stream.send_all(data)
        status, _ = await read_answer(stream)
        assert status in (400, 401, 431)
        if status != 401:
            assert await stream.receive_some() == b""
        async with await connect(listener) as other:
            await other.send_all(post(listener))
            assert await read_answer(other) == (200, RESULT)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_call_that_the_bridge_gives_up_is_cancelled_at_once(how):
    desk = Desk()
    desk.go = trio.Event()
    async with serving(desk.answer) as listener:
        stream = await connect(listener)
        await stream.send_all(post(listener))
        await until(lambda: desk.calls)
        if how == "reset":
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await trio.aclose_forcefully(stream)
        await until(lambda: desk.cancelled and not listener.connection_count)


async def test_calls_wait_side_by_side_each_on_its_connection():
    desk = Desk()
    desk.go = trio.Event()
    async with serving(desk.answer) as listener, await connect(listener) as one, await connect(listener) as other:
        await one.send_all(post(listener))
        await other.send_all(post(listener) + post(listener))  # a further request may wait behind it
        await until(lambda: len(desk.calls) == 2)
        desk.go.set()
        assert await read_answer(one) == (200, RESULT)
        assert await read_answer(other) == (200, RESULT)


@pytest.mark.parametrize("form", ["length", "chunks"])
@pytest.mark.parametrize("size", [66_000, 1_000_000, 15_000_000])
async def test_a_large_call_is_waited_for_as_any_other(form, size):
    desk = Desk()
    desk.go = trio.Event()
    body = b'{"toolName":"write","args":{"content":"%b"},"agentId":"agent-1"}' % (b"x" * size)
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        for count in (1, 2):
            chunked = head(listener, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            await stream.send_all(chunked if form == "chunks" else post(listener, body))
            while len(desk.calls) < count:  # noqa: ASYNC110 - a body of any size is on its way
                await trio.sleep(0.001)
            await trio.sleep(0.02)
            assert desk.cancelled == []
            desk.go.set()
            assert await read_answer(stream) == (200, RESULT)
            desk.go = trio.Event()
    assert {len(call.arguments) for call in desk.calls} == {size + len('{"content":""}')}


async def test_what_comes_too_far_ahead_waits_unread_and_is_answered_in_its_turn(monkeypatch):
    monkeypatch.setattr(room, "MAX_AHEAD_BYTES", 1000)
    desk = Desk()
    desk.go = trio.Event()
    async with serving(desk.answer) as listener, await connect(listener) as stream:
        await stream.send_all(post(listener) + post(listener, BODY + b" " * 2000) + post(listener))
        await until(lambda: desk.calls)
        await trio.sleep(0.02)
        assert (len(desk.calls), desk.cancelled) == (1, [])
        desk.go.set()
        assert [await read_answer(stream) for _ in range(3)] == [(200, RESULT)] * 3


async def test_a_large_result_is_sent_whole():
    large = tool_result(["y" * 10_000_000])

    async def answer(callback: ToolCallback) -> bytes:
        return large

    async with serving(answer) as listener, await connect(listener) as stream:
        await stream.send_all(post(listener))
        assert await read_answer(stream) == (200, large)


async def test_a_fault_of_ours_costs_one_connection(caplog):
    async def answer(callback: ToolCallback) -> bytes:
        raise RuntimeError("a fault of ours")

    async with serving(answer) as listener:
        for _ in range(2):
            async with await connect(listener) as stream:
                await stream.send_all(post(listener))
                assert await read_answer(stream) == (0, b"")
    assert [record.message for record in caplog.records] == ["a fault of ours in a callback of the bridge"] * 2


@pytest.mark.parametrize("sent", [b"", b"POST /", "half a body"])
async def test_a_slow_connection_is_closed(sent, monkeypatch):
    monkeypatch.setattr(room, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(room, "REQUEST_SECONDS", 0.05)
    async with serving(Desk().answer) as listener, await connect(listener) as stream:
        await stream.send_all(post(listener)[:-5] if sent == "half a body" else sent)
        with trio.fail_after(2):
            assert await stream.receive_some() == b""


async def test_there_are_only_so_many_connections(monkeypatch, caplog):
    monkeypatch.setattr(room, "MAX_CONNECTIONS", 2)
    async with serving(Desk().answer) as listener, await connect(listener) as one, await connect(listener) as two:
        for stream in (one, two):
            await stream.send_all(post(listener))
            assert await read_answer(stream) == (200, RESULT)
        async with await connect(listener) as three:
            assert await three.receive_some() == b""
        await one.send_all(post(listener))
        assert await read_answer(one) == (200, RESULT)
    assert "more than 2 connections" in caplog.text


@pytest.mark.parametrize("sent", ["", "POST /", "wrong token", "many wrong tokens"])
async def test_who_does_not_show_the_token_is_not_listened_to_for_long(sent, monkeypatch):
    monkeypatch.setattr(room, "STRANGER_SECONDS", 0.1)
    async with serving(Desk().answer) as listener, await connect(listener) as known, await connect(listener) as stranger:
        await known.send_all(post(listener))
        assert await read_answer(known) == (200, RESULT)
        refused = post(listener, token="guessed")
        await stranger.send_all({"wrong token": refused, "many wrong tokens": refused * 20}.get(sent, sent.encode()))
        with trio.fail_after(2):
            while await stranger.receive_some():
                pass
        assert listener.connection_count == 1
        await known.send_all(post(listener))  # it was known in time, and may be idle for longer
        assert await read_answer(known) == (200, RESULT)


async def test_strangers_do_not_keep_the_bridge_out():
    async with serving(Desk().answer) as listener:
        strangers = [await connect(listener) for _ in range(room.MAX_STRANGERS)]
        await until(lambda: listener.connection_count == room.MAX_STRANGERS)
        async with await connect(listener) as stream:
            await stream.send_all(post(listener))
            assert await read_answer(stream) == (200, RESULT)
            with trio.fail_after(2):
                assert await strangers[0].receive_some() == b""  # the oldest made room
            assert listener.connection_count == room.MAX_STRANGERS
        for stranger in strangers:
            await stranger.aclose()


async def test_the_end_closes_the_socket_and_all_connections():
    desk = Desk()
    desk.go = trio.Event()
    async with serving(desk.answer) as listener:
        stream = await connect(listener)
        await stream.send_all(post(listener))
        await until(lambda: desk.calls)
    assert await stream.receive_some() == b""
    await stream.aclose()
    with pytest.raises(OSError, match="connect"):
        await connect(listener)


async def test_it_listens_on_the_loopback_interface_alone():
    async with serving(Desk().answer) as listener:
        assert listener._sockets.extra(SocketAttribute.local_address)[0] == "127.0.0.1"
