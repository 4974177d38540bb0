"""The parent of the workers: it starts those that die again, and a stop signal never waits for that."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.processes import ROOT, clean_environment, server_process
from tests.support.supervised_bridge import is_alive

DYING = """\
import logging, os, sys
from server import workers
logging.basicConfig(stream=sys.stderr)
workers.FIRST_PAUSE_SECONDS = 20.0
sys.exit(workers.supervise(1, lambda: os._exit(3), lambda: print("ready", flush=True)))
"""
FAILING = """\
import signal, sys
from server import signals, workers

def work():
    signals.release()
    sys.exit(signal.sigwait([signal.SIGTERM]))

sys.exit(workers.supervise(2, work, lambda: print("ready", flush=True)))
"""


@contextmanager
def supervisor(script: str) -> Generator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_dies_is_started_again():
    with server_process(environment=clean_environment(PENSTOCK_SERVER__WORKERS="2")) as server:
        before = children(server.process.pid)
        assert len(before) == 2
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(children(server.process.pid) - {killed}) == 2)
        assert httpx.get(f"{server.url}/ready", trust_env=False).status_code == 200
        assert server.stop() == 0


def test_a_stop_signal_in_the_pause_ends_it_at_once():
    with supervisor(DYING) as process:
        assert process.stderr is not None
        assert "ended with status 3; starting another in 20.0 s" in process.stderr.readline()
        started = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - started < 2


def test_a_worker_that_fails_while_it_stops_is_a_fault():
    with supervisor(FAILING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(10) == 1


def test_workers_stop_when_their_parent_is_killed():
    with server_process(environment=clean_environment(PENSTOCK_SERVER__WORKERS="2")) as server:
        workers = children(server.process.pid)
        assert len(workers) == 2
        killed = next(iter(workers))
        os.kill(killed, signal.SIGKILL)  # one that is forked later is no other's lifeline either
        wait_until(lambda: len(children(server.process.pid) - {killed}) == 2)
        workers = children(server.process.pid) - {killed}
        server.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in workers))
        assert server.process.stderr is not None
        assert server.process.stderr.read().count("SIGTERM: draining") == 2
