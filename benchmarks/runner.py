"""One run of the benchmarks: what is measured, how often and how long, and the results as the JSON file holds them."""

from collections.abc import Callable

import msgspec

from benchmarks.end_to_end import STEPS, Row, measure_server
from benchmarks.measure import Speed, sample, steps
from benchmarks.pinning import Cores, stay_on
from benchmarks.provenance import Provenance
from benchmarks.stages import workloads

FORMAT = 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    Each workload in process is sampled `repeats` times for `stage_seconds`; each of `server_repeats` gateways is put under loads of `load_seconds`,
    by `connections` connections that ask for `streams` streams each at most.
    """

    quick: bool
    only: str | None
    repeats: int
    server_repeats: int
    stage_seconds: float
    connections: int
    streams: int
    load_seconds: float
    cores: Cores | None

    @property
    def with_stages(self) -> bool:
        """Whether the part in process is wanted."""
        return self.only != "end-to-end"

    @property
    def with_server(self) -> bool:
        """Whether the part end to end is wanted."""
        return self.only != "stages"


class Results(msgspec.Struct, kw_only=True):
    """The JSON file. `format` changes when a reader must change; a part that was not asked for is null."""

    format: int = FORMAT
    provenance: Provenance
    plan: Plan
    stages: list[Speed] | None = None
    chunks_per_stream: int | None = None
    end_to_end: list[Row] | None = None


def count_steps(plan: Plan) -> int:
    """How often `measure` calls `step`."""
    return plan.with_stages * steps(workloads(), plan.repeats) + plan.with_server * plan.server_repeats * len(STEPS)


async def measure(plan: Plan, taken: Provenance, step: Callable[[str], None]) -> Results:
    """Measure all that is planned; raises WrongOutput and GatewayFailed. `step` hears what begins. Pins this process when the plan says so."""
    results = Results(provenance=taken, plan=plan)
    if plan.with_stages:
        if plan.cores is not None:
            stay_on(plan.cores.measured)
        results.stages = await sample(workloads(), repeats=plan.repeats, seconds=plan.stage_seconds, step=step)
    if plan.with_server:
        if plan.cores is not None:
            stay_on(plan.cores.client)
        expected, results.end_to_end = await measure_server(
            repeats=plan.server_repeats,
            connections=plan.connections,
            streams=plan.streams,
            seconds=plan.load_seconds,
            core=plan.cores.measured if plan.cores is not None else None,
            step=step,
        )
        results.chunks_per_stream = expected.chunks
    return results
