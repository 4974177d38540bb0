"""inflate_leniently: what can be told of a gzip message, whatever is wrong with it."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.partial_gzip import inflate_leniently

TEXT = b"".join(b"line %d of many, " % number for number in range(40))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_every_cut_gives_a_beginning_that_grows(level):
    message = gzip.compress(TEXT, level, mtime=0)
    last = 0
    for at in range(len(message)):
        inflated, whole = inflate_leniently(message[:at], 10_000)
        assert TEXT.startswith(inflated)
        assert not whole
        assert len(inflated) >= last
        last = len(inflated)
    assert last == len(TEXT)
    assert inflate_leniently(message, 10_000) == (TEXT, True)


def test_what_was_inflated_before_a_fault_is_not_lost():
    message = bytearray(gzip.compress(TEXT, 9, mtime=0))
    message[-8:] = bytes(8)
    assert inflate_leniently(bytes(message), 10_000)[0].startswith(TEXT)
    message[60:] = b"\xff" * (len(message) - 60)
    inflated, whole = inflate_leniently(bytes(message), 10_000)
    assert TEXT.startswith(inflated[:20])
    assert len(inflated) > 20
    assert not whole


def test_bytes_behind_a_message_are_told_and_size_is_bounded():
    assert inflate_leniently(gzip.compress(b"a") + b"and more", 100) == (b"aand more", False)
    inflated, whole = inflate_leniently(gzip.compress(bytes(10_000_000)), 1_000)
    assert (len(inflated), whole) == (1_001, False)
    broken = gzip.compress(bytes(10_000_000))[:-8] + bytes(8)
    assert len(inflate_leniently(broken, 1_000)[0]) < 10_000


@given(st.binary(max_size=60))
def test_nothing_raises(data):
    inflate_leniently(data, 100)
    inflate_leniently(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + data, 100)
