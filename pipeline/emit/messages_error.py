"""Errors as Anthropic's API words them, in a body and in a stream.

The type is one of the API's own, by which its clients choose what to do; our own code stands beside it as `code`, so that nothing of it is lost, and
so does `param`. Source: the error types of the official client (`anthropic.types.shared`).
"""

from typing import Any

from pipeline.errors import (
    AuthenticationError,
    Overloaded,
    PaymentRequired,
    PenstockError,
    PermissionDenied,
    RateLimited,
    RequestError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from pipeline.messages_fields import REFUSED

DETAILED = frozenset(row.code for row in REFUSED.values())
"""Codes that are the API's own, and which its clients read in `details`."""

OF_STATUS = {404: "not_found_error", 413: "request_too_large"}

# an error's class -> the API's word for it; the first that fits
OF_CLASS: tuple[tuple[type[PenstockError], str], ...] = (
    (RequestError, "invalid_request_error"),
    (AuthenticationError, "authentication_error"),
    (PaymentRequired, "billing_error"),
    (PermissionDenied, "permission_error"),
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (UpstreamUnavailable, "overloaded_error"),
    (UpstreamTimeout, "timeout_error"),
)


def error_type(error: PenstockError) -> str:
    """The API's word for an error.

    >>> from pipeline.errors import ModelNotFound, StreamCut
    >>> error_type(ModelNotFound("?")), error_type(UpstreamUnavailable("?")), error_type(StreamCut("?"))
    ('not_found_error', 'overloaded_error', 'api_error')
    """
    return OF_STATUS.get(error.status) or next((word for kind, word in OF_CLASS if isinstance(error, kind)), "api_error")


def error_object(error: PenstockError) -> dict[str, Any]:
    """What stands under `error`."""
    fields: dict[str, Any] = {"type": error_type(error), "message": error.message, "code": error.code}
    if error.param is not None:
        fields["param"] = error.param
    if error.code in DETAILED:
        fields["details"] = {"error_code": error.code}
    return fields


def error_body(error: PenstockError, request_id: str | None = None) -> dict[str, Any]:
    """A whole body.

    >>> error_body(PenstockError("Something went wrong."), "req_1")["request_id"]
    'req_1'
    """
    body: dict[str, Any] = {"type": "error", "error": error_object(error)}
    return body if request_id is None else {**body, "request_id": request_id}
