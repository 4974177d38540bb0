"""What each error of the SDK's bridge means for a client, as tables.

`SDK_ERRORS` has a row for each value of the published enum, with what there is to do about it, and documents print it. The tables behind it are for
the words of Connect and of a run's result, for what is only told as text, and for an HTTP answer without any of them.

>>> [row.code for row in SDK_ERRORS if row.our_code == "model_not_found"]
['SDK_ERROR_CODE_INVALID_MODEL']
"""

import re

import msgspec

from pipeline.errors import (
    AuthenticationError,
    ContextLengthExceeded,
    ModelNotFound,
    PaymentRequired,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.wire.outcomes import Outcome
from pipeline.wire.sdk_error_report import CODES, PREFIX, spelled

BAD_KEY = Outcome(AuthenticationError, "The SDK does not accept this key.")
UNPAID = Outcome(PaymentRequired, "The SDK wants the account's payment settled first.")
WRONG_PLAN = Outcome(PermissionDenied, "The account's plan does not include this.")
NOT_ALLOWED = Outcome(PermissionDenied, "The SDK does not allow this to the account.")
REFUSED = Outcome(RequestError, "The SDK refused the request.")
UNKNOWN_MODEL = Outcome(ModelNotFound, "The SDK does not know this model.")
TOO_LONG = Outcome(ContextLengthExceeded, "The conversation is too long for the model.")
RATE_LIMIT = Outcome(RateLimited, "The SDK limits the rate of requests.")
QUOTA = Outcome(QuotaExceeded, "The account's usage limit at the SDK is reached.")
LOST = Outcome(UpstreamUnavailable, "The bridge does not know this agent or run any more; send the request once more.", "upstream_run_lost")
BUSY = Outcome(UpstreamUnavailable, "The agent is busy with another run; send the request once more.")
UNAVAILABLE = Outcome(UpstreamUnavailable, "The SDK is not available at the moment.")
NO_NETWORK = Outcome(UpstreamUnavailable, "The bridge cannot reach Cursor: it has no network, or a proxy or a firewall is in the way.")
TIMED_OUT = Outcome(UpstreamTimeout, "The SDK took too long.")
CANCELLED = Outcome(UpstreamError, "The run was cancelled.", "run_cancelled")
TOO_SLOW = Outcome(UpstreamError, "The answer was not read as fast as the bridge sent it, and was broken off.", "upstream_reader_too_slow")
NO_INTEGRATION = Outcome(
    UpstreamUnusable, "The SDK wants a repository or an integration, which only its agents in the cloud have.", "upstream_integration_missing"
)
INCOMPATIBLE = Outcome(
    UpstreamUnusable, "The bridge does not speak this protocol; its version is too old or too new.", "upstream_bridge_incompatible"
)
FAILED = Outcome(UpstreamError, "The SDK failed.")

# A retry of these may pass, so that what is said about when is worth passing on.
RETRYABLE = (RATE_LIMIT, BUSY, LOST, UNAVAILABLE, NO_NETWORK, TIMED_OUT, FAILED)


class SdkError(msgspec.Struct, frozen=True):
    """One row: a value of the enum, what a client is told, and what there is to do."""

    code: str
    outcome: Outcome
    advice: str

    @property
    def number(self) -> int:
        """Its number in the enum."""
        return CODES.index(self.code.removeprefix(PREFIX))

    @property
    def status(self) -> int:
        """The HTTP status that a client gets."""
        return self.outcome.error.status

    @property
    def our_code(self) -> str:
        """The `code` that a client gets."""
        return self.outcome.code or self.outcome.error.default_code


_AGAIN = "send the request again: a fresh agent is told the conversation"
_CLOUD_ONLY = "only agents in the cloud have repositories, and none is asked for here: report it"

SDK_ERRORS = tuple(
    SdkError(PREFIX + name, outcome, advice)
    for name, outcome, advice in (
        ("UNSPECIFIED", FAILED, "see what it says; its Connect code decides where it has one"),
        ("UNAUTHORIZED", BAD_KEY, "check the key, or make a new one on Cursor's dashboard"),
        ("API_KEY_NOT_FOUND", BAD_KEY, "the key was deleted: make a new one on Cursor's dashboard"),
        ("PLAN_REQUIRED", WRONG_PLAN, "use a model that the plan includes, or another plan"),
        ("ROLE_FORBIDDEN", NOT_ALLOWED, "ask an administrator of the team"),
        ("FEATURE_UNAVAILABLE", NOT_ALLOWED, "the account does not have this feature: use another model or account"),
        ("AGENT_NOT_FOUND", LOST, _AGAIN),
        ("RUN_NOT_FOUND", LOST, _AGAIN),
        ("VALIDATION_ERROR", REFUSED, "see what it says: an image, a tool's schema or a parameter is at fault"),
        ("INVALID_MODEL", UNKNOWN_MODEL, "use one of the models that are listed for the key"),
        ("INVALID_BRANCH_NAME", NO_INTEGRATION, _CLOUD_ONLY),
        ("REPOSITORY_REQUIRED", NO_INTEGRATION, _CLOUD_ONLY),
        ("REPOSITORY_ACCESS", NO_INTEGRATION, _CLOUD_ONLY),
        ("PR_RESOLUTION_FAILED", NO_INTEGRATION, _CLOUD_ONLY),
        ("USAGE_LIMIT_EXCEEDED", QUOTA, "raise the limit on Cursor's dashboard, or wait for the next period; a retry does not help"),
        ("AGENT_BUSY", BUSY, _AGAIN),
        ("AGENT_ARCHIVED", LOST, _AGAIN),
        ("RUN_NOT_CANCELLABLE", FAILED, "nothing: the run has ended already"),
        ("RATE_LIMIT_EXCEEDED", RATE_LIMIT, "wait as long as `Retry-After` says"),
        ("UPSTREAM_ERROR", FAILED, "try again; a provider behind Cursor failed"),
        ("INTERNAL_ERROR", FAILED, "try again; see what it says"),
        ("CLIENT_CANCELLED", CANCELLED, "nothing, if you cancelled it; else try again"),
    )
)

# A code of Connect or of a run's result, as `spelled` gives it -> what it means. Connect's are those of its specification; further ones are what the
# SDK calls the same things in a run's result.
WORDS = {
    **{spelled(row.code): row.outcome for row in SDK_ERRORS if spelled(row.code)},
    "canceled": CANCELLED,
    "cancelled": CANCELLED,
    "aborted": UNAVAILABLE,
    "unknown": FAILED,
    "internal": FAILED,
    "data_loss": FAILED,
    "already_exists": FAILED,
    "failed_precondition": FAILED,
    "invalid_argument": REFUSED,
    "bad_request": REFUSED,
    "out_of_range": REFUSED,
    "deadline_exceeded": TIMED_OUT,
    "timeout": TIMED_OUT,
    "not_found": LOST,
    "unknown_agent": LOST,
    "unknown_run": LOST,
    "unauthenticated": BAD_KEY,
    "permission_denied": NOT_ALLOWED,
    "forbidden": NOT_ALLOWED,
    "resource_exhausted": RATE_LIMIT,
    "rate_limited": RATE_LIMIT,
    "stream_buffer_overflow": TOO_SLOW,
    "unimplemented": INCOMPATIBLE,
    "unavailable": UNAVAILABLE,
    "integration_not_connected": NO_INTEGRATION,
}

_BROAD = frozenset({"", "internal", "internal_error", "unknown", "upstream_error", "unavailable"})
_OF_THE_REQUEST = _BROAD | {"invalid_argument", "validation_error", "bad_request", "failed_precondition"}
_LIMITS = frozenset({"resource_exhausted"})
_OFFLINE = r"network request failed|fetch failed|\bE(?:CONNREFUSED|NOTFOUND|AI_AGAIN|CONNRESET|HOSTUNREACH|NETUNREACH)\b"
_NO_MODEL = r"\bmodel\b.{0,120}\b(?:not found|does not exist|is not (?:valid|supported|available)|unknown)|\b(?:unknown|invalid) model\b"

# What is only told as text: the pattern, the codes beside which it counts, and what it means.
TEXTS = (
    (re.compile(r"\bfell behind\b", re.I), _LIMITS, TOO_SLOW),
    (re.compile(r"usage limit|spend limit|billing|hard limit|\bquota\b", re.I), _LIMITS, QUOTA),
    (re.compile(_OFFLINE, re.I), _BROAD, NO_NETWORK),
    (re.compile(r"context (?:length|window)|(?:conversation|prompt|input) is too long|too many (?:input )?tokens", re.I), _OF_THE_REQUEST, TOO_LONG),
    (re.compile(_NO_MODEL, re.I), _OF_THE_REQUEST | {"not_found"}, UNKNOWN_MODEL),
)

# For an HTTP answer with none of these words.
STATUSES = {
    400: REFUSED,
    401: BAD_KEY,
    402: UNPAID,
    403: NOT_ALLOWED,
    404: INCOMPATIBLE,
    405: INCOMPATIBLE,
    408: TIMED_OUT,
    413: REFUSED,
    415: INCOMPATIBLE,
    429: RATE_LIMIT,
    503: UNAVAILABLE,
    504: TIMED_OUT,
}
