"""A gateway of its own for a measurement: `penstock serve` as a child process, on a free port, with the settings that the measurement gives.

It runs in a temporary directory and sees no other settings than those. Everything else is as in service; the access log is on and goes to a file.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.child import Child, running_child

# The command `penstock`, whether or not it is on the path.
COMMAND = ("-c", "import sys; from server.cli import main; sys.exit(main())")


@asynccontextmanager
async def running_gateway(settings: str, core: int | None = None) -> AsyncGenerator[Child, None]:
    """Start a gateway with the text of a `penstock.toml`, on one processor core where a number is given, and stop it at the end.

    Raises:
        ChildFailed: it did not start.
    """
    with TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        file = folder / "penstock.toml"
        file.write_text(settings, "utf-8")
        async with running_child("gateway", (*COMMAND, "serve", "--config", str(file), "--port", "0"), folder, core) as child:
            yield child
