"""Turn the arguments of one call, as a model wrote them, into JSON text that streams.

Keys and raw values come in, pieces of one JSON object come out; the pieces are a valid object exactly when `end` was called. A string value streams,
escaped, while it arrives. A value of any other type is kept until it is complete and then passed in its own source text, so that a 20-digit integer
stays itself. Types come from the client's schema, never from looks: "007" for a string stays a string. A union tries its other members before string.
Without a schema an object or array is taken as one if it parses, and everything else is a string. What does not parse as its type is passed as a
string, with a Notice.
"""

from enum import Enum, auto

from pipeline.events import Notice
from pipeline.machine.fitting import escape, quote, typed
from pipeline.machine.json_types import ANY, is_text
from pipeline.machine.schema import ToolSchema


class _Value(Enum):
    """How the open value is handled."""

    STREAM = auto()
    UNDECIDED = auto()
    COLLECT = auto()


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
