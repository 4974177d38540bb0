"""HTTP/1.1 as this server speaks it: hypercorn's protocol over h11, stricter, and with nothing to switch to.

Bytes of one connection come in, requests go to the app, bytes of its answers go out. hypercorn's own protocol changes to HTTP/2 and to WebSocket when
a client asks it to; neither exists here, and such a request is a plain one. h11 reads bare line feeds, folded header lines, a complete head of any
size, and Content-Length beside Transfer-Encoding, where two servers in a row can disagree about where a request ends: so the head is looked at before
h11 has it, and the request before the app has it. What is refused leaves as a JSON object as every other error does, with an id and a line in the
access log, and ends the connection.

Left alone: what the app answers, and everything about sockets and clocks (`server.connection`).
"""

import re
import secrets
from dataclasses import replace

import h11
import msgspec
import trio
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from pipeline.emit.messages_error import error_object
from pipeline.errors import PenstockError, RequestError
from server.access_log import Record
from server.anthropic_shape import asks_anthropic

MAX_HEADERS = 100
HANDOVER_SECONDS = 1.0
"""How long the app may leave the news unread that its client is gone."""

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE = re.compile(rb"\n[ \t]")


class HeadTooLarge(RequestError):
    """The request's head is over `server.max_header_bytes`, or has more than MAX_HEADERS lines."""

    status = 431
    default_code = "request_header_fields_too_large"


def head_fault(received: bytes, max_bytes: int) -> RequestError | None:
    r"""What is wrong with the bytes of a head, as far as they came; a body may follow.

    >>> head_fault(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\n body", 100)
    >>> head_fault(b"GET / HTTP/1.1\nHost: a", 100).message
    'A line of the head does not end with CR LF.'
    >>> head_fault(b"GET / HTTP/1.1\r\nX-Fil", 20).status
    431
    """
    end = received.find(b"\r\n\r\n")
    head = received if end < 0 else received[: end + 4]
    if len(head) > max_bytes:
        return HeadTooLarge(f"The request's head is larger than {max_bytes} bytes.")
    if head.count(b"\r\n") > MAX_HEADERS + 2:  # the request line, and the empty one
        return HeadTooLarge(f"The request has more than {MAX_HEADERS} headers.")
    if _BARE_LINE_FEED.search(head):
        return RequestError("A line of the head does not end with CR LF.", code="bad_request")
    if _FOLDED_LINE.search(head):
        return RequestError("A header is folded over several lines.", code="bad_request")
    return None


def request_fault(request: h11.Request) -> RequestError | None:
    """What is wrong with a request that h11 took."""
    names = {name for name, _ in request.headers}
    if not request.http_version.startswith(b"1."):
        return RequestError("This server speaks HTTP/1.1.", code="http_version_not_supported")
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        return RequestError("Transfer-Encoding stands beside Content-Length, or in HTTP/1.0: the body's end is unclear.", code="bad_request")
    if not request.target.startswith(b"/"):
        return RequestError("The request's target is not a path that begins with a slash.", code="bad_request")
    if not all(_can_be_encoded(value) for name, value in request.headers if name == b"host"):
        return RequestError("The Host header is missing or malformed.", code="invalid_host")
    return None


class Http1(H11Protocol):
    """One connection's protocol; `handle` takes its bytes, and `Closed` when there are no more."""

    _request: h11.Request | None = None  # whose head was read last, until the next head is awaited

    @property
    def http(self) -> h11.Connection:
        """The parser; hypercorn's other kind, for WebSocket, is never made here."""
        assert isinstance(self.connection, h11.Connection)
        return self.connection

    @property
    def has_begun_head(self) -> bool:
        """Whether a part of the next request's head is here."""
        return self.http.their_state is h11.IDLE and bool(self.http.trailing_data[0])

    @property
    def has_unread(self) -> bool:
        """Whether the client may be sending what nobody will read: closing now would take the answer from it."""
        return self.http.their_state in {h11.SEND_BODY, h11.ERROR} or bool(self.http.trailing_data[0])

    async def stream_send(self, event: StreamEvent) -> None:
        """What the app's side of a request wants written; an answer that does not wait for the request's end says that it closes the connection."""
        if isinstance(event, Response) and self.http.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _handle_events(self) -> None:
        while True:
            if self.http.they_are_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            if self.http.their_state is h11.IDLE:
                self._request = None
                fault = head_fault(self.http.trailing_data[0], self.config.h11_max_incomplete_size)
                if fault is not None:
                    return await self._refuse(fault)
            try:
                event = self.http.next_event()
            except h11.RemoteProtocolError as error:
                return await self._refuse(_unreadable(error))
            if isinstance(event, h11.Request):
                self._request = event
                fault = request_fault(event)
                if fault is not None:
                    return await self._refuse(fault)
                await self.send(Updated(idle=False))
                await self._create_stream(event)
            elif event is h11.PAUSED:
                await self.can_read.clear()
                await self.can_read.wait()
            elif isinstance(event, h11.Data) and self.stream is not None:
                await self.stream.handle(Body(stream_id=STREAM_ID, data=bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage) and self.stream is not None:
                await self.stream.handle(EndBody(stream_id=STREAM_ID))
            else:
                return None

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = Http1Stream(
            self.app, self.config, self.context, self.task_group, self.ssl, self.client, self.server, self.stream_send, STREAM_ID
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode("ascii"),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def _close_stream(self) -> None:
        # a caller that is cancelled half-way would leave the app believing in its client for ever
        with trio.move_on_after(HANDOVER_SECONDS, shield=True):
            await super()._close_stream()

    async def _refuse(self, error: PenstockError) -> None:
        """Answer with an error, unless an answer has begun, and close; a request in work is told that its client is gone, and writes its own line."""
        in_work = self.stream is not None
        method, target = (self._request.method.decode("ascii"), self._request.target.decode("ascii")) if self._request else ("-", "-")
        await self._close_stream()
        if self.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers, body, request_id = error_answer(error, for_anthropic=self._request is not None and _asks_anthropic(self._request))
            headers += self.config.response_headers("h11")
            if not in_work:
                record = Record(method, target)
                record.status, record.error, record.request_id, record.complete = error.status, error.code, request_id, True
                record.write()
            answer = self.http.send(h11.Response(status_code=error.status, headers=headers))
            if method != "HEAD":
                answer += self.http.send(h11.Data(data=body))
            await self.send(RawData(data=answer + self.http.send(h11.EndOfMessage())))
        await self.send(Closed())


class Http1Stream(HTTPStream):
    """One request; when the app ends without an answer, its error has the shape of all others."""

    async def _send_error_response(self, status_code: int) -> None:
        for_anthropic = asks_anthropic(self.scope["path"], (name.decode("latin-1") for name, _ in self.scope["headers"]))
        headers, body, _ = error_answer(PenstockError("Something went wrong in the server."), for_anthropic=for_anthropic)
        await self.send(Response(stream_id=STREAM_ID, headers=headers, status_code=status_code))
        if self.scope["method"] != "HEAD":
            await self.send(Body(stream_id=STREAM_ID, data=body))
        await self.send(EndBody(stream_id=STREAM_ID))
        self.state = ASGIHTTPState.CLOSED


def error_answer(error: PenstockError, *, for_anthropic: bool) -> tuple[list[tuple[bytes, bytes]], bytes, str]:
    """The headers and the body of an answer that ends its connection, and the id in them.

    Whose client it is may not be known, if the head could not be read: what is around the error is always as Anthropic's clients look for it too.
    """
    request_id = secrets.token_hex(12)
    body = msgspec.json.encode({"type": "error", "error": error_object(error) if for_anthropic else error.body(), "request_id": request_id})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode("ascii")),
        (b"request-id", request_id.encode("ascii")),
    ]
    return headers, body, request_id


def _asks_anthropic(request: h11.Request) -> bool:
    path = request.target.decode("ascii").partition("?")[0]
    return asks_anthropic(path, (name.decode("ascii") for name, _ in request.headers))


def _can_be_encoded(host: bytes) -> bool:
    """Whether the framework can bind its routes to a Host: it raises where no error handler answers. Which hosts are ours is the front door's."""
    try:
        host.partition(b":")[0].decode("latin-1").lower().encode("idna")
    except UnicodeError:
        return False
    return True


def _unreadable(error: h11.RemoteProtocolError) -> RequestError:
    if error.error_status_hint == HeadTooLarge.status:
        return HeadTooLarge("A part of the request is larger than this server takes.")
    return RequestError("The request could not be read as HTTP/1.1.", code="bad_request")
