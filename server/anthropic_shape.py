"""What a client of Anthropic's API wants otherwise than one of OpenAI's: the shape of errors, and that of the list of models.

A request is one of theirs by its path, or by the header `anthropic-version`, which every client of that API sends with every request.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quart import Request

from pipeline.errors import RequestError
from pipeline.models import LISTED_AT, Model

MESSAGES_PATH = "/v1/messages"
VERSION_HEADER = "anthropic-version"
MAX_LISTED, LISTED = 1000, 20
"""How many models a page has at most, and where nobody says how many, as that API has it."""


def is_anthropic_client(request: Request) -> bool:
    """Whether the request in work wants its errors and lists as Anthropic's API has them."""
    return asks_anthropic(request.path, request.headers.keys())


def asks_anthropic(path: str, headers: Iterable[str]) -> bool:
    """The same of a request of which no more is known than its path and the names of its headers.

    >>> asks_anthropic("/v1/messages", []), asks_anthropic("/v1/models", ["Anthropic-Version"]), asks_anthropic("/v1/models", ["host"])
    (True, True, False)
    """
    return path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/") or any(name.lower() == VERSION_HEADER for name in headers)


def model_info(model: Model) -> dict[str, Any]:
    """What the list says of a model; what is not known is null, as that API writes it."""
    created = datetime.fromtimestamp(LISTED_AT if model.created is None else model.created, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_tokens,
    }


def model_page(models: Sequence[Model], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of models, by `limit`, `after_id` and `before_id`; raises RequestError for a query that is none.

    >>> page = model_page([Model(name, name, "o") for name in "abc"], {"limit": "1", "after_id": "a"})
    >>> page["first_id"], page["last_id"], page["has_more"]
    ('b', 'b', True)
    """
    limit = query.get("limit", str(LISTED))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_LISTED)) and 1 <= int(limit) <= MAX_LISTED):
        raise RequestError(f"limit must be an integer from 1 to {MAX_LISTED}.", param="limit")
    after, before = query.get("after_id"), query.get("before_id")
    if after is not None and before is not None:
        raise RequestError("after_id and before_id exclude each other.", param="before_id")
    start, stop = 0, len(models)
    if after is not None:
        start = _place(models, after, "after_id") + 1
    if before is not None:
        stop = _place(models, before, "before_id")
        start = max(0, stop - int(limit))
    page = models[start : min(stop, start + int(limit))]
    has_more = start > 0 if before is not None else start + len(page) < len(models)
    ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
    return {"data": [model_info(model) for model in page], "has_more": has_more, **ends}


def _place(models: Sequence[Model], model_id: str, param: str) -> int:
    place = next((number for number, model in enumerate(models) if model.id == model_id), None)
    if place is None:
        raise RequestError(f"{param} must be the id of one of the models.", param=param)
    return place
