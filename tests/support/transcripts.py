"""Event streams in the form in which they are compared: adjacent deltas of one kind merged."""

from collections.abc import Iterable

from pipeline.events import Event, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta


def merge(events: Iterable[Event]) -> list[Event]:
    """The same stream with each run of deltas of one kind, and of one call, as one delta."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            merged[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ThinkingDelta) and isinstance(last, ThinkingDelta):
            merged[-1] = ThinkingDelta(last.text + event.text)
        elif isinstance(event, RefusalDelta) and isinstance(last, RefusalDelta):
            merged[-1] = RefusalDelta(last.text + event.text)
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCallDelta) and event.index == last.index:
            merged[-1] = ToolCallDelta(last.index, last.arguments + event.arguments)
        else:
            merged.append(event)
    return merged
