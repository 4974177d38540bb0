"""A model for real clients to talk to: Composer's wire behind a real Penstock, with the answers written down beforehand.

A prompt comes in, the steps of an answer go out. What is answered depends on the prompt alone, as with a model: the turn is the number of tool
results in it, so that a client that sends a request again gets the same answer again. OpenCode's title request, which it sends beside the first one,
has an answer of its own. `faults` are played before the turns, one a request. What came is kept, so that a test sees what a client made of the
answers.
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import trio

from pipeline.wire.composer_request import ComposerRequest
from tests.support.composer_backend import KEY, composer_backend
from tests.support.composer_scripts import framed, paced
from tests.support.composer_server import ENDPOINT, Received, Step
from tests.support.gateway_server import gateway_from

TITLE = "Reading the harbour notes"
_TOOL_RESULT = re.compile(r"^TOOL(?: \([^)\n]*\))?: (.*?)(?=\n\n[A-Z ]+(?: \(|:)|\Z)", re.MULTILINE | re.DOTALL)
_TITLE_REQUEST = re.compile(r"^SYSTEM: You are a title generator", re.MULTILINE)

Answer = str | Sequence[Step] | Callable[[str], str]
"""A text, the steps of the wire, or a function from the prompt to a text."""


class Model(Protocol):
    """What a client's test asks of a model, whatever upstream it stands behind (`tests.support.sdk_model` has the other one)."""

    @property
    def turns(self) -> int: ...

    @property
    def prompts(self) -> list[str]: ...

    @property
    def results(self) -> list[str]: ...

    async def left(self) -> None: ...

    def backend(self) -> AbstractAsyncContextManager[str]: ...


class ScriptedModel:
    """Answers each turn with the one of that number; the last one again for all later turns."""

    def __init__(self, *turns: Answer, faults: Sequence[Answer] = ()) -> None:
        self._turns = turns
        self._faults = list(faults)
        self.received: list[Received] = []

    def __call__(self, received: Received) -> Sequence[Step]:
        self.received.append(received)
        prompt = _message(received).text
        answer = self._answer(prompt)
        if callable(answer):
            answer = answer(prompt)
        return paced(framed(answer)) if isinstance(answer, str) else answer

    def _answer(self, prompt: str) -> Answer:
        if is_title_request(prompt):
            return TITLE
        if self._faults:
            return self._faults.pop(0)
        return self._turns[min(len(results_in(prompt)), len(self._turns) - 1)]

    @property
    def requests(self) -> list[ComposerRequest]:
        """What came, but for titles, in order."""
        return [message for received in self.received if not is_title_request((message := _message(received)).text)]

    @property
    def turns(self) -> int:
        """How many answers were given, but for titles."""
        return len(self.requests)

    @property
    def prompts(self) -> list[str]:
        """What the model was told, but for titles, in order."""
        return [request.text for request in self.requests]

    @property
    def results(self) -> list[str]:
        """What the tools answered in the last conversation, in order."""
        return results_in(self.prompts[-1])

    async def left(self) -> None:
        """Wait until the gateway has left the first answer."""
        await self.received[0].gone.wait()

    @asynccontextmanager
    async def backend(self) -> AsyncGenerator[str, None]:
        """Composer's backend, and the table of the upstream that is it."""
        async with composer_backend(self) as backend:
            where = f'base_url = "{backend.origin}"\nendpoint = "{ENDPOINT}"\napi_base = "{backend.origin}"\n'
            yield f'[upstreams.composer]\nkind = "composer"\n{where}'

    @property
    def titles(self) -> list[ComposerRequest]:
        """The requests for a title."""
        return [message for received in self.received if is_title_request((message := _message(received)).text)]


def is_title_request(prompt: str) -> bool:
    return _TITLE_REQUEST.search(prompt) is not None


def results_in(prompt: str) -> list[str]:
    """What the tools answered, as a prompt tells it."""
    return _TOOL_RESULT.findall(prompt)


def _message(received: Received) -> ComposerRequest:
    assert received.message is not None, "the backend answers nothing else"
    return received.message


class Gateway:
    """Where a client is pointed at, and the key that it uses."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key


@asynccontextmanager
async def gateway_over(kind: str, model: Model, folder: Path) -> AsyncGenerator[Gateway, None]:
    """A Penstock whose one upstream, of this kind, is another Penstock, which has the model: so two dialects are spoken on the way."""
    async with gateway_to(model, folder / "behind") as behind:
        table = f'[upstreams.behind]\nkind = "{kind}"\nbase_url = "{behind.url}/v1"\napi_key_env = "BEHIND_KEY"\n'
        async with gateway_from(folder, table, mode="open", BEHIND_KEY=behind.key) as server:
            yield Gateway(server.url, "any")


@asynccontextmanager
async def gateway_to(model: Model, folder: Path) -> AsyncGenerator[Gateway, None]:
    """A Penstock on a free port, in mode `forward`, whose one upstream is the model; `folder` holds its settings."""
    await trio.Path(folder).mkdir(parents=True, exist_ok=True)
    async with model.backend() as table, gateway_from(folder, table, mode="forward") as server:
        yield Gateway(server.url, KEY)
