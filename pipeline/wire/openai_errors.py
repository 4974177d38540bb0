"""What an upstream with one of OpenAI's APIs, or Anthropic's, says went wrong, as the error that a client is told.

Theory of operation: the error of an HTTP answer or of a stream is read into a `_Report`: its words (`code`, `type`, `status`), its number, its text
for people and its param. Servers put it under `error`, in a list, or flat; as an object or as a text. `WORDS` is asked first, since a word is exact;
then `TEXTS`, for the faults that many servers only describe; then `STATUSES` with the HTTP status, or with a number in the error; then
`GENERAL_WORDS`, which say little more than that there is an error.

Whose key was refused decides what that means: the caller can mend an own key (401); the operator's, or one that is missing, is a permanent fault of
the upstream (424), and then nothing of what the upstream says about it is shown.

Whether the request may pass at another target is what the error's class says, but for two statuses. A 5xx may be over soon, whatever the error is
called, unless it blames the request itself. A 403 without a reason comes from what stands before the upstream, not from the upstream.

Invariants: nothing raises, whatever the bytes are. A message is one bounded line without HTML, control characters, the `secrets` and what
looks like a key. Left alone: retries.
"""

import re
from collections.abc import Collection, Mapping

import msgspec

from pipeline.errors import (
    AuthenticationError,
    BodyTooLarge,
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    PenstockError,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.request import Json
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.outcomes import PROXY_REFUSED, REFUSED_CREDENTIALS, Outcome, told_retry_after

BAD_KEY = Outcome(AuthenticationError, "The upstream does not accept this key.")
UNPAID = Outcome(PaymentRequired, "The upstream wants the account's payment settled first.")
NOT_ALLOWED = Outcome(PermissionDenied, "The upstream does not allow this.")
UNKNOWN_MODEL = Outcome(ModelNotFound, "The upstream does not know this model.")
GONE = Outcome(UpstreamUnusable, "The upstream does not know the configured endpoint.", "upstream_endpoint_gone")
MOVED = Outcome(UpstreamUnusable, "The upstream redirects to another address, which is never followed.", "upstream_endpoint_gone")
REFUSED = Outcome(RequestError, "The upstream refused the request.")
TOO_LARGE = Outcome(BodyTooLarge, "The request is larger than the upstream takes.")
TOO_LONG = Outcome(ContextLengthExceeded, "The conversation is too long for the model.")
RATE_LIMIT = Outcome(RateLimited, "The upstream limits the rate of requests.")
QUOTA = Outcome(QuotaExceeded, "The account's usage limit at the upstream is reached.")
UNAVAILABLE = Outcome(UpstreamUnavailable, "The upstream is not available at the moment.")
TIMED_OUT = Outcome(UpstreamTimeout, "The upstream took too long.")
FAILED = Outcome(UpstreamError, "The upstream failed.")

# An error's `code`, `type` or `status` -> what it means. Sources: the error references of OpenAI, Anthropic, Google, Mistral, Moonshot and DeepSeek.
WORDS = {
    "invalid_api_key": BAD_KEY,
    "incorrect_api_key_error": BAD_KEY,
    "invalid_authentication_error": BAD_KEY,
    "authentication_error": BAD_KEY,
    "unauthenticated": BAD_KEY,
    "permission_error": NOT_ALLOWED,
    "permission_denied": NOT_ALLOWED,
    "permission_denied_error": NOT_ALLOWED,
    "access_terminated_error": NOT_ALLOWED,
    "unsupported_country_region_territory": NOT_ALLOWED,
    "model_not_found": UNKNOWN_MODEL,
    "model_not_found_error": UNKNOWN_MODEL,
    "invalid_model": UNKNOWN_MODEL,
    "context_length_exceeded": TOO_LONG,
    "insufficient_quota": QUOTA,
    "contract_spend_limit_reached": QUOTA,
    "enforced_spend_limit_reached": QUOTA,
    "linked_organization_spend_limit_reached": QUOTA,
    "exceeded_current_quota_error": QUOTA,
    "billing_hard_limit_reached": QUOTA,
    "insufficient_balance": UNPAID,
    "billing_not_active": UNPAID,
    "billing_error": UNPAID,
    "rate_limit_exceeded": RATE_LIMIT,
    "rate_limit_error": RATE_LIMIT,
    "rate_limit_reached_error": RATE_LIMIT,
    "too_many_requests": RATE_LIMIT,
    "resource_exhausted": RATE_LIMIT,
    "engine_overloaded_error": UNAVAILABLE,
    "engine_overloaded": UNAVAILABLE,
    "overloaded_error": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "server_overloaded": UNAVAILABLE,
    "service_unavailable": UNAVAILABLE,
    "service_unavailable_error": UNAVAILABLE,
    "unavailable": UNAVAILABLE,
    "timeout": TIMED_OUT,
    "timeout_error": TIMED_OUT,
    "request_timeout": TIMED_OUT,
    "deadline_exceeded": TIMED_OUT,
}

# What many servers say under a general word only.
TEXTS = (
    (
        re.compile(r"maximum context length|context (?:length|window|size)|prompt is too long|input is too long|too many (?:input )?tokens", re.I),
        TOO_LONG,
    ),
    (re.compile(r"exceed(?:s|ed)? (?:the )?context limit", re.I), TOO_LONG),
    (re.compile(r"credit balance is too low", re.I), UNPAID),
    (re.compile(r"'(?:messages|input)\b[^']{0,60}': string too long", re.I), TOO_LONG),  # of any other field it is no matter of the conversation
    (re.compile(r"\bmodel\b.{0,120}\b(?:does not exist|not found|unknown)|not a valid model\b|\Amodel: \S+\Z", re.I), UNKNOWN_MODEL),
)
_DESCRIBED = frozenset({None, 400, 404, 413, 422})

STATUSES = {
    401: BAD_KEY,
    402: UNPAID,
    403: NOT_ALLOWED,
    404: GONE,
    405: GONE,
    407: PROXY_REFUSED,
    408: TIMED_OUT,
    409: UNAVAILABLE,
    410: GONE,
    413: TOO_LARGE,
    425: UNAVAILABLE,
    429: RATE_LIMIT,
    501: GONE,
    503: UNAVAILABLE,
    504: TIMED_OUT,
    524: TIMED_OUT,
    529: UNAVAILABLE,
}

GENERAL_WORDS = {
    "invalid_request_error": REFUSED,
    "invalid_request": REFUSED,
    "invalid_argument": REFUSED,
    "bad_request": REFUSED,
    "badrequesterror": REFUSED,
    "content_filter": REFUSED,
    # what a response fails with where its request is at fault
    "invalid_prompt": REFUSED,
    "bio_policy": REFUSED,
    "misalignment_policy_violation": REFUSED,
    "data_residency_mismatch": REFUSED,
    "unsupported_image_media_type": REFUSED,
    "empty_image_file": REFUSED,
    "failed_to_download_image": REFUSED,
    **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"), REFUSED),
    **dict.fromkeys(("image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "image_file_not_found"), REFUSED),
    "image_content_policy_violation": REFUSED,
    "not_found": GONE,
    "not_found_error": GONE,
    "request_too_large": TOO_LARGE,
}

# what another upstream would say of the request too, whatever the status is
_OF_THE_REQUEST = (REFUSED, TOO_LONG, TOO_LARGE)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)


class _Report(msgspec.Struct, frozen=True):
    """An error as the upstream told it, cleaned; the words in lower case, the most exact one first."""

    words: tuple[str, ...] = ()
    number: int | None = None
    text: str = ""
    param: str | None = None

    def outcome(self, status: int | None) -> Outcome:
        """What the first table that knows it says."""
        status = status if status is not None else self.number
        found = next((WORDS[word] for word in self.words if word in WORDS), None)
        if found is None and status in _DESCRIBED:
            found = next((outcome for pattern, outcome in TEXTS if pattern.search(self.text)), None)
        if found is None and status is not None:
            found = STATUSES.get(status) or (MOVED if 300 <= status < 400 else REFUSED if 400 <= status < 500 else None)
        return found or next((GENERAL_WORDS[word] for word in self.words if word in GENERAL_WORDS), FAILED)


class OpenAIErrors:
    """Reads the errors of one upstream.

    >>> OpenAIErrors().from_stream({"code": "engine_overloaded", "message": "Busy"})
    UpstreamUnavailable('The upstream is not available at the moment. It says: Busy')
    """

    def __init__(self, *, callers_key: bool = False, secrets: Collection[str] = ()) -> None:
        """`callers_key` says that the key that was sent is the caller's own; none of the `secrets` stands in an error's message."""
        self._callers_key = callers_key
        self._secrets = secrets

    def from_http(self, status: int, headers: Mapping[str, str], body: bytes) -> PenstockError:
        """What an HTTP answer other than 200 says. `headers` may be spelled in any case; `body` is as received, of any type."""
        return self._error(_read(decode_json(body), self._secrets), status, told_retry_after(headers))

    def from_stream(self, value: Json) -> PenstockError:
        """What an error inside a stream says: the value under `error`, or the object that it is flat in."""
        return self._error(_read(value, self._secrets), None, None)

    def _error(self, report: _Report, status: int | None, retry_after: float | None) -> PenstockError:
        outcome = report.outcome(status)
        text = report.text
        if outcome is BAD_KEY and not self._callers_key:
            outcome, text = REFUSED_CREDENTIALS, ""
        message = outcome.message
        if outcome is FAILED and status is not None and not text:
            message = f"The upstream failed (HTTP {status})."
        passes = _passes_elsewhere(outcome, report, status if status is not None else report.number)
        code = outcome.code
        if outcome is REFUSED:
            code = next(iter(report.words), None)
        return outcome.error(
            clean_message(f"{message} It says: {text}" if text else message),
            code=code,
            param=report.param if issubclass(outcome.error, RequestError) else None,
            retry_after_seconds=retry_after if passes and outcome is not NOT_ALLOWED else None,
            may_pass_elsewhere=passes,
        )


def _passes_elsewhere(outcome: Outcome, report: _Report, status: int | None) -> bool:
    """Whether the same request may pass at another target."""
    if status == 403 and outcome is NOT_ALLOWED:
        return not (report.words or report.text)
    return outcome.error.passes_elsewhere or (status is not None and 500 <= status < 600 and outcome not in _OF_THE_REQUEST)


def _read(value: Json, secrets: Collection[str]) -> _Report:
    value = next(iter(as_list(value)), value)
    outer = as_object(value)
    error = next((outer[name] for name in ("error", "detail", "errors") if outer.get(name)), value)
    error = next(iter(as_list(error)), error)
    if isinstance(error, str):
        return _Report(_words(outer), _number(outer), clean_message(error, secrets))
    fields = as_object(error)
    text = next((text for name in ("message", "msg", "detail") if isinstance(text := fields.get(name), str)), "")
    param = fields.get("param")
    return _Report(
        _words(fields) or _words(outer),
        _number(fields) or _number(outer),
        clean_message(text, secrets),
        param if isinstance(param, str) and _PARAM.fullmatch(param) else None,
    )


def _words(fields: Mapping[str, Json]) -> tuple[str, ...]:
    exact = as_object(fields.get("details")).get("error_code")  # Anthropic's place for a word that says more than the type
    words = (exact, *(fields.get(name) for name in ("code", "type", "status")))
    return tuple(word.lower() for word in words if isinstance(word, str) and _WORD.fullmatch(word.lower()))


def _number(fields: Mapping[str, Json]) -> int | None:
    """An HTTP status that stands in the error itself, as a number or as its digits."""
    for name in ("code", "status", "status_code"):
        value = fields.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    return None
