"""The server end to end: a gateway as a child process, a load client on local sockets, and what a stream and a request cost.

Each repeat starts a gateway of its own: start-up, memory, a warm-up, then streams, streams one at a time, and plain requests. The demo answers the
same question in the same way every time, so the first stream is compared with the plain answer's text, and every later one must have as many chunks
and a proper end, every later plain answer the same text. A chunk is one event of a stream, `[DONE]` not counted.

Left alone: what a distant upstream costs. The demo is inside the server, and makes and decodes Composer's bytes as a real upstream sends them.
"""

from collections.abc import Callable
from time import perf_counter

import msgspec
import trio

from benchmarks.answers import DONE, read_stream, read_whole
from benchmarks.gateway import Gateway, running_gateway
from benchmarks.inputs import PROSE
from benchmarks.load import LAST_CHUNK, Done, Load, Reply, ask, connect, post, run_load
from benchmarks.measure import Figure, WrongOutput, figure

QUESTION = "Please go through this review and say what you would change first.\n\n" + PROSE
CHUNK_MARK = b'data: {"'
"""Begins every chunk and stands nowhere else: inside JSON text the quote would be escaped."""
STREAM_END = DONE + LAST_CHUNK
ALONE_STREAMS = 50
WARM_UP_EXCHANGES = 5
STEPS = ("starting a gateway", "streams", "streams, one at a time", "plain requests")
MEBIBYTE = 1 << 20
FIRST_ANSWER_SECONDS = 30
OK = 200

# name -> label and unit; the order of the table
FIGURES = {
    "start_up": ("start-up to the first whole answer", "s"),
    "idle_memory": ("memory after the first answer", "MiB"),
    "streams": ("streams", "streams/s"),
    "chunks": ("chunks, end to end", "chunks/s"),
    "first_byte_p50": ("time to first byte, p50", "ms"),
    "first_byte_p99": ("time to first byte, p99", "ms"),
    "first_byte_alone_p50": ("time to first byte, one connection, p50", "ms"),
    "cpu_per_million_chunks": ("server CPU for a million chunks", "s"),
    "requests": ("plain requests", "requests/s"),
    "cpu_per_thousand_requests": ("server CPU for 1,000 plain requests", "s"),
    "loaded_memory": ("memory after the load", "MiB"),
    "client_cpu": ("load client's CPU during streams", "cores"),
}


class Row(msgspec.Struct, frozen=True):
    """One line of the results; `figure` is None where the system does not tell."""

    name: str
    label: str
    figure: Figure | None


class Expected(msgspec.Struct, frozen=True):
    """What every answer to the question must be."""

    text: str
    chunks: int

    def check_stream(self, reply: Reply) -> None:
        """Raise WrongOutput unless the stream is complete."""
        _check_status(reply)
        count = reply.body.count(CHUNK_MARK)
        if count != self.chunks or not reply.body.endswith(STREAM_END):
            raise WrongOutput(f"a stream has {count} chunks instead of {self.chunks} and ends with {reply.body[-60:]!r}")

    def check_plain(self, reply: Reply) -> None:
        """Raise WrongOutput unless the plain answer says the text."""
        _check_status(reply)
        if read_whole(reply.content()) != self.text:
            raise WrongOutput("a plain answer says something else than the one before")


async def measure_server(
    *, repeats: int, connections: int, streams: int, seconds: float, core: int | None, step: Callable[[str], None]
) -> tuple[Expected, list[Row]]:
    """Measure `repeats` gateways; see `Load` for the load, and `STEPS` for what `step` hears each time. Raises WrongOutput and GatewayFailed."""
    samples: list[dict[str, float | None]] = []
    load = Load(connections, streams, seconds)
    while True:
        step(STEPS[0])
        async with running_gateway(core) as gateway:
            expected, sample = await _first_answers(gateway)
            sample |= await _under_load(gateway, expected, load, step)
        samples.append(sample)
        if len(samples) == repeats:
            return expected, [_row(name, [sample[name] for sample in samples]) for name in FIGURES]


async def _first_answers(gateway: Gateway) -> tuple[Expected, dict[str, float | None]]:
    """The answers that all others are compared with, and how long the first took to come."""
    try:
        with trio.fail_after(FIRST_ANSWER_SECONDS):
            async with await connect(gateway.port) as stream:
                streamed = await ask(stream, _request(stream=True))
                start_up = perf_counter() - gateway.started
                idle = gateway.resident_bytes()
                plain = await ask(stream, _request(stream=False))
    except trio.TooSlowError:
        raise WrongOutput(f"the first answers took more than {FIRST_ANSWER_SECONDS} s") from None
    _check_status(streamed)
    _check_status(plain)
    said, text = read_stream(streamed.content()), read_whole(plain.content())
    if said.text != text:
        raise WrongOutput("the stream and the plain answer to the same question differ")
    return Expected(text, said.chunks), {"start_up": start_up, "idle_memory": _mebibytes(idle)}


async def _under_load(gateway: Gateway, expected: Expected, load: Load, step: Callable[[str], None]) -> dict[str, float | None]:
    """All that is measured of a warm server."""
    port, streamed, plain = gateway.port, _request(stream=True), _request(stream=False)
    warm_up = msgspec.structs.replace(load, exchanges=min(load.exchanges, WARM_UP_EXCHANGES))
    await run_load(port, streamed, warm_up, expected.check_stream)
    await run_load(port, plain, warm_up, expected.check_plain)
    step(STEPS[1])
    before = gateway.cpu_seconds()
    many = await run_load(port, streamed, load, expected.check_stream)
    stream_cpu = _spent(before, gateway.cpu_seconds())
    step(STEPS[2])
    alone = await run_load(port, streamed, Load(1, min(load.exchanges, ALONE_STREAMS), load.seconds), expected.check_stream)
    step(STEPS[3])
    before = gateway.cpu_seconds()
    requests = await run_load(port, plain, load, expected.check_plain)
    request_cpu = _spent(before, gateway.cpu_seconds())
    chunks = many.exchanges * expected.chunks
    return {
        "streams": many.exchanges / many.seconds,
        "chunks": chunks / many.seconds,
        "first_byte_p50": _percentile_ms(many, 50),
        "first_byte_p99": _percentile_ms(many, 99),
        "first_byte_alone_p50": _percentile_ms(alone, 50),
        "cpu_per_million_chunks": None if stream_cpu is None else stream_cpu / chunks * 1e6,
        "requests": requests.exchanges / requests.seconds,
        "cpu_per_thousand_requests": None if request_cpu is None else request_cpu / requests.exchanges * 1e3,
        "loaded_memory": _mebibytes(gateway.resident_bytes()),
        "client_cpu": many.own_cpu_seconds / many.seconds,
    }


def _request(*, stream: bool) -> bytes:
    return post(msgspec.json.encode({"model": "composer-2.5", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}))


def _row(name: str, samples: list[float | None]) -> Row:
    label, unit = FIGURES[name]
    known = [sample for sample in samples if sample is not None]
    return Row(name, label, figure(unit, known) if known else None)


def _percentile_ms(done: Done, percent: int) -> float:
    """The nearest rank, in milliseconds."""
    ordered = sorted(done.first_byte_seconds)
    return ordered[-(-percent * len(ordered) // 100) - 1] * 1000


def _spent(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _mebibytes(size: int | None) -> float | None:
    return None if size is None else size / MEBIBYTE


def _check_status(reply: Reply) -> None:
    if reply.status != OK:
        raise WrongOutput(f"the server answered {reply.status}: {reply.body[:200]!r}")
