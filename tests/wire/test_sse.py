"""SseDecoder and its encoder: the event stream format under every cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.wire.sse import DONE, ServerSentEvent, SseDecoder, encode_comment, encode_event
from tests.support.splits import cut, splits

Sse = ServerSentEvent
CASES = {
    "one event": (b"data: {}\n\n", [Sse(b"{}")], b""),
    "crlf": (b"data: a\r\ndata: b\r\n\r\n", [Sse(b"a\nb")], b""),
    "cr": (b"data: a\rdata: b\r\r", [Sse(b"a\nb")], b""),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [Sse(b"a"), Sse(b"b"), Sse(b"c")], b""),
    "no space after the colon": (b"data:a\n\ndata:  b\n\n", [Sse(b"a"), Sse(b" b")], b""),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [Sse(b"a"), Sse(b"c")], b""),
    "byte order mark before a blank line": (b"\xef\xbb\xbf\n\ndata: a\n\n", [Sse(b"a")], b""),
    "comments": (b": hello\n\n:\ndata: a\n: in between\n\n", [Sse(b"a")], b""),
    "named event": (b"event: response.created\ndata: {}\n\ndata: {}\n\n", [Sse(b"{}", "response.created"), Sse(b"{}")], b""),
    "a name without data is forgotten": (b"event: ping\n\ndata: a\n\n", [Sse(b"a")], b""),
    "empty data": (b"data\n\ndata:\n\ndata\ndata\n\n", [Sse(b""), Sse(b""), Sse(b"\n")], b""),
    "id stays": (
        b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: x\0\ndata: d\n\n",
        [Sse(b"a", id="7"), Sse(b"b", id="7"), Sse(b"c"), Sse(b"d")],
        b"",
    ),
    "id in the middle": (b"data: a\n\nid: 7\n\ndata: b\n\n", [Sse(b"a"), Sse(b"b", id="7")], b""),
    "unknown fields and no colon": (b"foo: bar\nwhat\n data: no\ndata: a\n\n", [Sse(b"a")], b""),
    "colons in data": (b"data: a: b:c\n\n", [Sse(b"a: b:c")], b""),
    "other separators are data": ("data: a\u2028b\u0085c\x0b\x0c\u2029\n\n".encode(), [Sse("a\u2028b\u0085c\x0b\x0c\u2029".encode())], b""),
    "no utf-8": (b"data: \xff\xe2\x82\n\n", [Sse(b"\xff\xe2\x82")], b""),
    "many blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [Sse(b"a"), Sse(b"b")], b""),
    "unfinished": (b"data: a\n\ndata: b\n", [Sse(b"a")], b"data: b"),
    "cut in a line": (b"data: a\n\nda", [Sse(b"a")], b"da"),
    "done": (b"data: {}\n\n" + DONE, [Sse(b"{}"), Sse(b"[DONE]")], b""),
}


def run(pieces: list[bytes], max_event_bytes: int = 1000) -> tuple[list[ServerSentEvent], bytes, bool]:
    decoder = SseDecoder(max_event_bytes)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.unfinished, decoder.fault is not None


@pytest.mark.parametrize(("stream", "expected", "unfinished"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_events(stream, expected, unfinished):
    for pieces in splits(stream):
        assert run(pieces) == (expected, unfinished, False)


FIELD_SOUP = st.lists(
    st.sampled_from([b"data: ", b"data", b"event: e", b"id: 1", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"\xef\xbb\xbf", b"\0", b"\xff"])
)


@given(FIELD_SOUP.map(b"".join) | st.binary(max_size=200), st.lists(st.integers(0, 300)), st.integers(0, 40))
def test_any_bytes_any_cut_any_limit(stream, offsets, limit):
    assert run(cut(stream, offsets), limit)[::2] == run([stream], limit)[::2]
    assert run(cut(stream, offsets)) == run([stream])


def by_the_letter(stream: bytes) -> list[ServerSentEvent]:
    """The format's own algorithm, line by line, as slow as it likes."""
    events: list[ServerSentEvent] = []
    data: list[bytes] = []
    name = last_id = ""
    folded = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix(b"\xef\xbb\xbf")
    for line in folded.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(ServerSentEvent(b"\n".join(data), name or "message", last_id))
            data, name = [], ""
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            last_id = value.decode(errors="replace")
    return events


@given(FIELD_SOUP.map(b"".join) | st.binary(max_size=200))
def test_the_same_as_the_format_read_by_the_letter(stream):
    assert run([stream])[0] == by_the_letter(stream)


@given(st.lists(st.tuples(st.binary(max_size=50), st.none() | st.sampled_from(["delta", "response.done"]), st.booleans())))
def test_round_trip(items):
    stream = b"".join(encode_event(data, name) + (encode_comment("keep\nalive") if comment else b"") for data, name, comment in items)
    expected = [ServerSentEvent(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), name or "message") for data, name, _ in items]
    assert run([stream]) == (expected, b"", False)


@pytest.mark.parametrize("name", ["a\nb", "a\rb"])
def test_a_name_with_a_line_break_is_refused(name):
    with pytest.raises(ValueError, match="one line"):
        encode_event(b"{}", name)


def test_a_time_to_reconnect_is_no_event():
    assert run([b"retry: 3000\n\nretry: soon\n\nretry: -1\n\n"]) == ([], b"", False)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b""])
def test_the_limit_keeps_the_events_before_and_stops(end):
    stream = b"data: ok\n\ndata: " + b"x" * 95 + end + b"data: after\n\n"
    for pieces in splits(stream):
        assert run(pieces, 100)[::2] == ([Sse(b"ok")], True)


def test_an_event_of_exactly_the_limit_passes():
    for pieces in splits(b"data: " + b"x" * 94 + b"\n\ndata: a\n\n"):
        assert run(pieces, 100) == ([Sse(b"x" * 94), Sse(b"a")], b"", False)


def test_an_endless_event_is_never_held_beyond_the_limit():
    decoder = SseDecoder(1000)
    longest = 0
    for _ in range(1000):
        assert decoder.feed(b"data: 0123456789\n") == []
        longest = max(longest, len(decoder.unfinished))
    assert 900 < longest <= 1000
    assert isinstance(decoder.fault, ProtocolViolation)
    assert decoder.feed(b"\n\ndata: a\n\n") == []


@pytest.mark.parametrize("piece", [b"x", b"data: abc\n"], ids=["one line", "many lines"])
def test_linear_time_in_an_event_fed_byte_by_byte(piece):
    def seconds(size):
        pieces = [bytes([byte]) for byte in piece * (size // len(piece))]
        started = time.process_time()
        run(pieces, 10**9)
        return time.process_time() - started

    small = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(2)) < small * 8 * 4 + 0.05
