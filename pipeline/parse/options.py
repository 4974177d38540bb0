"""The parameters that shape one answer, from a body to `Options`.

Theory of operation: the fields that several dialects spell differently meet here: three names for the token limit, `stop` as a string or a list,
`response_format` and Responses' `text.format`, `reasoning_effort` and the `reasoning` object. Asking for an effort asks for reasoning. null means
absent. Of two spellings of one wish the first in `TOKEN_LIMITS`, or else the one of Chat Completions, counts; the other is named in `unread` where it
says something else. So is what an object that is read in part holds besides, but for `response_format`: what nobody reads of it stays with it
(`AnswerFormat.extra`). Ranges are checked by the table of parameters, not here.
"""

from collections.abc import Iterator

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.parse.body import is_object, read, unread
from pipeline.request import AnswerFormat, Json, Options

# the first one that is given counts; the older name goes last
TOKEN_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


MAX_STOPS = 16
"""OpenAI takes 4, others 16. Each of them is looked for in every piece of an answer."""


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
    verbosity: str | None = None


class ReasoningBody(msgspec.Struct, frozen=True):
    """`reasoning` as an object: Responses' effort, and the switches that gateways know."""

    effort: str | None = None
    enabled: bool | None = None
    exclude: bool | None = None


# the objects of which only these keys are read
READ_IN_PART = {
    "stream_options": frozenset({"include_usage"}),
    "text": frozenset(TextBody.__struct_fields__),
    "reasoning": frozenset(ReasoningBody.__struct_fields__),
}
_READ_INSIDE_SCHEMA = frozenset(SchemaBody.__struct_fields__)
_NULL_IS_ABSENT = frozenset(FormatBody.__struct_fields__)


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


class OptionsRead(msgspec.Struct, frozen=True):
    """The options; the paths of what was not read; what was left out."""

    options: Options
    unread: tuple[str, ...]
    notices: tuple[Notice, ...]


def read_options(fields: dict[str, Json]) -> OptionsRead:
    """The options in a body.

    Raises:
        RequestError: a wrong type, an unknown format, a json_schema format without a schema; `param` names the field.

    >>> found = read_options({"max_tokens": 9, "stop": "END", "reasoning": {"effort": "low", "summary": "auto"}})
    >>> found.options.max_tokens, found.options.stop, found.options.reasoning_effort, found.unread
    (9, ('END',), 'low', ('reasoning.summary',))
    """
    body = read(fields, OptionFields, "")
    stop, notices = _stop(body.stop)
    effort, reasoning = _reasoning(body)
    limits = _limits(body)
    text = body.text or TextBody()
    has_verbosity = fields.get("verbosity") is not None
    options = Options(
        max_tokens=next(iter(limits.values()), None),
        stop=stop,
        answer_format=_answer_format(body, fields),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        reasoning_effort=effort,
        reasoning=reasoning,
        verbosity=None if has_verbosity else text.verbosity,
    )
    overruled = {
        **{name: limit != options.max_tokens for name, limit in limits.items()},
        "text.format": text.format is not None and body.response_format is not None and text.format != body.response_format,
        "text.verbosity": text.verbosity is not None and has_verbosity and text.verbosity != fields["verbosity"],
        "reasoning.effort": isinstance(body.reasoning, ReasoningBody) and body.reasoning.effort not in (None, effort),
    }
    unread = (*(name for name, is_so in overruled.items() if is_so), *_besides(fields))
    return OptionsRead(options, unread, notices)


def _limits(body: OptionFields) -> dict[str, int]:
    """The token limits that are given, the one that counts first."""
    return {name: limit for name in TOKEN_LIMITS if (limit := getattr(body, name)) is not None}


def _besides(fields: dict[str, Json]) -> Iterator[str]:
    """The paths of what objects hold that nothing here reads."""
    for name, known in READ_IN_PART.items():
        value = fields.get(name)
        if is_object(value):
            yield from (f"{name}.{key}" for key, inner in value.items() if key not in known and inner is not None)
    if is_object(text := fields.get("text")) and is_object(asked := text.get("format")):
        besides = _beside_schema(asked)
        inside: dict[str, Json] = besides.pop("json_schema", {}) if asked["type"] == "json_schema" else {}
        yield from (f"text.format.{key}" for key, inner in besides.items() if inner is not None)
        yield from (f"text.format.json_schema.{key}" for key in inside)


def _beside_schema(asked: dict[str, Json]) -> dict[str, Json]:
    """What a format, which was found to be one, holds unread; what it holds so inside `json_schema` stands there under that name."""
    nested = asked.get("json_schema")
    known = {"type"} if asked["type"] != "json_schema" else {"type", "json_schema"} if is_object(nested) else {"type", *_READ_INSIDE_SCHEMA}
    besides = unread(asked, known, _NULL_IS_ABSENT)
    if "json_schema" in known and is_object(nested) and (inside := unread(nested, _READ_INSIDE_SCHEMA)):
        besides["json_schema"] = inside
    return besides


def _stop(value: str | list[str] | None) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    words = [value] if isinstance(value, str) else value or []
    if len(words) > MAX_STOPS:
        raise RequestError(f"stop may hold {MAX_STOPS} texts at the most.", param="stop")
    stop = tuple(word for word in words if word)
    if len(stop) == len(words):
        return stop, ()
    return stop, (Notice("empty_stop", "an empty stop text would end every answer at once, and was left out"),)


def _answer_format(body: OptionFields, fields: dict[str, Json]) -> AnswerFormat:
    if body.response_format is not None:
        found = _format(body.response_format, "response_format")
        return msgspec.structs.replace(found, extra=_beside_schema(fields["response_format"]))
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
    place = f"{path}.schema" if body.json_schema is None else f"{path}.json_schema.schema"
    return AnswerFormat("json_schema", nested.schema, nested.name, nested.description, nested.strict, place)


def _reasoning(body: OptionFields) -> tuple[str | None, bool]:
    """The effort, and whether the client wants to see reasoning."""
    asked = body.reasoning
    if isinstance(asked, ReasoningBody):
        effort = body.reasoning_effort or asked.effort
        wanted = asked.enabled is not False and asked.exclude is not True and effort != "none"
        return effort or None, wanted
    effort = body.reasoning_effort or None
    return effort, asked if asked is not None else effort not in (None, "none")
