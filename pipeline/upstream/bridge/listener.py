"""Where the bridge calls the client's tools: a small HTTP server on the loopback interface, with one method.

Theory of operation: the bridge posts `CallCustomTool` with the token that it was told, and waits for the answer, which may take as long as a person
needs. Each body is read (`pipeline.wire.sdk_callbacks`) and given to `answer`, which waits for the tool's result; meanwhile the connection is
listened to, so that a bridge that gives a call up is noticed at once: `answer` is cancelled then. A connection is used again, as the bridge does. It
is a stranger's until a request with the token came on it.

Invariants: nobody without the token gets anywhere; it is compared in constant time. Heads and bodies are bounded in size and in time, idle
connections in time, and all connections in number. A stranger's ends after `STRANGER_SECONDS` whatever comes on it, and the oldest of them makes room
for a new one, so that no other program on the machine can keep the bridge out. A fault of one connection ends that connection and nothing else.
Errors are those of Connect, in JSON, and say nothing that the bridge does not know.
"""

import logging
import math
import secrets
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import h11
import msgspec
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskStatus

from pipeline.credential import Secret
from pipeline.errors import ProtocolViolation
from pipeline.upstream.bridge.launch import Callback
from pipeline.wire.sdk_callbacks import CALL_CUSTOM_TOOL, ToolCallback, callback_error, read_callback

log = logging.getLogger("penstock.bridge")

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 16_384
MAX_AHEAD_BYTES = 65_536
"""Of further requests that come while the one before them waits; what is more stays unread until it is answered."""

MAX_CONNECTIONS = 1024
MAX_STRANGERS = 32
STRANGER_SECONDS = 3.0
"""The most that a connection may take to show the token; the bridge shows it with its first bytes."""

IDLE_SECONDS = 120.0
"""How long a connection may wait for its next request; the bridge closes its own long before."""

REQUEST_SECONDS = 30.0
"""How long a request may take to come, and an answer to be taken."""

ACCEPT_PAUSE_SECONDS = 0.1
_READ_BYTES = 65_536

Answer = Callable[[ToolCallback], Awaitable[bytes]]
"""Waits for the result of a call and gives the body of its answer."""


class CallbackListener:
    """`run` it in a task group; `callback` is what the bridge is to be told. Open from `open_listener` on."""

    def __init__(self, sockets: SocketListener, answer: Answer) -> None:
        port = sockets.extra(SocketAttribute.local_port)
        self.callback = Callback(f"http://127.0.0.1:{port}", Secret(secrets.token_urlsafe(32)))
        self.connection_count = 0
        self._sockets = sockets
        self._answer = answer
        self._strangers: dict[_Connection, anyio.CancelScope] = {}  # the oldest first

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket and all connections are closed then."""
        task_status.started()
        try:
            async with anyio.create_task_group() as connections:
                while True:
                    try:
                        stream = await self._sockets.accept()
                    except OSError as fault:  # no descriptors left: others may be closed soon
                        log.warning("a callback of the bridge could not be taken: %s", fault.strerror)
                        await anyio.sleep(ACCEPT_PAUSE_SECONDS)
                        continue
                    connections.start_soon(self._serve, stream)
        finally:
            with anyio.CancelScope(shield=True):
                await self._sockets.aclose()

    async def _serve(self, stream: SocketStream) -> None:
        self.connection_count += 1
        connection = _Connection(stream)
        try:
            if self.connection_count > MAX_CONNECTIONS:
                log.warning("more than %d connections to the callbacks of the bridge", MAX_CONNECTIONS)
                return
            with self._as_stranger(connection):
                while await self._exchange(connection):
                    pass
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
            pass  # the other side is gone, or too slow
        except Exception:
            log.exception("a fault of ours in a callback of the bridge")
        finally:
            self._strangers.pop(connection, None)
            self.connection_count -= 1
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)

    def _as_stranger(self, connection: "_Connection") -> anyio.CancelScope:
        """What a connection is served in: it is cancelled in time, unless it is known by then."""
        while len(self._strangers) >= MAX_STRANGERS:
            self._strangers.pop(next(iter(self._strangers))).cancel()
        scope = self._strangers[connection] = anyio.CancelScope(deadline=anyio.current_time() + STRANGER_SECONDS)
        return scope

    async def _exchange(self, connection: "_Connection") -> bool:
        """One request and its answer; whether another may follow."""
        try:
            request = await connection.request(partial(self._refusal, connection))
        except h11.RemoteProtocolError as fault:
            if connection.may_answer:
                await connection.answer(fault.error_status_hint, callback_error("invalid_argument", "This is no request of HTTP."))
            return False
        if request is None:
            return False
        if request.refusal is not None:
            await connection.answer(*request.refusal)
            return connection.goes_on()
        try:
            callback = read_callback(request.body)
        except ProtocolViolation as error:
            await connection.answer(400, callback_error("invalid_argument", error.message))
            return connection.goes_on()
        body = await connection.unless_closed(lambda: self._answer(callback))
        if body is None:
            return False
        await connection.answer(200, body)
        return connection.goes_on()

    def _refusal(self, connection: "_Connection", head: h11.Request) -> "_Refusal | None":
        """Why a request is not for us, as a status and a body; from one with the token on, its connection is the bridge's."""
        told = next((value for name, value in head.headers if name == b"authorization"), b"")
        if not secrets.compare_digest(told, b"Bearer " + self.callback.token.reveal().encode()):
            return 401, callback_error("unauthenticated", "Unauthorized")
        stranger = self._strangers.pop(connection, None)
        if stranger is not None:
            stranger.deadline = math.inf
        if head.target.partition(b"?")[0] != CALL_CUSTOM_TOOL.encode():
            return 404, callback_error("unimplemented", "There is no such method.")
        if head.method != b"POST":
            return 405, callback_error("unimplemented", "The method is POST.")
        return None


async def open_listener(answer: Answer) -> CallbackListener:
    """A listener on a free port of the loopback interface; raises OSError."""
    (sockets,) = (await anyio.create_tcp_listener(local_host="127.0.0.1", family=socket.AF_INET)).listeners
    assert isinstance(sockets, SocketListener)
    return CallbackListener(sockets, answer)


_Refusal = tuple[int, bytes]


class _Received(msgspec.Struct, frozen=True):
    """One request: its body, or why it gets no answer."""

    body: bytes = b""
    refusal: _Refusal | None = None


class _Connection:
    """The HTTP of one connection."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def request(self, refusal_of: "Callable[[h11.Request], _Refusal | None]") -> _Received | None:
        """The next one, None when the other side has closed; its body is not kept when it is refused by its head. Raises TimeoutError."""
        if not self._http.trailing_data[0]:
            with anyio.fail_after(IDLE_SECONDS):
                await self._receive()
        with anyio.fail_after(REQUEST_SECONDS):
            head = await self._next_event()
            if not isinstance(head, h11.Request):
                return None
            refusal, body = refusal_of(head), bytearray()
            size = 0
            while not isinstance(event := await self._next_event(), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    return None
                size += len(event.data)
                if size > MAX_BODY_BYTES:
                    # what is left of it is not read, so that the connection cannot be used again
                    return _Received(refusal=(413, callback_error("resource_exhausted", f"The body is over {MAX_BODY_BYTES} bytes.")))
                if refusal is None:
                    body += event.data
        return _Received(bytes(body), refusal)

    async def unless_closed(self, answer: Callable[[], Awaitable[bytes]]) -> bytes | None:
        """The answer, None when the other side closes before it is there; it is cancelled then."""
        body: bytes | None = None
        async with anyio.create_task_group() as waiting:

            async def watch() -> None:
                # not counted is the request itself, which has been taken out
                ahead_bytes = len(self._http.trailing_data[0])
                try:
                    while received := await self._receive():
                        ahead_bytes += received
                        if ahead_bytes >= MAX_AHEAD_BYTES:
                            return
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass
                waiting.cancel_scope.cancel()

            waiting.start_soon(watch)
            body = await answer()
            waiting.cancel_scope.cancel()
        return body

    @property
    def may_answer(self) -> bool:
        """Whether an answer can still be sent to what came."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    async def answer(self, status: int, body: bytes) -> None:
        """Send a whole answer. Raises TimeoutError when it is not taken."""
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        data = b"".join(
            self._http.send(event) or b"" for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        )
        with anyio.fail_after(REQUEST_SECONDS):
            await self._stream.send(data)

    def goes_on(self) -> bool:
        """Make ready for a further request, if there may be one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _next_event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                await self._stream.send(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            await self._receive()

    async def _receive(self) -> int:
        """Read once; the count of bytes, 0 at the end."""
        try:
            data = await self._stream.receive(_READ_BYTES)
        except anyio.EndOfStream:
            data = b""
        self._http.receive_data(data)
        return len(data)
