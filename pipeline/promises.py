"""What the gateway keeps for an upstream that takes nothing but a prompt: the calls in its text, and the promises of the API.

Theory of operation: `checker_of` reads what a request wants of its answer's text before anything is sent. `PromptReader` is then one synchronous
machine, fed with the upstream's lists: the marker machine finds thinking and calls, or a simpler one passes calls that came as such. Behind it stand,
where the request asks for it, the machines that see to JSON, to a required call and to the limits, in this order. So a stop text is looked for in
what the client is shown, without a fence.

Where there are limits, each event passes all machines before the next one does, so that the end finds the others where they stood at that event,
however the events came in lists. When the limits have made the end, the others are asked what they have to say at it.
"""

from collections.abc import Callable, Sequence

from pipeline.events import Event, Failed, Finish, UpstreamEvent
from pipeline.machine.answer import AnswerMachine, Markup
from pipeline.machine.json_answer import Checker, JsonAnswerMachine
from pipeline.machine.limits import LimitsMachine, TokenCount
from pipeline.machine.native_answer import NativeAnswerMachine
from pipeline.machine.tool_choice import ToolChoiceMachine
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.machine.written import WrittenCall
from pipeline.request import Request, ToolMode


def checker_of(request: Request) -> Checker | None:
    """What the text of the answer has to be, None where it may be anything; raises RequestError for a schema that cannot be used."""
    answer_format = request.options.answer_format
    return None if answer_format.kind == "text" else Checker(answer_format)


class PromptReader:
    """Reads one answer.

    `count` is a fresh one of its own; `written` is given the calls as the model wrote them. Without `writes_markers` calls come in a field of their
    own, and all text is text.
    """

    def __init__(
        self,
        request: Request,
        checker: Checker | None,
        *,
        new_id: Callable[[], str],
        count: TokenCount,
        policy: ToolPolicy,
        markup: Markup,
        strict_tool_choice: bool = False,
        written: list[WrittenCall] | None = None,
        writes_markers: bool = True,
    ) -> None:
        options, choice = request.options, request.tool_choice
        # told not to call, the model calls nothing that was offered
        tools = () if choice.mode is ToolMode.NONE else request.tools
        self._answer: AnswerMachine | NativeAnswerMachine
        if writes_markers:
            self._answer = AnswerMachine(
                new_id=new_id, tools=tools, policy=policy, markup=markup, parallel=options.parallel_tool_calls, written=written
            )
        else:
            self._answer = NativeAnswerMachine(new_id=new_id, tools=tools, policy=policy, parallel=options.parallel_tool_calls, written=written)
        self._watchers: list[JsonAnswerMachine | ToolChoiceMachine] = []
        if checker is not None:
            self._watchers.append(JsonAnswerMachine(checker, must_hold=not request.stream))
        if choice.mode in (ToolMode.REQUIRED, ToolMode.FUNCTION):
            self._watchers.append(ToolChoiceMachine(choice, strict=strict_tool_choice))
        has_limits = bool(options.stop) or options.max_tokens is not None
        self._limits = LimitsMachine(options.stop, options.max_tokens, count) if has_limits else None

    def feed(self, batch: list[UpstreamEvent]) -> list[Event]:
        """The events of one list; nothing comes behind the one that ends the answer."""
        events = self._answer.feed(batch)
        if self._limits is None:
            return self._watched(events)
        made: list[Event] = []
        for event in events:
            made += self._limits.feed(self._watched([event]))
            if self._limits.made_end:
                return self._ended(made)
            if made and isinstance(made[-1], Finish | Failed):
                break
        return made

    def _watched(self, events: list[Event]) -> list[Event]:
        for watcher in self._watchers:
            events = watcher.feed(events)
        return events

    def _ended(self, events: Sequence[Event]) -> list[Event]:
        made = list(events)
        for watcher in self._watchers:
            if made and isinstance(last := made[-1], Finish):
                made[-1:] = watcher.ended(last)
        return made
