"""A program of this checkout as a child process that listens on a free port: started, asked for the port, watched, and stopped.

The child runs this checkout's code with the same interpreter, in a folder that the caller gives. It says where it listens in one line of its standard
output that holds the URL; its standard error goes to a log file. It sees none of the caller's settings: no `.env`, none of the variables that make
upstreams or settings, and no proxy. However the measurement ends, the child is stopped: told to, and killed when it does not listen.
"""

import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import trio

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 5
HIDDEN_PREFIXES = ("PENSTOCK_", "CURSOR_", "OPENAI_")
HIDDEN_NAMES = ("PORT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
LOG = "log.txt"
LOG_TAIL_CHARS = 2000
URL = re.compile(rb"http://127\.0\.0\.1:(\d+)")


class ChildFailed(Exception):
    """The program did not start or did not live; the message ends with the last lines of its log."""


class Child:
    """A running program. `started` is the time of `perf_counter` just before its process began."""

    def __init__(self, process: trio.Process, port: int, started: float) -> None:
        self.port = port
        self.started = started
        self._process = process

    def cpu_seconds(self) -> float | None:
        """Processor time so far, user and system, in steps of the kernel's clock tick; None where there is no /proc."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        # The 14th and 15th of proc(5); the name in parentheses, which may hold spaces, is the second.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int | None:
        """Memory in use; None where there is no /proc."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def running_child(what: str, words: Sequence[str], folder: Path, core: int | None = None) -> AsyncGenerator[Child, None]:
    """Start Python with these words, on one processor core where a number is given, and stop it at the end.

    `what` names the program in messages. Raises ChildFailed.
    """
    started = perf_counter()
    with (folder / LOG).open("wb") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=_visible(os.environ) | {"PYTHONPATH": str(ROOT)},
        )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield Child(process, await _port(what, process, folder), started)
    finally:
        with trio.move_on_after(2 * STOP_SECONDS, shield=True):
            await _stop(process)


def _visible(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(HIDDEN_PREFIXES) and name.upper() not in HIDDEN_NAMES}


async def _port(what: str, process: trio.Process, folder: Path) -> int:
    """The port that the program names."""
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(START_SECONDS):
        async for piece in process.stdout:
            said += piece
            found = URL.search(said)
            if found is not None and b"\n" in said[found.end() :]:
                return int(found[1])
    log = (folder / LOG).read_text("utf-8", "replace")[-LOG_TAIL_CHARS:].strip()
    raise ChildFailed(f"the {what} did not say within {START_SECONDS} s where it listens\n{log}")


async def _stop(process: trio.Process) -> None:
    """Ask, wait, and insist."""
    process.terminate()
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    process.kill()
    await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()
