"""The supervised bridge, over real processes: started, greeted, started again, and ended with all that it leaves behind."""

import errno
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio
import msgspec
import pytest
import trio
from anyio.abc import Process

from pipeline.credential import Secret
from pipeline.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.bridge import agent as agent_module
from pipeline.upstream.bridge import child as child_module
from pipeline.upstream.bridge import doubts
from pipeline.upstream.bridge import process as process_module
from pipeline.upstream.bridge.agent import Agent
from pipeline.upstream.bridge.backoff import Backoff
from pipeline.upstream.bridge.calls import BridgeCalls
from pipeline.upstream.bridge.child import start_child
from pipeline.upstream.bridge.launch import Callback, Launch
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.bridge.scratch import sweep
from pipeline.upstream.http import open_client
from pipeline.wire import sdk_requests as wire
from tests.support.composer_server import Cut, Late, Reply
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.supervised_bridge import QUICK, descriptors, guardians_of, is_alive, scratch_folders, supervised

ROOT = Path(__file__).parents[3]
CALLBACK = Callback("http://127.0.0.1:4711", Secret("callback-token-0123456789"))
SLOW = Backoff(first_seconds=30, most_seconds=30, apart_seconds=0.3)


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path, monkeypatch):
    """A temporary folder and an environment of the test's own, and nothing left of either."""
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


async def until(is_so, within_seconds=5.0):
    with trio.fail_after(within_seconds):
        while not is_so():  # noqa: ASYNC110 - what is waited for is in another process
            await trio.sleep(0.005)


# -- start -----------------------------------------------------------------------------------------------------------------------------------------


async def test_a_bridge_is_started_greeted_and_stopped(monkeypatch):
    monkeypatch.setenv("CURSOR_API_KEY", "crsr_0123456789")
    monkeypatch.setenv("PENSTOCK_SECRET", "secret")
    monkeypatch.setenv("EDITOR", "ed")
    async with fake_bridge() as bridge:
        before = descriptors()
        async with supervised(bridge.command, callback=CALLBACK, environment=("EDITOR", "CURSOR_API_KEY")) as process:
            endpoint = await process.endpoint()
            assert process.current is endpoint is await process.endpoint()
            [start] = bridge.starts
            [folder] = scratch_folders()
            assert (endpoint.version, endpoint.generation, endpoint.token.reveal()) == ("1.0.0", 1, start.token)
            assert endpoint.headers == {"Authorization": f"Bearer {start.token}"}
            assert start.token not in repr(endpoint)
            assert endpoint.workspace == start.cwd == str(folder / "workspace")
            assert start.arguments[-6:] == ["--workspace", str(folder / "workspace"), "--state-root", str(folder / "state"), "--host", "127.0.0.1"]
            assert [call.method for call in bridge.calls] == ["Ping", "SetToolCallback"]
            assert bridge.to("SetToolCallback")[0].body == {"url": CALLBACK.url, "authToken": CALLBACK.token.reveal()}
            assert not [word for word in (*start.arguments, *start.environment.values()) if CALLBACK.token.reveal() in word]
            assert start.environment["EDITOR"] == "ed"
            assert not {"CURSOR_API_KEY", "PENSTOCK_SECRET", "USER"} & set(start.environment)
            assert start.environment["HOME"] == str(folder / "home")
            assert os.listdir(start.environment["HOME"]) == [".cursor"]
            assert len(os.listdir(start.environment["TMPDIR"])) == 1
        assert start.gone.is_set()
        assert not is_alive(start.pid)
        await until(lambda: descriptors() == before)


async def test_noise_around_the_ready_line_is_no_matter(caplog):
    caplog.set_level(logging.DEBUG, "penstock.bridge")
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-noise", "50", "--fake-delay", "0.1")) as process:
        await process.endpoint()
        await until(lambda: "after 49" in caplog.text)
    assert "cursor: (node:" in caplog.text
    assert bridge.starts[0].token not in caplog.text


async def test_a_word_that_standard_error_did_not_have_after_all_is_no_end_of_it(monkeypatch):
    read, words = os.read, []

    def sometimes(descriptor: int, size: int) -> bytes:
        if size == child_module.READ_BYTES:
            words.append(size)
            if len(words) % 2:
                raise BlockingIOError
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", sometimes)
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-noise", "3")) as process:
        assert (await process.endpoint()).generation == 1
    assert len(words) > 1


async def test_all_who_wait_for_a_start_share_it():
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-delay", "0.1")) as process:
        endpoints = []

        async def wait() -> None:
            endpoints.append(await process.endpoint())

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(wait)
        assert len(endpoints) == 20
        assert {id(endpoint) for endpoint in endpoints} == {id(process.current)}
        assert len(bridge.starts) == 1


async def test_a_program_that_ends_at_once_is_a_failed_start(caplog):
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-exit", "3"), backoff=SLOW) as process:
        with pytest.raises(UpstreamUnavailable, match="ended before it was ready, with status 3") as caught:
            await process.endpoint()
        assert (caught.value.status, caught.value.code) == (503, "upstream_bridge_down")
        assert caught.value.retry_after_seconds
        assert "Cannot find module" not in caught.value.message
    assert "Cannot find module" in caplog.text


@pytest.mark.parametrize("options", [("--fake-never-ready",), ("--fake-never-ready", "--fake-noise", "3")])
async def test_a_program_that_says_nothing_is_waited_for_only_so_long(options, caplog):
    async with fake_bridge() as bridge, supervised(bridge.command_with(*options), start_seconds=0.5, backoff=SLOW) as process:
        with pytest.raises(UpstreamTimeout) as caught:
            await process.endpoint()
        assert caught.value.code == "upstream_bridge_slow"
        await until(lambda: bridge.starts[0].gone.is_set() and not scratch_folders())
    assert "not ready within 0.5 s" in caplog.text


@pytest.mark.parametrize("line", ["{", '{"schemaVersion":2}', "null"])
async def test_a_bridge_that_starts_in_another_way_is_refused_and_not_tried_again(line, caplog):
    quick = Backoff(first_seconds=0.001, most_seconds=0.001, apart_seconds=0.001)
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-ready", line), backoff=quick) as process:
        with pytest.raises(UpstreamUnusable) as caught:
            await process.endpoint()
        assert (caught.value.status, caught.value.code) == (424, "upstream_bridge_incompatible")
        await trio.sleep(0.3)
        assert len(bridge.starts) == 1
        with pytest.raises(UpstreamUnusable):
            await process.endpoint()
        assert len(bridge.starts) == 2
    assert "does not know" in caplog.text


async def test_a_bridge_of_another_address_gets_nothing():
    line = '{"schemaVersion":1,"transport":"tcp","protocol":"connect","url":"http://203.0.113.9:80","authTokenFile":"/dev/null"}'
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-ready", line), callback=CALLBACK) as process:
        with pytest.raises(UpstreamUnusable):
            await process.endpoint()
        assert bridge.calls == []


@pytest.mark.parametrize(
    ("method", "answer", "error"),
    [
        ("Ping", Cut(), "StreamCut"),
        ("Ping", Reply(200, b'{"message":"no"}', {"content-type": "application/json"}), "UpstreamUnavailable"),
        ("SetToolCallback", Reply(404), "UpstreamUnusable"),
        ("SetToolCallback", error_reply("invalid_argument", "no such url"), "UpstreamUnusable"),
    ],
)
async def test_a_bridge_that_does_not_answer_as_one_is_not_ready(method, answer, error):
    async with fake_bridge() as bridge, supervised(bridge.command, callback=CALLBACK, backoff=SLOW) as process:
        bridge.faults[method] = [[answer]]
        with pytest.raises(UpstreamError) as caught:
            await process.endpoint()
        assert type(caught.value).__name__ == error
        assert process.current is None
        await until(lambda: bridge.starts[0].gone.is_set())
        await trio.sleep(SLOW.apart_seconds)
        await process.endpoint()  # the next start has no fault


async def test_a_program_that_is_not_there_is_found_once_it_is(tmp_path, caplog):
    path = tmp_path / "bridge"
    async with fake_bridge() as bridge, supervised((str(path),), backoff=Backoff(apart_seconds=0.05)) as process:
        for _ in range(2):
            with pytest.raises(UpstreamUnusable, match="names no program") as caught:
                await process.endpoint()
            assert caught.value.status == 424
        path.write_text(f'#!/bin/sh\nexec {" ".join(bridge.command)} "$@"\n')
        path.chmod(0o755)
        await trio.sleep(0.05)
        assert (await process.endpoint()).generation == 1
    assert str(path) not in caught.value.message
    assert caplog.text.count("names no program") == 1  # said once, however many ask


@pytest.mark.parametrize("content", [b"\x7fELF no program", b"#!/nowhere/interpreter\n", b"#!/etc/passwd/x\n", b"#!/etc/passwd\n"])
async def test_what_cannot_be_executed_is_not_tried_again_until_somebody_asks(content, tmp_path, caplog):
    path = tmp_path / "bridge"
    path.write_bytes(content)
    path.chmod(0o755)
    before = descriptors()
    async with supervised((str(path),), backoff=SLOW) as process:
        with pytest.raises(UpstreamUnusable, match="cannot be executed") as caught:
            await process.endpoint()
        assert (caught.value.status, caught.value.code) == (424, "upstream_not_configured")
        assert str(path) not in caught.value.message
    await until(lambda: descriptors() == before)


async def test_who_asks_behind_a_program_that_cannot_be_used_is_told_at_once():
    slow = Backoff(apart_seconds=30)
    async with supervised(("/nowhere/bridge",), backoff=slow) as process:
        for _ in range(3):
            with trio.fail_after(1), pytest.raises(UpstreamUnusable):
                await process.endpoint()


async def test_what_the_system_refuses_is_a_failed_start(caplog, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(process_module, "make_scratch", full)
    async with supervised(("/bin/sh",), backoff=SLOW) as process:
        with pytest.raises(UpstreamUnavailable, match="could not be started"):
            await process.endpoint()
    assert "No space left" in caplog.text


async def test_a_fault_of_the_supervisor_is_logged_and_stays_inside(monkeypatch, caplog):
    faults = [RuntimeError("a slip of ours")]

    async def slips(*arguments):
        if faults:
            raise faults.pop()
        return await start_child(*arguments)

    monkeypatch.setattr(process_module, "start_child", slips)
    async with fake_bridge() as bridge, supervised(bridge.command, backoff=SLOW) as process:
        with pytest.raises(UpstreamUnavailable, match="could not be started"):
            await process.endpoint()
        assert (await process.endpoint()).generation == 1
    assert "a slip of ours" in caplog.text


# -- start again -----------------------------------------------------------------------------------------------------------------------------------


async def test_a_bridge_that_ends_is_started_again_and_who_asked_is_told(caplog):
    caplog.set_level(logging.INFO, "penstock.bridge")
    async with fake_bridge() as bridge, supervised(bridge.command) as process:
        over: list[int] = []

        def slips(generation: int) -> None:
            raise ZeroDivisionError(generation)

        process.on_exit(slips)
        process.on_exit(over.append)
        first = await process.endpoint()
        [folder] = scratch_folders()
        bridge.starts[0].kill()
        assert await process.is_over(first, 5)
        assert over == [1]
        second = await process.endpoint()
        assert (second.generation, len(bridge.starts)) == (2, 2)
        assert second.workspace != first.workspace
        assert not folder.exists()
        assert not await process.is_over(second, 0.01)
    assert over == [1, 2]
    assert "ZeroDivisionError" in caplog.text
    assert "ended with status -9" in caplog.text
    assert caplog.text.count("ready in") == 2


async def test_one_that_ends_by_itself_is_started_again_too():
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-die-after", "0.05")) as process:
        generations = []
        for _ in range(3):
            endpoint = await process.endpoint()
            generations.append(endpoint.generation)
            assert await process.is_over(endpoint, 5)
        assert generations == [1, 2, 3]


async def test_what_a_killed_shell_leaves_is_ended_before_the_next_start():
    async with fake_bridge() as bridge, supervised(bridge.wrapped) as process:
        first = await process.endpoint()
        [start] = bridge.starts
        assert start.pid is not None
        shell_pid = os.getpgid(start.pid)
        assert shell_pid != start.pid
        os.kill(shell_pid, signal.SIGKILL)
        assert await process.is_over(first, 5)
        await process.endpoint()
        assert not is_alive(start.pid)
        assert len(bridge.starts) == 2


async def test_starts_that_fail_are_further_and_further_apart(tmp_path):
    times = tmp_path / "times"
    quick = Backoff(first_seconds=0.04, most_seconds=0.16, apart_seconds=0.001)
    async with supervised(sh(f"date +%s.%N >>{times}; exit 1"), backoff=quick):
        await until(lambda: times.exists() and len(times.read_text().split()) >= 6)
    at = [float(word) for word in times.read_text().split()]
    gaps = [after - before for before, after in pairwise(at)][:5]
    for gap, pause in zip(gaps, [0.04, 0.08, 0.16, 0.16, 0.16], strict=True):
        assert pause * 0.9 < gap < 10 * pause + 1


async def test_a_bridge_that_was_healthy_is_started_again_soon(monkeypatch):
    backoff = Backoff(first_seconds=0.01, most_seconds=30, healthy_seconds=0.02, apart_seconds=0.001)
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-die-after", "0.05"), backoff=backoff):
        # without the reset the pauses would be over a minute by then
        await until(lambda: len(bridge.starts) >= 10, within_seconds=20)


async def test_a_request_starts_the_bridge_at_once_but_not_too_often(tmp_path):
    times = tmp_path / "times"
    async with supervised(sh(f"date +%s.%N >>{times}; exit 1"), backoff=SLOW) as process:
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await process.endpoint()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(_is_refused, process)
    at = [float(word) for word in times.read_text().split()]
    assert len(at) == 4
    for before, after in pairwise(at):
        assert 0.25 < after - before < 3


async def _is_refused(process: BridgeProcess) -> None:
    with pytest.raises(UpstreamUnavailable):
        await process.endpoint()


async def test_a_request_behind_a_crash_does_not_wait_for_the_pause():
    async with fake_bridge() as bridge, supervised(bridge.command, backoff=SLOW) as process:
        first = await process.endpoint()
        bridge.starts[0].kill()
        await process.is_over(first, 5)
        with trio.fail_after(5):
            assert (await process.endpoint()).generation == 2


async def test_a_bridge_that_hangs_is_ended_and_another_started(monkeypatch, caplog):
    monkeypatch.setattr(doubts, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(child_module, "SIGTERM_SECONDS", 0.1)
    async with fake_bridge() as bridge, supervised(bridge.wrapped) as process, open_client() as client:
        over: list[int] = []
        process.on_exit(over.append)
        calls = BridgeCalls(client, process)
        await calls.ping()
        [start] = bridge.starts
        assert start.pid is not None
        os.kill(start.pid, signal.SIGSTOP)
        with pytest.raises(UpstreamTimeout):
            await calls.call(wire.PING, wire.EMPTY, within_seconds=0.1)
        await until(lambda: over == [1])
        await calls.ping()
        assert len(bridge.starts) == 2
        assert not is_alive(start.pid)
    assert "did not answer any more" in caplog.text


async def test_a_bridge_that_only_takes_long_over_something_is_left_alone(monkeypatch):
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        endpoint = await process.endpoint()
        bridge.faults["Me"] = [[Late(30), Cut()]]
        bridge.faults["CloseAgent"] = [[Late(30), Cut()]]
        with pytest.raises(UpstreamTimeout):
            await calls.call(wire.ME, wire.me("crsr_1"), within_seconds=0.05)
        await bridge.until(lambda: len(bridge.to("Ping")) == 2)
        agent = Agent(client, process)
        agent.endpoint, agent._may_exist = endpoint, True
        monkeypatch.setattr(agent_module, "CALL_SECONDS", 0.05)
        await agent.remove(None)
        await bridge.until(lambda: len(bridge.to("Ping")) == 3)
        assert await process.endpoint() is endpoint
        stale = msgspec.structs.replace(endpoint, generation=0)
        process.doubt(stale)
        await trio.sleep(0.05)
        assert len(bridge.to("Ping")) == 3


# -- stop ------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_wrapped", "options"),
    [
        (False, ("--fake-grandchild",)),
        (False, ("--fake-ignore-shutdown",)),
        (False, ("--fake-ignore-shutdown", "--fake-ignore-sigterm")),
        (True, ()),
        (True, ("--fake-ignore-shutdown",)),
        (True, ("--fake-ignore-shutdown", "--fake-ignore-sigterm", "--fake-grandchild")),
    ],
)
async def test_nothing_of_a_stopped_bridge_is_left(is_wrapped, options, monkeypatch):
    monkeypatch.setattr(child_module, "SHUTDOWN_SECONDS", 0.2)
    monkeypatch.setattr(child_module, "SIGTERM_SECONDS", 0.2)
    async with fake_bridge() as bridge:
        before = descriptors()
        command = (*bridge.wrapped, *options) if is_wrapped else bridge.command_with(*options)
        async with supervised(command, callback=CALLBACK) as process:
            await process.endpoint()
            [start] = bridge.starts
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert not is_alive(start.pid)
        assert start.grandchild is None or not is_alive(start.grandchild)
        assert scratch_folders() == []
        assert len(bridge.to("Shutdown")) == 1
        await until(lambda: descriptors() == before)


async def test_a_stop_that_takes_long_can_be_broken_off():
    async with fake_bridge() as bridge:
        async with supervised((*bridge.wrapped, "--fake-grandchild")) as process:
            await process.endpoint()
            [start] = bridge.starts
            assert start.pid is not None
            os.kill(start.pid, signal.SIGSTOP)  # it would not hear of Shutdown, nor of SIGTERM
            began = time.monotonic()
            process.break_off()
        assert time.monotonic() - began < 0.4 < child_module.SIGTERM_SECONDS
        assert not is_alive(start.pid)
        assert not is_alive(start.grandchild)


async def test_a_bridge_whose_client_is_closed_already_is_stopped_all_the_same():
    async with fake_bridge() as bridge, trio.open_nursery() as nursery:
        async with open_client() as client:
            process = BridgeProcess("cursor", Launch(command=bridge.command), client)
            nursery.start_soon(process.run)
            await process.endpoint()
        nursery.cancel_scope.cancel()
    assert not is_alive(bridge.starts[0].pid)


async def test_a_stopped_bridge_says_so():
    async with fake_bridge() as bridge:
        async with supervised(bridge.command) as process:
            await process.endpoint()
        with pytest.raises(UpstreamUnavailable, match="shutting down"):
            await process.endpoint()
        assert process.current is None


async def test_who_waits_when_it_is_stopped_is_told():
    async with fake_bridge() as bridge, open_client() as client:
        process = BridgeProcess("cursor", Launch(command=bridge.command_with("--fake-never-ready")), client)
        async with trio.open_nursery() as waiting, trio.open_nursery() as supervisor:
            supervisor.start_soon(process.run)
            waiting.start_soon(_is_refused, process)
            await until(lambda: bridge.starts)
            supervisor.cancel_scope.cancel()


@pytest.mark.parametrize("seconds", [0, 0.002, 0.02, 0.08, 0.15])
async def test_a_start_can_be_cancelled_at_any_time(seconds):
    async with fake_bridge() as bridge:
        before = descriptors()
        async with supervised(bridge.wrapped, callback=CALLBACK):
            await trio.sleep(seconds)
        assert not [start for start in bridge.starts if is_alive(start.pid)]
        assert scratch_folders() == []
        await until(lambda: descriptors() == before)


async def test_an_exception_around_it_leaves_nothing_either():
    async with fake_bridge() as bridge:
        with pytest.RaisesGroup(KeyboardInterrupt):
            await _interrupted(bridge.wrapped)
        assert not is_alive(bridge.starts[0].pid)


async def _interrupted(command) -> None:
    async with supervised(command) as process:
        await process.endpoint()
        raise KeyboardInterrupt


async def test_megabytes_on_standard_error_stop_nobody(caplog):
    async with fake_bridge() as bridge, supervised(bridge.command_with("--fake-flood", str(8 * 1024 * 1024))) as process:
        await process.endpoint()
        async with open_client() as client:
            # answered only when the flood is through: it is written before anything else is done
            response = await client.post((await process.endpoint()).url + "/sdk.v1.SdkBridgeControlService/Ping", content=b"{}")
        assert response.status_code == 415
    assert len(caplog.text) < 100_000


async def test_two_bridges_do_not_know_of_each_other():
    async with fake_bridge() as one, fake_bridge() as other, supervised(one.wrapped, name="one") as first:
        async with supervised(other.wrapped, name="other") as second:
            await first.endpoint()
            await second.endpoint()
            assert len(scratch_folders()) == 2
            assert sweep() == []
        assert is_alive(one.starts[0].pid)
        assert not is_alive(other.starts[0].pid)
        assert len(scratch_folders()) == 1


SERVER = """
import sys, anyio
from pipeline.upstream.bridge.launch import Launch
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.http import open_client

async def main():
    async with open_client() as client, anyio.create_task_group() as tasks:
        process = BridgeProcess("cursor", Launch(command=tuple(sys.argv[1:])), client)
        tasks.start_soon(process.run)
        print((await process.endpoint()).generation, flush=True)
        await anyio.sleep_forever()

anyio.run(main, backend="trio")
"""


@asynccontextmanager
async def serving(command) -> AsyncIterator[Process]:
    """A server of its own that has started this bridge."""
    environment = {**os.environ, "TMPDIR": str(tempfile.gettempdir()), "PYTHONPATH": str(ROOT)}
    async with await anyio.open_process([sys.executable, "-c", SERVER, *command], env=environment, cwd=ROOT) as server:
        assert server.stdout is not None
        assert (await server.stdout.receive()).strip() == b"1"
        yield server


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT])
async def test_what_a_killed_server_leaves_is_removed_at_once(number):
    async with fake_bridge() as bridge:
        async with serving((*bridge.wrapped, "--fake-grandchild")) as server:
            server.send_signal(number)
            await server.wait()
        [orphan] = bridge.starts
        await until(lambda: not is_alive(orphan.pid) and not is_alive(orphan.grandchild) and not scratch_folders(), within_seconds=2)


async def test_what_a_killed_server_and_guardian_leave_is_removed_by_the_next_start(caplog):
    caplog.set_level(logging.INFO, "penstock.bridge")
    async with fake_bridge() as bridge:
        async with serving(bridge.wrapped) as server:
            [folder] = scratch_folders()
            for guardian in guardians_of(folder):
                os.kill(guardian, signal.SIGKILL)
            server.kill()
        [orphan] = bridge.starts
        assert is_alive(orphan.pid)
        async with supervised(bridge.command) as process:
            await process.endpoint()
            assert not is_alive(orphan.pid)
            assert not folder.exists()
            assert len(scratch_folders()) == 1
        assert f"removed {folder.name}" in caplog.text


# -- under asyncio ---------------------------------------------------------------------------------------------------------------------------------


async def lived_twice(bridge) -> list[int]:
    """Two starts, the second behind a shell that was killed, and the stop."""
    generations = []
    async with supervised(bridge.wrapped, callback=CALLBACK, backoff=QUICK) as process:
        for _ in range(2):
            endpoint = await process.endpoint()
            generations.append(endpoint.generation)
            if len(generations) == 1:
                os.kill(os.getpgid(bridge.starts[0].pid), signal.SIGKILL)
                assert await process.is_over(endpoint, 5)
    return generations


async def test_it_runs_under_asyncio_too():
    async with fake_bridge() as bridge:
        generations = await trio.to_thread.run_sync(partial(anyio.run, lived_twice, bridge, backend="asyncio"))
        assert generations == [1, 2]
        assert not [start for start in bridge.starts if is_alive(start.pid)]
        assert scratch_folders() == []
