"""Turn the arguments of one call, as a model wrote them, into JSON text that streams.

Keys and raw values come in, pieces of one JSON object come out; the pieces are a valid object exactly when `end` was called. A string value streams,
escaped, while it arrives. A value of any other type is kept until it is complete and then passed in its own source text, so that a 20-digit integer
stays itself. Types come from the client's schema, never from looks: "007" for a string stays a string. A union tries its other members before string.
Without a schema an object or array is taken as one if it parses, and everything else is a string. What does not parse as its type is passed as a
string, with a Notice.
"""

import re
from enum import Enum, auto

import msgspec

from pipeline.events import Notice
from pipeline.machine.schema import ANY, ToolSchema, is_text, type_name

_encode = msgspec.json.Encoder().encode
_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?\Z", re.ASCII)


class _Value(Enum):
    """How the open value is handled."""

    STREAM = auto()
    UNDECIDED = auto()
    COLLECT = auto()


def escape(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return _encode(text)[1:-1].decode()


def quote(text: str) -> str:
    """The text as a JSON string."""
    return _encode(text).decode()


def type_of(source: str) -> str | None:
    """The JSON type of a source text, None when it is not JSON.

    >>> type_of("12345678901234567890123"), type_of("[1]"), type_of("True")
    ('integer', 'array', None)
    """
    try:
        value = msgspec.json.decode(source)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None
    name = type_name(value)
    # 1.0 is an integer to JSON Schema, whatever a decoder makes of it
    return "integer" if name == "number" and _INTEGER.match(source.strip()) else name


def typed(text: str, types: frozenset[str]) -> tuple[str, bool]:
    """JSON text for a raw value under a schema's types, and whether it fits them."""
    found = type_of(text)
    allowed = (types - {"string"}) if types != ANY else frozenset({"object", "array"})
    if found in allowed:
        return text.strip(), True
    return quote(text), "string" in types


class ArgumentWriter:
    r"""One call's arguments, argument by argument.

    >>> from pipeline.request import Tool
    >>> tool = Tool("Write", parameters={"properties": {"path": {"type": "string"}, "mode": {"type": "integer"}}})
    >>> writer = ArgumentWriter(ToolSchema(tool))
    >>> pieces = writer.open("path"), writer.write("a"), writer.write('"b'), writer.close(), writer.open("mode"), writer.write("7"), writer.close()
    >>> "".join(pieces) + writer.end()
    '{"path":"a\\"b","mode":7}'
    """

    def __init__(self, schema: ToolSchema) -> None:
        self.given: frozenset[str] = frozenset()
        self.notices: list[Notice] = []
        self.kept_chars = 0
        self._schema = schema
        self._key = ""
        self._mode = _Value.STREAM
        self._kept: list[str] = []

    @property
    def streams(self) -> bool:
        """Whether the open value is a string that leaves as it arrives."""
        return self._mode is _Value.STREAM and bool(self.given)

    def open(self, key: str) -> str:
        """Begin an argument; the key is the schema's own spelling."""
        self._key, types = key, self._schema.types(key)
        head = f"{',' if self.given else '{'}{quote(key)}:"
        self.given |= {key}
        if is_text(types):
            self._mode = _Value.STREAM
            return head + '"'
        self._mode = _Value.UNDECIDED if types == ANY else _Value.COLLECT
        return head

    def write(self, piece: str) -> str:
        """The next characters of the open value."""
        if self._mode is _Value.STREAM:
            return escape(piece)
        self._kept.append(piece)
        self.kept_chars += len(piece)
        if self._mode is _Value.UNDECIDED and (start := piece.lstrip()):
            if start[0] in "[{":
                self._mode = _Value.COLLECT
            else:
                self._mode = _Value.STREAM
                return '"' + escape(self._take())
        return ""

    def close(self) -> str:
        """The open value is complete."""
        if self._mode is _Value.STREAM:
            return '"'
        text, fits = typed(self._take(), self._schema.types(self._key))
        if not fits:
            expected = " or ".join(sorted(self._schema.types(self._key)))
            self.notices.append(Notice("argument_type", f"{self._schema.name}.{self._key} is not {expected}; passed as a string"))
        return text

    def end(self) -> str:
        """The call is complete."""
        return "}" if self.given else "{}"

    def _take(self) -> str:
        text = "".join(self._kept)
        self._kept, self.kept_chars = [], 0
        return text
