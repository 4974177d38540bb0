"""A live answer of an upstream, kept as a case.

Theory of operation: the client's request body is parsed, written as the gateway would write it for this kind of upstream (`KINDS`), and sent to the
URL. The response's bytes are kept as they come, with the time of each read; then the kind's scrubber takes the secrets out, and the case is written.
The client's body and the bytes are all that is kept: neither the URL nor a header is written anywhere. What could keep the answer from being written
is looked at before anything is sent: a live answer costs money and does not come twice.

What the upstream does after its first byte is an outcome and not an exception: an answer that is cut off, or whose bytes break its protocol, is
written all the same, since it is a useful fixture. An HTTP error and an upstream that sends nothing, an empty answer included, leave nothing to
write, and no folder. An answer that ends with the upstream's own error message is a complete one.

Every wait has a clock: the head, each read, the body of an HTTP error, and all of it together.

Left alone: authentication beyond the headers that are given; and for Composer images from the web, which are not fetched.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import msgspec

import pipeline
from pipeline.cases import META, REQUEST, STREAM, Case, Meta, write_case
from pipeline.clocks import Timeouts
from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError, UpstreamTimeout
from pipeline.events import Failed
from pipeline.expectations import SURFACES
from pipeline.recording_kinds import KINDS, Kind, WrongUse
from pipeline.scrub import Scrubber
from pipeline.upstream.replayed import KINDS as READERS

if TYPE_CHECKING:
    from pipeline.upstream.http import Response

MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
"""How long the body of an HTTP error may take; what has come by then is not waited for any longer."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What to record: `request` is the client's body, `out` the case's folder; `secrets` are texts to scrub and what each is called in the notes.

    `upstream` is a key of `KINDS`.
    """

    url: str
    request: bytes
    out: Path
    headers: tuple[tuple[str, str], ...] = ()
    secrets: Mapping[str, str] = {}
    upstream: str = "composer"
    surface: str = "chat"
    agent: bool = False
    title: str = ""
    source: str = f"recorded over the network with penstock record {pipeline.__version__}"
    force: bool = False
    timeouts: Timeouts = Timeouts()


class Outcome(msgspec.Struct, frozen=True):
    """A case that was written. `error` is what the answer ended with, None for a proper end; `complete` says that it had an end mark."""

    case: Case
    error: PenstockError | None
    complete: bool


Watch = Callable[[int, int, float], None]
"""Told after each read: bytes and reads so far, and the seconds since the request was sent."""


async def record(recording: Recording, watch: Watch | None = None) -> Outcome:
    """Send the request, keep the answer, scrub it, write the case.

    Raises:
        WrongUse: the request is not one that can be sent, or the case exists or could not be written.
        PenstockError: there is no answer to keep.
        OSError: the case could not be written in spite of the look at its folder.
    """
    check_url(recording.url)
    _check_texts(recording)
    kind = KINDS[recording.upstream]
    meta = Meta(recording.upstream, recording.surface, recording.source, datetime.now(UTC).date(), recording.title, recording.agent)
    try:
        request = SURFACES[recording.surface](Case(recording.out, b"", recording.request, meta))
    except PenstockError as error:
        raise WrongUse(f"the request body cannot be sent: {error.message}") from None
    body = kind.body(request)
    with folder_for(recording.out, force=recording.force):
        reads: list[tuple[float, bytes]] = []
        fault = await _exchange(recording, body, reads, watch)
        if not reads:
            raise fault or StreamCut("The upstream's answer is empty.")
        case = _scrubbed(recording, meta, reads)
        ending = _ending(case)
        write_case(case)
    # what the connection did explains a missing end mark better than the codec can
    return Outcome(case, (fault if isinstance(ending, StreamCut) else None) or ending, not isinstance(ending, StreamCut | ProtocolViolation))


def check_url(url: str) -> None:
    """Raise WrongUse for an address that nothing can be sent to, or that holds a user; the message does not show it, since it may hold a key."""
    try:
        parts = urlsplit(url)
        sendable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
        user = parts.username
    except ValueError:  # brackets that do not match, or a port that is none
        sendable, user = False, None
    if user is not None:
        raise WrongUse("expected a URL without user and password; a key is sent with a header")
    if not sendable:
        raise WrongUse("the URL must begin with http:// or https:// and name a host, and its port must be one from 1 to 65535")


def _check_texts(recording: Recording) -> None:
    """Raise WrongUse for words that no file can hold."""
    named = [(recording.title, "the title"), (recording.source, "the source"), *((secret, "a text to scrub") for secret in recording.secrets)]
    for text, name in named:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise WrongUse(f"{name} is not UTF-8") from None


@contextmanager
def folder_for(path: Path, *, force: bool) -> Generator[None, None, None]:
    """A folder that a case can be written into; what was made of it goes away with whatever is raised.

    Raises:
        WrongUse: there is a case and no `force`, or the folder cannot be made or written into.
    """
    made: list[Path] = []
    try:
        try:
            existing = [path / name for name in (STREAM, REQUEST, META) if (path / name).exists()]
            if existing and not force:
                raise WrongUse(f"{path} holds a case already; --force replaces it")
            made += [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
            for file in existing:
                file.open("ab").close()  # appends nothing, and tells whether the file may be written
        except OSError as error:
            raise WrongUse(f"{path}: no case can be written there: {error.strerror}") from None
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # what is in it stays: it may be half of a case that could not be written to its end
                folder.rmdir()
        raise


async def _exchange(recording: Recording, body: bytes, reads: list[tuple[float, bytes]], watch: Watch | None) -> UpstreamError | None:
    """Fill `reads`; returns what broke the answer off, raises what came instead of one."""
    from pipeline.upstream.http import content_coding, open_client, opened, pieces

    kind, timeouts = KINDS[recording.upstream], recording.timeouts
    total_at = anyio.current_time() + timeouts.total_seconds
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client(timeouts))
        response = None
        with anyio.move_on_after(min(timeouts.first_event_seconds, timeouts.total_seconds)):
            response = await stack.enter_async_context(opened(client, "POST", recording.url, _headers(recording, kind), body))
        if response is None:
            if anyio.current_time() >= total_at:
                raise _too_long(timeouts)
            raise UpstreamTimeout(f"The upstream sent nothing for {timeouts.first_event_seconds:g} seconds.", code="upstream_first_event_timeout")
        if response.status_code != 200:
            raise await _refusal(kind, response, total_at)
        if content_coding(response) is not None:
            raise ProtocolViolation("The upstream compressed its answer although it was asked not to.")
        received = await stack.enter_async_context(aclosing(pieces(response)))
        return await keep_reads(received, reads, timeouts, total_at, watch)


def _headers(recording: Recording, kind: Kind) -> dict[str, str]:
    """The headers by their names in small letters; values under one name are one list, as RFC 9110, 5.3 has it."""
    headers: dict[str, str] = {}
    for name, value in recording.headers:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers | {name.lower(): value for name, value in kind.headers().items()}


async def _refusal(kind: Kind, response: "Response", total_at: float) -> PenstockError:
    """What an HTTP error says; without its body if that does not come in time."""
    from pipeline.upstream.http import content_coding, read_bounded

    body = b""
    if content_coding(response) is None:
        with anyio.CancelScope(deadline=min(anyio.current_time() + ERROR_SECONDS, total_at)), suppress(UpstreamError):
            body = await read_bounded(response, MAX_ERROR_BYTES)
    return kind.refusal(response.status_code, response.headers, body)


async def keep_reads(
    pieces: AsyncIterator[bytes], reads: list[tuple[float, bytes]], timeouts: Timeouts, total_at: float, watch: Watch | None
) -> UpstreamError | None:
    """Append the answer's reads, each with the seconds since the one before; returns what broke it off.

    An empty piece is silence and no read. `total_at` is the time of `anyio.current_time()` at which the answer is broken off.
    """
    started = last = anyio.current_time()
    count = 0
    while True:
        piece = None
        try:
            with anyio.CancelScope(deadline=min(last + timeouts.idle_seconds, total_at)) as clock:
                piece = await anext(pieces, None)
        except UpstreamError as fault:
            return fault
        now = anyio.current_time()
        if clock.cancelled_caught:
            return _too_long(timeouts) if now >= total_at else _too_silent(timeouts)
        if piece is None:
            return None
        if not piece:
            continue
        reads.append((now - last, piece))
        last = now
        count += len(piece)
        if watch is not None:
            watch(count, len(reads), now - started)


def _too_long(timeouts: Timeouts) -> UpstreamTimeout:
    return UpstreamTimeout(f"The answer took longer than {timeouts.total_seconds:g} seconds.", code="upstream_total_timeout")


def _too_silent(timeouts: Timeouts) -> UpstreamTimeout:
    return UpstreamTimeout(f"The upstream fell silent for {timeouts.idle_seconds:g} seconds.", code="upstream_idle_timeout")


def _scrubbed(recording: Recording, meta: Meta, reads: list[tuple[float, bytes]]) -> Case:
    scrubber = Scrubber(recording.secrets)
    request = scrubber.body(recording.request, REQUEST)
    stream, sizes = KINDS[recording.upstream].scrub(scrubber, b"".join(data for _, data in reads), [len(data) for _, data in reads], STREAM)
    clean = msgspec.structs.replace(
        meta,
        title=scrubber.text(meta.title, META),
        source=scrubber.text(meta.source, META),
        reads=tuple((round(seconds * 1000, 1), size) for (seconds, _), size in zip(reads, sizes, strict=True)),
    )
    return Case(recording.out, stream, request, msgspec.structs.replace(clean, scrubbed=scrubber.notes()))


def _ending(case: Case) -> PenstockError | None:
    """What the bytes end with: None for a proper end."""
    decoder = READERS[case.meta.upstream].decoder("", None)
    last = (decoder.feed(case.stream) + decoder.end())[-1]
    return last.error if isinstance(last, Failed) else None
