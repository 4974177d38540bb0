"""Results for a person: one line a figure, the median first, then its spread. Plain text where it is not shown on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import Row
from benchmarks.measure import Speed
from benchmarks.provenance import Provenance
from benchmarks.stages import HEADLINE

PLAIN_WIDTH = 120


def console() -> Console:
    """The standard output, as wide as it takes when it is no terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def show_provenance(out: Console, taken: Provenance) -> None:
    """One line: what was measured, on what."""
    commit = "no commit" if taken.commit is None else taken.commit[:10] + (" and changes" if taken.changed else "")
    out.print(f"Penstock {taken.penstock} ({commit}), {taken.python}, {taken.cores} × {taken.processor}, {taken.date}", markup=False)


def show_stages(out: Console, speeds: Sequence[Speed]) -> None:
    """Each stage and the whole pipeline."""
    table = _table(out, "In process", "", "chunks/s", "min – max", "µs a chunk")
    for speed in speeds:
        rate = speed.chunks_per_second
        per_chunk = f"{speed.microseconds_per_chunk.median:.3f}"
        style = "bold" if speed.name == HEADLINE else ""
        table.add_row(speed.label, f"{rate.median:,.0f}", f"{rate.min:,.0f} – {rate.max:,.0f}", per_chunk, style=style)
    out.print(table)


def show_server(out: Console, rows: Sequence[Row], connections: int, chunks: int) -> None:
    """The server under load."""
    table = _table(out, f"End to end, {connections} connections, streams of {chunks} chunks", "", "median", "min – max", "")
    for row in rows:
        if row.figure is None:
            table.add_row(row.label, "n/a", "", "")
        else:
            number = row.figure
            table.add_row(row.label, _number(number.median), f"{_number(number.min)} – {_number(number.max)}", number.unit)
    out.print(table)


def _table(out: Console, title: str, first: str, *rest: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in rest:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def _number(value: float) -> str:
    """Three significant digits or all whole ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
