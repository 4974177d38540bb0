"""Which upstream serves which model id, and which models there are.

Theory of operation: a client's id goes through the aliases, then to the route of its own or to `*`, and comes out as a `Destination`. That needs no
network and is the same for every caller. What there is to list is known without asking for Composer and the embedded demo. A server that speaks Chat
Completions may serve any id, and it alone knows which: where `*` leads to one, `live` asks it, with the key that its requests would have, and
`models`, `models_of` and `described` take the answer into account.

Invariants: an id that leads elsewhere, by a route or an alias of its own, is never listed as one of `*`. A list that cannot be had is a line in the
log and an empty answer, and nobody waits for it longer than `pipeline.upstream.model_list` allows.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline.errors import ModelNotFound
from pipeline.models import Model, nearest_models
from pipeline.upstream.base import Upstream
from server.settings import Route, Settings
from server.upstream_settings import OpenAIChat
from server.upstreams import timeouts_of

if TYPE_CHECKING:
    from pipeline.upstream.model_list import ModelList

ANY = "*"

Live = Mapping[str, Model]
"""The models that the upstream of `*` told, by its own ids; empty where it told none or is not one to be asked."""

NOTHING_LIVE: Live = {}

log = logging.getLogger("penstock")


class Destination(NamedTuple):
    """Where one request goes: the upstream, its own id of the model, and what is known of the model.

    `names` are the ids under which clients get exactly this: a caller who may use one of them may use it.
    """

    upstream: Upstream
    model_id: str
    model: Model
    names: frozenset[str]


class Routing:
    """The routes of the settings over running upstreams."""

    def __init__(self, settings: Settings, upstreams: Mapping[str, Upstream]) -> None:
        self._settings = settings
        self._routes: Mapping[str, Route] = settings.routes
        self._aliases = settings.aliases
        self._upstreams = upstreams

    def find(self, model_id: str) -> Destination:
        """The destination of a client's model id; raises ModelNotFound with the ids that come nearest."""
        destination = self._destination(model_id)
        if destination is None:
            raise _not_found(model_id, self._static_ids)
        return destination

    def described(self, model_id: str, live: Live = NOTHING_LIVE) -> Model:
        """What is known of the model that a client calls `model_id`, under that id.

        Raises:
            ModelNotFound: nothing serves it; or it goes through `*`, and the upstream behind it told its models and not this one.
        """
        model = self._model(model_id, live)
        if model is None:
            raise _not_found(model_id, (model.id for model in self.models(live)) if live else self._static_ids)
        return model

    def models_of(self, names: Iterable[str], live: Live = NOTHING_LIVE) -> Iterator[Model]:
        """The models of these ids that are served, under these ids."""
        return (model for name in names if (model := self._model(name, live)) is not None)

    def models(self, live: Live = NOTHING_LIVE) -> Iterator[Model]:
        """Every model that is served, each once, under the id that clients use."""
        for name, route in self._routes.items():
            target = route.targets[0]
            if name != ANY:
                yield from self.models_of([name] if name not in self._aliases else [], live)
            elif target.model == ANY:
                found = live.values() if live else self._upstreams[target.upstream].models()
                yield from (model for model in found if self._goes_through_any(model.id))
        yield from self.models_of(self._aliases, live)

    async def live(self, callers_key: str | None, *, within_seconds: float | None = None) -> Live:
        """What the upstream of `*` says that it serves, to the key that a request of this caller would have; never raises.

        `within_seconds` is how long to wait for it, if that is shorter than the list's own limit.
        """
        if self._list is None:
            return NOTHING_LIVE
        upstream, models = self._list
        if callers_key is None and self._settings.upstreams[upstream].takes_callers_key:
            return NOTHING_LIVE  # there is no key to ask with
        listing = await (models.ask(callers_key) if within_seconds is None else models.ask(callers_key, within_seconds=within_seconds))
        if listing.error is not None and not listing.is_kept:
            log.warning("upstream %s: its models are not listed: %s", upstream, listing.error.message)
        return {model.id: model for model in listing.models}

    @cached_property
    def _asked_upstream(self) -> str | None:
        """The upstream that is asked for its models: the one that every id without a route of its own is sent to, unchanged."""
        route = self._routes.get(ANY)
        if route is None or route.targets[0].model != ANY:
            return None
        upstream = route.targets[0].upstream
        return upstream if isinstance(self._settings.upstreams[upstream], OpenAIChat) else None

    @cached_property
    def _list(self) -> "tuple[str, ModelList] | None":
        # made when it is first asked, since the module behind it speaks to a network
        upstream = self._asked_upstream
        if upstream is None:
            return None
        from pipeline.upstream.model_list import ModelList

        table = self._settings.upstreams[upstream]
        assert isinstance(table, OpenAIChat)
        timeouts = timeouts_of(self._settings)
        return upstream, ModelList(upstream, table.base_url, table.credential(), context_window=table.context_window, timeouts=timeouts)

    @cached_property
    def _static_ids(self) -> tuple[str, ...]:
        return tuple(model.id for model in self.models())

    def _goes_through_any(self, model_id: str) -> bool:
        """Whether an id has neither a route nor an alias of its own; `*` is no id."""
        return self._aliases.get(model_id, model_id) not in self._routes and model_id not in self._aliases

    def _destination(self, model_id: str) -> Destination | None:
        wanted = self._aliases.get(model_id, model_id)
        route = self._routes.get(wanted) or self._routes.get(ANY)
        if route is None:
            return None
        target = route.targets[0]
        upstream = self._upstreams[target.upstream]
        target_id = wanted if target.model == ANY else target.model
        model = upstream.find_model(target_id)
        return None if model is None else Destination(upstream, target_id, model, self._names(model_id, wanted, model))

    def _model(self, model_id: str, live: Live) -> Model | None:
        destination = self._destination(model_id)
        if destination is None:
            return None
        told = live.get(destination.model_id) if destination.upstream.name == self._asked_upstream else None
        if told is None and live and self._goes_through_any(model_id):
            return None
        return _with_id(told or destination.model, model_id)

    def _names(self, model_id: str, wanted: str, model: Model) -> frozenset[str]:
        if wanted in self._routes or model.id in self._routes or model.id in self._aliases:
            # an upstream's own id of the model may have a route or an alias of its own, to somewhere else
            return frozenset({model_id, wanted})
        return frozenset({model_id, wanted, model.id})


def _not_found(model_id: str, served: Iterable[str]) -> ModelNotFound:
    near = nearest_models(model_id, known=served)
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists what is served."
    return ModelNotFound(f"The model {model_id[:100]!r} is not served here.{hint}", param="model")


def _with_id(model: Model, model_id: str) -> Model:
    return model if model.id == model_id else msgspec.structs.replace(model, id=model_id)
