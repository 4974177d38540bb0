"""One field of the upstream's answer: prose with tool calls in it, and the token behind which the visible answer begins.

Composer sends the visible text and the thinking in fields of their own, and each has a machine of its own; a call never spans the two. The visible
answer may arrive inside the thinking field, behind `</think>` or `<｜final｜>`: text before the token is thinking, text behind it, in this and later
pieces, is the answer. In the text field such a token counts only before the first visible character. White space and a second token right behind a
token are swallowed with it, and so is the closing `<｜/final｜>` of an opening one. Anywhere else they are text: people write about them.

White space behind Composer's calls goes with them. A call of another dialect may stand inside a sentence: there the white space behind it stays if
text of the answer stands on both sides. Between calls and at the end it goes.

With a hidden prefix of n characters, up to n leading characters of the text field are held, because some models think aloud there and only then say
`<｜final｜>`: what was held is dropped, with a Notice, when that token comes, and passed on as soon as it cannot.
"""

import re
from enum import Enum, auto

from pipeline.events import TextDelta, ThinkingDelta
from pipeline.machine.calls import Calls
from pipeline.machine.forms.dialect_calls import DialectCall
from pipeline.machine.grammar import COMPOSER, Grammar
from pipeline.machine.hidden_prefix import HiddenPrefix
from pipeline.machine.markers import MAX_SPACE, TOKENS, TOOL_MARKERS, Kind, Marker
from pipeline.machine.tape import Tape
from pipeline.machine.toolcalls import CallMachine

_VISIBLE = re.compile(r"\S")


class State(Enum):
    """Where the next character of the field falls."""

    PROSE = auto()
    BEHIND_TOKEN = auto()
    BLOCK = auto()
    CALL = auto()
    DIALECT_CALL = auto()
    BEHIND_BLOCK = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.PROSE: {
        "text": State.PROSE,
        "token": State.BEHIND_TOKEN,
        "calls begin": State.BLOCK,
        "call begin": State.CALL,
        "call of a dialect": State.DIALECT_CALL,
    },
    State.BEHIND_TOKEN: {"second token": State.BEHIND_TOKEN, "other": State.PROSE},
    State.BLOCK: {"call begin": State.CALL, "calls end": State.BEHIND_BLOCK, "other": State.PROSE},
    State.CALL: {"end in block": State.BLOCK, "end": State.PROSE},
    State.DIALECT_CALL: {"end": State.BEHIND_BLOCK, "no call": State.PROSE},
    State.BEHIND_BLOCK: {"other": State.PROSE},
}


class FieldMachine:
    """Feed the field's pieces in order; events go to `calls.events`.

    `is_plain` is True while a piece without a '<' would come out as it went in, as the field's own kind of delta: the caller may pass it on itself.
    `has_spoken` is True once a visible character of the answer has left.
    """

    def __init__(self, calls: Calls, grammar: Grammar = COMPOSER, *, thinking: bool = False, hidden_prefix_chars: int = 0) -> None:
        self.state = State.PROSE
        self.is_plain = thinking
        self.has_spoken = False
        self._calls = calls
        self._tape = Tape()
        self._grammar = grammar
        self._is_thinking_field = thinking
        self._thinking = thinking
        self._awaits_token = True
        self._final_is_open = False
        self._tokens = 0
        self._hidden = HiddenPrefix(hidden_prefix_chars)
        self._said_stray = False
        self._gap: str | None = None  # the white space behind a call that the next text is to begin with
        self._is_running = False
        self._call: CallMachine | DialectCall | None = None
        self._opened = ""
        self._block_calls = 0
        self._block_is_text = False
        self._steps = {
            State.PROSE: self._prose,
            State.BEHIND_TOKEN: self._behind_token,
            State.BLOCK: self._block,
            State.CALL: self._read_call,
            State.DIALECT_CALL: self._read_dialect_call,
            State.BEHIND_BLOCK: self._behind_block,
        }

    def streams(self, piece: str) -> bool:
        """Pass a piece on that is plainly a part of the open call's string; False when it has to be read."""
        return self._call is not None and self._call.stream(piece)

    def feed(self, piece: str) -> None:
        """Consume the next piece, which is not empty."""
        if self.streams(piece):
            return
        self._tape.feed(piece)
        self._run()

    def resume(self) -> None:
        """Go on with a piece in the middle of which a call of the other field made this one wait."""
        if not self._is_running and self._tape.at < len(self._tape.text):
            self._run()

    def end(self, *, proper: bool) -> None:
        """The stream ended: at a proper end what was undecided is decided, at a cut it stays undone. May be said twice."""
        calls = self._calls
        self._tape.ended = proper
        if proper:
            self._run()
        if calls.holder is not None and calls.holder is not self:
            return  # what waited has opened a call: that one ends first, and then this field again
        fault = self._call.cut() if self._call is not None else None
        if self._call is not None:
            self._call = None
            calls.release()  # what waited leaves before the fault ends the answer
            if fault is not None:
                calls.fail(fault)
        elif self.state is State.BLOCK:
            self._leave_block(ended=True)
            self._run()
        rest = self._tape.take(len(self._tape.text))
        if rest:
            self._emit(rest)
        self._release()

    def _run(self) -> None:
        calls = self._calls
        self._is_running = True
        while not calls.failed and (calls.holder is None or calls.holder is self) and self._steps[self.state]():
            pass
        self._is_running = False
        nothing_held = self._tape.at == len(self._tape.text)
        passes = self._thinking or not (self._awaits_token or self._hidden.holds)
        self.is_plain = nothing_held and passes and self.state is State.PROSE and self._thinking == self._is_thinking_field

    # -- prose -----------------------------------------------------------------------------------------------------------------------------

    def _prose(self) -> bool:
        tape = self._tape
        marker = self._grammar.find(tape.text, tape.at)
        stop = marker.start if marker else len(tape.text)
        if stop > tape.at:
            self._emit(tape.take(stop))
        if marker is None or marker.kind is Kind.PARTIAL:
            return False
        if marker.kind is Kind.CALLS_BEGIN:
            self._enter_block(tape.take(marker.stop))
        elif marker.kind is Kind.CALL_BEGIN:
            self._begin_call(marker, "", in_block=False)
        elif marker.kind is Kind.DIALECT:
            self._begin_dialect_call(marker)
        elif marker.kind in TOKENS and (self._awaits_token or (self._hidden.holds and marker.kind is Kind.FINAL)):
            self._answer_begins(marker)
        elif marker.kind is Kind.FINAL_END and self._final_is_open:
            self._final_is_open = False
            tape.at = marker.stop
        else:
            if marker.kind in TOOL_MARKERS and not self._said_stray:
                self._said_stray = True
                self._calls.notice("marker_kept", "a tool marker stood where it means nothing and was kept as text")
            self._emit(tape.take(marker.stop))
        return True

    def _answer_begins(self, marker: Marker) -> None:
        if dropped := self._hidden.drop():
            self._calls.notice("hidden_prefix_dropped", f"{dropped} characters before the answer's token were dropped")
        self._thinking = self._awaits_token = False
        self._final_is_open = marker.kind is Kind.FINAL
        self._tokens = 1
        self._tape.at = marker.stop
        self._to("token")

    def _behind_token(self) -> bool:
        if not self._skip_to_visible():
            return False
        marker = COMPOSER.at(self._tape.text, self._tape.at)
        if marker is not None and marker.kind is Kind.PARTIAL and self._tape.ended is None:
            return False
        if marker is not None and marker.kind in TOKENS and self._tokens == 1:
            self._tokens += 1
            self._final_is_open = self._final_is_open or marker.kind is Kind.FINAL
            self._tape.at = marker.stop
            self._to("second token")
        else:
            self._to("other")
        return True

    # -- blocks of calls -------------------------------------------------------------------------------------------------------------------

    def _enter_block(self, opened: str) -> None:
        self._release()
        self._opened, self._block_calls, self._block_is_text = opened, 0, False
        self._gap = None
        self._to("calls begin")

    def _block(self) -> bool:
        """Inside a block, between calls: white space, the next call, or the block's end."""
        tape = self._tape
        found = _VISIBLE.search(tape.text, tape.at)
        space = (found.start() if found else len(tape.text)) - tape.at
        if not self._block_calls and space > MAX_SPACE:
            return self._leave_block()
        if found is None:
            if self._block_calls:
                tape.at = len(tape.text)
            return False
        marker = COMPOSER.at(tape.text, found.start())
        if marker is not None and marker.kind is Kind.PARTIAL and tape.ended is None:
            return False
        if marker is not None and marker.kind is Kind.CALL_BEGIN:
            self._begin_call(marker, self._opened if not self._block_calls else "", in_block=True)
        elif marker is not None and marker.kind is Kind.CALLS_END:
            source = tape.take(marker.stop)
            if self._block_is_text:
                self._emit(source)
            self._to("calls end")
        else:
            self._leave_block()
        return True

    def _leave_block(self, *, ended: bool = False) -> bool:
        """No call and no end of the block follows: before the first call the marker was text, behind one the block ends here."""
        if not self._block_calls:
            self._calls.notice("malformed_call", "a tool calls marker without a call behind it was passed as text")
            self._emit(self._opened)
        elif not self._block_is_text and (not ended or self._tape.ended):
            self._calls.notice("call_repaired", "the end marker of a block of tool calls was missing")
            self._skip_to_visible()
        self._to("other")
        return True

    def _behind_block(self) -> bool:
        start = self._tape.at
        is_over = self._skip_to_visible()
        if self._gap is not None:
            self._gap = (self._gap + self._tape.text[start : self._tape.at])[:MAX_SPACE]
        if not is_over:
            return False
        self._to("other")
        return True

    def _begin_call(self, marker: Marker, opened: str, *, in_block: bool) -> None:
        self._release()
        self._gap = None
        source = opened + self._tape.take(marker.stop)
        if self._thinking:
            self._calls.notice("call_in_thinking", "a tool call stood in the thinking, before the answer began")
        self._call = CallMachine(self._calls, self._tape, source, self._emit, in_block=in_block)
        self._to("call begin")

    def _begin_dialect_call(self, marker: Marker) -> None:
        self._release()
        if self._thinking:
            self._calls.notice("call_in_thinking", "a tool call stood in the thinking, before the answer began")
        self._gap = (self._gap or "") if self.has_spoken and not self._thinking else None
        dialect = self._grammar.dialects[marker.dialect]
        self._call = DialectCall(self._calls, self._tape, self._tape.take(marker.stop), self._emit, dialect)
        self._to("call of a dialect")

    def _read_dialect_call(self) -> bool:
        call = self._read()
        if call is None:
            return False
        self._to("no call" if call.was_text else "end")
        self._calls.release()
        return True

    def _read(self) -> CallMachine | DialectCall | None:
        """Read the call; the call itself once it is over."""
        call = self._call
        if call is None or not call.read():
            if call is not None and call.is_open:
                self._calls.holder = self
            return None
        self._call = None
        return call

    def _read_call(self) -> bool:
        call = self._read()
        if call is None:
            return False
        if call.in_block:
            self._block_is_text = self._block_is_text or (call.was_text and not self._block_calls)
            self._block_calls += 1
        self._to("end in block" if call.in_block and not call.was_prose else "end")
        self._calls.release()
        return True

    # -- the way out -----------------------------------------------------------------------------------------------------------------------

    def _emit(self, text: str) -> None:
        if not text:
            return
        if self._gap is not None:
            text, self._gap = self._gap + text, None
        if self._thinking:
            self._calls.events.append(ThinkingDelta(text))
            return
        visible = not self.has_spoken and _VISIBLE.search(text) is not None
        self._awaits_token = self._awaits_token and not visible
        if self._hidden.holds:
            text = self._hidden.hold(text)
            if not text:
                return
            visible = _VISIBLE.search(text) is not None
        self.has_spoken = self.has_spoken or visible
        self._calls.events.append(TextDelta(text))

    def _release(self) -> None:
        """What was held as a possible prefix leaves."""
        if text := self._hidden.release():
            self._emit(text)

    def _skip_to_visible(self) -> bool:
        """Drop white space; False when nothing else is there yet."""
        found = _VISIBLE.search(self._tape.text, self._tape.at)
        self._tape.at = found.start() if found else len(self._tape.text)
        return found is not None

    def _to(self, what: str) -> None:
        self.state = TRANSITIONS[self.state][what]
