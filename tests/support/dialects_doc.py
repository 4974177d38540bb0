"""The table of docs/dialects.md: what clients of every dialect see of every answer, over every kind of upstream.

It is made by asking (`tests.support.dialect_matrix`), which takes a while, so that only `make docs` makes it; the test of the dialects compares what
it sees with what is written, case by case.
"""

import tempfile
from functools import cache
from pathlib import Path

import trio

from tests.support.dialect_matrix import NOT_SAID, cases, cell, observed
from tests.support.spoken_answers import ANSWERS, SPEAKERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "dialects.md"


def asked() -> str:
    """The table, by asking."""
    cells: dict[tuple[str, str], str] = {}

    async def ask() -> None:
        for kind, name in cases():
            with tempfile.TemporaryDirectory() as folder:
                cells[kind, name] = cell(ANSWERS[name], await observed(kind, name, Path(folder)))

    trio.run(ask)
    return _table(cells)


def _table(cells: dict[tuple[str, str], str]) -> str:
    head = ["answer", *(f"`{kind}`" for kind in SPEAKERS)]
    rows = [[name, *(cells.get((kind, name), NOT_SAID) for kind in SPEAKERS)] for name in ANSWERS]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


@cache
def _written() -> dict[tuple[str, str], str]:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    head, *answers = [row for row in rows if len(row) == len(SPEAKERS) + 1 and not row[0].startswith("---")]
    kinds = [word.strip("`") for word in head[1:]]
    return {(kind, row[0]): text for row in answers for kind, text in zip(kinds, row[1:], strict=True)}


def documented(kind: str, name: str) -> str | None:
    """What is written of an answer over a kind; None where nothing is."""
    return _written().get((kind, name))


REGIONS = {"answers": asked}
