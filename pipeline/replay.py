"""`penstock replay`: recorded answers through the pipeline, compared byte for byte with what they gave before.

Theory of operation: the words name cases; each goes through `pipeline.expectations` under the split and speed that were asked for, and what comes out
is compared with the files in the case's `expected/` folder. A difference is shown as a diff, and so is a file that is missing; `--update` writes the
files instead. A case that cannot be read is named with its file and does not stop the others. How all this looks is for `pipeline.replay_view`.

Exit status: 0 all the same (or written), 1 a difference or an unreadable case, 2 wrong use.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from pipeline.cases import EXPECTED, STREAM, CaseError, find_cases, load_case, shipped
from pipeline.expectations import FORMS, Comparison, Replay, Result, replayed_events
from pipeline.upstream.replayed import Split, parse_split

if TYPE_CHECKING:
    from pipeline.replay_view import View

GOOD, DIFFERENT, WRONG_USE = 0, 1, 2

# --to -> the files of `expected/` that it means
TO = {"chat": ("chat.sse", "chat.json"), "events": ("events.txt",)}


class Options(msgspec.Struct, frozen=True):
    """How to replay, and which files to compare."""

    split: Split = Split()
    speed: float = 0.0
    files: tuple[str, ...] = tuple(FORMS)
    update: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the words of `penstock replay`."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a case's folder, any folder above cases, or the name of a shipped case")
    parser.add_argument(
        "--split", type=_split, default=Split(), metavar="HOW", help="whole | bytes | random:SEED | N bytes a read (default: the recorded reads)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=0.0, metavar="X", help="1: the recorded timing, 2: twice as fast, 0: without waiting (default)"
    )
    parser.add_argument("--to", choices=sorted(TO), help="compare only this form, and show a single case's stream on a terminal")
    parser.add_argument("--update", action="store_true", help="write what came out as what is expected")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Replay as the words say; returns the exit status."""
    from pipeline.replay_view import View

    paths, missing = find(args.paths)
    for path in missing:
        print(f"penstock replay: {path}: no case there, and none of that name is shipped", file=sys.stderr)
    if missing:
        return WRONG_USE
    options = Options(args.split, args.speed, TO[args.to] if args.to else tuple(FORMS), args.update)
    view = View(as_json=args.json)
    if args.to and len(paths) == 1 and view.shows:
        with suppress(CaseError):  # the comparison names it
            anyio.run(partial(_show, paths[0], options, view, args.to), backend="trio")
    results = anyio.run(partial(replay_all, paths, options, view), backend="trio")
    view.close(results)
    unequal = any(comparison.differs and not comparison.written for result in results for comparison in result.comparisons)
    return DIFFERENT if unequal or any(result.error for result in results) else GOOD


def find(names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders of all cases that the names mean, each once, and the names that mean none."""
    paths: dict[Path, None] = {}
    missing: list[str] = []
    for name in names:
        path = Path(name) if Path(name).exists() else shipped() / name
        found = find_cases(path)
        if not found and (path / STREAM).is_file():
            found = [path]  # a case without meta.toml: reading it says so
        paths.update(dict.fromkeys(found))
        if not found:
            missing.append(name)
    return list(paths), missing


async def replay_all(paths: Sequence[Path], options: Options, view: "View | None" = None) -> list[Result]:
    """Replay each case; `view` is told of each result as it comes."""
    results: list[Result] = []
    for path in paths:
        result = await replay_case(path, options)
        results.append(result)
        if view is not None:
            view.add(result, len(paths))
    return results


async def replay_case(path: Path, options: Options) -> Result:
    """Compare one case, and write its files if that was asked for."""
    comparisons: list[Comparison] = []
    try:
        replay = Replay(load_case(path), options.split, options.speed)
        for file in options.files:
            comparison = Comparison(file, _expected(path / EXPECTED / file), await FORMS[file](replay))
            if options.update and comparison.differs:
                _write(path / EXPECTED / file, comparison.actual)
                comparison = msgspec.structs.replace(comparison, written=True)
            comparisons.append(comparison)
    except CaseError as error:
        return Result(path, tuple(comparisons), str(error))
    except OSError as error:
        return Result(path, tuple(comparisons), f"{error.filename}: {error.strerror}")
    return Result(path, tuple(comparisons))


def _expected(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)


async def _show(path: Path, options: Options, view: "View", form: str) -> None:
    case = load_case(path)
    view.title(case)
    await replayed_events(Replay(case, options.split, options.speed), partial(view.show, form=form))


def _split(text: str) -> Split:
    try:
        return parse_split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 <= speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: it is 0 or a positive number")
    return speed
