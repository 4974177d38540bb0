"""A gateway of its own for a measurement: `penstock serve` as a child process, on a free port, with the embedded demo at full speed.

The child runs this checkout's code with the same interpreter, in a temporary directory with a settings file of its own, and sees none of the caller's
settings: no `.env`, no `PENSTOCK_` variables, no `PORT`. Everything else is as in service; the access log is on and goes to a file. However the
measurement ends, the child is stopped: told to, and killed when it does not listen.
"""

import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import trio

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 5
SETTINGS = """\
[auth]
mode = "open"

[upstreams.captured]
kind = "captured"
pace_seconds = 0
"""
# The command `penstock`, whether or not it is on the path.
COMMAND = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")
LOG = "log.txt"
LOG_TAIL_CHARS = 2000
URL = re.compile(rb"http://127\.0\.0\.1:(\d+)")


class GatewayFailed(Exception):
    """The gateway did not start or did not live; the message ends with the last lines of its log."""


class Gateway:
    """A running gateway. `started` is the time of `perf_counter` just before its process began."""

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
async def running_gateway(core: int | None = None) -> AsyncGenerator[Gateway, None]:
    """Start a gateway, on one processor core where a number is given, and stop it at the end; raises GatewayFailed."""
    with TemporaryDirectory(prefix="penstock-bench-") as folder:
        started = perf_counter()
        process = await _start(Path(folder))
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield Gateway(process, await _port(process, Path(folder)), started)
        finally:
            with trio.move_on_after(2 * STOP_SECONDS, shield=True):
                await _stop(process)


async def _start(folder: Path) -> trio.Process:
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS, "utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and name != "PORT"}
    with (folder / LOG).open("wb") as log:
        return await trio.lowlevel.open_process(
            [*COMMAND, "serve", "--config", str(settings), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=environ | {"PYTHONPATH": str(ROOT)},
        )


async def _port(process: trio.Process, folder: Path) -> int:
    """The port that the banner names."""
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(START_SECONDS):
        async for piece in process.stdout:
            said += piece
            found = URL.search(said)
            if found is not None and b"\n" in said[found.end() :]:
                return int(found[1])
    log = (folder / LOG).read_text("utf-8", "replace")[-LOG_TAIL_CHARS:].strip()
    raise GatewayFailed(f"the gateway did not say within {START_SECONDS} s where it listens\n{log}")


async def _stop(process: trio.Process) -> None:
    """Ask, wait, and insist."""
    process.terminate()
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    process.kill()
    await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()
