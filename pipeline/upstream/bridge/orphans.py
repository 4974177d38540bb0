"""The processes that belong to a scratch folder, and their end.

Theory of operation: the bridge is started with a HOME inside its scratch folder, and so are its children, also those that left its process group or
outlived its first process. The folder's name is random, so no process has that HOME by chance: a process is the folder's exactly when its environment
says so. Where the system does not show environments as files (macOS), `ps` shows the arguments, and the bridge's own name the folder twice.

Invariants: a process is looked at right before it is ended, and no number of one is kept, which another process could have been given since. Those of
other users, this process itself, and those that have ended and not been collected yet are none. Nothing raises.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_LIST_SECONDS = 5.0

END_SECONDS = 2.0
"""How long processes that were killed may take to be gone."""


def processes_of(folder: Path) -> Iterator[int]:
    """The ids of the live processes that were started for this scratch folder, each as it is found."""
    found = _by_environment(folder) if (_PROC / "self" / "environ").exists() else _by_arguments(folder)
    return (pid for pid in found if pid != os.getpid())


def end_processes_of(folder: Path, within_seconds: float = END_SECONDS) -> bool:
    """Kill the processes of this folder, and those that they start meanwhile; says whether all are gone."""
    ends_at = time.monotonic() + within_seconds
    while True:
        is_empty = True
        for pid in processes_of(folder):
            is_empty = False
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if is_empty or time.monotonic() > ends_at:
            return is_empty
        time.sleep(0.01)


def _by_environment(folder: Path) -> Iterator[int]:
    mark = b"\0HOME=" + os.fsencode(folder / "home") + b"\0"
    for name in os.listdir(_PROC):
        if name.isdecimal():
            # a process that is gone or another user's; one that is not collected yet has no environment
            with suppress(OSError), open(_PROC / name / "environ", "rb") as file:
                if mark in b"\0" + file.read():
                    yield int(name)


def _by_arguments(folder: Path) -> Iterator[int]:
    mark = f"--workspace {folder / 'workspace'} --state-root {folder / 'state'} "
    with suppress(OSError, subprocess.SubprocessError):
        command = ("ps", "-ax", "-ww", "-o", "pid=,args=")
        listed = subprocess.run(command, capture_output=True, timeout=_LIST_SECONDS, check=True, stdin=subprocess.DEVNULL)
        for line in os.fsdecode(listed.stdout).splitlines():
            pid, _, arguments = line.strip().partition(" ")
            if mark in arguments and pid.isdecimal():
                yield int(pid)
