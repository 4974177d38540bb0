"""`/opencode/v1`: the same surface for OpenCode, in Agent mode and with a conversation that lasts.

OpenCode names its session in a header (`server.sessions`). A request without one is a conversation of its own.
"""

from functools import partial

from quart import Blueprint, Response, request
from werkzeug.datastructures import Headers

from pipeline.parse.chat import parse_chat
from pipeline.request import Request
from server.gateway import Gateway, record
from server.routes.openai import add_models
from server.sessions import in_session

SESSION_HEADERS = ("x-session-affinity", "x-opencode-session-id", "x-opencode-session")


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("opencode", __name__, url_prefix="/opencode/v1")

    @routes.post("/chat/completions")
    async def chat_completions() -> Response:
        caller = gateway.admit()
        parsed = await gateway.parsed(partial(parse_chat, agent=True))
        return await gateway.answering.answer(with_conversation(parsed, request.headers), caller, record())

    add_models(routes, gateway, name="opencode_models")
    return routes


def with_conversation(parsed: Request, headers: Headers) -> Request:
    """The request with the conversation that its session header names, if it has one."""
    return in_session(parsed, next((value for name in SESSION_HEADERS if (value := headers.get(name))), None))
