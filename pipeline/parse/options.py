"""The parameters that shape one answer, from a body to `Options`.

Theory of operation: the fields that several dialects spell differently meet here: three names for the token limit, `stop` as a string or a list,
`response_format` and Responses' `text.format`, `reasoning_effort` and the `reasoning` object. Asking for an effort asks for reasoning. null means
absent. Ranges are checked by the table of `pipeline.parse.parameters`, not here.
"""

from typing import TypeVar

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.parse.body import read
from pipeline.request import AnswerFormat, Json, Options

T = TypeVar("T")

# the first one that is given counts; the older name goes last
TOKEN_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class SchemaBody(msgspec.Struct, frozen=True):
    """The object under `json_schema`."""

    name: str | None = None
    schema: dict[str, Json] | None = None
    description: str | None = None
    strict: bool | None = None


class FormatBody(msgspec.Struct, frozen=True):
    """`response_format`; Responses writes what is under `json_schema` flat."""

    type: str
    json_schema: SchemaBody | None = None
    name: str | None = None
    schema: dict[str, Json] | None = None
    description: str | None = None
    strict: bool | None = None


class TextBody(msgspec.Struct, frozen=True):
    """Responses' `text`."""

    format: FormatBody | None = None


class ReasoningBody(msgspec.Struct, frozen=True):
    """`reasoning` as an object: Responses' effort, and the switches that gateways know."""

    effort: str | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class OptionFields(msgspec.Struct, frozen=True):
    """The fields of a body that make up the options."""

    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    response_format: FormatBody | None = None
    text: TextBody | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    reasoning: bool | ReasoningBody | None = None


def read_options(fields: dict[str, Json]) -> tuple[Options, tuple[Notice, ...]]:
    """The options in a body, and what was left out of them.

    Raises:
        RequestError: a wrong type, an unknown format, a json_schema format without a schema; `param` names the field.

    >>> options, _ = read_options({"max_tokens": 9, "stop": "END", "reasoning_effort": "low"})
    >>> options.max_tokens, options.stop, options.reasoning
    (9, ('END',), True)
    """
    body = read(fields, OptionFields, "")
    stop, notices = _stop(body.stop)
    effort, reasoning = _reasoning(body)
    limits: list[int] = [limit for name in TOKEN_LIMITS if (limit := getattr(body, name)) is not None]
    options = Options(
        max_tokens=limits[0] if limits else None,
        stop=stop,
        answer_format=_answer_format(body),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        reasoning_effort=effort,
        reasoning=reasoning,
    )
    return options, notices


def _stop(value: str | list[str] | None) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    words = [value] if isinstance(value, str) else value or []
    stop = tuple(word for word in words if word)
    if len(stop) == len(words):
        return stop, ()
    return stop, (Notice("empty_stop", "an empty stop text would end every answer at once, and was left out"),)


def _answer_format(body: OptionFields) -> AnswerFormat:
    if body.response_format is not None:
        return _format(body.response_format, "response_format")
    if body.text is not None and body.text.format is not None:
        return _format(body.text.format, "text.format")
    return AnswerFormat()


def _format(body: FormatBody, path: str) -> AnswerFormat:
    if body.type in ("text", "json_object"):
        return AnswerFormat(body.type)
    if body.type != "json_schema":
        raise RequestError(f"{path}.type must be text, json_object or json_schema.", param=f"{path}.type")
    nested = body.json_schema or SchemaBody(body.name, body.schema, body.description, body.strict)
    if nested.schema is None:
        param = f"{path}.json_schema.schema" if body.json_schema is not None else f"{path}.json_schema"
        raise RequestError(f"{param} is required with type json_schema.", param=param)
    return AnswerFormat("json_schema", nested.schema, nested.name, nested.description, nested.strict)


def _reasoning(body: OptionFields) -> tuple[str | None, bool]:
    """The effort, and whether the client wants to see reasoning."""
    asked = body.reasoning
    if isinstance(asked, ReasoningBody):
        effort = body.reasoning_effort or asked.effort
        wanted = asked.enabled is not False and asked.exclude is not True and effort != "none"
        return effort or None, wanted
    effort = body.reasoning_effort or None
    return effort, asked if asked is not None else effort not in (None, "none")
