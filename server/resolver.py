"""Where a model id leads by the settings alone: through the aliases, then by the route of its own or by `*`.

Settings and a client's id come in; the name of an upstream and its own id of the model come out. Nothing runs and nobody is asked, so that the
server, its page, the banner and the doctor have one answer. Left alone: what is known of a model, which the running upstream says (`server.routing`).

Of the upstreams, Composer and the embedded demo take the ids of a list that is known; a server that speaks Chat Completions may take any.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.models import DEFAULT_MODEL, resolve_composer_model
from pipeline.upstream.captured import PREFIX
from server.settings import Settings, Target
from server.upstream_settings import Captured, OpenAIChat, Upstream

ANY = "*"


class Lead(NamedTuple):
    """Where an id leads: the upstream's name, the upstream's own id of the model, and the id that was `wanted`, behind the alias if there is one."""

    upstream: str
    model_id: str
    wanted: str


def lead(settings: Settings, model_id: str) -> Lead | None:
    """Where a client's model id leads; None when no route serves it.

    >>> lead(Settings(aliases={"mine": "composer-2"}), "mine")
    Lead(upstream='captured', model_id='composer-2', wanted='composer-2')
    """
    wanted = settings.aliases.get(model_id, model_id)
    route = settings.routes.get(wanted) or settings.routes.get(ANY)
    if route is None:
        return None
    target = route.targets[0]
    return Lead(target.upstream, wanted if target.model == ANY else target.model, wanted)


def own_ids(settings: Settings) -> Iterator[str]:
    """The ids with a route of their own, in the file's order."""
    return (name for name in settings.routes if name != ANY and name not in settings.aliases)


def goes_through_any(settings: Settings, model_id: str) -> bool:
    """Whether an id has neither a route nor an alias of its own; `*` is no id."""
    return settings.aliases.get(model_id, model_id) not in settings.routes and model_id not in settings.aliases


def target_of_any(settings: Settings) -> Target | None:
    """Where every id goes that has no route of its own."""
    route = settings.routes.get(ANY)
    return None if route is None else route.targets[0]


def asked_upstream(settings: Settings) -> str | None:
    """The upstream that alone knows which models there are: the one to which `*` sends every id unchanged, if it may take any."""
    target = target_of_any(settings)
    if target is None or target.model != ANY:
        return None
    return target.upstream if isinstance(settings.upstreams[target.upstream], OpenAIChat) else None


def example_of_any(settings: Settings) -> str | None:
    """An id that takes the route `*`: the one that the route asks for, else Composer's default; None where only the upstream could name one."""
    target = target_of_any(settings)
    if target is None or asked_upstream(settings) is not None:
        return None
    model_id = DEFAULT_MODEL if target.model == ANY else target.model
    return model_id if goes_through_any(settings, model_id) else None


def takes(upstream: Upstream, model_id: str) -> bool:
    """Whether an upstream knows its own id of a model; one that may serve any id does."""
    if isinstance(upstream, OpenAIChat) or (isinstance(upstream, Captured) and model_id.startswith(PREFIX)):
        return True
    return resolve_composer_model(model_id) is not None


def is_recording(settings: Settings, model_id: str) -> bool:
    """Whether an id of the form `captured/…` leads to the embedded demo, which plays a recording; another server may have ids of that form too."""
    found = lead(settings, model_id)
    return model_id.startswith(PREFIX) and found is not None and isinstance(settings.upstreams[found.upstream], Captured)


def usable_upstreams(settings: Settings) -> list[str]:
    """The upstreams that a route leads to and that are configured as far as they have to be."""
    routed = dict.fromkeys(target.upstream for route in settings.routes.values() for target in route.targets)
    return [name for name in routed if not settings.upstreams[name].missing]
