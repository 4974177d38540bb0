"""The whole flow, in the order in which a request passes it; no other module knows this order.

::

    Request ─write─▶ upstream ─▶ list[Event] … ─clocks─▶ … ─machine─▶ … ─meter─▶ … ─emitter─▶ bytes

Each stage is an async generator over lists around a synchronous machine. One upstream read is one list is one write. Errors travel as `Failed`. Here,
at the edge, one that comes before anything else is raised, so that it can be an HTTP status; a later one ends the stream in the dialect's own way.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import TypeVar

import msgspec

from pipeline.clocks import SILENCE_SECONDS, Stop, Timeouts, Watched
from pipeline.emit.chat import ChatHead, ChatStream, chat_answer
from pipeline.emit.whole import Whole
from pipeline.errors import AnswerUnsatisfied, StreamCut
from pipeline.events import Event, Failed, Finish, Notice, UpstreamEvent
from pipeline.identity import Identity
from pipeline.machine.answer import AnswerMachine, Markup
from pipeline.machine.json_answer import Checker, JsonAnswerMachine
from pipeline.machine.limits import LimitsMachine
from pipeline.machine.plain import PlainMachine
from pipeline.machine.tool_choice import ToolChoiceMachine
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.models import Price
from pipeline.request import Request, ToolMode
from pipeline.upstream.base import Upstream
from pipeline.usage.estimate import Method
from pipeline.usage.meter import UsageMeter

Given = TypeVar("Given")
Made = TypeVar("Made")


class Terms(msgspec.Struct, frozen=True):
    """What an answer is made under: policies and clocks of the operator, ids and the time.

    `strict_tool_choice`: an answer without the call that `tool_choice` required is a fault.
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


class Exchange:
    """One request on its way through one upstream, and what became of it."""

    def __init__(self, request: Request, upstream: Upstream, terms: Terms, *, model: str | None = None, key: str | None = None) -> None:
        """Writes the request in the upstream's form; raises RequestError for what it cannot take.

        `model` is the upstream's id of the model where it is not the client's; `key` is the caller's own key where the upstream takes one.
        """
        self.request = request
        self.upstream = upstream
        self.terms = terms
        self._written = request if model is None else msgspec.structs.replace(request, model=model)
        self._outgoing = upstream.write(self._written)
        self._checker = self._checker_of(request)
        self._key = key
        self.meter = UsageMeter(self._outgoing.prompt, terms.usage_method)
        self.head = ChatHead(
            id=terms.identity.new("chatcmpl-"),
            created=terms.identity.created(),
            model=request.model,
            show_thinking=terms.show_thinking,
            include_usage=request.include_usage,
            price=terms.price,
        )

    @property
    def ignored(self) -> tuple[str, ...]:
        """The client's parameters that have no effect on this upstream, by name."""
        return self._outgoing.ignored

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What parsing and writing the request left otherwise than the client sent it."""
        return (*self.request.notices, *self._outgoing.notices)

    def events(self) -> AsyncGenerator[list[Event], None]:
        """The answer's events. Exactly one `Finish` or `Failed` ends them."""
        terms = self.terms
        source = Watched(self.upstream.stream(self._outgoing, self._key), terms.timeouts, terms.stop)
        return stage(stage(complete(source), self._machines()), self.meter.feed)

    def again(self) -> None:
        """Write the request once more, for a second attempt; what both use is counted."""
        self._outgoing = self.upstream.write(self._written)
        self.meter.ask_again()

    def _machines(self) -> Callable[[list[UpstreamEvent]], list[Event]]:
        """What an answer goes through, in order. An upstream that takes nothing but a prompt keeps no promises, so they are kept here."""
        if not self.upstream.writes_markers:
            return PlainMachine().feed
        request, terms = self.request, self.terms
        options, choice = request.options, request.tool_choice
        machine = AnswerMachine(
            new_id=partial(terms.identity.new, "call_"),
            # told not to call, the model calls nothing that was offered
            tools=() if choice.mode is ToolMode.NONE else request.tools,
            policy=terms.policy,
            markup=terms.markup,
            parallel=options.parallel_tool_calls,
        )
        feeds: list[Callable[[list[Event]], list[Event]]] = []
        if self._checker is not None:
            feeds.append(JsonAnswerMachine(self._checker, must_hold=not request.stream).feed)
        if choice.mode in (ToolMode.REQUIRED, ToolMode.FUNCTION):
            feeds.append(ToolChoiceMachine(choice, strict=terms.strict_tool_choice).feed)
        if options.stop or options.max_tokens is not None:
            feeds.append(LimitsMachine(options.stop, options.max_tokens, self.meter.new_count()).feed)
        return in_turn(machine.feed, feeds) if feeds else machine.feed

    def _checker_of(self, request: Request) -> Checker | None:
        answer_format = request.options.answer_format
        return Checker(answer_format) if self.upstream.writes_markers and answer_format.kind != "text" else None


class Answer:
    """An answer that has begun: `pieces` are its bytes, `notices` what is known before the first of them, and `emitter` knows afterwards how it went.

    Whoever opened it closes it.
    """

    def __init__(
        self, events: AsyncGenerator[list[Event], None], emitter: ChatStream, pieces: AsyncGenerator[bytes, None], notices: list[Notice]
    ) -> None:
        self.emitter = emitter
        self.pieces = pieces
        self.notices = notices
        self._events = events

    async def aclose(self) -> None:
        """Close the stream and its upstream, also one whose first piece was never asked for."""
        await self.pieces.aclose()
        await self._events.aclose()


async def open_stream(exchange: Exchange) -> Answer:
    """Pull until the upstream has said something, then give the stream; raises PenstockError when what it said is a fault."""
    events = exchange.events()
    emitter = ChatStream(exchange.head, exchange.meter.report)
    emitter.notices.extend(exchange.notices)
    try:
        first = await first_events(events)
    except BaseException:
        await events.aclose()
        raise
    notices = [*exchange.notices, *(event for event in first if isinstance(event, Notice))]
    return Answer(events, emitter, emitted(first, events, emitter), notices)


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
        raise whole.error
    return chat_answer(exchange.head, whole, exchange.meter.report()), whole


async def folded(exchange: Exchange) -> Whole:
    """One attempt, as the fold over its events."""
    whole = Whole()
    whole.add(exchange.notices)
    async with aclosing(exchange.events()) as events:
        async for batch in events:
            whole.add(batch)
    return whole


# -- stages ------------------------------------------------------------------------------------------------------------------------------------


def in_turn(
    first: Callable[[list[UpstreamEvent]], list[Event]], others: Sequence[Callable[[list[Event]], list[Event]]]
) -> Callable[[list[UpstreamEvent]], list[Event]]:
    """Several machines as one, so that a list passes them in one step."""

    def feed(batch: list[UpstreamEvent]) -> list[Event]:
        made = first(batch)
        for following in others:
            made = following(made)
        return made

    return feed


async def stage(batches: AsyncGenerator[list[Given], None], feed: Callable[[list[Given]], list[Made]]) -> AsyncGenerator[list[Made], None]:
    """A synchronous machine as a stage; it ends with the list that ends the answer.

    An empty list goes on only where one came in: what a machine holds back is not silence.
    """
    async with aclosing(batches):
        async for batch in batches:
            made = feed(batch)
            if made or not batch:
                yield made
            if made and isinstance(made[-1], Finish | Failed):
                return


async def complete(batches: Watched) -> AsyncGenerator[list[UpstreamEvent], None]:
    """A stream that ends without an end mark was cut, and says so."""
    async with aclosing(batches):
        async for batch in batches:
            yield batch
            if batch and isinstance(batch[-1], Finish | Failed):
                return
        yield [Failed(StreamCut("The upstream's stream ended before its end mark."))]


async def first_events(events: AsyncIterator[list[Event]]) -> list[Event]:
    """All up to the first list that says something; raises the error of an answer that fails before it does. Notices say nothing to a client."""
    begun: list[Event] = []
    async for batch in events:
        begun += batch
        said = next((event for event in batch if not isinstance(event, Notice)), None)
        if isinstance(said, Failed):
            raise said.error
        if said is not None:
            return begun
    raise StreamCut("The upstream's stream ended before it began.")


async def emitted(first: list[Event], events: AsyncGenerator[list[Event], None], emitter: ChatStream) -> AsyncGenerator[bytes, None]:
    """The emitter as the last stage: never an empty piece, and a comment whenever nothing was to be shown for a while."""
    async with aclosing(events):
        yield emitter.feed(first)
        quiet_since = monotonic()
        async for batch in events:
            piece = emitter.feed(batch)
            now = monotonic()
            if not piece and now - quiet_since >= SILENCE_SECONDS:
                piece = emitter.feed([])
            if piece:
                quiet_since = now
                yield piece
