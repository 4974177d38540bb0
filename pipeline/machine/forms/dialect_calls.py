"""One tool call in another dialect than Composer's: from behind its opening to its end.

All dialects are read alike, by their rows (`dialects`): a head that names the tool, a body, and what closes it. An object behind a named head
streams, as one behind Composer's separator does; the other bodies are read when they are complete. Inside a JSON string nothing is a marker. There
are no repairs here: these dialects are guesses of a model about somebody else's protocol, so a call that is not as its row says is text, or, once
its start has left, a failure.
"""

from collections.abc import Callable
from enum import Enum, auto

from pipeline.errors import StreamCut
from pipeline.machine.call_writer import Admission, CallWriter
from pipeline.machine.calls import Calls
from pipeline.machine.forms.bodies import Argument, read_json_fields
from pipeline.machine.forms.dialects import CALL_END, Body, Dialect
from pipeline.machine.forms.heads import MAX_HEAD_CHARS
from pipeline.machine.forms.marked_arguments import ends_arguments, named, read_marked_arguments
from pipeline.machine.tape import Tape
from pipeline.machine.tools.inventory import Malformed
from pipeline.machine.values.json_object import Members, ObjectReader
from pipeline.machine.values.json_object import State as ObjectState


class State(Enum):
    """Where in a call the next character falls."""

    HEAD = auto()
    OBJECT = auto()
    ARGUMENTS = auto()
    CLOSING = auto()
    DONE = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.HEAD: {"{": State.OBJECT, "marked arguments": State.ARGUMENTS, "no call": State.DONE, "failed": State.DONE},
    State.OBJECT: {"object complete": State.CLOSING, "no JSON": State.DONE, "failed": State.DONE},
    State.ARGUMENTS: {"end of the arguments": State.CLOSING, "failed": State.DONE},
    State.CLOSING: {"end": State.DONE, "not closed": State.DONE},
    State.DONE: {},
}


class DialectCall:
    """Reads one call; `source` is the opening, kept for the case that it turns out to be text."""

    in_block = False

    def __init__(self, calls: Calls, tape: Tape, source: str, emit_text: Callable[[str], None], dialect: Dialect) -> None:
        self.state = State.HEAD
        self.was_text = False
        self.was_prose = False
        self._calls = calls
        self._tape = tape
        self._source = [source]
        self._source_chars = 0
        self._emit_text = emit_text
        self._dialect = dialect
        self._call = CallWriter(calls)
        self._name = ""
        self._members = Members()
        self._object: ObjectReader | None = None
        self._arguments: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether its start has left, so that nothing else may leave before its end."""
        return self._call.index is not None and self.state is not State.DONE

    def stream(self, piece: str) -> bool:
        """No piece passes unread: an object is followed character by character."""
        return False

    def read(self) -> bool:
        """Consume what can be consumed; True when the call is over, False when more text is needed."""
        steps = {State.HEAD: self._head, State.OBJECT: self._read_object, State.ARGUMENTS: self._read_arguments, State.CLOSING: self._closing}
        while self.state is not State.DONE and steps[self.state]():
            pass
        self._call.flush()
        return self.state is State.DONE

    def cut(self) -> StreamCut | None:
        """The stream ended inside the call: nothing of it is completed, and what had not left is given back.

        Gives the fault that an answer has which ended properly all the same.
        """
        rest = self._tape.take(len(self._tape.text))
        if self.was_text:
            if rest:
                self._emit_text(rest)
        elif self._call.index is not None:
            return self._call.cut(proper=self._tape.ended is True)
        elif not self._call.is_dropped:
            self._source.append(rest)
            self._as_text("a tool call that did not end was passed as text")
        return None

    # -- the head --------------------------------------------------------------------------------------------------------------------------

    def _head(self) -> bool:
        tape, dialect = self._tape, self._dialect
        found = dialect.whole_head.match(tape.text, tape.at)
        if found is None:
            if tape.ended is not None or len(tape.text) - tape.at > MAX_HEAD_CHARS or not dialect.head_so_far.match(tape.text, tape.at):
                self.was_prose = True
                self._as_text("what begins a tool call was passed as text, since no call is behind it")
                self._to("no call")
            return False
        self._take(found.end())
        self._name = "" if dialect.body is Body.NAMED_OBJECT else next(name for name in found.groups() if name)
        if dialect.body is Body.ARGUMENTS:
            self._to("marked arguments")
            return True
        # with malformed = "text" nothing may leave before the whole call is known to be readable
        early = dialect.body is Body.OBJECT and self._admit(self._name) and self._calls.policy.malformed is not Malformed.TEXT
        if self._calls.failed:
            self._to("failed")
            return False
        if early:
            self._call.open()
        self._object = ObjectReader(
            self._call.arguments or self._members, self._calls.policy.max_argument_bytes, discards=self.was_text or self._call.is_dropped
        )
        self._to("{")
        return True

    def _admit(self, name: str) -> bool:
        admission = self._call.admit(name)
        if admission is Admission.TEXT:
            self._as_text("")
        return admission is Admission.CALL

    # -- the body --------------------------------------------------------------------------------------------------------------------------

    def _read_object(self) -> bool:
        reader, tape = self._object, self._tape
        if reader is None:
            return False
        self._take(reader.read(tape.text, tape.at))
        if not self.was_text and (reader.state is ObjectState.TOO_LARGE or self._source_chars > self._calls.policy.max_argument_bytes):
            self._call.fail_too_large()
            self._to("failed")
        elif reader.state is ObjectState.BROKEN:
            self._malformed()
            self._to("no JSON")
        elif reader.state is ObjectState.DONE:
            self._to("object complete")
            return True
        elif self._call.fails_if_unfit():
            self._to("failed")
        return False

    def _read_arguments(self) -> bool:
        tape = self._tape
        found = tape.text.find(CALL_END, tape.at)
        # the last characters may be the beginning of the end
        stop = found if found >= 0 else max(tape.at, len(tape.text) - len(CALL_END) + 1)
        self._arguments.append(tape.text[tape.at : stop])
        self._take(stop)
        if self._call.fails_if_unfit(self._source_chars):
            self._to("failed")
            return False
        if found < 0:
            return False
        self._take(stop + len(CALL_END))
        if ends_arguments(self._arguments):
            self._to("end of the arguments")
        else:
            self._arguments.append(CALL_END)
        return True

    # -- the end ---------------------------------------------------------------------------------------------------------------------------

    def _closing(self) -> bool:
        tape, closing = self._tape, self._dialect.closing
        start = tape.skip_space(tape.at)
        ahead = tape.text[start : start + len(closing)]
        if ahead != closing and tape.ended is None and closing.startswith(ahead) and start + len(ahead) == len(tape.text):
            return False
        if closing and ahead == closing:  # else the white space is not the call's
            self._take(start + len(closing))
        elif self._dialect.must_close:
            self._malformed()
            self._to("not closed")
            return False
        self._finish()
        self._to("end")
        return False

    def _finish(self) -> None:
        """The call is complete: an open one ends, and one that was kept leaves as a whole."""
        if self.was_text:
            return
        if self._call.arguments is not None:
            self._call.end()
            return
        arguments = [Argument(key, source) for key, source in self._members.pairs]
        if self._dialect.body is Body.ARGUMENTS:
            found = read_marked_arguments("".join(self._arguments))
            if found is None:
                self._malformed()
                return
            # an offered tool of the dispatcher's name is meant itself
            self._name, arguments = (self._name, found) if self._calls.inventory.find(self._name) else named(self._name, found)
        elif self._dialect.body is Body.NAMED_OBJECT:
            body = read_json_fields(dict(reversed(self._members.pairs)))
            if body is None or body.arguments is None:
                self._malformed()
                return
            self._name, arguments = body.name, body.arguments
        if self._call.schema is None and not self._admit(self._name):
            return
        self._call.open()
        self._call.put(arguments)
        self._call.end()

    # -- the way out -----------------------------------------------------------------------------------------------------------------------

    def _take(self, stop: int) -> None:
        """Consume up to `stop`; it is kept while the call may still have to leave as text."""
        text = self._tape.take(stop)
        if self.was_text and text:
            self._emit_text(text)
        elif self._call.arguments is None:
            self._source.append(text)
            self._source_chars += len(text)

    def _as_text(self, why: str) -> None:
        if why:
            self._calls.notice("malformed_call", why)
        self.was_text = True
        self._emit_text("".join(self._source))

    def _malformed(self) -> None:
        if self.was_text:
            return
        if self._call.arguments is None and self._calls.policy.malformed is not Malformed.ERROR:
            self._as_text("a tool call that could not be read was passed as text")
        elif not self._call.is_dropped:
            self._call.fail_malformed()

    def _to(self, what: str) -> None:
        self.state = TRANSITIONS[self.state][what]
