"""The answer of one upstream whose model writes its tool calls as text: lists of events in, lists of events out.

Text and thinking go through a field machine each; calls of both are numbered together. While a call of one field is open, what the other field
says waits for its end. The end of the stream decides what was undecided: `Finish`
ends it properly, and a call that is still open then is a fault; `Failed` is a cut, and nothing is completed. A piece in which nothing can begin
passes as the event that it was: that is the path of almost every delta, and it costs one search for one character.
"""

from collections import deque
from collections.abc import Callable, Sequence

from pipeline.events import Event, Failed, Finish, FinishReason, NativeToolCall, Notice, TextDelta, ThinkingDelta, UpstreamEvent, UsageReport
from pipeline.machine.calls import Calls, native_call
from pipeline.machine.inventory import Inventory, ToolPolicy
from pipeline.machine.thinking import FieldMachine
from pipeline.request import Tool


class AnswerMachine:
    """One answer; `new_id` makes the ids of its tool calls.

    >>> machine = AnswerMachine(tools=[Tool("Glob")], new_id=lambda: "call_1")
    >>> text = "<|tool_calls_begin|><|tool_call_begin|>Glob<|tool_call_end|><|tool_calls_end|>"
    >>> for event in machine.feed([TextDelta("On it. " + text), Finish()]):
    ...     print(event)
    TextDelta(text='On it. ')
    ToolCallStart(index=0, id='call_1', name='Glob')
    ToolCallDelta(index=0, arguments='{}')
    ToolCallEnd(index=0)
    Finish(reason=<FinishReason.TOOL_CALLS: 'tool_calls'>, raw=None)
    """

    def __init__(self, *, new_id: Callable[[], str], tools: Sequence[Tool] = (), policy: ToolPolicy | None = None, parallel: bool = True) -> None:
        self._calls = Calls(Inventory(tools), policy or ToolPolicy(), new_id, parallel=parallel)
        self._text = FieldMachine(self._calls)
        self._thinking = FieldMachine(self._calls, thinking=True)
        self._busy: FieldMachine | None = None
        self._waiting: deque[UpstreamEvent] = deque()
        self._thought = False

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        """The events that one upstream read became, after the machines; empty for silence, and after `Failed`."""
        calls, text, thinking = self._calls, self._text, self._thinking
        events: list[Event] = []
        if calls.failed:
            return events
        calls.events = events
        for event in batch:
            if self._busy is None and type(event) is TextDelta and text.is_plain and "<" not in event.text:
                events.append(event)
            elif self._busy is None and type(event) is ThinkingDelta and thinking.is_plain and "<" not in event.text:
                self._thought = True
                events.append(event)
            elif self._busy is text and type(event) is TextDelta and text.streams(event.text):
                pass  # a piece of a long argument: it has left, and the call is still open
            else:
                self._take(event)
            if calls.failed:
                return self._up_to_failed(events)
        return events

    def _take(self, event: UpstreamEvent) -> None:
        """Give an event to its field; what belongs elsewhere waits while a call is open, since calls do not nest and hold no text."""
        field = self._text if isinstance(event, TextDelta) else self._thinking if isinstance(event, ThinkingDelta) else None
        if isinstance(event, Finish | Failed):
            self._finish(event)
        elif self._busy is not None and field is not self._busy and not isinstance(event, Notice | UsageReport):
            self._waiting.append(event)
        elif isinstance(event, TextDelta | ThinkingDelta) and field is not None:
            self._thought = self._thought or field is self._thinking
            field.feed(event.text)
            self._busy = field if field.has_open_call else None
            while self._waiting and self._busy is None and not self._calls.failed:
                self._take(self._waiting.popleft())
        elif isinstance(event, NativeToolCall):
            native_call(self._calls, event)
        else:
            self._calls.events.append(event)

    def _finish(self, event: Finish | Failed) -> None:
        calls = self._calls
        proper = isinstance(event, Finish)
        if self._busy is not None:
            self._busy.end(proper=proper)
            self._busy = None
            waiting, self._waiting = self._waiting, deque()
            for late in waiting:
                self._take(late)
        self._end(proper=proper)
        if isinstance(event, Failed):
            calls.fail(event.error)
        elif not calls.failed:
            called = calls.count and event.reason is FinishReason.STOP
            calls.events.append(Finish(FinishReason.TOOL_CALLS, event.raw) if called else event)

    @staticmethod
    def _up_to_failed(events: list[Event]) -> list[Event]:
        """Nothing comes after `Failed`, whatever the machines still said while they stopped."""
        at = next((number for number, event in enumerate(events) if isinstance(event, Failed)), len(events))
        return events[: at + 1]

    def _end(self, *, proper: bool) -> None:
        self._thinking.end(proper=proper)
        self._text.end(proper=proper)
        if proper and self._thought and not (self._text.has_spoken or self._thinking.has_spoken or self._calls.count):
            self._calls.events.append(Notice("empty_answer", "the model thought and gave no visible answer"))
