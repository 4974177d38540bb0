"""One JSON event of a Messages stream, read leniently, and the counts in it.

Theory of operation: the bytes of one event come in; a `MessagesEvent` goes out, or None for bytes that are not one. Fields are left as decoded
(`Json`), and whoever reads one looks at it; all may be null or missing. Unknown ones are of no effect.

`UsageCounts` adds up what an answer tells of its usage: the counts are cumulative, the prompt's stand in the first event and often again in the last
one, and some servers tell them only there. Input tokens are those for which no cache was read or written; a `UsageReport` has all of them as prompt.

Invariants: nothing raises, whatever the bytes are.
"""

import msgspec

from pipeline.events import UsageReport
from pipeline.request import Json
from pipeline.wire.json_values import as_object

INPUT, CACHE_WRITTEN, CACHE_READ, OUTPUT = "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"
DETAILS, THINKING = "output_tokens_details", "thinking_tokens"

_MAX_COUNT = 2**53
_COUNTED = frozenset({INPUT, CACHE_READ, OUTPUT, DETAILS, "estimated"})


class BlockDelta(msgspec.Struct, frozen=True, gc=False):
    """What an event adds to a block, or to the message."""

    type: Json = None
    text: Json = None
    thinking: Json = None
    signature: Json = None
    partial_json: Json = None
    stop_reason: Json = None
    stop_sequence: Json = None
    stop_details: Json = None


class MessagesEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of a stream, or a whole message."""

    type: Json = None
    index: Json = None
    delta: BlockDelta | None = None
    content_block: Json = None
    message: Json = None
    usage: Json = None
    error: Json = None
    content: Json = None
    stop_reason: Json = None
    stop_sequence: Json = None
    stop_details: Json = None


_EVENTS = msgspec.json.Decoder(MessagesEvent)


def decode_event(data: bytes) -> MessagesEvent | None:
    """The event in these bytes, None where there is none."""
    try:
        return _EVENTS.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


class UsageCounts:
    """The usage of one answer, as told so far.

    >>> counts = UsageCounts()
    >>> counts.add({"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1})
    >>> counts.add({"output_tokens": 7})
    >>> counts.report()
    UsageReport(prompt_tokens=9, completion_tokens=7, reasoning_tokens=0, cached_tokens=4, estimated=False)
    """

    def __init__(self) -> None:
        self._told: dict[str, Json] = {}

    def add(self, value: Json) -> None:
        """A `usage` object. A count of nothing does not take the place of one that was told before."""
        for name, count in as_object(value).items():
            if count is not None and (count != 0 or name not in self._told):
                self._told[name] = count

    def asked(self) -> UsageReport | None:
        """What the prompt has cost; None where nothing was told of it."""
        report = self.report()
        return None if report is None or not report.prompt_tokens else msgspec.structs.replace(report, completion_tokens=0, reasoning_tokens=0)

    def report(self) -> UsageReport | None:
        """All of it; None where nothing was counted."""
        told = self._told
        cached, written = _count(told.get(CACHE_READ)), _count(told.get(CACHE_WRITTEN))
        prompt, completion = _count(told.get(INPUT)) + cached + written, _count(told.get(OUTPUT))
        if not prompt and not completion:
            return None
        reasoning = _count(as_object(told.get(DETAILS)).get(THINKING))
        extra = {name: value for name, value in told.items() if name not in _COUNTED}
        if not written:
            extra.pop(CACHE_WRITTEN, None)
        return UsageReport(prompt, completion, reasoning, cached, estimated=False, extra=extra)


def _count(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else 0
