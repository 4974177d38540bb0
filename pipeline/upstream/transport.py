"""Our own HTTP/1.1 transport under httpx: small pool, one read one piece, and an end of file that is never silent.

Theory of operation: `Transport.handle_async_request` takes an idle connection or makes one, sends the request and reads until the header block is
there; the response's stream then reads as it is iterated, never ahead, so that back-pressure reaches the peer. httpcore is not used: its pool walks
all connections for every request and loses places to cancelled ones (https://github.com/encode/httpcore/issues/1093), and its parser takes most of
a stream's time. There are no tasks, no locks and no limit on connections: whoever limits requests does it before.

What a caller can rely on:

- One read of the socket is one piece, with everything that it held of the body. After `silence_seconds` without any of the body the iteration gives
  b"" and goes on; only the receive is timed, so that nothing is lost. `Response.aiter_raw` and `aiter_bytes` drop empty pieces: who wants to hear
  the silence iterates `response.stream` itself, inside `client.stream(...)`, and asks for `Accept-Encoding: identity`, as nothing is decoded there.
- A body that ends before its frame does raises, after all that came has been given: `RemoteProtocolError` for an end of file, `ReadError` for a
  reset.
- The socket is closed in the moment in which a request is cancelled or fails or its response is closed unread. Only after a complete body is it kept.
- A request goes out a second time only if it went to a reused connection that ended without a single byte, and its body is bytes.
- TLS is always verified, and `CertificateError` tells a refused certificate, which will not get better, from a failed connection.

Clocks: connecting (name, TCP, tunnel and TLS together) and each write are timed here with the transport's own settings. The timeouts that httpx
attaches to a request are left alone, and so is everything about how long an answer may take: that is for `pipeline.clocks`. Exceptions are httpx's,
with the low one as their cause and a text that holds nothing of the request. The extension `sni_hostname` names the host that the certificate must
have.
"""

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Literal

import anyio
import httpx
import msgspec

from pipeline.clocks import SILENCE_SECONDS
from pipeline.upstream.http1.connection import Connection, Origin, connect
from pipeline.upstream.http1.exchange import Exchange
from pipeline.upstream.http1.idle import IdleConnections
from pipeline.upstream.http1.proxy import DEFAULT_PORTS, Proxies, ProxyFault, ProxyRefusal, ProxySettingFault, proxies_from_environment
from pipeline.upstream.http1.request import RequestFault, RequestHead, write_head
from pipeline.upstream.http1.response import ProtocolFault, ResponseReader

Verify = ssl.SSLContext | str | os.PathLike[str] | Literal[True]
"""Trust the usual authorities, those of a file or directory, or what a context says."""


class CertificateError(httpx.ConnectError):
    """The peer's certificate is not trusted, expired or made for another name: a permanent fault."""


class ProxyRefusedError(httpx.ProxyError):
    """The proxy will not let us through, as for want of credentials: a permanent fault."""


class _Words:
    """A context manager, shared and without state, that raises what goes wrong underneath as httpx's exceptions."""

    def __init__(self, failed: type[httpx.NetworkError], timed_out: type[httpx.TimeoutException], doing: str) -> None:
        self._failed = failed
        self._timed_out = timed_out
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        words = self._of(fault) if fault is not None else None
        if words is not None:
            raise words from fault

    def _of(self, fault: BaseException) -> httpx.TransportError | None:
        match fault:
            case ssl.SSLCertVerificationError():
                return CertificateError("The certificate of the peer was not accepted.")
            case TimeoutError():
                return self._timed_out(f"{self._doing} took too long.")
            case OSError() | UnicodeError() | anyio.BrokenResourceError() | anyio.ClosedResourceError():
                return self._failed(f"{self._doing} failed.")
            case ProtocolFault():
                return httpx.RemoteProtocolError(str(fault))
            case RequestFault():
                return httpx.LocalProtocolError(str(fault))
            case ProxySettingFault():
                return httpx.UnsupportedProtocol(str(fault))
            case ProxyRefusal():
                return ProxyRefusedError(str(fault))
            case ProxyFault():
                return httpx.ProxyError(str(fault))
            case _:
                return None


_CONNECTING = _Words(httpx.ConnectError, httpx.ConnectTimeout, "Connecting")
_WRITING = _Words(httpx.WriteError, httpx.WriteTimeout, "Writing the request")
_READING = _Words(httpx.ReadError, httpx.ReadTimeout, "Reading the response")


class _Outgoing(msgspec.Struct, frozen=True):
    """A request, ready to be sent. `body` is None for a stream, which can be sent once."""

    head: RequestHead
    body: bytes | None
    stream: httpx.AsyncByteStream | httpx.SyncByteStream
    bodiless: bool


class ResponseStream(httpx.AsyncByteStream):
    """The body, read from the connection as it is iterated; pieces are never joined over two reads and b"" stands for silence."""

    def __init__(self, exchange: Exchange, first: bytes, idle: IdleConnections, silence_seconds: float) -> None:
        self._exchange: Exchange | None = exchange
        self._first = first
        self._idle = idle
        self._silence_seconds = silence_seconds
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        """This is a plain iterator: an abandoned one leaves no generator behind."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises:
            httpx.ReadError: the connection was reset.
            httpx.RemoteProtocolError: it ended early, or the bytes are not HTTP.
            httpx.StreamClosed: it was closed by us.
        """
        if self._first:
            piece, self._first = self._first, b""
            return piece
        if self._closed:
            raise httpx.StreamClosed
        exchange = self._exchange
        if exchange is None:
            raise StopAsyncIteration
        try:
            with _READING:
                piece = await exchange.read_piece(self._silence_seconds)
        except BaseException:
            await self.aclose()
            raise
        if exchange.complete:
            await self.leave()
            if not piece:
                raise StopAsyncIteration
        return piece

    async def leave(self) -> None:
        """Give the connection back, or close it if its body is not complete."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.leave(self._idle)

    async def aclose(self) -> None:
        """No more is wanted: a connection whose body is not complete is closed."""
        self._first = b""
        self._closed = True
        await self.leave()


class Transport(httpx.AsyncBaseTransport):
    """The transport of an `httpx.AsyncClient`; it belongs to one event loop."""

    def __init__(
        self,
        *,
        connect_seconds: float = 5,
        write_seconds: float = 60,
        verify: Verify = True,
        max_idle: int = 20,
        idle_expiry_seconds: float = 30,
        silence_seconds: float = SILENCE_SECONDS,
        proxies: Proxies | None = None,
        max_header_bytes: int = 65_536,
    ) -> None:
        """Nothing is connected yet.

        Args:
            connect_seconds: for name, TCP, tunnel and TLS together.
            write_seconds: for each 256 KiB that the peer takes.
            verify: whom to trust; a context given here is told to speak HTTP/1.1 only (ALPN).
            max_idle: how many idle connections are kept in all.
            idle_expiry_seconds: how long each of them is kept.
            silence_seconds: after how long without body bytes the stream gives b"".
            proxies: None reads the environment, now; `Proxies()` goes direct.
            max_header_bytes: of a response's header block.

        Raises:
            ValueError: `verify` would switch verification off.
            OSError: the file in `verify` cannot be read; `ssl.SSLError` when it holds no certificate.
        """
        if not verify:
            raise ValueError("the verification of certificates cannot be switched off")
        self._connect_seconds = connect_seconds
        self._write_seconds = write_seconds
        self._silence_seconds = silence_seconds
        self._max_header_bytes = max_header_bytes
        self._proxies = proxies_from_environment() if proxies is None else proxies
        self._idle = IdleConnections(max_idle, idle_expiry_seconds)
        # the usual authorities take 20 ms to load, and many a process never needs them
        self._context = None if verify is True else _tls_context(verify)

    @property
    def idle_count(self) -> int:
        """How many connections are kept at the moment."""
        return len(self._idle)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the response's head.

        Raises:
            httpx.TransportError: see the module; each kind means what httpx says.
        """
        with _CONNECTING:
            origin = self._origin(request)
        with _WRITING:
            outgoing = _outgoing(request, origin)
        connection = await self._idle.take(origin)
        response = await self._answer(connection, outgoing) if connection is not None else None
        if response is None:
            with _CONNECTING:
                connection = await connect(origin, self._context_for(origin), self._connect_seconds)
            response = await self._answer(connection, outgoing)
        if response is None:
            raise AssertionError("only a reused connection can have died idle")
        return response

    async def aclose(self) -> None:
        """Close the idle connections; one in use is closed at the end of its response."""
        await self._idle.aclose()

    def _origin(self, request: httpx.Request) -> Origin:
        url = request.url
        scheme, host = url.scheme, url.raw_host.decode("ascii")
        if scheme not in DEFAULT_PORTS or not host:
            raise httpx.UnsupportedProtocol("The URL is neither http nor https, or has no host.")
        port = DEFAULT_PORTS[scheme] if url.port is None else url.port
        server_name = str(request.extensions.get("sni_hostname") or host.rstrip("."))
        return Origin(scheme, host, port, server_name, self._proxies.find(scheme, host, port))

    def _context_for(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.scheme != "https" and (origin.proxy is None or origin.proxy.scheme != "https"):
            return None
        if self._context is None:
            self._context = _tls_context(True)
        return self._context

    async def _answer(self, connection: Connection, outgoing: _Outgoing) -> httpx.Response | None:
        """Send, and read the head, on this connection; None when it had died idle and the request can go out again."""
        reader = ResponseReader(bodiless=outgoing.bodiless, max_header_bytes=self._max_header_bytes)
        exchange = Exchange(connection, outgoing.head, reader, self._write_seconds)
        try:
            await _send(exchange, outgoing)
            try:
                with _READING:
                    head, first = await exchange.read_head()
            except httpx.TransportError:
                with _WRITING:
                    if exchange.refusal is not None:
                        raise exchange.refusal from None
                raise
            stream = ResponseStream(exchange, first, self._idle, self._silence_seconds)
            if exchange.complete:
                await stream.leave()
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            await connection.aclose()
            if outgoing.body is not None and exchange.died_idle:
                return None
            raise
        except BaseException:
            await connection.aclose()
            raise
        extensions = {"http_version": b"HTTP/" + head.version, "reason_phrase": head.reason}
        return httpx.Response(head.status, headers=head.headers, stream=stream, extensions=extensions)


async def _send(exchange: Exchange, outgoing: _Outgoing) -> None:
    if outgoing.body is not None:
        with _WRITING:
            await exchange.send_bytes(outgoing.body)
        return
    with _WRITING:
        await exchange.send_head()
    stream, sent = outgoing.stream, 0
    parts = aiter(stream) if isinstance(stream, httpx.AsyncByteStream) else _each(stream)
    try:
        # what the caller's own iterator raises is not a fault of the connection
        async for part in parts:
            sent += len(part)
            if outgoing.head.length is not None and sent > outgoing.head.length:
                break
            with _WRITING:
                if not await exchange.send_part(part):
                    break
    finally:
        # a generator that is left in the middle is ended here and not by the garbage collector
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()
    with _WRITING:
        await exchange.send_end(sent)


async def _each(parts: httpx.SyncByteStream) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


def _outgoing(request: httpx.Request, origin: Origin) -> _Outgoing:
    url, proxy = request.url, origin.proxy
    target: bytes = url.raw_path
    proxy_headers: list[tuple[bytes, bytes]] = []
    if proxy is not None and origin.scheme == "http":
        # an http request goes to the proxy itself, with the whole address and without the address's own credentials
        target, proxy_headers = b"http://%b%b" % (url.netloc, target), proxy.headers
    body = request.content if isinstance(request.stream, httpx.ByteStream) else None
    head = write_head(
        request.method.encode("ascii"),
        target,
        request.headers.raw,
        host=url.netloc,
        body_length=None if body is None else len(body),
        proxy_headers=proxy_headers,
    )
    return _Outgoing(head, body, request.stream, request.method == "HEAD")


def _tls_context(verify: Verify) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        context = verify
    elif verify is True:
        context = httpx.create_ssl_context()
    elif os.path.isdir(verify):
        context = ssl.create_default_context(capath=verify)
    else:
        context = ssl.create_default_context(cafile=verify)
    context.set_alpn_protocols(["http/1.1"])
    return context
