"""Utf8Decoder: cut characters are joined, wrong bytes are dropped, and no character is invented."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.utf8 import Utf8Decoder
from tests.support.splits import cut, splits

CASES = {
    "ascii": (b"hello", "hello", 0),
    "all lengths": ("aé€𝄞".encode(), "aé€𝄞", 0),
    "the replacement character itself": ("a\ufffdb".encode(), "a\ufffdb", 0),
    "invalid bytes": (b"a\xff\xfeb", "ab", 2),
    "continuation without a beginning": (b"a\x80b", "ab", 1),
    "cut by an ascii character": (b"a\xe2\x82b", "ab", 2),
    "cut by another character": (b"\xe2\x82\xc3\xa9", "é", 2),
    "cut at the end": (b"a\xf0\x9d\x84", "a", 3),
    "surrogate": (b"\xed\xb2\x80a", "a", 3),
    "overlong": (b"\xc0\xafa", "a", 2),
    "above the last character": (b"\xf4\x90\x80\x80a", "a", 4),
}


def run(pieces: list[bytes]) -> tuple[str, int]:
    decoder = Utf8Decoder()
    fed = [decoder.feed(piece) for piece in pieces]
    assert len(decoder.pending) <= 3
    return "".join(text for text, _ in fed), sum(dropped for _, dropped in fed) + decoder.end()


@pytest.mark.parametrize(("stream", "text", "dropped"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_text(stream, text, dropped):
    for pieces in splits(stream):
        assert run(pieces) == (text, dropped)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_any_bytes_any_cut(stream, offsets):
    text, dropped = run(cut(stream, offsets))
    assert (text, dropped) == run([stream])
    assert text == stream.decode(errors="ignore")
    assert len(text.encode()) + dropped == len(stream)


def test_linear_time_in_wrong_bytes():
    def seconds(size):
        decoder, piece = Utf8Decoder(), b"\xff" * size
        started = time.process_time()
        decoder.feed(piece)
        return time.process_time() - started

    small = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(2)) < small * 8 * 4 + 0.05
