"""Stop signals to a real server that has a bridge running: whatever ends the server ends the bridge, and leaves nothing of it."""

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.processes import PENSTOCK, clean_environment
from tests.support.supervised_bridge import is_alive


@asynccontextmanager
async def server_with(bridge: FakeBridge, folder: Path, workers: int = 1) -> AsyncIterator[trio.Process]:
    """A server whose bridges are ready."""
    (folder / "penstock.toml").write_text(bridge.table(command=(*bridge.wrapped, "--fake-grandchild")))
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = clean_environment(TMPDIR=str(temporary), PENSTOCK_SERVER__WORKERS=str(workers))
    with (folder / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            [PENSTOCK, "serve", "--port", "0"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await bridge.until(lambda: (folder / "log").read_text().count("ready in") == workers, within_seconds=20)
        yield process
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()


async def until_nothing_is_left(bridge: FakeBridge, folder: Path) -> None:
    pids = [pid for start in bridge.starts for pid in (start.pid, start.grandchild)]
    await bridge.until(lambda: not any(map(is_alive, pids)) and not any((folder / "temporary").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
async def test_a_signal_that_ends_the_server_ends_the_bridge(number, tmp_path):
    async with fake_bridge() as bridge, server_with(bridge, tmp_path) as server:
        server.send_signal(number)
        with trio.fail_after(10):
            assert await server.wait() == (0 if number in (signal.SIGTERM, signal.SIGHUP) else -number)
        await until_nothing_is_left(bridge, tmp_path)


async def test_workers_whose_parent_was_killed_take_their_bridges_along(tmp_path):
    async with fake_bridge() as bridge, server_with(bridge, tmp_path, workers=2) as server:
        assert len(bridge.starts) == 2
        server.kill()
        await server.wait()
        await until_nothing_is_left(bridge, tmp_path)


async def test_a_second_signal_does_not_wait_for_a_bridge_that_hangs(tmp_path):
    async with fake_bridge() as bridge, server_with(bridge, tmp_path) as server:
        [start] = bridge.starts
        assert start.pid is not None
        os.kill(start.pid, signal.SIGSTOP)
        server.terminate()
        await trio.sleep(0.2)
        assert server.returncode is None
        began = trio.current_time()
        server.terminate()
        with trio.fail_after(10):
            assert await server.wait() == 0
        assert trio.current_time() - began < 1.5
        await until_nothing_is_left(bridge, tmp_path)


async def test_the_bridge_is_started_without_signals_held_back(tmp_path):
    async with fake_bridge() as bridge, server_with(bridge, tmp_path):
        status = await trio.Path(f"/proc/{bridge.starts[0].pid}/status").read_text()
        assert [int(mask, 16) for mask in re.findall(r"SigBlk:\s*(\w+)", status)] == [0]
