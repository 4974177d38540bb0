"""`penstock record`: one live answer of an upstream as a scrubbed fixture.

Theory of operation: the words become a `Recording`, `pipeline.recording` carries it out, and what came of it is told on stderr. Every value of a
header, every `--scrub` text, and the values in the URL's query are secrets. Progress is shown on a terminal only. Exit status: 0 good, 1 a fault of
the upstream (an answer that was cut off is written all the same) or files that cannot be written, 2 wrong use.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio

from pipeline.errors import PenstockError
from pipeline.expectations import SURFACES
from pipeline.recording import Outcome, Recording, check_url, record
from pipeline.recording_kinds import KINDS, WrongUse
from pipeline.scrub import SHORTEST_LITERAL
from pipeline.upstream.composer_write import FIXED_HEADERS

GOOD, FAULT, WRONG_USE = 0, 1, 2

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token)\s+(?=\S)", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the words of `penstock record`."""
    parser.add_argument("--url", required=True, help="the chat endpoint, http or https")
    parser.add_argument("--request", required=True, type=Path, metavar="FILE", help="the client's request body, JSON")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the case's folder, such as fixtures/composer/NAME")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with the request; its value is scrubbed")
    parser.add_argument(
        "--header-env", action="append", default=[], metavar="NAME=VARIABLE", help="the same, with the value from an environment variable"
    )
    parser.add_argument("--upstream", choices=sorted(KINDS), default="composer", help="the kind of upstream that the URL is (default: composer)")
    parser.add_argument("--surface", choices=sorted(SURFACES), default="chat", help="the dialect of the body (default: chat)")
    parser.add_argument("--agent", action="store_true", help="ask for Agent mode also without tools")
    parser.add_argument("--title", default="", help="one line that says what the case shows")
    parser.add_argument("--scrub", action="append", default=[], metavar="TEXT", help="a text to replace wherever it occurs")
    parser.add_argument("--force", action="store_true", help="replace a case that exists")


def run(args: argparse.Namespace) -> int:
    """Record as the words say; returns the exit status."""
    try:
        recording = read_words(args, os.environ)
        outcome = _record_watched(recording)
    except WrongUse as wrong:
        print(f"penstock record: {wrong}", file=sys.stderr)
        return WRONG_USE
    except PenstockError as error:
        print(f"penstock record: nothing was recorded. {error.message}", file=sys.stderr)
        return FAULT
    except OSError as error:
        print(f"penstock record: the answer could not be written to {args.out}: {error.strerror}", file=sys.stderr)
        return FAULT
    return _tell(outcome)


def read_words(args: argparse.Namespace, environ: Mapping[str, str]) -> Recording:
    """The command line as a Recording; raises WrongUse."""
    secrets = _url_secrets(args.url)
    try:
        request = args.request.read_bytes()
    except OSError as error:
        raise WrongUse(f"{args.request}: {error.strerror}") from None
    short = [text for text in args.scrub if len(text) < SHORTEST_LITERAL]
    if short:
        raise WrongUse(f"--scrub needs a text of at least {SHORTEST_LITERAL} characters: a shorter one cannot be told from other text")
    headers = [*_plain_headers(args.header), *_headers_from(args.header_env, environ)]
    secrets |= {_credentials(value): f"the value of header {name}" for name, value in headers}
    secrets |= dict.fromkeys(args.scrub, "a --scrub text")
    return Recording(
        url=args.url,
        request=request,
        out=args.out,
        headers=tuple(headers),
        secrets=secrets,
        upstream=args.upstream,
        surface=args.surface,
        agent=args.agent,
        title=args.title,
        force=args.force,
    )


def _url_secrets(url: str) -> dict[str, str]:
    """What an address may hold of secrets; raises WrongUse for one that nothing can be sent to."""
    check_url(url)
    return {value: "a value of the URL's query" for _, value in parse_qsl(urlsplit(url).query)}


def _plain_headers(words: Iterable[str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for word in words:
        name, colon, value = word.partition(":")
        if not colon:
            raise WrongUse("--header is written 'Name: value'")  # the word itself may be a secret
        headers.append(_header(name.strip(), value.strip()))
    return headers


def _headers_from(words: Iterable[str], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for word in words:
        name, equals, variable = word.partition("=")
        if not equals:
            raise WrongUse("--header-env is written Name=VARIABLE")
        if not environ.get(variable):
            raise WrongUse(f"--header-env {name}: the environment variable {variable} is not set")
        headers.append(_header(name.strip(), environ[variable].strip()))
    return headers


def _header(name: str, value: str) -> tuple[str, str]:
    if not _HEADER_NAME.fullmatch(name):
        raise WrongUse("a header's name is made of letters, digits and -")
    if name.lower() in FIXED_HEADERS:
        raise WrongUse(f"the recorder itself sets the header {name}")
    if not value.isascii() or not value.isprintable():
        raise WrongUse(f"the value of header {name} holds characters that no header may have")
    return name, value


def _credentials(value: str) -> str:
    """The secret part of a header's value: without the scheme, whose name is an ordinary word."""
    return _SCHEME.sub("", value, count=1)


def _record_watched(recording: Recording) -> Outcome:
    if not sys.stderr.isatty():
        return anyio.run(record, recording, backend="trio")
    from rich.console import Console

    with Console(stderr=True).status("connecting …") as status:

        def watch(count: int, reads: int, seconds: float) -> None:
            status.update(f"{count:,} bytes in {reads} reads, {seconds:.1f} s")

        return anyio.run(partial(record, recording, watch), backend="trio")


def _tell(outcome: Outcome) -> int:
    case, error = outcome.case, outcome.error
    seconds = sum(milliseconds for milliseconds, _ in case.meta.reads) / 1000
    print(f"{case.path}: {len(case.stream):,} bytes in {len(case.meta.reads)} reads, {seconds:.1f} s", file=sys.stderr)
    for note in case.meta.scrubbed:
        print(f"  scrubbed: {note}", file=sys.stderr)
    if error is not None:
        print(f"  the answer {'is an error' if outcome.complete else 'is not complete'}: {error.message}", file=sys.stderr)
    print(f"  next: penstock replay {case.path} --update", file=sys.stderr)
    return GOOD if outcome.complete else FAULT
