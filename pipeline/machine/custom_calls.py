r"""Calls of custom tools that the upstream was offered as functions, turned back into custom calls.

Theory of operation: events come in, the same events go out, except in a function call of one of `names`. Its start is marked as that of a custom
call, and of its arguments, `{"input": "..."}`, only the characters of that one string go on, decoded. One delta in is at most one delta out, and what
is certain goes on at once: the object up to the opening quote is held, and then half an escape or half of a surrogate pair, nothing else.

Models write other things as well, and each has one reading. What stands beside the input, before or behind it, is left out; the first of two inputs
stays; an input that is no string passes as its JSON text. Line ends and escapes that JSON does not allow in a string are taken as the characters that
they are. Arguments that are no object, or one without an input, are the raw text itself. Each of these is named by a Notice before the call's end.

An input whose closing quote never came is half of one, whatever the upstream says of its call: half a patch must not be applied. So the answer fails
there, with the call open; and so it does at the end of arguments that are the beginning of an object and nothing else.

Invariants: nothing raises; the output is the same however the arguments are cut; time is linear. A call whose end does not come stays open. Left
alone: calls that are custom already, other functions' calls, and whether an input matches the tool's grammar.

::

    BEFORE ─"input": "─▶ INSIDE ─"─▶ BEHIND
       └─ no such object ─▶ RAW
"""

import re
from collections.abc import Sequence, Set
from enum import Enum, auto

from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, Notice, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.values.json_object import ObjectReader, State
from pipeline.machine.values.json_source import string_of, type_of
from pipeline.request import WRAPPED_INPUT

MAX_HELD_CHARS = 65_536
"""How far into the arguments the input may begin; arguments in which it does not are raw text."""

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Place(Enum):
    """Where the next character of the arguments falls."""

    BEFORE = auto()
    INSIDE = auto()
    BEHIND = auto()
    RAW = auto()


class WrappedInput:
    r"""The raw text inside `{"input": "..."}`, while that arrives. It is the sink of the object's reader.

    >>> wrapped = WrappedInput("ApplyPatch")
    >>> [wrapped.feed(piece) for piece in ('{"in', 'put": "a', 'b\\', 'nc', '"}')], wrapped.end(), wrapped.notices
    (['', 'a', 'b', '\nc', ''], '', [])
    """

    def __init__(self, name: str) -> None:
        """`name` is the tool's, for the notices."""
        self.place = Place.BEFORE
        self.name = name
        self._reader = ObjectReader(self, MAX_HELD_CHARS)
        self._notices: dict[str, Notice] = {}
        self._head: list[str] = []  # all that came, while it may still turn out to be raw text
        self._head_chars = 0
        self._half = ""  # what the reader cannot take before more of it comes
        self._made: list[str] = []
        self._has_members = False
        self._has_input = False
        self._is_input = False

    @property
    def notices(self) -> list[Notice]:
        """What was repaired or left out so far; each kind once."""
        return list(self._notices.values())

    def feed(self, arguments: str) -> str:
        """The characters of the input that are certain with the next piece of the arguments."""
        if self.place is Place.RAW:
            return arguments
        self._made = []
        rest = self._begin(arguments) if self.place is Place.BEFORE else arguments
        if rest:
            self._read(rest)
        return "".join(self._made)

    def end(self) -> str:
        """The call is complete: what was held of it."""
        if self.place is Place.BEFORE and not self._reader.is_over and self._reader.state is not State.START:
            self.place = Place.INSIDE
        if self.place is Place.BEFORE:
            self._raw("")
            return "".join(self._made)
        if self.place is Place.INSIDE:
            self._say("call_cut", "the end of its input never came; the call was not completed")
            return ""
        if self.place is Place.BEHIND and not self._reader.is_over:
            self._say("custom_input_repaired", "the end of its arguments was missing, and was supplied")
        return ""

    # -- what the reader tells

    def member(self, key: str) -> bool:
        """A member begins; the first input is wanted piece by piece."""
        self._has_members = True
        self._is_input = key == WRAPPED_INPUT and not self._has_input
        if self._is_input:
            self._has_input = True
        elif key == WRAPPED_INPUT:
            self._say("argument_repeated", "its input was given twice, and the first one stays")
        else:
            self._say("custom_argument_dropped", "what stood beside its input was left out")
        return self._is_input

    def begin_string(self) -> None:
        """The input is a string, as it should be."""
        self.place = Place.INSIDE
        self._head = []

    def string(self, source: str) -> None:
        """More of it, in whole escapes."""
        text = string_of(f'"{source}"') if "\\" in source else source
        self._made.append(source if text is None else text)

    def end_string(self) -> None:
        """The input is complete."""
        self.place = Place.BEHIND

    def value(self, source: str) -> bool:
        """The input is of another type, or this is not the input."""
        is_json = type_of(source) is not None
        if is_json and self._is_input:
            self._say("argument_type", "its input is no string, and was passed on as JSON")
            self._made.append(source)
            self.place = Place.BEHIND
        return is_json

    # -- steps

    def _read(self, arguments: str) -> None:
        source, at = self._half + arguments, 0
        while True:
            at = self._reader.read(source, at)
            if self.place is not Place.INSIDE or self._reader.state is not State.BROKEN:
                break
            at = self._take_as_it_is(source, at)
            self._reader.state = State.STRING
        self._half = source[at:]
        if self.place is Place.BEHIND and self._reader.is_over:
            if self._reader.state is not State.DONE or self._half.strip():
                self._say("custom_argument_dropped", "what stood beside its input was left out")
            self._half = ""

    def _take_as_it_is(self, source: str, at: int) -> int:
        """One character that JSON does not allow in a string; the position behind it."""
        half = _HALF_PAIR.match(source, at)
        if half is not None:
            self._say("mended_text", "half of a surrogate pair in its input was replaced")
            self._made.append("\ufffd")
            return half.end()
        self._say("custom_input_repaired", "its input held line ends or escapes that JSON does not allow; they were taken as they are")
        self._made.append(source[at])
        return at + 1

    def _begin(self, arguments: str) -> str:
        """Read on towards the input; what is left of the arguments when it has begun."""
        room = MAX_HELD_CHARS - self._head_chars
        head, rest = arguments[:room], arguments[room:]
        self._head.append(head)
        self._head_chars += len(head)
        self._read(head)
        return rest if self._is_wrapped() else self._raw(rest)

    def _is_wrapped(self) -> bool:
        """Whether what has come is the head of an object with an input, or still may be."""
        if self.place is not Place.BEFORE:
            return True
        if self._reader.state is State.DONE and not self._has_members:
            self.place = Place.BEHIND
            self._say("custom_input_repaired", "it came without an input, which was taken as an empty one")
            self._read("")
            return True
        return not self._reader.is_over and self._head_chars < MAX_HELD_CHARS

    def _raw(self, rest: str) -> str:
        """All that came is the input itself; nothing is left."""
        self.place = Place.RAW
        self._made = [*self._head, rest]
        self._head = []
        self._notices = {}
        if any(self._made):
            self._say("custom_input_as_is", "its arguments do not hold an input, and were passed on as raw text")
        return ""

    def _say(self, code: str, detail: str) -> None:
        self._notices.setdefault(code, Notice(code, f"{self.name}: {detail}"))


class CustomCalls:
    """Feed events, get events; the function calls of `names` are custom calls then.

    >>> calls = CustomCalls({"ApplyPatch"})
    >>> calls.feed([ToolCallStart(0, "call_1", "ApplyPatch"), ToolCallDelta(0, '{"input": "*** Begin'), ToolCallDelta(0, ' Patch"}'), ToolCallEnd(0)])
    ... # doctest: +NORMALIZE_WHITESPACE
    [ToolCallStart(index=0, id='call_1', name='ApplyPatch', custom=True), ToolCallDelta(index=0, arguments='*** Begin'),
     ToolCallDelta(index=0, arguments=' Patch'), ToolCallEnd(index=0)]
    """

    def __init__(self, names: Set[str]) -> None:
        """`names` are the custom tools that the upstream knows as functions."""
        self._names = names
        self._index = 0
        self._input: WrappedInput | None = None
        self._is_over = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The next events; nothing comes behind a call that is half."""
        made: list[Event] = []
        for event in events:
            if self._is_over:
                break
            if self._input is None:
                made.append(self._begun(event) if type(event) is ToolCallStart else event)
            else:
                self._inside(event, self._input, made)
        return made

    def _begun(self, start: ToolCallStart) -> ToolCallStart:
        if start.custom or start.name not in self._names:
            return start
        self._index = start.index
        self._input = WrappedInput(start.name)
        return ToolCallStart(start.index, start.id, start.name, custom=True)

    def _inside(self, event: Event, wrapped: WrappedInput, made: list[Event]) -> None:
        """An event while a call of ours is open."""
        match event:
            case ToolCallDelta(index, arguments) if index == self._index:
                self._send(wrapped.feed(arguments), made)
                return
            case ToolCallEnd(index) if index == self._index:
                self._send(wrapped.end(), made)
                self._close(wrapped, made)
                if wrapped.place is Place.INSIDE:
                    self._is_over = True
                    event = Failed(StreamCut(f"The call of {wrapped.name} ended inside its input.", code="tool_call_cut"))
            case Finish() | Failed():
                self._close(wrapped, made)
            case _:
                pass
        made.append(event)

    def _send(self, text: str, made: list[Event]) -> None:
        if text:
            made.append(ToolCallDelta(self._index, text))

    def _close(self, wrapped: WrappedInput, made: list[Event]) -> None:
        made += wrapped.notices
        self._input = None
