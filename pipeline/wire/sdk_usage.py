"""The token counts of a run of the SDK's agent.

Theory of operation: counts come as an object, in which 64-bit numbers are texts in one place and numbers in another. `read_counts` reads one,
`summed` adds those of several turns, and `as_report` makes them ours.

Whether the tokens that came from a cache are a part of `inputTokens` the published types do not say, and `totalTokens` is at times input and output
alone. So the figures decide: where the total holds the cached ones too, or they are more than the input, they stand beside it; else they are a part
of it. Reasoning is a part of the output, as the types say.

>>> as_report(read_counts({"inputTokens": "90", "outputTokens": "7", "cacheReadTokens": "2000", "cacheWriteTokens": "10"}))
UsageReport(prompt_tokens=2100, completion_tokens=7, reasoning_tokens=0, cached_tokens=2000, estimated=False, extra={'cacheWriteTokens': 10})
"""

from collections.abc import Iterable, Mapping

from pipeline.events import UsageReport
from pipeline.request import Json
from pipeline.wire.json_values import as_object

FIELDS = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens", "totalTokens", "reasoningTokens")
_MAX_COUNT = 2**53
_MAX_DIGITS = 16

Counts = Mapping[str, int]
"""Of the `FIELDS` those that are told, by their names."""


def read_counts(value: Json) -> Counts:
    """The counts in a `usage` object, empty where there is none; what is no count is left out."""
    fields = as_object(value)
    told = {name: _count(fields.get(name)) for name in FIELDS}
    return {name: count for name, count in told.items() if count is not None}


def summed(turns: Iterable[Counts]) -> Counts:
    """The counts of several turns together."""
    total: dict[str, int] = {}
    for counts in turns:
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def as_report(counts: Counts) -> UsageReport | None:
    """The counts as the upstream's measure; None where they count nothing."""
    sent, said, read, written, total, reasoning = (counts.get(name, 0) for name in FIELDS)
    cached = read + written
    prompt = sent + cached if cached and (total == sent + said + cached or cached > sent) else sent
    if not prompt and not said:
        return None
    return UsageReport(prompt, said, min(reasoning, said), read, estimated=False, extra={"cacheWriteTokens": written} if written else {})


def _count(value: Json) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():  # the numbers of a protobuf Struct are doubles
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None
