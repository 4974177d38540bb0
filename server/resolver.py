"""Where a model id leads by the settings alone: through its suffixes and the aliases, by the route of its own or by `*`.

Theory of operation: settings and a client's id come in; `Resolved` goes out, with a `Lead` for each target of the route: the name of an upstream and
its own id of the model. Nothing runs and nobody is asked, so that the server, its page, the banner and the doctor have one answer. An id is read in
this order, and the first reading that a route or an alias of its own has is the one:

1. as it is;
2. without suffixes at its end, as few as possible, each kind once: `-fast`, `-thinking`, and an effort, `-minimal` to `-xhigh`;
3. without `:nitro` or `:floor`, which choose the order of the targets, and again without suffixes. Any other colon is part of an id (`llama3.1:8b`).

What has none goes through `*`, whole, so that an upstream's own `…-fast` or `…:nitro` stays its own.

Invariants: an id with `~` before it is an alias or nothing, and where there is such an alias, the id without the `~` is nothing either, since a
model that changes under a name must be asked for as such; `*` never gets either of them. A suffix that is part of an id on Cursor's list stays with
the id, at an upstream that has Cursor's models.

Left alone: what is known of a model, which the running upstream says (`server.routing`). Of the upstreams, Composer and the embedded demo take the
ids of a list that is known (`knows_its_models`); the others may take any. A server with one of OpenAI's APIs and the bridge of Cursor's SDK say which
(`lists_its_models`).
"""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.models import DEFAULT_MODEL, Price, resolve_composer_model
from pipeline.upstream.captured import PREFIX
from pipeline.upstream.health import Order
from server.settings import Route, Settings, Target
from server.upstream_settings import Captured, Upstream

ANY = "*"
LATEST = "~"
"""Stands before an alias whose model may change, as in `~moonshotai/kimi-latest`."""

EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
FAST = "fast"
THINKING = "thinking"


ORDERS = {":nitro": Order.SPEED, ":floor": Order.PRICE}


class Reading(NamedTuple):
    """One way to read an id: the `base` that may have a route, the `suffix` behind it, and what the suffix asks for."""

    base: str
    suffix: str = ""
    effort: str | None = None
    thinking: bool = False
    fast: bool = False
    order: Order = Order.GIVEN


class Lead(NamedTuple):
    """One target: the upstream's name, its own id of the model, the id that was `wanted`, behind the alias if there is one, and the price if set.

    `fast`: a suffix `-fast` made this another model than the one that the route names.
    """

    upstream: str
    model_id: str
    wanted: str
    price: Price | None = None
    fast: bool = False


class Resolved(NamedTuple):
    """Where an id leads, and what it asks for by its suffixes; `base` is the id without them, and `through_any` whether its route is `*`.

    `fast` is true only where no target has an id of its own for it.
    """

    wanted: str
    route: Route
    leads: tuple[Lead, ...]
    order: Order = Order.GIVEN
    effort: str | None = None
    thinking: bool = False
    fast: bool = False
    base: str = ""
    through_any: bool = False


def resolve(settings: Settings, model_id: str) -> Resolved | None:
    """Where a client's model id leads; None when nothing serves it.

    >>> from server.settings import route_to
    >>> settings = Settings(routes={"kimi-k3": route_to("captured")}, aliases={"~moonshotai/kimi-latest": "kimi-k3"})
    >>> found = resolve(settings, "~moonshotai/kimi-latest-thinking-high:nitro")
    >>> found.wanted, found.base, found.effort, found.thinking, found.order.value
    ('kimi-k3', '~moonshotai/kimi-latest', 'high', True, 'speed')
    >>> resolve(settings, "moonshotai/kimi-latest") is None
    True
    """
    for reading in readings(model_id):
        if _has_route(settings, reading.base):
            return _resolved(settings, reading, reading)
        if reading.base in settings.aliases:
            return _behind_alias(settings, reading)
        if LATEST + reading.base in settings.aliases:
            return None
    return None if model_id == ANY else _through_any(settings, Reading(model_id), model_id)


def readings(model_id: str) -> Iterator[Reading]:
    """Every way to read an id, the id as it is first.

    >>> [reading.base for reading in readings("a-high-fast:floor")]
    ['a-high-fast:floor', 'a-high-fast', 'a-high', 'a']
    """
    yield from _without_suffixes(Reading(model_id))
    for mark, order in ORDERS.items():
        if model_id.endswith(mark):
            yield from _without_suffixes(Reading(model_id.removesuffix(mark), order=order))


def _without_suffixes(reading: Reading | None) -> Iterator[Reading]:
    while reading is not None and reading.base:
        yield reading
        reading = _shorter(reading)


def _shorter(reading: Reading) -> Reading | None:
    base, dash, word = reading.base.rpartition("-")
    less = reading._replace(base=base, suffix=f"{dash}{word}{reading.suffix}")
    if word == FAST and not reading.fast:
        return less._replace(fast=True)
    if word == THINKING and not reading.thinking:
        return less._replace(thinking=True)
    if word in EFFORTS and reading.effort is None:
        return less._replace(effort=word)
    return None


def _has_route(settings: Settings, model_id: str) -> bool:
    return model_id in settings.routes and model_id != ANY


def _behind_alias(settings: Settings, asked: Reading) -> Resolved | None:
    """An alias means what the id behind it means, suffixes included; the client's own suffixes count before those."""
    target = settings.aliases[asked.base]
    for behind in _without_suffixes(Reading(target)):
        if _has_route(settings, behind.base):
            both = asked._replace(
                base=behind.base,
                suffix=behind.suffix + asked.suffix,
                effort=asked.effort or behind.effort,
                thinking=asked.thinking or behind.thinking,
                fast=asked.fast or behind.fast,
            )
            return _resolved(settings, both, asked)
        if LATEST + behind.base in settings.aliases:
            return None
    return _through_any(settings, asked._replace(base=target), asked.base)


def _through_any(settings: Settings, reading: Reading, base: str) -> Resolved | None:
    if ANY not in settings.routes or reading.base.startswith(LATEST):
        return None
    found = _resolved(settings, reading, reading, settings.routes[ANY])
    return found._replace(base=base, through_any=True)


def _resolved(settings: Settings, reading: Reading, asked: Reading, route: Route | None = None) -> Resolved:
    route = route or settings.routes[reading.base]
    leads = tuple(_lead(settings, target, reading) for target in route.targets)
    return Resolved(
        wanted=reading.base,
        route=route,
        leads=leads,
        order=reading.order,
        effort=reading.effort,
        thinking=reading.thinking,
        fast=reading.fast and not any(lead.fast for lead in leads),
        base=asked.base,
    )


def _lead(settings: Settings, target: Target, reading: Reading) -> Lead:
    model_id = reading.base if target.model == ANY else target.model
    variant = model_id + reading.suffix
    upstream = settings.upstreams.get(target.upstream)
    is_listed = upstream is not None and upstream.has_cursors_models and resolve_composer_model(variant) is not None
    if reading.suffix and is_listed:
        return Lead(target.upstream, variant, reading.base, fast=reading.fast)  # another model, which the target's price is not about
    return Lead(target.upstream, model_id, reading.base, price_of(target))


def price_of(target: Target) -> Price | None:
    """What the settings say that the target costs."""
    return None if target.price is None else Price(*target.price)


def lead(settings: Settings, model_id: str) -> Lead | None:
    """Where a client's model id leads first; None when no route serves it.

    >>> lead(Settings(aliases={"mine": "composer-2"}), "mine")
    Lead(upstream='captured', model_id='composer-2', wanted='composer-2', price=None, fast=False)
    """
    found = resolve(settings, model_id)
    return None if found is None else found.leads[0]


def latest_form(settings: Settings, model_id: str) -> str | None:
    """The same id with the `~` that it lacks, where an alias has it; such an id leads nowhere as it is."""
    lacking = any(LATEST + reading.base in settings.aliases for reading in readings(model_id))
    return LATEST + model_id if lacking and resolve(settings, model_id) is None else None


def own_ids(settings: Settings) -> Iterator[str]:
    """The ids with a route of their own, in the file's order."""
    return (name for name in settings.routes if name != ANY and name not in settings.aliases)


def goes_through_any(settings: Settings, model_id: str) -> bool:
    """Whether an id has neither a route nor an alias of its own, with suffixes or without; `*` is no id."""
    found = resolve(settings, model_id)
    return found is not None and found.through_any and found.base not in settings.aliases


def target_of_any(settings: Settings) -> Target | None:
    """Where every id goes first that has no route of its own."""
    route = settings.routes.get(ANY)
    return None if route is None else route.targets[0]


def asked_upstream(settings: Settings) -> str | None:
    """The upstream that alone knows which models there are: the one to which `*` sends every id first, unchanged, if it says which it serves."""
    target = target_of_any(settings)
    if target is None or target.model != ANY:
        return None
    return target.upstream if settings.upstreams[target.upstream].lists_its_models else None


def example_of_any(settings: Settings) -> str | None:
    """An id that takes the route `*`: the one that the route asks for, else Composer's default; None where only the upstream could name one."""
    target = target_of_any(settings)
    if target is None or (target.model == ANY and not settings.upstreams[target.upstream].has_cursors_models):
        return None
    model_id = DEFAULT_MODEL if target.model == ANY else target.model
    return model_id if goes_through_any(settings, model_id) else None


def takes(upstream: Upstream, model_id: str) -> bool:
    """Whether an upstream knows its own id of a model; one that may serve any id does."""
    if not upstream.knows_its_models or (isinstance(upstream, Captured) and model_id.startswith(PREFIX)):
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
