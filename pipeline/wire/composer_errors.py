"""What Composer says went wrong, as the error that a client is told.

Theory of operation: an end-stream message or an HTTP answer is read into a `_Report`: the Connect code, the debug error name, and text for
people. `RULES` is then asked in order: names before codes, since a name is exact and one code (`resource_exhausted`) stands for many things, and
an HTTP status comes last, since Connect derives it from the code. What no rule knows is `upstream_error`. The text for people comes from the
error's details (debug details, or strings inside their base64 protobuf), and from `message` where that says more than "Error".

Invariants: nothing here raises, whatever the bytes are. A message is one line of at most `MAX_MESSAGE_CHARS`; it holds no HTML, no raw body, no
control characters, none of the `secrets` and nothing that looks like a key. Left alone: retries, what the request was, and whose key was refused.
"""

import re
from collections.abc import Collection, Mapping

import msgspec

from pipeline.errors import (
    AuthenticationError,
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    PenstockError,
    PermissionDenied,
    ProtocolViolation,
    QuotaExceeded,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.request import Json
from pipeline.wire.composer_error_text import details_text
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.outcomes import PROXY_REFUSED, Outcome, retry_after_seconds


class Rule(msgspec.Struct, frozen=True):
    """One row of the table: it holds for a debug name that `names` is found in, or for one of the `codes` when `text` is found in the text."""

    outcome: Outcome
    names: str | None = None
    codes: frozenset[str] = frozenset()
    text: str = ""

    def holds(self, code: str, name: str, text: str) -> bool:
        """Whether this row is the one for an error."""
        if self.names is not None and re.search(self.names, name):
            return True
        return code in self.codes and re.search(self.text, text, re.IGNORECASE) is not None


OUTDATED = Outcome(
    UpstreamUnusable, "The upstream refuses this kind of client; use the SDK bridge as the upstream, or ask the vendor.", "upstream_client_outdated"
)
BAD_KEY = Outcome(AuthenticationError, "The upstream does not accept this key.")
NOT_ALLOWED = Outcome(PermissionDenied, "The upstream does not allow this to the account.")
RATE_LIMIT = Outcome(RateLimited, "The upstream limits the rate of requests.")
UNPAID = Outcome(PaymentRequired, "The upstream wants the account's payment settled first.")
QUOTA = Outcome(QuotaExceeded, "The account's usage limit at the upstream is reached.")
TOO_LONG = Outcome(ContextLengthExceeded, "The conversation is too long for the model.")
UNKNOWN_MODEL = Outcome(ModelNotFound, "The upstream does not know this model.")
UNAVAILABLE = Outcome(UpstreamUnavailable, "The upstream is not available at the moment.")
TIMED_OUT = Outcome(UpstreamTimeout, "The upstream took too long.")
GONE = Outcome(UpstreamUnusable, "The upstream does not know the configured chat endpoint.", "upstream_endpoint_gone")
REFUSED = Outcome(UpstreamError, "The upstream refused this account or session.")
FAILED = Outcome(UpstreamError, "The upstream failed.")

# Asked in order. A refusal of the client comes first, since telling it as a limit makes clients wait and resend for nothing; then names, which are
# exact; then codes. Debug names are without their ERROR_ prefix.
RULES = (
    Rule(
        OUTDATED,
        "OUTDATED_CLIENT",
        frozenset({"resource_exhausted"}),
        r"\bversion\b|\bupdat(?:e|ing)\b(?! your (?:plan|payment|billing|spend|subscription))",
    ),
    Rule(BAD_KEY, "BAD_API_KEY|BAD_USER_API_KEY|AUTH_TOKEN_"),
    Rule(RATE_LIMIT, "_RATE_LIMIT|^RATE_LIMITED"),
    Rule(QUOTA, "USAGE_LIMIT|ACCOUNT_LIMIT|PRICING"),
    Rule(NOT_ALLOWED, "PRO_USER_ONLY|(?:^|_)PLAN(?:_|$)"),
    Rule(TOO_LONG, "CONVERSATION_TOO_LONG|MAX_TOKENS"),
    Rule(UNKNOWN_MODEL, "BAD_MODEL_NAME"),
    Rule(TIMED_OUT, "(?:^|_)TIMEOUT"),
    Rule(BAD_KEY, codes=frozenset({"unauthenticated"})),
    Rule(NOT_ALLOWED, codes=frozenset({"permission_denied"})),
    Rule(RATE_LIMIT, codes=frozenset({"resource_exhausted"}), text=r"\brate.?limit|too many requests"),
    Rule(QUOTA, codes=frozenset({"resource_exhausted"}), text=r"usage|limit|pricing"),
    Rule(UNAVAILABLE, codes=frozenset({"unavailable"})),
    Rule(TIMED_OUT, codes=frozenset({"deadline_exceeded"})),
)

# For an HTTP answer whose body no rule knows.
STATUSES = {
    401: BAD_KEY,
    402: UNPAID,
    403: NOT_ALLOWED,
    404: GONE,
    407: PROXY_REFUSED,
    408: TIMED_OUT,
    429: RATE_LIMIT,
    464: REFUSED,
    503: UNAVAILABLE,
    504: TIMED_OUT,
}

# A retry of these may pass, so that the upstream's Retry-After is worth passing on.
_RETRYABLE = (RATE_LIMIT, UNAVAILABLE, TIMED_OUT, FAILED)
_SAYS_NOTHING = frozenset({"", "error"})
_CODE = re.compile(r"[a-z][a-z_]{0,39}")


class _Report(msgspec.Struct, frozen=True):
    """An error as the upstream told it: the Connect code, the debug name without its prefix, and the text, cleaned."""

    code: str = ""
    name: str = ""
    text: str = ""

    def outcome(self) -> Outcome | None:
        """What the first row that holds says."""
        return next((rule.outcome for rule in RULES if rule.holds(self.code, self.name, self.text)), None)

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but the code."""
        return not self.text and self.name in ("", "RESOURCE_EXHAUSTED")


def error_from_end_frame(payload: bytes, *, over_half_window: bool = False, secrets: Collection[str] = ()) -> PenstockError | None:
    """What an end-stream message says: None for a proper end, else the error.

    `over_half_window` says that the request filled more than half of the model's window: a bare `resource_exhausted` then means that it was too long.
    None of the `secrets` stands in the error's message.

    >>> error_from_end_frame(b"{}") is None
    True
    >>> error_from_end_frame(b'{"error": {"code": "unavailable", "message": "Error"}}')
    UpstreamUnavailable('The upstream is not available at the moment.')
    """
    if not payload:
        return None
    frame = decode_json(payload)
    if not isinstance(frame, dict):
        return ProtocolViolation("The upstream's end message is not a JSON object.")
    fields = as_object(frame)
    if fields.get("error") is None:
        return None
    report = _read_report(fields["error"], secrets)
    outcome = report.outcome()
    if outcome is None:
        bare_limit = report.code == "resource_exhausted" and report.is_bare
        outcome = TOO_LONG if bare_limit and over_half_window else FAILED
    retry_after = next((value for key, value in as_object(fields.get("metadata")).items() if key.lower() == "retry-after"), None)
    seconds = _first_text(retry_after)
    return _error(outcome, report, retry_after_seconds(seconds) if seconds else None)


def error_from_http(status: int, headers: Mapping[str, str], body: bytes, *, secrets: Collection[str] = ()) -> PenstockError:
    """What an HTTP answer other than 200 says, without the `secrets`. `headers` may be spelled in any case; `body` is as received, of any type."""
    fields = as_object(decode_json(body))
    report = _read_report(fields["error"] if fields.get("error") is not None else fields, secrets)
    outcome = report.outcome() or STATUSES.get(status, FAILED)
    retry_after = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return _error(outcome, report, retry_after_seconds(retry_after), status=status)


def _read_report(error: Json, secrets: Collection[str]) -> _Report:
    if isinstance(error, str):
        return _Report(text=clean_message(error, secrets))
    fields = as_object(error)
    code, message, details = fields.get("code"), fields.get("message"), fields.get("details")
    names = [as_object(as_object(detail).get("debug")).get("error") for detail in as_list(details)]
    name = next((name for name in names if isinstance(name, str) and name), "")
    text = clean_message(details_text(details), secrets)
    if not text and isinstance(message, str) and message.strip().lower() not in _SAYS_NOTHING:
        text = clean_message(message, secrets)
    known_code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return _Report(known_code, name[:100].upper().removeprefix("ERROR_"), text)


def _error(outcome: Outcome, report: _Report, retry_after: float | None, *, status: int | None = None) -> PenstockError:
    message = outcome.message
    if outcome is FAILED:
        reason = report.code or (f"HTTP {status}" if status is not None else "")
        message = f"The upstream failed ({reason})." if reason else message
    if report.text:
        message = f"{message} It says: {report.text}"
    return outcome.error(clean_message(message), code=outcome.code, retry_after_seconds=retry_after if outcome in _RETRYABLE else None)


def _first_text(value: Json) -> str:
    candidates = [value, *as_list(value)]
    return next((candidate for candidate in candidates if isinstance(candidate, str)), "")
