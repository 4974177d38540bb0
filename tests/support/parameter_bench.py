"""A gateway in front of one scripted upstream, of any family: what a request's parameters do is what the upstream was sent and the client got."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import httpx

from pipeline.parameters import Family
from pipeline.wire.composer import encode_end, encode_text, encode_thinking
from tests.support import openai_server as chat
from tests.support import responses_events as responses
from tests.support.composer_backend import composer_backend, to
from tests.support.composer_server import ENDPOINT, ComposerServer, Received
from tests.support.gateway_server import RunningServer, gateway_from

SENTENCE = "One two STOP three."
USER = {"role": "user", "content": "Hi"}
MODELS = {Family.COMPOSER: "composer-2.5", Family.OPENAI_CHAT: "kimi-k3", Family.OPENAI_RESPONSES: "gpt-5.2"}
OPENAI = {Family.OPENAI_CHAT: ("openai-chat", chat.ENDPOINT), Family.OPENAI_RESPONSES: ("openai-responses", responses.ENDPOINT)}
KEY = {"authorization": "Bearer user-key-1234567890"}


class Answer(NamedTuple):
    """What the client got; `body` is the last JSON value of the answer, `text` all of it; the other two are the headers' words."""

    status: int
    text: str
    body: Any
    ignored: list[str]
    notices: list[str]

    @property
    def error(self) -> tuple[int, str, str | None]:
        found = self.body["error"]
        return self.status, found["code"], found["param"]

    @property
    def message(self) -> dict[str, Any]:
        return self.body["choices"][0]["message"]

    @property
    def told(self) -> tuple[str, str]:
        """The visible text and the reason of a whole answer's end."""
        return self.message["content"], self.body["choices"][0]["finish_reason"]


class Gateway:
    """One gateway; `sent` is what its upstream got, a request each: the body, or Composer's model, mode and prompt."""

    def __init__(self, family: Family, server: RunningServer, upstream: ComposerServer | chat.OpenAIServer) -> None:
        self._family = family
        self._server = server
        self._upstream = upstream

    @property
    def sent(self) -> list[Any]:
        if isinstance(self._upstream, chat.OpenAIServer):
            return [received.json for received in self._upstream.requests]
        messages = [received.message for received in to(self._upstream, ENDPOINT)]
        return [{"model": m.model, "agent": m.agent, "prompt": m.text} for m in messages if m is not None]

    async def ask(self, **fields: Any) -> Answer:
        async with self._server.client(**KEY) as client:
            response = await client.post("/v1/chat/completions", json={"model": MODELS[self._family], "messages": [USER], **fields})
        return Answer(response.status_code, response.text, _last(response), _words(response, "ignored"), _words(response, "notices"))

    async def sent_for(self, **fields: Any) -> Any:
        """What the upstream gets for such a request."""
        answer = await self.ask(**fields)
        assert answer.status == 200, answer.text
        return self.sent[-1]


def _last(response: httpx.Response) -> Any:
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()
    *_, last = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return json.loads(last)


def _words(response: httpx.Response, header: str) -> list[str]:
    return [word for word in response.headers.get(f"penstock-{header}", "").split(", ") if word]


def spoken(family: Family, text: str = SENTENCE, thinking: str = "") -> bytes:
    """An upstream's whole answer."""
    if family is Family.COMPOSER:
        return (encode_thinking(thinking) if thinking else b"") + encode_text(text) + encode_end()
    if family is Family.OPENAI_RESPONSES:
        thought = [responses.reasoning(thinking)] if thinking else []
        return responses.completed(*thought, responses.message(text))
    return (chat.chunk(reasoning_content=thinking) if thinking else b"") + chat.text(text) + chat.chunk("stop") + chat.DONE


Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Gateway]]


def opener(folder: Path, family: Family) -> Open:
    """How to open a gateway: `answers` are the upstream's, the last one again and again; `settings` are lines of the upstream's table."""

    @asynccontextmanager
    async def opened(*answers: bytes, settings: str = "") -> AsyncIterator[Gateway]:
        waiting = list(answers or [spoken(family)])

        def script(_received: Received | chat.Received) -> Sequence[bytes]:
            return [waiting.pop(0) if len(waiting) > 1 else waiting[0]]

        if family is Family.COMPOSER:
            async with composer_backend(script) as upstream:
                table = f'kind = "composer"\nbase_url = "{upstream.origin}"\nendpoint = "{ENDPOINT}"\napi_base = "{upstream.origin}"'
                async with gateway_from(folder, f"[upstreams.one]\n{table}\n{settings}\n", mode="forward") as server:
                    yield Gateway(family, server, upstream)
        else:
            kind, path = OPENAI[family]
            async with chat.openai_server(script, path) as other:
                table = f'kind = "{kind}"\nbase_url = "{other.origin}/v1"'
                async with gateway_from(folder, f"[upstreams.one]\n{table}\n{settings}\n", mode="open") as server:
                    yield Gateway(family, server, other)

    return opened
