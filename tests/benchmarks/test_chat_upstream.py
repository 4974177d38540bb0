"""The benchmarks' upstream: it sends what it says, in as many writes as asked, and answers nothing but what the gateway sends it."""

from functools import partial

import pytest
import trio
from trio.testing import open_stream_to_socket_listener

from benchmarks.answers import DONE, read_stream
from benchmarks.chat_upstream import ANSWER_CHUNKS, HEAD, TEXT, TEXTS, RefusedRequest, answer, answer_requests, request_size
from benchmarks.load import Load, ask, connect, post, run_load
from benchmarks.upstreams import CAPTURED, OPENAI_CHAT, running_upstream
from pipeline.events import Finish, FinishReason, TextDelta, UsageReport
from pipeline.wire.openai_chat import OpenAIChatDecoder

REQUEST = post(b'{"model":"any","stream":true,"messages":[]}')


async def serve(nursery, burst=ANSWER_CHUNKS):
    [listener] = await nursery.start(partial(trio.serve_tcp, partial(answer_requests, writes=answer(burst)), 0, host="127.0.0.1"))
    return listener


@pytest.mark.parametrize("burst", [1, 7, 32, ANSWER_CHUNKS])
async def test_every_burst_gives_the_same_answer(nursery, burst):
    assert len(answer(burst)) == -(-ANSWER_CHUNKS // burst)
    assert b"".join(answer(burst)) == answer(ANSWER_CHUNKS)[0]
    stream = await open_stream_to_socket_listener(await serve(nursery, burst))
    assert isinstance(stream, trio.SocketStream)
    async with stream:
        for _ in range(3):
            reply = await ask(stream, REQUEST)
            said = read_stream(reply.content())
            assert (reply.status, reply.chunked, said.text) == (200, True, TEXT)
            assert reply.content().endswith(b"}\n\n" + DONE)
    nursery.cancel_scope.cancel()


def test_the_answer_is_one_that_the_gateway_reads_without_a_notice():
    _, _, body = answer(ANSWER_CHUNKS)[0].partition(HEAD)
    events = [line.removesuffix(b"\r\n") + b"\n\n" for line in body.split(b"\n\n") if b"data: " in line]
    stream = b"".join(event[event.index(b"data: ") :] for event in events)
    decoded = OpenAIChatDecoder(new_id=lambda: "call_1").feed(stream)
    assert decoded == [
        *map(TextDelta, TEXTS),
        UsageReport(200, len(TEXTS), estimated=False),
        Finish(FinishReason.STOP, "stop"),
    ]
    assert stream.count(b"data: {") == ANSWER_CHUNKS + 1  # the usage


async def test_requests_that_come_together_or_in_pieces_are_answered_one_by_one(nursery):
    stream = await open_stream_to_socket_listener(await serve(nursery))
    expected = 2 * answer(ANSWER_CHUNKS)[0]
    async with stream:
        await stream.send_all(REQUEST + REQUEST[:100])
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(REQUEST[100:])
        received = b""
        while len(received) < len(expected):
            received += bytes(await stream.receive_some())
    assert received == expected
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (REQUEST.replace(b"POST", b"GET"), "not the chat endpoint"),
        (post(b"{}", "/v1/responses"), "not the chat endpoint"),
        (REQUEST.replace(b"Content-Length", b"Content-Size"), "no Content-Length"),
        (REQUEST.replace(b"Content-Length: ", b"Content-Length: -"), "no Content-Length"),
        (REQUEST.replace(b"true", b"null"), "does not ask for a stream"),
    ],
    ids=["method", "path", "no length", "no number", "no stream"],
)
async def test_another_request_is_refused(nursery, request_bytes, reason):
    with pytest.raises(RefusedRequest, match=reason):
        request_size(request_bytes)
    stream = await open_stream_to_socket_listener(await serve(nursery))
    assert isinstance(stream, trio.SocketStream)
    async with stream:
        reply = await ask(stream, request_bytes)
        assert (reply.status, reason in reply.body.decode()) == (400, True)
        assert await stream.receive_some() == b""
    nursery.cancel_scope.cancel()


async def test_a_client_that_leaves_stops_nothing(nursery):
    listener = await serve(nursery, 1)
    for _ in range(3):
        async with await open_stream_to_socket_listener(listener) as stream:
            await stream.send_all(20 * REQUEST)
    stream = await open_stream_to_socket_listener(listener)
    assert isinstance(stream, trio.SocketStream)
    async with stream:
        assert (await ask(stream, REQUEST)).status == 200
    nursery.cancel_scope.cancel()


async def test_as_a_process_it_listens_for_as_long_as_it_is_wanted():
    async with running_upstream(OPENAI_CHAT, 16) as behind:
        assert behind.child is not None
        assert f'base_url = "http://127.0.0.1:{behind.child.port}/v1"' in behind.settings
        assert (behind.text, behind.chunks) == (TEXT, ANSWER_CHUNKS)
        done = await run_load(behind.child.port, REQUEST, Load(4, 5, 10), lambda reply: None)
        assert done.exchanges == 20
        port = behind.child.port
    with pytest.raises(Exception, match="takes no connection"):
        await connect(port)


async def test_the_demo_needs_no_process():
    async with running_upstream(CAPTURED, 1) as behind:
        assert behind.child is None
        assert 'kind = "captured"' in behind.settings
