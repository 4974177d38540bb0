"""A TCP server that does what a script says, byte for byte: for tests of what a peer may do wrong.

Each connection plays a script, the first one the first, and all those after the last one play the last. A script is a sequence of steps:

- `REQUEST`: reads one request and keeps it in `requests` of its connection;
- `bytes`: sent in one write;
- `Pause(seconds)`: nothing for a while;
- `Wait(event)`: nothing until the test sets the event;
- `Flood(piece)`: sends the piece again and again, counted in `flooded_bytes`, until the client goes;
- `Close()` and `Reset()`: the connection is closed, or reset. A script that ends otherwise keeps it open until the client goes, which sets `gone`.

It speaks anyio, so that it runs where the test runs.
"""

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream


class _Request(msgspec.Struct, frozen=True):
    pass


class Pause(msgspec.Struct, frozen=True):
    seconds: float


class Wait(msgspec.Struct, frozen=True):
    event: anyio.Event


class Flood(msgspec.Struct, frozen=True):
    piece: bytes


class Close(msgspec.Struct, frozen=True):
    pass


class Reset(msgspec.Struct, frozen=True):
    pass


REQUEST = _Request()
# the steps have no base in common but this one, and a list of them is inferred so
Script = Sequence[object]


class Peer:
    """One connection, as the server saw it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.gone = anyio.Event()
        self.flooded_bytes = 0
        self.held = b""


class RawServer:
    def __init__(self, port: int) -> None:
        self.port = port
        self.peers: list[Peer] = []

    def url(self, path: str = "/", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def requests(self) -> list[bytes]:
        return [request for peer in self.peers for request in peer.requests]


@asynccontextmanager
async def raw_server(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve until the block is left."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = RawServer(listener.extra(SocketAttribute.local_port))

    async def handle(stream: SocketStream) -> None:
        peer = Peer()
        script = scripts[min(len(server.peers), len(scripts) - 1)]
        server.peers.append(peer)
        try:
            secure = await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False) if tls else stream
            await _play(script, secure, peer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError):
            pass
        finally:
            peer.gone.set()
            await anyio.aclose_forcefully(stream)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield server
        tasks.cancel_scope.cancel()


async def _play(script: Script, stream: ByteStream, peer: Peer) -> None:
    for step in script:
        match step:
            case bytes():
                await stream.send(step)
            case _Request():
                peer.requests.append(await _read_request(stream, peer))
            case Pause(seconds):
                await anyio.sleep(seconds)
            case Wait(event):
                await event.wait()
            case Flood(piece):
                while True:
                    await stream.send(piece)
                    peer.flooded_bytes += len(piece)
            case Close():
                return
            case Reset():
                # lingering for no time at all makes the close a reset
                stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            case _:
                raise AssertionError(f"{step!r} is not a step")
    while True:
        await stream.receive()


async def _read_request(stream: ByteStream, peer: Peer) -> bytes:
    async def more() -> None:
        peer.held += await stream.receive()

    while b"\r\n\r\n" not in peer.held:
        await more()
    end = peer.held.index(b"\r\n\r\n") + 4
    head = peer.held[:end].lower()
    if b"transfer-encoding: chunked" in head:
        while b"0\r\n\r\n" not in peer.held[end:]:
            await more()
        end = peer.held.index(b"0\r\n\r\n", end) + 5
    elif b"content-length: " in head:
        end += int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(peer.held) < end:
            await more()
    request, peer.held = peer.held[:end], peer.held[end:]
    return request
