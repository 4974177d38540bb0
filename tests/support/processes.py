"""`penstock serve` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PENSTOCK = str(Path(sys.executable).with_name("penstock"))
START_SECONDS = 30


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would set Penstock or send requests elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and "proxy" not in name.lower() and name != "PORT"}
    return kept | {"PYTHONUNBUFFERED": "1", **extra}


class ServerProcess:
    """A server that has said where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self, *, within_seconds: float = 10) -> int:
        """Send SIGTERM and give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_seconds)


@contextmanager
def server_process(
    command: Sequence[str] = (PENSTOCK, "serve", "--port", "0"), *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Generator[ServerProcess, None, None]:
    """Start it, and make sure that nothing of it is left."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment or clean_environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        url = None
        for line in process.stdout:
            found = re.match(r"Penstock \S+ on (\S+)", line)
            if found:
                url = found[1]
                break
        assert url is not None, process.stderr.read() if process.stderr else ""
        yield ServerProcess(process, url)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
