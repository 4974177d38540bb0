"""Turn the arguments of one call, as a model wrote them, into JSON text that streams.

Keys and values come in, pieces of one JSON object come out in `out`; the pieces are a valid object exactly when `end` was called. Values come in two
forms: raw text, as it stands in the marker form of a call, and JSON source, as it stands in a JSON object. A string value streams while it arrives. A
value of any other type is kept until it is complete and then passed in its own source text, so that a 20-digit integer stays itself. Types come from
the client's schema, never from looks: "007" for a string stays a string. A union tries its other members before string. Without a schema an object
or array is taken as one if it parses, and everything else is a string.

Nothing is left out or changed in silence: what does not fit its type is passed on with a Notice, of an argument that is given twice the first stays,
an argument that the tool does not know is passed on, and one that a table drops, or that only the tool of another client knows, is left out.
"""

from collections import Counter
from enum import Enum, auto

import msgspec

from pipeline.events import Notice
from pipeline.machine.tools.aliases import fold
from pipeline.machine.tools.json_types import ANY, is_text
from pipeline.machine.tools.schema import ToolSchema
from pipeline.machine.values.fitting import Fitted, Fitting
from pipeline.machine.values.json_source import escape, quote, type_of

MAX_ARGUMENTS = 10_000
"""Of one call; each has a name that is remembered, whether it is kept or not."""

MAX_NAMED = 8
"""How many of a call's arguments one kind of Notice names; the others are counted."""

MAX_NAME_CHARS = 128
"""Of a name that the model made up, where a Notice repeats it."""


NOTHING = frozenset({"", "false", "null", '""', "[]", "{}"})
"""What an argument may say that is the same as not giving it."""

MAX_NOTHING_CHARS = 32


class _Value(Enum):
    """How the open value is handled."""

    STREAM = auto()
    UNDECIDED = auto()
    COLLECT = auto()
    DROP = auto()


class ArgumentWriter:
    r"""One call's arguments, argument by argument.

    >>> from pipeline.request import Tool
    >>> tool = Tool("Write", parameters={"properties": {"path": {"type": "string"}, "mode": {"type": "integer"}}})
    >>> writer = ArgumentWriter(ToolSchema(tool))
    >>> writer.open("path"), writer.write("a"), writer.write('"b'), writer.close()
    (None, None, None, None)
    >>> writer.open("mode"), writer.write("7"), writer.close()
    (None, None, None)
    >>> writer.end()
    >>> "".join(writer.out)
    '{"path":"a\\"b","mode":7}'
    """

    def __init__(self, schema: ToolSchema) -> None:
        self.out: list[str] = []
        self.given: set[str] = set()
        self.refused: str | None = None
        self.is_over_count = False
        self._refusing: str | None = None
        self._said_to_refuse = ""
        self._said: dict[str, list[Notice]] = {}
        self._counts: Counter[str] = Counter()
        self.kept_chars = 0
        self._schema = schema
        self._fitting = Fitting()
        self._key = ""
        self._head = ""
        self._count = 0
        self._types = ANY
        self._mode = _Value.STREAM
        self._kept: list[str] = []

    @property
    def streams(self) -> bool:
        """Whether the open value is a string that leaves as it arrives."""
        return self._mode is _Value.STREAM and bool(self.given)

    # -- raw text --------------------------------------------------------------------------------------------------------------------------

    def open(self, spelling: str) -> None:
        """Begin an argument; the key stands as the model spelled it."""
        if not self._place(spelling):
            return
        self.out.append(self._head)
        if is_text(self._types):
            self._mode = _Value.STREAM
            self.out.append('"')
        else:
            self._mode = _Value.UNDECIDED if self._types == ANY else _Value.COLLECT

    def write(self, piece: str) -> None:
        """The next characters of the open value."""
        if self._mode is _Value.STREAM:
            self.out.append(escape(piece))
        elif self._mode is _Value.DROP:
            self._said_to_refuse = (self._said_to_refuse + piece)[:MAX_NOTHING_CHARS] if self._refusing else ""
        else:
            self._kept.append(piece)
            self.kept_chars += len(piece)
            if self._mode is _Value.UNDECIDED and (start := piece.lstrip()):
                self._mode = _Value.COLLECT if start[0] in "[{" else _Value.STREAM
                if self._mode is _Value.STREAM:
                    self.out.append('"' + escape(self._take()))

    def close(self) -> None:
        """The open value is complete."""
        if self._mode is _Value.STREAM:
            self.out.append('"')
        elif self._mode is _Value.DROP:
            self._refuse(self._said_to_refuse)
        else:
            self._fitted(self._fitting.text(self._take(), self._schema.shape(self._key), f"{self._schema.name}.{self._key}"))

    # -- JSON source (the sink of an ObjectReader) ---------------------------------------------------------------------------------------------

    def member(self, key: str) -> bool:
        """Begin an argument of a JSON object; True when a string may stream."""
        return self._place(key) and (is_text(self._types) or self._types == ANY)

    def begin_string(self) -> None:
        """Its value is a string."""
        self.out += (self._head, '"')

    def string(self, source: str) -> None:
        """More of the string, in JSON's own escapes."""
        self.out.append(source)

    def end_string(self) -> None:
        """The string is complete."""
        self.out.append('"')

    def value(self, source: str) -> bool:
        """A complete value; False when the source is no JSON."""
        if self._mode is _Value.DROP:
            self._refuse(source)
            return type_of(source) is not None
        fitted = self._fitting.source(source, self._schema.shape(self._key), f"{self._schema.name}.{self._key}")
        if fitted is None:
            return False
        self.out.append(self._head)
        self._fitted(fitted)
        return True

    # ------------------------------------------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The call is complete."""
        self.out.append("}" if self._count else "{}")

    def _place(self, spelling: str) -> bool:
        """Find the argument's place; False when it has none."""
        schema = self._schema
        key = schema.key(spelling)
        self._mode = _Value.DROP
        self.is_over_count = len(self.given) >= MAX_ARGUMENTS
        if key is None and schema.refuses(spelling):
            self.given.add(fold(spelling))
            self._refusing, self._said_to_refuse = spelling[:MAX_NAME_CHARS], ""
            return False
        if key is None and (schema.drops(spelling) or schema.alias is not None):
            self.given.add(fold(spelling))
            self._say("argument_dropped", f"{schema.name} has no argument {spelling[:MAX_NAME_CHARS]}; left out")
            return False
        if key is None:
            key = spelling
            if not schema.is_open:
                self._say("unknown_argument", f"{schema.name} has no argument {spelling[:MAX_NAME_CHARS]}; passed on")
        if key in self.given:
            self._say("argument_repeated", f"{schema.name}.{key[:MAX_NAME_CHARS]} was given twice; the first stays")
            return False
        self._mode = _Value.COLLECT
        self._key, self._types = key, schema.types(key)
        self._head = f"{',' if self._count else '{'}{quote(key)}:"
        self._count += 1
        self.given.add(key)
        return True

    def _refuse(self, value: str) -> None:
        """An argument that the tool cannot be told is over: one that says nothing is left out, any other speaks against the call."""
        name, self._refusing = self._refusing, None
        if name is not None and value.strip() in NOTHING:
            self._say("argument_dropped", f"{self._schema.name} has no argument {name}; left out, since it said nothing")
        elif name is not None:
            self.refused = self.refused or name

    def _fitted(self, fitted: Fitted) -> None:
        self.out.append(fitted.text)
        for misfit in fitted.misfits:
            self._say("argument_type", misfit)

    @property
    def notices(self) -> list[Notice]:
        """What was repaired, dropped or passed on, a few of each kind by name."""
        said: list[Notice] = []
        for kind, named in self._said.items():
            said += named
            if more := self._counts[kind] - len(named):
                said.append(msgspec.structs.replace(named[0], detail=f"{more} more arguments of {self._schema.name}"))
        return said

    def _say(self, code: str, detail: str) -> None:
        named = self._said.setdefault(code, [])
        self._counts[code] += 1
        if len(named) < MAX_NAMED:
            named.append(Notice(code, detail))

    def _take(self) -> str:
        text = "".join(self._kept)
        self._kept, self.kept_chars = [], 0
        return text
