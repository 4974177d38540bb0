"""The server end to end: a gateway as a child process, a load client on local sockets, and what a stream and a request cost.

There is one scenario for each upstream that can stand behind the gateway (`benchmarks.upstreams`). Each repeat starts a gateway of its own, and the
upstream's process if it has one: start-up, memory, a warm-up, then streams, streams one at a time, and plain requests. The repeats of the scenarios
are interleaved, so that a spell of load from elsewhere falls on all. Every upstream answers the same question in the same way every time; the first
answers are read in full, and every later one is compared with them. A chunk is one event of a stream, `[DONE]` not counted.

Left alone: what a distant upstream costs, and TLS.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec
import trio

from benchmarks.child import Child
from benchmarks.expected import Expected, expect
from benchmarks.gateway import running_gateway
from benchmarks.inputs import PROSE
from benchmarks.load import Done, Load, ask, connect, post, run_load
from benchmarks.measure import Figure, WrongOutput, figure
from benchmarks.upstreams import Behind, running_upstream

QUESTION = "Please go through this review and say what you would change first.\n\n" + PROSE
ALONE_STREAMS = 50
WARM_UP_EXCHANGES = 5
STEPS = ("starting a gateway", "streams", "streams, one at a time", "plain requests")
MEBIBYTE = 1 << 20
FIRST_ANSWER_SECONDS = 30

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
    "upstream_cpu": ("upstream's CPU during streams", "cores"),
}
OF_A_PROCESS = "upstream_cpu"
"""The figure that there is only where the upstream is a process."""


class Scenario(msgspec.Struct, frozen=True):
    """What is measured: `upstream` is a name of `benchmarks.upstreams`, `burst` how many chunks it writes at once where it is a process."""

    upstream: str
    load: Load
    burst: int


class Row(msgspec.Struct, frozen=True):
    """One line of the results; `figure` is None where the system does not tell."""

    name: str
    label: str
    figure: Figure | None


class Measured(msgspec.Struct, frozen=True):
    """The results of one scenario. `chunks_per_stream` is what a client is sent for one answer."""

    scenario: Scenario
    chunks_per_stream: int
    rows: list[Row]


Sample = dict[str, float | None]
"""One value for each of `FIGURES` that the scenario has; None where the system does not tell."""


async def measure_server(scenarios: Sequence[Scenario], *, repeats: int, core: int | None, step: Callable[[str], None]) -> list[Measured]:
    """Measure each scenario `repeats` times, with the gateway on one processor core where a number is given.

    `step` hears `STEPS`, each with the upstream's name, every time. Raises WrongOutput and ChildFailed.
    """
    samples: list[list[Sample]] = [[] for _ in scenarios]
    chunks = [0] * len(scenarios)
    for _ in range(repeats):
        for place, scenario in enumerate(scenarios):
            chunks[place], sample = await _measure_once(scenario, core, _named(scenario.upstream, step))
            samples[place].append(sample)
    return [
        Measured(scenario, count, [_row(name, [sample[name] for sample in taken]) for name in FIGURES if name in taken[0]])
        for scenario, count, taken in zip(scenarios, chunks, samples, strict=True)
    ]


def _named(upstream: str, step: Callable[[str], None]) -> Callable[[str], None]:
    return lambda label: step(f"{upstream}: {label}")


async def _measure_once(scenario: Scenario, core: int | None, step: Callable[[str], None]) -> tuple[int, Sample]:
    """The chunks of a stream, and one sample of every figure."""
    step(STEPS[0])
    async with running_upstream(scenario.upstream, scenario.burst) as behind, running_gateway(behind.settings, core) as gateway:
        expected, sample = await _first_answers(gateway, behind)
        return expected.chunks, sample | await _under_load(gateway, behind.child, expected, scenario.load, step)


async def _first_answers(gateway: Child, behind: Behind) -> tuple[Expected, Sample]:
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
    expected = expect(streamed, plain, text=behind.text, chunks=behind.chunks)
    return expected, {"start_up": start_up, "idle_memory": _mebibytes(idle)}


async def _under_load(gateway: Child, upstream: Child | None, expected: Expected, load: Load, step: Callable[[str], None]) -> Sample:
    """All that is measured of a warm server."""
    port, streamed, plain = gateway.port, _request(stream=True), _request(stream=False)
    warm_up = msgspec.structs.replace(load, exchanges=min(load.exchanges, WARM_UP_EXCHANGES))
    await run_load(port, streamed, warm_up, expected.check_stream)
    await run_load(port, plain, warm_up, expected.check_plain)
    step(STEPS[1])
    before, upstream_before = gateway.cpu_seconds(), _cpu_seconds(upstream)
    many = await run_load(port, streamed, load, expected.check_stream)
    stream_cpu, upstream_cpu = _spent(before, gateway.cpu_seconds()), _spent(upstream_before, _cpu_seconds(upstream))
    step(STEPS[2])
    alone = await run_load(port, streamed, Load(1, min(load.exchanges, ALONE_STREAMS), load.seconds), expected.check_stream)
    step(STEPS[3])
    before = gateway.cpu_seconds()
    requests = await run_load(port, plain, load, expected.check_plain)
    request_cpu = _spent(before, gateway.cpu_seconds())
    chunks = many.exchanges * expected.chunks
    sample: Sample = {
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
    if upstream is not None:
        sample[OF_A_PROCESS] = None if upstream_cpu is None else upstream_cpu / many.seconds
    return sample


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


def _cpu_seconds(child: Child | None) -> float | None:
    return None if child is None else child.cpu_seconds()


def _spent(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _mebibytes(size: int | None) -> float | None:
    return None if size is None else size / MEBIBYTE
