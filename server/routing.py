"""Which upstream serves which model id, and which models there are: `server.resolver` over running upstreams.

Theory of operation: a client's id is resolved by the settings and comes out as a `Destination`, with what its upstream knows of the model. That needs
no network and is the same for every caller. What there is to list is known without asking for Composer and the embedded demo. A server that speaks
Chat Completions may serve any id, and it alone knows which: what it told (`server.live_models`) is given to `models`, `models_of` and `described`,
None standing for "it could not be asked".

Invariants: an id that leads elsewhere, by a route or an alias of its own, is never listed as one of `*`. Where the upstream of `*` told its models,
no other id goes there.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec

from pipeline.errors import ModelNotFound
from pipeline.models import Model, nearest_models
from pipeline.upstream.base import Upstream
from server.live_models import Live
from server.resolver import ANY, asked_upstream, goes_through_any, lead, own_ids, target_of_any
from server.settings import Settings


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
        self._upstreams = upstreams
        self._asked_upstream = asked_upstream(settings)

    def find(self, model_id: str) -> Destination:
        """The destination of a client's model id; raises ModelNotFound with the ids that come nearest."""
        destination = self._destination(model_id)
        if destination is None:
            raise _not_found(model_id, self._known_ids)
        return destination

    def described(self, model_id: str, live: Live | None = None) -> Model:
        """What is known of the model that a client calls `model_id`, under that id.

        Raises:
            ModelNotFound: nothing serves it; or it goes through `*`, and the upstream behind it told its models and not this one.
        """
        model = self._model(model_id, live)
        if model is None:
            raise _not_found(model_id, self._known_ids if live is None else self._ids(live))
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
        return (model for model in found if goes_through_any(self._settings, model.id))

    def _ids(self, live: Live | None) -> Iterator[str]:
        """What a client may have meant: the operator's own names first, since of a long list only the beginning is compared."""
        own = self.models_of((*own_ids(self._settings), *self._settings.aliases), live)
        return iter(dict.fromkeys(model.id for models in (own, self.models(live)) for model in models))

    @cached_property
    def _known_ids(self) -> tuple[str, ...]:
        return tuple(self._ids(None))

    def _destination(self, model_id: str) -> Destination | None:
        found = lead(self._settings, model_id)
        if found is None:
            return None
        upstream = self._upstreams[found.upstream]
        model = upstream.find_model(found.model_id)
        return None if model is None else Destination(upstream, found.model_id, model, self._names(model_id, found.wanted, model))

    def _model(self, model_id: str, live: Live | None) -> Model | None:
        destination = self._destination(model_id)
        if destination is None:
            return None
        told = live.get(destination.model_id) if live is not None and destination.upstream.name == self._asked_upstream else None
        if told is None and live is not None and goes_through_any(self._settings, model_id):
            return None
        return _with_id(told or destination.model, model_id)

    def _names(self, model_id: str, wanted: str, model: Model) -> frozenset[str]:
        routes, aliases = self._settings.routes, self._settings.aliases
        if wanted in routes or model.id in routes or model.id in aliases:
            # an upstream's own id of the model may have a route or an alias of its own, to somewhere else
            return frozenset({model_id, wanted})
        return frozenset({model_id, wanted, model.id})


def _not_found(model_id: str, served: Iterable[str]) -> ModelNotFound:
    near = nearest_models(model_id, known=served)
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists what is served."
    return ModelNotFound(f"The model {model_id[:100]!r} is not served here.{hint}", param="model")


def _with_id(model: Model, model_id: str) -> Model:
    return model if model.id == model_id else msgspec.structs.replace(model, id=model_id)
