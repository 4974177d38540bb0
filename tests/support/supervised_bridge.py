"""A supervised bridge for a test, and what it may leave behind: processes, folders, descriptors."""

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

from pipeline.upstream.bridge.backoff import Backoff
from pipeline.upstream.bridge.launch import Callback, Launch
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.bridge.scratch import PREFIX
from pipeline.upstream.http import open_client

QUICK = Backoff(first_seconds=0.02, most_seconds=0.2, healthy_seconds=60, apart_seconds=0.01)


@asynccontextmanager
async def supervised(
    command: Sequence[str], *, name: str = "cursor", callback: Callback | None = None, backoff: Backoff = QUICK, **settings: Any
) -> AsyncIterator[BridgeProcess]:
    """Supervise a program until the block is left; `settings` are of `Launch`."""
    async with open_client() as client, anyio.create_task_group() as tasks:
        process = BridgeProcess(name, Launch(command=tuple(command), **settings), client, callback=callback, backoff=backoff)
        await tasks.start(process.run)
        try:
            yield process
        finally:
            tasks.cancel_scope.cancel()


def is_alive(pid: int | None) -> bool:
    """Whether a process runs; one that has ended and was not collected does not."""
    assert pid is not None
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def guardians_of(folder: Path) -> list[int]:
    """The processes that were told to look after a folder."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if b"-c" in arguments and os.fsencode(folder) in arguments:
                    found.append(int(name))
    return found


def scratch_folders() -> list[Path]:
    """Those in the temporary folder."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
