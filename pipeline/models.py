"""The models that Composer's side serves, as data: ids, names, owners, windows and prices.

Theory of operation: an id as a client wrote it goes in; `resolve_composer_model` gives the id that the upstream takes, or None for one that is not
listed. Aliases and prefixes are tables. The list is what is known without asking the upstream; one that can be asked has the last word. A window or a
price that is not published is None, never a guess.
"""

import datetime
import difflib
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec

DEFAULT_MODEL = "composer-2.5"
FAST_MODEL = "composer-2.5-fast"


class Price(msgspec.Struct, frozen=True):
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float


class PriceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of `usage/prices.toml`: a price in US dollars per million tokens, the page that says so, and the day of that page."""

    model: str
    input_usd: float
    output_usd: float
    source: str
    date: datetime.date


class Model(msgspec.Struct, frozen=True):
    """One model. Windows and limits are in tokens, `created` is in seconds since the epoch."""

    id: str
    name: str
    owner: str
    context_window: int | None = None
    max_tokens: int | None = None
    price: Price | None = None
    created: int | None = None


# An id's first word -> who makes the model.
OWNERS = {
    "composer": "cursor",
    "default": "cursor",
    "gpt": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "grok": "xai",
    "kimi": "moonshotai",
}

# The ids that Composer's own backend is known to list (public gateways' static lists).
LISTED = """
    composer-2.5 composer-2.5-fast composer-2 composer-latest default
    gpt-5.3-codex gpt-5.2-codex gpt-5.1-codex-max gpt-5.1-codex-mini gpt-5.2 gpt-5.1 gpt-5-mini
    gemini-3.1-pro gemini-3.5-flash gemini-3-flash gemini-2.5-flash grok-build-0.1 grok-4.3 kimi-k2.5
"""

# Further ids in the public documentation of two gateways for Cursor's website: model lists, cards and curl examples.
DOCUMENTED = """
    composer-1
    claude-4.5-opus-high claude-4.5-opus-high-thinking claude-4.5-sonnet claude-4.5-sonnet-thinking claude-4.5-haiku claude-4.5-haiku-thinking
    claude-4-sonnet claude-4-sonnet-thinking claude-4-sonnet-1m claude-4-sonnet-1m-thinking claude-3.7-sonnet-thinking
    claude-sonnet-4-5-20250929 claude-sonnet-4-5-20250929-thinking claude-sonnet-4-20250514 claude-sonnet-4-20250514-thinking
    claude-3-5-sonnet-20241022 claude-3-5-sonnet-20241022-thinking
    gpt-5.2-codex-high gpt-5.2-codex-low gpt-5.2-codex-xhigh gpt-5.2-codex-fast
    gpt-5.2-codex-high-fast gpt-5.2-codex-low-fast gpt-5.2-codex-xhigh-fast
    gpt-5.1-codex-max-high gpt-5.1-codex-max-low gpt-5.1-codex-max-xhigh
    gpt-5.1-codex-max-medium-fast gpt-5.1-codex-max-high-fast gpt-5.1-codex-max-low-fast gpt-5.1-codex-max-xhigh-fast
    gpt-5.1-codex-mini-high gpt-5.1-codex-mini-low
    gpt-5.2-fast gpt-5.2-high gpt-5.2-high-fast gpt-5.2-xhigh gpt-5.2-xhigh-fast gpt-5.2-low gpt-5.2-low-fast gpt-5.1-high
    gpt-4o gemini-3-pro gemini-3-flash-thinking grok-code-fast-1 kimi-k2-instruct
"""

# Other spellings of the two Composer models, and what an empty id means.
ALIASES = {
    "": DEFAULT_MODEL,
    "auto": DEFAULT_MODEL,
    "default": DEFAULT_MODEL,
    "composer-latest": DEFAULT_MODEL,
    "composer-2-5": DEFAULT_MODEL,
    "composer-2-5-fast": FAST_MODEL,
}

# Providers that clients write before a known id, as in `anthropic/claude-4.5-sonnet`.
PREFIXES = ("cursor/", "anthropic/", "openai/", "google/")

COMPOSER_CONTEXT_WINDOW = 200_000

LISTED_AT = 1_795_132_800
"""The day of the lists above, 2026-11-20, in seconds since the epoch: it stands for the date of a model where nobody says it."""

PRICE_ROWS = msgspec.toml.decode((Path(__file__).parent / "usage" / "prices.toml").read_bytes(), type=dict[str, tuple[PriceRow, ...]])["prices"]
"""All prices that are known; a request to another model has no cost."""

PRICES = {row.model: Price(row.input_usd, row.output_usd) for row in PRICE_ROWS}

_WORDS = {"gpt": "GPT", "xhigh": "Extra High", "1m": "1M", "k2": "K2", "k2.5": "K2.5"}
_DATE = re.compile(r"20\d{6}")
_MAX_ID_LENGTH = 100
_MAX_COMPARED = 500  # 25 ms at most: a long list that an upstream gave must not hold the others up


def _display_name(model_id: str) -> str:
    """`claude-sonnet-4-5-20250929-thinking` -> `Claude Sonnet 4.5 (20250929) Thinking`."""
    words = re.sub(r"(?<=-\d)-(?=\d(?:-|$))", ".", model_id).split("-")
    return " ".join(f"({word})" if _DATE.fullmatch(word) else _WORDS.get(word, word.capitalize()) for word in words).replace("GPT ", "GPT-")


def _model(model_id: str) -> Model:
    family = model_id.partition("-")[0]
    return Model(
        id=model_id,
        name=_display_name(model_id),
        owner=OWNERS[family],
        context_window=COMPOSER_CONTEXT_WINDOW if OWNERS[family] == "cursor" else None,
        price=PRICES.get(ALIASES.get(model_id, model_id)),
    )


MODELS = {model_id: _model(model_id) for model_id in (LISTED + DOCUMENTED).split()}
"""Every listed model by its id, Composer's own list first."""


def resolve_composer_model(model_id: str) -> str | None:
    """The upstream's id for a client's, or None when it is not listed. Case and outer white space do not count.

    >>> resolve_composer_model("cursor/composer-2-5-fast"), resolve_composer_model(""), resolve_composer_model("anthropic/gemini-3-flash")
    ('composer-2.5-fast', 'composer-2.5', 'gemini-3-flash')
    >>> resolve_composer_model("gpt-2") is None
    True
    """
    wanted = model_id.strip().lower()
    prefix = next((prefix for prefix in PREFIXES if wanted.startswith(prefix)), "")
    bare = wanted.removeprefix(prefix)
    if prefix and not bare:  # a prefix alone names no model
        return None
    resolved = ALIASES.get(bare, bare)
    return resolved if resolved in MODELS else None


def with_effort(model_id: str, effort: str | None) -> str:
    """The listed variant of a model for a reasoning effort, or the model itself where the list has none.

    >>> with_effort("gpt-5.1-codex-max", "high"), with_effort("composer-2.5", "high"), with_effort("gpt-5.2-high", "low")
    ('gpt-5.1-codex-max-high', 'composer-2.5', 'gpt-5.2-high')
    """
    variant = f"{model_id}-{effort}"
    return variant if effort and variant in MODELS else model_id


def nearest_models(model_id: str, n: int = 3, known: Iterable[str] = MODELS) -> list[str]:
    """Up to `n` of the `known` ids that look like `model_id`, the nearest first: for the message of a 404. Case and a provider's prefix do not count.

    Of a long list only the beginning is looked at, so that what is most likely to be meant has to come first.

    >>> nearest_models("composer-2.6", 2), nearest_models("openai/LLama-3", known=["meta/llama-4", "llama-3.3", "qwen"])
    (['composer-2.5', 'composer-2'], ['llama-3.3', 'meta/llama-4'])
    """
    by_bare_id: dict[str, str] = {}
    for each in islice(known, _MAX_COMPARED):
        by_bare_id.setdefault(_bare(each[:_MAX_ID_LENGTH]), each)
    near = difflib.get_close_matches(_bare(model_id.strip()[:_MAX_ID_LENGTH]), by_bare_id, n=n, cutoff=0.5)
    return [by_bare_id[bare] for bare in near]


def _bare(model_id: str) -> str:
    lowered = model_id.lower()
    for prefix in PREFIXES:
        lowered = lowered.removeprefix(prefix)
    return lowered
