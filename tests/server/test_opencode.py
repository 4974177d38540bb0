"""`/opencode/v1` over a real server: Agent mode, and which requests are one conversation, as the upstream sees it."""

from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from pipeline.wire.composer import encode_end, encode_text
from tests.support.composer_backend import composer_backend, json_reply, to
from tests.support.composer_server import ENDPOINT, Late, Received
from tests.support.gateway_server import gateway_from, running_server

CHAT = "/opencode/v1/chat/completions"
SESSION = "ses_e05f39cebffed7B3rS3RmqPz76"
KEY = "user0123456789abcdef-key"
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIF = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {"filePath": {"type": "string"}}}}}
QUESTION = {"role": "user", "content": "Read secret.txt and tell me the word."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"filePath":"secret.txt"}'}}

# what OpenCode sends at once when a session begins, and what follows
FIRST: dict[str, Any] = {"model": "cursor/composer-2.5", "messages": [{"role": "system", "content": "You edit code."}, QUESTION], "tools": [READ]}
TITLE: dict[str, Any] = {
    "model": "cursor/composer-2.5",
    "messages": [{"role": "system", "content": "You write titles."}, {"role": "user", "content": "Generate a title:\n"}, QUESTION],
}
SECOND = FIRST | {
    "messages": [
        *FIRST["messages"],
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "persimmon"},
    ]
}
THIRD = FIRST | {"messages": [*SECOND["messages"], {"role": "assistant", "content": "persimmon"}, {"role": "user", "content": "And backwards?"}]}


def who(received: Received):
    """Each key is an account of its own."""
    return [json_reply(200, {"userId": received.headers["authorization"]})]


class Backend:
    """A gateway over a Composer that remembers."""

    def __init__(self, client: httpx.AsyncClient, composer: Any) -> None:
        self._client = client
        self._composer = composer

    async def ask(self, body: dict[str, Any], *, path: str = CHAT, key: str = KEY, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self._client.post(path, json=body, headers={"authorization": f"Bearer {key}", **named})
        assert response.status_code == 200, response.text

    def messages(self):
        return [received.message for received in to(self._composer, ENDPOINT)]

    def conversations(self):
        return [message.conversation_id for message in self.messages()]


@asynccontextmanager
async def backend(folder, *, seconds: float = 0):
    late = [Late(seconds)] if seconds else []
    async with composer_backend([*late, encode_text("Hello") + encode_end()], me=who) as composer:
        toml = f"""
[upstreams.composer]
kind = "composer"
base_url = "{composer.origin}"
endpoint = "{ENDPOINT}"
api_base = "{composer.origin}"
[routes."*"]
targets = [{{ upstream = "composer", model = "*" }}]
"""
        async with gateway_from(folder, toml, mode="forward") as server, server.client() as client:
            yield Backend(client, composer)


@pytest.mark.parametrize(("path", "tools", "agent"), [(CHAT, [], True), (CHAT, [READ], True), ("/v1/chat/completions", [], False)])
async def test_agent_mode_always(tmp_path, path, tools, agent):
    async with backend(tmp_path) as gateway:
        await gateway.ask(TITLE | {"tools": tools}, path=path)
        await gateway.ask(TITLE | {"tools": tools, "stream": True}, path=path, x_session_affinity=SESSION)
    assert [message.agent for message in gateway.messages()] == [agent, agent]
    assert all(message.text.startswith("You work as an agent") == agent for message in gateway.messages())


@pytest.mark.parametrize("header", ["x_session_affinity", "x_opencode_session_id", "x_opencode_session"])
async def test_one_session_is_one_conversation_over_its_turns(tmp_path, header):
    async with backend(tmp_path) as gateway:
        for body in (FIRST, SECOND, THIRD | {"stream": True}):
            await gateway.ask(body, **{header: SESSION})
        await gateway.ask(THIRD, **{header: "ses_another"})
    *same, other = gateway.conversations()
    assert len(set(same)) == 1
    assert other not in same
    assert same[0].count("-") == 4
    assert SESSION not in same[0]


async def test_the_title_is_another_conversation_than_the_first_request_at_the_same_time(tmp_path):
    async with backend(tmp_path, seconds=0.2) as gateway:
        async with trio.open_nursery() as nursery:
            for body in (FIRST, TITLE):
                nursery.start_soon(partial(gateway.ask, body | {"stream": True}, x_session_affinity=SESSION))
        first, title = sorted(gateway.messages(), key=lambda message: "title" in message.text)
        assert first.conversation_id != title.conversation_id
        await gateway.ask(SECOND, x_session_affinity=SESSION)
    assert gateway.conversations()[-1] == first.conversation_id


async def test_two_sessions_that_begin_alike_at_the_same_time_do_not_collide(tmp_path):
    async with backend(tmp_path, seconds=0.2) as gateway, trio.open_nursery() as nursery:
        for session in (SESSION, "ses_another"):
            nursery.start_soon(partial(gateway.ask, FIRST, x_session_affinity=session))
    assert len(set(gateway.conversations())) == 2


async def test_a_session_of_another_account_is_another_conversation(tmp_path):
    async with backend(tmp_path) as gateway:
        for key in (KEY, KEY + "-2", KEY):
            await gateway.ask(FIRST, key=key, x_session_affinity=SESSION)
    mine, theirs, mine_again = gateway.conversations()
    assert mine == mine_again != theirs


@pytest.mark.parametrize("headers", [{}, {"x_session_affinity": ""}, {"x_another_session": SESSION}])
async def test_without_a_session_each_request_is_a_conversation_of_its_own(tmp_path, headers):
    async with backend(tmp_path) as gateway:
        for _ in range(3):
            await gateway.ask(FIRST, **headers)
    assert len(set(gateway.conversations())) == 3


async def test_the_first_header_that_says_something_counts(tmp_path):
    async with backend(tmp_path) as gateway:
        await gateway.ask(FIRST, x_session_affinity=SESSION)
        await gateway.ask(FIRST, x_session_affinity="", x_opencode_session_id=SESSION)
        await gateway.ask(FIRST, x_opencode_session=SESSION)
        await gateway.ask(FIRST, x_session_affinity=SESSION, x_opencode_session="ses_another")
        await gateway.ask(FIRST, x_session_affinity="ses_another", x_opencode_session=SESSION)
    *same, other = gateway.conversations()
    assert len(set(same)) == 1
    assert other not in same


async def test_a_session_names_no_conversation_on_other_routes(tmp_path):
    async with backend(tmp_path) as gateway:
        for _ in range(2):
            await gateway.ask(FIRST, path="/v1/chat/completions", x_session_affinity=SESSION)
    assert len(set(gateway.conversations())) == 2


async def test_the_first_message_counts_with_its_images_and_in_every_form(tmp_path):
    def asking(content):
        return FIRST | {"messages": [{"role": "user", "content": content}]}

    def image(url):
        return {"type": "image_url", "image_url": {"url": url}}

    async with backend(tmp_path) as gateway:
        for content in (
            "Hello",
            [{"type": "text", "text": "Hello"}],
            [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
            [image(PIXEL)],
            [image(GIF)],
            [image(GIF), image(PIXEL)],
        ):
            await gateway.ask(asking(content), x_session_affinity=SESSION)
    found = gateway.conversations()
    assert len(set(found[:3])) == 1
    assert len(set(found[2:])) == 4


async def test_the_models():
    async with running_server() as server, server.client() as client:
        listed = (await client.get("/opencode/v1/models")).json()
        one = await client.get("/opencode/v1/models/composer-2.5")
        missing = await client.get("/opencode/v1/models/no-such-model")
        assert listed["data"] == (await client.get("/v1/models")).json()["data"]
    assert "composer-2.5" in [model["id"] for model in listed["data"]]
    assert (one.status_code, one.json()["id"], missing.status_code) == (200, "composer-2.5", 404)
