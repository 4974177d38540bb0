"""The protobuf wire format: what is read, what is skipped, and what is refused without raising."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.wire.protobuf import MAX_FIELDS, MAX_GROUP_DEPTH, encode_fields, encode_varint, read_fields

NUMBERS = st.integers(1, (1 << 29) - 1)
VALUES = st.integers(0, (1 << 64) - 1) | st.binary(max_size=300)
FIELDS = st.lists(st.tuples(NUMBERS, VALUES), max_size=20)


def tag(number, wire_type):
    return encode_varint(number << 3 | wire_type)


def skipped(children):
    """Encoded fields that a reader must pass over, groups with any content among them."""
    groups = st.tuples(NUMBERS, st.lists(children | known(), max_size=4)).map(lambda group: tag(group[0], 3) + b"".join(group[1]) + tag(group[0], 4))
    return groups | fixed()


def fixed():
    return st.tuples(NUMBERS, st.sampled_from([(1, 8), (5, 4)])).map(lambda field: tag(field[0], field[1][0]) + bytes(field[1][1]))


def known():
    return st.tuples(NUMBERS, VALUES).map(lambda field: encode_fields(field))


@given(FIELDS)
def test_round_trip(fields):
    assert read_fields(encode_fields(*fields)) == fields


@given(FIELDS, st.lists(st.recursive(fixed(), skipped, max_leaves=8), max_size=5))
def test_fixed_width_fields_and_groups_are_skipped(fields, unknown):
    encoded = [encode_fields(field) for field in fields]
    for offset, piece in enumerate(unknown):
        encoded.insert(offset * 2, piece)
    assert read_fields(b"".join(encoded)) == fields


@given(st.binary(max_size=200))
def test_any_bytes_never_raise(data):
    assert isinstance(read_fields(data), list | ProtocolViolation)


@given(FIELDS.filter(bool))
def test_every_cut_is_shorter_or_refused(fields):
    data = encode_fields(*fields)
    for size in range(len(data)):
        result = read_fields(data[:size])
        assert isinstance(result, ProtocolViolation) or result == fields[: len(result)] != fields


BROKEN = {
    "tag cut": b"\x80",
    "varint cut": b"\x08\xff",
    "varint missing": b"\x08",
    "varint of 65 bits": b"\x08" + b"\xff" * 9 + b"\x02",
    "varint of 11 bytes": b"\x08" + b"\x80" * 10 + b"\x00",
    "length missing": b"\x12",
    "length past the end": b"\x12\x03hi",
    "length of 2**64 - 1": b"\x12" + b"\xff" * 9 + b"\x01",
    "fixed64 cut": tag(1, 1) + bytes(7),
    "fixed32 cut": tag(1, 5) + bytes(3),
    "field number 0": b"\x00\x01",
    "field number 2**29": encode_varint(1 << 32) + b"\x01",
    "wire type 6": tag(1, 6),
    "wire type 7": tag(1, 7),
    "group without an end": tag(1, 3),
    "end without a group": tag(1, 4),
    "group ended by another": tag(1, 3) + tag(2, 4),
    "broken inside a group": tag(1, 3) + b"\x12\x7f" + tag(1, 4),
    "groups too deep": tag(1, 3) * (MAX_GROUP_DEPTH + 1) + tag(1, 4) * (MAX_GROUP_DEPTH + 1),
    "too many fields": b"\x08\x01" * (MAX_FIELDS + 1),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_messages_are_a_value(data):
    fault = read_fields(b"\x0a\x02ok" + data)
    assert isinstance(fault, ProtocolViolation)
    assert fault.status == 502


def test_limits_are_reached_before_they_are_passed():
    assert read_fields(tag(1, 3) * MAX_GROUP_DEPTH + tag(1, 4) * MAX_GROUP_DEPTH) == []
    assert read_fields(b"\x08\x01" * MAX_FIELDS) == [(1, 1)] * MAX_FIELDS
    assert isinstance(read_fields(b"\x08\x01" * (MAX_FIELDS + 1)), ProtocolViolation)
    assert read_fields(b"\x08" + b"\xff" * 9 + b"\x01") == [(1, (1 << 64) - 1)]


def test_an_overlong_varint_of_ten_bytes_is_read():
    assert read_fields(b"\x08\x81" + b"\x80" * 8 + b"\x00") == [(1, 1)]


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_numbers_out_of_range_are_not_written(value):
    with pytest.raises(ValueError, match="varint"):
        encode_varint(value)


def test_known_bytes():
    assert encode_fields((1, 150), (25, "ï"), (2, b"")) == b"\x08\x96\x01\xca\x01\x02\xc3\xaf\x12\x00"
    assert read_fields(tag(3, 1) + struct.pack("<d", 1.5) + tag(4, 5) + struct.pack("<f", 1.5) + b"\x08\x07") == [(1, 7)]


def test_linear_time():
    def seconds(count):
        data = b"\x0a\x02hi" * count
        started = time.process_time()
        read_fields(data)
        return time.process_time() - started

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < small * 8 * 4 + 0.05
