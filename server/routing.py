"""Which upstream serves which model id."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from pipeline.errors import ModelNotFound
from pipeline.models import Model, nearest_models
from pipeline.upstream.base import Upstream
from server.settings import Route, Settings

ANY = "*"


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
        self._routes: Mapping[str, Route] = settings.routes
        self._aliases = settings.aliases
        self._upstreams = upstreams

    def find(self, model_id: str) -> Destination:
        """The destination of a client's model id; raises ModelNotFound with the ids that come nearest."""
        wanted = self._aliases.get(model_id, model_id)
        route = self._routes.get(wanted) or self._routes.get(ANY)
        if route is not None:
            target = route.targets[0]
            upstream = self._upstreams[target.upstream]
            target_id = wanted if target.model == ANY else target.model
            model = upstream.find_model(target_id)
            if model is not None:
                return Destination(upstream, target_id, model, self._names(model_id, wanted, model))
        near = nearest_models(model_id)
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists what is served."
        raise ModelNotFound(f"The model {model_id[:100]!r} is not served here.{hint}", param="model")

    def _names(self, model_id: str, wanted: str, model: Model) -> frozenset[str]:
        if wanted in self._routes or model.id in self._routes or model.id in self._aliases:
            # an upstream's own id of the model may have a route or an alias of its own, to somewhere else
            return frozenset({model_id, wanted})
        return frozenset({model_id, wanted, model.id})

    def models_of(self, names: Iterable[str]) -> Iterator[Model]:
        """The models of these ids that are served, under these ids."""
        for name in names:
            with suppress(ModelNotFound):
                yield _with_id(self.find(name).model, name)

    def models(self) -> Iterator[Model]:
        """Every model that has a route, under the id that clients use."""
        listed: set[str] = set()
        for name, route in self._routes.items():
            target = route.targets[0]
            upstream = self._upstreams[target.upstream]
            found = upstream.models() if name == ANY and target.model == ANY else _renamed(upstream, target.model, name)
            for model in found:
                if model.id not in listed and model.id != ANY:
                    listed.add(model.id)
                    yield model
        for alias in self._aliases:
            if alias not in listed:
                yield from self.models_of([alias])


def _renamed(upstream: Upstream, model_id: str, name: str) -> list[Model]:
    model = upstream.find_model(name if model_id == ANY else model_id)
    return [_with_id(model, name)] if model is not None else []


def _with_id(model: Model, model_id: str) -> Model:
    return Model(model_id, model.name, model.owner, model.context_window, model.max_tokens, model.price)
