"""The vocabulary that every stage speaks.

An upstream read becomes one `list[Event]`, passes through the stages as one list, and leaves as one write. Deltas are never merged on the way: each
upstream delta is one event and, at the end, one chunk. An empty list means silence: nothing has been said for a while, by an upstream that is alive.

A stream is well formed when it is zero or more deltas, calls, reports and notices, and then exactly one `Finish` or one `Failed`. A tool call is
`ToolCallStart`, zero or more `ToolCallDelta`, `ToolCallEnd`; calls do not nest, and text may not come inside one. The concatenated `arguments` of a
function's call are one valid JSON value exactly when its `ToolCallEnd` came, unless a Notice `invalid_arguments` says that the upstream sent other
text. Those of a custom tool's call are its raw input, any text.

Errors are events too. They become HTTP only at the edge of the pipeline (`pipeline.flow`).
"""

from enum import StrEnum
from typing import Any

import msgspec

from pipeline.errors import PenstockError


class FinishReason(StrEnum):
    """Why the model stopped, in the words of Chat Completions; every dialect maps from these."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """Characters of the visible answer, never empty."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, gc=False):
    """Characters of the model's reasoning, never empty."""

    text: str


class ThinkingEnd(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """A block of reasoning is complete: what came of `ThinkingDelta` since the last one is its text.

    Only upstreams that sign their reasoning say it. `signature` is to be sent back with the block, unchanged; `redacted` is a block of which they
    show no text, whole, as they wrote it.
    """

    signature: str = ""
    redacted: str = ""


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """Characters of a refusal, never empty."""

    text: str


class ToolCallStart(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """A call opens. `index` counts the calls of this answer from 0; `id` is unique in the conversation; `name` is one of the client's tools.

    `custom` says that the tool is a custom one, whose arguments are raw text.
    """

    index: int
    id: str
    name: str
    custom: bool = False


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """The next characters of the arguments: of their JSON text, or of a custom tool's raw input. Never empty."""

    index: int
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True, gc=False):
    """The call is complete and may be run. A call without it must never be run."""

    index: int


class UsageReport(msgspec.Struct, frozen=True):
    """Token counts. `estimated` is False only for figures that the upstream measured.

    `extra` is what else it measured, under its own names and as it wrote them: more details, or a cost. `prompt_estimated` is about the prompt alone,
    where the answer's share is not of the same kind.
    """

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = True
    extra: dict[str, Any] = {}
    prompt_estimated: bool | None = None

    def __repr__(self) -> str:
        shown = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) not in ({}, None)}
        return f"UsageReport({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together; reasoning is part of the completion."""
        return self.prompt_tokens + self.completion_tokens


class Notice(msgspec.Struct, frozen=True, gc=False):
    """Something was repaired, dropped or passed through by a policy.

    `code` is a snake_case word that clients and logs can match on; `detail` is for people and holds no prompt text beyond a tool's name.
    """

    code: str
    detail: str = ""


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The proper end of the stream.

    `raw` is the upstream's own word for the reason, where it gave one; `stop` is the client's stop text that ended the answer, where it is known.
    """

    reason: FinishReason = FinishReason.STOP
    raw: str | None = None
    stop: str | None = None

    def __repr__(self) -> str:
        at = "" if self.stop is None else f", stop={self.stop!r}"
        return f"Finish(reason={self.reason!r}, raw={self.raw!r}{at})"


class Failed(msgspec.Struct, frozen=True):
    """The stream ended otherwise. Nothing that is still open was completed."""

    error: PenstockError


class NativeToolCall(msgspec.Struct, frozen=True, gc=False):
    """A whole call as the upstream sent it in a field of its own, name and arguments not yet checked. Only the machines see it."""

    id: str
    name: str
    arguments: str


class Progress(msgspec.Struct, frozen=True, gc=False):
    """The upstream sent data that says nothing yet: half a call's arguments, or fields that nobody reads. It is not silent, and the clocks see that.

    Always alone in its list; no machine sees it.
    """


Event = TextDelta | ThinkingDelta | ThinkingEnd | RefusalDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | UsageReport | Notice | Finish | Failed
UpstreamEvent = Event | NativeToolCall | Progress
