"""JSON values by their source text, which is never lost.

Text comes in, a `Value` goes out: its type, its source, and on demand the values inside it, each again with the source that it had. Reading a
container gives one level of it at C speed and decodes nothing below. So a number stays the digits that were written (a 20-digit integer, `1.50`,
`1e400`), and what is never asked for costs nothing. Types are those of JSON Schema: `1.0` and `1e3` are integers. What is no JSON, or nests deeper
than the decoder follows, is no value; nothing raises.
"""

import re
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import msgspec

from pipeline.request import Json

_encode = msgspec.json.Encoder().encode
_validate = msgspec.json.Decoder(msgspec.Raw).decode
_read_text = msgspec.json.Decoder(str).decode
_read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_number: Callable[[bytes], int | float] = msgspec.json.Decoder(int | float).decode

_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)
_KINDS = {ord('"'): "string", ord("{"): "object", ord("["): "array", ord("t"): "boolean", ord("f"): "boolean", ord("n"): "null"}
_NUMBER = re.compile(rb"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?\Z")
_HALF_PAIR = re.compile("([\ud800-\udfff])")


def escape(text: str) -> str:
    r"""The text as it stands between the quotes of a JSON string.

    >>> escape('a "b"')
    'a \\"b\\"'
    """
    try:
        return _encode(text)[1:-1].decode()
    except UnicodeEncodeError:
        # half of a surrogate pair has no UTF-8; an escape is the only spelling that JSON has for it
        return "".join(f"\\u{ord(piece):04x}" if _HALF_PAIR.match(piece) else _encode(piece)[1:-1].decode() for piece in _HALF_PAIR.split(text))


def quote(text: str) -> str:
    """The text as a JSON string."""
    return f'"{escape(text)}"'


def string_of(source: str) -> str | None:
    """The text of a JSON string, None when the source is no JSON string."""
    try:
        return _read_text(source) if source.lstrip().startswith('"') else None
    except _UNREADABLE:
        return None


def type_of(source: str) -> str | None:
    """The JSON type of a source text, None when it is not JSON.

    >>> type_of("12345678901234567890123"), type_of("[1]"), type_of("1e400"), type_of("0.5"), type_of("True")
    ('integer', 'array', 'integer', 'number', None)
    """
    value = Value.read(source)
    return None if value is None else value.kind


def scalar_key(value: Json) -> Hashable:
    """A decoded scalar so that two are equal exactly when JSON Schema calls them equal: 1 and 1.0 are, 1 and true are not.

    >>> scalar_key(1) == scalar_key(1.0), scalar_key(1) == scalar_key(True)
    (True, False)
    """
    key: Hashable = (value,) if isinstance(value, bool) else value
    return key


class Value:
    """One JSON value. `source` is its text in UTF-8 without white space around it; `kind` its JSON type."""

    def __init__(self, source: bytes) -> None:
        """`source` is known to be valid; `read` takes any text."""
        self.source = source
        self.kind = _KINDS.get(source[0]) or ("integer" if _is_integral(source) else "number")
        self.outcomes: dict[Hashable, Any] = {}
        """Room for what a reader found out about this value, so that it is found out once."""

    @classmethod
    def read(cls, text: str) -> "Value | None":
        """The value that a text is, None when it is not JSON."""
        try:
            return cls(bytes(_validate(text)))
        except _UNREADABLE:
            return None

    @property
    def count(self) -> int:
        """How many items or members a container has; 0 for a scalar."""
        return len(self._level)

    @property
    def is_container(self) -> bool:
        """Whether it is an array or an object."""
        return self.kind in ("array", "object")

    @cached_property
    def _level(self) -> list[msgspec.Raw] | dict[str, msgspec.Raw]:
        if self.kind == "object":
            return _read_members(self.source)
        return _read_items(self.source) if self.kind == "array" else []

    @cached_property
    def items(self) -> list["Value"]:
        """The items of an array."""
        return [Value(bytes(item)) for item in self._level] if isinstance(self._level, list) else []

    @cached_property
    def members(self) -> dict[str, "Value"]:
        """The members of an object; of a key that is given twice, the last, as decoders have it."""
        return {key: Value(bytes(member)) for key, member in self._level.items()} if isinstance(self._level, dict) else {}

    @cached_property
    def key(self) -> Hashable:
        """The scalar as `scalar_key` gives it; the value itself, equal to nothing else, for a container or a number that no decoder holds."""
        if self.kind == "string":
            return _read_text(self.source)
        if self.kind in ("integer", "number"):
            try:
                return _read_number(self.source)
            except msgspec.MsgspecError:
                return self
        return {"null": None, "boolean": (self.source == b"true",)}.get(self.kind, self)

    @cached_property
    def respelled(self) -> "Value | None":
        """The scalar on the other side of the quotes: what a string's text is as JSON; a number, true or false as a string; else None."""
        if self.kind == "string":
            return Value.read(_read_text(self.source))
        return Value(b'"' + self.source + b'"') if self.kind in ("integer", "number", "boolean") else None


def _is_integral(source: bytes) -> bool:
    """Whether a JSON number has no fraction, without computing it: an exponent may have any size."""
    if source.isdigit():
        return True
    found = _NUMBER.match(source)
    if found is None:
        return False
    whole, fraction, exponent = found[1], found[2] or b"", found[3] or b"0"
    digits = whole + fraction
    significant = digits.rstrip(b"0")
    if not significant:
        return True
    # with this many digits an exponent outweighs every number of decimals that fits in memory
    shift = int(exponent) if len(exponent) < 19 else (-1 if exponent.startswith(b"-") else 1) * 10**18
    return shift + len(digits) - len(significant) >= len(fraction)
