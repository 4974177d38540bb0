"""The Send call of the fake bridge: one envelope comes in, and the stream of a run goes out.

The stream is written as the run says it, one piece a write. While nothing is said, an empty message keeps it alive. When the client leaves, only the
stream ends; the run does not notice.
"""

from struct import Struct

import trio

from pipeline.wire.connect import FLAG_END_STREAM, encode_envelope
from tests.support.composer_server import Cut, Reset
from tests.support.fake_bridge_contract import Refused
from tests.support.fake_bridge_run import BEHIND, Run
from tests.support.http_connection import HttpConnection

ENVELOPES = "application/connect+json"
_HEADER = Struct(">BI")
_KEEPALIVE = encode_envelope(b"{}")


def read_message(body: bytes) -> bytes:
    """The payload of the one envelope that a request's body is; raises Refused."""
    if len(body) < _HEADER.size:
        raise Refused("invalid_argument", "protocol error: incomplete envelope")
    flags, length = _HEADER.unpack_from(body)
    payload = body[_HEADER.size :]
    if flags != 0 or length > len(payload):
        raise Refused("invalid_argument", "protocol error: incomplete envelope")
    if length < len(payload):
        raise Refused("invalid_argument", "protocol error: received extra input message for server-streaming method")
    return payload


async def send_stream(connection: HttpConnection, run: Run | None, fault: bytes | None, keepalive_seconds: float) -> bool:
    """Write the stream of a run, or, without one, the fault alone. Whether the connection can be used again."""
    await connection.begin(ENVELOPES)
    if run is None:
        await connection.piece(encode_envelope(fault or b"{}", flags=FLAG_END_STREAM))
        await connection.end()
        return True
    ended = False
    try:
        async with trio.open_nursery() as watching:
            watching.start_soon(_notice_leaving, connection, run, watching.cancel_scope)
            ended = await _write(connection, run, keepalive_seconds)
            watching.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        run.stream_gone.set()
    finally:
        run.said.close()
    return ended


async def _write(connection: HttpConnection, run: Run, keepalive_seconds: float) -> bool:
    """Whether the stream ended properly."""
    while True:
        piece: bytes | Cut | Reset = _KEEPALIVE
        with trio.move_on_after(keepalive_seconds):
            try:
                piece = await run.said.receive()
            except trio.EndOfChannel:
                break
        if run.fell_behind:
            piece = BEHIND
        if isinstance(piece, Reset):
            connection.reset()
        if not isinstance(piece, bytes):
            return False
        await connection.piece(piece)
        if run.fell_behind:
            break
    await connection.end()
    return True


async def _notice_leaving(connection: HttpConnection, run: Run, writing: trio.CancelScope) -> None:
    await connection.client_left()
    run.stream_gone.set()
    writing.cancel()
