"""Fixtures: one captured answer of an upstream, as files that can be read, searched and replayed.

A case is a folder::

    stream.bin      the body of the upstream's response, raw and never edited
    request.json    the client's request body
    meta.toml       where it comes from (`Meta`)
    expected/       what the pipeline makes of it: events.txt, chat.sse, chat.json; written by `penstock replay --update`

The expectations lie beside the capture, and not in a folder of the tests, so that the replay tool and the tests compare with the same files, and a
case that a user records is whole in one place.
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import tomli_w

STREAM, REQUEST, META, EXPECTED = "stream.bin", "request.json", "meta.toml", "expected"


class CaseError(Exception):
    """A fixture that cannot be read: the message names the file and what is wrong with it."""


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`meta.toml`.

    `upstream` is the kind of upstream whose bytes these are, `surface` the dialect of request.json, `source` how the bytes were come by, `scrubbed`
    what was replaced. `reads` is one `[milliseconds since the read before, bytes]` for each read of the recording.
    """

    upstream: str
    surface: str
    source: str
    date: date
    title: str = ""
    agent: bool = False
    scrubbed: tuple[str, ...] = ()
    reads: tuple[tuple[float, int], ...] = ()


class Case(msgspec.Struct, frozen=True):
    """One case in memory."""

    path: Path
    stream: bytes
    request: bytes
    meta: Meta

    @property
    def name(self) -> str:
        """The upstream's folder and the case's, as in `composer/plain-text`."""
        return f"{self.path.parent.name}/{self.path.name}"

    def recorded_reads(self) -> Iterator[tuple[float, bytes]]:
        """Seconds to wait and the bytes that came then; one read of everything where the timing is not known."""
        at = 0
        for milliseconds, size in self.meta.reads:
            yield milliseconds / 1000, self.stream[at : at + size]
            at += size
        if at < len(self.stream):
            yield 0.0, self.stream[at:]


def load_case(path: Path) -> Case:
    """Read a case; raises CaseError."""
    try:
        stream, request = (path / STREAM).read_bytes(), (path / REQUEST).read_bytes()
        meta = msgspec.convert(tomllib.loads((path / META).read_text(encoding="utf-8")), Meta)
    except OSError as error:
        raise CaseError(f"{path}: {error.strerror}: {Path(error.filename or path).name}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise CaseError(f"{path / META}: {error}") from None
    return Case(path, stream, request, meta)


def write_case(case: Case) -> None:
    """Write a case's three files, making its folder."""
    case.path.mkdir(parents=True, exist_ok=True)
    (case.path / STREAM).write_bytes(case.stream)
    (case.path / REQUEST).write_bytes(case.request)
    meta = {key: value for key, value in msgspec.structs.asdict(case.meta).items() if value not in ("", (), False)}
    (case.path / META).write_text(tomli_w.dumps(meta), encoding="utf-8")


def find_cases(path: Path) -> list[Path]:
    """The folders of all cases at or below a path, in the order of their names."""
    return sorted(found.parent for found in path.rglob(META)) if path.is_dir() else []


def shipped() -> Path:
    """The folder of the fixtures that come with Penstock: in a checkout beside the package, in an installed wheel inside it."""
    package = Path(__file__).resolve().parent
    installed = package / "captures"
    return installed if installed.is_dir() else package.parent / "fixtures"
