"""The parameters of a Responses body that shape one answer, and what a Response says again of them.

Theory of operation: the fields that Chat Completions has too are read by the reader of that (`pipeline.parse.options`), also under its names; this
adds what means something else here. Reasoning is shown where a summary is asked for, as OpenAI's API does it; an effort alone asks for none.
`truncation` says what becomes of a conversation that is longer than the model's window: `auto` leaves out its oldest turns and `disabled` refuses it,
for this request, whatever the route says; without it the route decides.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.parse.body import is_object, read
from pipeline.parse.options import read_options
from pipeline.parse.quirks.ledger import Ledger
from pipeline.request import AnswerFormat, ContextRule, Json, Options

# `truncation` -> what becomes of a longer conversation
TRUNCATIONS = {"auto": "trim", "disabled": "error"}

UNNAMED_FORMAT = "response"


class ReasoningBody(msgspec.Struct, frozen=True):
    """The object under `reasoning`; `generate_summary` is the older name of `summary`."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None

    @property
    def wished(self) -> str | None:
        """The kind of summary that is asked for, by either name; None where none is."""
        wished = self.summary or self.generate_summary
        return None if wished == "none" else wished


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options`."""

    include_obfuscation: bool | None = None
    include_usage: bool | None = None


class AnswerOptions(msgspec.Struct, frozen=True):
    """The options, the rule for what does not fit, and `reasoning` and `text` as a Response has them."""

    options: Options
    context: ContextRule
    reasoning: dict[str, Json]
    text: dict[str, Json]
    notices: tuple[Notice, ...]


def read_answer_options(fields: dict[str, Json], ledger: Ledger) -> AnswerOptions:
    """The options in a body.

    Raises:
        RequestError: a wrong type, an unknown format or truncation; `param` names the field.

    >>> found = read_answer_options({"reasoning": {"effort": "low", "summary": "auto"}, "truncation": "auto"}, Ledger("input"))
    >>> found.options.reasoning_effort, found.options.reasoning, found.context.overflow
    ('low', True, 'trim')
    """
    reasoning = _reasoning(fields, ledger)
    _check_schema(fields.get("text"))
    shared = {name: value for name, value in fields.items() if name != "stream_options"}
    shared["reasoning"] = {"effort": reasoning.effort, "enabled": reasoning.wished is not None}
    found = read_options(shared)
    ledger.ignore(*found.unread)
    _read_stream_options(fields, ledger)
    options = found.options
    text: dict[str, Json] = {"format": _echoed(options.answer_format)}
    if options.verbosity is not None:
        text["verbosity"] = options.verbosity
    said: dict[str, Json] = {"effort": options.reasoning_effort, "summary": reasoning.wished}
    return AnswerOptions(options, _context(fields), said, text, found.notices)


def _reasoning(fields: dict[str, Json], ledger: Ledger) -> ReasoningBody:
    value = fields.get("reasoning")
    if value is None:
        return ReasoningBody()
    body = read(value, ReasoningBody, "reasoning")
    others = [name for name, inner in value.items() if name not in ReasoningBody.__struct_fields__ and inner is not None] if is_object(value) else []
    if body.wished not in (None, "auto"):
        others.append("summary")  # there is one, and its length is the model's choice
    ledger.ignore(*(f"reasoning.{name}" for name in others))
    return body


def _check_schema(text: Json) -> None:
    asked = text.get("format") if is_object(text) else None
    if is_object(asked) and asked.get("type") == "json_schema" and asked.get("schema") is None and asked.get("json_schema") is None:
        raise RequestError("text.format.schema is required with type json_schema.", param="text.format.schema")


def _read_stream_options(fields: dict[str, Json], ledger: Ledger) -> None:
    value = fields.get("stream_options")
    if value is None:
        return
    body = read(value, StreamOptions, "stream_options")
    others = [name for name, inner in value.items() if name not in StreamOptions.__struct_fields__ and inner is not None] if is_object(value) else []
    if body.include_obfuscation:
        others.append("include_obfuscation")
    ledger.ignore(*(f"stream_options.{name}" for name in others))


def _context(fields: dict[str, Json]) -> ContextRule:
    value = fields.get("truncation")
    if value is None:
        return ContextRule()
    word = value if isinstance(value, str) else read(value, str, "truncation")
    if word not in TRUNCATIONS:
        raise RequestError(f"truncation must be one of {', '.join(TRUNCATIONS)}.", param="truncation")
    return ContextRule(overflow=TRUNCATIONS[word])


def _echoed(answer_format: AnswerFormat) -> dict[str, Json]:
    if answer_format.kind != "json_schema":
        return {"type": answer_format.kind}
    return {
        "type": "json_schema",
        "name": answer_format.name or UNNAMED_FORMAT,
        "description": answer_format.description,
        "schema": answer_format.schema,
        "strict": bool(answer_format.strict),
    }
