"""Record the scripted answers as fixtures: `python -m tests.support.make_fixtures [NAME…] [--into DIR] [--force]`.

Each case is served over a loopback socket and recorded by the real recorder. Cases that exist are left alone unless `--force` says otherwise:
recorded bytes are not made again when the program changes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from pipeline.cases import META, shipped
from pipeline.recording import Outcome, Recording, record
from tests.support.composer_scripts import SCRIPTS, encode_body
from tests.support.composer_server import composer_server

SOURCE = "recorded over a loopback socket from a scripted server of ours; the text was {}"


async def make(name: str, out: Path, *, force: bool = False) -> Outcome:
    """Serve and record one case."""
    scripted = SCRIPTS[name]
    source = SOURCE.format("computed by a rule" if scripted.computed else "written by hand")
    async with composer_server(scripted.steps) as server:
        recording = Recording(url=server.url, request=encode_body(scripted), out=out, title=scripted.title, source=source, force=force)
        return await record(recording)


async def make_all(names: Sequence[str], into: Path, *, force: bool) -> None:
    for name in names:
        if force or not (into / name / META).exists():
            outcome = await make(name, into / name, force=force)
            print(f"{name}: {len(outcome.case.stream)} bytes in {len(outcome.case.meta.reads)} reads")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Record the scripted answers as fixtures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--into", type=Path, default=shipped() / "composer")
    parser.add_argument("--force", action="store_true", help="record again what exists")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in SCRIPTS]
    if unknown:
        sys.exit(f"no script of the name {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    trio.run(lambda: make_all(args.names or list(SCRIPTS), args.into, force=args.force))


if __name__ == "__main__":
    main()
