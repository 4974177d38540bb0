"""Which models an upstream with a vendor's API says that it serves: `GET {base_url}/models`, asked seldom and never waited for long.

Theory of operation: `ModelList.ask` gives the upstream's list under the credential that its chat requests have. The list is kept for five minutes,
one for each key, under the key's full SHA-256; those who ask together share one call. A list that could not be had is kept as the reason why, for
half a minute, so that an upstream that is slow or gone is not asked, nor waited for, by every client that lists models. Each call has a connection of
its own: one in five minutes is not worth keeping.

Vendors add fields to OpenAI's `id`, `created` and `owned_by`, each under its own names; `CONTEXT_FIELDS` and the tables beside it say which are read.
Anthropic's list has the same shape, with a date for `created`; its address and its headers are the caller's to say.
What is not said stays unknown; a window that the operator set is that of every model. An entry without a usable id is left out.

Invariants: nothing raises. The key and the operator's own headers go to the configured host only, and redirects are not followed. The answer is
bounded in bytes, models and the length of each word, and no word holds what cannot be printed. Left alone: which of the models are for chat, since
the upstream's list does not say.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import anyio
import msgspec

from pipeline.clocks import Timeouts
from pipeline.credential import Credential, Kind
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamTimeout
from pipeline.identity import Clock
from pipeline.models import Model, Price
from pipeline.request import Json
from pipeline.upstream.http import content_coding, open_client, opened, read_bounded
from pipeline.upstream.openai_chat import ENDPOINT, chat_url
from pipeline.upstream.redaction import redacted
from pipeline.upstream.single_flight import Fresh, SingleFlightCache, fingerprint
from pipeline.wire.error_text import SHORTEST_PREFIX_CHARS
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.openai_errors import OpenAIErrors

KEPT_SECONDS = 300.0
REASON_KEPT_SECONDS = 30.0
CALL_SECONDS = 4.5
ASK_SECONDS = 5.0
"""No one waits longer, not even who took over a call whose first caller left."""

LIST_COUNT = 64
"""How many lists, each of one key, are kept."""

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_MODELS = 2000
MAX_ID_CHARS = 256
MAX_TOKENS = 100_000_000
MAX_CREATED = 253_402_300_799  # the end of the year 9999

# Where a list says how many tokens a model reads: Groq and Penstock; OpenRouter and Together; vLLM; Mistral and LM Studio; Anthropic.
CONTEXT_FIELDS = ("context_window", "context_length", "max_model_len", "max_context_length", "max_input_tokens")
# Where it says how many tokens one answer may have: Penstock and Anthropic; Groq; OpenRouter, inside `top_provider`.
OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens")
NAME_FIELDS = ("name", "display_name")
# The two fields of `pricing`, and how many tokens their US dollars are for: Penstock; OpenRouter.
PRICE_FIELDS = (("input_per_million", "output_per_million", 1_000_000), ("prompt", "completion", 1))


class Listing(msgspec.Struct, frozen=True):
    """What the upstream told: its models, or why there are none. `is_kept` says that it told so earlier."""

    models: tuple[Model, ...] = ()
    error: PenstockError | None = None
    is_kept: bool = False


def models_url(base_url: str) -> str:
    """The address of the list, beside that of the chat endpoint.

    >>> models_url("https://a.example"), models_url("http://b.example:8000/api/v1/?v=2")
    ('https://a.example/v1/models', 'http://b.example:8000/api/v1/models?v=2')
    """
    scheme, host, path, query, _ = urlsplit(chat_url(base_url))
    return urlunsplit((scheme, host, path.removesuffix(ENDPOINT) + "models", query, ""))


class ModelList:
    """The lists of one upstream. `owner` is told of models whose owner the list does not name, and `context_window`, if it is set, of every model."""

    def __init__(
        self,
        owner: str,
        base_url: str,
        credential: Credential | None = None,
        *,
        context_window: int | None = None,
        key_header: str = "authorization",
        headers: Mapping[str, str] | None = None,
        own_headers: Mapping[str, str] | None = None,
        address: Callable[[str], str] = models_url,
        timeouts: Timeouts | None = None,
        clock: Clock = time.time,
    ) -> None:
        """`key_header` and `headers` are those of the upstream's other requests, and so are `own_headers`, which are no secrets.

        `address` gives the list's for a base URL; `timeouts` are the client's; `clock` gives seconds since the epoch.
        """
        self._owner = owner
        self._url = address(base_url)
        self._own_headers = dict(own_headers or {})
        self._credential = credential or Credential()
        self._context_window = context_window
        self._key_header = key_header
        self._headers = dict(headers or {})
        self._timeouts = timeouts
        self._clock = clock
        self._kept: SingleFlightCache[Listing] = SingleFlightCache(clock, LIST_COUNT)

    async def ask(self, key: str | None = None) -> Listing:
        """The list, kept or fresh; `key` is the caller's own, which is used where the upstream takes it."""
        try:
            secret = self._credential.key(key)
            if secret is not None and not (secret.isascii() and secret.isprintable()):
                raise AuthenticationError("The key holds characters that no header may have.")
            with anyio.fail_after(ASK_SECONDS):
                held = await self._kept.get(fingerprint(secret or ""), lambda: self._told(secret))
        except TimeoutError:
            return Listing(error=UpstreamTimeout(f"The upstream did not list its models within {ASK_SECONDS:g} seconds."))
        except PenstockError as error:
            return Listing(error=error)
        return msgspec.structs.replace(held.value, is_kept=True) if held.is_kept else held.value

    async def _told(self, secret: str | None) -> Fresh[Listing]:
        secrets = [*([secret] if secret else []), *(value for value in self._headers.values() if len(value) >= SHORTEST_PREFIX_CHARS)]
        try:
            models = await self._fetch(secret, OpenAIErrors(callers_key=self._credential.kind is Kind.CALLER, secrets=secrets))
        except PenstockError as error:
            return Fresh(Listing(error=redacted(error, secrets)), self._clock() + REASON_KEPT_SECONDS)
        return Fresh(Listing(models), self._clock() + KEPT_SECONDS)

    async def _fetch(self, secret: str | None, errors: OpenAIErrors) -> tuple[Model, ...]:
        given = {name.lower(): value for name, value in self._headers.items()}
        headers = {**self._own_headers, **given, "accept": "application/json", "accept-encoding": "identity"}
        if secret is not None:
            headers[self._key_header] = f"Bearer {secret}" if self._key_header == "authorization" else secret
        try:
            with anyio.fail_after(CALL_SECONDS):
                async with open_client(self._timeouts) as client, opened(client, "GET", self._url, headers) as response:
                    if content_coding(response) is not None:
                        raise ProtocolViolation("The upstream compressed its list of models although it was asked not to.")
                    body = await read_bounded(response, MAX_BODY_BYTES + 1)
                    if response.status_code != 200:
                        raise errors.from_http(response.status_code, response.headers, body)
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream did not list its models within {CALL_SECONDS:g} seconds.") from None
        return self._read(body)

    def _read(self, body: bytes) -> tuple[Model, ...]:
        if len(body) > MAX_BODY_BYTES:
            raise ProtocolViolation(f"The upstream's list of models is larger than {MAX_BODY_BYTES} bytes.")
        told = decode_json(body)
        entries = as_list(as_object(told).get("data")) or as_list(told)
        if not entries and "data" not in as_object(told) and told != []:
            raise ProtocolViolation("What the upstream sent is no list of models.")
        models = [model for entry in entries[:MAX_MODELS] if (model := read_model(as_object(entry), self._owner, self._context_window)) is not None]
        return tuple({model.id: model for model in models}.values())


def read_model(entry: dict[str, Json], owner: str, context_window: int | None = None) -> Model | None:
    """One entry of a list as a Model, None where it has no usable id.

    `owner` stands in for what the entry does not say; `context_window`, the operator's word, counts before what it says.

    >>> read_model({"id": "llama-4", "owned_by": "vllm", "max_model_len": 32768, "pricing": {"prompt": "0.0000005", "completion": "-1"}}, "local")
    Model(id='llama-4', name='llama-4', owner='vllm', context_window=32768, max_tokens=None, price=None, created=None)
    """
    model_id = _word(entry.get("id"))
    if model_id is None:
        return None
    limits = as_object(entry.get("top_provider"))
    return Model(
        id=model_id,
        name=next((name for field in NAME_FIELDS if (name := _word(entry.get(field)))), model_id),
        owner=_word(entry.get("owned_by")) or owner,
        context_window=context_window or _first_count(entry, CONTEXT_FIELDS),
        max_tokens=_first_count(entry, OUTPUT_FIELDS) or _first_count(limits, OUTPUT_FIELDS),
        price=_price(as_object(entry.get("pricing"))),
        created=_first_count(entry, ("created",), MAX_CREATED) or _date(entry.get("created_at")),
    )


def _word(value: Json) -> str | None:
    """A text that may be shown and sent: printable, without white space around it, and of bounded length."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable() and value == value.strip() else None


def _first_count(entry: dict[str, Json], fields: Sequence[str], most: int = MAX_TOKENS) -> int | None:
    # a bool is an int, and is no count
    counts = (value for field in fields if isinstance(value := entry.get(field), int) and not isinstance(value, bool))
    return next((value for value in counts if 0 < value <= most), None)


def _date(value: Json) -> int | None:
    """A date and time (RFC 3339) in seconds since the epoch; Anthropic writes the epoch itself where it is not known."""
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
        seconds = 0 if date is None else int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= MAX_CREATED else None


def _price(pricing: dict[str, Json]) -> Price | None:
    for field_in, field_out, tokens in PRICE_FIELDS:
        paid_in, paid_out = _dollars(pricing.get(field_in)), _dollars(pricing.get(field_out))
        if paid_in is not None and paid_out is not None:
            return Price(input_usd=round(paid_in * 1_000_000 / tokens, 6), output_usd=round(paid_out * 1_000_000 / tokens, 6))
    return None


def _dollars(value: Json) -> float | None:
    """An amount, written as a number or as a text; a negative one, which vendors use for "it depends", is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) and 0 <= amount <= 1000 else None
