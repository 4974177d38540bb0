"""The answer of one upstream whose model writes its tool calls as text: lists of events in, lists of events out.

Text and thinking go through a field machine each; calls of both are numbered together. The end of the stream decides what was undecided: `Finish`
ends it properly, and a call that is still open then is a fault; `Failed` is a cut, and nothing is completed. A piece in which nothing can begin
passes as the event that it was: that is the path of almost every delta, and it costs one search for one character.
"""

from collections.abc import Callable, Sequence

from pipeline.events import Event, Failed, Finish, FinishReason, NativeToolCall, Notice, TextDelta, ThinkingDelta, UpstreamEvent
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
        self._thought = False

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        """The events that one upstream read became, after the machines; empty for silence, and after `Failed`."""
        calls, text, thinking = self._calls, self._text, self._thinking
        events: list[Event] = []
        if calls.failed:
            return events
        calls.events = events
        for event in batch:
            if type(event) is TextDelta:
                if text.is_plain and "<" not in event.text:
                    events.append(event)
                else:
                    text.feed(event.text)
            elif type(event) is ThinkingDelta:
                self._thought = True
                if thinking.is_plain and "<" not in event.text:
                    events.append(event)
                else:
                    thinking.feed(event.text)
            else:
                self._other(event)
            if calls.failed:
                break
        return events

    def _other(self, event: UpstreamEvent) -> None:
        calls = self._calls
        if isinstance(event, NativeToolCall):
            native_call(calls, event)
        elif isinstance(event, Finish):
            self._end(proper=True)
            if not calls.failed:
                called = calls.count and event.reason is FinishReason.STOP
                calls.events.append(Finish(FinishReason.TOOL_CALLS, event.raw) if called else event)
        elif isinstance(event, Failed):
            self._end(proper=False)
            calls.fail(event.error)
        else:
            calls.events.append(event)

    def _end(self, *, proper: bool) -> None:
        self._thinking.end(proper=proper)
        self._text.end(proper=proper)
        if proper and self._thought and not (self._text.has_spoken or self._thinking.has_spoken or self._calls.count):
            self._calls.events.append(Notice("empty_answer", "the model thought and gave no visible answer"))
