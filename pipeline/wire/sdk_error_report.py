"""A Connect error of the SDK's bridge, read into what it says.

Theory of operation: a Connect error is an object {code, message, details}. Where the bridge knows more, `details` holds an `SdkErrorDetails`,
readable under `debug`, and as base64 of its protobuf under `value`. The readable form is taken where there is one. A detail that has a code of the
SDK comes before one without. Details of other types are left alone: the same numbers mean something else there.

Invariants: nothing raises; work is bounded, however large the input is. Text is cleaned, ids and addresses are as they were sent.
"""

import base64
import binascii
import math
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.request import Json
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object
from pipeline.wire.protobuf import read_fields

PREFIX = "SDK_ERROR_CODE_"

# The values of the enum `SdkErrorCode`, by their numbers.
CODES = (
    *("UNSPECIFIED", "UNAUTHORIZED", "API_KEY_NOT_FOUND", "PLAN_REQUIRED", "ROLE_FORBIDDEN", "FEATURE_UNAVAILABLE", "AGENT_NOT_FOUND"),
    *("RUN_NOT_FOUND", "VALIDATION_ERROR", "INVALID_MODEL", "INVALID_BRANCH_NAME", "REPOSITORY_REQUIRED", "REPOSITORY_ACCESS"),
    *("PR_RESOLUTION_FAILED", "USAGE_LIMIT_EXCEEDED", "AGENT_BUSY", "AGENT_ARCHIVED", "RUN_NOT_CANCELLABLE", "RATE_LIMIT_EXCEEDED"),
    *("UPSTREAM_ERROR", "INTERNAL_ERROR", "CLIENT_CANCELLED"),
)

DETAILS = "sdk.v1.SdkErrorDetails"
_MAX_DETAILS = 16
_MAX_VALUE_CHARS = 65_536
_MAX_WAIT_SECONDS = 31 * 86_400.0
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_NUMBER = re.compile(r"[0-9]{1,12}")
_BYTES_FIELDS = {1: "requestId", 3: "message", 4: "helpUrl", 5: "provider"}
_NOTHING: Mapping[str, Json] = MappingProxyType({})
_CODE_FIELD, _RETRY_FIELD, _LIMIT_FIELD, _RESET_FIELD = 2, 6, 7, 3


class Report(msgspec.Struct, frozen=True):
    """What an error says. `word` is the SDK's code and `code` Connect's, both as `spelled` gives them; what was not said is empty."""

    word: str = ""
    code: str = ""
    text: str = ""
    request_id: str = ""
    help_url: str = ""
    retry_after_seconds: float | None = None


def spelled(code: str) -> str:
    """A code in the one spelling that they are compared in; empty for what is none.

    >>> spelled("SDK_ERROR_CODE_AGENT_BUSY"), spelled("agent_busy"), spelled("SDK_ERROR_CODE_UNSPECIFIED"), spelled("<b>")
    ('agent_busy', 'agent_busy', '', '')
    """
    word = code.removeprefix(PREFIX).lower() if _CODE.fullmatch(code) else ""
    return "" if word == "unspecified" else word


def read_report(error: Json, secrets: Collection[str], now: float) -> Report:
    """A Connect error, or what stands in its place; `now` is in seconds since the epoch, for a limit that says when it ends."""
    if isinstance(error, str):
        return Report(text=clean_message(error, secrets))
    fields = as_object(error)
    details = [_read_detail(as_object(detail)) for detail in as_list(fields.get("details"))[:_MAX_DETAILS]]
    best = next((detail for detail in details if detail.get("sdkErrorCode")), None) or next(filter(None, details), _NOTHING)
    return Report(
        word=spelled(_text(best, "sdkErrorCode")),
        code=spelled(_text(fields, "code")),
        text=clean_message(_text(best, "message"), secrets) or clean_message(_text(fields, "message"), secrets),
        request_id=_text(best, "requestId"),
        help_url=_text(best, "helpUrl"),
        retry_after_seconds=_retry_after(best, now),
    )


def _retry_after(detail: Mapping[str, Json], now: float) -> float | None:
    found = _DURATION.fullmatch(_text(detail, "retryAfter"))
    if found:
        return min(float(found[1]), _MAX_WAIT_SECONDS)
    reset = as_object(detail.get("rateLimit")).get("resetEpochSeconds")
    if isinstance(reset, bool) or not isinstance(reset, int | str) or not _NUMBER.fullmatch(str(reset)[:13]):
        return None
    return float(min(max(0, math.ceil(int(reset) - now)), _MAX_WAIT_SECONDS))


def _read_detail(detail: Mapping[str, Json]) -> Mapping[str, Json]:
    if _text(detail, "type").rpartition("/")[2] not in ("", DETAILS):
        return _NOTHING
    debug = as_object(detail.get("debug"))
    value = detail.get("value")
    return debug or (_from_base64(value) if isinstance(value, str) and 0 < len(value) <= _MAX_VALUE_CHARS else {})


def _from_base64(value: str) -> dict[str, Json]:
    """An `SdkErrorDetails` as its readable form has it."""
    # Connect leaves the padding out; some servers use the URL alphabet
    standard = value.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        message = read_fields(base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True))
    except (binascii.Error, ValueError):
        return {}
    if isinstance(message, ProtocolViolation):
        return {}
    told: dict[str, Json] = {}
    for number, field in message:
        if isinstance(field, bytes) and number in _BYTES_FIELDS:
            told[_BYTES_FIELDS[number]] = field.decode(errors="replace")
        elif number == _CODE_FIELD and isinstance(field, int):
            told["sdkErrorCode"] = PREFIX + (CODES[field] if field < len(CODES) else "UNSPECIFIED")
        elif number == _RETRY_FIELD and isinstance(field, bytes):
            numbers = _numbers(field)
            told["retryAfter"] = f"{numbers.get(1, 0)}.{numbers.get(2, 0):09d}s"
        elif number == _LIMIT_FIELD and isinstance(field, bytes):
            told["rateLimit"] = {"resetEpochSeconds": _numbers(field).get(_RESET_FIELD)}
    return told


def _numbers(message: bytes) -> dict[int, int]:
    fields = read_fields(message)
    return {} if isinstance(fields, ProtocolViolation) else {number: value for number, value in fields if isinstance(value, int)}


def _text(fields: Mapping[str, Json], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
