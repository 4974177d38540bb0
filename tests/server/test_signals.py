"""Stop signals to a real process: streams end or are told, and the exit status is 0."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from server.listening import CannotListen, listen
from server.settings import Server, Settings
from tests.support.gateway_server import chat_request
from tests.support.processes import PENSTOCK, ServerProcess, clean_environment, server_process

ASK = {"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
REQUEST = chat_request(json.dumps(ASK).encode())
SLOW = '[upstreams.captured]\nkind = "captured"\npace_seconds = 5\n'
LISTING = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
MANY = 4000
"""So many listings are more than the buffers of both sides hold."""


def receive_until(connection: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received and (piece := connection.recv(65536)):
        received += piece
    return received


@contextmanager
def deaf_client(port: int) -> Generator[None]:
    """Asks for far more than it reads, and proves at the end that the server could not write it all."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(0.5)
        connection.connect(("127.0.0.1", port))
        with suppress(TimeoutError):
            connection.sendall(LISTING * MANY)
        yield
        connection.settimeout(5)
        received = b""
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                received += piece
        assert received.count(b"HTTP/1.1 200") < MANY


def errors_of(server: ServerProcess) -> str:
    """What it has written to stderr; it must have ended."""
    assert server.process.stderr is not None
    return str(server.process.stderr.read())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_an_idle_connection_and_a_deaf_reader(workers):
    environment = clean_environment(PENSTOCK_SERVER__DRAIN_SECONDS="2", PENSTOCK_SERVER__WORKERS=str(workers))
    with (
        server_process(environment=environment) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as busy,
        socket.create_connection(("127.0.0.1", server.port), 5) as idle,
        deaf_client(server.port),
    ):
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_until(idle, b"}")
        busy.sendall(REQUEST)
        receive_until(busy, b'"content":"')
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        rest = receive_until(busy, b"\r\n0\r\n\r\n")
        assert b"[DONE]" in rest or b"server_shutting_down" in rest
        assert idle.recv(1024) == b""
        assert server.process.wait(10) == 0
        assert 1.8 < time.monotonic() - started < 5, "the reader that does not read is waited for, and no longer than the drain lasts"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("is_deaf", [False, True], ids=["a stream", "a deaf reader"])
def test_a_second_signal_stops_at_once(tmp_path, workers, is_deaf):
    (tmp_path / "penstock.toml").write_text(SLOW)
    (tmp_path / "penstock.toml").chmod(0o644)
    with server_process(cwd=tmp_path, environment=clean_environment(PENSTOCK_SERVER__WORKERS=str(workers))) as server, ExitStack() as clients:
        if is_deaf:
            clients.enter_context(deaf_client(server.port))
        else:
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 5)).sendall(REQUEST)
        time.sleep(0.3)
        os.killpg(server.process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert server.process.poll() is None, "one signal lets the stream go on"
        started = time.monotonic()
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 2
        said = errors_of(server)
        assert "SIGINT: draining 1 request;" in said or "SIGTERM: draining 1 request;" in said
        assert said.count("second signal: stopping now") == 1, "a worker with nothing to do has ended before"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_every_process_at_once_is_one_signal(number):
    """A terminal sends Ctrl-C to the whole group, and a supervisor may send SIGTERM so; the parent passes it on besides."""
    with (
        server_process(environment=clean_environment(PENSTOCK_SERVER__WORKERS="2")) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as busy,
    ):
        busy.sendall(REQUEST)
        receive_until(busy, b'"content":"')
        os.killpg(server.process.pid, number)
        assert b"[DONE]" in receive_until(busy, b"\r\n0\r\n\r\n")
        assert server.process.wait(10) == 0
        said = errors_of(server)
        assert said.count("SIGTERM: draining") == 2
        assert "second signal: stopping now" not in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_begins_a_stop_however_often_it_says_so(tmp_path, workers):
    (tmp_path / "penstock.toml").write_text(SLOW)
    (tmp_path / "penstock.toml").chmod(0o644)
    with (
        server_process(cwd=tmp_path, environment=clean_environment(PENSTOCK_SERVER__WORKERS=str(workers))) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as busy,
    ):
        busy.sendall(REQUEST)
        time.sleep(0.3)
        for _ in range(3):
            os.killpg(server.process.pid, signal.SIGHUP)
            time.sleep(0.1)
        assert server.process.poll() is None, "the stream goes on"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert errors_of(server).count("second signal: stopping now") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_without_a_terminal_does_not_notice_its_end(workers):
    command = ("nohup", PENSTOCK, "serve", "--port", "0")
    with server_process(command, environment=clean_environment(PENSTOCK_SERVER__WORKERS=str(workers))) as server:
        os.killpg(server.process.pid, signal.SIGHUP)
        time.sleep(0.2)
        assert server.process.poll() is None
        assert httpx.get(f"{server.url}/ready", trust_env=False).status_code == 200
        assert server.stop() == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_a_signal_right_behind_the_banner(workers):
    with server_process(environment=clean_environment(PENSTOCK_SERVER__WORKERS=str(workers))) as server:
        assert server.stop() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(server.process.pid, 0)


def test_with_nothing_to_do_it_stops_at_once():
    with server_process() as server:
        assert httpx.get(f"{server.url}/ready", trust_env=False).status_code == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 2


def test_an_address_in_use_is_said_plainly():
    with server_process() as server:
        second = subprocess.run(
            [PENSTOCK, "serve", "--port", str(server.port)], env=clean_environment(), capture_output=True, text=True, timeout=20, check=False
        )
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"penstock: cannot listen on 127.0.0.1:{server.port}: Address already in use; "
        "another program listens there: stop it, or choose another port with --port"
    )


def test_another_reason_is_said_without_that_hint():
    settings = Settings(server=Server(host="203.0.113.1", port=1))  # an address for documentation, which no machine has
    with pytest.raises(CannotListen) as caught:
        listen(settings)
    assert "--port" not in str(caught.value)


@pytest.mark.parametrize(("count", "said"), [(0, "draining 0 requests;"), (1, "draining 1 request;"), (2, "draining 2 requests;")])
def test_the_first_signal_says_how_many_requests_are_drained(count, said):
    with server_process() as server, ExitStack() as clients:
        for _ in range(count):
            busy = clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 5))
            busy.sendall(REQUEST)
            receive_until(busy, b'"content":"')
        assert server.stop() == 0
        assert server.process.stderr is not None
        assert said in server.process.stderr.read()
