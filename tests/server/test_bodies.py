"""All bodies together have a limit: what is over it is refused, and what is over with is given back."""

import json

import httpx
import trio

from pipeline.events import Finish, TextDelta
from tests.support.gateway_server import RunningServer, chat_request, read_until, running_server
from tests.support.scripted import ScriptedUpstream, Step

ASK = json.dumps({"model": "composer-2.5", "messages": [{"role": "user", "content": "Hi"}]}).encode()
HELLO: list[Step] = [[TextDelta("Hello")], [Finish()]]
LIMIT = 4096
HEAD = chat_request(b"x" * LIMIT)[:-LIMIT]


async def wait_for_bytes(server: RunningServer, count: int) -> None:
    with trio.fail_after(2):
        while server.lifecycle.buffered_bytes != count:  # noqa: ASYNC110 - only the test waits for a count
            await trio.sleep(0.005)


async def test_bodies_that_do_not_end_leave_no_room_for_another():
    upstream = ScriptedUpstream(HELLO)
    async with running_server(upstreams={"captured": upstream}, max_body_bytes=LIMIT) as server, server.client() as client:
        unfinished = [await server.send(HEAD + b"x" * (LIMIT - 1)) for _ in range(8)]
        await wait_for_bytes(server, 8 * (LIMIT - 1))
        refused: httpx.Response = await client.post("/v1/chat/completions", content=ASK)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "overloaded"
        assert upstream.opened == 0
        for path in ("/health", "/v1/models"):
            assert (await client.get(path)).status_code == 200
        await unfinished[0].aclose()
        await wait_for_bytes(server, 7 * (LIMIT - 1))
        assert (await client.post("/v1/chat/completions", content=ASK)).status_code == 200
        await wait_for_bytes(server, 7 * (LIMIT - 1))


async def test_a_body_counts_as_long_as_its_stream_lasts():
    ask = json.dumps({"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    async with running_server(upstreams={"captured": ScriptedUpstream([[TextDelta("Hello")], 0.2, [Finish()]])}) as server:
        stream = await server.send(chat_request(ask))
        await read_until(stream, b"Hello")
        assert server.lifecycle.buffered_bytes == len(ask)
        await read_until(stream, b"\r\n0\r\n\r\n")
        await wait_for_bytes(server, 0)
