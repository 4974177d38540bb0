"""What an upstream measured beside the counts that every answer has (`UsageReport.extra`), as it may stand in a `usage` object.

Theory of operation: the names and values are the upstream's, and could be anything that JSON can say. They stand beside our own fields and never in
their place: what we count was checked when it was read. Details are objects in every API, so that what is none has no place among them. A value that
nests deeper than `MAX_DEPTH` is left out, since writing it may need more of the stack than reading it did.
"""

from collections.abc import Iterable, Mapping
from typing import TypeGuard

from pipeline.events import UsageReport
from pipeline.request import Json

MAX_DEPTH = 16
"""Levels of objects and arrays in one value; no server's own has more than three."""


def beside(own: Mapping[str, Json], usage: UsageReport) -> dict[str, Json]:
    """Our own fields, and behind them what else of the upstream's is there; details have their own place.

    >>> beside({"total_tokens": 3}, UsageReport(2, 1, extra={"total_tokens": 9, "credits": 0.5, "prompt_tokens_details": "many"}))
    {'total_tokens': 3, 'credits': 0.5}
    """
    return {**own, **{name: value for name, value in usage.extra.items() if name not in own and not _is_details(name) and _is_shallow(value)}}


def details(name: str, own: Mapping[str, Json], usage: UsageReport) -> dict[str, Json]:
    """Our own details of one name, and behind them the upstream's.

    >>> details("prompt_tokens_details", {"cached_tokens": 0}, UsageReport(2, 1, extra={"prompt_tokens_details": {"cached_tokens": 9, "audio": 1}}))
    {'cached_tokens': 0, 'audio': 1}
    """
    told = usage.extra.get(name)
    further = {key: value for key, value in told.items() if key not in own and _is_shallow(value)} if _is_object(told) else {}
    return {**own, **further}


def _is_details(name: str) -> bool:
    return name.endswith("_tokens_details")


def _is_shallow(value: Json) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return True
    return False


def _inner(value: Json) -> Iterable[Json]:
    return value.values() if _is_object(value) else value if _is_list(value) else ()


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)
