"""The other side of the fake bridge, for its own tests: a client that asks it, and a listener that its tools are called at."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import trio

from pipeline.wire.connect import EnvelopeDecoder, encode_envelope
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_steps import Script
from tests.support.http_connection import HttpConnection

KEY = "user0123456789abcdef"


class Client:
    """Asks the bridge, directly or behind its program."""

    def __init__(self, url: str, token: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "connect-protocol-version": "1"}
        self.http = http

    def request(self, method: str, body: Any, **headers: str) -> httpx.Request:
        service = {"Me": "Cursor", "ListModels": "Cursor", "Send": "Agent"}.get(
            method, "Agent" if "Agent" in method or "Run" in method else "BridgeControl"
        )
        data = encode_envelope(msgspec.json.encode(body)) if method == "Send" else msgspec.json.encode(body)
        kind = "application/connect+json" if method == "Send" else "application/json"
        url = f"{self._url}/sdk.v1.Sdk{service}Service/{method}"
        return self.http.build_request("POST", url, content=data, headers={**self._headers, "content-type": kind, **headers})

    async def ask(self, method: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = await self.http.send(self.request(method, {} if body is None else body, **headers))
        return answer.status_code, answer.json() if answer.content else None

    async def agent(self, *tools: str, **options: Any) -> str:
        custom = {name: {"description": name, "inputSchema": {"type": "object"}} for name in tools}
        local = {"cwd": ["work"], "customTools": custom}
        status, made = await self.ask("CreateAgent", {"options": {"model": {"id": "composer-2.5"}, "apiKey": KEY, "local": local, **options}})
        assert status == 200, made
        return str(made["agentId"])

    async def send(self, agent: str, text: str = "Hi") -> list[Any]:
        """All messages of the stream."""
        answer = await self.http.send(self.request("Send", {"agentId": agent, "message": {"text": text}, "options": {"enableDeltas": True}}))
        assert answer.status_code == 200, answer.text
        decoder = EnvelopeDecoder()
        messages = [msgspec.json.decode(envelope.payload) for envelope in decoder.feed(answer.content)]
        assert decoder.end() is None
        return messages


@asynccontextmanager
async def asked(*scripts: Script, **options: Any) -> AsyncGenerator[tuple[FakeBridge, Client]]:
    async with fake_bridge(*scripts, **options) as bridge, httpx.AsyncClient(trust_env=False, timeout=5) as http:
        yield bridge, Client(bridge.url, bridge.token, http)


class Listener:
    """Where the tools are called: answers with what it was asked for, once `answers` is set."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers = trio.Event()
        self.gone = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = HttpConnection(stream)
        while (request := await connection.request()) is not None:
            assert request.headers["authorization"] == "Bearer -our-token"
            told = msgspec.json.decode(request.body)
            self.asked.append(told)
            with trio.move_on_after(60) as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._notice, connection, scope)
                    await self.answers.wait()
                    nursery.cancel_scope.cancel()
            if scope.cancelled_caught:
                break
            result = {"result": {"content": [{"type": "text", "text": f"{told['toolName']} ran"}], "isError": False}}
            await connection.answer(200, msgspec.json.encode(result), {"content-type": "application/json"})
        await stream.aclose()

    async def _notice(self, connection: HttpConnection, scope: trio.CancelScope) -> None:
        await connection.client_left()
        self.gone += 1
        scope.cancel()


@asynccontextmanager
async def listener(*, answers: bool = True) -> AsyncGenerator[tuple[Listener, str]]:
    one = Listener()
    if answers:
        one.answers.set()
    sockets = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, one.serve, sockets)
        yield one, f"http://127.0.0.1:{sockets[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
