"""Which calls of an answer left whole: for an upstream that holds something open until their results come.

Theory of operation: lists of events pass as they are, behind all machines that may change or end an answer. At its end `settle` is called, once: with
the ids of the calls that were begun and ended, where the answer ended as one that calls tools, and with none otherwise. An answer that failed, was
cut at a limit, or is refused for what it lacks, has no calls that its client will run. One that its client leaves has no end, and nothing is said.

Invariants: linear in the events, and nothing is held but ids. Left alone: whether the client receives what leaves, which nobody here can know.
"""

from collections.abc import Callable, Collection

from pipeline.events import Event, Failed, Finish, FinishReason, ToolCallEnd, ToolCallStart


class DeliveredCalls:
    """One answer.

    >>> for reason in (FinishReason.TOOL_CALLS, FinishReason.LENGTH):
    ...     _ = DeliveredCalls(print).feed([ToolCallStart(0, "call_1", "ls"), ToolCallEnd(0), ToolCallStart(1, "call_2", "ls"), Finish(reason)])
    ['call_1']
    []
    """

    def __init__(self, settle: Callable[[Collection[str]], None]) -> None:
        self._settle: Callable[[Collection[str]], None] | None = settle
        self._begun: dict[int, str] = {}
        self._whole: list[str] = []

    def feed(self, batch: list[Event]) -> list[Event]:
        """The same list."""
        for event in batch:
            match event:
                case ToolCallStart():
                    self._begun[event.index] = event.id
                case ToolCallEnd() if event.index in self._begun:
                    self._whole.append(self._begun[event.index])
                case Finish():
                    self._end(self._whole if event.reason is FinishReason.TOOL_CALLS else [])
                case Failed():
                    self._end([])
                case _:
                    pass
        return batch

    def _end(self, delivered: Collection[str]) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(delivered)
