"""`/opencode/v1`: the same surface for OpenCode, in Agent mode and with a conversation that lasts.

OpenCode names its session in a header. Its title request carries the same session at the same time as the first real one, so that the conversation's
id also holds a hash of the first user message, text and images: the two do not collide, and every later turn of a conversation has the same id. A
request without a session is a conversation of its own.
"""

import hashlib
from functools import partial

import msgspec
from quart import Blueprint, Response, request
from werkzeug.datastructures import Headers

from pipeline.parse.chat import parse_chat
from pipeline.request import ImagePart, Message, Request, Role
from server.gateway import Gateway, record
from server.routes.openai import add_models

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
    """The request with the conversation that its session header and first user message name, if it has a session."""
    session = next((value for name in SESSION_HEADERS if (value := headers.get(name))), None)
    if session is None:
        return parsed
    first = next((message for message in parsed.messages if message.role is Role.USER), Message(Role.USER))
    images = [part.url for part in first.parts if isinstance(part, ImagePart)]
    # the text as a whole: a client may send the same message as a string now and in parts later
    digest = hashlib.sha256("\0".join([session, first.text, *images]).encode()).hexdigest()
    return msgspec.structs.replace(parsed, conversation=digest)
