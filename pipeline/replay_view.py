"""What `penstock replay` prints.

Theory of operation: results come in one by one, and a final list; text goes out. Diffs and the closing line go to stdout, the progress bar to stderr
and only on a terminal. With `as_json` nothing is printed before the one document at the end. Colours are rich's: there are none when the output is
no terminal. Nothing that a recording holds can steer the terminal: characters that could are shown escaped.

>>> comparison = Comparison("chat.json", b"a", b"b")
>>> print("".join(diff_lines(comparison)), end="")
--- expected/chat.json
+++ now
@@ -1 +1 @@
-a
+b
"""

import difflib
import re
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pipeline.cases import EXPECTED, Case
from pipeline.events import Event, Failed, Finish, Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.expectations import Comparison, Result, event_line

MAX_DIFF_LINES = 200

# type of event -> its colour
STYLES: dict[type, str] = {
    TextDelta: "",
    ThinkingDelta: "dim italic",
    RefusalDelta: "magenta",
    ToolCallStart: "bold cyan",
    ToolCallDelta: "cyan",
    ToolCallEnd: "bold cyan",
    Notice: "bold yellow",
    Finish: "bold green",
    Failed: "bold red",
}
_DIFF_STYLES = {"---": "bold", "+++": "bold", "@": "cyan", "-": "red", "+": "green"}
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class View:
    """The output of one run."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = plain_console()
        self._bar: tuple[Progress, TaskID] | None = None

    def title(self, case: Case) -> None:
        """Name the case whose stream follows."""
        self._out.print(Text(printable(f"{case.name}: {case.meta.title}" if case.meta.title else case.name), "bold"))

    def show(self, events: Sequence[Event], form: str) -> None:
        """Print events as they come: `events` a line each, `chat` as a reader sees the answer."""
        for event in events:
            style = STYLES.get(type(event), "")
            if form == "events":
                self._out.print(Text(event_line(event), style))
            else:
                self._out.print(Text(printable(_read_aloud(event)), style), end="")

    def raw(self, stream: bytes) -> None:
        """Print a stream as its client gets it, but for what would steer a terminal."""
        self._out.print(Text(printable(stream.decode("utf-8", "backslashreplace"))))

    def add(self, result: Result, count: int) -> None:
        """One more case is done, of `count`."""
        if not self._as_json:
            self._advance(result, count)
            self._print(result)

    def close(self, results: Sequence[Result]) -> None:
        """The closing line, or the document."""
        if self._bar is not None:
            self._bar[0].stop()
        if self._as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(results)), indent=2).decode() + "\n")
        else:
            self._out.print(closing_line(results))

    def _advance(self, result: Result, count: int) -> None:
        if self._bar is None and count > 1 and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar = progress, progress.add_task("replay", total=count)
            progress.start()
        if self._bar is not None:
            self._bar[0].update(self._bar[1], advance=1, description=printable(result.path.name))

    def _print(self, result: Result) -> None:
        if result.error is not None:
            self._out.print(Text(printable(result.error), "bold red"))
        for comparison in result.comparisons:
            if comparison.written:
                change = "new" if comparison.expected is None else "changed"
                self._out.print(printable(f"{result.path / EXPECTED / comparison.file}: written ({change})"))
            elif comparison.differs:
                self._out.print(Text(printable(str(result.path)), "bold"))
                for line in diff_lines(comparison):
                    style = next((style for start, style in _DIFF_STYLES.items() if line.startswith(start)), "")
                    self._out.print(Text(line.removesuffix("\n"), style))


def diff_lines(comparison: Comparison) -> list[str]:
    """A unified diff, each line with its end; at most `MAX_DIFF_LINES`, and one line where the file is missing."""
    if comparison.expected is None:
        return [f"--- {EXPECTED}/{comparison.file} is missing; --update writes it\n"]
    before, after = (printable(data.decode("utf-8", "backslashreplace")).split("\n") for data in (comparison.expected, comparison.actual))
    lines = list(difflib.unified_diff(before, after, f"{EXPECTED}/{comparison.file}", "now", lineterm="", n=2))
    if not lines:
        lines = ["--- the same text from other bytes"]
    more = len(lines) - MAX_DIFF_LINES
    return [line + "\n" for line in lines[:MAX_DIFF_LINES]] + ([f"… and {more} more lines\n"] if more > 0 else [])


def closing_line(results: Sequence[Result]) -> str:
    """What a run amounts to, as in `18 cases, 54 comparisons, 0 differences`."""
    comparisons = [comparison for result in results for comparison in result.comparisons]
    written = sum(comparison.written for comparison in comparisons)
    unreadable = sum(result.error is not None for result in results)
    parts = [
        counted(len(results), "case"),
        counted(len(comparisons), "comparison"),
        counted(sum(comparison.differs and not comparison.written for comparison in comparisons), "difference"),
    ]
    parts += [f"{counted(written, 'file')} written"] if written else []
    parts += [f"{counted(unreadable, 'case')} unreadable"] if unreadable else []
    return ", ".join(parts)


def document(results: Sequence[Result]) -> dict[str, object]:
    """The `--json` document."""
    return {
        "cases": [
            {
                "path": str(result.path),
                "error": result.error,
                "comparisons": [
                    {
                        "file": comparison.file,
                        "same": not comparison.differs,
                        "missing": comparison.expected is None,
                        "written": comparison.written,
                        "diff": "".join(diff_lines(comparison)) if comparison.differs else "",
                    }
                    for comparison in result.comparisons
                ],
            }
            for result in results
        ],
        "case_count": len(results),
        "comparison_count": sum(len(result.comparisons) for result in results),
        "difference_count": sum(comparison.differs and not comparison.written for result in results for comparison in result.comparisons),
        "written_count": sum(comparison.written for result in results for comparison in result.comparisons),
        "error_count": sum(result.error is not None for result in results),
    }


def plain_console() -> Console:
    """Standard output, with colours on a terminal and nothing else done to the text."""
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def printable(text: str) -> str:
    r"""The text with every character escaped that could steer a terminal; tabs and line ends stay.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def counted(count: int, noun: str) -> str:
    """A number and its noun, as in `1 case` and `1,200 cases`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _read_aloud(event: Event) -> str:
    match event:
        case TextDelta(text) | ThinkingDelta(text) | RefusalDelta(text):
            return text
        case ToolCallStart(_, _, name):
            return f"\n{name} "
        case ToolCallDelta(_, arguments):
            return arguments
        case ToolCallEnd():
            return "\n"
        case Finish() | Notice() | Failed():
            return f"\n{event_line(event)}\n"
        case _:
            return ""
