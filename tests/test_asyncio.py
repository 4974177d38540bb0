"""The library is written for anyio: the whole pipeline runs under asyncio too."""

import anyio
import msgspec

from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.identity import Identity
from pipeline.parse.chat import parse_chat
from pipeline.upstream.captured import CapturedUpstream

TOOL = {
    "type": "function",
    "function": {"name": "calculator", "parameters": {"properties": {"expression": {"type": "string"}}, "required": ["expression"]}},
}
FIELDS = {"model": "composer-2.5", "messages": [{"role": "user", "content": "What is 2+2?"}], "tools": [TOOL]}


def exchange(*, stream):
    body = msgspec.json.encode({**FIELDS, "stream": stream})
    return Exchange(parse_chat(body), CapturedUpstream(pace_seconds=0.001), Terms(identity=Identity.frozen()))


async def streamed():
    answer = await open_stream(exchange(stream=True))
    try:
        return b"".join([piece async for piece in answer.pieces])
    finally:
        await answer.aclose()


async def left_early():
    answer = await open_stream(exchange(stream=True))
    with anyio.move_on_after(0.005) as scope:
        async for _ in answer.pieces:
            await anyio.sleep(1)
    await answer.aclose()
    return scope.cancelled_caught


async def whole():
    body, _ = await collect(exchange(stream=False))
    return msgspec.json.decode(body)


def test_a_stream():
    data = anyio.run(streamed, backend="asyncio")
    assert data.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"tool_calls"' in data
    assert data == anyio.run(streamed, backend="trio")


def test_a_whole_answer():
    message = anyio.run(whole, backend="asyncio")["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "calculator", "arguments": '{"expression":"2+2"}'}


def test_a_client_that_leaves():
    assert anyio.run(left_early, backend="asyncio")
