"""The targets of one request, each ready to be tried: `pipeline.failover` tries them in the order that `Health` gives them.

Theory of operation: a request, the plan for it and its caller come in; a `Candidate` for each target goes out. Each one writes the request for its
own upstream when its turn comes, under its own policies, price and profile, and with the reasoning that is remembered for it. All share one total
clock.

A request that brings results of tools may be waited for by one of the targets: `awaiting` names it, since any other has to be told all of it again.

Invariants: a caller's key goes to the upstream whose credential it is, whichever target is tried. Images are charged as large as they may be before
they are fetched, and as large as they are behind it.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

import msgspec

from pipeline.emit.base import Dialect
from pipeline.failover import Candidate
from pipeline.flow import Exchange, Terms
from pipeline.reasoning_memory import ReasoningMemory, Remembering
from pipeline.request import Request
from pipeline.upstream.base import Awaits
from pipeline.upstream.images import fetched_bytes, most_fetched_bytes
from server.bodies import charge_files, settle_files
from server.front_door import Caller
from server.lifecycle import Lifecycle
from server.routing import Destination, Plan
from server.settings import Settings
from server.shaping import shaped, shows_reasoning
from server.upstream_settings import ApiServer
from server.upstreams import timeouts_of

THINK_NOT = {"type": "disabled"}
"""What DeepSeek's, Moonshot's and Zhipu's servers take as `thinking` for a turn without it."""


class Form(TypedDict):
    """How an answer is written and until when: `total_at` is when the time for all targets is over, in the runtime's clock."""

    dialect: Dialect
    keepalive_seconds: float
    total_at: float


class Targets:
    """Makes the candidates of one server's requests."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._timeouts = timeouts_of(settings)
        reasoning = settings.reasoning
        self._memory: ReasoningMemory | None = None
        if reasoning.memory == "on":
            self._memory = ReasoningMemory(reasoning.memory_entries, reasoning.memory_bytes, reasoning.memory_seconds)

    def candidates(self, request: Request, plan: Plan, caller: Caller, told: Callable[[Exchange], None], **form: Unpack[Form]) -> Sequence[Candidate]:
        """One for each of the plan's targets, in the route's order; `told` hears of each exchange when it is to be tried."""
        terms = partial(self._terms, **form)
        return [
            Candidate(
                target=destination.target,
                prepare=partial(self._prepared, request, plan, destination, caller, terms, told),
                cooldown_seconds=destination.cooldown_seconds,
                price=None if destination.price is None else destination.price.input_usd + destination.price.output_usd,
                by_callers_key=self._settings.upstreams[destination.upstream.name].takes_callers_key,
            )
            for destination in plan.destinations
        ]

    def awaiting(self, request: Request, plan: Plan, caller: Caller) -> frozenset[str]:
        """The targets that hold something open for the results which this request brings."""
        return frozenset(
            destination.target
            for destination in plan.destinations
            if isinstance(destination.upstream, Awaits)
            and destination.upstream.awaits(msgspec.structs.replace(request, model=destination.model_id), caller.upstream_key)
        )

    async def _prepared(
        self,
        request: Request,
        plan: Plan,
        destination: Destination,
        caller: Caller,
        terms_of: Callable[[Request, Destination, Remembering | None], Terms],
        told: Callable[[Exchange], None],
    ) -> Exchange:
        """The request in the form of one target."""
        request, remembering = self._recalled(request, plan, destination, caller)
        request = shaped(request, plan)
        terms = terms_of(request, destination, remembering)
        images = self._settings.images
        is_fetched = images.fetch and self._settings.upstreams[destination.upstream.name].is_sent_images
        charged = charge_files(most_fetched_bytes(request, images.max_bytes) if is_fetched else 0)
        exchange = await Exchange.prepared(request, destination.upstream, terms, model=destination.model_id, key=caller.upstream_key)
        settle_files(charged, fetched_bytes(exchange.request))
        told(exchange)
        return exchange

    def _terms(self, request: Request, destination: Destination, remembering: Remembering | None, **form: Unpack[Form]) -> Terms:
        policy, markup, strict = self._settings.upstreams[destination.upstream.name].reading()
        return Terms(
            policy=policy,
            markup=markup,
            strict_tool_choice=strict,
            timeouts=self._timeouts,
            stop=self._lifecycle.stop,
            show_thinking=shows_reasoning(request, self._settings.reasoning.output),
            price=destination.price,
            usage_method=self._settings.usage.method,
            **form,
            observe=None if remembering is None else remembering.feed,
        )

    def _recalled(self, request: Request, plan: Plan, destination: Destination, caller: Caller) -> tuple[Request, Remembering | None]:
        """The request with the reasoning that its client did not send back, for a target that wants it, and what will remember the answer's.

        Only a target that was seen to think is told not to: any other may not know the word.
        """
        table = self._settings.upstreams[destination.upstream.name]
        if self._memory is None or not isinstance(table, ApiServer) or not table.reasoning_field:
            return request, None
        owner = owner_of(caller)
        target = destination.target
        remembering = Remembering(self._memory, request, owner=owner, model=plan.wanted, target=target)
        recalled = self._memory.recall(request, owner=owner, model=plan.wanted, target=target)
        is_to_rest = self._settings.reasoning.memory_miss == "disable" and self._memory.thinks(target)
        if is_to_rest and "thinking" not in recalled.extra and self._memory.missing(recalled):
            recalled = msgspec.structs.replace(recalled, extra={**recalled.extra, "thinking": THINK_NOT})
        return recalled, remembering


def owner_of(caller: Caller) -> str:
    """Whose a conversation is, as a hash: what is remembered of it is not for anybody else."""
    return hashlib.sha256((caller.name or caller.upstream_key or "").encode()).hexdigest()


def conversation_of(request: Request, caller: Caller, route: str) -> str | None:
    """What a conversation of one caller with one route is remembered by; None where the client names none."""
    named = request.conversation or request.extra.get("prompt_cache_key")
    if not isinstance(named, str) or not named:
        return None
    return hashlib.sha256("\0".join((owner_of(caller), route, named)).encode()).hexdigest()
