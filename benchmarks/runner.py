"""One run of the benchmarks: what is measured, how often and how long, and the results as the JSON file holds them."""

from collections.abc import Callable

import msgspec

from benchmarks.end_to_end import STEPS, Measured, Scenario, measure_server
from benchmarks.load import Load
from benchmarks.measure import Speed, sample, steps
from benchmarks.pinning import Cores, stay_on
from benchmarks.provenance import Provenance
from benchmarks.stages import workloads
from benchmarks.upstreams import CONNECTIONS

FORMAT = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    Each workload in process is sampled `repeats` times for `stage_seconds`. Each of `server_repeats` gateways before each of `upstreams` is put under
    loads of `load_seconds`, by `connections` connections (None: as many as suit the upstream) that ask for `streams` streams each at most. `burst`
    chunks leave an upstream at once, where it is a process.
    """

    quick: bool
    only: str | None
    repeats: int
    server_repeats: int
    stage_seconds: float
    upstreams: tuple[str, ...]
    connections: int | None
    streams: int
    burst: int
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

    def scenarios(self) -> list[Scenario]:
        """The part end to end, one for each upstream."""
        return [Scenario(name, Load(self.connections or CONNECTIONS[name], self.streams, self.load_seconds), self.burst) for name in self.upstreams]


class Results(msgspec.Struct, kw_only=True):
    """The JSON file. `format` changes when a reader must change; a part that was not asked for is null."""

    format: int = FORMAT
    provenance: Provenance
    plan: Plan
    stages: list[Speed] | None = None
    end_to_end: list[Measured] | None = None


def count_steps(plan: Plan) -> int:
    """How often `measure` calls `step`."""
    return plan.with_stages * steps(workloads(), plan.repeats) + plan.with_server * plan.server_repeats * len(plan.upstreams) * len(STEPS)


async def measure(plan: Plan, taken: Provenance, step: Callable[[str], None]) -> Results:
    """Measure all that is planned; raises WrongOutput and ChildFailed. `step` hears what begins. Pins this process when the plan says so."""
    results = Results(provenance=taken, plan=plan)
    if plan.with_stages:
        if plan.cores is not None:
            stay_on(plan.cores.measured)
        results.stages = await sample(workloads(), repeats=plan.repeats, seconds=plan.stage_seconds, step=step)
    if plan.with_server:
        if plan.cores is not None:
            stay_on(plan.cores.client)
        core = plan.cores.measured if plan.cores is not None else None
        results.end_to_end = await measure_server(plan.scenarios(), repeats=plan.server_repeats, core=core, step=step)
    return results
