"""The paths that Cursor's backend is pointed at, and gateways before this one were.

Cursor appends `/chat/completions` to the base URL of its settings, whatever that is, so that each of `BASES` works as one; the Azure slot of its
settings makes the last of them, where the deployment is the model. What it sends is read by `pipeline.parse.cursor`, whatever its dialect is; what it
is sent back has the one form that it can show (`pipeline.emit.cursor`). Under `/cursor/v1` other clients call too: those get plain Chat Completions,
Cursor is known by its User-Agent.

A browser may ask for leave to call these paths (CORS): they take no cookies, and who has a key may use it from a page too. A server without keys
answers no page of the web (`server.front_door`), and gives no leave.
"""

import re

import msgspec
from quart import Blueprint, Response, request
from werkzeug.datastructures import Headers

from pipeline.emit.base import Dialect
from pipeline.emit.cursor import cursor_dialect
from pipeline.errors import ModelNotFound, PermissionDenied
from pipeline.parse.cursor import parse_cursor
from server.answering import CHAT_SURFACE, Surface
from server.front_door import MODEL_NOT_ALLOWED
from server.gateway import Gateway, record
from server.local_answers import greeting, is_verification
from server.routes.openai import add_models
from server.settings import Route
from server.streaming import StreamedResponse

SHARED_BASE = "/cursor/v1"
"""The base under which other clients than Cursor call as well."""

BASES = ("/cursor", SHARED_BASE, "/cursor/chat/completions", "/openai/deployments/<path:deployment>")
ENDPOINT = "/chat/completions"
USER_AGENT = "cursor/"
"""How Cursor's backend begins to name itself."""

KEY_HEADERS = "authorization, content-type, api-key, x-api-key, x-request-id"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_-]+(?: ?, ?[A-Za-z0-9_-]+){0,63}")

CORS_HEADERS = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-max-age": "600",
}


def dialect_of(route: Route) -> Dialect:
    """How Cursor is answered under a route."""
    return cursor_dialect(route.display_reasoning)


CURSOR_SURFACE = Surface(dialect_of, for_cursor=True)


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("cursor", __name__)

    async def chat_completions(deployment: str | None = None) -> Response | StreamedResponse:
        caller = gateway.admit()
        parsed = await gateway.parsed(parse_cursor)
        if deployment is not None:
            parsed = msgspec.structs.replace(parsed, model=deployment)
        surface = _surface(request.path, request.headers)
        try:
            return await gateway.answering.answer(parsed, caller, record(), surface)
        except (ModelNotFound, PermissionDenied) as error:
            # the model of the verify request is of Cursor's choice, and need be none of ours
            if error.code not in ("model_not_found", MODEL_NOT_ALLOWED) or not is_verification(parsed):
                raise
            return greeting(parsed, surface.dialect(Route(targets=())))

    async def preflight(**_: str) -> Response:
        if "Access-Control-Request-Method" not in request.headers:
            return Response(b"", status=204, headers={"allow": "OPTIONS, GET, POST"})
        # whatever headers an SDK adds of its own: none of them means anything here but the key's
        asked = request.headers.get("Access-Control-Request-Headers", "")
        named = {"access-control-allow-headers": asked if _HEADER_NAMES.fullmatch(asked) else KEY_HEADERS}
        return Response(b"", status=204, headers=CORS_HEADERS | named)

    @routes.after_request
    async def allow_origin(response: Response) -> Response:
        if request.headers.get("Origin") and not gateway.door.refuses_page(request.headers):
            response.headers["access-control-allow-origin"] = "*"
            response.headers["access-control-expose-headers"] = "x-request-id, penstock-target, penstock-attempts, penstock-notices, penstock-ignored"
        return response

    prefixes = dict.fromkeys(base + version for base in BASES for version in ("", "/v1"))
    for number, prefix in enumerate(prefixes):
        for slash in ("", "/") if "<" in prefix else ("",):  # behind a part that may hold slashes, one at the end is not left away by itself
            name = f"chat_{number}{len(slash)}"
            routes.add_url_rule(prefix + ENDPOINT + slash, name, chat_completions, methods=["POST"], provide_automatic_options=False)
        add_models(routes, gateway, name=f"models_{number}", prefix=prefix, answers_options=False)
        for asked in (ENDPOINT, "/models", "/models/<path:model_id>"):
            routes.add_url_rule(prefix + asked, f"preflight_{number}{asked[1:5]}_{len(asked)}", preflight, methods=["OPTIONS"])
    return routes


def _surface(path: str, headers: Headers) -> Surface:
    shared = path.startswith(SHARED_BASE + "/")
    return CURSOR_SURFACE if not shared or headers.get("User-Agent", "").lower().startswith(USER_AGENT) else CHAT_SURFACE
