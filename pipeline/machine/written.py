"""What a model wrote, call by call: names and keys as it spelled them, values before they were fitted to a schema.

Theory of operation: whoever wants to see it gives the machine a list, and each call whose name is read is added to it. The values are taken down by
a writer that stands in for the usual one, on their way into it, so that what is recorded is what this one reading of the answer understood, and a
call that nobody watches costs nothing. A call that passes as text has a name and no arguments, since nothing of it was read.
"""

import msgspec

from pipeline.events import Notice
from pipeline.machine.arguments import ArgumentWriter
from pipeline.machine.tools.schema import ToolSchema
from pipeline.machine.values.json_source import quote


class WrittenArgument(msgspec.Struct):
    """One argument: `place` is the property that it became, None where it was left out. `source` is the value as JSON text, raw text as a string."""

    spelling: str
    place: str | None
    pieces: list[str] = []
    is_string: bool = False
    is_raw: bool = False

    @property
    def source(self) -> str:
        """The value as JSON text, as far as it came."""
        text = "".join(self.pieces)
        return quote(text) if self.is_raw else f'"{text}"' if self.is_string else text


class WrittenCall(msgspec.Struct):
    """One call. `index` is the client's call that it became, None for one that passed as text or did not leave; `arguments` is None for one not read.

    `notices` are those that were said of it. `is_complete` says that it was read to its end.
    """

    name: str
    notices: list[Notice] = []
    arguments: list[WrittenArgument] | None = None
    index: int | None = None
    is_text: bool = False
    is_complete: bool = False


class RecordedArguments(ArgumentWriter):
    """An ArgumentWriter that takes down what it is given."""

    def __init__(self, schema: ToolSchema, call: WrittenCall) -> None:
        super().__init__(schema)
        self._call = call
        self._arguments = call.arguments = []
        self._open = WrittenArgument("", None)

    @property
    def streams(self) -> bool:
        """Never: a piece that passes the writer by would not be seen."""
        return False

    def open(self, spelling: str) -> None:
        """Begin an argument."""
        super().open(spelling)
        self._open.is_raw = True

    def write(self, piece: str) -> None:
        """The next characters of the open value."""
        super().write(piece)
        self._open.pieces.append(piece)

    def begin_string(self) -> None:
        """The open argument is a JSON string."""
        super().begin_string()
        self._open.is_string = True

    def string(self, source: str) -> None:
        """More of the string, in JSON's own escapes."""
        super().string(source)
        self._open.pieces.append(source)

    def value(self, source: str) -> bool:
        """A complete value."""
        self._open.pieces.append(source)
        return super().value(source)

    def end(self) -> None:
        """The call is complete."""
        super().end()
        self._call.is_complete = True

    def _place(self, spelling: str) -> bool:
        placed = super()._place(spelling)
        self._open = WrittenArgument(spelling, self._key if placed else None)
        self._arguments.append(self._open)
        return placed
