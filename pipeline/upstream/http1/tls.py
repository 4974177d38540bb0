"""TLS over a byte stream, one read of the socket at a time.

Theory of operation: a `TLSStream` stands between a connection and its socket (or the tunnel that a proxy made). `receive` reads the socket once and
returns everything that this read decrypts to, joined: a server that writes a record for each chunk costs no more pulls than one without TLS, and
nothing decrypted is ever left behind unseen, which is why this is not anyio's own stream. The peer's end must be announced by a closing alert: an end
of file without it may be an attacker's cut, and is a broken connection. Our own close sends no alert, since closing must never wait for a peer.

`receive` can be cancelled at any time and loses nothing. A `send` that was cancelled leaves the stream broken, as half a record may be out.
"""

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

READ_BYTES = 65_536


class TLSStream(ByteStream):
    """The client's side of a TLS session."""

    def __init__(self, stream: ByteStream, context: ssl.SSLContext, server_name: str) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=False, server_hostname=server_name)
        self._broken = False

    @property
    def has_unread(self) -> bool:
        """Whether bytes have come that no `receive` has returned."""
        return bool(self._incoming.pending or self._session.pending())

    async def handshake(self) -> None:
        """Agree on the keys and check the certificate.

        Raises:
            ssl.SSLCertVerificationError: the certificate is not trusted or not for this name.
            ssl.SSLError: the peer does not speak TLS as we do.
            anyio.BrokenResourceError: the connection broke.
        """
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill(READ_BYTES)
            except ssl.SSLError:
                # the alert tells the peer's log why; it is not worth waiting for
                with anyio.move_on_after(0.1), suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._flush()  # noqa: ASYNC120 - a cancelled handshake has no error to tell
                raise
            else:
                await self._flush()
                return

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """What one read of the socket decrypts to; `max_bytes` bounds that read.

        Raises:
            anyio.EndOfStream: the peer has announced its end.
            anyio.BrokenResourceError: it ended without saying so, or the session failed.
        """
        while True:
            pieces: list[bytes] = []
            ended = False
            try:
                while piece := self._session.read(READ_BYTES):
                    pieces.append(piece)
                ended = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                if not pieces:
                    raise anyio.BrokenResourceError from error
            if pieces:
                return b"".join(pieces)
            if ended:
                raise anyio.EndOfStream
            await self._fill(max_bytes)

    async def send(self, item: bytes) -> None:
        """Encrypt and send.

        Raises:
            anyio.BrokenResourceError: the connection broke, now or in an earlier call.
        """
        if self._broken:
            raise anyio.BrokenResourceError
        try:
            self._session.write(item)
        except ssl.SSLError as error:
            raise anyio.BrokenResourceError from error
        await self._flush()

    async def send_eof(self) -> None:
        """HTTP never half-closes."""
        raise NotImplementedError("a TLS stream has no half-close here")

    async def aclose(self) -> None:
        """Close the socket, without an alert."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """That of the socket."""
        return {SocketAttribute.raw_socket: lambda: self._stream.extra(SocketAttribute.raw_socket)}

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._broken = True
            await self._stream.send(self._outgoing.read())
            self._broken = False

    async def _fill(self, max_bytes: int) -> None:
        try:
            self._incoming.write(await self._stream.receive(max_bytes))
        except anyio.EndOfStream:
            self._incoming.write_eof()
