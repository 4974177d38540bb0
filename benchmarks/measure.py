"""Timing that checks: a workload is run again and again, and a run whose output is wrong has no time.

Theory of operation: a `Workload` makes one output a pass and knows whether an output is right. `sample` warms it up, then takes as many samples as
asked: each is passes until the given time is filled, and gives chunks a second. Only the work is timed; every output of every pass is checked, with
the clock stopped. The samples of all workloads are interleaved, so that a spell of load from elsewhere falls on all and not on one.

Left alone: the garbage collector, which runs as it does in service.
"""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Generic, TypeVar

import msgspec
import trio

Output = TypeVar("Output")


class WrongOutput(Exception):
    """What was measured did not do its work; the message says what is missing or different."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity. `samples` are in the order in which they were taken; `median`, `min` and `max` are of them."""

    unit: str
    median: float
    min: float
    max: float
    samples: tuple[float, ...]


def figure(unit: str, samples: Sequence[float]) -> Figure:
    """The figure of one sample or more.

    >>> figure("s", [3.0, 1.0, 2.0])
    Figure(unit='s', median=2.0, min=1.0, max=3.0, samples=(3.0, 1.0, 2.0))
    """
    return Figure(unit=unit, median=statistics.median(samples), min=min(samples), max=max(samples), samples=tuple(samples))


class Workload(msgspec.Struct, Generic[Output], frozen=True):
    """Work that can be repeated.

    `chunks` is the number of upstream deltas that one pass takes in; `check` raises WrongOutput for an output that is not what they become.
    """

    name: str
    label: str
    chunks: int
    run: Callable[[], Awaitable[Output]]
    check: Callable[[Output], None]


class Speed(msgspec.Struct, frozen=True):
    """How fast a workload is; the one figure is the other's inverse."""

    name: str
    label: str
    chunks: int
    chunks_per_second: Figure
    microseconds_per_chunk: Figure


async def chunks_per_second(workload: Workload[Any], seconds: float) -> float:
    """Run passes until they have taken `seconds`, check each output, and give the rate; raises WrongOutput."""
    spent, passes = 0.0, 0
    while spent < seconds:
        started = perf_counter()
        output = await workload.run()
        spent += perf_counter() - started
        passes += 1
        workload.check(output)
        await trio.lowlevel.checkpoint()  # where Ctrl-C and SIGTERM are heard
    return workload.chunks * passes / spent


async def sample(workloads: Sequence[Workload[Any]], *, repeats: int, seconds: float, step: Callable[[str], None]) -> list[Speed]:
    """Measure workloads: `repeats` samples of `seconds` each, after a warm-up of one; `step` hears the label of each sample that begins."""
    rates: dict[str, list[float]] = {workload.name: [] for workload in workloads}
    for repeat in range(repeats + 1):
        for workload in workloads:
            step(workload.label)
            rate = await chunks_per_second(workload, seconds)
            if repeat:  # the first is the warm-up
                rates[workload.name].append(rate)
    return [
        Speed(
            workload.name,
            workload.label,
            workload.chunks,
            figure("chunks/s", rates[workload.name]),
            figure("us", [1e6 / rate for rate in rates[workload.name]]),
        )
        for workload in workloads
    ]


def steps(workloads: Sequence[Workload[Any]], repeats: int) -> int:
    """How often `sample` calls `step`."""
    return len(workloads) * (repeats + 1)
