"""The official client's types of a Responses stream, as a check that says every difference.

Those types let any further field pass, so that a field that they do not have is looked for here by itself.
"""

from collections.abc import Iterator
from typing import Any, get_args

import openai.types.responses.response_error
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

EVENTS: dict[str, type[BaseModel]] = {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(ResponseStreamEvent)[0])}
ERROR_CODES = frozenset(get_args(openai.types.responses.response_error.ResponseError.model_fields["code"].annotation))

BEYOND = {
    "Response": {"store", "presence_penalty", "frequency_penalty"},  # the open schema of the API has them, and the service sends the first
    "ResponseUsage": {"estimated", "cost"},
    "ResponseCustomToolCall": {"status"},
    "ResponseErrorEvent": {"error"},
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
}
"""A type -> the fields that it has not and that are sent all the same."""


def unknown(model: BaseModel) -> Iterator[str]:
    """The fields anywhere in a value that its types do not have, as `Type.field`."""
    name = type(model).__name__
    yield from (f"{name}.{field}" for field in (model.model_extra or {}) if field not in BEYOND.get(name, ()))
    for field in type(model).model_fields:
        value = getattr(model, field)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                yield from unknown(part)


def _with_known_code(response: dict[str, Any]) -> dict[str, Any]:
    error = response["error"]
    return response if error is None or error["code"] in ERROR_CODES else {**response, "error": {**error, "code": "server_error"}}


def assert_typed(event: dict[str, Any]) -> None:
    """One event is of its type: nothing is missing, wrong or unknown; raises pydantic's error or AssertionError."""
    if "response" in event:
        event = {**event, "response": _with_known_code(event["response"])}
    assert [*unknown(EVENTS[event["type"]].model_validate(event, strict=True))] == []


def assert_response(response: dict[str, Any]) -> None:
    """The whole form is of its type."""
    assert [*unknown(Response.model_validate(_with_known_code(response), strict=True))] == []
