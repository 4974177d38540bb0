"""What leaves of one call, whichever way it was written: nothing before its tool is known and allowed, then its start, its arguments, its end.

The policies for a tool that was not offered and for a call too many are applied here, once for all forms of calls, and each time a Notice says so.
"""

from collections.abc import Iterable
from enum import Enum, auto

from pipeline.errors import ProtocolViolation, StreamCut, UpstreamError
from pipeline.events import ToolCallDelta, ToolCallEnd
from pipeline.machine.arguments import MAX_NAME_CHARS, ArgumentWriter
from pipeline.machine.calls import Calls
from pipeline.machine.forms.bodies import Argument
from pipeline.machine.tools.inventory import Unknown
from pipeline.machine.tools.schema import ToolSchema
from pipeline.machine.written import RecordedArguments, WrittenCall
from pipeline.request import Tool

AS_TEXT = "passed as text"


class Admission(Enum):
    """Whether a call may leave as one."""

    CALL = auto()
    TEXT = auto()
    FAILED = auto()


class CallWriter:
    """One call on its way out. `schema` is its tool once that is known; `arguments` is there once the call is open."""

    def __init__(self, calls: Calls) -> None:
        self.schema: ToolSchema | None = None
        self.arguments: ArgumentWriter | None = None
        self.index: int | None = None
        self._calls = calls
        self._written: WrittenCall | None = None

    @property
    def name(self) -> str:
        """The tool's name, or words for one that is not known."""
        return self.schema.name if self.schema else "a tool"

    @property
    def is_dropped(self) -> bool:
        """Whether the call is read and does not leave."""
        return self.arguments is not None and self.index is None

    def admit(self, name: str, otherwise: str = AS_TEXT) -> Admission:
        """Find the tool; else apply the policy and say so. `otherwise` says what becomes of a call that does not leave."""
        calls = self._calls
        self._written = calls.reads(name)
        self.schema = calls.inventory.find(name)
        name = name[:MAX_NAME_CHARS]
        if self.schema is not None:
            return Admission.CALL
        choice, code, why = (
            (calls.policy.unknown, "unknown_tool", f"{name} is not one of the offered tools")
            if len(calls.inventory)
            else (calls.policy.without_tools, "call_without_tools", f"{name} was called although no tools were offered")
        )
        if choice is Unknown.PASS:
            calls.notice(code, f"{why}; passed as a call")
            self.schema = ToolSchema(Tool(name))
            return Admission.CALL
        if choice is Unknown.ERROR:
            calls.fail(UpstreamError(f"The model called a tool that it should not: {why}.", code=code))
            return Admission.FAILED
        calls.notice(code, f"{why}; {otherwise}")
        if self._written is not None:
            self._written.is_text = otherwise == AS_TEXT
        return Admission.TEXT

    def open(self, call_id: str | None = None) -> None:
        """The call's start leaves, unless it is one call too many."""
        if self.arguments is not None or self.schema is None:
            return
        calls = self._calls
        self.arguments = ArgumentWriter(self.schema) if self._written is None else RecordedArguments(self.schema, self._written)
        if not calls.parallel and calls.count:
            calls.notice("parallel_call_dropped", f"a second call, of {self.schema.name}, was dropped: parallel_tool_calls is false")
            return
        if self.schema.alias is not None:
            calls.notice("tool_renamed", f"{self.schema.alias} was read as {self.schema.name}")
        self.index = calls.start(self.schema.name, call_id)
        if self._written is not None:
            self._written.index = self.index

    def flush(self) -> None:
        """One delta for all that one piece gave."""
        if self.arguments is not None and self.arguments.out:
            text = "".join(self.arguments.out)
            self.arguments.out.clear()
            if text and self.index is not None:
                self._calls.events.append(ToolCallDelta(self.index, text))

    def put(self, arguments: Iterable[Argument]) -> None:
        """Whole arguments."""
        writer = self.arguments
        if writer is None:
            return
        for argument in arguments:
            if argument.is_raw:
                writer.open(argument.key)
                writer.write(argument.value)
                writer.close()
            else:
                writer.member(argument.key)
                writer.value(argument.value)

    def end(self) -> None:
        """The call is complete."""
        if self.arguments is None or self.fails_if_unfit():
            return
        self.arguments.end()
        self.flush()
        if self.index is not None:
            self._calls.events.append(ToolCallEnd(self.index))
            for notice in self.arguments.notices:
                self._calls.say(notice)

    def cut(self, *, proper: bool) -> StreamCut | None:
        """The stream ended inside the call, which is not completed; gives the fault of an answer that ended properly all the same."""
        self._calls.notice("call_cut", f"the stream ended inside a call of {self.name}; the call was not completed")
        return StreamCut("The model's answer ended inside a tool call.", code="tool_call_cut") if proper else None

    def fail_malformed(self) -> None:
        """The call cannot be read, and too much of it has left to take it back. A call that does not leave fails nothing."""
        if self.is_dropped:
            return
        self.flush()
        self._calls.fail(UpstreamError("The model wrote a tool call whose arguments cannot be read.", code="malformed_tool_call"))

    def fails_if_unfit(self, kept_chars: int = 0) -> bool:
        """End the answer if more is kept of the call than may be, or if it says what the tool cannot be told."""
        arguments = self.arguments
        if kept_chars > self._calls.policy.max_argument_bytes or (arguments is not None and arguments.is_over_count):
            self.fail_too_large()
        elif arguments is not None and arguments.refused is not None and self.schema is not None and not self.is_dropped:
            self.flush()
            why = f"{self.schema.alias} was read as {self.schema.name}, which cannot be told {arguments.refused}"
            self._calls.fail(UpstreamError(f"The model made a call that the offered tools cannot carry out: {why}.", code="tool_argument_unfit"))
        return self._calls.failed

    def fail_too_large(self) -> None:
        """More would have to be kept of the call than may be."""
        if self.is_dropped:
            return
        self.flush()
        self._calls.fail(ProtocolViolation("The arguments of a tool call are over the limit.", code="tool_call_too_large"))
