"""Every error that a client can see, and the status, type and code that it carries.

::

    PenstockError                     500 internal_error
    ├── RequestError                  400 invalid_request_error
    │   ├── MalformedBody             400 invalid_json
    │   ├── UnsupportedParameter      400 unsupported_parameter
    │   ├── ContextLengthExceeded     400 context_length_exceeded
    │   ├── ModelNotFound             404 model_not_found
    │   ├── ResponseNotFound          404 response_not_found (or previous_, item_not_found)
    │   ├── RouteNotFound             404 not_found
    │   ├── MethodNotAllowed          405 method_not_allowed
    │   ├── BodyTimeout               408 request_timeout
    │   ├── BodyTooLarge              413 request_too_large
    │   └── UnsupportedMedia          415 unsupported_media_type
    ├── AuthenticationError           401 invalid_api_key
    ├── PaymentRequired               402 payment_required
    ├── PermissionDenied              403 permission_denied
    ├── RateLimited                   429 rate_limit_exceeded
    │   └── QuotaExceeded             429 insufficient_quota
    ├── Overloaded                    503 overloaded
    │   └── Draining                  503 server_shutting_down
    └── UpstreamError                 502 upstream_error
        ├── UpstreamUnusable          424 upstream_not_configured (or _gone, _client_outdated)
        ├── UpstreamUnavailable       503 upstream_unavailable
        ├── UpstreamTimeout           504 upstream_timeout
        ├── StreamCut                 502 upstream_stream_cut
        ├── AnswerUnsatisfied         502 response_format_unsatisfied, tool_choice_unsatisfied, invalid_arguments
        └── ProtocolViolation         502 upstream_protocol_error

The types and codes are those of ARCHITECTURE.md, "Errors". A permanent fault is never a 5xx, since clients resend
whole prompts on a 5xx: an upstream that is not configured, gone or too old to talk to is 424. Messages are written for the person who reads them in a
client's window; they never hold a key, a path, HTML or a library's own text.
"""

from typing import ClassVar, NotRequired, TypedDict


class ErrorBody(TypedDict):
    """The object under `error` in an OpenAI-shaped body."""

    message: str
    type: str
    param: str | None
    code: str | None
    request_id: NotRequired[str]


class PenstockError(Exception):
    """Something that a client is told. Subclasses fix `status`, `type` and the default `code`."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"
    default_code: ClassVar[str] = "internal_error"
    passes_elsewhere: ClassVar[bool] = False
    """Whether the same request may pass at another target: the fault is this one's, and may be over soon."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        may_pass_elsewhere: bool | None = None,
    ) -> None:
        """`param` is the path of the offending field; `retry_after_seconds` becomes the Retry-After header, rounded up.

        `may_pass_elsewhere` is for the one error that is unlike the others of its class.
        """
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.may_pass_elsewhere = self.passes_elsewhere if may_pass_elsewhere is None else may_pass_elsewhere

    def body(self) -> ErrorBody:
        """The `error` object as every OpenAI client reads it."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


class RequestError(PenstockError):
    """The client's request cannot be served as it is."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class MalformedBody(RequestError):
    """The body is not JSON that we read: broken, too deep, NaN, lone surrogates."""

    default_code = "invalid_json"


class UnsupportedParameter(RequestError):
    """A parameter asks for something that no upstream of ours can do."""

    default_code = "unsupported_parameter"


class ContextLengthExceeded(RequestError):
    """The conversation does not fit the model's window."""

    default_code = "context_length_exceeded"


class ModelNotFound(RequestError):
    """No route serves this model id."""

    status = 404
    default_code = "model_not_found"


class ResponseNotFound(RequestError):
    """There is no stored response of this id for this caller."""

    status = 404
    default_code = "response_not_found"


class RouteNotFound(RequestError):
    """No such path."""

    status = 404
    default_code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    status = 405
    default_code = "method_not_allowed"


class BodyTimeout(RequestError):
    """The body did not arrive within `server.body_seconds`."""

    status = 408
    default_code = "request_timeout"


class BodyTooLarge(RequestError):
    """The body is over `server.max_body_bytes`, or over what the upstream takes."""

    status = 413
    default_code = "request_too_large"


class UnsupportedMedia(RequestError):
    """The body is encoded in a way that we do not read."""

    status = 415
    default_code = "unsupported_media_type"


class AuthenticationError(PenstockError):
    """No key, or one that is not accepted."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class PaymentRequired(PenstockError):
    """The upstream wants the account's bill settled first."""

    status = 402
    type = "permission_error"
    default_code = "payment_required"


class PermissionDenied(PenstockError):
    """The key is good and not allowed to do this."""

    status = 403
    type = "permission_error"
    default_code = "permission_denied"


class RateLimited(PenstockError):
    """Too many requests; a retry after `retry_after_seconds` may pass."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    passes_elsewhere = True


class QuotaExceeded(RateLimited):
    """The account's budget is used up; a retry does not help."""

    type = "insufficient_quota"
    default_code = "insufficient_quota"


class Overloaded(PenstockError):
    """This server has no room for the request."""

    status = 503
    type = "overloaded"
    default_code = "overloaded"


class Draining(Overloaded):
    """This server is shutting down."""

    default_code = "server_shutting_down"


class UpstreamError(PenstockError):
    """The upstream answered with something that we cannot use."""

    status = 502
    type = "upstream_error"
    default_code = "upstream_error"
    passes_elsewhere = True


class UpstreamUnusable(UpstreamError):
    """A permanent fault of the upstream: not configured, gone, or it refuses this kind of client."""

    status = 424
    default_code = "upstream_not_configured"
    passes_elsewhere = False


class UpstreamUnavailable(UpstreamError):
    """The upstream cannot be reached or says that it is overloaded."""

    status = 503
    default_code = "upstream_unavailable"


class UpstreamTimeout(UpstreamError):
    """One of the clocks ran out."""

    status = 504
    default_code = "upstream_timeout"


class StreamCut(UpstreamError):
    """The stream ended before its end mark."""

    default_code = "upstream_stream_cut"


class AnswerUnsatisfied(UpstreamError):
    """The model did not keep what the request promised its client: JSON of a shape, or a call of a tool. Asking again may help."""

    default_code = "answer_unsatisfied"
    passes_elsewhere = False


class ProtocolViolation(UpstreamError):
    """The upstream's bytes are not what its protocol allows, or they are over a limit."""

    default_code = "upstream_protocol_error"
