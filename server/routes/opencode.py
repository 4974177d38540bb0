"""`/opencode/v1`: the same surface for OpenCode, in Agent mode and with a conversation that lasts.

OpenCode names its session in a header. Its title request carries the same session at the same time as the first real one, so that the conversation's
id also holds a hash of the first user message: the two do not collide, and every later turn of a conversation has the same id.
"""

import hashlib

import msgspec
from quart import Blueprint, Response, request
from werkzeug.datastructures import Headers

from pipeline.parse.chat import parse_chat
from pipeline.request import Request, Role
from server.gateway import Gateway, record
from server.routes.openai import add_models

SESSION_HEADERS = ("x-session-affinity", "x-opencode-session-id", "x-opencode-session")


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("opencode", __name__, url_prefix="/opencode/v1")

    @routes.post("/chat/completions")
    async def chat_completions() -> Response:
        caller = gateway.admit()
        parsed = parse_chat(await gateway.body(), agent=True)
        return await gateway.answering.answer(with_conversation(parsed, request.headers), caller, record())

    add_models(routes, gateway, name="opencode_models")
    return routes


def with_conversation(parsed: Request, headers: Headers) -> Request:
    """The request with the conversation that its session header and first user message name, if it has a session."""
    session = next((value for name in SESSION_HEADERS if (value := headers.get(name))), None)
    if session is None:
        return parsed
    first = next((message.text for message in parsed.messages if message.role is Role.USER), "")
    digest = hashlib.sha256(f"{session}\0{first}".encode()).hexdigest()
    return msgspec.structs.replace(parsed, conversation=digest)
