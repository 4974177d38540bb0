"""A load client that costs little: raw HTTP/1.1 on kept-alive connections, and no more parsing than it takes to know that nothing is missing.

`run_load` opens its connections, then starts them together; each sends a request, waits for the whole answer, has it checked, and sends the next. An
answer's end is where its Content-Length says, or the last chunk of chunked coding: a carriage return cannot stand inside JSON text, so that mark can
be searched for in the raw bytes. A wrong answer or a lost connection ends the load with WrongOutput.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time

import msgspec
import trio

from benchmarks.measure import WrongOutput

READ_BYTES = 65_536
LAST_CHUNK = b"\r\n0\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
OVERTIME_SECONDS = 30
"""How long after its time a load may take to finish the answers that it has begun."""


class Reply(msgspec.Struct, frozen=True):
    """An answer as it came. `first_byte_seconds` counts from the request's first byte; `body` is raw, chunk sizes included when it is `chunked`."""

    first_byte_seconds: float
    status: int
    chunked: bool
    body: bytes

    def content(self) -> bytes:
        """The body without the sizes of the chunked coding."""
        if not self.chunked:
            return self.body
        pieces: list[bytes] = []
        at = 0
        while True:
            line_end = self.body.index(b"\r\n", at)
            size = int(self.body[at:line_end].partition(b";")[0], 16)
            if not size:
                return b"".join(pieces)
            pieces.append(self.body[line_end + 2 : line_end + 2 + size])
            at = line_end + 2 + size + 2


class Load(msgspec.Struct, frozen=True):
    """How much: every connection asks `exchanges` times, and begins no new exchange when `seconds` are over."""

    connections: int
    exchanges: int
    seconds: float


class Done(msgspec.Struct):
    """What a load did, in how much time of the clock, and how much of this process's own processor time it took."""

    seconds: float = 0.0
    own_cpu_seconds: float = 0.0
    first_byte_seconds: list[float] = []

    @property
    def exchanges(self) -> int:
        """Answers that came whole."""
        return len(self.first_byte_seconds)


def post(body: bytes, path: str = "/v1/chat/completions") -> bytes:
    """A request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def connect(port: int) -> trio.SocketStream:
    """A connection to this port of the local machine; raises WrongOutput when nobody listens there."""
    try:
        return await trio.open_tcp_stream("127.0.0.1", port)
    except OSError as error:
        raise WrongOutput(f"the server takes no connection: {error}") from None


async def ask(stream: trio.SocketStream, request: bytes) -> Reply:
    """Send one request and read its whole answer; raises WrongOutput when the connection ends before."""
    try:
        return await _exchange(stream, request)
    except trio.BrokenResourceError:
        raise WrongOutput("the server broke a connection off") from None


async def _exchange(stream: trio.SocketStream, request: bytes) -> Reply:
    started = perf_counter()
    await stream.send_all(request)
    received = bytearray(await stream.receive_some(READ_BYTES))
    first_byte_seconds = perf_counter() - started
    while HEAD_END not in received:
        await _read_more(stream, received)
    head, _, _ = bytes(received).partition(HEAD_END)
    start = len(head) + len(HEAD_END)
    length = _content_length(head)
    if length is None:
        while not received.endswith(LAST_CHUNK):
            await _read_more(stream, received)
    else:
        while len(received) < start + length:
            await _read_more(stream, received)
    return Reply(first_byte_seconds, int(head[9:12]), length is None, bytes(received[start:]))


async def run_load(port: int, request: bytes, load: Load, check: Callable[[Reply], None]) -> Done:
    """Put a load on the server at this port of the local machine; raises WrongOutput, from `check` too."""
    done = Done()
    faults: list[WrongOutput] = []
    streams: list[trio.SocketStream] = []
    try:
        for _ in range(load.connections):
            streams.append(await connect(port))  # noqa: PERF401  # those that are open are closed when a later one fails
        with trio.move_on_after(load.seconds + OVERTIME_SECONDS) as limit:
            started, own_cpu = perf_counter(), process_time()
            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(partial(_ask_again, stream, request, load, check, done, faults, nursery.cancel_scope))
            done.seconds, done.own_cpu_seconds = perf_counter() - started, process_time() - own_cpu
    finally:
        for stream in streams:
            stream.socket.close()  # at once: nothing is left to be sent
    if faults:
        raise faults[0]
    if limit.cancelled_caught:
        raise WrongOutput(f"an answer was not finished {OVERTIME_SECONDS} s after the end of the load")
    return done


async def _ask_again(
    stream: trio.SocketStream,
    request: bytes,
    load: Load,
    check: Callable[[Reply], None],
    done: Done,
    faults: list[WrongOutput],
    everything: trio.CancelScope,
) -> None:
    until = perf_counter() + load.seconds
    try:
        for _ in range(load.exchanges):
            reply = await ask(stream, request)
            check(reply)
            done.first_byte_seconds.append(reply.first_byte_seconds)
            if perf_counter() >= until:
                return
    except WrongOutput as fault:
        faults.append(fault)
        everything.cancel()


async def _read_more(stream: trio.SocketStream, received: bytearray) -> None:
    piece = await stream.receive_some(READ_BYTES)
    if not piece:
        raise WrongOutput(f"the server closed the connection in the middle of an answer, after {bytes(received[-100:])!r}")
    received += piece


def _content_length(head: bytes) -> int | None:
    _, found, rest = head.lower().partition(LENGTH)
    return int(rest.partition(b"\r\n")[0]) if found else None
