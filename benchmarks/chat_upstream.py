"""An OpenAI-compatible upstream that costs next to nothing: a program that answers every chat request with the same stream, made beforehand.

Theory of operation: `python -m benchmarks.chat_upstream` listens on a free port of the local machine and says its URL in one line. A connection is
kept for as long as the client likes; each request on it must be a `POST` of the chat endpoint that asks for a stream and has a Content-Length, and
gets `ANSWER_CHUNKS` chunks, a chunk with the usage, and `[DONE]`, in chunked coding. As servers do, each event is a piece of that coding of its own.
`burst` chunks leave in one write; with all of them in one, the whole answer does, head and end included.

Left alone: everything that a client of the benchmark does not send. A request of another kind is told what is wrong with it and cut off.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import msgspec
import trio

from benchmarks.inputs import PROSE, text_pieces

ANSWER_CHUNKS = 64
"""The chunks of an answer: one for the role, one for the finish reason, and text in between. Usage and `[DONE]` come on top."""
TEXTS = text_pieces(PROSE, ANSWER_CHUNKS - 2)
TEXT = "".join(TEXTS)
READ_BYTES = 65_536
ENDPOINT = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
LAST_CHUNK = b"0\r\n\r\n"


class RefusedRequest(Exception):
    """A request that this upstream does not answer; the message says why."""


def answer(burst: int) -> tuple[bytes, ...]:
    """The answer, one element a write: the first begins with the head, the last holds the usage, `[DONE]` and the end."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": text} for text in TEXTS), {}]
    events = [_event(_choices(delta, "stop" if not delta else None)) for delta in deltas]
    usage = {"prompt_tokens": 200, "completion_tokens": len(TEXTS), "total_tokens": 200 + len(TEXTS)}
    writes = [b"".join(events[start : start + burst]) for start in range(0, len(events), burst)]
    writes[0] = HEAD + writes[0]
    writes[-1] += _event({"choices": [], "usage": usage}) + _piece(b"data: [DONE]\n\n") + LAST_CHUNK
    return tuple(writes)


def _choices(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}], "usage": None}


def _event(rest: dict[str, object]) -> bytes:
    common = {"id": "chatcmpl-benchmark", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "benchmark"}
    return _piece(b"data: " + msgspec.json.encode(common | rest) + b"\n\n")


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer_requests(stream: trio.SocketStream, writes: Sequence[bytes]) -> None:
    """Serve one connection until the client closes it."""
    received = bytearray()
    try:
        while True:
            while (size := request_size(received)) is None:
                data = await stream.receive_some(READ_BYTES)
                if not data:
                    return
                received += data
            del received[:size]
            for data in writes:
                await stream.send_all(data)
    except RefusedRequest as fault:
        said = str(fault).encode()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
    except trio.BrokenResourceError:
        return  # the client is gone, which is the client's right


def request_size(received: bytes | bytearray) -> int | None:
    r"""The length of the first request in these bytes, None as long as it is not complete; raises RefusedRequest.

    >>> request = b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"stream":true}'
    >>> request_size(request + request), request_size(request[:-1])
    (73, None)
    """
    end = received.find(HEAD_END)
    if end < 0:
        return None
    head = bytes(received[:end])
    if not head.startswith(ENDPOINT):
        raise RefusedRequest(f"not the chat endpoint: {head[:60]!r}")
    length = head.lower().partition(LENGTH)[2].partition(b"\r\n")[0].strip()
    if not length.isdigit():
        raise RefusedRequest("the request has no Content-Length")
    size = end + len(HEAD_END) + int(length)
    if len(received) < size:
        return None
    if b'"stream":true' not in received[end:size]:
        raise RefusedRequest("the request does not ask for a stream")
    return size


async def listen(writes: Sequence[bytes]) -> None:
    """Serve until cancelled; prints the URL."""
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, partial(answer_requests, writes=writes), 0, host="127.0.0.1"))
        print(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chat_upstream", description="An OpenAI-compatible upstream for measurements.")
    parser.add_argument("--burst", type=int, choices=range(1, ANSWER_CHUNKS + 1), default=ANSWER_CHUNKS, metavar="N", help="chunks a write")
    trio.run(listen, answer(parser.parse_args(argv).burst))
    return 0


if __name__ == "__main__":
    sys.exit(main())
