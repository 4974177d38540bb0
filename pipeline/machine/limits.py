"""Where an answer ends before its model does: at a stop text, or at a number of tokens.

For upstreams that take a prompt and nothing else, these two promises of the API are kept here. Events go in and come out; behind the end that this
machine makes, nothing comes out, and whoever drives it closes the upstream.

- **stop**: the answer ends where the first stop text would be complete, and the stop text is not part of it. Only visible text counts, whatever
  thinking comes between its pieces. Text is held only while it can still be the beginning of a stop text, never more than the longest of them. An
  answer that has made its calls by then ends as an answer of calls.
- **tokens**: everything that the model writes counts: text, thinking, the names and arguments of calls. The delta that crosses the limit is cut at
  the last character that fits. The count is an estimate, as the usage figures are; a call that is open then stays open and must not be run.

`made_end` says whether the end is this machine's: what else has to be said at an end is then still unsaid.
"""

from collections.abc import Sequence
from typing import Protocol, Self

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


class TokenCount(Protocol):
    """Counts the tokens of a text that comes in pieces."""

    @property
    def total(self) -> int:
        """Tokens so far."""
        ...

    def add(self, text: str) -> None:
        """The next piece."""
        ...

    def within(self, limit: int) -> bool:
        """Whether `total` is no more than a limit; quicker than `total`."""
        ...

    def copy(self) -> Self:
        """The same count, to be continued on its own."""
        ...


class LimitsMachine:
    """Ends one answer at the first of its limits.

    >>> machine = LimitsMachine(stop=("END",))
    >>> machine.feed([TextDelta("one E")]), machine.feed([TextDelta("ND two")])
    ([TextDelta(text='one ')], [Finish(reason=<FinishReason.STOP: 'stop'>, raw='stop text', stop='END')])
    """

    def __init__(self, stop: Sequence[str] = (), max_tokens: int | None = None, count: TokenCount | None = None) -> None:
        self._stops = tuple(stop)
        self._max_tokens = max_tokens if count is not None else None
        self._count = count
        self.made_end = False
        self._held = ""
        self._open_call: str | None = None
        self._has_calls = False
        self._out: list[Event] = []

    def feed(self, batch: Sequence[Event]) -> list[Event]:
        """The events up to the end; empty for silence, and behind the end."""
        out: list[Event] = []
        self._out = out
        for event in batch:
            if self.made_end:
                break
            if isinstance(event, TextDelta) and self._stops:
                self._text(event.text)
            else:
                self._other(event)
        return out

    def _text(self, piece: str) -> None:
        text = self._held + piece
        self._held = ""
        found = _first_stop(text, self._stops, len(text) - len(piece))
        if found is not None:
            at, stop = found
            self._say(text[:at])
            self._end(Finish(FinishReason.TOOL_CALLS if self._has_calls else FinishReason.STOP, "stop text", stop))
            return
        keep = _held_chars(text, self._stops)
        self._held = text[len(text) - keep :]
        self._say(text[: len(text) - keep])

    def _say(self, text: str) -> None:
        if text:
            self._pass(TextDelta(text), text)

    def _other(self, event: Event) -> None:
        # a stop text does not reach over a call or the end
        if self._held and isinstance(event, ToolCallStart | Finish | Failed):
            held, self._held = self._held, ""
            self._say(held)
        match event:
            case TextDelta(text) | ThinkingDelta(text) | RefusalDelta(text):
                self._pass(event, text)
            case ToolCallStart(_, _, name):
                self._pass(event, name)
                self._open_call = name
            case ToolCallDelta(_, arguments):
                self._pass(event, arguments)
            case ToolCallEnd():
                self._open_call = None
                self._has_calls = True
                self._pass(event, "")
            case _:
                self._pass(event, "")

    def _pass(self, event: Event, text: str) -> None:
        """Let an event out; one that has more text than fits ends the answer."""
        if self.made_end:
            return
        if self._count is None or self._max_tokens is None or not text:
            self._out.append(event)
            return
        before = self._count.copy()
        self._count.add(text)
        if self._count.within(self._max_tokens):
            self._out.append(event)
            return
        fitting = text[: _fitting_chars(text, before, self._max_tokens)]
        if fitting and not isinstance(event, ToolCallStart):
            self._out.append(_shortened(event, fitting))
        if self._open_call is not None:
            self._out.append(Notice("call_cut", f"the token limit ended the answer inside a call of {self._open_call}; the call was not completed"))
        self._end(Finish(FinishReason.LENGTH, "token limit"))

    def _end(self, finish: Finish) -> None:
        if not self.made_end:
            self.made_end = True
            self._out.append(finish)


def _first_stop(text: str, stops: Sequence[str], seen: int) -> tuple[int, str] | None:
    """The stop text that is complete first, and where it begins; of two that end at one place, the longer. None is whole in the first `seen`."""
    found: list[tuple[int, int, str]] = []
    for stop in stops:
        at = text.find(stop, max(0, seen - len(stop) + 1))
        if at >= 0:
            found.append((at + len(stop), at, stop))
    return min(found)[1:] if found else None


def _held_chars(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may still be the beginning of a stop text."""
    longest = 0
    for stop in stops:
        at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
        while at >= 0 and len(text) - at > longest:
            if stop.startswith(text[at:]):
                longest = len(text) - at
                break
            at = text.find(stop[0], at + 1)
    return longest


def _fitting_chars(text: str, count: TokenCount, limit: int) -> int:
    """The most characters of the text with which the count stays within the limit."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        trial = count.copy()
        trial.add(text[:middle])
        low, high = (middle, high) if trial.total <= limit else (low, middle - 1)
    return low


def _shortened(event: Event, text: str) -> Event:
    match event:
        case ThinkingDelta():
            return ThinkingDelta(text)
        case ToolCallDelta(index, _):
            return ToolCallDelta(index, text)
        case RefusalDelta():
            return RefusalDelta(text)
        case _:
            return TextDelta(text)
