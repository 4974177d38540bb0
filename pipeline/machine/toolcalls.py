"""One tool call in Composer's own markers: from behind its `tool_call_begin` to its end, as events that stream.

The machine reads a tape and says what came of it. Nothing leaves before the head is known to be a call of an allowed tool; then `ToolCallStart`
leaves, string values leave as they arrive, and `ToolCallEnd` leaves only when the grammar says that the call ended. A call that the stream cuts off
is never closed. A call that policy makes text leaves as its source, byte for byte.

What may be held back: the head (`heads.MAX_HEAD_CHARS`), the strippable end of a value and the marker behind it with what its rule looks at
(`lookahead`), and values that are not strings, up to `ToolPolicy.max_argument_bytes`.
"""

from collections.abc import Callable
from enum import Enum, auto

from pipeline.errors import StreamCut
from pipeline.events import ToolCallDelta
from pipeline.machine import lookahead
from pipeline.machine.call_writer import Admission, CallWriter
from pipeline.machine.calls import Calls
from pipeline.machine.forms.bodies import WholeBody
from pipeline.machine.forms.heads import Form, Head, read_head
from pipeline.machine.markers import TOOL_MARKERS, Kind, Marker
from pipeline.machine.tape import Tape, Verdict
from pipeline.machine.tools.inventory import Malformed
from pipeline.machine.values.json_object import ObjectReader
from pipeline.machine.values.json_object import State as ObjectState
from pipeline.machine.values.json_source import escape


class State(Enum):
    """Where in a call the next character falls."""

    HEAD = auto()
    VALUE = auto()
    OBJECT = auto()
    BODY = auto()
    RAW = auto()
    DONE = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.HEAD: {
        "name, separator and key": State.VALUE,
        "name, separator and {": State.OBJECT,
        "name alone, or a body read as a whole": State.BODY,
        "a tool that may not be called": State.RAW,
        "no call": State.DONE,
        "failed": State.DONE,
    },
    State.VALUE: {"next key": State.VALUE, "no key behind the name": State.BODY, "end": State.DONE, "too large": State.DONE},
    State.OBJECT: {"object complete": State.BODY, "no JSON": State.DONE, "too large": State.DONE},
    State.BODY: {"end": State.DONE, "too large": State.DONE, "failed": State.DONE},
    State.RAW: {"end": State.DONE},
    State.DONE: {},
}


class CallMachine:
    """Reads one call; `source` is the marker text that led to it, kept for the case that it turns out to be text."""

    def __init__(self, calls: Calls, tape: Tape, source: str, emit_text: Callable[[str], None], *, in_block: bool) -> None:
        self.state = State.HEAD
        self.in_block = in_block
        self.was_text = False
        self.was_prose = False
        self._calls = calls
        self._tape = tape
        self._source = source
        self._emit_text = emit_text
        self._call = CallWriter(calls)
        self._object: ObjectReader | None = None
        self._body = WholeBody(Form.PROSE)
        self._spaced = False
        self._markers_kept = 0

    def read(self) -> bool:
        """Consume what can be consumed; True when the call is over, False when more text is needed."""
        steps = {
            State.HEAD: self._head,
            State.VALUE: self._value,
            State.OBJECT: self._read_object,
            State.BODY: self._collect,
            State.RAW: self._collect,
        }
        while self.state is not State.DONE and steps[self.state]():
            pass
        self._call.flush()
        return self.state is State.DONE

    def stream(self, piece: str) -> bool:
        """Pass a piece on if it is plainly a part of an open string: nothing is held, and neither a marker nor the value's end can be in it.

        That is the path of almost every piece of a long argument.
        """
        call = self._call
        if self.state is not State.VALUE or call.arguments is None or call.index is None or not call.arguments.streams:
            return False
        if "<" in piece or piece[-1].isspace() or self._tape.at < len(self._tape.text):
            return False
        self._calls.events.append(ToolCallDelta(call.index, escape(piece)))
        return True

    @property
    def is_open(self) -> bool:
        """Whether its start has left, so that nothing else may leave before its end."""
        return self._call.index is not None and self.state is not State.DONE

    def cut(self) -> StreamCut | None:
        """The stream ended inside the call: nothing of it is completed, and what had not left is given back or named.

        Gives the fault that an answer has which ended properly all the same.
        """
        head = self._read_head() if self.state is State.HEAD else None
        rest = self._tape.take(len(self._tape.text))
        if self.state is State.HEAD and (head is None or self._calls.inventory.find(head.name) is None):
            self._emit_text(self._source + rest)
        elif self.state is State.RAW:
            if rest:
                self._emit_text(rest)
        elif not self._call.is_dropped:
            return self._call.cut(proper=self._tape.ended is True)
        return None

    # -- the head --------------------------------------------------------------------------------------------------------------------------

    def _head(self) -> bool:
        head = self._read_head()
        if head is None or head.form is Form.CUT:
            return False
        if head.form is Form.PROSE:
            self._calls.notice("malformed_call", "a tool call marker without a call behind it was passed as text")
            self.was_text = self.was_prose = True
            self._emit_text(self._source)
            self._to("no call")
            return False
        if head.form is not Form.JSON and not self._admit(head.name):
            return self.state is State.RAW
        self._enter(head)
        return True

    def _read_head(self) -> Head | None:
        return read_head(self._tape, may_be_native=not self._calls.has_function)

    def _enter(self, head: Head) -> None:
        early = self._calls.policy.malformed is not Malformed.TEXT or head.form in (Form.PAIRS, Form.NAME)
        if head.form is not Form.JSON and early:
            self._call.open()
        if head.form is not Form.PAIRS:
            self._source += self._tape.text[self._tape.at : head.stop]
        self._tape.at = head.stop
        self._body = WholeBody(head.form)
        if head.form is Form.PAIRS:
            self._to("name, separator and key")
        elif head.form is Form.SEP_JSON and self._call.arguments is not None:
            self._object = ObjectReader(self._call.arguments, self._calls.policy.max_argument_bytes, discards=self._call.is_dropped)
            self._body = WholeBody(Form.FENCE_END)
            self._to("name, separator and {")
        else:
            self._to("name alone, or a body read as a whole")

    def _admit(self, name: str) -> bool:
        """Find the tool; a call that may not leave as one goes on as text, or fails."""
        admission = self._call.admit(name)
        if admission is Admission.FAILED:
            self._to("failed")
        elif admission is Admission.TEXT:
            self.was_text = True
            self._emit_text(self._source)
            if self.state is State.HEAD:
                self._to("a tool that may not be called")
        return admission is Admission.CALL

    # -- key and value pairs ---------------------------------------------------------------------------------------------------------------

    def _first_argument(self) -> bool:
        """The key behind the name's separator: no value is open, so that any key begins an argument."""
        tape, schema = self._tape, self._call.schema
        marker = tape.find()
        if marker is None or schema is None:
            return False
        ahead = tape.text[marker.stop : marker.stop + schema.longest_key_chars + 1]
        more_may_come = tape.ended is None and marker.stop + len(ahead) == len(tape.text)
        if more_may_come and schema.starts_odd_key(ahead, frozenset()):
            return False
        found = schema.key_pattern.match(tape.text, marker.stop)
        if found:
            self._argument(found["key"], found["separator"], found.end())
            return not self._call.fails_if_unfit()
        if more_may_come and "<" not in ahead:
            return False
        if self._calls.policy.malformed is not Malformed.RECOVER and not self._call.is_dropped:
            self._call.fail_malformed()
            return False
        self._calls.notice("malformed_call", f"the arguments of {schema.name} could not be read; the call goes on without them")
        self._body = WholeBody(Form.NAME)
        self._to("no key behind the name")
        return True

    def _argument(self, spelling: str, separator: str, stop: int) -> None:
        if self._call.arguments is not None:
            self._call.arguments.open(spelling)
        self._spaced = separator == " "
        self._tape.at = stop
        self._to("next key")

    def _value(self) -> bool:
        tape, arguments = self._tape, self._call.arguments
        if arguments is None or not arguments.given:
            return self._first_argument()
        marker = tape.find()
        stop = marker.start if marker else len(tape.text)
        edge = lookahead.value_end(tape, stop, spaced=self._spaced, at_end=marker is None)
        if edge > tape.at and self._call.is_dropped:
            tape.at = edge
        elif edge > tape.at:
            arguments.write(tape.take(edge))
            if self._call.fails_if_unfit(arguments.kept_chars):
                self._to("too large")
                return False
        if marker is None or marker.kind is Kind.PARTIAL:
            return False
        verdict = self._judge(marker)
        if verdict is Verdict.NO:
            arguments.write(tape.take(marker.stop))
        return verdict is not Verdict.WAIT

    def _judge(self, marker: Marker) -> Verdict:
        """What a marker inside a value or body means; YES when it was carried out, NO when it is data."""
        calls, tape = self._calls, self._tape
        verdict = Verdict.NO
        if marker.kind is Kind.CALL_END:
            verdict = lookahead.ends_call(tape, marker, in_block=self.in_block)
            if verdict is Verdict.YES:
                self._finish(marker, marker.stop)
        elif marker.kind is Kind.CALLS_END:
            verdict = lookahead.ends_block(tape, marker)
            if verdict is Verdict.YES:
                self._repaired(marker, "the call's end marker was missing before the block's")
        elif marker.kind is Kind.CALL_BEGIN:
            verdict = lookahead.begins_call(tape, marker, calls.inventory)
            if verdict is Verdict.YES:
                self._repaired(marker, "the call's end marker was missing before the next call")
        elif marker.kind is Kind.SEP and self.state is State.VALUE and self._call.schema is not None and self._call.arguments is not None:
            found = lookahead.begins_argument(tape, marker, self._call.schema, self._call.arguments.given)
            if isinstance(found, Verdict):
                verdict = found
            else:
                self._call.arguments.close()
                self._argument(found["key"], found["separator"], found.end())
                verdict = Verdict.WAIT if self._call.fails_if_unfit() else Verdict.YES
        if verdict is Verdict.NO and marker.kind in TOOL_MARKERS and self.state is State.VALUE:
            self._markers_kept += 1
        return verdict

    # -- a JSON object behind the name -----------------------------------------------------------------------------------------------------

    def _read_object(self) -> bool:
        reader, tape = self._object, self._tape
        if reader is None:
            return False
        tape.at = reader.read(tape.text, tape.at)
        if reader.state is ObjectState.TOO_LARGE:
            self._call.fail_too_large()
            self._to("too large")
        elif reader.state is ObjectState.BROKEN and self._call.is_dropped:
            self._to("object complete")
            return True
        elif reader.state is ObjectState.BROKEN:
            self._call.fail_malformed()
            self._to("no JSON")
        elif self._call.fails_if_unfit():
            self._to("too large")
        elif reader.state is ObjectState.DONE:
            self._to("object complete")
            return True
        return False

    # -- the end ---------------------------------------------------------------------------------------------------------------------------

    def _repaired(self, marker: Marker, why: str) -> None:
        self._finish(marker, marker.start)
        if not self.was_text and not self._call.is_dropped:
            self._calls.notice("call_repaired", why)

    def _finish(self, marker: Marker, stop: int) -> None:
        """The call ends at the marker; the tape goes on at `stop`."""
        tape, arguments = self._tape, self._call.arguments
        if self.state is State.VALUE and arguments is not None:
            if arguments.given:
                arguments.close()
            self._call.end()
        elif self.state is State.BODY:
            self._body.keep(tape.text[tape.at : marker.start])
            self._finish_body(tape.text[marker.start : stop])
        else:
            self._emit_text(tape.text[tape.at : stop])
        if self._markers_kept and not self.was_text and not self._call.is_dropped:
            self._calls.notice("marker_kept", f"tool markers inside a value of {self._call.name} mean nothing there and were kept as data")
        tape.at = stop
        if self.state is not State.DONE:
            self._to("end")

    # -- bodies that are read when complete, and calls that are text ------------------------------------------------------------------------

    def _collect(self) -> bool:
        tape = self._tape
        marker = tape.find()
        stop = marker.start if marker else len(tape.text)
        self._keep(tape.take(stop))
        if self._call.fails_if_unfit(self._body.chars):
            self._to("too large")
            return False
        if marker is None or marker.kind is Kind.PARTIAL:
            return False
        verdict = Verdict.NO if self.state is State.BODY and self._body.is_in_string else self._judge(marker)
        if verdict is Verdict.NO:
            self._keep(tape.take(marker.stop))
        return verdict is not Verdict.WAIT

    def _keep(self, text: str) -> None:
        if self._call.is_dropped:
            return
        if self.state is not State.RAW:
            self._body.keep(text)
        elif text:
            self._emit_text(text)

    def _finish_body(self, tail: str) -> None:
        if self._call.is_dropped:
            return
        source = self._body.source
        body = self._body.read(self._call.schema.name if self._call.schema else "")
        if body is not None and self._call.schema is None and not self._admit(body.name):
            self._emit_text(source + tail)
            return
        if body is None or body.arguments is None or self._call.schema is None:
            self._malformed(source + tail)
            return
        self._call.open()
        if body.unread:
            self._calls.notice("malformed_call", f"a part of the arguments of {self._call.name} could not be read and was left out")
        self._call.put(body.arguments)
        self._call.end()

    def _malformed(self, source: str) -> None:
        policy = self._calls.policy.malformed
        if self._call.index is None and (policy is Malformed.TEXT or (policy is Malformed.RECOVER and self._call.schema is None)):
            self._calls.notice("malformed_call", "a tool call that could not be read was passed as text")
            self.was_text = True
            self._emit_text(self._source + source)
        else:
            self._call.fail_malformed()

    def _to(self, what: str) -> None:
        self.state = TRANSITIONS[self.state][what]
