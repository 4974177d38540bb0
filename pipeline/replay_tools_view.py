"""What `penstock replay --tools` prints.

Theory of operation: readings go in, text or one JSON document goes to standard output. Of each call the first line is its name on both sides, and
each argument has a line: its key on both sides in columns, and its value, twice where the two differ. Notices stand under their call. Values are JSON
on one line, cut where they are long; the document holds them whole. A call that was not read beyond its name has none.
"""

import sys
from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.events import Failed, Notice
from pipeline.expectations import event_line
from pipeline.replay_tools import Argument, Call, Pair, Reading
from pipeline.replay_view import counted, plain_console, printable

MAX_VALUE_CHARS = 160
ARROW, NOTHING, NO_CALL, AS_TEXT = "→", "–", "no call", "passed as text"


def print_readings(readings: Sequence[Reading], *, as_json: bool) -> None:
    """Print what the cases gave."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(readings)), indent=2).decode() + "\n")
        return
    out = plain_console()
    for reading in readings:
        _print_reading(out, reading)
    pairs = [pair for reading in readings for pair in reading.pairs]
    unreadable = sum(reading.error is not None for reading in readings)
    parts = [
        counted(len(readings), "case"),
        counted(len(pairs), "call"),
        f"{sum(pair.client is not None for pair in pairs):,} as a call to the client",
    ]
    out.print(", ".join(parts + ([f"{counted(unreadable, 'case')} unreadable"] if unreadable else [])))


def document(readings: Sequence[Reading]) -> dict[str, object]:
    """The `--json` document."""
    return {
        "cases": [
            {
                "path": str(reading.path),
                "error": reading.error,
                "calls": [
                    {"model": _call(pair.model), "client": _call(pair.client), "notices": list(map(_notice, pair.notices))} for pair in reading.pairs
                ],
                "notices": list(map(_notice, reading.notices)),
                "failed": reading.failed and reading.failed.body(),
                "names_are_mapped": reading.mapped,
            }
            for reading in readings
        ]
    }


def _call(call: Call | None) -> dict[str, object] | None:
    return None if call is None else {"name": call.name, "arguments": call.arguments, "complete": call.complete}


def _notice(notice: Notice) -> dict[str, str]:
    return {"code": notice.code, "detail": notice.detail}


def _print_reading(out: Console, reading: Reading) -> None:
    if reading.error is not None:
        out.print(Text(printable(reading.error), "bold red"))
        return
    out.print(Text(printable(reading.name), "bold"))
    if not reading.mapped:
        out.print(Text("  calls come in a field of their own here, and pass as they are", "dim"))
    for number, pair in enumerate(reading.pairs, 1):
        _print_pair(out, pair, str(number).rjust(len(str(len(reading.pairs)))))
    for notice in reading.notices:
        out.print(_said(notice, "  "))
    if not reading.pairs:
        out.print(Text("  no calls", "dim"))
    if reading.failed is not None:
        out.print(Text("  " + event_line(Failed(reading.failed)), "bold red"))


def _print_pair(out: Console, pair: Pair, number: str) -> None:
    rows = [(_key(argument.model), _key(argument.client), _values(argument)) for argument in pair.arguments]
    name, became = printable(pair.model.name), printable(pair.client.name) if pair.client else AS_TEXT if pair.is_text else NO_CALL
    left, right = (max(map(cell_len, cells)) for cells in ((name, *(row[0] for row in rows)), (became, *(row[1] for row in rows))))
    indent = " " * (len(number) + 4)
    style = "bold cyan" if pair.client else "bold yellow"
    ending = "" if pair.client is None or pair.client.complete else "  never completed"
    out.print(Text.assemble(f"  {number}  ", (_padded(name, left), "bold"), f" {ARROW} ", (became, style), (ending, "bold red")))
    for key, place, value in rows:
        side = Text.assemble(f" {ARROW} ", (_padded(place, right), "cyan" if key != place else "dim")) if pair.client else ""
        out.print(Text.assemble(indent, _padded(key, left), side, "  ", value))
    if pair.client is not None and pair.client.arguments and pair.client.members() is None:
        out.print(Text.assemble(indent, _cut(pair.client.arguments)))
    for notice in pair.notices:
        out.print(_said(notice, indent))


def _key(side: tuple[str, str] | None) -> str:
    return NOTHING if side is None else printable(side[0])


def _values(argument: Argument) -> Text:
    """The value, or both where the client's differs."""
    values = [_cut(side[1]) for side in (argument.model, argument.client) if side is not None]
    if len(values) > 1 and values[0] != values[1]:
        return Text.assemble(values[0], f" {ARROW} ", (values[1], "cyan"))
    return Text(values[0])


def _cut(source: str) -> str:
    line = printable(" ".join(source.split("\n")))
    return line if len(line) <= MAX_VALUE_CHARS else f"{line[:MAX_VALUE_CHARS]}… ({len(source):,} characters)"


def _said(notice: Notice, indent: str) -> Text:
    return Text.assemble(indent, (f"{notice.code}: ", "bold yellow"), printable(notice.detail))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
