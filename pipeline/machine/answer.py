"""The answer of one upstream whose model writes its tool calls as text: lists of events in, lists of events out.

Text and thinking go through a field machine each; calls of both are numbered together. While a call of one field is open, what the other field says
waits for its end. The end of the stream decides what was undecided: `Finish` ends it properly, and a call that is still open then is a fault;
`Failed` is a cut, and nothing is completed. A piece in which nothing can begin passes as the event that it was: that is the path of almost every
delta, and it costs one search for one character.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    NativeToolCall,
    Notice,
    Progress,
    TextDelta,
    ThinkingDelta,
    UpstreamEvent,
    UsageReport,
)
from pipeline.machine.calls import Calls
from pipeline.machine.forms.dialects import DIALECTS
from pipeline.machine.forms.native import native_call
from pipeline.machine.grammar import COMPOSER, Grammar
from pipeline.machine.thinking import FieldMachine
from pipeline.machine.tools.inventory import Inventory, ToolPolicy
from pipeline.machine.written import WrittenCall
from pipeline.request import Tool


class Markup(msgspec.Struct, frozen=True):
    """How one upstream's answers are written.

    `dialects` are the names of further dialects of tool calls that are read, and `trigger` the text of this request's own behind which some of them
    alone count. `hidden_prefix_hold_chars` leading characters of the text field are held, and dropped when a `final` token comes. Without `markers`
    Composer's own markers and tokens are text like any other.
    """

    dialects: tuple[str, ...] = ()
    trigger: str = ""
    hidden_prefix_hold_chars: int = 0
    markers: bool = True


TAUGHT = "invoke"
"""The dialect that a prompt with a trigger teaches."""


def taught(markup: Markup, trigger: str = "") -> Markup:
    """The same, for the answer to a prompt that teaches no markers of Composer's: calls are asked for behind `trigger`, and without one not at all.

    What the operator has switched on is read beside that.

    >>> taught(Markup(), "[[k3f9]]")
    Markup(dialects=('invoke',), trigger='[[k3f9]]', hidden_prefix_hold_chars=0, markers=False)
    """
    asked = (TAUGHT,) if trigger else ()
    return Markup(dialects=tuple(dict.fromkeys((*asked, *markup.dialects))), trigger=trigger, markers=False)


def _grammar(markup: Markup) -> Grammar:
    if markup.markers and not markup.dialects:
        return COMPOSER
    return Grammar([DIALECTS[name] for name in markup.dialects], markup.trigger, markers=markup.markers)


class AnswerMachine:
    """One answer; `new_id` makes the ids of its tool calls. What the model wrote, call by call, is added to `written` where that is given.

    >>> machine = AnswerMachine(tools=[Tool("Glob")], new_id=lambda: "call_1")
    >>> text = "<|tool_calls_begin|><|tool_call_begin|>Glob<|tool_call_end|><|tool_calls_end|>"
    >>> for event in machine.feed([TextDelta("On it. " + text), Finish()]):
    ...     print(event)
    TextDelta(text='On it. ')
    ToolCallStart(index=0, id='call_1', name='Glob')
    ToolCallDelta(index=0, arguments='{}')
    ToolCallEnd(index=0)
    Finish(reason=<FinishReason.TOOL_CALLS: 'tool_calls'>, raw=None)
    """

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        tools: Sequence[Tool] = (),
        policy: ToolPolicy | None = None,
        markup: Markup | None = None,
        parallel: bool = True,
        written: list[WrittenCall] | None = None,
    ) -> None:
        markup = markup or Markup()
        grammar = _grammar(markup)
        self._calls = Calls(Inventory(tools), policy or ToolPolicy(), new_id, parallel=parallel, written=written)
        self._text = FieldMachine(self._calls, grammar, hidden_prefix_chars=markup.hidden_prefix_hold_chars)
        self._thinking = FieldMachine(self._calls, grammar, thinking=True)
        self._openers = grammar.openers
        self._calls.on_release = self._drain
        self._waiting: deque[UpstreamEvent] = deque()
        self._waiting_chars = 0
        self._thought = False

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        """The events that one upstream read became, after the machines; empty for silence, and after `Failed`."""
        calls, text, thinking, openers = self._calls, self._text, self._thinking, self._openers
        events: list[Event] = []
        if calls.failed:
            return events
        calls.events = events
        for event in batch:
            if openers is not None and isinstance(event, TextDelta | ThinkingDelta) and openers.search(event.text):
                self._take(event)
            elif calls.holder is None and type(event) is TextDelta and text.is_plain and "<" not in event.text:
                events.append(event)
            elif calls.holder is None and type(event) is ThinkingDelta and thinking.is_plain and "<" not in event.text:
                self._thought = True
                events.append(event)
            elif calls.holder is text and type(event) is TextDelta and text.streams(event.text):
                pass  # a piece of a long argument: it has left, and the call is still open
            else:
                self._take(event)
            if calls.failed:
                return self._up_to_failed(events)
        return events

    def _take(self, event: UpstreamEvent) -> None:
        """Give an event to its field; what belongs elsewhere waits while a call is open, since calls do not nest and hold no text."""
        field = self._text if isinstance(event, TextDelta) else self._thinking if isinstance(event, ThinkingDelta) else None
        if isinstance(event, Finish | Failed):
            self._finish(event)
        elif self._calls.holder is not None and field is not self._calls.holder and not isinstance(event, Notice | UsageReport):
            self._waiting.append(event)
            self._waiting_chars += len(event.text) if isinstance(event, TextDelta | ThinkingDelta) else 0
            if self._waiting_chars > self._calls.policy.max_argument_bytes:
                self._calls.fail(ProtocolViolation("A tool call stays open while the answer goes on beside it.", code="tool_call_too_large"))
        elif isinstance(event, TextDelta | ThinkingDelta) and field is not None:
            self._thought = self._thought or field is self._thinking
            field.feed(event.text)
        elif isinstance(event, NativeToolCall):
            native_call(self._calls, event)
            self._calls.has_read()
        elif not isinstance(event, Progress):
            self._calls.events.append(event)

    def _drain(self) -> None:
        """A call has ended: what the other field said meanwhile leaves, in order, until that opens a call in its turn."""
        self._thinking.resume()
        self._text.resume()
        waiting, self._waiting = self._waiting, deque()
        self._waiting_chars = 0
        for event in waiting:
            if not self._calls.failed:
                self._take(event)

    def _finish(self, event: Finish | Failed) -> None:
        calls = self._calls
        proper = isinstance(event, Finish)
        while calls.holder is not None and not calls.failed:
            (self._text if calls.holder is self._text else self._thinking).end(proper=proper)
        self._end(proper=proper)
        if isinstance(event, Failed):
            calls.fail(event.error)
        elif not calls.failed:
            called = calls.count and event.reason is FinishReason.STOP
            calls.events.append(Finish(FinishReason.TOOL_CALLS, event.raw) if called else event)

    @staticmethod
    def _up_to_failed(events: list[Event]) -> list[Event]:
        """Nothing comes after `Failed`, whatever the machines still said while they stopped."""
        at = next((number for number, event in enumerate(events) if isinstance(event, Failed)), len(events))
        return events[: at + 1]

    def _end(self, *, proper: bool) -> None:
        self._thinking.end(proper=proper)
        self._text.end(proper=proper)
        if proper and self._thought and not (self._text.has_spoken or self._thinking.has_spoken or self._calls.count):
            self._calls.say_empty()
