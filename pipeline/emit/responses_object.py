"""The Response object: the answer so far, between what is the same all through it.

Theory of operation: an object is what changes (its status, the time of its end, its error, its output, its usage) and behind that what does not: the
id, the model, and what is said again of the request (`pipeline.echo`). A stream holds three of them, and a request's tools may be large, so what does
not change is encoded once. `usage` is told at the end only, however the answer ended. All fields of the object are there, null where there is nothing
to say, but `user`, which is there where the client sent it.
"""

from collections.abc import Mapping
from math import ceil

import msgspec

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead
from pipeline.errors import ErrorBody, PenstockError
from pipeline.events import UsageReport
from pipeline.models import Price
from pipeline.request import Json
from pipeline.usage.cost import cost_of

CACHE_WRITTEN = "cache_creation_input_tokens"
"""What Anthropic's API calls the tokens that were written into its cache."""

encode = msgspec.json.Encoder().encode


def usage_fields(usage: UsageReport, price: Price | None) -> dict[str, Json]:
    """The `usage` object. This server keeps no cache of prompts; what an upstream wrote into its own is told where it says so."""
    written: Json = usage.extra.get(CACHE_WRITTEN)
    is_count = isinstance(written, int) and not isinstance(written, bool) and written >= 0
    fields: dict[str, Json] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": written if is_count else 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        "estimated": usage.estimated,
    }
    if price is not None:
        fields["cost"] = cost_of(usage, price)
    return fields


def error_fields(error: PenstockError) -> ErrorBody:
    """What a stream says of its error: as in a body, but that the time to wait, which has no header here, is said in the message.

    >>> from pipeline.errors import RateLimited
    >>> error_fields(RateLimited("Too fast.", retry_after_seconds=1.2))["message"]
    'Too fast. Please try again in 2s.'
    """
    fields = error.body()
    if error.retry_after_seconds is not None:
        fields["message"] += f" Please try again in {ceil(error.retry_after_seconds)}s."  # in the words that clients look for
    return fields


class ResponseObject:
    """The Response objects of one answer."""

    def __init__(self, head: AnswerHead, echo: Echo) -> None:
        self._changing: dict[str, Json] = {
            "id": head.id,
            "object": "response",
            "created_at": head.created,
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
        }
        said: dict[str, Json] = {name: getattr(echo, name) for name in echo.__struct_fields__ if name != "namespaces"}
        if echo.user is None:
            del said["user"]
        self._lasting: dict[str, Json] = {"model": head.model, **said, "tools": [*echo.tools]}
        self._behind = b"," + encode(self._lasting)[1:]

    def at(self, status: str, output: list[dict[str, Json]], **changed: Json) -> dict[str, Json]:
        """The object when it has this status and output; `changed` are the other fields that are not as they were in the beginning."""
        return {**self._changing, "status": status, "output": output, **changed, **self._lasting}

    def begun(self) -> bytes:
        """The object before anything was said, encoded."""
        return encode(self._changing)[:-1] + self._behind

    def encoded(self, response: Mapping[str, Json]) -> bytes:
        """An object of this answer, encoded."""
        return encode({name: response[name] for name in self._changing})[:-1] + self._behind
