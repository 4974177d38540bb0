"""What is refused before the app sees it, and what a client cannot switch to."""

import json
import logging
import re

import h11
import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from pipeline.events import Finish, TextDelta
from server.http1 import MAX_HEADERS, Http1, Http1Stream, head_fault
from tests.support.gateway_server import chat_request, read_all, read_until, running_server
from tests.support.scripted import ScriptedUpstream, Step

HOST = b"Host: localhost\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST
HELLO: list[Step] = [[TextDelta("Hello")], [Finish()]]
WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
H2C = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    "two framings": (CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + HEALTH + b"\r\n", 400, "bad_request"),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n", 400, "bad_request"),
    "target without a slash": (b"GET ?x HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "target that is no URL": (b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "target of another host": (b"GET http://evil.example/health HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "WebSocket without a slash": (b"GET ?x HTTP/1.1\r\n" + HOST + WEBSOCKET, 400, "bad_request"),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: localhost\n\n", 400, "bad_request"),
    "one bare line feed": (HEALTH + b"X: a\nY: b\r\n\r\n", 400, "bad_request"),
    "folded header": (HEALTH + b"X: a\r\n b\r\n\r\n", 400, "bad_request"),
    "complete head too large": (HEALTH + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431, "request_header_fields_too_large"),
    "endless head": (HEALTH + b"X: " + b"a" * 300_000, 431, "request_header_fields_too_large"),
    "too many headers": (HEALTH + b"X: a\r\n" * MAX_HEADERS + b"\r\n", 431, "request_header_fields_too_large"),
    "not HTTP": (b"\x16\x03\x01\0\0\r\n\r\n", 400, "bad_request"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 400, "http_version_not_supported"),
    "HTTP/2 preface with a host": (b"PRI * HTTP/2.0\r\n" + HOST + b"\r\nSM\r\n\r\n", 400, "http_version_not_supported"),
    "bad chunk": (CHUNKED + b"\r\nzz\r\n", 400, "bad_request"),
    "bytes behind a chunk": (CHUNKED + b"\r\n2\r\n{}XX0\r\n\r\n", 400, "bad_request"),
    "empty label in the host": (b"GET /health HTTP/1.1\r\nHost: a..b:80\r\n\r\n", 400, "invalid_host"),
    "long label in the host": (b"GET /health HTTP/1.1\r\nHost: " + b"a" * 64 + b"\r\n\r\n", 400, "invalid_host"),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad_request"),
}


def one_error(answer: bytes) -> tuple[int, str, str]:
    """Status, code and id of an answer that is one error and nothing after it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d+) ", head)
    given = re.search(rb"\r\nx-request-id: ([0-9a-f]{24})(\r\n|\Z)", head)
    assert found, answer
    assert given, answer
    assert b"content-type: application/json" in head
    assert b"connection: close" in head.lower()
    return int(found[1]), json.loads(body)["error"]["code"], given[1].decode()


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_ends_the_connection_with_one_error(request_, status, code):
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(request_)
        with trio.fail_after(2):
            assert one_error(await read_all(stream))[:2] == (status, code)
        with trio.fail_after(2):
            assert (await read_until(await server.send(HEALTH + b"\r\n"), b"}")).startswith(b"HTTP/1.1 200")


ANTHROPIC = HOST + b"Anthropic-Version: 2023-06-01\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"


@pytest.mark.parametrize(
    ("request_", "has_param"),
    [
        (b"POST /v1/messages?beta=true HTTP/1.1\r\n" + HOST + b"X: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False),
        (b"POST /v1/models HTTP/1.1\r\n" + ANTHROPIC, False),
        (CHUNKED + b"\r\nzz\r\n", True),
        (b"nonsense\r\n\r\n", True),
    ],
    ids=["its path", "its header", "another's", "nobody knows whose"],
)
async def test_a_refusal_is_one_that_clients_of_anthropic_s_api_can_read(request_, has_param):
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        with trio.fail_after(2):
            answer = await read_all(await server.send(request_))
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert (said["type"], said["error"]["type"], said["error"]["code"]) == ("error", "invalid_request_error", "bad_request")
    assert ("param" in said["error"]) is has_param  # OpenAI's has one always
    for name in (b"request-id", b"x-request-id"):
        assert b"\r\n" + name + b": " + said["request_id"].encode() in head


async def test_a_refused_head_request_has_no_body():
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(b"HEAD ?x HTTP/1.1\r\n" + HOST + b"\r\n")
        with trio.fail_after(2):
            answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_refusal_has_its_line_in_the_access_log(caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        answers = [await read_all(await server.send(given)) for given in (b"GET ?x HTTP/1.1\r\n" + HOST + b"\r\n", b"nonsense\r\n\r\n")]
    lines = [record.getMessage() for record in caplog.records if record.name == "penstock.access"]
    for line, start, answer in zip(lines, ("GET ?x 400 ", "- - 400 "), answers, strict=True):
        assert line.startswith(start)
        assert f"error=bad_request id={one_error(answer)[2]}" in line
        assert "client=gone" not in line


@pytest.mark.parametrize("upgrade", [WEBSOCKET, H2C], ids=["WebSocket", "h2c"])
async def test_an_upgrade_is_a_plain_request(upgrade):
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(HEALTH + upgrade)
        for _ in range(2):
            with trio.fail_after(2):
                assert (await read_until(stream, b"}")).startswith(b"HTTP/1.1 200")
            await stream.send_all(HEALTH + b"\r\n")


async def test_a_method_that_is_not_allowed_is_told_which_are():
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(b"GET /v1/chat/completions HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        with trio.fail_after(2):
            answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"\r\nallow: OPTIONS, POST\r\n" in answer


async def test_limits_let_pass_what_is_just_within_them():
    many = HEALTH + b"X: a\r\n" * (MAX_HEADERS - 1) + b"\r\n"
    large = HEALTH + b"X: " + b"a" * (16_384 - len(HEALTH) - 7) + b"\r\n\r\n"
    assert len(large) == 16_384
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        for request in (many, large, large[:4] + b"/health?" + b"a" * 7_000 + large[11:-7_005] + b"\r\n\r\n"):
            with trio.fail_after(2):
                assert (await read_until(await server.send(request), b"}")).startswith(b"HTTP/1.1 200")


async def test_a_pipelined_head_is_looked_at_like_the_first():
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(HEALTH + b"\r\n" + HEALTH + b"X: a\r\n b\r\n\r\n" + HEALTH + b"\r\n")
        with trio.fail_after(2):
            answer = await read_all(stream)
    assert [answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 400")] == [1, 1]


async def test_an_answer_to_an_unfinished_body_arrives_and_says_that_it_closes():
    """Closing with unread bytes would reset the connection, and the client's system would throw the answer away."""
    head = chat_request(b"", headers=("Connection: keep-alive",)).replace(b"Content-Length: 0", b"Content-Length: 99999999")
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.connect()
        with trio.fail_after(3):
            await stream.send_all(head + b" " * 3_000_000)
            answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"}}")


async def test_a_framework_that_breaks_is_answered_in_our_shape(monkeypatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("the framework is broken")

    monkeypatch.setattr("server.asgi.HttpConnection.__call__", broken)
    async with running_server(upstreams={"captured": ScriptedUpstream(HELLO)}) as server:
        stream = await server.send(HEALTH + b"\r\n")
        with trio.fail_after(2):
            answer = await read_all(stream)
    assert one_error(answer)[:2] == (500, "internal_error")
    assert b"broken" not in answer


@pytest.mark.parametrize("name", ["complete head too large", "too many headers", "bare line feeds", "one bare line feed", "folded header"])
def test_a_fault_stays_one_while_more_of_the_head_arrives(name):
    head = REFUSED[name][0]
    faulty = [head_fault(head[:size], 16_384) is not None for size in (*range(0, len(head), 7), len(head))]
    assert faulty == sorted(faulty)
    assert faulty[-1]
    assert not faulty[1]


def test_the_seams_are_those_of_the_pinned_version():
    """What `server.http1` replaces must be what hypercorn calls, and what it calls must be there."""
    replaced = {name for name in vars(Http1) if name.startswith("_") and not name.startswith("__")} - {"_refuse", "_request"}
    assert replaced == {"_handle_events", "_create_stream", "_close_stream"}
    assert all(hasattr(H11Protocol, name) for name in (*replaced, "handle", "stream_send", "_send_h11_event", "_maybe_recycle"))
    assert hasattr(HTTPStream, "_send_error_response")
    assert "_send_error_response" in vars(Http1Stream)
    assert hasattr(h11.Connection, "trailing_data")
