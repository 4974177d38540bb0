"""Cancelling a response that is still on its way: its upstream is closed, its stream ends, and what is left of it says so."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from pipeline.events import Finish, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.request import Role
from pipeline.upstream.base import Outgoing
from server.settings import Responses, Server, Settings
from tests.support.composer_server import Pause
from tests.support.composer_server import Step as Sent
from tests.support.gateway_server import RunningServer, chat_request, gateway_from, read_all, read_until, running_server
from tests.support.openai_server import DONE, call, chunk, openai_server, text
from tests.support.scripted import ScriptedUpstream, Step

PATH = "/v1/responses"
ASK: dict[str, Any] = {"model": "composer-2.5", "input": "Hello", "stream": True, "store": True}
HALF: list[Step] = [[TextDelta("Half a")], 60.0, [TextDelta(" sentence.")], [Finish()]]
LIMIT_SECONDS = 8


class Watching:
    """A client that streams, and what it has seen."""

    def __init__(self, server: RunningServer, stream: trio.SocketStream, seen: bytes) -> None:
        self.server = server
        self.stream = stream
        self.seen = seen
        self.id: str = json.loads(seen.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]

    async def rest(self) -> list[dict[str, Any]]:
        self.seen += await read_all(self.stream)
        lines = [line[len(b"data: ") :] for line in self.seen.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def watching(server: RunningServer, mark: bytes = b"output_text.delta", **fields: Any) -> AsyncGenerator[Watching, None]:
    request = chat_request(json.dumps(ASK | fields).encode(), path=PATH, headers=("Connection: close",))
    with trio.fail_after(LIMIT_SECONDS):
        stream = await server.send(request)
        yield Watching(server, stream, await read_until(stream, mark))


@asynccontextmanager
async def scripted(upstream: ScriptedUpstream):
    async with running_server(upstreams={"captured": upstream}) as server, server.client() as client:
        yield server, client


async def cancel(client: httpx.AsyncClient, response_id: str) -> httpx.Response:
    return await client.post(f"{PATH}/{response_id}/cancel")


def texts(response: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["status"], "".join(part["text"] for part in item["content"])) for item in response["output"]]


@pytest.mark.parametrize("store", [True, False])
async def test_the_upstream_is_closed_the_stream_ends_and_the_response_is_cancelled(tmp_path, caplog, store):
    caplog.set_level(logging.INFO, "penstock.access")
    async with openai_server([text("Half a"), Pause(60), chunk("stop") + DONE]) as upstream:
        toml = f'[upstreams.one]\nkind = "openai-chat"\nbase_url = "{upstream.origin}/v1"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client, watching(server, store=store) as watched:
            began = trio.current_time()
            answer = await cancel(client, watched.id)
            assert trio.current_time() - began < 2
            await upstream.requests[0].gone.wait()
            assert answer.status_code == 200
            cancelled = answer.json()
            assert (cancelled["id"], cancelled["status"], cancelled["error"]) == (watched.id, "cancelled", None)
            assert texts(cancelled) == [("incomplete", "Half a")]
            *_, error, last = await watched.rest()
            assert (error["type"], error["code"]) == ("error", "response_cancelled")
            assert (last["type"], last["response"]["id"], last["response"]["output"]) == ("response.failed", watched.id, cancelled["output"])
            read = await client.get(f"{PATH}/{watched.id}")
            again = await cancel(client, watched.id)
            assert (read.status_code, again.status_code) == ((200, 200) if store else (404, 404))
            if store:
                assert read.json() == again.json() == cancelled
    assert any("error=response_cancelled" in line and "client=gone" not in line for line in caplog.messages)


async def test_a_call_that_was_cut_by_it_is_never_done(tmp_path):
    script: list[Sent] = [call(index=0, id="call_1", name="read", arguments='{"path":'), Pause(60)]
    tools = [{"type": "function", "name": "read", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}]
    async with openai_server(script) as upstream:
        toml = f'[upstreams.one]\nkind = "openai-chat"\nbase_url = "{upstream.origin}/v1"\n'
        async with (
            gateway_from(tmp_path, toml, mode="open") as server,
            server.client() as client,
            watching(server, b"arguments.delta", tools=tools) as watched,
        ):
            assert (await cancel(client, watched.id)).json()["output"] == []
            events = await watched.rest()
    assert "response.output_item.added" in [event["type"] for event in events]
    assert "response.output_item.done" not in [event["type"] for event in events]


async def test_a_conversation_goes_on_from_what_was_cancelled():
    upstream = ScriptedUpstream(lambda request: HALF if len(request.messages) == 1 else [[TextDelta("Well.")], [Finish()]])
    async with scripted(upstream) as (server, client):
        async with watching(server) as watched:
            await cancel(client, watched.id)
        await client.post(PATH, json=ASK | {"stream": False, "previous_response_id": watched.id, "input": "Go on."})
    assert [(message.role, message.text) for message in upstream.requests[-1].messages] == [
        (Role.USER, "Hello"),
        (Role.ASSISTANT, "Half a"),
        (Role.USER, "Go on."),
    ]


async def test_several_cancel_one_response():
    answers: list[dict[str, Any]] = []

    async def one(client: httpx.AsyncClient, response_id: str) -> None:
        answers.append((await cancel(client, response_id)).json())

    upstream = ScriptedUpstream(HALF)
    async with scripted(upstream) as (server, client), watching(server) as watched:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(partial(one, client, watched.id))
        events = await watched.rest()
    assert [answer["status"] for answer in answers] == ["cancelled"] * 5
    assert all(answer == answers[0] for answer in answers)
    assert [event["type"] for event in events].count("response.failed") == 1
    assert upstream.closed == 1


async def test_what_is_over_stays_as_it_is():
    async with scripted(ScriptedUpstream([[TextDelta("Good day.")], [Finish()]])) as (server, client):
        async with watching(server) as watched:
            last = (await watched.rest())[-1]["response"]
        assert last["status"] == "completed"
        assert (await cancel(client, watched.id)).json() == last


async def test_what_is_on_its_way_cannot_be_read_yet_and_not_be_cancelled_by_another(tmp_path):
    async with openai_server([text("Half a"), Pause(60)]) as upstream:
        toml = f'[upstreams.one]\nkind = "openai-chat"\nbase_url = "{upstream.origin}/v1"\ncredential = "caller"\n'
        async with gateway_from(tmp_path, toml, mode="forward") as server:
            key, other = ({"authorization": f"Bearer user-key-{name}-0123456789"} for name in ("one", "two"))
            request = chat_request(json.dumps(ASK).encode(), path=PATH, headers=(f"Authorization: {key['authorization']}",))
            async with server.client() as client:
                stream = await server.send(request)
                watched = Watching(server, stream, await read_until(stream, b"output_text.delta"))
                early = await client.get(f"{PATH}/{watched.id}", headers=key)
                assert (early.status_code, early.json()["error"]["code"]) == (404, "response_not_found")
                assert "not over yet" in early.json()["error"]["message"]
                theirs = await client.get(f"{PATH}/{watched.id}", headers=other)
                assert "not over yet" not in theirs.json()["error"]["message"]
                assert (await client.post(f"{PATH}/{watched.id}/cancel", headers=other)).status_code == 404
                assert not upstream.requests[0].gone.is_set()
                assert (await client.post(f"{PATH}/{watched.id}/cancel", headers=key)).json()["status"] == "cancelled"


async def test_a_client_that_left_leaves_nothing_to_cancel():
    upstream = ScriptedUpstream(HALF)
    async with scripted(upstream) as (server, client), watching(server) as watched:
        await watched.stream.aclose()
        await upstream.was_closed.wait()
        while server.lifecycle.in_work:  # noqa: ASYNC110 - what is awaited tells nobody
            await trio.sleep(0.01)
        assert (await cancel(client, watched.id)).status_code == 404
        assert (await client.get(f"{PATH}/{watched.id}")).status_code == 404


async def test_a_client_that_does_not_read_holds_nothing_up():
    endless: list[Step] = [[TextDelta("x" * 100_000)] for _ in range(400)]
    upstream = ScriptedUpstream(endless)
    async with scripted(upstream) as (server, client), watching(server, b"response.created") as watched:
        await trio.sleep(0.2)  # until no more of it fits into the buffers between
        assert upstream.closed == 0
        cancelled = (await cancel(client, watched.id)).json()
        assert upstream.closed == 1
        assert cancelled["status"] == "cancelled"
        last = (await watched.rest())[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["output"] == cancelled["output"]


class SlowToClose(ScriptedUpstream):
    """An upstream whose connection takes a while to close."""

    async def stream(self, outgoing: Outgoing, key: str | None) -> AsyncGenerator[list[UpstreamEvent], None]:
        try:
            async with aclosing(super().stream(outgoing, key)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.3)


async def test_who_cancels_may_leave_at_once():
    upstream = SlowToClose(HALF)
    async with scripted(upstream) as (server, client), watching(server) as watched:
        leaving = await server.send(chat_request(b"", path=f"{PATH}/{watched.id}/cancel"))
        await upstream.was_closed.wait()
        await leaving.aclose()
        assert (await watched.rest())[-1]["type"] == "response.failed"
        assert (await client.get(f"{PATH}/{watched.id}")).json()["status"] == "cancelled"


async def test_the_client_may_leave_while_it_is_cancelled():
    upstream = SlowToClose(HALF)
    async with scripted(upstream) as (server, client), watching(server) as watched:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(cancel, client, watched.id))
            await upstream.was_closed.wait()
            await watched.stream.aclose()
        while server.lifecycle.in_work:  # noqa: ASYNC110 - what is awaited tells nobody
            await trio.sleep(0.01)
    assert upstream.closed == 1


@pytest.mark.parametrize(("workers", "said"), [(1, False), (2, True)])
async def test_with_several_workers_the_404_says_that_another_process_may_have_it(workers, said):
    settings = Settings(server=Server(workers=workers), responses=Responses(store="off"))
    async with running_server(settings, {"captured": ScriptedUpstream([])}) as server, server.client() as client:
        answer = await client.post("/v1/responses/resp_0/cancel")
        assert answer.status_code == 404
        assert ("only in the process that sends it" in answer.json()["error"]["message"]) is said
        assert "process" not in (await client.get("/v1/responses/resp_0")).text


async def test_what_failed_by_a_call_that_cannot_be_run_ends_at_once():
    upstream = ScriptedUpstream([[ToolCallStart(0, "a", "run"), ToolCallDelta(0, "{"), ToolCallEnd(0)], 60, [Finish()]])
    async with running_server(upstreams={"captured": upstream}) as server, server.client() as client:
        with trio.fail_after(5):
            answer = await client.post("/v1/responses", json={"model": "composer-2.5", "input": "Hello", "stream": True})
    assert "invalid_arguments" in answer.text
