"""The benchmarks' command line: `penstock bench`, or `python -m benchmarks` in a checkout.

Words come in; a table and, where asked for, a JSON file go out. What is measured is in `stages` and `end_to_end`, how in `measure`. The exit status
is 0 when everything was measured, 1 when what was measured did its work wrongly or not at all, 2 for wrong use, 130 after Ctrl-C, 143 after SIGTERM.
After both of those, too, the programs that were started are stopped.
"""

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import trio
from rich.console import Console
from rich.progress import Progress

from benchmarks.chat_upstream import ANSWER_CHUNKS
from benchmarks.child import ChildFailed
from benchmarks.measure import WrongOutput
from benchmarks.pinning import choose_cores
from benchmarks.provenance import provenance
from benchmarks.runner import Plan, Results, count_steps, measure
from benchmarks.table import console, show_provenance, show_server, show_stages
from benchmarks.upstreams import CONNECTIONS, OPENAI_CHAT
from server.exits import FAULT, GOOD, INTERRUPTED, WRONG_USE

FEWEST_REPEATS = 3
MOST = 1_000_000
TERMINATED = 143
"""SIGTERM, as shells count it: 128 + SIGTERM."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the words ask for, and give the exit status."""
    arguments = _parser().parse_args(argv)
    file: Path | None = arguments.json
    if file is not None and not file.parent.is_dir():
        print(f"penstock bench: there is no folder {file.parent}", file=sys.stderr)
        return WRONG_USE
    plan = _plan(arguments)
    if arguments.pin and plan.cores is None:
        print("penstock bench: this system cannot pin to two cores; measuring without", file=sys.stderr)
    status = GOOD
    try:
        results = _measured(plan)
        if results is None:
            return TERMINATED
        _show(results)
        if file is not None:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    except* KeyboardInterrupt:
        status = INTERRUPTED
    except* (WrongOutput, ChildFailed, OSError) as faults:
        status = FAULT
        print(f"penstock bench: {faults.exceptions[0]}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="penstock bench",
        description="Measure what a chunk costs: each stage alone, the whole pipeline, and the server end to end.",
        epilog="A chunk is one delta of the upstream and one event of the stream. Every output is checked: a lost chunk ends the run.",
        allow_abbrev=False,
    )
    parser.add_argument("--only", choices=("stages", "end-to-end"), help="one part; default: both")
    parser.add_argument("--quick", action="store_true", help="a rough answer in a few seconds, end to end from one gateway each")
    parser.add_argument(
        "--repeats", type=_count(FEWEST_REPEATS), metavar="N", help=f"samples of each figure, at least {FEWEST_REPEATS}; default 5, with --quick 3"
    )
    parser.add_argument("--upstream", choices=tuple(CONNECTIONS), help="end to end, one upstream behind the gateway; default: each")
    connections = ", ".join(f"{count} for {name}" for name, count in CONNECTIONS.items())
    parser.add_argument("--connections", type=_count(1), metavar="N", help=f"connections of the load client; default {connections}")
    parser.add_argument(
        "--streams", type=_count(1), default=1000, metavar="M", help="streams on each connection, as far as time allows; default 1000"
    )
    parser.add_argument(
        "--burst",
        type=_count(1, ANSWER_CHUNKS),
        default=ANSWER_CHUNKS,
        metavar="N",
        help=f"chunks that {OPENAI_CHAT} writes at once; default {ANSWER_CHUNKS}, which is all",
    )
    parser.add_argument(
        "--pin", action="store_true", help="keep the server on one core, the load client and the upstream on another, where the system can"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file too")
    return parser


def _count(fewest: int, most: int = MOST) -> Callable[[str], int]:
    def count(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) else -1
        if not fewest <= number <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {fewest} to {most}, got {text[:20]!r}")
        return number

    return count


def _plan(arguments: argparse.Namespace) -> Plan:
    quick: bool = arguments.quick
    repeats: int = arguments.repeats or (FEWEST_REPEATS if quick else 5)
    return Plan(
        quick=quick,
        only=arguments.only,
        repeats=repeats,
        server_repeats=1 if quick else repeats,
        stage_seconds=0.01 if quick else 0.3,
        upstreams=tuple(CONNECTIONS) if arguments.upstream is None else (arguments.upstream,),
        connections=arguments.connections,
        streams=arguments.streams,
        burst=arguments.burst,
        load_seconds=0.15 if quick else 2.0,
        cores=choose_cores() if arguments.pin else None,
    )


def _measured(plan: Plan) -> Results | None:
    """Measure behind a progress bar, which is only for terminals; None when SIGTERM came before the end."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=count_steps(plan))
        begun = 0

        def step(label: str) -> None:
            nonlocal begun
            bar.update(task, description=label, completed=begun)
            begun += 1

        return trio.run(_until_sigterm, partial(measure, plan, provenance(), step))


async def _until_sigterm(work: Callable[[], Awaitable[Results]]) -> Results | None:
    results: Results | None = None
    fault: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_sigterm, nursery.cancel_scope)
        try:
            results = await work()
        except Exception as error:  # raised again below: out of the nursery it would come wrapped
            fault = error
        nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault
    return results


async def _cancel_on_sigterm(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as received:
        task_status.started()
        async for _ in received:
            scope.cancel()


def _show(results: Results) -> None:
    out = console()
    show_provenance(out, results.provenance)
    if results.stages is not None:
        out.print()
        show_stages(out, results.stages)
    if results.end_to_end is not None:
        out.print()
        show_server(out, results.end_to_end)


if __name__ == "__main__":
    sys.exit(main())
