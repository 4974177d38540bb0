"""`/v1`: Chat Completions and the models, as OpenAI's clients know them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from quart import Blueprint, Response, request

from pipeline.models import LISTED_AT, Model
from pipeline.parse.chat import parse_chat
from server.anthropic_shape import is_anthropic_client, model_info, model_page
from server.gateway import Gateway, record


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("openai", __name__, url_prefix="/v1")

    @routes.post("/chat/completions")
    async def chat_completions() -> Response:
        caller = gateway.admit()
        return await gateway.answering.answer(await gateway.parsed(parse_chat), caller, record())

    add_models(routes, gateway, name="models")
    return routes


def add_models(routes: Blueprint, gateway: Gateway, *, name: str, prefix: str = "", answers_options: bool = True) -> None:
    """`GET …/models` and `GET …/models/{id}`, where an id may hold slashes; with what the upstream of `*` says where it can be asked.

    A client of Anthropic's API is answered in that one's shape.

    A slash at the end of a path is not the id's. `answers_options` False leaves OPTIONS to a surface that has an answer of its own.
    """

    async def models(**_: str) -> Response:
        caller = gateway.admit()
        live = await gateway.live.ask(caller.upstream_key)
        found = gateway.routing.models(live) if caller.models is None else gateway.routing.models_of(caller.models, live)
        if is_anthropic_client(request):
            return _json(model_page(list(found), request.args))
        return _json({"object": "list", "data": [model_card(model) for model in found]})

    async def model(model_id: str, **_: str) -> Response:
        caller = gateway.admit()
        model_id = model_id.removesuffix("/")
        destination = gateway.routing.find(model_id)
        caller.check_model(model_id, destination.names)
        # nobody waits for an upstream that is not the model's
        live = await gateway.live.ask(caller.upstream_key) if destination.upstream.name == gateway.live.upstream else None
        described = gateway.routing.described(model_id, live)
        return _json(model_info(described) if is_anthropic_client(request) else model_card(described))

    paths: list[tuple[str, str, Callable[..., Awaitable[Response]]]]
    paths = [("/models", f"{name}_list", models), ("/models/<path:model_id>", f"{name}_one", model)]
    if "<" in prefix:  # behind a part that may hold slashes, one at the end is not left away by itself
        paths.append(("/models/", f"{name}_list_slash", models))
    for path, endpoint, answer in paths:
        routes.add_url_rule(prefix + path, endpoint, answer, methods=["GET"], provide_automatic_options=answers_options)


def model_card(model: Model) -> dict[str, Any]:
    """What `/v1/models` says of a model; a window, a limit or a price that is not known is not there.

    `created` has to be there: where nobody says it, it is the day of our own list, which is the same in every worker and behind every restart.
    """
    created = LISTED_AT if model.created is None else model.created
    card: dict[str, Any] = {"id": model.id, "object": "model", "created": created, "owned_by": model.owner, "name": model.name}
    if model.context_window is not None:
        card["context_window"] = model.context_window
    if model.max_tokens is not None:
        card["max_tokens"] = model.max_tokens
    if model.price is not None:
        card["pricing"] = {"currency": "USD", "input_per_million": model.price.input_usd, "output_per_million": model.price.output_usd}
    return card


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
