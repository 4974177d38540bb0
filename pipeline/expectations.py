r"""What the pipeline makes of a recorded case, as the files that lie in its `expected/` folder.

Theory of operation: a case goes through the real flow, from its request body to the bytes that a client gets, once for each file; ids and the time
are frozen and the clocks are off, so that the same case always gives the same bytes. `FORMS` is the list of the files:

- `events.txt`: the events, one a line, as `Type field=value`; values are JSON, characters that end a line or steer a terminal are escaped.
- `chat.sse`: the streamed answer, raw. Keep-alive comments are left out, since they tell of the clock and not of the answer.
- `chat.json`: the whole answer, raw.
- `cursor.sse`, `cursor.json`: the same two as Cursor gets them, of a case whose request is one of Cursor's.
- `responses.sse`, `responses.json`: the same two in the Responses API, of a case whose request is in it.
- `messages.sse`, `messages.json`: the same two in Anthropic's Messages, of a case whose request is in it.

An answer that fails before it has begun is an HTTP error: its file then holds `HTTP <status>`, `Retry-After` where there is one, an empty line, and
the body. The bytes depend on the case alone: neither the cut of the stream nor the speed may change them.

>>> from pipeline.events import TextDelta
>>> event_line(TextDelta("a\nb"))
'TextDelta text="a\\nb"'
"""

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import msgspec

from pipeline.cases import META, REQUEST, Case, CaseError
from pipeline.clocks import Timeouts
from pipeline.echo import Echo
from pipeline.emit.base import BrokenOff, Dialect
from pipeline.emit.chat import CHAT, KEEPALIVE
from pipeline.emit.cursor import cursor_dialect
from pipeline.emit.messages import MESSAGES, PING
from pipeline.emit.responses import responses_dialect
from pipeline.errors import PenstockError
from pipeline.events import Event, Failed
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.identity import Identity
from pipeline.machine.written import WrittenCall
from pipeline.parse.chat import parse_chat
from pipeline.parse.cursor import parse_cursor
from pipeline.parse.messages import parse_messages
from pipeline.parse.responses import parse_responses
from pipeline.request import Request
from pipeline.upstream.replayed import ReplayedUpstream, Split

CURSOR = cursor_dialect("think")
BROKEN = b"[the connection is broken off here]\n"
NO_CLOCKS = Timeouts(first_event_seconds=math.inf, idle_seconds=math.inf, total_seconds=math.inf)

# JSON escapes the other control characters itself.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _parse_chat(case: Case) -> Request:
    return parse_chat(case.request, agent=case.meta.agent)


def _parse_cursor(case: Case) -> Request:
    return parse_cursor(case.request)


def _parse_responses(case: Case) -> Request:
    return parse_responses(case.request, agent=case.meta.agent).request


def _parse_messages(case: Case) -> Request:
    return parse_messages(case.request, agent=case.meta.agent).request


# `surface` in meta.toml -> how its body is read
SURFACES: dict[str, Callable[[Case], Request]] = {
    "chat": _parse_chat,
    "cursor": _parse_cursor,
    "responses": _parse_responses,
    "messages": _parse_messages,
}


class Comparison(msgspec.Struct, frozen=True):
    """One file: `expected` is None when it is missing; `written` says that `--update` wrote it."""

    file: str
    expected: bytes | None
    actual: bytes
    written: bool = False

    @property
    def differs(self) -> bool:
        """Whether the file holds anything else, or is missing."""
        return self.expected != self.actual


class Result(msgspec.Struct, frozen=True):
    """One case; `error` says why it could not be read or written."""

    path: Path
    comparisons: tuple[Comparison, ...] = ()
    error: str | None = None


class Replay(msgspec.Struct, frozen=True):
    """A case and the way in which it is fed."""

    case: Case
    split: Split = Split()
    speed: float = 0.0

    def request(self) -> Request:
        """The canonical request; raises CaseError when the body is not one that its surface takes."""
        surface = self.case.meta.surface
        if surface not in SURFACES:
            raise CaseError(f"{self.case.path / META}: surface {surface!r} is not known: {', '.join(SURFACES)}")
        try:
            return SURFACES[surface](self.case)
        except PenstockError as error:
            raise CaseError(f"{self.case.path / REQUEST}: {error.message}") from None

    def echo(self) -> Echo:
        """What a Response says again of the recorded request; that of another dialect has nothing to say there. Raises CaseError."""
        if self.case.meta.surface != "responses":
            return Echo()
        self.request()  # says what is wrong with it
        return parse_responses(self.case.request, agent=self.case.meta.agent).echo

    def exchange(self, request: Request | None = None, written: list[WrittenCall] | None = None, dialect: Dialect = CHAT) -> Exchange:
        """A fresh exchange under frozen terms; raises CaseError.

        `request` stands for the recorded one where it is given, and calls are added to `written` as the model wrote them.
        """
        upstream = ReplayedUpstream(self.case, self.split, self.speed)
        # the files of Chat Completions show no reasoning, and events.txt has it
        terms = Terms(timeouts=NO_CLOCKS, identity=Identity.frozen(), written=written, dialect=dialect, show_thinking=dialect is not CHAT)
        try:
            return Exchange(request or self.request(), upstream, terms)
        except PenstockError as error:
            raise CaseError(f"{self.case.path / REQUEST}: {error.message}") from None


async def replayed_events(
    replay: Replay,
    watch: Callable[[Sequence[Event]], None] | None = None,
    *,
    request: Request | None = None,
    written: list[WrittenCall] | None = None,
) -> list[Event]:
    """The case's events in order; `watch` is given each list as it comes. For the other two see `Replay.exchange`."""
    events: list[Event] = []
    async with aclosing(replay.exchange(request, written).events()) as batches:
        async for batch in batches:
            if watch is not None:
                watch(batch)
            events += batch
    return events


async def events_text(replay: Replay) -> bytes:
    """`events.txt`."""
    return "".join(event_line(event) + "\n" for event in await replayed_events(replay)).encode()


async def streamed(replay: Replay, dialect: Dialect = CHAT) -> bytes:
    """A stream of a dialect; also when the recorded request did not ask for one. One that is broken off says so behind its last byte."""
    pieces: list[bytes] = []
    try:
        answer = await open_stream(replay.exchange(dialect=dialect))
    except PenstockError as error:
        return http_error(error)
    try:
        async for piece in answer.pieces:
            if piece not in (KEEPALIVE, PING):
                pieces.append(piece)  # noqa: PERF401 - what came before a break counts
    except BrokenOff:
        pieces.append(BROKEN)
    finally:
        await answer.aclose()
    return b"".join(pieces)


async def whole(replay: Replay, dialect: Dialect = CHAT) -> bytes:
    """A whole answer of a dialect."""
    try:
        body, _ = await collect(replay.exchange(dialect=dialect))
    except PenstockError as error:
        return http_error(error)
    return body


async def responses_stream(replay: Replay) -> bytes:
    """`responses.sse`."""
    return await streamed(replay, _responses(replay))


async def responses_whole(replay: Replay) -> bytes:
    """`responses.json`."""
    return await whole(replay, _responses(replay))


def _responses(replay: Replay) -> Dialect:
    return responses_dialect(replay.echo(), shows_reasoning=True, now=Identity.frozen().created)


FORMS: dict[str, Callable[[Replay], Awaitable[bytes]]] = {
    "events.txt": events_text,
    "chat.sse": streamed,
    "chat.json": whole,
    "cursor.sse": partial(streamed, dialect=CURSOR),
    "cursor.json": partial(whole, dialect=CURSOR),
    "responses.sse": responses_stream,
    "responses.json": responses_whole,
    "messages.sse": partial(streamed, dialect=MESSAGES),
    "messages.json": partial(whole, dialect=MESSAGES),
}
"""File name -> what makes it."""


def files_of(case: Case) -> tuple[str, ...]:
    """The files that a case has: those of Chat Completions, and those of the dialect that its request is in."""
    return tuple(file for file in FORMS if file.partition(".")[0] in ("events", "chat", case.meta.surface))


def event_line(event: Event) -> str:
    """One event as one line, without its end."""
    if isinstance(event, Failed):
        error = event.error
        fields = {"error": type(error).__name__, "status": error.status, **error.body(), "retry_after_seconds": error.retry_after_seconds}
    else:
        fields = msgspec.structs.asdict(event)
        # nearly every tool is a function, and nearly every usage holds nothing else
        fields = {name: value for name, value in fields.items() if (name, value) not in (("custom", False), ("extra", {}))}
    shown = " ".join(f"{name}={json_line(value)}" for name, value in fields.items() if value is not None)
    return f"{type(event).__name__} {shown}".rstrip()


def json_line(value: object) -> str:
    r"""JSON that stays on its line and steers no terminal.

    >>> json_line("é\u2028\x9b")
    '"é\\u2028\\u009b"'
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(value).decode())


def http_error(error: PenstockError) -> bytes:
    """An answer that is an HTTP error, readable as a file."""
    retry = "" if error.retry_after_seconds is None else f"Retry-After: {math.ceil(error.retry_after_seconds)}\n"
    return f"HTTP {error.status}\n{retry}\n".encode() + msgspec.json.encode({"error": error.body()})
