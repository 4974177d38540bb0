"""From the bytes of a body to typed values, with errors that a client can act on.

Theory of operation: `decode_body` takes the raw bytes and gives the JSON object inside, or raises `MalformedBody` for what is not JSON that we read:
broken syntax, NaN and Infinity, numbers outside the range of a double, lone surrogates, bytes that are not UTF-8, too deep nesting. `read` takes one
decoded value and gives it as a typed struct or raises `RequestError` whose `param` is the path of the field in OpenAI's form (`messages[0].content`).
Unknown fields never fail, and `unread` gives them as they came. Integers keep every digit. Nothing of the decoder's own wording reaches the client.
"""

import re
from collections.abc import Set
from itertools import islice
from typing import TypeAlias, TypeGuard, TypeVar

import msgspec

from pipeline.errors import MalformedBody, RequestError
from pipeline.request import Json

T = TypeVar("T")
Container: TypeAlias = dict[str, Json] | list[Json]

MAX_DEPTH = 128
"""Nested arrays and objects. Real schemas stay under 20. The decoder alone allows several hundred, and writing such a value again could overflow."""

MAX_ITEMS = 10_000
"""Of each kind of thing of which a body may hold many: fields, messages, parts, calls, tools. Longer conversations fit no model's window."""

# the decoder's words for JSON's types -> ours
TYPE_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}

_BYTE = re.compile(r"\(byte (\d+)\)")
_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F]|(?:\\(?:u[dD]?)?)?\Z)|[c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB]..\\u[dD]...))"
)
_BACKSLASHES = re.compile(rb"\\*\Z")
MAX_SURROGATES_SEEN = 1000
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_PATH = re.compile(r" - at `\$([^`]*)`$")


def decode_body(body: bytes) -> dict[str, Json]:
    """The JSON object in `body`, with the fields in the client's order.

    Raises:
        MalformedBody: it is not JSON that we read.
        RequestError: it is JSON, and not an object.

    >>> decode_body(b'{"n": 12345678901234567890123}')
    {'n': 12345678901234567890123}
    """
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise MalformedBody("The body is not valid UTF-8.") from None
    except msgspec.ValidationError:
        raise MalformedBody("The body holds a number that is out of range.") from None
    except msgspec.DecodeError as error:
        where = _BYTE.search(str(error))
        if (lone := _lone_surrogate(body)) is not None:
            raise MalformedBody(f"The body holds half of a surrogate pair (\\u{lone[1]}), which is no character (near byte {lone[0]}).") from None
        raise MalformedBody(
            f"The body is not valid JSON (near byte {where[1]})." if where else "The body is not valid JSON: it ends too early."
        ) from None
    if not is_object(value):
        raise RequestError("The body must be a JSON object.")
    check_count(len(value), "", "fields")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # fewer brackets cannot nest deeper, and most bodies of chat clients end here
        _check_depth(value)
    return value


def read(value: Json, shape: type[T], path: str) -> T:
    """`value` as `shape`; `path` is where it stands in the body, "" for the body itself.

    Raises:
        RequestError: a field has the wrong type or is missing; `param` names it.

    >>> read([1], list[str], "stop")
    Traceback (most recent call last):
    pipeline.errors.RequestError: stop[0] must be a string, not an integer.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _field_error(str(error), path) from None
    except OverflowError:
        raise RequestError(f"{path} is out of range.", param=path) from None


def unread(fields: dict[str, Json], known: Set[str], absent: Set[str] = frozenset()) -> dict[str, Json]:
    """The fields of an object but the `known` ones, as sent and in their order; one of `absent` that is null says nothing, and is none of them.

    >>> unread({"role": "user", "x": None, "name": None}, {"role"}, {"name"})
    {'x': None}
    """
    if fields.keys() <= known:
        return {}
    return {name: value for name, value in fields.items() if name not in known and not (value is None and name in absent)}


def check_count(count: int, path: str, what: str) -> None:
    """Refuse what is there too often; raises RequestError.

    >>> check_count(10_001, "tools", "tools")
    Traceback (most recent call last):
    pipeline.errors.RequestError: tools: a request may hold 10000 tools at the most.
    """
    if count > MAX_ITEMS:
        raise RequestError(f"{path + ': a' if path else 'A'} request may hold {MAX_ITEMS} {what} at the most.", param=path or None)


def _field_error(text: str, path: str) -> RequestError:
    place = _PATH.search(text)
    param = f"{path}{place[1] if place else ''}".replace("[...]", "").lstrip(".")
    if missing := _MISSING.search(text):
        param = f"{param}.{missing[1]}".lstrip(".")
        return RequestError(f"{param} is required.", param=param)
    mismatch = _MISMATCH.search(text)
    if mismatch is None:
        return RequestError(f"{param} is not valid.", param=param)
    expected = [TYPE_WORDS.get(word, word) for word in mismatch[1].split(" | ")]
    wanted = f"{', '.join(expected[:-1])} or {expected[-1]}" if len(expected) > 1 else expected[0]
    return RequestError(f"{param} must be {wanted}, not {TYPE_WORDS.get(mismatch[2], mismatch[2])}.", param=param)


def _check_depth(value: Container) -> None:
    """Walk level by level: no recursion of our own, and leaves are never queued."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node) if _is_container(child)]
        if not level:
            return
    raise _too_deep()


def is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: Json) -> TypeGuard[list[Json]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)


def _is_container(value: Json) -> TypeGuard[Container]:
    return isinstance(value, (dict, list))


def _lone_surrogate(body: bytes) -> tuple[int, str] | None:
    """Where an escape is that stands for half a character, and its digits: clients that cut a text between two halves of an emoji send such."""
    for found in islice(_SURROGATE.finditer(body), MAX_SURROGATES_SEEN):
        before = _BACKSLASHES.search(body[max(0, found.start() - 64) : found.start()])
        if before is not None and len(before[0]) % 2 == 0:
            return found.start(), found[0][2:].decode("ascii")
    return None


def _too_deep() -> MalformedBody:
    return MalformedBody(f"The body is nested too deeply (over {MAX_DEPTH} levels).")
