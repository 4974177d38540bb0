"""One run of a client: a process in a scratch folder, with an environment that holds nothing of the person who runs the tests.

Whatever a client wants from outside would go to the proxy that the environment names, which is `Outside`: it grants nothing and remembers what it was
asked for. So the tests need no network, and see who wants one.
"""

import json
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.clients.install import PROGRAMS, PYTHON
from tests.clients.scripted_model import Gateway

LIMIT_SECONDS = 60


class Ended(msgspec.Struct, frozen=True):
    """What a process left behind."""

    status: int
    out: str
    err: str

    def outcome(self) -> Any:
        """The JSON that one of our programs ends with."""
        assert self.status == 0, self.err or self.out
        return json.loads(self.out)


class Outside:
    """A proxy that grants nothing; `asked` holds the first lines of the requests."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []

    async def refuse(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                head = await stream.receive_some(4096)
                if head:
                    self.asked.append(head.split(b"\r\n")[0].decode(errors="replace"))
                    await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            except trio.BrokenResourceError:
                pass  # it has asked, and does not wait for the answer


@asynccontextmanager
async def no_outside() -> AsyncGenerator[Outside, None]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    outside = Outside(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, outside.refuse, listeners))
        yield outside
        nursery.cancel_scope.cancel()


async def run_client(*command: str, scratch: Path, outside: Outside | None = None, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a client in `scratch`, which is also its home; a run that takes too long is ended, with all that it has started."""
    proxy = outside.url if outside else "http://127.0.0.1:9"  # nothing listens at the discard port
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        **(environment or {}),
    }

    # files and no pipes, so that what was said is there even of a run that never ends
    out, err = scratch.with_name("stdout.txt"), scratch.with_name("stderr.txt")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            command, cwd=scratch, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
        with trio.move_on_after(LIMIT_SECONDS) as limit:
            await process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    ended = Ended(await process.wait(), out.read_text(errors="replace"), err.read_text(errors="replace"))
    assert not limit.cancelled_caught, f"{command[0]} did not end within {LIMIT_SECONDS} s\n{ended.out[-2000:]}\n{ended.err[-4000:]}"
    return ended


async def run_program(name: str, scenario: str, gateway: Gateway, scratch: Path) -> Any:
    """One scenario of one of our programs, and its outcome."""
    interpreter = "node" if name.endswith(".mjs") else str(PYTHON)
    ended = await run_client(interpreter, str(PROGRAMS / name), scenario, f"{gateway.url}/v1", gateway.key, scratch=scratch)
    return ended.outcome()
