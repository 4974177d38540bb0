"""Record the scripted answers as fixtures: `python -m tests.support.make_fixtures [FOLDER/NAME…] [--into DIR] [--force]`.

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
from tests.support import codex_scripts, cursor_scripts, openai_scripts, responses_scripts
from tests.support.composer_scripts import SCRIPTS, Scripted, encode_body
from tests.support.composer_server import composer_server
from tests.support.openai_server import openai_server
from tests.support.responses_events import ENDPOINT as RESPONSES

SOURCE = "recorded over a loopback socket from a scripted server of ours; the text was {}"


async def make(name: str, out: Path, *, force: bool = False) -> Outcome:
    """Serve and record one case."""
    scripted = (SCRIPTS | codex_scripts.COMPOSER)[name]
    source = SOURCE.format("computed by a rule" if scripted.computed else "written by hand")
    async with composer_server(scripted.steps) as server:
        recording = Recording(
            url=server.url,
            request=encode_body(scripted),
            surface=scripted.surface,
            out=out,
            title=scripted.title,
            source=source,
            force=force,
        )
        return await record(recording)


async def make_chat(name: str, out: Path, *, force: bool = False) -> Outcome:
    """The same for a case of the Chat Completions server."""
    scripted = (openai_scripts.SCRIPTS | cursor_scripts.CHAT | codex_scripts.CHAT)[name]
    async with openai_server(scripted.steps) as server:
        return await record_openai("openai-chat", server.url, scripted, out, force=force)


async def make_responses(name: str, out: Path, *, force: bool = False) -> Outcome:
    """The same for a case of the Responses server."""
    scripted = (responses_scripts.SCRIPTS | cursor_scripts.RESPONSES)[name]
    async with openai_server(scripted.steps, RESPONSES) as server:
        return await record_openai("openai-responses", server.origin + RESPONSES, scripted, out, force=force)


async def record_openai(kind: str, url: str, scripted: Scripted, out: Path, *, force: bool) -> Outcome:
    recording = Recording(
        url=url,
        upstream=kind,
        request=encode_body(scripted),
        surface=scripted.surface,
        out=out,
        title=scripted.title,
        source=SOURCE.format("written by hand"),
        force=force,
    )
    return await record(recording)


# the folder of the fixtures -> its scripts, and what records one
FOLDERS = {
    "composer": (SCRIPTS | codex_scripts.COMPOSER, make),
    "openai_chat": (openai_scripts.SCRIPTS | cursor_scripts.CHAT | codex_scripts.CHAT, make_chat),
    "openai_responses": (responses_scripts.SCRIPTS | cursor_scripts.RESPONSES, make_responses),
}
NAMES = [f"{folder}/{name}" for folder, (scripts, _) in FOLDERS.items() for name in scripts]


async def make_all(names: Sequence[str], into: Path, *, force: bool) -> None:
    for path in names:
        folder, _, name = path.partition("/")
        if force or not (into / path / META).exists():
            outcome = await FOLDERS[folder][1](name, into / path, force=force)
            print(f"{path}: {len(outcome.case.stream)} bytes in {len(outcome.case.meta.reads)} reads")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Record the scripted answers as fixtures.")
    parser.add_argument("names", nargs="*", metavar="FOLDER/NAME", help="default: all")
    parser.add_argument("--into", type=Path, default=shipped())
    parser.add_argument("--force", action="store_true", help="record again what exists")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in NAMES]
    if unknown:
        sys.exit(f"no script of the name {', '.join(unknown)}; there are {', '.join(NAMES)}")
    trio.run(lambda: make_all(args.names or NAMES, args.into, force=args.force))


if __name__ == "__main__":
    main()
