"""Round trips for the doctor: a few words asked and answered, and a tool offered, called and answered, in process or through the running server."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pipeline.errors import PenstockError
from pipeline.flow import Exchange, Terms, collect
from pipeline.parse.chat import parse_chat
from pipeline.upstream.base import Upstream
from server.first_request import served_models
from server.resolver import Lead, resolve
from server.settings import Settings
from server.upstreams import timeouts_of

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather in a city.",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}
TEXT_QUESTION = {"role": "user", "content": "Reply with one short sentence."}
TOOL_QUESTION = {"role": "user", "content": "What is the weather like in Boston? Use the tool get_weather."}


class Trip(NamedTuple):
    """What came of one round trip."""

    what: str
    good: bool | None  # None: it was not made
    detail: str = ""
    fix: str = ""


class Failure(Exception):
    """A round trip that failed: what was said, and what may mend it."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


FIXES: Mapping[str, str] = {
    "invalid_api_key": "check the key",
    "upstream_credentials_refused": "check this upstream's own key in the settings",
    "model_not_found": "name a model that the upstream serves, by a route or with --model",
    "upstream_not_configured": "set what the message names",
    "upstream_client_outdated": 'the upstream refuses this kind of client; take the bridge of its vendor\'s SDK, kind = "sdk-bridge"',
    "upstream_refused": "the website lets no programs in, and nothing here answers a bot check; ask its operator for an address that does",
    "upstream_bridge_incompatible": "install another version of cursor-sdk; `pip install 'penstock[cursor-sdk]'` takes one that fits",
    "upstream_certificate_invalid": "check the certificate, or set SSL_CERT_FILE to its CA",
    "insufficient_quota": "check the account's plan and usage",
    "host_not_allowed": "add the host to server.allowed_hosts",
}

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""A Chat body to the message of its answer; raises Failure."""


async def round_trips(ask: Ask, model: str) -> Sequence[Trip]:
    """A text and a tool round trip with one model."""
    return [await _text(ask, model), await _tool(ask, model)]


async def _text(ask: Ask, model: str) -> Trip:
    what, started = f"text round trip with {model}", time.monotonic()
    try:
        message = await ask({"model": model, "messages": [TEXT_QUESTION]})
    except Failure as failure:
        return _failed(what, failure)
    if not message.get("content"):
        return Trip(what, False, "the answer held no text", "try another model")
    return Trip(what, True, f"{len(message['content'])} characters in {time.monotonic() - started:.2f} s")


async def _tool(ask: Ask, model: str) -> Trip:
    what, started = f"tool round trip with {model}", time.monotonic()
    body: dict[str, Any] = {"model": model, "messages": [TOOL_QUESTION], "tools": [TOOL]}
    try:
        message = await ask(body)
        calls: list[Any] = message.get("tool_calls") or []
        if not calls:
            return Trip(what, False, "the model answered in text and called no tool", "use a model that can call tools")
        arguments = calls[0]["function"]["arguments"]
        if not _fits(arguments):
            return Trip(what, False, "the call's arguments do not fit the offered schema", "try another model")
        result = {"role": "tool", "tool_call_id": calls[0]["id"], "content": "18 degrees and sunny"}
        answer = await ask(body | {"messages": [TOOL_QUESTION, {"role": "assistant", "content": None, "tool_calls": calls[:1]}, result]})
    except Failure as failure:
        return _failed(what, failure)
    if not answer.get("content") and not answer.get("tool_calls"):
        return Trip(what, False, "nothing came back behind the tool's result", "try another model")
    return Trip(what, True, f"called, answered and went on in {time.monotonic() - started:.2f} s")


def _fits(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments).get("location"), str)
    except (msgspec.MsgspecError, AttributeError):
        return False


def _failed(what: str, failure: Failure) -> Trip:
    return Trip(what, False, f"{failure} ({failure.status} {failure.code})", fix_of(failure.code, failure.status))


def fix_of(code: str, status: int) -> str:
    """What may mend an error."""
    return FIXES.get(code, "try again later" if status in (429, 503, 504) else "read the message; the server's log may say more")


def model_for(settings: Settings, upstream: str, asked: str | None) -> str | None:
    """The id to ask an upstream for: the one asked for if its route leads there, else the first that it is known to serve, or None."""
    return asked if asked and lead_to(settings, asked, upstream) is not None else next(served_models(settings, upstream), None)


def lead_to(settings: Settings, model_id: str, upstream: str) -> Lead | None:
    """The target of an id's route that is at this upstream, first or not."""
    found = resolve(settings, model_id)
    return None if found is None else next((lead for lead in found.leads if lead.upstream == upstream), None)


def _not_made(detail: str) -> Trip:
    return Trip("text and tool round trip", None, detail)


class UpstreamTrips:
    """Round trips with one upstream, in process: its answers are read as its table says, as they are for clients."""

    def __init__(self, settings: Settings, name: str, upstream: Upstream, key: str | None, model: str | None) -> None:
        self._settings = settings
        self._name = name
        self._upstream = upstream
        self._key = key
        self._model = model

    async def make(self) -> Sequence[Trip]:
        """The trips, or one that says why there are none."""
        if not any(target.upstream == self._name for route in self._settings.routes.values() for target in route.targets):
            return [Trip("is reached by a route", False, "", f'add a route with targets = [{{ upstream = "{self._name}", model = "…" }}]')]
        model = model_for(self._settings, self._name, self._model)
        if model is None:
            return [_not_made("no route names a model that it serves; name one with --model ID")]
        return await round_trips(self._ask, model)

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        request = parse_chat(msgspec.json.encode(body))
        found = lead_to(self._settings, request.model, self._name)
        model = request.model if found is None else found.model_id
        policy, markup, strict = self._settings.upstreams[self._name].reading()
        terms = Terms(policy=policy, markup=markup, strict_tool_choice=strict, timeouts=timeouts_of(self._settings))
        try:
            exchange = Exchange(request, self._upstream, terms, model=model, key=self._key)
            answer, _ = await collect(exchange)
        except PenstockError as error:
            raise Failure(error.message, error.code, error.status) from None
        return _message(answer)


class ServerTrips:
    """Round trips through a running server, as a client makes them."""

    def __init__(self, settings: Settings, url: str, key: str | None, model: str | None) -> None:
        self._settings = settings
        self._url = url
        self._key = key
        self._model = model

    async def make(self) -> Sequence[Trip]:
        """Whether it is ready, and the trips with the first model that it serves."""
        from pipeline.upstream.http import open_client, opened, read_bounded

        async with open_client(timeouts_of(self._settings)) as client:
            headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self._key}"} if self._key else {})

            async def call(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
                async with opened(client, method, self._url + path, headers, body) as response:
                    return response.status_code, await read_bounded(response, 1 << 20)

            async def ask(body: dict[str, Any]) -> dict[str, Any]:
                try:
                    status, answer = await call("POST", "/v1/chat/completions", msgspec.json.encode(body))
                except PenstockError as error:
                    raise Failure(error.message, error.code, error.status) from None
                if status != 200:
                    raise _refusal(status, answer)
                return _message(answer)

            status, said = await call("GET", "/ready")
            draining = b'"draining"' in said
            fix = "it is shutting down: start it again" if draining else "set what is named above, and start it again"
            ready = Trip(f"{self._url} is ready", status == 200, "", "" if status == 200 else fix)
            model = self._model or next(served_models(self._settings), None)
            return [ready, *(await round_trips(ask, model) if model else [_not_made("no route names a model; name one with --model ID")])]


def _message(answer: bytes) -> dict[str, Any]:
    message: dict[str, Any] = msgspec.json.decode(answer)["choices"][0]["message"]
    return message


def _refusal(status: int, answer: bytes) -> Failure:
    try:
        error = msgspec.json.decode(answer)["error"]
        return Failure(str(error["message"]), str(error["code"]), status)
    except (msgspec.MsgspecError, KeyError, TypeError):
        return Failure("the answer was not one of Penstock's: another program listens there", "not_penstock", status)
