"""One connection to an origin: how it is made, written, read, judged and closed.

Theory of operation: `connect` resolves, connects (several addresses race, as RFC 8305 has it), makes the proxy's tunnel and agrees on TLS, all under
one deadline; whatever interrupts it, cancellation included, it leaves no socket behind. A `Connection` then sends slices, each under the write clock,
and receives what one read of the socket gives. Reading has no clock here. Closing never waits for the peer.

Low errors pass through unmapped: `OSError`, `ssl.SSLError`, `TimeoutError` and those of anyio are put into httpx's words by the transport.
"""

import select
import ssl

import anyio
import msgspec
from anyio.abc import ByteStream, SocketAttribute

from pipeline.upstream.http1.proxy import Proxy, ProxyFault, ProxyRefusal
from pipeline.upstream.http1.request import write_head
from pipeline.upstream.http1.response import ResponseReader
from pipeline.upstream.http1.tls import READ_BYTES, TLSStream

SLICE_BYTES = 262_144
"""How much one write clock covers: a slow upload is not a stalled one."""


class Origin(msgspec.Struct, frozen=True):
    """Where a connection leads; two requests may share one only if these are equal.

    `host` is an ASCII name or an address without brackets, `server_name` the name that the certificate must have.
    """

    scheme: str
    host: str
    port: int
    server_name: str
    proxy: Proxy | None = None

    @property
    def authority(self) -> bytes:
        """`host:port` as CONNECT wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("ascii")


class Connection:
    """An open connection that one exchange at a time may use."""

    def __init__(self, origin: Origin, stream: ByteStream) -> None:
        self.origin = origin
        self.reused = False
        self.idle_since = 0.0
        self._stream = stream
        self._fileno: int = stream.extra(SocketAttribute.raw_socket).fileno()
        self._may_have_more = False

    async def send(self, data: bytes, write_seconds: float) -> None:
        """Send all of it.

        Raises:
            TimeoutError: the peer took less than a slice within `write_seconds`.
        """
        for start in range(0, len(data), SLICE_BYTES):
            with anyio.fail_after(write_seconds):
                await self._stream.send(data if len(data) <= SLICE_BYTES else data[start : start + SLICE_BYTES])

    async def receive(self) -> bytes:
        """What one read gives, b"" at the end of file."""
        try:
            data = await self._stream.receive(READ_BYTES)
        except anyio.EndOfStream:
            return b""
        self._may_have_more = len(data) == READ_BYTES
        return data

    def is_quiet(self) -> bool:
        """Whether the peer has neither closed nor sent anything: only then may an idle connection be used again. Does not block.

        A last read that was full counts as more, since asyncio may hold the rest of it where no system call sees it.
        """
        if self._may_have_more or (isinstance(self._stream, TLSStream) and self._stream.has_unread):
            return False
        poll = select.poll()
        poll.register(self._fileno, select.POLLIN)
        return not poll.poll(0)

    async def aclose(self) -> None:
        """Close the socket at once, even when cancelled."""
        await _close(self._stream)


async def connect(origin: Origin, context: ssl.SSLContext | None, connect_seconds: float) -> Connection:
    """Connect to an origin, directly or through its proxy.

    Args:
        origin: where to.
        context: for TLS, wherever the origin or its proxy wants it; None when neither does.
        connect_seconds: the limit of everything together.

    Raises:
        TimeoutError: it took longer.
        OSError: no address answered, or TLS failed (`ssl.SSLError`).
        anyio.BrokenResourceError: the connection broke while it was made.
        ProxyFault: the proxy made no tunnel; `ProxyRefusal` when it will not, as for want of credentials.
    """
    proxy = origin.proxy
    with anyio.fail_after(connect_seconds):
        stream: ByteStream = await anyio.connect_tcp(proxy.host if proxy else origin.host, proxy.port if proxy else origin.port)
        try:
            if proxy and proxy.scheme == "https":
                stream = await _secure(stream, context, proxy.host)
            if proxy and origin.scheme == "https":
                await _tunnel(stream, origin, proxy)
            if origin.scheme == "https":
                stream = await _secure(stream, context, origin.server_name)
            return Connection(origin, stream)
        except BaseException:
            await _close(stream)  # noqa: ASYNC102 - the shield and the time are in there
            raise


async def _secure(stream: ByteStream, context: ssl.SSLContext | None, server_name: str) -> ByteStream:
    if context is None:
        raise ssl.SSLError("no TLS context")
    secure = TLSStream(stream, context, server_name)
    await secure.handshake()
    return secure


async def _tunnel(stream: ByteStream, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a tunnel; nothing may follow its answer, since in TLS we speak first."""
    head = write_head(b"CONNECT", origin.authority, [(b"Host", origin.authority)], host=b"", body_length=0, proxy_headers=proxy.headers)
    await stream.send(head.data)
    reader = ResponseReader(bodiless=True)
    while not reader.finished:
        try:
            reader.feed(await stream.receive(READ_BYTES))
        except anyio.EndOfStream:
            reader.end()
    if reader.fault:
        raise ProxyFault("The proxy did not answer in HTTP.") from reader.fault
    status = reader.head.status if reader.head else 0
    if not 200 <= status < 300:
        # a 5xx tells of the way behind the proxy, which may be better the next time
        kind = ProxyFault if status >= 500 else ProxyRefusal
        raise kind(f"The proxy refused the tunnel with status {status}.")
    if reader.surplus:
        raise ProxyFault("The proxy sent bytes of its own into the tunnel.")


async def _close(stream: ByteStream) -> None:
    with anyio.CancelScope(shield=True):
        await stream.aclose()
