"""What reading an answer is in both of OpenAI's APIs: its body in, events out, one end, and the usage before it.

Theory of operation: a read goes through `AnswerBody`, and each event of the stream to the subclass, which knows what it means. A fault ends the
answer with `Failed`, behind the usage that was told, unless the fault comes first: then it is the first event. Left alone: what ends an answer
properly, and the end of the body.
"""

from abc import ABC, abstractmethod

from pipeline.errors import PenstockError
from pipeline.events import Failed, Notice, UpstreamEvent, UsageReport
from pipeline.wire.answer_body import AnswerBody
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.sse import ServerSentEvent

DONE = b"[DONE]"


class AnswerReader(ABC):
    """One answer. `is_over` behind `Finish` or `Failed`; `data_events` counts the stream's events that held data."""

    is_marked = True
    """Behind the end nothing but that of the body's frame follows: it is the end mark, or nobody waited for that any longer."""

    def __init__(self, errors: OpenAIErrors | None, max_event_bytes: int) -> None:
        """`errors` reads those of the upstream; `max_event_bytes` bounds one event, and a whole answer."""
        self.is_over = False
        self.data_events = 0
        self._body = AnswerBody(max_event_bytes)
        self._errors = errors or OpenAIErrors()
        self._usage: UsageReport | None = None
        self._has_spoken = False
        self._events: list[UpstreamEvent] = []  # those of the feed that is running

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read and return its events; none after the end."""
        events = self._events = []
        if not self.is_over:
            for event in self._body.feed(data):
                self._dispatch(event)
            if self._body.fault is not None:
                self._fail(self._body.fault)
        self._has_spoken = self._has_spoken or _says(events)
        return events

    @abstractmethod
    def _dispatch(self, sent: ServerSentEvent) -> None:
        """One event of the stream; those behind the end are of no effect."""

    def _fail(self, error: PenstockError) -> None:
        if not self.is_over:
            self.is_over = True
            if self._has_spoken or _says(self._events):  # a fault that comes first must be the first event
                self._report_usage()
            self._events.append(Failed(error))

    def _report_usage(self) -> None:
        if self._usage is not None:
            self._events.append(self._usage)


def _says(events: list[UpstreamEvent]) -> bool:
    return any(not isinstance(event, Notice) for event in events)
