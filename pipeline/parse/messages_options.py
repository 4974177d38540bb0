"""The parameters of a Messages body that shape one answer, as `Options`.

Theory of operation: `stop_sequences` is `stop`; `max_tokens` has to be there, but for a count of tokens; `output_config.format`, or `output_format`
as betas write it, is the form of the answer. `thinking` asks for reasoning: how much is its budget, which is an effort too, for upstreams that are
told none but one, and `output_config.effort` says it where it is given; who switches reasoning off asks others for no effort. Reasoning that is only
asked for in its signed form (`display: omitted`) is asked for all the same: the client has to send it back.

`extra` has what an upstream of the same API takes as the client wrote it, and others in part or not at all: the numbers of sampling, `thinking`,
`metadata`, the mark of a cache, and `output_config` without its format. What asks Anthropic's servers for something that no answer here has, or needs
a header that is not passed on, is left out and named in the ledger. What would get no answer to the conversation in the body is refused: a `thread`
goes on with another, and a `compaction` is answered by a summary. `pipeline.messages_fields` says which is which, and has the ranges.
"""

from typing import Any

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.messages_fields import LEFT_OUT, NUMBERS, OBJECTS, REFUSED, Field
from pipeline.parameter_effects import MAX_COUNT
from pipeline.parse.body import is_object, read
from pipeline.parse.messages_blocks import EMPTY, unread
from pipeline.parse.options import MAX_STOPS, read_options
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, object_at, required, text_at
from pipeline.request import AnswerFormat, Json, Options

THINKS = ("enabled", "adaptive", "between_tools")
EFFORT_UNNAMED = "medium"
"""The effort of a model that is to decide itself."""

# a budget in tokens below which -> this is the effort
EFFORTS_OF_BUDGETS = ((4096, "low"), (16_384, "medium"), (MAX_COUNT + 1, "high"))

# Anthropic's word for an effort -> that of other APIs, where they differ
EFFORT_WORDS = {"max": "xhigh"}

_READ_OF_FORMAT = frozenset({"type", "schema"})


class OptionsRead(msgspec.Struct, frozen=True):
    """The options, what is kept as the client wrote it, and what was left out."""

    options: Options
    extra: dict[str, Json]
    notices: tuple[Notice, ...]


def read_answer_options(fields: dict[str, Json], ledger: Ledger, *, parallel: bool, for_count: bool) -> OptionsRead:
    """The options in a body; `parallel` is what the choice of tools says, `for_count` that there will be no answer.

    Raises:
        RequestError: a wrong type, a number out of its range, an unknown format or way of thinking, what is refused; `param` names the field.

    >>> body = {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}}
    >>> found = read_answer_options(body, Ledger(), parallel=True, for_count=False)
    >>> found.options.reasoning, found.options.reasoning_budget, found.options.reasoning_effort
    (True, 2048, 'low')
    """
    given = {name: value for name, value in fields.items() if value not in EMPTY}
    # a count is of the conversation, whatever else would become of it
    _refuse({name: row for name, row in REFUSED.items() if name in given and not (for_count and name == "compaction")})
    ledger.ignore(*(name for name in given if name in LEFT_OUT))
    config = _object(given, "output_config")
    effort = text_at(config, "effort", "output_config")
    thinking = _object(given, "thinking")
    reasoning, budget = _thinking(thinking)
    effort = None if thinking.get("type") == "disabled" else EFFORT_WORDS.get(effort, effort) if effort else _effort(budget) if reasoning else None
    stop, notices = _stop(given)
    options = Options(
        max_tokens=_limit(given, for_count=for_count),
        stop=stop,
        answer_format=_format(given, config, ledger),
        parallel_tool_calls=parallel,
        reasoning_effort=effort,
        reasoning=reasoning,
        reasoning_budget=budget,
    )
    return OptionsRead(options, _kept(given, config), notices)


def _refuse(asked: dict[str, Field]) -> None:
    """The code is the API's own: at that of a thread, its clients send the whole conversation, and no thread any more."""
    for name, row in asked.items():
        raise UnsupportedParameter(row.elsewhere.says, code=row.code, param=name)


def _object(fields: dict[str, Json], name: str) -> dict[str, Json]:
    """The object in a field of the body, an empty one where there is none."""
    value = fields.get(name)
    if value is None:
        return {}
    return value if is_object(value) else read(value, dict[str, Any], name)


def _kept(fields: dict[str, Json], config: dict[str, Json]) -> dict[str, Json]:
    """What stays as it was sent, in the client's order; `config` is what was read of `output_config`."""
    besides = {name: value for name, value in config.items() if name != "format"}
    kept: dict[str, Json] = {}
    for name, value in fields.items():
        if name in NUMBERS:
            _check_range(NUMBERS[name], value)
            kept[name] = value
        elif name == "thinking" or name in OBJECTS:
            kept[name] = _object(fields, name)
        elif name == "output_config" and besides:
            kept[name] = besides
    return kept


def _check_range(row: Field, value: Json) -> None:
    number: float = read(value, row.shape, row.name)
    if row.low is not None and row.high is not None and not row.low <= number <= row.high:
        raise RequestError(f"{row.name} must be between {row.low} and {row.high}.", param=row.name)


def _limit(fields: dict[str, Json], *, for_count: bool) -> int | None:
    value = fields.get("max_tokens")
    if value is None:
        if for_count:
            return None
        raise required("max_tokens")
    limit = read(value, int, "max_tokens")
    if not 1 <= limit <= MAX_COUNT:
        raise RequestError(f"max_tokens must be between 1 and {MAX_COUNT}.", param="max_tokens")
    return limit


def _stop(fields: dict[str, Json]) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    words = read(fields.get("stop_sequences", []), list[str], "stop_sequences")
    if len(words) > MAX_STOPS:
        raise RequestError(f"stop_sequences may hold {MAX_STOPS} texts at the most.", param="stop_sequences")
    found = read_options({"stop": words})
    return found.options.stop, found.notices


def _format(fields: dict[str, Json], config: dict[str, Json], ledger: Ledger) -> AnswerFormat:
    """The form of the answer; of its two places the newer one counts."""
    asked, path = object_at(config, "format", "output_config"), "output_config.format"
    older = _object(fields, "output_format")
    if asked is None:
        asked, path = older, "output_format"
    elif older and older != asked:
        ledger.ignore("output_format")
    if not asked:
        return AnswerFormat()
    if needed_text(asked, "type", path) != "json_schema":
        raise RequestError(f"{path}.type must be json_schema.", param=f"{path}.type")
    schema = object_at(asked, "schema", path)
    if schema is None:
        raise required(f"{path}.schema")
    return AnswerFormat("json_schema", schema, path=f"{path}.schema", extra=unread(asked, _READ_OF_FORMAT))


def _thinking(asked: dict[str, Json]) -> tuple[bool, int | None]:
    """Whether the model is to think where it shows, and for how many tokens at the most."""
    if not asked:
        return False, None
    kind = needed_text(asked, "type", "thinking")
    if kind not in (*THINKS, "disabled"):
        raise RequestError(f"thinking.type must be {', '.join(THINKS)} or disabled.", param="thinking.type")
    if kind != "enabled":
        return kind in THINKS, None
    if asked.get("budget_tokens") is None:
        raise required("thinking.budget_tokens")
    budget = read(asked["budget_tokens"], int, "thinking.budget_tokens")
    if not 1 <= budget <= MAX_COUNT:
        raise RequestError(f"thinking.budget_tokens must be between 1 and {MAX_COUNT}.", param="thinking.budget_tokens")
    return True, budget


def _effort(budget: int | None) -> str:
    """The effort that a budget is."""
    return EFFORT_UNNAMED if budget is None else next(effort for limit, effort in EFFORTS_OF_BUDGETS if budget < limit)
