"""`/v1`: Chat Completions and the models, as OpenAI's clients know them."""

import time
from typing import Any

import msgspec
from quart import Blueprint, Response

from pipeline.models import Model
from pipeline.parse.chat import parse_chat
from server.gateway import Gateway, record

STARTED = int(time.time())
"""When this process started: the `created` of models, whose own dates nobody publishes."""


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("openai", __name__, url_prefix="/v1")

    @routes.post("/chat/completions")
    async def chat_completions() -> Response:
        caller = gateway.admit()
        return await gateway.answering.answer(parse_chat(await gateway.body()), caller, record())

    add_models(routes, gateway, name="models")
    return routes


def add_models(routes: Blueprint, gateway: Gateway, *, name: str, prefix: str = "") -> None:
    """`GET …/models` and `GET …/models/{id}`, where an id may hold slashes; with what the upstream of `*` says where it can be asked."""

    async def models() -> Response:
        caller = gateway.admit()
        live = await gateway.routing.live(caller.upstream_key)
        found = gateway.routing.models(live) if caller.models is None else gateway.routing.models_of(caller.models, live)
        return _json({"object": "list", "data": [model_card(model) for model in found]})

    async def model(model_id: str) -> Response:
        caller = gateway.admit()
        caller.check_model(model_id, gateway.routing.find(model_id).names)
        return _json(model_card(gateway.routing.described(model_id, await gateway.routing.live(caller.upstream_key))))

    routes.add_url_rule(f"{prefix}/models", f"{name}_list", models, methods=["GET"])
    routes.add_url_rule(f"{prefix}/models/<path:model_id>", f"{name}_one", model, methods=["GET"])


def model_card(model: Model) -> dict[str, Any]:
    """What `/v1/models` says of a model; a window, a limit or a price that is not known is not there."""
    card: dict[str, Any] = {"id": model.id, "object": "model", "created": STARTED, "owned_by": model.owner, "name": model.name}
    if model.context_window is not None:
        card["context_window"] = model.context_window
    if model.max_tokens is not None:
        card["max_tokens"] = model.max_tokens
    if model.price is not None:
        card["pricing"] = {"currency": "USD", "input_per_million": model.price.input_usd, "output_per_million": model.price.output_usd}
    return card


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
