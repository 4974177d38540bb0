"""The application: routes, and the one shape of every error.

`create_app` makes it from settings and running upstreams; nothing is kept in the module. Whatever goes wrong before the first byte leaves as an
OpenAI-shaped JSON object with the request's id, or as an Anthropic-shaped one for a client of that API: our own errors with their status, the
framework's with theirs, and anything else as a 500 that says nothing of what it was. The traceback goes to the log.
"""

import logging
import re
import secrets
from collections.abc import Mapping

import msgspec
from quart import Response, current_app, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as NotAllowed

from pipeline.emit.messages_error import error_body as messages_error
from pipeline.errors import AuthenticationError, BodyTooLarge, MethodNotAllowed, PenstockError, QuotaExceeded, RequestError, RouteNotFound
from pipeline.upstream.base import Upstream
from server.access_log import word
from server.answering import name_targets
from server.anthropic_shape import is_anthropic_client
from server.asgi import HttpConnection
from server.bodies import CountedRequest
from server.gateway import EXTENSION, Gateway, record
from server.lifecycle import Lifecycle
from server.routes import cursor, health, messages, openai, opencode, pages, responses
from server.settings import Settings

log = logging.getLogger("penstock")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
MAX_RETRY_AFTER_SECONDS = 86_400
"""An upstream may name any time; who waits for a day asks again then."""

UNGUARDED_PATHS = frozenset({"/health", "/ready"})
"""Asked by load balancers under whatever name they have, and when there is no room for anything else."""


def create_app(settings: Settings, upstreams: Mapping[str, Upstream], lifecycle: Lifecycle) -> QuartTrio:
    """The app of one worker."""
    app = QuartTrio("server", template_folder="web", static_folder=None)
    app.asgi_http_class = HttpConnection
    app.request_class = CountedRequest
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config.update(  # pyright: ignore[reportUnknownMemberType]  # quart types its config as a bare dict
        MAX_CONTENT_LENGTH=settings.server.max_body_bytes, RESPONSE_TIMEOUT=None, BODY_TIMEOUT=None
    )
    gateway = Gateway(settings, upstreams, lifecycle)
    app.extensions[EXTENSION] = gateway

    @app.before_request
    async def guard() -> None:
        given = request.headers.get("X-Request-Id", "")
        record().request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(12)
        # by the rule, since a path may have a slash at its end
        if request.url_rule is None or request.url_rule.rule not in UNGUARDED_PATHS:
            gateway.door.check_host(request.headers)
            lifecycle.check_room()

    @app.after_request
    async def name_request(response: Response) -> Response:
        response.headers["x-request-id"] = record().request_id
        if is_anthropic_client(request):
            response.headers["request-id"] = record().request_id  # where its clients look for it
        name_targets(response, record().trail.attempts)
        return response

    @app.errorhandler(PenstockError)
    async def known(error: PenstockError) -> Response:
        return error_response(error)

    @app.errorhandler(HTTPException)
    async def from_framework(error: HTTPException) -> Response:
        response = error_response(_translated(error))
        if isinstance(error, NotAllowed) and error.valid_methods:
            response.headers["allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    async def unknown(error: Exception) -> Response:
        log.error("unexpected error in %s %s (id=%s)", request.method, word(request.path), record().request_id, exc_info=error)
        return error_response(PenstockError("Something went wrong in the server. The log has the details under this request's id."))

    for module in (openai, opencode, responses, messages, cursor, health, pages):
        app.register_blueprint(module.blueprint(gateway))
    return app


NOT_TO_BE_RETRIED = (AuthenticationError, QuotaExceeded)
"""What clients send again by its status alone, and would be told the same: Claude Code tries a refused key eleven times, for minutes."""


def error_response(error: PenstockError) -> Response:
    """An error as the response of the request in work."""
    record().error = error.code
    body = messages_error(error, record().request_id) if is_anthropic_client(request) else {"error": error.body()}
    response = Response(msgspec.json.encode(body), status=error.status, content_type="application/json")
    if error.retry_after_seconds is not None:
        response.headers["retry-after"] = str(min(MAX_RETRY_AFTER_SECONDS, max(1, -int(-error.retry_after_seconds // 1))))
    if isinstance(error, NOT_TO_BE_RETRIED):
        response.headers["x-should-retry"] = "false"
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _translated(error: HTTPException) -> PenstockError:
    """The framework's own errors in our words; its texts are HTML and name its internals."""
    if error.code == 404:
        # the base URL that a client was given most likely lacks its version
        served = {rule.rule for rule in current_app.url_map.iter_rules()}
        hint = f" Did you mean /v1{request.path}? Then the client's base URL should end in /v1." if f"/v1{request.path.rstrip('/')}" in served else ""
        if request.path.removeprefix("/v1").rstrip("/") in served and request.path.startswith("/v1/v1/"):
            hint = " The client adds /v1 itself: its base URL must not end in /v1."
        return RouteNotFound(f"There is nothing at {request.method} {request.path[:200]}.{hint} GET / lists what is served.")
    if error.code == 405:
        return MethodNotAllowed(f"{request.path[:200]} does not answer to {request.method}.")
    if error.code == 413:
        return BodyTooLarge("The body is larger than this server takes.")
    if error.code is not None and error.code >= 500:
        return PenstockError("Something went wrong in the server.")
    return RequestError("The request could not be read.", code="bad_request")
