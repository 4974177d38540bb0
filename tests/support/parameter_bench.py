"""A gateway in front of one scripted upstream, of any family: what a request's parameters do is what the upstream was sent and the client got."""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import httpx

from pipeline.parameters import Family
from pipeline.wire.composer import encode_end, encode_text, encode_thinking
from tests.support import anthropic_words as anthropic
from tests.support import openai_server as chat
from tests.support import responses_events as responses
from tests.support import sdk_scripts as sdk
from tests.support import website_words as words
from tests.support.composer_backend import composer_backend, to
from tests.support.composer_server import ENDPOINT, ComposerServer
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_run import Run
from tests.support.fake_bridge_steps import Call, Calls, Say
from tests.support.fake_bridge_steps import Step as BridgeStep
from tests.support.gateway_server import RunningServer, gateway_from

SENTENCE = "One two STOP three."
USER = {"role": "user", "content": "Hi"}
MODELS = {
    Family.COMPOSER: "composer-2.5",
    Family.SDK_BRIDGE: "composer-2.5",
    Family.WEBSITE: "composer-2.5",
    Family.OPENAI_CHAT: "kimi-k3",
    Family.OPENAI_RESPONSES: "gpt-5.2",
    Family.ANTHROPIC: "claude-sonnet-5",
}
APIS = {
    Family.OPENAI_CHAT: ("openai-chat", chat.ENDPOINT),
    Family.OPENAI_RESPONSES: ("openai-responses", responses.ENDPOINT),
    Family.ANTHROPIC: ("anthropic", anthropic.ENDPOINT),
}
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
    """One gateway; `sent` is what its upstream got, a request each: the body, or the model and the prompt, without what is new each time."""

    def __init__(self, family: Family, server: RunningServer, upstream: ComposerServer | chat.OpenAIServer | FakeBridge) -> None:
        self._family = family
        self._server = server
        self._upstream = upstream

    @property
    def sent(self) -> list[Any]:
        if isinstance(self._upstream, FakeBridge):
            return [_run_sent(run) for run in self._upstream.runs]
        if isinstance(self._upstream, chat.OpenAIServer):
            bodies = [received.json for received in self._upstream.requests]
            return [_page_sent(body) for body in bodies] if self._family is Family.WEBSITE else bodies
        messages = [received.message for received in to(self._upstream, ENDPOINT)]
        return [{"model": m.model, "agent": m.agent, "prompt": m.text} for m in messages if m is not None]

    async def ask(self, **fields: Any) -> Answer:
        async with self._server.client(**KEY) as client:
            response = await client.post("/v1/chat/completions", json={"model": MODELS[self._family], "messages": [USER], **fields})
        return Answer(response.status_code, response.text, _last(response), _words(response, "ignored"), _words(response, "notices"))

    async def ask_messages(self, **fields: Any) -> Answer:
        """The same question as a body of Anthropic's API; its answer has that API's shape."""
        async with self._server.client(**KEY) as client:
            body = {"model": MODELS[self._family], "max_tokens": 9000, "messages": [USER], **fields}
            response = await client.post("/v1/messages", json=body)
        return Answer(response.status_code, response.text, _last(response), _words(response, "ignored"), _words(response, "notices"))

    async def listed(self) -> list[str]:
        """The ids of the models that a client is told of."""
        async with self._server.client(**KEY) as client:
            return [card["id"] for card in (await client.get("/v1/models")).json()["data"]]

    async def sent_for(self, **fields: Any) -> Any:
        """What the upstream gets for such a request."""
        answer = await self.ask(**fields)
        assert answer.status == 200, answer.text
        return self.sent[-1]


def _run_sent(run: Run) -> dict[str, Any]:
    agent = run.agent
    return {"model": agent.model, "params": agent.params, "tools": list(agent.custom_tools), "prompt": run.text}


def _page_sent(body: dict[str, Any]) -> dict[str, Any]:
    """A body of the website without its ids; the calls' trigger is another one each time."""
    messages = [(message["role"], "".join(part["text"] for part in message["parts"])) for message in body["messages"]]
    prompt = "\n".join(text for _, text in messages)
    trigger = trigger_of(body)
    shown = prompt.replace(trigger, "TRIGGER") if trigger else prompt
    return {"model": body["model"], "roles": [role for role, _ in messages], "prompt": shown}


def trigger_of(body: dict[str, Any]) -> str:
    """What a website's model is told to write in front of a call; empty where it is told of no tools."""
    texts = (part["text"] for message in body["messages"] for part in message["parts"])
    found = next((found for text in texts if (found := re.search(r"^(\S+)<invoke name=", text, re.MULTILINE))), None)
    return "" if found is None else found[1]


def _last(response: httpx.Response) -> Any:
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()
    *_, last = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return json.loads(last)


def _words(response: httpx.Response, header: str) -> list[str]:
    return [word for word in response.headers.get(f"penstock-{header}", "").split(", ") if word]


Said: TypeAlias = bytes | list[BridgeStep] | Callable[[Any], bytes]
"""An upstream's whole answer: its bytes, what a bridge does, or what a server makes of the body that it got."""


def spoken(family: Family, text: str = SENTENCE, thinking: str = "") -> Said:
    """An answer in text."""
    if family is Family.COMPOSER:
        return (encode_thinking(thinking) if thinking else b"") + encode_text(text) + encode_end()
    if family is Family.SDK_BRIDGE:
        return [sdk.system(), *([sdk.thinking(thinking)] if thinking else []), sdk.delta(text), *sdk.finish(text)]
    if family is Family.WEBSITE:
        return words.START + (words.thought(thinking) if thinking else b"") + words.text(text) + words.END
    if family is Family.OPENAI_RESPONSES:
        thoughts = [responses.reasoning(thinking)] if thinking else []
        return responses.completed(*thoughts, responses.message(text))
    if family is Family.ANTHROPIC:
        thought = anthropic.thought([thinking], 0, anthropic.SIGNATURE) if thinking else []
        return b"".join([anthropic.START, *thought, *anthropic.spoken([text], len(thought[:1])), anthropic.end()])
    return (chat.chunk(reasoning_content=thinking) if thinking else b"") + chat.text(text) + chat.chunk("stop") + chat.DONE


CALL = "<|tool_call_begin|>\nget_weather\n<|tool_sep|>city\nOban\n<|tool_call_end|>"


def calling(family: Family, count: int = 1) -> Said:
    """An answer that calls `get_weather` for Oban so many times, on an upstream that is sent a prompt."""
    if family is Family.COMPOSER:
        return spoken(family, f"<|tool_calls_begin|>{CALL * count}<|tool_calls_end|>")
    if family is Family.SDK_BRIDGE:
        calls = [Call("get_weather", {"city": "Oban"}, f"toolu_{number}") for number in range(count)]
        return [sdk.system(), Calls(*calls), Say(lambda run: [sdk.delta(f"{len(run.results)} results"), *sdk.finish()])]

    def called(body: dict[str, Any]) -> bytes:
        call = f'{trigger_of(body)}<invoke name="get_weather">{{"city": "Oban"}}</invoke>'
        return words.START + words.text(call * count) + words.END

    return called


Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Gateway]]


def opener(folder: Path, family: Family) -> Open:
    """How to open a gateway: `answers` are the upstream's, the last one again and again; `settings` are lines of the upstream's table."""

    @asynccontextmanager
    async def opened(*answers: Said, settings: str = "") -> AsyncIterator[Gateway]:
        waiting = list(answers or [spoken(family)])

        def said() -> Said:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        mode = "open" if family in APIS else "forward"
        async with (
            _upstream(family, said) as (table, upstream),
            gateway_from(folder, f"[upstreams.one]\n{table}\n{settings}\n", mode=mode) as server,
        ):
            yield Gateway(family, server, upstream)

    return opened


@asynccontextmanager
async def _upstream(family: Family, said: Callable[[], Said]) -> AsyncIterator[tuple[str, ComposerServer | chat.OpenAIServer | FakeBridge]]:
    """The lines that lead to an upstream which answers so, and the upstream."""

    def as_bytes(body: Any = None) -> Sequence[bytes]:
        answer = said()
        assert isinstance(answer, bytes) or callable(answer)
        return [answer(body) if callable(answer) else answer]

    def as_steps(_run: Run) -> Sequence[BridgeStep]:
        answer = said()
        assert isinstance(answer, list)
        return answer

    def by_body(received: chat.Received) -> Sequence[bytes]:
        return as_bytes(received.json)

    if family is Family.SDK_BRIDGE:
        async with fake_bridge(as_steps) as bridge:
            yield bridge.table("one", gather_seconds=0.05).partition("\n")[2], bridge
    elif family is Family.COMPOSER:
        async with composer_backend(lambda _: as_bytes()) as backend:
            yield f'kind = "composer"\nbase_url = "{backend.origin}"\nendpoint = "{ENDPOINT}"\napi_base = "{backend.origin}"', backend
    elif family is Family.WEBSITE:
        async with chat.openai_server(by_body, words.ENDPOINT) as website:
            yield f'kind = "website"\nurl = "{website.origin}{words.ENDPOINT}"', website
    else:
        kind, path = APIS[family]
        async with chat.openai_server(by_body, path) as server:
            yield f'kind = "{kind}"\nbase_url = "{server.origin}/v1"', server
