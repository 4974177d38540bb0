"""The usage meter: counts an answer as it passes to the emitter, and gives way to what the upstream measured.

Estimated tokens count the whole assembled prompt, and of the answer the visible text, the thinking, and the names and arguments of calls. The
prompt is kept and looked at when a report is asked for, which an upstream that measures never needs.

An answer that is asked for a second time costs what both attempts do, each as it was measured or estimated; the sum is estimated if either is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pipeline.events import Event, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart, UsageReport
from pipeline.usage.estimate import CharacterCount, Counted, Method, PatternCount, new_count, tokens_in


class UsageMeter:
    """One answer's count.

    >>> meter = UsageMeter("What is the capital of France?")
    >>> _ = meter.feed([TextDelta("The capital of France "), TextDelta("is Paris.")])
    >>> meter.report()
    UsageReport(prompt_tokens=7, completion_tokens=7, reasoning_tokens=0, cached_tokens=0, estimated=True)
    """

    def __init__(self, prompt: str = "", method: Method = "calibrated", *, counted: Counted | None = None) -> None:
        """`counted` is what somebody has counted of the same prompt already; by another method it is of no use."""
        self._prompt = prompt
        self._prompt_tokens = counted.tokens if counted is not None and counted.method == method else None
        self._method: Method = method
        self._answer = new_count(method)
        self._thinking = new_count(method)
        self._measured: UsageReport | None = None
        self._before: UsageReport | None = None

    def ask_again(self) -> None:
        """The prompt is sent once more: what follows is counted beside what was."""
        self._before = self.report()
        self._measured = None
        self._answer, self._thinking = new_count(self._method), new_count(self._method)

    def new_count(self) -> PatternCount | CharacterCount:
        """A count of its own, by the same measure, for who has to know when a number of tokens is reached."""
        return new_count(self._method)

    def feed(self, batch: list[Event]) -> list[Event]:
        """Count a list and pass it on as it is."""
        self.count(batch)
        return batch

    def count(self, events: Sequence[Event]) -> None:
        """Count events."""
        answer: list[str] = []
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                answer.append(event.text)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]  # `type() is` is the quick test
            elif kind is ThinkingDelta:
                self._thinking.add(event.text)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(event, ToolCallDelta):
                answer.append(event.arguments)
            elif isinstance(event, ToolCallStart):
                answer.append(event.name)
            elif isinstance(event, UsageReport):
                self._measured = event
        if answer:
            self._answer.add("".join(answer))

    def report(self) -> UsageReport:
        """What was used so far: as measured by the upstream, else estimated.

        An upstream may measure the prompt at the beginning and the answer at its end: of one that was cut, the answer's share is estimated.
        """
        now, answered, thought = self._measured, self._answered, self._thinking.total
        if now is None:
            now = UsageReport(self._asked(), answered, reasoning_tokens=thought)
        elif not now.completion_tokens and answered:
            now = msgspec.structs.replace(now, completion_tokens=answered, reasoning_tokens=thought, estimated=True, prompt_estimated=now.estimated)
        return now if self._before is None else _sum(self._before, now)

    @property
    def completion_tokens(self) -> int:
        """The answer's tokens so far, as `report` has them; the prompt is not looked at."""
        before = 0 if self._before is None else self._before.completion_tokens
        return before + ((0 if self._measured is None else self._measured.completion_tokens) or self._answered)

    @property
    def _answered(self) -> int:
        return self._answer.total + self._thinking.total

    def _asked(self) -> int:
        if self._prompt_tokens is None:
            self._prompt_tokens = tokens_in(self._prompt, self._method)
        return self._prompt_tokens


def _sum(one: UsageReport, other: UsageReport) -> UsageReport:
    return UsageReport(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cached_tokens + other.cached_tokens,
        estimated=one.estimated or other.estimated,
        extra=_both(one.extra, other.extra),
    )


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What the upstream wrote beside its counts: numbers add up, of anything else the later one stays."""
    return {**one, **{name: _added(one[name], value) if name in one else value for name, value in other.items()}}


def _added(one: object, other: object) -> object:
    if type(one) in (int, float) and type(other) in (int, float):
        return one + other  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    return other
