"""The request that a newcomer is shown, made from the settings so that it works here.

Settings come in; ids of models that they really serve go out, and the body of a request with the first of them, quoted for a shell. The ids that an
upstream takes are known without asking it: Composer and the embedded demo have lists, and a server that speaks Chat Completions may serve any id, so
that behind `*` alone nothing is known of it. Left alone: whether an upstream answers, which is the doctor's question.
"""

import shlex
from collections.abc import Iterator

import msgspec

from pipeline.models import DEFAULT_MODEL, resolve_composer_model
from pipeline.upstream.captured import PREFIX
from server.settings import Route, Settings
from server.upstream_settings import Captured, OpenAIChat, Upstream

ANY = "*"
PLACEHOLDER = "YOUR_MODEL"
"""What stands for a model's id where the settings name none."""


def served_models(settings: Settings, upstream: str | None = None) -> Iterator[str]:
    """Model ids that clients can ask for: those with a route of their own, in the file's order, and then one that goes through `*`.

    Args:
        settings: the settings in force.
        upstream: the name of the only upstream that counts; every one by default.
    """
    for name, route in (*_named(settings), *_through_any(settings)):
        target = route.targets[0]
        if upstream in (None, target.upstream) and _takes(settings.upstreams[target.upstream], name if target.model == ANY else target.model):
            yield name


def example_body(settings: Settings) -> str:
    """A Chat body that asks for a streamed hello, as one word of a shell's command line."""
    model = next(served_models(settings), PLACEHOLDER)
    return shlex.quote(msgspec.json.encode({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).decode())


def route_of(settings: Settings, model: str) -> Route | None:
    """The route that a client's model id takes, or None."""
    return settings.routes.get(settings.aliases.get(model, model)) or settings.routes.get(ANY)


def _named(settings: Settings) -> Iterator[tuple[str, Route]]:
    return ((name, route) for name, route in settings.routes.items() if name != ANY)


def _through_any(settings: Settings) -> Iterator[tuple[str, Route]]:
    """An id that takes the route `*`: the one that the route asks for, else Composer's default where the upstream has Composer's list."""
    route = settings.routes.get(ANY)
    if route is None:
        return
    target = route.targets[0]
    if target.model != ANY:
        model = target.model
    elif isinstance(settings.upstreams[target.upstream], OpenAIChat):
        return
    else:
        model = DEFAULT_MODEL
    if model not in settings.routes and model not in settings.aliases:
        yield model, route


def _takes(upstream: Upstream, model: str) -> bool:
    """Whether the upstream knows its own id of a model; one that may serve any id does."""
    if isinstance(upstream, OpenAIChat) or (isinstance(upstream, Captured) and model.startswith(PREFIX)):
        return True
    return resolve_composer_model(model) is not None
