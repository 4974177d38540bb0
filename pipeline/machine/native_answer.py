"""The answer of an upstream whose calls come whole, in a field of their own: lists of events in, lists of events out.

Text and thinking pass as the events that they were: whatever they look like, they are no calls. A call is checked as one that a model wrote as text
is (`forms.native`): its tool must be one that was offered, and its arguments take the types of the tool's schema. `Finish` becomes `tool_calls` where
a call left and the upstream only said that it stopped. An answer that is nothing but thoughts is named by a Notice. Nothing comes behind `Failed`,
and nothing is held back.
"""

from collections.abc import Callable, Sequence

from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    NativeToolCall,
    Progress,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    UpstreamEvent,
)
from pipeline.machine.calls import Calls
from pipeline.machine.forms.native import native_call
from pipeline.machine.tools.inventory import Inventory, ToolPolicy
from pipeline.machine.written import WrittenCall
from pipeline.request import Tool


class NativeAnswerMachine:
    """One answer; the arguments are those of `AnswerMachine`.

    >>> machine = NativeAnswerMachine(tools=[Tool("Glob")], new_id=lambda: "call_1")
    >>> for event in machine.feed([NativeToolCall("", "Glob", '{"pattern": "*.py"}'), Finish()]):
    ...     print(event)
    ToolCallStart(index=0, id='call_1', name='Glob')
    ToolCallDelta(index=0, arguments='{"pattern":"*.py"}')
    ToolCallEnd(index=0)
    Finish(reason=<FinishReason.TOOL_CALLS: 'tool_calls'>, raw=None)
    """

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        tools: Sequence[Tool] = (),
        policy: ToolPolicy | None = None,
        parallel: bool = True,
        written: list[WrittenCall] | None = None,
    ) -> None:
        self._calls = Calls(Inventory(tools), policy or ToolPolicy(), new_id, parallel=parallel, written=written)
        self._thought = False
        self._has_spoken = False

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        """The events that one upstream read became; empty for silence, and after `Failed`."""
        calls = self._calls
        events: list[Event] = []
        calls.events = events
        for event in batch:
            if calls.failed:
                break
            if isinstance(event, NativeToolCall):
                native_call(calls, event)
                calls.has_read()
            elif isinstance(event, Failed):
                calls.fail(event.error)
            elif isinstance(event, Finish):
                if self._thought and not (self._has_spoken or calls.count):
                    calls.say_empty()
                called = calls.count and event.reason is FinishReason.STOP
                events.append(Finish(FinishReason.TOOL_CALLS, event.raw) if called else event)
            elif not isinstance(event, Progress):
                self._thought = self._thought or isinstance(event, ThinkingDelta)
                self._has_spoken = self._has_spoken or (isinstance(event, TextDelta | RefusalDelta) and not event.text.isspace())
                events.append(event)
        return events
