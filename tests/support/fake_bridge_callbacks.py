"""The fake bridge's callbacks: one unary Connect call each, over connections that are kept, as Node's `fetch` makes them.

A callback takes a free connection or opens one, and waits for the answer as long as it takes. Cancelled, it closes its connection, which is how the
bridge gives a call up. Half of the bodies are sent with a length and half in chunks, since the bridge does both.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec
import trio

from tests.support.fake_bridge_steps import Call, ToolResult

PATH = "/sdk.v1.SdkCustomToolCallbackService/CallCustomTool"
_READ_BYTES = 65_536


class Callbacks:
    """Calls to one listener. `url` and `token` are those that the bridge was told."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.opened = 0
        self.answered = 0
        self._free: list[tuple[trio.SocketStream, h11.Connection]] = []

    async def call(self, call: Call, agent_id: str) -> ToolResult:
        """Ask, and give what was answered; a listener that is gone or closes is a result without a status."""
        wanted: dict[str, Any] = {"toolName": call.name, "args": call.args, "agentId": agent_id}
        if call.id is not None:
            wanted["toolCallId"] = call.id
        status, body = await self.post(msgspec.json.encode(wanted))
        return ToolResult(call.name, call.args, call.id, agent_id, status, body)

    async def post(self, body: bytes) -> tuple[int | None, dict[str, Any]]:
        """Send the body; the status, None when the connection closed, and the JSON of the answer."""
        try:
            stream, connection = await self._connection()
        except OSError:
            return None, {}
        try:
            await stream.send_all(self._request(connection, body))
            answer = await _answer(stream, connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            answer = None
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        if answer is None:
            await trio.aclose_forcefully(stream)
            return None, {}
        self.answered += 1
        if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
            connection.start_next_cycle()
            self._free.append((stream, connection))
        else:
            await trio.aclose_forcefully(stream)
        return answer

    def close(self) -> None:
        """Close what is free; those of calls that are out close with their calls."""
        for stream, _ in self._free:
            stream.socket.close()
        self._free.clear()

    async def _connection(self) -> tuple[trio.SocketStream, h11.Connection]:
        while self._free:
            stream, connection = self._free.pop()
            if not _is_closed(stream):
                return stream, connection
            await trio.aclose_forcefully(stream)
        address = urlsplit(self.url)
        assert address.hostname is not None
        stream = await trio.open_tcp_stream(address.hostname, address.port or 80)
        self.opened += 1
        return stream, h11.Connection(h11.CLIENT)

    def _request(self, connection: h11.Connection, body: bytes) -> bytes:
        address = urlsplit(self.url)
        chunked = self.opened % 2 == 0
        headers = [
            ("host", address.netloc),
            ("content-type", "application/json"),
            ("connect-protocol-version", "1"),
            ("authorization", f"Bearer {self.token}"),
            ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body))),
        ]
        head = connection.send(h11.Request(method="POST", target=address.path.rstrip("/") + PATH, headers=headers)) or b""
        data = b"".join(connection.send(h11.Data(data=part)) or b"" for part in (body[:7], body[7:]) if part)
        return head + data + (connection.send(h11.EndOfMessage()) or b"")


async def _answer(stream: trio.SocketStream, connection: h11.Connection) -> tuple[int, dict[str, Any]] | None:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, _json(bytes(body))
        elif not isinstance(event, h11.InformationalResponse):
            return None


def _json(body: bytes) -> dict[str, Any]:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(body, type=dict[str, Any])
    return {}


def _is_closed(stream: trio.SocketStream) -> bool:
    """Whether the other side has closed a connection on which nothing is to come."""
    return stream.socket.is_readable()
