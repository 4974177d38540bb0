"""An answer in which a call was required: at the end, say whether it is there.

For upstreams that take a prompt and nothing else, where `tool_choice` can only be asked for. Everything passes. At a proper end without the call that
was required, a Notice says so, or, where the operator is strict, the answer fails, so that it can be asked for again.
"""

from collections.abc import Sequence

from pipeline.errors import AnswerUnsatisfied
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, ToolCallStart
from pipeline.request import ToolChoice, ToolMode


class ToolChoiceMachine:
    """Watches one answer.

    >>> machine = ToolChoiceMachine(ToolChoice(ToolMode.REQUIRED), strict=False)
    >>> [type(event).__name__ for event in machine.feed([Finish()])]
    ['Notice', 'Finish']
    """

    def __init__(self, choice: ToolChoice, *, strict: bool) -> None:
        self._choice = choice
        self._strict = strict
        self._is_kept = False

    def feed(self, batch: Sequence[Event]) -> list[Event]:
        """The events of one list."""
        made: list[Event] = []
        for event in batch:
            if isinstance(event, Finish):
                made += self.ended(event)
                continue
            if isinstance(event, ToolCallStart):
                self._is_kept = self._is_kept or self._choice.name in (None, event.name)
            made.append(event)
        return made

    def ended(self, finish: Finish) -> list[Event]:
        """What is said at an end, this machine's or another's: the finish, or what stands for it."""
        # an answer that its token limit cut, or a filter, promised nothing more
        if self._is_kept or finish.reason not in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            return [finish]
        wanted = f"a call of {self._choice.name}" if self._choice.mode is ToolMode.FUNCTION else "a tool call"
        if self._strict:
            return [Failed(AnswerUnsatisfied(f"The model did not make {wanted}.", code="tool_choice_unsatisfied"))]
        return [Notice("tool_choice_unsatisfied", f"tool_choice asked for {wanted}, and the model made none"), finish]
