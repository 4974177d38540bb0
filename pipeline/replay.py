"""`penstock replay`: recorded answers through the pipeline, compared byte for byte with what they gave before.

Theory of operation: the words name cases (`pipeline.case_names`); each goes through `pipeline.expectations` under the split and speed that were asked
for, and what comes out is compared with the files in the case's `expected/` folder. A difference is shown as a diff, and so is a file that is
missing; `--update` writes the files instead. A case that cannot be read is named with its file and does not stop the others. How all this looks is
for `pipeline.replay_view`.

With `--list` nothing is replayed: the cases' names and titles are printed, those of all shipped cases where no word is given. With `--tools` nothing
is compared: the calls are shown as the model wrote them and as a client with those tools gets them (`pipeline.replay_tools`).

Exit status: 0 all the same (or written, or shown), 1 a difference or an unreadable case, 2 wrong use.
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

from pipeline.case_names import UnknownName, cases_named, shipped_names
from pipeline.cases import EXPECTED, CaseError, load_case
from pipeline.expectations import FORMS, Comparison, Replay, Result, files_of, replayed_events
from pipeline.upstream.replayed import Split, parse_split

if TYPE_CHECKING:
    from pipeline.replay_view import View

GOOD, DIFFERENT, WRONG_USE = 0, 1, 2

RAW = ("cursor", "responses", "messages")
"""The forms that are shown as they are sent."""

LIST_HINT = "`penstock replay --list` names all shipped cases"

# --to -> the files of `expected/` that it means
TO = {
    "chat": ("chat.sse", "chat.json"),
    "cursor": ("cursor.sse", "cursor.json"),
    "responses": ("responses.sse", "responses.json"),
    "messages": ("messages.sse", "messages.json"),
    "events": ("events.txt",),
}


class Options(msgspec.Struct, frozen=True):
    """How to replay, and which files to compare."""

    split: Split = Split()
    speed: float = 0.0
    files: tuple[str, ...] = tuple(FORMS)
    update: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the words of `penstock replay`."""
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        help="a case's folder, any folder above cases, or the name of shipped ones: composer/plain-text, captured/plain-text, plain-text, composer",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases, of all shipped ones by default, and replay nothing")
    parser.add_argument(
        "--split", type=_split, default=Split(), metavar="HOW", help="whole | bytes | random:SEED | N bytes a read (default: the recorded reads)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=0.0, metavar="X", help="1: the recorded timing, 2: twice as fast, 0: without waiting (default)"
    )
    parser.add_argument(
        "--to",
        choices=sorted(TO),
        help="compare only this form, and show a single case's answer in it: chat and events with notices and repairs, the others as a client is "
        "streamed it. Cases whose request is in another dialect have nothing to compare in those",
    )
    parser.add_argument(
        "--tools",
        type=Path,
        metavar="FILE",
        help="compare nothing; show each call as the model wrote it and as a client with the tools in FILE gets it (JSON: a list, or a request body)",
    )
    parser.add_argument("--update", action="store_true", help="write what came out as what is expected")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Replay as the words say; returns the exit status."""
    if args.tools and (args.update or args.to or args.list):
        print("penstock replay: --tools shows calls and compares nothing; it does not go with --update, --to or --list", file=sys.stderr)
        return WRONG_USE
    if not args.cases and not args.list:
        print(f"penstock replay: which case? {LIST_HINT}", file=sys.stderr)
        return WRONG_USE
    paths, unknown = find(args.cases) if args.cases else (list(shipped_names().values()), [])
    for error in unknown:
        print(f"penstock replay: {error}", file=sys.stderr)
    if unknown:
        print(f"penstock replay: {LIST_HINT}", file=sys.stderr)
        return WRONG_USE
    if args.list:
        list_cases(paths, as_json=args.json)
        return GOOD
    return show_calls(paths, args) if args.tools else compare(paths, args)


def compare(paths: Sequence[Path], args: argparse.Namespace) -> int:
    """Replay and compare the cases; returns the exit status."""
    from pipeline.replay_view import View

    options = Options(args.split, args.speed, TO[args.to] if args.to else tuple(FORMS), args.update)
    view = View(as_json=args.json)
    if args.to and len(paths) == 1 and not args.json:
        with suppress(CaseError):  # the comparison names it
            anyio.run(partial(_show, paths[0], options, view, args.to), backend="trio")
    results = anyio.run(partial(replay_all, paths, options, view), backend="trio")
    view.close(results)
    unequal = any(comparison.differs and not comparison.written for result in results for comparison in result.comparisons)
    return DIFFERENT if unequal or any(result.error for result in results) else GOOD


def show_calls(paths: Sequence[Path], args: argparse.Namespace) -> int:
    """Show the cases' calls on both sides; returns the exit status."""
    from pipeline.replay_tools import ToolsError, read_all, read_tools
    from pipeline.replay_tools_view import print_readings

    try:
        tools = read_tools(args.tools)
    except ToolsError as error:
        print(f"penstock replay: {error}", file=sys.stderr)
        return WRONG_USE
    readings = anyio.run(partial(read_all, paths, tools, args.split, args.speed), backend="trio")
    print_readings(readings, as_json=args.json)
    return DIFFERENT if any(reading.error for reading in readings) else GOOD


def find(words: Sequence[str]) -> tuple[list[Path], list[UnknownName]]:
    """The folders of all cases that the words mean, each once, and what is wrong with the words that mean none."""
    paths: dict[Path, None] = {}
    unknown: list[UnknownName] = []
    for word in words:
        try:
            paths.update(dict.fromkeys(cases_named(word)))
        except UnknownName as error:
            unknown.append(error)
    return list(paths), unknown


def list_cases(paths: Sequence[Path], *, as_json: bool = False) -> None:
    """Print one line for each case: its name, or its path where it is not a shipped one, and its title; or one JSON document of these."""
    from pipeline.replay_view import printable

    names = {path: name for name, path in shipped_names().items()}
    cases = [{"name": names.get(path, str(path)), "title": _title(path)} for path in paths]
    if as_json:
        print(msgspec.json.encode({"cases": cases}).decode())
        return
    width = max((len(case["name"]) for case in cases), default=0)
    for case in cases:
        print(printable(f"{case['name']:<{width}}  {case['title']}".rstrip()))


def _title(path: Path) -> str:
    try:
        return load_case(path).meta.title
    except CaseError as error:
        return f"cannot be read: {error}"


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
        case = load_case(path)
        replay = Replay(case, options.split, options.speed)
        for file in filter(set(files_of(case)).__contains__, options.files):
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
    if form in RAW:
        view.raw(await FORMS[f"{form}.sse"](Replay(case, options.split, options.speed)))
        return
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
