"""Record the scripted answers as fixtures: `python -m tests.support.make_fixtures [FOLDER/NAME…] [--into DIR] [--force]`.

Each case is served over a loopback socket and recorded by the real recorder. Cases that exist are left alone unless `--force` says otherwise:
recorded bytes are not made again when the program changes.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import trio

from pipeline.cases import META, Case, Meta, shipped, write_case
from pipeline.clocks import Timeouts
from pipeline.recording import Outcome, Recording, folder_for, keep_reads, record
from pipeline.upstream.http import open_client, opened, pieces
from pipeline.wire.sdk_requests import SEND, STREAM_HEADERS, send
from tests.support import anthropic_scripts, codex_scripts, cursor_scripts, openai_scripts, responses_scripts, sdk_scripts, website_scripts
from tests.support.anthropic_words import ENDPOINT as ANTHROPIC
from tests.support.composer_scripts import SCRIPTS, Scripted, encode_body
from tests.support.composer_server import composer_server
from tests.support.openai_server import openai_server
from tests.support.responses_events import ENDPOINT as RESPONSES
from tests.support.website_words import ENDPOINT as WEBSITE

TIMEOUTS = Timeouts()
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


async def make_anthropic(name: str, out: Path, *, force: bool = False) -> Outcome:
    """The same for a case of the server with Anthropic's API."""
    scripted = anthropic_scripts.SCRIPTS[name]
    async with openai_server(scripted.steps, ANTHROPIC) as server:
        return await record_openai("anthropic", server.origin + ANTHROPIC, scripted, out, force=force)


async def make_website(name: str, out: Path, *, force: bool = False) -> Outcome:
    """The same for a case of the website."""
    scripted = website_scripts.SCRIPTS[name]
    async with openai_server(scripted.steps, WEBSITE) as server:
        return await record_openai("website", server.origin + WEBSITE, scripted, out, force=force)


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


async def make_sdk(name: str, out: Path, *, force: bool = False) -> Outcome:
    """The same for a run of the SDK's agent: its stream alone, since what comes before it makes the agent and is none of the answer."""
    scripted = sdk_scripts.SCRIPTS[name]
    reads: list[tuple[float, bytes]] = []
    async with openai_server(scripted.steps, SEND) as server, open_client(TIMEOUTS) as client:
        message = send(sdk_scripts.AGENT, "")
        with folder_for(out, force=force):
            async with opened(client, "POST", server.origin + SEND, STREAM_HEADERS, message) as response, aclosing(pieces(response)) as received:
                fault = await keep_reads(received, reads, TIMEOUTS, trio.current_time() + TIMEOUTS.total_seconds, None)
            meta = Meta("sdk-bridge", scripted.surface, SOURCE.format("written by hand"), datetime.now(UTC).date(), scripted.title)
            timed = tuple((round(seconds * 1000, 1), len(data)) for seconds, data in reads)
            case = Case(out, b"".join(data for _, data in reads), encode_body(scripted), msgspec.structs.replace(meta, reads=timed))
            write_case(case)
    return Outcome(case, fault, fault is None)


# the folder of the fixtures -> its scripts, and what records one
FOLDERS = {
    "anthropic": (anthropic_scripts.SCRIPTS, make_anthropic),
    "composer": (SCRIPTS | codex_scripts.COMPOSER, make),
    "openai_chat": (openai_scripts.SCRIPTS | cursor_scripts.CHAT | codex_scripts.CHAT, make_chat),
    "openai_responses": (responses_scripts.SCRIPTS | cursor_scripts.RESPONSES, make_responses),
    "sdk_bridge": (sdk_scripts.SCRIPTS, make_sdk),
    "website": (website_scripts.SCRIPTS, make_website),
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
