"""A live answer of an upstream, kept as a case.

Theory of operation: the client's request body is parsed, written as the gateway would write it for this kind of upstream (`KINDS`), and sent to the
URL. The response's bytes are kept as they come, with the time of each read; then the kind's scrubber takes the secrets out, and the case is written.
The client's body and the bytes are all that is kept: neither the URL nor a header is written anywhere.

What the upstream does after its first byte is an outcome and not an exception: an answer that is cut off, or whose bytes break its protocol, is
written all the same, since it is a useful fixture. An HTTP error and an upstream that sends nothing leave nothing to write. An answer that ends with
the upstream's own error message is a complete one.

Left alone: authentication beyond the headers that are given; and for Composer images, which are not sent.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

import pipeline
from pipeline.cases import META, REQUEST, STREAM, Case, Meta, write_case
from pipeline.clocks import Timeouts
from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError, UpstreamTimeout
from pipeline.events import Failed
from pipeline.expectations import SURFACES
from pipeline.identity import Identity
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.prompt.composer import assemble_prompt
from pipeline.request import ImagePart, Request
from pipeline.scrub import Scrubber, scrub_stream
from pipeline.scrub_events import scrub_events
from pipeline.upstream.composer_write import connect_headers, write_message
from pipeline.upstream.replayed import KINDS as READERS
from pipeline.wire.composer_errors import error_from_http
from pipeline.wire.openai_chat import REQUEST_HEADERS
from pipeline.wire.openai_errors import OpenAIErrors

if TYPE_CHECKING:
    from httpx import Response

MAX_ERROR_BYTES = 65_536


class WrongUse(Exception):
    """The command cannot be carried out as it was given; the message says why."""


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


class Kind(msgspec.Struct, frozen=True):
    """What one kind of upstream is sent, and how its answers are scrubbed and its refusals read."""

    body: Callable[[Request], bytes]
    headers: Callable[[], Mapping[str, str]]
    scrub: Callable[[Scrubber, bytes, list[int], str], tuple[bytes, list[int]]]
    refusal: Callable[[int, Mapping[str, str], bytes], PenstockError]


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
        WrongUse: the request is not one that can be sent, or the case exists.
        PenstockError: there is no answer to keep.
    """
    if not recording.force and any((recording.out / name).exists() for name in (STREAM, REQUEST, META)):
        raise WrongUse(f"{recording.out} holds a case already; --force replaces it")
    kind = KINDS[recording.upstream]
    meta = Meta(recording.upstream, recording.surface, recording.source, datetime.now(UTC).date(), recording.title, recording.agent)
    try:
        request = SURFACES[recording.surface](Case(recording.out, b"", recording.request, meta))
    except PenstockError as error:
        raise WrongUse(f"the request body cannot be sent: {error.message}") from None
    reads: list[tuple[float, bytes]] = []
    fault = await _exchange(recording, kind.body(request), reads, watch)
    if fault is not None and not reads:
        raise fault
    case = _scrubbed(recording, meta, reads)
    ending = _ending(case)
    write_case(case)
    # what the connection did explains a missing end mark better than the codec can
    return Outcome(case, (fault if isinstance(ending, StreamCut) else None) or ending, not isinstance(ending, StreamCut | ProtocolViolation))


def composer_body(request: Request) -> bytes:
    """A request as the bytes that Composer takes, with fresh ids; raises WrongUse for images."""
    if any(isinstance(part, ImagePart) for message in request.messages for part in message.parts):
        raise WrongUse("the request holds images, which the recorder does not send")
    return write_message(request, assemble_prompt(request), Identity())


def chat_body(request: Request) -> bytes:
    """A request as a Chat Completions body; nothing that the client sent is left out of it for want of a profile."""
    return write_chat_body(request, ChatProfile())


KINDS = {
    "composer": Kind(composer_body, lambda: connect_headers(Identity()), scrub_stream, error_from_http),
    "openai-chat": Kind(chat_body, lambda: REQUEST_HEADERS, scrub_events, OpenAIErrors(callers_key=True).from_http),
}
"""`upstream` in meta.toml -> how such an upstream is recorded."""


async def _exchange(recording: Recording, body: bytes, reads: list[tuple[float, bytes]], watch: Watch | None) -> UpstreamError | None:
    """Fill `reads`; returns what broke the answer off, raises what came instead of one."""
    from pipeline.upstream.http import open_client, told_faults

    kind = KINDS[recording.upstream]
    headers = [*recording.headers, *kind.headers().items()]
    async with open_client(recording.timeouts) as client:
        with told_faults():
            request = client.build_request("POST", recording.url, content=body, headers=headers)
            response = None
            with anyio.move_on_after(recording.timeouts.first_event_seconds):
                response = await client.send(request, stream=True)
            if response is None:
                raise UpstreamTimeout(f"The upstream sent nothing for {recording.timeouts.first_event_seconds:g} seconds.")
        try:
            with told_faults():
                if response.status_code != 200:
                    raise await _http_error(kind, response)
            return await keep_reads(response.aiter_bytes(), reads, recording.timeouts.idle_seconds, watch)
        finally:
            await response.aclose()


async def _http_error(kind: Kind, response: "Response") -> PenstockError:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ERROR_BYTES:
            break
    return kind.refusal(response.status_code, response.headers, body[:MAX_ERROR_BYTES])


async def keep_reads(
    pieces: AsyncIterator[bytes], reads: list[tuple[float, bytes]], idle_seconds: float, watch: Watch | None
) -> UpstreamError | None:
    """Append the answer's reads, each with the seconds since the one before; returns what broke it off."""
    from pipeline.upstream.http import told_faults

    started = last = anyio.current_time()
    count = 0
    while True:
        piece = None
        try:
            with told_faults(), anyio.move_on_after(idle_seconds) as clock:
                piece = await anext(pieces, None)
        except UpstreamError as fault:
            return fault
        if clock.cancelled_caught:
            return UpstreamTimeout(f"The upstream fell silent for {idle_seconds:g} seconds.")
        if piece is None:
            return None
        now = anyio.current_time()
        reads.append((now - last, piece))
        last = now
        count += len(piece)
        if watch is not None:
            watch(count, len(reads), now - started)


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
