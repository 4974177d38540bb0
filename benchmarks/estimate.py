"""How wrong the token estimate is, and how quick: `python -m benchmarks.estimate`.

Theory of operation: each corpus of `benchmarks/corpora` has texts for fitting and texts that are held out, all with their tokens in o200k_base. The
error of a text is how far the estimate is from its tokens, as a part of them; the error of a corpus is the mean over its held-out texts. Beside it
stands the same figure for characters divided by four. Speed is that of a whole text and of deltas as a stream brings them, in this process.

Three steps make the estimate anew: `--tokenizer` counts the texts and reads the vocabulary, `--fit` fits the weights, `--docs` writes
docs/usage.md. Everything but the first works without a tokenizer, and always gives the same; only the speeds are this machine's.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import msgspec
from rich import box
from rich.table import Table

from benchmarks.calibrate import calibration_file, fit_weights, joining_characters, write_calibration
from benchmarks.provenance import provenance
from benchmarks.table import console
from benchmarks.texts import TOKENIZER, Text, TokenizerFailed, ask_tokenizer, counted, read_texts, write_texts
from pipeline.models import PRICE_ROWS
from pipeline.usage.estimate import Method, new_count, tokens_in
from pipeline.usage.patterns import CALIBRATION
from server.exits import FAULT, GOOD

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "usage.md"
MOST_ERROR = 0.08
"""What the mean error of a corpus may be."""

FEWEST_TOKENS = 200
DELTA_CHARACTERS = 9
SPEED_CHARACTERS = 200_000


class Errors(msgspec.Struct, frozen=True):
    """One corpus. Errors are parts of the true number: the mean and the worst of the calibrated method, and the mean of `chars4`."""

    corpus: str
    fit_texts: int
    texts: int
    mean: float
    worst: float
    chars4: float


class Speed(msgspec.Struct, frozen=True):
    """One corpus: megabytes of UTF-8 a second for a long text, and microseconds a delta for one in deltas."""

    corpus: str
    megabytes_per_second: float
    delta_microseconds: float


def error_of(text: Text, method: Method) -> float:
    """How far the estimate of one text is from its tokens, as a part of them."""
    return abs(tokens_in(text.text, method) - text.tokens) / text.tokens


def errors(texts: Sequence[Text]) -> list[Errors]:
    """The errors of all corpora, over their held-out texts."""
    found: list[Errors] = []
    for corpus in dict.fromkeys(text.corpus for text in texts):
        of_it = [text for text in texts if text.corpus == corpus]
        held_out = [text for text in of_it if not text.is_fit]
        calibrated = [error_of(text, "calibrated") for text in held_out]
        chars4 = statistics.fmean(error_of(text, "chars4") for text in held_out)
        found.append(Errors(corpus, len(of_it) - len(held_out), len(held_out), statistics.fmean(calibrated), max(calibrated), chars4))
    return found


def speeds(texts: Sequence[Text]) -> list[Speed]:
    """The speeds for all corpora, the best of a few runs each."""
    measured: list[Speed] = []
    for corpus in dict.fromkeys(text.corpus for text in texts):
        whole = "\n".join(text.text for text in texts if text.corpus == corpus)
        whole = (whole * (SPEED_CHARACTERS // len(whole) + 1))[:SPEED_CHARACTERS]
        pieces = [whole[start : start + DELTA_CHARACTERS] for start in range(0, len(whole), DELTA_CHARACTERS)]
        at_once, in_deltas = _best(partial(tokens_in, whole)), _best(partial(_in_deltas, pieces))
        measured.append(Speed(corpus, len(whole.encode()) / at_once / 1e6, in_deltas / len(pieces) * 1e6))
    return measured


def _in_deltas(pieces: Sequence[str]) -> int:
    count = new_count()
    for piece in pieces:
        count.add(piece)
    return count.total


def _best(work: Callable[[], object], runs: int = 5) -> float:
    taken: list[float] = []
    for _ in range(runs):
        started = perf_counter()
        work()
        taken.append(perf_counter() - started)
    return min(taken)


# -- documents ---------------------------------------------------------------------------------------------------------------------------------


def errors_table(found: Sequence[Errors]) -> str:
    """In Markdown."""
    rows = [f"| {e.corpus} | {e.fit_texts} | {e.texts} | {e.mean:.1%} | {e.worst:.1%} | {e.chars4:.1%} |" for e in found]
    head = [
        "| Corpus | Texts for fitting | Texts held out | `calibrated`: mean error | worst | `chars4`: mean error |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    return "\n".join([*head, *rows])


def speeds_table(measured: Sequence[Speed]) -> str:
    """In Markdown, with what it was measured on."""
    taken = provenance()
    rows = [f"| {speed.corpus} | {speed.megabytes_per_second:.0f} | {speed.delta_microseconds:.2f} |" for speed in measured]
    head = [f"{taken.python}, {taken.cores} × {taken.processor}, {taken.date[:10]}.", "", "| Corpus | MB/s | µs a delta |", "| --- | --: | --: |"]
    return "\n".join([*head, *rows])


def prices_table() -> str:
    """In Markdown."""
    rows = [f"| `{row.model}` | {row.input_usd:g} | {row.output_usd:g} | <{row.source}> | {row.date} |" for row in PRICE_ROWS]
    return "\n".join(["| Model | Input | Output | Source | Date |", "| --- | --: | --: | --- | --- |", *rows])


def fill(document: str, parts: Mapping[str, str]) -> str:
    r"""The document with its generated parts as given; raises KeyError for one that it does not have.

    >>> fill("a\n<!-- generated: x -->\nold\n<!-- end -->\n", {"x": "new"})
    'a\n<!-- generated: x -->\nnew\n<!-- end -->\n'
    """
    for name, part in parts.items():
        before, opening, behind = document.partition(f"<!-- generated: {name} -->\n")
        _, closing, rest = behind.partition("<!-- end -->\n")
        if not closing:
            raise KeyError(name)
        document = f"{before}{opening}{part}\n{closing}{rest}"
    return document


# -- the program -------------------------------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words ask for, and give the exit status: 1 when a corpus is worse than it may be, or the tokenizer cannot be asked."""
    arguments = _parser().parse_args(argv)
    texts = read_texts()
    tokenizer: Path | None = arguments.tokenizer
    if tokenizer is not None:
        try:
            texts, words = counted(texts, tokenizer), ask_tokenizer(tokenizer, []).words
        except TokenizerFailed as error:
            print(f"estimate: {error}", file=sys.stderr)
            return FAULT
        write_texts(texts)
        write_calibration(msgspec.structs.replace(CALIBRATION, **joining_characters(words)), calibration_file())
        return GOOD
    if arguments.fit:
        write_calibration(msgspec.structs.replace(CALIBRATION, weights=fit_weights(texts)), calibration_file())
        return GOOD
    found, measured = errors(texts), speeds(texts)
    if arguments.docs:
        parts = {"errors": errors_table(found), "speeds": speeds_table(measured), "prices": prices_table()}
        DOCUMENT.write_text(fill(DOCUMENT.read_text(encoding="utf-8"), parts), encoding="utf-8")
    _show(found, measured)
    return GOOD if all(each.mean <= MOST_ERROR for each in found) else FAULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.estimate",
        description="Measure the token estimate against o200k_base on texts that it was not fitted to, and fit it anew.",
        epilog=f"A tokenizer for --tokenizer: `npm install --prefix DIR {TOKENIZER}`. Then --tokenizer DIR, --fit and --docs, in this order.",
        allow_abbrev=False,
    )
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--tokenizer", type=Path, metavar="DIR", help="count the texts, and read the vocabulary, with what npm installed under DIR")
    step.add_argument("--fit", action="store_true", help="fit the weights to the texts")
    step.add_argument("--docs", action="store_true", help="measure, and write the tables of docs/usage.md")
    return parser


def _show(found: Sequence[Errors], measured: Sequence[Speed]) -> None:
    out = console()
    table = Table(title="The token estimate, on texts that were held out", title_justify="left", box=box.SIMPLE_HEAD if out.is_terminal else None)
    table.add_column("")
    for name in ("mean error", "worst", "chars4", "MB/s", "µs a delta"):
        table.add_column(name, justify="right")
    for one, speed in zip(found, measured, strict=True):
        figures = (f"{one.mean:.1%}", f"{one.worst:.1%}", f"{one.chars4:.1%}", f"{speed.megabytes_per_second:.0f}", f"{speed.delta_microseconds:.2f}")
        table.add_row(one.corpus, *figures, style="bold red" if one.mean > MOST_ERROR else "")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
