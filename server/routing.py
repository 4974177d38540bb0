"""Which upstream serves which model id, and which models there are: `server.resolver` over running upstreams.

Theory of operation: a client's id is resolved by the settings and comes out as a `Plan`: a `Destination` for each target of its route, in the route's
order, with what its upstream knows of the model. That needs no network and is the same for every caller. What there is to list is known without
asking for Composer and the embedded demo. A server with one of OpenAI's APIs, or the bridge of Cursor's SDK, may serve any id, and it alone knows
which: what it told (`server.live_models`) is given to `models`, `models_of` and `described`, None standing for "it could not be asked".

Invariants: a target whose upstream does not serve its id is no destination, and a plan has at least one. An id that leads elsewhere, by a route or an
alias of its own, is never listed as one of `*`. Where the upstream of `*` told its models, no other id goes there. A model is told as its first
destination knows it, with the window that its route sets.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec

from pipeline.errors import ModelNotFound
from pipeline.models import Model, Price, nearest_models
from pipeline.upstream.base import Upstream
from pipeline.upstream.health import Order
from server.live_models import Live
from server.resolver import ANY, Lead, Resolved, asked_upstream, goes_through_any, latest_form, own_ids, price_of, resolve, target_of_any
from server.settings import Route, Settings

MAX_ID_CHARS = 512


class Destination(NamedTuple):
    """One target of a request: the upstream, its own id of the model, and what is known of the model.

    `names` are the ids under which clients get exactly this: a caller who may use one of them may use it. `target` is its name in logs and headers,
    `price` what the settings say of it, else what is known of the model, and `cooldown_seconds` how long it comes last behind a failure.
    """

    upstream: Upstream
    model_id: str
    model: Model
    names: frozenset[str]
    target: str
    price: Price | None
    cooldown_seconds: float


class Plan(NamedTuple):
    """Where a request goes, in the order of its route, which `order` may change, and what its id asked for; see `resolver.Resolved`.

    `names` are those that all destinations have.
    """

    destinations: tuple[Destination, ...]
    route: Route
    order: Order
    effort: str | None
    thinking: bool
    fast: bool
    names: frozenset[str]
    wanted: str


class Routing:
    """The routes of the settings over running upstreams."""

    def __init__(self, settings: Settings, upstreams: Mapping[str, Upstream]) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._asked_upstream = asked_upstream(settings)

    def plan(self, model_id: str) -> Plan:
        """All destinations of a client's model id, at least one; raises ModelNotFound with the ids that come nearest.

        An id that is longer than any model's is none: it would be remembered, and written again in every chunk.
        """
        if len(model_id) > MAX_ID_CHARS:
            raise ModelNotFound(f"A model's id of {len(model_id)} characters is longer than any: {model_id[:100]!r}…", param="model")
        found = resolve(self._settings, model_id)
        destinations = () if found is None else tuple(self._destinations(found, model_id))
        if found is None or not destinations:
            raise self._not_found(model_id)
        names = destinations[0].names.intersection(*(destination.names for destination in destinations[1:]))
        return Plan(destinations, found.route, found.order, found.effort, found.thinking, found.fast, names, found.wanted)

    def find(self, model_id: str) -> Destination:
        """The first destination of a client's model id; raises ModelNotFound with the ids that come nearest."""
        return self.plan(model_id).destinations[0]

    def described(self, model_id: str, live: Live | None = None) -> Model:
        """What is known of the model that a client calls `model_id`, under that id.

        Raises:
            ModelNotFound: nothing serves it; or it goes through `*`, and the upstream behind it told its models and not this one.
        """
        model = self._model(model_id, live)
        if model is None:
            raise self._not_found(model_id, live)
        return model

    def models_of(self, names: Iterable[str], live: Live | None = None) -> Iterator[Model]:
        """The models of these ids that are served, under these ids."""
        return (model for name in names if (model := self._model(name, live)) is not None)

    def models(self, live: Live | None = None) -> Iterator[Model]:
        """Every model that is served, each once, under the id that clients use."""
        for name in self._settings.routes:
            if name == ANY:
                yield from self._models_of_any(live)
            elif name not in self._settings.aliases:
                yield from self.models_of([name], live)
        yield from self.models_of(self._settings.aliases, live)

    def _models_of_any(self, live: Live | None) -> Iterator[Model]:
        target = target_of_any(self._settings)
        assert target is not None
        if target.model != ANY:
            # every id is served, and this one is the id of what answers
            return self.models_of([target.model] if goes_through_any(self._settings, target.model) else [])
        found = self._upstreams[target.upstream].models() if live is None else live.values()
        window, price = self._settings.routes[ANY].context_window, price_of(target)
        return (_with(model, window=window, price=price) for model in found if goes_through_any(self._settings, model.id))

    def _ids(self, live: Live | None) -> Iterator[str]:
        """What a client may have meant: the operator's own names first, since of a long list only the beginning is compared."""
        own = self.models_of((*own_ids(self._settings), *self._settings.aliases), live)
        return iter(dict.fromkeys(model.id for models in (own, self.models(live)) for model in models))

    @cached_property
    def _known_ids(self) -> tuple[str, ...]:
        return tuple(self._ids(None))

    def _not_found(self, model_id: str, live: Live | None = None) -> ModelNotFound:
        latest = latest_form(self._settings, model_id)
        if latest is not None:
            hint = f" Did you mean {latest[:100]}? An id that stands for the latest of several models is written with the ~."
        else:
            near = nearest_models(model_id, known=self._known_ids if live is None else self._ids(live))
            hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists what is served."
        return ModelNotFound(f"The model {model_id[:100]!r} is not served here.{hint}", param="model")

    def _destinations(self, found: Resolved, model_id: str) -> Iterator[Destination]:
        for lead in found.leads:
            upstream = self._upstreams[lead.upstream]
            model = upstream.find_model(lead.model_id)
            if model is not None:
                yield Destination(
                    upstream,
                    lead.model_id,
                    _with(model, window=found.route.context_window),
                    # who may use a model may not use its fast one, which costs more
                    self._names({model_id} if lead.fast else {model_id, found.base, found.wanted}, lead, model),
                    f"{lead.upstream}/{lead.model_id}",
                    model.price if lead.price is None else lead.price,
                    self._settings.upstreams[lead.upstream].cooldown_seconds,
                )

    def _model(self, model_id: str, live: Live | None) -> Model | None:
        found = resolve(self._settings, model_id)
        destination = None if found is None else next(self._destinations(found, model_id), None)
        if found is None or destination is None:
            return None
        told = None
        if live is not None and destination.upstream.name == self._asked_upstream:
            # an upstream may know its model under another spelling than the client's
            told = live.get(destination.model_id) or live.get(destination.model.id)
        if told is None and live is not None and goes_through_any(self._settings, model_id):
            return None
        return _with(told or destination.model, model_id=model_id, window=found.route.context_window, price=destination.price)

    def _names(self, asked: set[str], lead: Lead, model: Model) -> frozenset[str]:
        routes, aliases = self._settings.routes, self._settings.aliases
        if lead.wanted in routes or model.id in routes or model.id in aliases:
            # an upstream's own id of the model may have a route or an alias of its own, to somewhere else
            return frozenset(asked)
        return frozenset({*asked, model.id})


def _with(model: Model, *, model_id: str | None = None, window: int | None = None, price: Price | None = None) -> Model:
    """The model under another id, and with the window and the price that the settings say."""
    changed = msgspec.structs.replace(
        model, id=model_id or model.id, context_window=window or model.context_window, price=model.price if price is None else price
    )
    return model if changed == model else changed
