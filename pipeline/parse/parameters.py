"""The policy of every request parameter, as one table.

Theory of operation: each row of `PARAMETERS` says what becomes of one field of a Chat Completions body: read by the parsers (`HONOURED`), mapped to
its modern form with a Notice (`MAPPED`), of no effect on Composer and reported so (`IGNORED`), or refused when it asks for something (`REJECTED`).
`sort_parameters` applies the rows that need no parser: it checks type and range, refuses, and collects the ignored ones. A field without a row is
unknown: kept in `extra`, never judged. null means absent for every field that has a row.
"""

from enum import StrEnum
from typing import Any

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.parse.body import read
from pipeline.request import Json

MAX_COUNT = 2**31 - 1


class Policy(StrEnum):
    """What becomes of a parameter."""

    HONOURED = "honoured"
    MAPPED = "mapped"
    IGNORED = "ignored"
    REJECTED = "rejected"


class Parameter(msgspec.Struct, frozen=True):
    """One row. `low` and `high` bound a number, or each number of an object; `harmless` are the values of a rejected one that ask for nothing."""

    name: str
    policy: Policy
    shape: Any = None
    low: float | None = None
    high: float | None = None
    harmless: tuple[Json, ...] = ()
    note: str = ""


_H, _M, _I, _R = Policy.HONOURED, Policy.MAPPED, Policy.IGNORED, Policy.REJECTED

# Sources: OpenAI's Chat Completions reference for names, types and ranges; max_output_tokens and text are the Responses spelling of the same wish.
# A shape of None means that the parser of the field checks its type.
PARAMETERS = (
    Parameter("model", _H, note="an empty one is the default model"),
    Parameter("messages", _H),
    Parameter("stream", _H),
    Parameter("stream_options", _H, note="include_usage"),
    Parameter("tools", _H, note="functions, nested or flat"),
    Parameter("tool_choice", _H, note="auto, none, required, a function, allowed_tools"),
    Parameter("parallel_tool_calls", _H),
    Parameter("stop", _H, note="a string or a list"),
    Parameter("max_completion_tokens", _H, int, 1, MAX_COUNT),
    Parameter("max_output_tokens", _H, int, 1, MAX_COUNT),
    Parameter("max_tokens", _H, int, 1, MAX_COUNT, note="the other two go first"),
    Parameter("response_format", _H, note="text, json_object, json_schema"),
    Parameter("text", _H, note="text.format, as response_format"),
    Parameter("reasoning_effort", _H),
    Parameter("reasoning", _H, note="a boolean, or an object with effort, enabled, exclude"),
    Parameter("functions", _M, note="becomes tools"),
    Parameter("function_call", _M, note="becomes tool_choice"),
    Parameter("temperature", _I, float, 0, 2),
    Parameter("top_p", _I, float, 0, 1),
    Parameter("presence_penalty", _I, float, -2, 2),
    Parameter("frequency_penalty", _I, float, -2, 2),
    Parameter("logit_bias", _I, dict[str, float], -100, 100),
    Parameter("seed", _I, int),
    Parameter("user", _I, str),
    Parameter("metadata", _I, dict[str, Any]),
    Parameter("store", _I, bool),
    Parameter("service_tier", _I, str),
    Parameter("prediction", _I, dict[str, Any]),
    Parameter("verbosity", _I, str),
    Parameter("web_search_options", _I, dict[str, Any]),
    Parameter("n", _R, int, 1, 128, harmless=(1,), note="one answer a request"),
    Parameter("logprobs", _R, bool, harmless=(False,)),
    Parameter("top_logprobs", _R, int, 0, 20, harmless=(0,)),
    Parameter("audio", _R, dict[str, Any]),
    Parameter("modalities", _R, list[str], harmless=(["text"], []), note="text only"),
    Parameter("background", _R, bool, harmless=(False,)),
)

BY_NAME = {row.name: row for row in PARAMETERS}


class Sorted(msgspec.Struct, frozen=True):
    """`extra` is what no parser reads, unchanged; `ignored` the names in it that have no effect on Composer, in the client's order."""

    extra: dict[str, Json]
    ignored: tuple[str, ...]


def sort_parameters(fields: dict[str, Json]) -> Sorted:
    """Check every field of a body against its row.

    Raises:
        RequestError: a wrong type, or a number out of its range; `param` names it.
        UnsupportedParameter: a rejected parameter asks for something.

    >>> sort_parameters({"model": "composer-2.5", "temperature": 0.2, "n": 1, "client_metadata": {}})
    Sorted(extra={'temperature': 0.2, 'client_metadata': {}}, ignored=('temperature',))
    """
    extra: dict[str, Json] = {}
    ignored: list[str] = []
    for name, value in fields.items():
        row = BY_NAME.get(name)
        if row is None:
            extra[name] = value
        elif value is not None:
            _check(row, value)
            if row.policy is Policy.IGNORED:
                extra[name] = value
                ignored.append(name)
    return Sorted(extra, tuple(ignored))


def _check(row: Parameter, value: Json) -> None:
    if row.shape is None:
        return
    checked: Any = read(value, row.shape, row.name)
    if row.low is not None and row.high is not None:
        _check_range(checked, row.low, row.high, row.name)
    if row.policy is Policy.REJECTED and checked not in row.harmless:
        raise UnsupportedParameter(f"{row.name} is not supported here{': ' + row.note if row.note else ''}.", param=row.name)


def _check_range(value: float | dict[str, float], low: float, high: float, name: str) -> None:
    numbers = value.values() if isinstance(value, dict) else (value,)
    if not all(low <= number <= high for number in numbers):
        subject = f"every value of {name}" if isinstance(value, dict) else name
        raise RequestError(f"{subject} must be between {low} and {high}.", param=name)
