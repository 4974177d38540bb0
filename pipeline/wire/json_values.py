"""JSON that may be anything, read without a fault.

Theory of operation: bytes come in and a JSON value goes out, None for what is none; `as_object` and `as_list` then let a reader go down into it as if
it had the shape that was expected. Nothing raises, whatever the bytes are.
"""

from typing import TypeGuard

import msgspec

from pipeline.request import Json


def decode_json(data: bytes) -> Json:
    r"""Any JSON value, None for bytes that are not JSON.

    >>> decode_json(b"[1]"), decode_json(b"[1"), decode_json(b'"\xff"')
    ([1], None, None)
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def as_object(value: Json) -> dict[str, Json]:
    """A JSON object as it is, anything else as an empty one."""
    return value if _is_object(value) else {}


def as_list(value: Json) -> list[Json]:
    """A JSON array as it is, anything else as an empty one."""
    return value if _is_list(value) else []


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)
