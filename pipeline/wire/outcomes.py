"""What a client is told of an upstream's fault, as far as it is the same for every kind of upstream.

An `Outcome` is one row's meaning in the tables that read errors; those that more than one table names stand here. `retry_after_seconds` reads the
header in which every upstream says when to come back, and `told_retry_after` finds it among others, or the finer one in milliseconds beside it.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from pipeline.errors import PenstockError, UpstreamUnusable

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class Outcome(msgspec.Struct, frozen=True):
    """What a client is told: the error's class, our own sentence before the upstream's words, and a code where it is not the class's own."""

    error: type[PenstockError]
    message: str
    code: str | None = None


REFUSED_CREDENTIALS = Outcome(UpstreamUnusable, "The upstream does not accept the gateway's credentials.", "upstream_credentials_refused")
"""For a key that is not the caller's: the operator must mend it, and what the upstream says about it is not the caller's business."""

PROXY_REFUSED = Outcome(UpstreamUnusable, "The proxy before the upstream refuses the gateway.", "upstream_proxy_refused")
"""For HTTP 407, which only a proxy says."""


def told_retry_after(headers: Mapping[str, str]) -> float | None:
    """When to come back, in seconds, as the headers of an answer say it; their names may be spelled in any case.

    `retry-after-ms` is what OpenAI and Azure send beside Retry-After, which has whole seconds only.

    >>> told_retry_after({"Retry-After": "2", "retry-after-ms": "1500"})
    1.5
    """
    told = {name.lower(): value for name, value in headers.items() if name.lower() in ("retry-after", "retry-after-ms")}
    milliseconds = told.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    return retry_after_seconds(told.get("retry-after", ""))


def retry_after_seconds(value: str, now: datetime | None = None) -> float | None:
    """A Retry-After value, in seconds from `now` (default: the clock): delay seconds or an HTTP date; None where it is neither.

    >>> retry_after_seconds("30"), retry_after_seconds("soon")
    (30.0, None)
    >>> retry_after_seconds("Fri, 02 Jan 2026 00:00:10 GMT", datetime(2026, 1, 2, tzinfo=UTC))
    10.0
    """
    value = value.strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value[:64])
        # Without a zone it is UTC, the only one that HTTP knows.
        return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, OverflowError):
        return None
