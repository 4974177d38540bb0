"""Events as Cursor's backend can show them: Chat Completions chunks, with what Cursor takes otherwise than other clients do.

Theory of operation: the chunks are those of `pipeline.emit.chat`; here stands the difference.

- Every call is a function's, numbered from 0 in the order in which calls come. The arguments of a custom tool's call are its raw text, neither JSON
  nor in the form of a custom call: Cursor reads a patch from there, and a native custom call ends its answer.
- One `finish_reason`, by what was sent: `tool_calls` behind a call; usage always; one `[DONE]`.
- Reasoning stands in a block in the text, in a field of its own, or nowhere (`pipeline.emit.reasoning_display`).
- An answer that fails on its way says so in its text and ends like any other, since a bare error object shows as `invalid_argument`. With a call open
  nothing more is sent and the connection is to be broken (`is_broken`): behind a proper end Cursor would apply half a patch. The same holds for an
  answer that ends inside a call; only a function's, whose cut JSON cannot be run, may end so, with the reason that cut it.

`reason` is set by a proper end only and `error` by every other one, whatever the client was sent.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from pipeline.emit.base import AnswerHead, Dialect, Emitter
from pipeline.emit.chat import ChatStream, answer_body
from pipeline.emit.reasoning_display import ReasoningDisplay, displayed
from pipeline.emit.whole import Whole
from pipeline.errors import PenstockError, StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, ToolCallDelta, ToolCallEnd, ToolCallStart, UsageReport
from pipeline.request import ToolCall
from pipeline.thinking_blocks import SEPARATOR, Display

CUTTING = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
"""The reasons that cut an answer short."""


def finish_reason(reason: FinishReason | None, *, called: bool) -> FinishReason:
    """What the answer ends with: calls are to be run, however the answer went on behind them.

    >>> finish_reason(FinishReason.LENGTH, called=True), finish_reason(FinishReason.TOOL_CALLS, called=False)
    (<FinishReason.TOOL_CALLS: 'tool_calls'>, <FinishReason.STOP: 'stop'>)
    """
    if called:
        return FinishReason.TOOL_CALLS
    return FinishReason.STOP if reason is None or reason not in CUTTING else reason


def failure_text(error: PenstockError) -> str:
    """What a person reads in the chat about an answer that failed: one line, in the error's own words."""
    return "**Error:** " + " ".join(error.message.split())


class CursorStream(ChatStream):
    """The stream form; `usage` is asked once, at the end."""

    def __init__(self, head: AnswerHead, usage: Callable[[], UsageReport], display: Display) -> None:
        super().__init__(msgspec.structs.replace(head, show_thinking=display == "field", include_usage=True), usage)
        self._display = ReasoningDisplay(display)
        self._calls = 0
        self._open: ToolCallStart | None = None

    def _written(self, events: Sequence[Event]) -> bytes:
        return super()._written(self._display.feed(events))

    def _other(self, event: Event) -> bytes:
        match event:
            case ToolCallStart(_, call_id, name):
                self._open = event
                self._calls += 1
                event = ToolCallStart(self._calls - 1, call_id, name)
            case ToolCallDelta(_, arguments):
                event = ToolCallDelta(self._calls - 1, arguments)
            case ToolCallEnd():
                self._open = None
            case Finish(reason, raw):
                if self._open is not None and (self._open.custom or reason not in CUTTING):
                    event = Failed(StreamCut("The answer ended inside a tool call.", code="tool_call_cut"))
                else:
                    event = Finish(finish_reason(reason, called=self._calls > 0 and self._open is None), raw)
            case _:
                pass
        return super()._other(event)

    def _failure(self, error: PenstockError) -> bytes:
        if self._open is not None:
            self.is_broken = True
            return b""
        separator = SEPARATOR if self._display.follows_text else ""
        return self._chunk({"content": separator + failure_text(error)}) + self._end(FinishReason.STOP)


def cursor_answer(head: AnswerHead, whole: Whole, usage: UsageReport, display: Display) -> bytes:
    """The whole form, for an answer without an error."""
    return answer_body(
        head,
        text=displayed(display, whole.thinking, whole.text + whole.refusal),
        thinking=whole.thinking if display == "field" else None,
        calls=[ToolCall(call.id, call.name, call.arguments) for call in whole.calls],
        reason=finish_reason(whole.reason, called=bool(whole.calls)),
        usage=usage,
    )


def cursor_dialect(display: Display) -> Dialect:
    """How Cursor is answered where reasoning is to be shown in this way."""

    def stream(head: AnswerHead, usage: Callable[[], UsageReport]) -> Emitter:
        return CursorStream(head, usage, display)

    return Dialect("chatcmpl-", stream, partial(cursor_answer, display=display))
