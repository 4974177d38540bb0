"""The protobuf wire format, by hand: the part of it that this project's few messages need.

Theory of operation: a message is a row of fields, each a tag (field number and wire type) and a value. `read_fields` takes one message's bytes
and returns its varint and length-delimited fields in order, for the caller to pick from by number and by type; nested messages are read by
calling it again on a value. Wire types 1 and 5 (fixed width) and balanced groups (3 and 4) are skipped whole, since no message here uses them.

Invariants: bytes never raise. A varint that is cut or over 64 bits, a length past the end, an unbalanced or too deep group, field number 0 and
wire types 6 and 7 give a `ProtocolViolation` as the result, and so do more than `MAX_FIELDS` fields, which bounds the memory that a small message
can cost. Time is linear. Signed types are left alone: a varint is its unsigned 64 bits.

Why not the official package: read and written once it is a little quicker on one message (0.7 to 0.8 µs against 0.9 µs for a text of nine
characters, 7 µs against 18 µs for a request of 1,000), but nearly all texts are read by one table look-up (0.2 µs) before either is asked. It costs
15 ms and 4 MiB at start-up, against 1 ms and 0.25 MiB here; it refuses a whole message for a character that was cut between two; and it leaves out
the empty fields that the request message must have.
"""

from typing import TypeAlias

from pipeline.errors import ProtocolViolation

Field: TypeAlias = tuple[int, int | bytes]
"""A field's number and its value: int for a varint, bytes for a length-delimited one."""

MAX_FIELDS = 65_536
MAX_GROUP_DEPTH = 100
_MAX_FIELD_NUMBER = (1 << 29) - 1
_MAX_VARINT_BYTES = 10
_MAX_VARINT = (1 << 64) - 1
_ONE_BYTE = [bytes([value]) for value in range(0x80)]
_VARINT, _FIXED64, _BYTES, _GROUP_START, _GROUP_END, _FIXED32 = range(6)


class _Broken(Exception):
    """Not protobuf; never leaves this module."""


def read_fields(data: bytes) -> list[Field] | ProtocolViolation:
    r"""Read one message: its varint and length-delimited fields, in order of arrival, unknown ones included.

    >>> read_fields(b"\x08\x96\x01\x12\x02hi")
    [(1, 150), (2, b'hi')]
    >>> read_fields(b"\x12\x7fhi")
    ProtocolViolation('The upstream sent a message that is not valid protobuf: a length past the end.')
    """
    try:
        return _read(data)
    except _Broken as broken:
        return ProtocolViolation(f"The upstream sent a message that is not valid protobuf: {broken}.")


def _read(data: bytes) -> list[Field]:
    fields: list[Field] = []
    groups: list[int] = []  # the numbers of the groups that are open; what is inside them is skipped
    position, size, count = 0, len(data), 0
    while position < size:
        count += 1
        if count > MAX_FIELDS:
            raise _Broken(f"more than {MAX_FIELDS} fields")
        tag, position = (data[position], position + 1) if data[position] < 0x80 else _read_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= _MAX_FIELD_NUMBER:
            raise _Broken("a field number out of range")
        if wire_type == _BYTES:
            length, position = (data[position], position + 1) if position < size and data[position] < 0x80 else _read_varint(data, position)
            stop = position + length
            if stop > size:
                raise _Broken("a length past the end")
            if not groups:
                fields.append((number, data[position:stop]))
            position = stop
        elif wire_type == _VARINT:
            value, position = _read_varint(data, position)
            if not groups:
                fields.append((number, value))
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
        else:
            _track_group(groups, number, wire_type)
    if position > size:
        raise _Broken("a fixed-width value past the end")
    if groups:
        raise _Broken("a group that does not end")
    return fields


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[position : position + _MAX_VARINT_BYTES]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _MAX_VARINT:
                raise _Broken("a varint of more than 64 bits")
            return value, position
        shift += 7
    raise _Broken("a varint that does not end")


def _track_group(groups: list[int], number: int, wire_type: int) -> None:
    if wire_type == _GROUP_START:
        if len(groups) >= MAX_GROUP_DEPTH:
            raise _Broken(f"groups nested more than {MAX_GROUP_DEPTH} deep")
        groups.append(number)
    elif wire_type != _GROUP_END:
        raise _Broken("an unknown wire type")
    elif not groups or groups.pop() != number:
        raise _Broken("an unbalanced group")


def encode_varint(value: int) -> bytes:
    r"""The bytes of an unsigned number below 2**64.

    Raises ValueError outside of that range.

    >>> encode_varint(300)
    b'\xac\x02'
    """
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if not 0 <= value <= _MAX_VARINT:
        raise ValueError("a varint holds 0 to 2**64 - 1")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_fields(*fields: tuple[int, int | str | bytes]) -> bytes:
    r"""One message from field numbers and values, in the order given; a nested message is its own encoded bytes.

    Zero and empty values are written too: a caller leaves out what is to be absent.

    >>> encode_fields((1, 150), (2, "hi"), (3, encode_fields((1, 0))))
    b'\x08\x96\x01\x12\x02hi\x1a\x02\x08\x00'
    """
    pieces: list[bytes] = []
    for number, value in fields:
        if isinstance(value, int):
            pieces += (encode_varint(number << 3 | _VARINT), encode_varint(value))
        else:
            data = value.encode() if isinstance(value, str) else value
            pieces += (encode_varint(number << 3 | _BYTES), encode_varint(len(data)), data)
    return b"".join(pieces)
