"""Stop signals to a real process: streams end or are told, and the exit status is 0."""

import json
import signal
import socket
import subprocess
import time

import httpx
import pytest

from tests.support.gateway_server import chat_request
from tests.support.processes import PENSTOCK, clean_environment, server_process

ASK = {"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
REQUEST = chat_request(json.dumps(ASK).encode())


def receive_until(connection: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received and (piece := connection.recv(65536)):
        received += piece
    return received


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_an_idle_connection_and_a_deaf_reader(workers):
    environment = clean_environment(PENSTOCK_SERVER__DRAIN_SECONDS="3", PENSTOCK_SERVER__WORKERS=str(workers))
    with (
        server_process(environment=environment) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as busy,
        socket.create_connection(("127.0.0.1", server.port), 5) as idle,
        socket.create_connection(("127.0.0.1", server.port), 5) as deaf,
    ):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.sendall(REQUEST)
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
        assert time.monotonic() - started < 6


def test_a_second_signal_stops_at_once():
    with server_process() as server, socket.create_connection(("127.0.0.1", server.port), 5) as busy:
        busy.sendall(REQUEST)
        receive_until(busy, b'"content":"')
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 2


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
    assert second.stderr.strip() == f"penstock: cannot listen on 127.0.0.1:{server.port}: Address already in use"
