"""Results for a person: one line a figure, the median first, then its spread. Plain text where it is not shown on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import FIGURES, Measured
from benchmarks.measure import Figure, Speed
from benchmarks.provenance import Provenance
from benchmarks.stages import HEADLINE

PLAIN_WIDTH = 120
UPSTREAM = "upstream"


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


def show_server(out: Console, measured: Sequence[Measured]) -> None:
    """The server under load: the same figure of every upstream on lines next to each other."""
    table = _table(out, "End to end: " + "; ".join(map(_scenario, measured)), "", UPSTREAM, "median", "min – max", "")
    for name, (label, _) in FIGURES.items():
        for one in measured:
            for row in one.rows:
                if row.name == name:
                    table.add_row(label, one.scenario.upstream, *_cells(row.figure))
    out.print(table)


def _scenario(one: Measured) -> str:
    return f"{one.scenario.upstream} ({one.scenario.load.connections} connections, streams of {one.chunks_per_stream} chunks)"


def _cells(number: Figure | None) -> tuple[str, str, str]:
    if number is None:
        return "n/a", "", ""
    return _number(number.median), f"{_number(number.min)} – {_number(number.max)}", number.unit


def _table(out: Console, title: str, first: str, *rest: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in rest:
        table.add_column(name, justify="left" if name in ("", UPSTREAM) else "right", no_wrap=True)
    return table


def _number(value: float) -> str:
    """Three significant digits or all whole ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
