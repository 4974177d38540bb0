"""One tool call: from behind its `tool_call_begin` to its end, as events that stream.

The machine reads a tape and says what came of it. Nothing leaves before the head is known to be a call of an allowed tool; then `ToolCallStart`
leaves, string values leave as they arrive, and `ToolCallEnd` leaves only when the grammar says that the call ended. A call that the stream cuts off
is never closed. A call that policy makes text leaves as its source, byte for byte.

What may be held back: the head (`heads.MAX_HEAD_CHARS`), the strippable end of a value and the marker behind it with what its rule looks at
(`lookahead`), and values that are not strings, up to `ToolPolicy.max_argument_bytes`.
"""

from collections.abc import Callable
from enum import Enum, auto

from pipeline.errors import ProtocolViolation, StreamCut, UpstreamError
from pipeline.events import ToolCallDelta, ToolCallEnd
from pipeline.machine import lookahead
from pipeline.machine.arguments import ArgumentWriter
from pipeline.machine.bodies import Body, read_arguments, read_inline, read_json_body
from pipeline.machine.calls import Calls
from pipeline.machine.fitting import escape, fit_arguments
from pipeline.machine.heads import Form, Head, read_head
from pipeline.machine.inventory import Malformed, Unknown
from pipeline.machine.markers import Kind, Marker, find_marker
from pipeline.machine.schema import ToolSchema
from pipeline.machine.tape import Tape, Verdict
from pipeline.request import Tool


class State(Enum):
    """Where in a call the next character falls."""

    HEAD = auto()
    VALUE = auto()
    BODY = auto()
    RAW = auto()
    DONE = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.HEAD: {"pairs": State.VALUE, "body": State.BODY, "name only": State.BODY, "not allowed": State.RAW, "prose": State.DONE},
    State.VALUE: {"argument": State.VALUE, "malformed": State.BODY, "end": State.DONE, "failed": State.DONE},
    State.BODY: {"end": State.DONE, "failed": State.DONE},
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
        self._index: int | None = None
        self._schema: ToolSchema | None = None
        self._writer: ArgumentWriter | None = None
        self._pending: list[str] = []
        self._body: list[str] = []
        self._body_chars = 0
        self._form = Form.PROSE
        self._spaced = False
        self._dropped = False

    def read(self) -> bool:
        """Consume what can be consumed; True when the call is over, False when more text is needed."""
        steps = {State.HEAD: self._head, State.VALUE: self._value, State.BODY: self._collect, State.RAW: self._collect}
        while self.state is not State.DONE and steps[self.state]():
            pass
        self._flush()
        return self.state is State.DONE

    def stream(self, piece: str) -> bool:
        """Pass a piece on if it is plainly a part of an open string: nothing is held, and neither a marker nor the value's end can be in it.

        That is the path of almost every piece of a long argument.
        """
        writer = self._writer
        if self.state is not State.VALUE or writer is None or self._index is None or not writer.streams:
            return False
        if "<" in piece or piece[-1].isspace() or self._tape.at < len(self._tape.text):
            return False
        self._calls.events.append(ToolCallDelta(self._index, escape(piece)))
        return True

    @property
    def is_open(self) -> bool:
        """Whether its start has left, so that nothing else may leave before its end."""
        return self._index is not None and self.state is not State.DONE

    def cut(self) -> None:
        """The stream ended inside the call: nothing of it is completed, and what had not left is given back or named."""
        rest = self._tape.take(len(self._tape.text))
        if self.state is State.HEAD and self._calls.inventory.find(rest.strip()) is None:
            self._emit_text(self._source + rest)
        elif self.state is State.RAW:
            if rest:
                self._emit_text(rest)
        elif not self._dropped:
            name = self._schema.name if self._schema else "a tool"
            self._calls.notice("call_cut", f"the stream ended inside a call of {name}; the call was not completed")
            if self._tape.ended:
                self._calls.fail(StreamCut("The model's answer ended inside a tool call.", code="tool_call_cut"))

    # -- the head --------------------------------------------------------------------------------------------------------------------------

    def _head(self) -> bool:
        head = read_head(self._tape)
        if head is None or head.form is Form.CUT:
            return False
        if head.form is Form.PROSE:
            self._calls.notice("malformed_call", "a tool call marker without a call behind it was passed as text")
            self.was_text = self.was_prose = True
            self._emit_text(self._source)
            self._to("prose")
            return False
        self._form = head.form
        if head.form is not Form.JSON and not self._admit(head.name):
            return self.state is State.RAW
        return self._enter(head)

    def _enter(self, head: Head) -> bool:
        early = self._calls.policy.malformed is not Malformed.TEXT or head.form in (Form.PAIRS, Form.NAME)
        if head.form is not Form.JSON and early:
            self._open_call()
        if head.form is Form.PAIRS and not self._dropped:
            self._tape.at = head.stop
            self._to("pairs")
            return self._first_argument()
        self._source += self._tape.text[self._tape.at : head.stop]
        self._tape.at = head.stop
        self._to("name only" if head.form is Form.NAME else "body")
        return True

    def _admit(self, name: str) -> bool:
        """Find the tool; else apply the policy and say so."""
        inventory, policy = self._calls.inventory, self._calls.policy
        self._schema = inventory.find(name)
        if self._schema is not None:
            return True
        choice, code, why = (
            (policy.unknown, "unknown_tool", f"{name} is not one of the offered tools")
            if len(inventory)
            else (policy.without_tools, "call_without_tools", f"{name} was called although no tools were offered")
        )
        if choice is Unknown.PASS:
            self._calls.notice(code, f"{why}; passed as a call")
            self._schema = ToolSchema(Tool(name))
            return True
        if choice is Unknown.ERROR:
            self._calls.fail(UpstreamError(f"The model called a tool that it should not: {why}.", code=code))
            self.state = State.DONE
            return False
        self._calls.notice(code, f"{why}; passed as text")
        self.was_text = True
        self._emit_text(self._source)
        if self.state is State.HEAD:
            self._to("not allowed")
        return False

    def _open_call(self) -> None:
        if self._index is not None or self._dropped or self._schema is None:
            return
        if not self._calls.parallel and self._calls.count:
            self._dropped = True
            self._calls.notice("parallel_call_dropped", f"a second call, of {self._schema.name}, was dropped: parallel_tool_calls is false")
            return
        self._index = self._calls.start(self._schema.name)
        self._writer = ArgumentWriter(self._schema)

    # -- key and value pairs ---------------------------------------------------------------------------------------------------------------

    def _first_argument(self) -> bool:
        """The key behind the name's separator: no value is open, so that any key begins an argument."""
        marker = find_marker(self._tape.text, self._tape.at)
        if marker is None or self._schema is None:
            return False
        ahead = self._tape.text[marker.stop : marker.stop + self._schema.longest_key_chars + 1]
        more_may_come = self._tape.ended is None and marker.stop + len(ahead) == len(self._tape.text)
        if more_may_come and self._schema.starts_odd_key(ahead, frozenset()):
            return False
        found = self._schema.key_pattern.match(self._tape.text, marker.stop)
        if found:
            spelling = found["key"]
            if self._schema.key(spelling) is None and not self._schema.is_open:
                self._calls.notice("unknown_argument", f"{self._schema.name} has no argument {spelling}; passed on")
            self._argument(spelling, found["separator"], found.end())
            return True
        if more_may_come and "<" not in ahead:
            return False
        if self._calls.policy.malformed is not Malformed.RECOVER:
            return self._fail_malformed()
        self._calls.notice("malformed_call", f"the arguments of {self._schema.name} could not be read; the call goes on without them")
        self._form = Form.NAME
        self._to("malformed")
        return True

    def _argument(self, spelling: str, separator: str, stop: int) -> None:
        if self._schema is not None and self._writer is not None:
            self._pending.append(self._writer.open(self._schema.key(spelling) or spelling))
        self._spaced = separator == " "
        self._tape.at = stop

    def _value(self) -> bool:
        tape = self._tape
        if self._writer is None or not self._writer.given:
            return self._first_argument()
        marker = find_marker(tape.text, tape.at)
        stop = marker.start if marker else len(tape.text)
        edge = self._edge(stop, at_end=marker is None)
        if edge > tape.at:
            self._pending.append(self._writer.write(tape.take(edge)))
            if self._writer.kept_chars > self._calls.policy.max_argument_bytes:
                return self._too_large()
        if marker is None or marker.kind is Kind.PARTIAL:
            return False
        verdict = self._judge(marker)
        if verdict is Verdict.NO:
            self._pending.append(self._writer.write(tape.take(marker.stop)))
        return verdict is not Verdict.WAIT

    def _edge(self, stop: int, *, at_end: bool) -> int:
        """Where the end of the value begins that is stripped if the value ends here: one newline, or one space in the space form."""
        text, at = self._tape.text, self._tape.at
        if self._spaced:
            return stop - 1 if stop > at and text[stop - 1].isspace() else stop
        if text.endswith("\r\n", at, stop):
            return stop - 2
        return stop - 1 if text.endswith("\n", at, stop) or (at_end and text.endswith("\r", at, stop)) else stop

    def _judge(self, marker: Marker) -> Verdict:
        """What a marker inside a value or body means; YES when it was carried out."""
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
        elif marker.kind is Kind.SEP and self.state is State.VALUE and self._schema is not None and self._writer is not None:
            found = lookahead.begins_argument(tape, marker, self._schema, self._writer.given)
            if isinstance(found, Verdict):
                return found
            self._pending.append(self._writer.close())
            self._argument(found["key"], found["separator"], found.end())
            verdict = Verdict.YES
        return verdict

    # -- the end ---------------------------------------------------------------------------------------------------------------------------

    def _repaired(self, marker: Marker, why: str) -> None:
        self._finish(marker, marker.start)
        self._calls.notice("call_repaired", why)

    def _finish(self, marker: Marker, stop: int) -> None:
        """The call ends at the marker; the tape goes on at `stop`."""
        tape = self._tape
        if self.state is State.VALUE and self._writer is not None:
            if self._writer.given:
                self._pending.append(self._writer.close())
            self._pending.append(self._writer.end())
            self._end_call()
            self._calls.events.extend(self._writer.notices)
        elif self.state is State.BODY:
            self._body.append(tape.text[tape.at : marker.start])
            self._finish_body(tape.text[marker.start : stop])
        else:
            self._emit_text(tape.text[tape.at : stop])
        tape.at = stop
        if self.state is not State.DONE:
            self._to("end")

    def _end_call(self) -> None:
        self._flush()
        if self._index is not None:
            self._calls.events.append(ToolCallEnd(self._index))

    def _flush(self) -> None:
        """One delta for all that one piece gave."""
        arguments = "".join(self._pending)
        self._pending.clear()
        if arguments and self._index is not None:
            self._calls.events.append(ToolCallDelta(self._index, arguments))

    # -- bodies that are read when complete, and calls that are text ------------------------------------------------------------------------

    def _collect(self) -> bool:
        tape = self._tape
        marker = find_marker(tape.text, tape.at)
        stop = marker.start if marker else len(tape.text)
        self._keep(tape.take(stop))
        if self._body_chars > self._calls.policy.max_argument_bytes:
            return self._too_large()
        if marker is None or marker.kind is Kind.PARTIAL:
            return False
        verdict = self._judge(marker)
        if verdict is Verdict.NO:
            self._keep(tape.take(marker.stop))
        return verdict is not Verdict.WAIT

    def _keep(self, text: str) -> None:
        if self.state is State.RAW:
            if text:
                self._emit_text(text)
        else:
            self._body.append(text)
            self._body_chars += len(text)

    def _too_large(self) -> bool:
        self._calls.fail(ProtocolViolation("The arguments of a tool call are over the limit.", code="tool_call_too_large"))
        self._to("failed")
        return False

    def _finish_body(self, tail: str) -> None:
        source = "".join(self._body)
        body = self._read_body(source)
        if body is not None and self._schema is None and not self._admit(body.name):
            self._emit_text(source + tail)
            return
        if self._dropped:
            return
        if body is None or body.arguments is None or self._schema is None:
            self._malformed(source + tail)
            return
        if body.unread:
            self._calls.notice("malformed_call", f"a part of the arguments of {self._schema.name} could not be read and was left out")
        self._open_call()
        arguments, misfits = fit_arguments(body.arguments, self._schema)
        self._pending.append(arguments)
        self._end_call()
        for misfit in misfits:
            self._calls.notice("argument_type", misfit)

    def _read_body(self, source: str) -> Body | None:
        name = self._schema.name if self._schema else ""
        if self._form is Form.JSON:
            return read_json_body(source)
        if self._form is Form.INLINE:
            return read_inline(source, name)
        return Body(name, {}, source.strip()) if self._form is Form.NAME else Body(name, read_arguments(source))

    def _malformed(self, source: str) -> None:
        policy = self._calls.policy.malformed
        if self._index is None and (policy is Malformed.TEXT or (policy is Malformed.RECOVER and self._schema is None)):
            self._calls.notice("malformed_call", "a tool call that could not be read was passed as text")
            self.was_text = True
            self._emit_text(self._source + source)
        else:
            self._fail_malformed()

    def _fail_malformed(self) -> bool:
        self._calls.fail(UpstreamError("The model wrote a tool call whose arguments cannot be read.", code="malformed_tool_call"))
        return False

    def _to(self, what: str) -> None:
        self.state = TRANSITIONS[self.state][what]
