"""From a parsed request to a response: find the targets, run the flow over them, and say in headers and in the log what was done."""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec
import trio
from quart import Response

from pipeline.clocks import SILENCE_SECONDS
from pipeline.emit.base import Dialect
from pipeline.emit.chat import CHAT
from pipeline.errors import ContextLengthExceeded, Draining, PenstockError
from pipeline.events import Event, Failed, Finish, Notice
from pipeline.failover import Attempt, Candidate, Trail, collect_first, open_first
from pipeline.flow import Answer, Exchange
from pipeline.parse.shown_reasoning import is_large, strip_shown
from pipeline.request import Request
from pipeline.upstream.health import Health
from server.access_log import MAX_WORD_CHARS, Record
from server.front_door import Caller
from server.lifecycle import Lifecycle
from server.local_answers import asked_usage, head_of, overflow_signal, overflow_usage
from server.opening import EarlyAnswer, Opening
from server.routing import Destination, Plan, Routing
from server.settings import Route, Settings
from server.shaping import strips_shown
from server.streaming import Streamable, StreamedResponse, spawn
from server.targets import Form, Targets, conversation_of

MAX_HEADER_CHARS = 1024
CUT = ", ..."
MAX_NAMED_ATTEMPTS = 8
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Surface(msgspec.Struct, frozen=True):
    """How a request is answered: the dialect under a route, and whether the client is Cursor's backend.

    `opened` is given the answer that a stream is of, and gives what is sent.
    """

    dialect: Callable[[Route], Dialect] = lambda _: CHAT
    for_cursor: bool = False
    opened: Callable[[Answer], Streamable] = lambda answer: answer


CHAT_SURFACE = Surface()


class Answering:
    """Answers requests under one server's settings."""

    def __init__(self, settings: Settings, routing: Routing, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._routing = routing
        self._lifecycle = lifecycle
        self._targets = Targets(settings, lifecycle)
        self._health = Health()

    async def answer(self, request: Request, caller: Caller, record: Record, surface: Surface = CHAT_SURFACE) -> Response | StreamedResponse:
        """The response in the request's dialect; raises PenstockError for what fails before the first byte."""
        record.model = request.model
        record.notices = list(request.notices)
        if self._lifecycle.draining.is_set():
            raise Draining("The server is shutting down; send the request again.", retry_after_seconds=1)
        plan = self._routing.plan(request.model)
        record.upstream = plan.destinations[0].upstream.name
        caller.check_model(request.model, plan.names)
        if not request.model:
            request = msgspec.structs.replace(request, model=plan.destinations[0].model.id)
        if strips_shown(plan.route, for_cursor=surface.for_cursor):
            request = await trio.to_thread.run_sync(strip_shown, request) if is_large(request) else strip_shown(request)
        try:
            return await self._tried(request, plan, caller, record, surface)
        except ContextLengthExceeded:
            refused = self._refused(plan, record.trail)
            if not (surface.for_cursor and self._signals_overflow(plan, refused)):
                raise
            record.notices.append(_signalled())
            return overflow_signal(request, surface.dialect(plan.route), _window_of(refused), self._settings.usage.method)

    async def _tried(self, request: Request, plan: Plan, caller: Caller, record: Record, surface: Surface) -> Response | StreamedResponse:
        """The answer of the first target that gives one."""
        total_at = trio.current_time() + self._settings.timeouts.total_seconds
        conversation = conversation_of(request, caller, plan.wanted)
        attempt = Attempting(self._health, record, conversation, wait_seconds=self._settings.failover.wait_seconds, total_at=total_at)
        keepalive = self._settings.cursor.keepalive_seconds if surface.for_cursor else SILENCE_SECONDS
        form = Form(dialect=surface.dialect(plan.route), keepalive_seconds=keepalive, total_at=total_at)
        candidates = self._targets.candidates(request, plan, caller, attempt.hear, **form)
        awaiting = self._targets.awaiting(request, plan, caller)
        # before every other order, also where the target cools: what waits there is well
        attempt.candidates = sorted(self._health.ordered(candidates, plan.order, conversation), key=lambda each: each.target not in awaiting)
        early = self._settings.cursor.early_headers_seconds if surface.for_cursor else 0.0
        if not request.stream:
            return await attempt.collected()
        if not early:
            answer = await attempt.opened()
        else:
            opening = Opening()
            spawn(opening.run, attempt.opened)
            there = await opening.wait(early)
            if there is None:
                return StreamedResponse(record.streaming(self._early(opening, request, plan, record, form)))
            answer = there
        response = StreamedResponse(record.streaming(surface.opened(answer)))
        _say(response, answer.notices, attempt.ignored)
        return response

    def _early(self, opening: Opening, request: Request, plan: Plan, record: Record, form: Form) -> EarlyAnswer:
        """An answer that begins before its opening is over; Cursor alone is given one."""
        method = self._settings.usage.method
        used = partial(asked_usage, request, method)

        def said(error: PenstockError) -> Sequence[Event]:
            nonlocal used
            if isinstance(error, ContextLengthExceeded):
                refused = self._refused(plan, record.trail)
                if self._signals_overflow(plan, refused):
                    used = partial(overflow_usage, request, _window_of(refused), method)
                    return [*record.notices, _signalled(), Finish()]
            return [*record.notices, Failed(error)]

        failing = form["dialect"].stream(head_of(request, form["dialect"]), lambda: used())
        return EarlyAnswer(opening, failing, said, form["keepalive_seconds"])

    def _refused(self, plan: Plan, trail: Trail) -> Sequence[Destination]:
        """The destinations for which the conversation was too long."""
        targets = {attempt.target for attempt in trail.attempts if attempt.outcome == ContextLengthExceeded.default_code}
        return [destination for destination in plan.destinations if destination.target in targets]

    def _signals_overflow(self, plan: Plan, refused: Sequence[Destination]) -> bool:
        """Whether the route says so; where it says nothing, whether one of the upstreams that refused does."""
        tables = [self._settings.upstreams[destination.upstream.name] for destination in refused]
        ruled = [plan.route.context_overflow] if plan.route.context_overflow else [getattr(table, "context_overflow", None) for table in tables]
        return "signal" in ruled


class Attempting:
    """One request on its way over its targets; the trail of them is its record's."""

    def __init__(self, health: Health, record: Record, conversation: str | None, *, wait_seconds: float, total_at: float) -> None:
        self.candidates: Sequence[Candidate] = ()
        self.ignored: tuple[str, ...] = ()
        self._record = record
        self._last: Exchange | None = None
        self._first = partial(open_first, health=health, trail=record.trail, conversation=conversation, wait_seconds=wait_seconds, total_at=total_at)
        self._whole = partial(
            collect_first, health=health, trail=record.trail, conversation=conversation, wait_seconds=wait_seconds, total_at=total_at
        )

    def hear(self, exchange: Exchange) -> None:
        """A target is being asked."""
        self._last = exchange

    async def opened(self) -> Answer:
        """The first answer that begins."""
        with self._noticing():
            exchange, answer = await self._first(self.candidates)
        self.ignored = exchange.ignored
        return answer

    async def collected(self) -> Response:
        """The first whole answer."""
        with self._noticing():
            exchange, body, whole = await self._whole(self.candidates)
        self._record.notices = whole.notices
        response = Response(body, content_type="application/json")
        _say(response, whole.notices, exchange.ignored)
        return response

    @contextmanager
    def _noticing(self) -> Generator[None]:
        """What was said before a failure is in the log."""
        try:
            yield
        except PenstockError:
            self._record.notices = (self._last.noticed if self._last is not None else []) or self._record.notices
            raise


def _signalled() -> Notice:
    return Notice("overflow_signalled", "the conversation does not fit, and the answer's usage says so")


def _window_of(refused: Sequence[Destination]) -> int | None:
    """The largest window that is known of these."""
    return max((destination.model.context_window or 0 for destination in refused), default=0) or None


def _say(response: Response | StreamedResponse, notices: Iterable[Notice], ignored: Iterable[str]) -> None:
    name_in_header(response, "penstock-notices", [notice.code for notice in notices])
    name_in_header(response, "penstock-ignored", ignored)


def name_in_header(response: Response | StreamedResponse, header: str, words: Iterable[str]) -> None:
    """Set a header to the words, each once, as many as fit, and `...` behind them if there are more.

    A client may have written them, and one that is none is shown as `?`.
    """
    value = ", ".join(dict.fromkeys(word if _WORD.fullmatch(word) else "?" for word in words))
    if len(value) > MAX_HEADER_CHARS:
        room = MAX_HEADER_CHARS - len(CUT)
        value = value[: value.rindex(",", 0, room + 1)] + CUT  # a word is short, so that there is a comma
    if value:
        response.headers[header] = value


def name_targets(response: Response, attempts: Sequence[Attempt]) -> None:
    """Say in headers which target answered, or was tried last, and what became of the others before it."""
    if not attempts:
        return
    response.headers["penstock-target"] = _ascii(attempts[-1].target)
    if len(attempts) > 1:
        tried = [f"{_ascii(attempt.target)}:{attempt.outcome}" for attempt in attempts[-MAX_NAMED_ATTEMPTS:]]
        response.headers["penstock-attempts"] = ", ".join(tried)


def _ascii(target: str) -> str:
    """A target's name as one word of a header: a client may have written the model's id."""
    return "".join(character if "!" <= character <= "~" and character != "," else "?" for character in target[:MAX_WORD_CHARS])
