"""Transport over real sockets: what is sent, what a response gives, silence, back-pressure, and the ways in which a peer breaks off."""

import anyio
import httpx
import pytest

from pipeline.upstream.transport import Transport
from tests.support.open_transport import open_transport, opened_pieces, pieces_of
from tests.support.raw_server import REQUEST, Close, Flood, Pause, Reset, Wait, raw_server

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED, OK + b"\r\nhello"])
async def test_each_kind_of_body(answer):
    async with raw_server([REQUEST, answer, Close()]) as server, open_transport() as (client, _):
        response = await client.get(server.url("/a?b=c"))
        assert (response.status_code, response.content, response.reason_phrase, response.http_version) == (200, b"hello", "OK", "HTTP/1.1")
        assert server.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")


async def test_the_request_as_the_peer_sees_it():
    async with raw_server([REQUEST, LENGTH] * 4) as server, open_transport() as (client, _):

        async def parts():
            yield b"ab"
            yield b""
            yield b"cde"

        await client.post(server.url(), content=b"abc", headers={"X-Key": "1"})
        await client.post(server.url(), content=parts())
        await client.post(server.url(), content=parts(), headers={"Content-Length": "5"})
        await client.post(server.url(), content=b"z" * 1_000_000)
    first, second, third, fourth = server.requests
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in first
    assert b"X-Key: 1\r\n" in first
    assert first.endswith(b"Content-Length: 3\r\n\r\nabc")
    assert second.endswith(b"\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
    assert third.endswith(b"\r\n\r\nabcde")
    assert b"transfer-encoding" not in third.lower()
    assert fourth.endswith(b"\r\n\r\n" + b"z" * 1_000_000)
    assert len(server.peers) == 1


async def test_a_synchronous_stream_given_to_the_transport_itself():
    class Parts(httpx.SyncByteStream):
        def __iter__(self):
            yield from (b"ab", b"cd")

    async with raw_server([REQUEST, LENGTH]) as server, open_transport() as (_, transport):
        response = await transport.handle_async_request(httpx.Request("POST", server.url(), stream=Parts()))
        assert await response.aread() == b"hello"
    assert server.requests[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "headers", "content"),
    [
        ("GET\r\nX: y", {}, b""),
        ("GET", {"X": "a\r\nY: b"}, b""),
        ("GET", {"X": "a\x00"}, b""),
        ("GET", {"X\r\nY": "b"}, b""),
        ("GET", {"X Y": "b"}, b""),
        ("POST", {"Content-Length": "4"}, b"abc"),
        ("POST", {"Content-Length": "-3"}, b"abc"),
        ("POST", {"Transfer-Encoding": "gzip"}, b"abc"),
        ("POST", [("Content-Length", "3"), ("Transfer-Encoding", "chunked")], b"abc"),
        ("POST", [("Host", "a"), ("Host", "b")], b""),
    ],
)
async def test_nothing_is_smuggled_through_a_request(method, headers, content):
    async with raw_server([REQUEST, LENGTH]) as server, open_transport() as (client, transport):
        request = httpx.Request(method, server.url(), headers=headers, content=content)
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)
        assert server.peers == []
        assert (await client.get(server.url())).content == b"hello"


@pytest.mark.parametrize("sent", [b"abcd", b"abcdef"])
async def test_a_stream_of_another_length_than_promised_is_not_completed(sent):
    async def parts():
        yield sent

    async with raw_server([REQUEST, LENGTH]) as server, open_transport() as (client, transport):
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(server.url(), content=parts(), headers={"Content-Length": "5"})
        assert transport.idle_count == 0
        await server.peers[0].gone.wait()


async def test_what_the_callers_stream_raises_comes_out_as_it_is_and_closes():
    async def parts():
        yield b"ab"
        raise OSError("the file is gone")

    async with raw_server([REQUEST, LENGTH]) as server, open_transport() as (client, _):
        with pytest.raises(OSError, match="the file is gone"):
            await client.post(server.url(), content=parts())
        await server.peers[0].gone.wait()


async def test_interim_responses_are_skipped_and_switching_is_refused():
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with raw_server([REQUEST, interim, Pause(0.01), LENGTH, REQUEST, switch]) as server, open_transport() as (client, transport):
        response = await client.get(server.url())
        assert (response.status_code, "link" in response.headers) == (200, False)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url())
        assert transport.idle_count == 0


async def test_one_read_is_one_piece():
    chunk = b"10\r\ndata: 0123456\n\n\n\r\n"
    steps = [REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n", Pause(0.02), chunk * 64, Pause(0.02), chunk * 3, Pause(0.02), b"0\r\n\r\n"]
    async with raw_server(steps) as server, open_transport() as (client, _), client.stream("GET", server.url()) as response:
        assert [len(piece) for piece in await pieces_of(response)] == [64 * 16, 3 * 16]


async def test_silence_is_an_empty_piece_and_loses_nothing():
    steps = [REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", Pause(0.13), b"3\r\nl", Pause(0.13), b"lo\r\n", b"0\r\n\r\n"]
    async with raw_server(steps) as server, open_transport(silence_seconds=0.05) as (client, transport):
        async with client.stream("GET", server.url()) as response:
            pieces = await pieces_of(response)
        assert b"".join(pieces) == b"hello"
        assert 3 <= pieces.count(b"") <= 5
        assert transport.idle_count == 1


async def test_framing_without_body_is_silence_too():
    steps = [REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", *[b"0", Pause(0.03)] * 5, b"\r\n\r\n"]
    async with raw_server(steps) as server, open_transport(silence_seconds=0.05) as (client, _), client.stream("GET", server.url()) as response:
        pieces = await pieces_of(response)
    assert b"" in pieces


async def test_httpx_drops_empty_pieces_and_goes_on():
    steps = [REQUEST, OK + b"Content-Length: 2\r\n\r\nh", Pause(0.1), b"i"]
    async with raw_server([*steps, *steps]) as server, open_transport(silence_seconds=0.03) as (client, _):
        async with client.stream("GET", server.url()) as response:
            assert [piece async for piece in response.aiter_raw()] == [b"h", b"i"]
        assert (await client.get(server.url())).content == b"hi"


async def test_an_unread_response_stops_its_peer():
    flood = Flood(b"4000\r\n" + b"x" * 16_384 + b"\r\n")
    async with (
        raw_server([REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n", flood]) as server,
        open_transport() as (client, _),
        client.stream("GET", server.url()) as response,
    ):
        await anyio.sleep(0.2)
        stopped_at = server.peers[0].flooded_bytes
        await anyio.sleep(0.2)
        assert server.peers[0].flooded_bytes == stopped_at, "the peer goes on although nobody reads"
        taken = 0
        async with opened_pieces(response) as pieces:
            while taken < stopped_at + 1_000_000:
                taken += len(await anext(pieces))
        assert server.peers[0].flooded_bytes > stopped_at
    with anyio.fail_after(1):
        await server.peers[0].gone.wait()


@pytest.mark.parametrize("ending", [Close(), Reset()])
@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_a_cut_at_every_offset_raises_and_gives_what_came_before(answer, ending):
    scripts = [[REQUEST, answer[:at], Pause(0.002), ending] for at in range(len(answer))]
    async with raw_server(*scripts) as server, open_transport() as (client, transport):
        for at in range(len(answer)):
            body = b""
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):  # noqa: PT012 -- either may raise
                async with client.stream("GET", server.url()) as response:
                    async for piece in response.aiter_raw():
                        body += piece
            assert b"hello".startswith(body)
            if answer is LENGTH and at > answer.index(b"\r\n\r\n") + 3 and isinstance(ending, Close):
                assert body == answer[answer.index(b"\r\n\r\n") + 4 : at]
            assert transport.idle_count == 0
        assert len(server.peers) == len(answer), "a fresh connection is never tried twice"


async def test_a_reset_ends_a_body_that_would_end_by_closing_as_a_fault():
    async with raw_server([REQUEST, OK + b"\r\nhel", Pause(0.02), Reset()]) as server, open_transport() as (client, _):
        with pytest.raises(httpx.ReadError) as caught:
            await client.get(server.url())
        assert caught.value.__cause__ is not None


async def test_a_refused_connection():
    async with raw_server([]) as server:
        url = server.url("/?secret=1")
    async with open_transport() as (client, _):
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(url)
        assert "secret" not in str(caught.value)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{'a' * 70}.example/")
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"220 mail.example ESMTP\r\n", OK + b"A: b\r\n" * 200 + b"\r\n", OK + b"A: " + b"b" * 100_000])
async def test_garbage(garbage):
    async with raw_server([REQUEST, garbage]) as server, open_transport() as (client, transport):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url())
        assert transport.idle_count == 0
        await server.peers[0].gone.wait()


async def test_slow_headers_are_waited_for():
    steps = [step for byte in LENGTH for step in (bytes([byte]), Pause(0.001))]
    async with raw_server([REQUEST, *steps]) as server, open_transport(silence_seconds=0.01) as (client, _):
        assert (await client.get(server.url())).content == b"hello"


async def test_an_answer_before_the_whole_request_was_taken():
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    taken = anyio.Event()

    async def parts():
        yield b"a"
        await taken.wait()
        for _ in range(200):
            yield b"b" * 65_536
            await anyio.sleep(0.001)

    async with raw_server([refusal, Pause(0.02), Close()]) as server, open_transport() as (client, transport):

        async def release():
            await anyio.sleep(0.1)
            taken.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            try:
                response = await client.post(server.url(), content=parts())
            except (httpx.WriteError, httpx.ReadError):
                # a reset may overtake the answer: the kernel then throws the answer away
                pass
            else:
                assert (response.status_code, response.content) == (413, b"big")
        assert transport.idle_count == 0
        assert len(server.peers) == 1


async def test_a_peer_that_takes_nothing_runs_into_the_write_clock():
    never = anyio.Event()
    async with raw_server([Wait(never)]) as server, open_transport(write_seconds=0.1) as (client, _):
        with anyio.fail_after(3), pytest.raises(httpx.WriteTimeout):
            await client.post(server.url(), content=b"x" * 30_000_000)
        never.set()


async def test_head_has_no_body():
    async with raw_server([REQUEST, OK + b"Content-Length: 5\r\n\r\n"]) as server, open_transport() as (client, _):
        response = await client.head(server.url())
        assert (response.headers["content-length"], response.content) == ("5", b"")


async def test_a_stream_that_was_closed_does_not_look_like_one_that_ended():
    async with raw_server([REQUEST, LENGTH[:-2]]) as server, open_transport() as (_, transport):
        response = await transport.handle_async_request(httpx.Request("GET", server.url()))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
        with pytest.raises(httpx.StreamClosed):
            await anext(aiter(response.stream))


def test_it_runs_under_asyncio():
    async def main():
        steps = [REQUEST, LENGTH, REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", Pause(0.1), b"3\r\nllo\r\n0\r\n\r\n"]
        async with raw_server(steps, [REQUEST, LENGTH[:-1], Close()]) as server, open_transport(silence_seconds=0.04) as (client, transport):
            assert (await client.get(server.url())).content == b"hello"
            async with client.stream("GET", server.url()) as response:
                pieces = await pieces_of(response)
            assert (b"".join(pieces), b"" in pieces, transport.idle_count, len(server.peers)) == (b"hello", True, 1, 1)
            await transport.aclose()
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(server.url())

    anyio.run(main, backend="asyncio")


async def test_a_mock_transport_takes_its_place():
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200, text=request.url.path))) as client:
        assert (await client.get("https://upstream.example/a")).text == "/a"


def test_verification_cannot_be_switched_off():
    with pytest.raises(ValueError, match="switched off"):
        Transport(verify="")
