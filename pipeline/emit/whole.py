"""The whole answer as a fold over its events, so that it can never differ from the stream."""

from collections.abc import Sequence

from pipeline.errors import PenstockError, StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from pipeline.request import ToolCall


class Whole:
    """What a finished stream amounts to; `calls` holds only complete calls.

    >>> whole = Whole()
    >>> whole.add([TextDelta("Hel"), TextDelta("lo"), Finish()])
    >>> whole.text, whole.reason, whole.error is None
    ('Hello', <FinishReason.STOP: 'stop'>, True)
    """

    def __init__(self) -> None:
        self.spoken: list[Event] = []
        """What the answer says, event by event, for a dialect in which the order of texts and calls is part of the answer."""
        self.calls: list[ToolCall] = []
        self.notices: list[Notice] = []
        self.reason: FinishReason | None = None
        self.raw: str | None = None
        self.stop: str | None = None
        self._error: PenstockError | None = None
        self._open: dict[int, tuple[ToolCallStart, list[str]]] = {}

    @property
    def text(self) -> str:
        """The visible text."""
        return self._joined(TextDelta)

    @property
    def thinking(self) -> str:
        """The reasoning."""
        return self._joined(ThinkingDelta)

    @property
    def refusal(self) -> str:
        """The refusal."""
        return self._joined(RefusalDelta)

    @property
    def error(self) -> PenstockError | None:
        """Why there is no answer: the stream's own fault, or that it had no end."""
        if self._error is None and self.reason is None:
            return StreamCut("The stream ended before its end mark.")
        return self._error

    def _joined(self, kind: type[TextDelta | ThinkingDelta | RefusalDelta]) -> str:
        return "".join(event.text for event in self.spoken if isinstance(event, kind))

    def add(self, events: Sequence[Event]) -> None:
        """Fold the next events in."""
        self.spoken += [event for event in events if not isinstance(event, Notice | Finish | Failed)]
        for event in events:
            match event:
                case ToolCallStart(index, _, _):
                    self._open[index] = (event, [])
                case ToolCallDelta(index, arguments):
                    self._open[index][1].append(arguments)
                case ToolCallEnd(index):
                    start, pieces = self._open.pop(index)
                    self.calls.append(ToolCall(start.id, start.name, "".join(pieces), custom=start.custom))
                case Notice():
                    self.notices.append(event)
                case Finish(reason, raw, stop):
                    self.reason, self.raw, self.stop = reason, raw, stop
                case Failed(error):
                    self._error = error
                case _:
                    pass
