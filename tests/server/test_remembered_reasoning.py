"""`reasoning.memory` over a real server and real sockets: what an upstream is sent of its own reasoning, and what where it is lost."""

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.composer_server import Reply, Step
from tests.support.gateway_server import gateway_from
from tests.support.openai_server import DONE, Received, call, chunk, openai_server, text

DISABLED = {"type": "disabled"}
HI: dict[str, Any] = {"role": "user", "content": "Hi"}


def calling(number: int, *, thinking: str = "") -> list[Step]:
    thought = [chunk(reasoning_content=thinking)] if thinking else []
    return [*thought, call(index=0, id=f"c{number}", type="function", name="Read", arguments=f'{{"p": {number}}}'), chunk("tool_calls"), DONE]


def echo(number: int) -> list[dict[str, Any]]:
    function = {"name": "Read", "arguments": f'{{"p":{number}}}'}
    made = {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}]}
    return [made, {"role": "tool", "tool_call_id": f"c{number}", "content": "x"}]


@asynccontextmanager
async def remembering(tmp_path, *scripts):
    """A gateway whose one route has a target for each of the scripts, and what asks it; the upstreams are called `a`, `b` and so on."""
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(openai_server(script)) for name, script in zip("ab", scripts, strict=False)}
        tables = [f'[upstreams.{name}]\nkind = "openai-chat"\nbase_url = "{server.origin}/v1"\n' for name, server in servers.items()]
        targets = ", ".join(f'{{ upstream = "{name}", model = "k3" }}' for name in servers)
        toml = f'{"".join(tables)}[routes.kimi]\ntargets = [{targets}]\n[reasoning]\nmemory = "on"\nmemory_miss = "disable"\n'
        gateway = await stack.enter_async_context(gateway_from(tmp_path, toml, mode="open"))
        client = await stack.enter_async_context(gateway.client())

        async def ask(*messages: dict[str, Any]) -> None:
            answer = await client.post("/cursor/chat/completions", json={"model": "kimi", "stream": True, "messages": messages})
            assert answer.status_code == 200

        yield ask, *servers.values()


def reasoning(received: Received) -> list[Any]:
    return [message.get("reasoning_content") for message in received.json["messages"] if message["role"] == "assistant"]


async def test_a_model_that_never_thinks_is_not_told_not_to(tmp_path):
    async with remembering(tmp_path, [text("ok"), chunk("stop"), DONE]) as (ask, upstream):
        await ask(HI, *echo(0))
        await ask(HI, *echo(0))
    assert [("thinking" in each.json, reasoning(each)) for each in upstream.requests] == [(False, [None])] * 2


async def test_a_turn_whose_reasoning_is_lost_is_asked_for_without_thinking(tmp_path):
    async with remembering(tmp_path, calling(1, thinking="Hm.")) as (ask, upstream):
        await ask(HI)
        await ask({"role": "user", "content": "Something else"}, *echo(0))
        await ask(HI, *echo(1))
    assert [each.json.get("thinking") for each in upstream.requests] == [None, DISABLED, None]


async def test_a_turn_answered_without_thinking_is_not_one_whose_reasoning_is_lost(tmp_path):
    turns = iter([calling(1, thinking="one"), calling(2), calling(3, thinking="three"), calling(4)])
    async with remembering(tmp_path, lambda _: next(turns)) as (ask, upstream):
        messages = [HI]
        for number in range(1, 5):
            await ask(*messages)
            messages += echo(number)
    assert [each.json.get("thinking") for each in upstream.requests] == [None] * 4
    assert [reasoning(each) for each in upstream.requests] == [[], ["one"], ["one", ""], ["one", "", "three"]]


async def test_a_conversation_takes_its_reasoning_along_to_another_target(tmp_path):
    asked: list[str] = []

    def first(received: Received) -> list[Step]:
        asked.append("a")
        return calling(1, thinking="one") if asked == ["a"] else [Reply(503, b"{}")]

    async with remembering(tmp_path, first, calling(2, thinking="two")) as (ask, one, two):
        await ask(HI)
        await ask(HI, *echo(1))
        await ask(HI, *echo(1), *echo(2))
    assert len(one.requests) == 2
    assert [reasoning(each) for each in two.requests] == [["one"], ["one", "two"]]
    assert [json.dumps(each.json).count("thinking") for each in two.requests] == [0, 0]
