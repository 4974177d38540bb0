"""All bodies together have a limit: what is over it is refused, and what is over with is given back."""

import json

import httpx
import trio

from pipeline.events import Finish, TextDelta
from server.bodies import BYTES_OF_AN_OBJECT, COPIES, decoded_bytes
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
        assert server.lifecycle.buffered_bytes == len(ask) + decoded_bytes(ask)
        await read_until(stream, b"\r\n0\r\n\r\n")
        await wait_for_bytes(server, 0)


def test_what_is_made_of_a_body_counts_by_its_length_and_its_objects():
    assert decoded_bytes(b"x" * 100) == 100 * COPIES
    assert decoded_bytes(b"[{}]") == 4 * COPIES + 2 * BYTES_OF_AN_OBJECT


async def test_a_body_that_fits_and_what_is_made_of_it_does_not():
    many = json.dumps({"model": "composer-2.5", "messages": [{"role": "user", "content": "a"}] * 60}).encode()
    assert len(many) < LIMIT  # two of them would fit, but for what is made of them
    assert len(many) + decoded_bytes(many) < 8 * LIMIT < 2 * (len(many) + decoded_bytes(many))
    upstream = ScriptedUpstream([[TextDelta("Hello")], 0.3, [Finish()]])
    async with running_server(upstreams={"captured": upstream}, max_body_bytes=LIMIT) as server, server.client() as client:
        first = await server.send(chat_request(json.dumps({**json.loads(many), "stream": True}).encode()))
        await read_until(first, b"Hello")
        refused = await client.post("/v1/chat/completions", content=many)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        await read_until(first, b"\r\n0\r\n\r\n")
        await first.aclose()
        await wait_for_bytes(server, 0)
        assert (await client.post("/v1/chat/completions", content=many)).status_code == 200


async def test_a_body_alone_always_has_room():
    """A refusal as overloaded says that another time helps, which must be true."""
    brackets = json.dumps({"model": "composer-2.5", "messages": [{"role": "user", "content": "[" * (LIMIT - 100)}]}).encode()
    assert len(brackets) < LIMIT < 8 * LIMIT < decoded_bytes(brackets)
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}, max_body_bytes=LIMIT) as server, server.client() as client:
        assert (await client.post("/v1/chat/completions", content=brackets)).status_code == 200
        await wait_for_bytes(server, 0)
