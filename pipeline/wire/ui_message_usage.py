"""The token counts of a UI message stream, under the names that the versions of the AI SDK have for them.

Theory of operation: a decoded `usage` object comes in, and a `UsageReport` of measured counts goes out, or None where it does not count both the
prompt and the answer. One of the two may be missing where their sum is there. Invariants: nothing raises; a count that is no whole number is none.
What is left over in the object is kept as `extra`, as it was written, but for the names that the APIs of our own clients have for their counts.
"""

import re

from pipeline.events import UsageReport
from pipeline.request import Json
from pipeline.wire.json_values import as_object

PROMPT = ("inputTokens", "promptTokens")
COMPLETION = ("outputTokens", "completionTokens")
TOTAL = ("totalTokens",)
CACHED, REASONING = ("cachedInputTokens",), ("reasoningTokens",)
IN_DETAILS, OUT_DETAILS = "inputTokenDetails", "outputTokenDetails"
"""Names of counts, those of the current version first; in the details the cached ones are `cacheReadTokens`."""

OTHERS = re.compile(r"(prompt|completion|input|output|total|cached?|reasoning)(_[a-z]+)*_tokens(_details)?|estimated")
"""The counts of OpenAI's and Anthropic's APIs: a client would take them for those of this answer."""

_MAX_COUNT = 2**53


def read_ui_usage(value: Json) -> UsageReport | None:
    """The counts in a `usage` object.

    >>> read_ui_usage({"inputTokens": 9, "outputTokens": 3, "totalTokens": 12, "outputTokenDetails": {"reasoningTokens": 2}})
    UsageReport(prompt_tokens=9, completion_tokens=3, reasoning_tokens=2, cached_tokens=0, estimated=False)
    >>> read_ui_usage({"promptTokens": 9, "totalTokens": 12}).completion_tokens, read_ui_usage({"totalTokens": 12})
    (3, None)
    """
    fields = as_object(value)
    prompt, completion, total = (_first(fields, names) for names in (PROMPT, COMPLETION, TOTAL))
    if prompt is None and completion is not None and total is not None:
        prompt = max(0, total - completion)
    elif completion is None and prompt is not None and total is not None:
        completion = max(0, total - prompt)
    if prompt is None or completion is None or not (prompt or completion):
        return None
    into, out = as_object(fields.get(IN_DETAILS)), as_object(fields.get(OUT_DETAILS))
    cached = _first(into, ("cacheReadTokens",)) or _first(fields, CACHED) or 0
    reasoning = _first(out, REASONING) or _first(fields, REASONING) or 0
    return UsageReport(prompt, completion, reasoning, cached, estimated=False, extra=_unread(fields))


def _unread(fields: dict[str, Json]) -> dict[str, Json]:
    """What is none of our own counts: a cost, or further details."""
    read = {*PROMPT, *COMPLETION, *TOTAL, *CACHED, *REASONING, IN_DETAILS, OUT_DETAILS}
    extra = {name: value for name, value in fields.items() if name not in read and not OTHERS.fullmatch(name) and value is not None}
    for name, known in ((IN_DETAILS, "cacheReadTokens"), (OUT_DETAILS, "reasoningTokens")):
        details = {key: value for key, value in as_object(fields.get(name)).items() if key != known and value is not None}
        if details:
            extra[name] = details
    return extra


def _first(fields: dict[str, Json], names: tuple[str, ...]) -> int | None:
    counts = (fields.get(name) for name in names)
    return next((count for count in counts if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _MAX_COUNT), None)
