"""The whole flow, in the order in which a request passes it; no other module knows this order.

::

    Request ─write─▶ upstream ─▶ list[Event] … ─clocks─▶ … ─machine─▶ … ─meter─▶ … ─emitter─▶ bytes

Each stage is an async generator over lists around a synchronous machine (`pipeline.stages`). One upstream read is one list is
one write. Errors travel as `Failed`. Here, at the edge, one that comes before anything else is raised, so that it can be an HTTP status; a later one
ends the stream in the dialect's own way.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

import anyio
import anyio.to_thread
import msgspec

from pipeline.clocks import SILENCE_SECONDS, Stop, Timeouts, Watched
from pipeline.emit.base import AnswerHead, Dialect, Emitter
from pipeline.emit.chat import CHAT
from pipeline.emit.whole import Whole
from pipeline.errors import AnswerUnsatisfied
from pipeline.events import Event, Finish, Notice, UpstreamEvent
from pipeline.identity import Identity
from pipeline.machine.answer import Markup, taught
from pipeline.machine.custom_calls import CustomCalls
from pipeline.machine.delivered_calls import DeliveredCalls
from pipeline.machine.json_answer import Checker
from pipeline.machine.limits import LimitsMachine
from pipeline.machine.plain import PlainMachine
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.machine.tools.names import unreadable_names
from pipeline.machine.written import WrittenCall
from pipeline.models import Price
from pipeline.promises import PromptReader, checker_of
from pipeline.request import Request, TextPart, ToolMode
from pipeline.stages import complete, emitted, first_events, stage
from pipeline.upstream.base import Upstream
from pipeline.usage.estimate import Method
from pipeline.usage.meter import UsageMeter

LARGE_CHARS = 1_000_000
"""A request of more text, in its messages, its calls and its tools, is written in a thread, so that other answers go on meanwhile."""


class Terms(msgspec.Struct, frozen=True):
    """What an answer is made under: policies and clocks of the operator, ids and the time.

    `strict_tool_choice`: an answer without the call that `tool_choice` required is a fault. `total_at` is when the total clock runs out, in
    `anyio.current_time()`, where it runs already. `observe` is shown the events as the client gets them, and passes them on. `written` is given the
    calls as the model wrote them.
    """

    policy: ToolPolicy = ToolPolicy()
    markup: Markup = Markup()
    strict_tool_choice: bool = False
    timeouts: Timeouts = Timeouts()
    stop: Stop = msgspec.field(default_factory=Stop)
    identity: Identity = msgspec.field(default_factory=Identity)
    show_thinking: bool = False
    price: Price | None = None
    usage_method: Method = "calibrated"
    dialect: Dialect = CHAT
    keepalive_seconds: float = SILENCE_SECONDS
    total_at: float | None = None
    observe: Callable[[list[Event]], list[Event]] | None = None
    written: list[WrittenCall] | None = None


class Exchange:
    """One request on its way through one upstream, and what became of it.

    `noticed` is what was said before the answer began, or failed; `ended_at` when the upstream came to its proper end, in `anyio.current_time()`, and
    None before that: the client may read on for long.
    """

    def __init__(
        self,
        request: Request,
        upstream: Upstream,
        terms: Terms,
        *,
        model: str | None = None,
        key: str | None = None,
        checker: Checker | None = None,
    ) -> None:
        """Writes the request in the upstream's form; raises RequestError for what it cannot take.

        `model` is the upstream's id of the model where it is not the client's; `key` is the caller's own key where the upstream takes one; `checker`
        is that of the request's format where it was read already.
        """
        self.request = request
        self.upstream = upstream
        self.terms = terms
        self.noticed: list[Notice] = []
        self._checker = checker or (None if upstream.keeps_promises else checker_of(request))
        self._outgoing = upstream.write(request if model is None else msgspec.structs.replace(request, model=model))
        is_called = upstream.writes_markers and request.tool_choice.mode is not ToolMode.NONE
        self._unreadable = unreadable_names(self._outgoing.request.tools) if is_called else ()
        self._key = key
        self._total_at = terms.total_at
        self._source: Watched | None = None
        self.ended_at: float | None = None
        self.meter = UsageMeter(self._outgoing.prompt, terms.usage_method, counted=self._outgoing.counted)
        self.head = AnswerHead(
            id=terms.identity.new(terms.dialect.id_prefix),
            created=terms.identity.created(),
            model=request.model,
            show_thinking=terms.show_thinking,
            include_usage=request.include_usage,
            price=terms.price,
        )

    @classmethod
    async def prepared(cls, request: Request, upstream: Upstream, terms: Terms, *, model: str | None = None, key: str | None = None) -> "Exchange":
        """An exchange of a request of which something may have to be fetched first; what can be refused without that is refused before.

        Raises:
            PenstockError: the upstream cannot take the request, or what it names cannot be had.
        """
        checker = None if upstream.keeps_promises else checker_of(request)
        ready = await upstream.prepared(request if model is None else msgspec.structs.replace(request, model=model))
        request = msgspec.structs.replace(ready, model=request.model)
        written = partial(cls, request, upstream, terms, model=model, key=key, checker=checker)
        if _chars_of(request) < LARGE_CHARS:
            return written()
        return await anyio.to_thread.run_sync(written)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The client's parameters that have no effect on this upstream, by name."""
        return self._outgoing.ignored

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What parsing and writing the request left otherwise than the client sent it."""
        return (*self.request.notices, *self._outgoing.notices, *self._unreadable)

    def events(self) -> AsyncGenerator[list[Event], None]:
        """The answer's events. Exactly one `Finish` or `Failed` ends them."""
        terms = self.terms
        if self._total_at is None:  # one clock for all attempts
            self._total_at = anyio.current_time() + terms.timeouts.total_seconds
        self._source = Watched(self.upstream.stream(self._outgoing, self._key), terms.timeouts, terms.stop, total_at=self._total_at)
        answer = stage(complete(self._source), self._reader())
        if wrapped := self._wrapped():
            answer = stage(answer, CustomCalls(wrapped).feed)
        if terms.observe is not None:
            answer = stage(answer, terms.observe)
        if self._outgoing.settle is not None:
            answer = stage(answer, DeliveredCalls(self._outgoing.settle).feed)
        return stage(answer, self._counted)

    @property
    def held_seconds(self) -> float:
        """How long the upstream was kept waiting, by the client above all."""
        return 0.0 if self._source is None else self._source.held_seconds

    def again(self) -> None:
        """Prepare a second attempt: the same request, under new ids; what both use is counted."""
        self._outgoing = self._outgoing.renewed()
        self.meter.ask_again()

    def _reader(self) -> Callable[[list[UpstreamEvent]], list[Event]]:
        """The machine that an answer goes through. An upstream that takes nothing but a prompt keeps no promises, so they are kept here."""
        if self.upstream.keeps_promises:
            return PlainMachine(LimitsMachine(self._outgoing.stops) if self._outgoing.stops else None).feed
        terms, outgoing = self.terms, self._outgoing
        return PromptReader(
            outgoing.request,  # in which there are functions only
            self._checker,
            new_id=partial(terms.identity.new, "call_"),
            count=self.meter.new_count(),
            policy=terms.policy,
            markup=terms.markup if outgoing.markers else taught(terms.markup, outgoing.trigger),
            writes_markers=self.upstream.writes_markers,
            strict_tool_choice=terms.strict_tool_choice,
            written=terms.written,
        ).feed

    def _counted(self, batch: list[Event]) -> list[Event]:
        if batch and isinstance(batch[-1], Finish):
            self.ended_at = anyio.current_time()
        return self.meter.feed(batch)

    def _wrapped(self) -> frozenset[str]:
        """The client's custom tools that the upstream was offered as functions."""
        custom = frozenset(tool.name for tool in self.request.tools if tool.custom)
        return custom and custom - {tool.name for tool in self._outgoing.request.tools if tool.custom}


def _chars_of(request: Request) -> int:
    """How much there is to write; the schema of a tool counts as long as it is as JSON."""
    chars = 0
    for message in request.messages:
        chars += sum(len(part.text) for part in message.parts if isinstance(part, TextPart)) + len(message.reasoning or "")
        chars += sum(len(call.arguments) for call in message.tool_calls)
    return chars + sum(len(tool.description) + len(msgspec.json.encode(tool.parameters)) for tool in request.tools)


class Answer:
    """An answer that has begun: `pieces` are its bytes, `notices` what is known before the first of them, and `emitter` knows afterwards how it went.

    Whoever opened it closes it; `on_close` is then called, once.
    """

    def __init__(
        self, events: AsyncGenerator[list[Event], None], emitter: Emitter, pieces: AsyncGenerator[bytes, None], notices: list[Notice]
    ) -> None:
        self.emitter = emitter
        self.pieces = pieces
        self.notices = notices
        self.on_close: Callable[[], None] | None = None
        self._events = events

    async def aclose(self) -> None:
        """Close the stream and its upstream, also one whose first piece was never asked for."""
        await self.pieces.aclose()
        await self._events.aclose()
        told, self.on_close = self.on_close, None
        if told is not None:
            told()


async def open_stream(exchange: Exchange) -> Answer:
    """Pull until the upstream has said something, then give the stream; raises PenstockError when what it said is a fault."""
    events = exchange.events()
    emitter = exchange.terms.dialect.stream(exchange.head, exchange.meter.report)
    emitter.notices.extend(exchange.notices)
    first: list[Event] = []
    try:
        await first_events(events, first)
    except BaseException:
        await events.aclose()
        raise
    finally:
        exchange.noticed = [*exchange.notices, *(event for event in first if isinstance(event, Notice))]
    return Answer(events, emitter, emitted(first, events, emitter, exchange.terms.keepalive_seconds), exchange.noticed)


async def collect(exchange: Exchange) -> tuple[bytes, Whole]:
    """The whole answer's body, and the fold that it was made from; raises PenstockError when the stream failed.

    An answer that does not keep what the request promised its client is asked for a second time, since nothing of it has left.
    """
    whole = await folded(exchange)
    if isinstance(whole.error, AnswerUnsatisfied):
        broken = whole.error.code
        exchange.again()
        whole = await folded(exchange)
        whole.add([Notice("asked_again", f"the model's first answer was put aside: {broken}")])
    if whole.error is not None:
        exchange.noticed = whole.notices
        raise whole.error
    return exchange.terms.dialect.whole(exchange.head, whole, exchange.meter.report()), whole


async def folded(exchange: Exchange) -> Whole:
    """One attempt, as the fold over its events."""
    whole = Whole()
    whole.add(exchange.notices)
    async with aclosing(exchange.events()) as events:
        async for batch in events:
            whole.add(batch)
    return whole
