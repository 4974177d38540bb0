"""A core for what is measured and another for what measures it, where the system can do that."""

import os
from typing import NamedTuple


class Cores(NamedTuple):
    """The number of the core for the pipeline or the server, and of the one for the load client."""

    measured: int
    client: int


def choose_cores() -> Cores | None:
    """The first and the last core that this process may use; None when there are not two, or the system has no such call.

    The two are as far apart as numbers go, since neighbours are often two threads of one core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1]) if len(allowed) > 1 else None


def stay_on(core: int) -> None:
    """Keep this process on one core from here on."""
    os.sched_setaffinity(0, {core})
