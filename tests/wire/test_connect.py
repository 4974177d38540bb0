"""EnvelopeDecoder: framing under every cut, the two limits, and what the end of the body tells."""

import gzip
import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation, StreamCut
from pipeline.wire.connect import FLAG_COMPRESSED, FLAG_END_STREAM, Envelope, EnvelopeDecoder, encode_envelope
from tests.support.splits import cut, splits

END = encode_envelope(b"{}", flags=FLAG_END_STREAM)
ENDED = Envelope(2, b"{}")
OTHER_GZIP = gzip.compress(b"from another writer", mtime=1)
CASES = {
    "nothing": (b"", [], StreamCut),
    "proper end": (encode_envelope(b"hi") + END, [Envelope(0, b"hi"), ENDED], None),
    "zero-length frames": (encode_envelope(b"") * 3 + END, [Envelope(0, b"")] * 3 + [ENDED], None),
    "leading gzip frame": (
        encode_envelope(b"hi", compress=True) + encode_envelope(b"ho") + END,
        [Envelope(1, b"hi"), Envelope(0, b"ho"), ENDED],
        None,
    ),
    "gzip of another writer": (struct.pack(">BI", 1, len(OTHER_GZIP)) + OTHER_GZIP + END, [Envelope(1, b"from another writer"), ENDED], None),
    "gzip flag on an empty payload": (encode_envelope(b"", flags=1) + END, [Envelope(1, b""), ENDED], None),
    "gzip end": (encode_envelope(b"{}", flags=2, compress=True), [Envelope(3, b"{}")], None),
    "empty end": (encode_envelope(b"", flags=2), [Envelope(2, b"")], None),
    "bytes after the end": (END + encode_envelope(b"hi") + b"\xff\xff\xff\xff\xff", [ENDED], None),
    "no end": (encode_envelope(b"hi"), [Envelope(0, b"hi")], StreamCut),
    "cut in a header": (encode_envelope(b"hi") + b"\0\0", [Envelope(0, b"hi")], StreamCut),
    "cut after a header": (encode_envelope(b"hi") + b"\0\0\0\0\x05", [Envelope(0, b"hi")], StreamCut),
    "cut in a payload": (encode_envelope(b"hi") + encode_envelope(b"there")[:-1], [Envelope(0, b"hi")], StreamCut),
    "4 GiB claimed": (encode_envelope(b"hi") + b"\0\xff\xff\xff\xff" + b"x" * 20, [Envelope(0, b"hi")], ProtocolViolation),
    "one byte over the limit": (encode_envelope(b"hi") + encode_envelope(b"x" * 101), [Envelope(0, b"hi")], ProtocolViolation),
    "exactly the limit": (encode_envelope(b"x" * 100) + END, [Envelope(0, b"x" * 100), ENDED], None),
    "inflates to the limit": (encode_envelope(b"x" * 100, compress=True) + END, [Envelope(1, b"x" * 100), ENDED], None),
    "inflates over the limit": (encode_envelope(b"hi") + encode_envelope(b"x" * 101, compress=True), [Envelope(0, b"hi")], ProtocolViolation),
    "no gzip": (encode_envelope(b"hi") + encode_envelope(b"hello", flags=1) + END, [Envelope(0, b"hi")], ProtocolViolation),
    "gzip cut off": (encode_envelope(OTHER_GZIP[:-3], flags=1) + END, [], ProtocolViolation),
    "gzip with a tail": (encode_envelope(OTHER_GZIP + b"tail", flags=1) + END, [], ProtocolViolation),
    "gzip with a wrong checksum": (encode_envelope(OTHER_GZIP[:-5] + b"\0\0\0\0\0", flags=1) + END, [], ProtocolViolation),
    "unknown flag": (encode_envelope(b"hi") + encode_envelope(b"x", flags=4) + END, [Envelope(0, b"hi")], ProtocolViolation),
    "a web page": (b"<html><body>502 Bad Gateway</body></html>", [], ProtocolViolation),
}


def run(pieces: list[bytes], limit: int = 100) -> tuple[list[Envelope], type | None]:
    decoder = EnvelopeDecoder(limit)
    envelopes = [envelope for piece in pieces for envelope in decoder.feed(piece)]
    fault = decoder.end()
    return envelopes, None if fault is None else type(fault)


@pytest.mark.parametrize(("stream", "expected", "fault"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_envelopes(stream, expected, fault):
    for pieces in splits(stream):
        assert run(pieces) == (expected, fault)


ENVELOPES = st.lists(st.builds(encode_envelope, st.binary(max_size=30), flags=st.sampled_from([0, 0, 0, 2]), compress=st.booleans()), max_size=8)


@given(ENVELOPES.map(b"".join) | st.binary(max_size=100), st.binary(max_size=8), st.lists(st.integers(0, 300)))
def test_any_bytes_any_cut(stream, tail, offsets):
    assert run(cut(stream + tail, offsets)) == run([stream + tail])


@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans())))
def test_round_trip(messages):
    stream = b"".join(encode_envelope(payload, compress=compress) for payload, compress in messages) + END
    expected = [Envelope(FLAG_COMPRESSED if compress else 0, payload) for payload, compress in messages]
    assert run([stream], 1000) == ([*expected, ENDED], None)


@given(st.binary(max_size=100), st.lists(st.integers(0, 300)))
def test_advance_stops_behind_each_envelope(payload, offsets):
    decoder = EnvelopeDecoder()
    found = []
    for piece in cut(encode_envelope(payload) * 3, offsets):
        position = 0
        while position < len(piece):
            position, envelope = decoder.advance(piece, position)
            if envelope is None:
                assert position == len(piece)
                assert not decoder.at_boundary
            else:
                assert decoder.at_boundary
                found.append(envelope)
    assert found == [Envelope(0, payload)] * 3


@pytest.mark.parametrize("stream", [b"\0\xff\xff\xff\xff", encode_envelope(bytes(50_000_000), compress=True)], ids=["claimed", "zip bomb"])
def test_memory_stays_near_the_limit(stream):
    decoder = EnvelopeDecoder(100_000)
    tracemalloc.start()
    try:
        assert decoder.feed(stream) == []
        for _ in range(1000):
            decoder.feed(bytes(10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(decoder.fault, ProtocolViolation)
    assert peak < 1_000_000


def test_the_same_message_is_the_same_bytes():
    assert encode_envelope(b"hello", compress=True) == encode_envelope(b"hello", compress=True)
    assert gzip.decompress(encode_envelope(b"hello", compress=True)[5:]) == b"hello"


def test_linear_time_in_a_message_fed_byte_by_byte():
    def seconds(size):
        pieces = [bytes([byte]) for byte in encode_envelope(bytes(size))]
        started = time.process_time()
        assert run(pieces, 10**9) == ([Envelope(0, bytes(size))], StreamCut)
        return time.process_time() - started

    small = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(2)) < small * 8 * 4 + 0.05
