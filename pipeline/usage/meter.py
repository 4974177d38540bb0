"""The usage meter: counts an answer as it passes to the emitter, and gives way to what the upstream measured.

Estimated tokens count the whole assembled prompt, and of the answer the visible text, the thinking, and the names and arguments of calls.
"""

from collections.abc import Sequence

from pipeline.events import Event, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart, UsageReport
from pipeline.usage.estimate import tokens_of


class UsageMeter:
    """One answer's count.

    >>> meter = UsageMeter(prompt_characters=40)
    >>> _ = meter.feed([TextDelta("Hello, world")])
    >>> meter.report()
    UsageReport(prompt_tokens=10, completion_tokens=3, reasoning_tokens=0, cached_tokens=0, estimated=True)
    """

    def __init__(self, prompt_characters: int) -> None:
        self._prompt_characters = prompt_characters
        self._answer_characters = 0
        self._thinking_characters = 0
        self._measured: UsageReport | None = None

    def feed(self, batch: list[Event]) -> list[Event]:
        """Count a list and pass it on as it is."""
        self.count(batch)
        return batch

    def count(self, events: Sequence[Event]) -> None:
        """Count events."""
        answer = thinking = 0
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                answer += len(event.text)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]  # `type() is` is the quick test
            elif kind is ThinkingDelta:
                thinking += len(event.text)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(event, ToolCallDelta):
                answer += len(event.arguments)
            elif isinstance(event, ToolCallStart):
                answer += len(event.name)
            elif isinstance(event, UsageReport):
                self._measured = event
        self._answer_characters += answer
        self._thinking_characters += thinking

    def report(self) -> UsageReport:
        """What was used so far: as measured by the upstream, else estimated."""
        if self._measured is not None:
            return self._measured
        reasoning = tokens_of(self._thinking_characters)
        return UsageReport(tokens_of(self._prompt_characters), tokens_of(self._answer_characters) + reasoning, reasoning_tokens=reasoning)
