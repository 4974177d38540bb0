"""The parameters of a Messages body that shape one answer, as `Options`.

Theory of operation: `stop_sequences` is `stop`; `max_tokens` has to be there, but for a count of tokens; `output_config.format`, or `output_format`
as betas write it, is the form of the answer. `thinking` asks for reasoning: how much is its budget, which is an effort too, for upstreams that are
told none but one, and `output_config.effort` says it where it is given. Reasoning that is only asked for in its signed form (`display: omitted`) is
asked for all the same: the client has to send it back.

`extra` has what an upstream of the same API takes as the client wrote it, and others in part or not at all: the numbers of sampling, `thinking`,
`metadata`, the mark of a cache, and `output_config` without its format. What asks Anthropic's servers for something that no answer here has, or needs
a header that is not passed on, is left out and named in the ledger. A `thread` is refused: a request that goes on with one holds its last turn alone.
Ranges are those of the API.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parameters import MAX_COUNT
from pipeline.parse.body import is_object, read
from pipeline.parse.messages_blocks import EMPTY, unread
from pipeline.parse.options import MAX_STOPS, read_options
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, object_at, required, text_at
from pipeline.request import AnswerFormat, Json, Options

# a number of sampling -> its type, and the range that the API takes
NUMBERS: Mapping[str, tuple[type[float], float, float]] = {"temperature": (float, 0, 1), "top_p": (float, 0, 1), "top_k": (int, 0, MAX_COUNT)}

KEPT_OBJECTS = ("thinking", "metadata", "cache_control")

ONLY_ANTHROPIC = frozenset(
    {
        *("anthropic_beta", "anthropic_version", "betas", "billing_policy", "compaction", "container", "context_management", "diagnostics"),
        *("fallback_credit_token", "fallbacks", "inference_geo", "mcp_servers", "service_tier", "speed", "user_profile_id", "workspace_id"),
    }
)
"""What only Anthropic's servers read, and what needs a header of a beta, which is the operator's to send."""

READ_HERE = frozenset({*NUMBERS, *KEPT_OBJECTS, "max_tokens", "stop_sequences", "output_config", "output_format"})

THREAD_REFUSED = "thread_unsupported_request"
"""That API's own code, at which its clients send the whole conversation, and no thread any more."""

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
        RequestError: a wrong type, a number out of its range, an unknown format or way of thinking, a thread; `param` names the field.

    >>> body = {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}}
    >>> found = read_answer_options(body, Ledger(), parallel=True, for_count=False)
    >>> found.options.reasoning, found.options.reasoning_budget, found.options.reasoning_effort
    (True, 2048, 'low')
    """
    given = {name: value for name, value in fields.items() if value not in EMPTY}
    _refuse_thread(given)
    ledger.ignore(*(name for name in given if name in ONLY_ANTHROPIC))
    config = _object(given, "output_config")
    effort = text_at(config, "effort", "output_config")
    reasoning, budget = _thinking(_object(given, "thinking"))
    stop, notices = _stop(given)
    options = Options(
        max_tokens=_limit(given, for_count=for_count),
        stop=stop,
        answer_format=_format(given, config, ledger),
        parallel_tool_calls=parallel,
        reasoning_effort=EFFORT_WORDS.get(effort, effort) if effort else _effort(budget) if reasoning else None,
        reasoning=reasoning,
        reasoning_budget=budget,
    )
    return OptionsRead(options, _kept(given, config), notices)


def _refuse_thread(given: dict[str, Json]) -> None:
    """A conversation that the server holds: what goes on with one has neither its history nor its tools."""
    if "thread" in given:
        message = "No conversation is held here: send the whole of it, without thread."
        raise UnsupportedParameter(message, code=THREAD_REFUSED, param="thread")


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
            shape, low, high = NUMBERS[name]
            if not low <= read(value, shape, name) <= high:
                raise RequestError(f"{name} must be between {low} and {high}.", param=name)
            kept[name] = value
        elif name in KEPT_OBJECTS:
            kept[name] = _object(fields, name)
        elif name == "output_config" and besides:
            kept[name] = besides
    return kept


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
