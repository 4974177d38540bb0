"""The facts that the page at `/` shows, taken from where they are held: settings, models, parameters and errors.

Theory of operation: `facts` gives the template one mapping of plain values and frozen structs; the template does the layout and escapes every text.
Nothing here is a secret: of an upstream it says the kind, and of a key whose it is and whether it is there, never the key, its variable or its file.
Where a key is asked for and others than this machine's user can come, the page is for strangers too: then it says nothing of upstreams and models,
which `GET /v1/models` tells to those with a key.

The endpoints are a table; a test holds it against the routes of the app. Parameters and errors are read from the tables and classes that the program
works by.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

import pipeline
from pipeline.emit.messages_error import error_type
from pipeline.errors import PenstockError
from pipeline.models import Model
from pipeline.parameters import ANY_OTHER, PARAMETERS, Effect, Family, Parameter
from server.config_access import is_for_this_machine
from server.first_request import PLACEHOLDER, served_models
from server.live_models import Asked
from server.resolver import asked_upstream, is_recording
from server.settings import Settings
from server.upstream_settings import Anthropic, Captured, Composer, OpenAIChat, OpenAIResponses, SdkBridge, Upstream, Website
from server.web.commands import Curl, examples
from server.web.setups import Place, setups

MAX_CARDS = 200
"""More models than a person reads; the rest is counted."""

# mode -> what stands for a key in what is pasted, and what the caller is told of it
KEYS = {
    "open": ("any", "No key is needed on this machine: any key is accepted, and none is passed on."),
    "keys": ("psk_YOUR_KEY", "Use your key of this gateway, psk_…, as the bearer token. No upstream gets it."),
    "forward": ("YOUR_UPSTREAM_KEY", "Use your own upstream key as the bearer token. It is passed on with your request and never stored."),
}

# an upstream's kind -> the family whose treatment of parameters it has
FAMILIES: Mapping[type[Upstream], Family] = {
    Captured: Family.COMPOSER,
    Composer: Family.COMPOSER,
    SdkBridge: Family.SDK_BRIDGE,
    Website: Family.WEBSITE,
    OpenAIChat: Family.OPENAI_CHAT,
    OpenAIResponses: Family.OPENAI_RESPONSES,
    Anthropic: Family.ANTHROPIC,
}

# a model's owner -> how the owner writes it
OWNERS = {
    "cursor": "Cursor",
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google",
    "xai": "xAI",
    "moonshotai": "Moonshot AI",
}


class Endpoint(msgspec.Struct, frozen=True):
    """One path; `needs_key` is whether the front door asks for one there."""

    method: str
    path: str
    text: str
    needs_key: bool = True


ENDPOINTS = (
    Endpoint("POST", "/v1/chat/completions", "Chat Completions, streamed or whole, with tools"),
    Endpoint("POST", "/v1/responses", "the Responses API, streamed or whole, with tools; kept where the request says store: true"),
    Endpoint("GET", "/v1/responses/{id}", "a response that was kept"),
    Endpoint("DELETE", "/v1/responses/{id}", "forgets it"),
    Endpoint("GET", "/v1/responses/{id}/input_items", "the items that it answered, by order, limit and after"),
    Endpoint("POST", "/v1/responses/{id}/cancel", "ends a response that is still streamed"),
    Endpoint("POST", "/v1/messages", "Anthropic's Messages, streamed or whole, with tools"),
    Endpoint("POST", "/v1/messages/count_tokens", "how many tokens such a body has, as they are estimated here"),
    Endpoint("GET", "/v1/models", "the models, each with name, window, limit and price where they are known"),
    Endpoint("GET", "/v1/models/{id}", "one model; an unknown id is a 404 that names the nearest"),
    Endpoint("POST", "/opencode/v1/chat/completions", "the same for OpenCode: Agent mode, one conversation a session"),
    Endpoint("POST", "/opencode/v1/responses", "the same over the Responses API"),
    Endpoint("GET", "/opencode/v1/models", "the models again, for clients with that base URL"),
    Endpoint("GET", "/opencode/v1/models/{id}", "one model"),
    Endpoint("POST", "/cursor/chat/completions", "for the Cursor IDE: bodies of any dialect; its base URL is /cursor, and /cursor/v1 is one too"),
    Endpoint("GET", "/cursor/models", "the models again"),
    Endpoint("GET", "/cursor/models/{id}", "one model"),
    Endpoint("POST", "/openai/deployments/{model}/chat/completions", "the same for the Azure slot of its settings; the deployment is the model"),
    Endpoint("GET", "/openai/deployments/{model}/models", "the models again"),
    Endpoint("GET", "/openai/deployments/{model}/models/{id}", "one model"),
    Endpoint("GET", "/health", "whether the process lives", needs_key=False),
    Endpoint("GET", "/ready", "whether it wants traffic: 503 while it shuts down, and while no upstream is configured", needs_key=False),
    Endpoint("GET", "/", "this page", needs_key=False),
)


class Card(msgspec.Struct, frozen=True):
    """One model and the command that asks it."""

    model: Model
    curl: str

    @property
    def chips(self) -> list[str]:
        """What is known of it, in a few words each."""
        model, words = self.model, list[str]()
        if model.id.endswith("-thinking"):
            words.append("thinking")
        if model.context_window is not None:
            words.append(f"{_tokens(model.context_window)} window")
        if model.max_tokens is not None:
            words.append(f"{_tokens(model.max_tokens)} answer")
        if model.price is not None:
            words.append(f"${model.price.input_usd:g} in · ${model.price.output_usd:g} out")
        return words


def facts(settings: Settings, base_url: str, models: Sequence[Model], asked: Asked = Asked.NOT_ASKED) -> Mapping[str, Any]:
    """What the template shows; `base_url` is without `/v1`, `models` are those that are served, `asked` is whether an upstream told some of them."""
    key, key_text = KEYS[settings.auth.mode]
    for_strangers = settings.auth.mode != "open" and not is_for_this_machine(settings.server)
    families = list(Family) if for_strangers else families_of(settings)
    upstreams: Mapping[str, Upstream] = {} if for_strangers else settings.upstreams
    curl = Curl(base_url, "" if settings.auth.mode == "open" else key)
    told: Sequence[Model] = () if for_strangers else models
    recordings = [model.id for model in told if is_recording(settings, model.id)]
    shown = [model for model in told if model.id not in recordings]
    first = None if for_strangers else next(served_models(settings), None) or next((model.id for model in shown), None)
    model = next((model for model in told if model.id == first), Model(first or PLACEHOLDER, first or "Your model", ""))
    return {
        "version": pipeline.__version__,
        "base_url": base_url,
        "key_text": key_text,
        "upstreams": [(name, _kind(upstream), key_state(upstream, settings.auth.mode)) for name, upstream in upstreams.items()],
        "is_demo": bool(upstreams) and all(upstream.is_demo for upstream in upstreams.values()),
        "asks_for_key": settings.auth.mode != "open",
        "model_id": model.id,
        "hello": curl.hello(model.id),
        "examples": examples(curl, model.id),
        "setups": setups(Place(base_url, key, model)),
        "groups": _groups([Card(model, curl.chat(model.id, stream=False)) for model in shown[:MAX_CARDS]]),
        "model_count": len(shown),
        "hidden_count": max(0, len(shown) - MAX_CARDS),
        "recordings": recordings,
        "models_note": pieces(_models_note(settings, asked, for_strangers=for_strangers, has_some=bool(told))),
        "endpoints": ENDPOINTS,
        "families": families,
        "parameters": [_parameter(row, families) for row in PARAMETERS],
        "errors": sorted(_errors(PenstockError), key=lambda row: row[0]),
    }


def _models_note(settings: Settings, asked: Asked, *, for_strangers: bool, has_some: bool) -> str:
    """What there is to say of the models that are not shown, or nothing."""
    mode = settings.auth.mode
    if for_strangers:
        return "`GET /v1/models` with your key lists them."
    upstream = asked_upstream(settings)
    if upstream is None:
        return "" if has_some else "No route leads to a model that its upstream knows."
    if asked is Asked.TOLD:
        return "" if has_some else "The upstream was asked, and says that it serves none."
    any_id = f"The upstream serves {'every other id' if has_some else 'any id'} that it knows"
    if mode != "open":
        with_key = "with your key" if settings.upstreams[upstream].takes_callers_key else "with the key that the gateway has for it, or with none"
        return f"{any_id}, and is not asked for this page. `GET /v1/models` asks it, {with_key}."
    if asked is Asked.FAILED:
        return f"{any_id}. It was asked which, and did not say; the log has the reason."
    return f"{any_id}, and has not said which. Load the page again in some seconds."


def key_state(upstream: Upstream, mode: str) -> str:
    """Whose key an upstream gets, and whether it is there."""
    if isinstance(upstream, Captured):
        return "needs no key"
    if upstream.missing:
        return f"not configured yet: {' and '.join(upstream.missing)} not set"
    if upstream.takes_callers_key:
        return "the caller's own key" if mode == "forward" else f"the caller's own key, which mode {mode} does not pass on"
    if not upstream.has_own_key:
        return "no key is sent"
    source = "a file" if upstream.api_key_file else "the environment"
    return f"key from {source}: {'set' if upstream.api_key is not None else 'not set'}"


def _kind(upstream: Upstream) -> str:
    return str(upstream.__struct_config__.tag)


def _groups(cards: Sequence[Card]) -> list[tuple[str, list[Card]]]:
    """The cards by the model's owner, in the order in which owners come."""
    order = {owner: place for place, owner in enumerate(dict.fromkeys(card.model.owner for card in cards))}
    ordered = sorted(cards, key=lambda card: order[card.model.owner])
    return [(OWNERS.get(owner, owner), list(group)) for owner, group in groupby(ordered, key=lambda card: card.model.owner)]


def _tokens(count: int) -> str:
    """A count of tokens as people say it.

    >>> _tokens(200_000), _tokens(1_048_576), _tokens(32_768), _tokens(500)
    ('200k', '1M', '33k', '500')
    """
    if count >= 1_000_000:
        return f"{count / 1_000_000:.2g}M"
    return f"{round(count / 1000)}k" if count >= 1000 else str(count)


class ParameterRow(msgspec.Struct, frozen=True):
    """One row of the table of parameters: `outcomes` has what is done, and the sentence about it in pieces, for each family that is shown."""

    name: str
    values: str
    takes: str
    outcomes: list[tuple[Effect, list[tuple[str, bool]]]]


def families_of(settings: Settings) -> list[Family]:
    """The families of the upstreams that are configured, in the table's order."""
    used = {FAMILIES[type(upstream)] for upstream in settings.upstreams.values()}
    return [family for family in Family if family in used]


def _parameter(row: Parameter, families: Sequence[Family]) -> ParameterRow:
    name = "any other field" if row.name == ANY_OTHER else row.name
    outcomes = [row.outcome(family) for family in families]
    return ParameterRow(name, row.values, row.takes, [(outcome.effect, pieces(outcome.says)) for outcome in outcomes])


def pieces(sentence: str) -> list[tuple[str, bool]]:
    """A sentence cut at its backquotes; the second of each pair says whether that piece is code.

    >>> pieces("See `a` and `b`.")
    [('See ', False), ('a', True), (' and ', False), ('b', True), ('.', False)]
    """
    return [(piece, place % 2 == 1) for place, piece in enumerate(sentence.split("`")) if piece]


def _errors(kind: type[PenstockError]) -> Iterator[tuple[int, str, str, str, list[tuple[str, bool]]]]:
    """Status, type, type in Anthropic's shape, code and meaning of every error that a client can see."""
    # the base's own words are for those who write a new kind
    meaning = "Something went wrong in the server. Its log has the details." if kind is PenstockError else (kind.__doc__ or "").partition("\n")[0]
    yield kind.status, kind.type, error_type(kind("")), kind.default_code, pieces(meaning)
    for child in kind.__subclasses__():
        if child.__module__ == kind.__module__:
            yield from _errors(child)
