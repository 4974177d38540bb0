"""The rules of which ids are served: routes, their targets, and aliases; `server.config_rules` lists them. And what is no fault and worth a word.

A route leads to upstreams that there are, to each model of theirs once. A name with `~` before it is an alias's, so that nobody takes one of a model
that may change for that of a model. An alias leads to a route in one step.
"""

from collections.abc import Iterator
from pathlib import Path

from server.config_bridge import runs_are_of_one_process
from server.problems import Problem, format_path, listed, nearest, shown
from server.resolver import ANY, LATEST, resolve
from server.settings import Settings

CURSORS_WORDS = ("gpt", "claude", "gemini")
"""A name with one of these in it makes Cursor send another dialect than Chat Completions."""


def routes_lead_to_upstreams(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """There is an upstream, a route, and an upstream behind every target."""
    if not settings.upstreams:
        yield Problem("upstreams", "expected at least one upstream")
        return
    if not settings.routes:
        yield Problem("routes", f'no model is served: add [routes."*"] with a target at {listed(settings.upstreams)}')
    for model, route in settings.routes.items():
        for index, target in enumerate(route.targets):
            if target.upstream not in settings.upstreams:
                path = format_path(("routes", model, "targets", index, "upstream"))
                hint = nearest(target.upstream, settings.upstreams) or f" There is {listed(settings.upstreams, 'and')}."
                yield Problem(path, f"no upstream is called {shown(target.upstream)}.{hint}")


def targets_differ(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """No route asks one model of one upstream twice: what failed there would fail again, and a measure of one would be the other's."""
    for model, route in settings.routes.items():
        seen: dict[tuple[str, str], int] = {}
        for index, target in enumerate(route.targets):
            first = seen.setdefault((target.upstream, model if target.model == ANY else target.model), index)
            if first != index:
                yield Problem(format_path(("routes", model, "targets", index)), f"targets[{first}] asks the same upstream for the same model already")


def routes_are_no_aliases(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A route is not called by a name that says that the model may change."""
    for model in settings.routes:
        if model.startswith(LATEST):
            path = format_path(("routes", model))
            yield Problem(path, f'a name with {LATEST} before it is an alias: write {shown(model)} = "…" in [aliases], and the model\'s own id here')


def aliases_lead_to_models(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """An alias names a model that is served, in one step, and hides no route."""
    for alias, model in settings.aliases.items():
        path = format_path(("aliases", alias))
        if alias in settings.routes or alias == ANY:
            yield Problem(path, "a route has this name already, and an alias would hide it")
        elif model in settings.aliases:
            yield Problem(path, f"{shown(model)} is an alias itself; name the model that it stands for")
        elif not model or model == ANY:
            yield Problem(path, f"expected a model id, got {shown(model)}")
        elif resolve(settings, alias) is None:
            hint = nearest(model, settings.routes) or (f" Routes lead to {listed(settings.routes, 'and')}." if settings.routes else "")
            yield Problem(path, f"no route serves {shown(model)}.{hint}")


def warnings(settings: Settings) -> Iterator[Problem]:
    """What is no fault and may surprise: names for which Cursor has a dialect of its own, and several bridges.

    The ids of Cursor's own models are left out: who asks for them through Cursor has them there already.

    >>> from server.settings import route_everything_to
    >>> from server.upstream_settings import OpenAIChat
    >>> local = OpenAIChat(base_url="http://127.0.0.1:8000/v1")
    >>> settings = Settings(upstreams={"local": local}, routes=route_everything_to("local"), aliases={"my-GPT": "m", "mine": "m"})
    >>> [problem.where for problem in warnings(settings)]
    ['aliases.my-GPT']
    """
    for table, names in (("routes", settings.routes), ("aliases", settings.aliases)):
        for name in names:
            word = next((word for word in CURSORS_WORDS if word in name.lower()), None)
            if word is not None and not _is_cursors(settings, name):
                message = f'Cursor sends a dialect of its own to a model with "{word}" in its name, which differs from version to version; '
                message += f"it is understood, but in Cursor a name without {listed(CURSORS_WORDS)} is the safer one"
                yield Problem(format_path((table, name)), message)
    yield from runs_are_of_one_process(settings)


def _is_cursors(settings: Settings, model_id: str) -> bool:
    found = resolve(settings, model_id)
    return found is not None and all(settings.upstreams[lead.upstream].has_cursors_models for lead in found.leads)
