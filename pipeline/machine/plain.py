"""The answer of an upstream that sends tool calls as such: everything passes, and the end says what the answer was."""

from pipeline.events import Event, Finish, FinishReason, NativeToolCall, Progress, ToolCallStart, UpstreamEvent
from pipeline.machine.limits import LimitsMachine

_NOT_SHOWN = (NativeToolCall, Progress)
"""What an upstream's list may hold and a client's may not."""


class PlainMachine:
    """Passes events on; `Finish` becomes `tool_calls` when a call was sent and the upstream only said that it stopped.

    >>> machine = PlainMachine()
    >>> _ = machine.feed([ToolCallStart(0, "call_1", "Read")])
    >>> machine.feed([Finish()])
    [Finish(reason=<FinishReason.TOOL_CALLS: 'tool_calls'>, raw=None)]
    """

    def __init__(self, limits: LimitsMachine | None = None) -> None:
        """`limits` ends the answer where the upstream does not."""
        self._called = False
        self._limits = limits

    def feed(self, batch: list[UpstreamEvent]) -> list[Event]:
        """The same events, up to the end."""
        passed = [self._passed(event) for event in batch if not isinstance(event, _NOT_SHOWN)]
        return passed if self._limits is None else self._limits.feed(passed)

    def _passed(self, event: Event) -> Event:
        if isinstance(event, ToolCallStart):
            self._called = True
        elif isinstance(event, Finish) and self._called and event.reason is FinishReason.STOP:
            return Finish(FinishReason.TOOL_CALLS, event.raw)
        return event
