"""ResponseReader: the same body however the bytes are cut, and every cut end is a fault."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.upstream.http1.response import ResponseReader, State

OK = b"HTTP/1.1 200 OK\r\n"
# stream -> status, body, reusable
WHOLE = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n", 200, b"hello", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "after 100 and 103": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "closing": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "version 1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
}
BY_CLOSE = OK + b"Content-Type: text/plain\r\n\r\nhello"
REFUSED = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "length beside chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunks beside length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "a list of lengths": OK + b"Content-Length: 2, 3\r\n\r\nhi",
    "negative length": OK + b"Content-Length: -2\r\n\r\nhi",
    "gzip as transfer coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "folded header": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL in a header": OK + b"A: b\x00\r\nContent-Length: 0\r\n\r\n",
    "too many headers": OK + b"A: b\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
    "too many bytes of headers": OK + (b"A: " + b"b" * 7000 + b"\r\n") * 10 + b"Content-Length: 0\r\n\r\n",
    "one endless header": OK + b"A: " + b"b" * 200_000,
    "an endless status line": b"HTTP/1.1 200 " + b"O" * 200_000,
    "interim responses without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 8000,
}


def run(pieces: list[bytes], *, end: bool = False, bodiless: bool = False) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader(bodiless=bodiless)
    body = b"".join([reader.feed(piece) for piece in pieces])
    if end:
        reader.end()
    return reader, body


def cuts(stream: bytes) -> list[list[bytes]]:
    return [[stream], [bytes([byte]) for byte in stream], *([stream[:at], stream[at:]] for at in range(1, len(stream)))]


@pytest.mark.parametrize(("stream", "status", "body", "reusable"), WHOLE.values(), ids=WHOLE)
def test_every_cut_gives_the_same_response(stream, status, body, reusable):
    for cut in cuts(stream):
        reader, got = run(cut)
        assert reader.head is not None
        assert (reader.head.status, got, reader.state, reader.reusable, reader.surplus) == (status, body, State.COMPLETE, reusable, False)


@pytest.mark.parametrize(("stream", "status", "body", "reusable"), WHOLE.values(), ids=WHOLE)
def test_an_end_before_the_end_is_a_fault_at_every_offset(stream, status, body, reusable):
    for at in range(len(stream)):
        reader, got = run([stream[:at]], end=True)
        assert reader.state is State.FAULTY
        assert "ended" in str(reader.fault)
        assert body.startswith(got)
        assert not reader.reusable


def test_a_body_without_a_frame_ends_by_closing_and_never_before_its_headers():
    head_end = BY_CLOSE.index(b"\r\n\r\n") + 4
    for at in range(len(BY_CLOSE) + 1):
        reader, _ = run([BY_CLOSE[:at]], end=True)
        assert (reader.state is State.COMPLETE) == (at >= head_end)
        assert not reader.reusable
    assert run([BY_CLOSE], end=True)[1] == b"hello"


@pytest.mark.parametrize("stream", REFUSED.values(), ids=REFUSED)
def test_what_is_not_http_is_refused(stream):
    for step in (1 << 20, 65_536, 1000):
        reader, body = run([stream[at : at + step] for at in range(0, len(stream), step)])
        assert reader.state is State.FAULTY
        assert reader.head is None
        assert body == b""
        assert reader.fault is not None
        assert "OpenSSH" not in str(reader.fault)


def test_a_fault_in_the_body_comes_after_the_bytes_before_it():
    reader, body = run([OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"])
    assert body == b"hi"
    assert reader.state is State.FAULTY


@pytest.mark.parametrize("framing", [b"0\r\nX: " + b"y" * 200_000, b"1;" + b"y" * 200_000, b"0\r\n" + b"X: y\r\n" * 200])
def test_framing_without_end_is_refused(framing):
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    reader, _ = run([head, *(framing[at : at + 1000] for at in range(0, len(framing), 1000))])
    assert reader.state is State.FAULTY


FRAMED = {"length": OK + b"Content-Length: 2\r\n\r\nhi", "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"}


@pytest.mark.parametrize("whole", FRAMED.values(), ids=FRAMED)
@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n", OK + b"Content-Length: 2\r\n\r\nxx", b"x"])
def test_bytes_after_the_response_are_not_its_body_and_end_the_connection(whole, surplus):
    for pieces in cuts(whole + surplus):
        reader, body = run(pieces)
        assert (body, reader.state, reader.fault, reader.surplus, reader.reusable) == (b"hi", State.COMPLETE, None, True, False)


def test_a_response_to_head_has_no_body_whatever_it_says():
    for fields in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""):
        reader, body = run([OK + fields + b"\r\n"], bodiless=True)
        assert (body, reader.state, reader.reusable) == (b"", State.COMPLETE, False)


def test_one_feed_is_one_piece():
    chunks = b"".join(b"3\r\nabc\r\n" for _ in range(64))
    reader = ResponseReader()
    assert reader.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == b"abc" * 64


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_no_bytes_raise(stream, at):
    edges = sorted({0, len(stream), *(a for a in at if a < len(stream))})
    for prefix in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        reader, _ = run([prefix, *(stream[a:b] for a, b in pairwise(edges))], end=True)
        assert reader.finished


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 600), max_size=6))
def test_chunked_bodies_survive_any_split(parts, at):
    stream = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    edges = sorted({0, len(stream), *(a for a in at if a < len(stream))})
    reader, body = run([stream[a:b] for a, b in pairwise(edges)])
    assert body == b"".join(parts)
    assert reader.reusable
