"""`/cursor`: the paths that the Cursor IDE, and gateways before this one, are pointed at."""

from quart import Blueprint, Response

from pipeline.parse.cursor import parse_cursor
from server.gateway import Gateway, record
from server.routes.openai import add_models


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("cursor", __name__, url_prefix="/cursor")

    async def chat_completions() -> Response:
        caller = gateway.admit()
        return await gateway.answering.answer(await gateway.parsed(parse_cursor), caller, record())

    for path, name in (("/chat/completions", "chat"), ("/v1/chat/completions", "chat_v1")):
        routes.add_url_rule(path, name, chat_completions, methods=["POST"])
    add_models(routes, gateway, name="models")
    add_models(routes, gateway, name="models_v1", prefix="/v1")
    return routes
