"""The conversation of a Chat Completions body as canonical messages.

Theory of operation: a list of message objects comes in, one `Message` each goes out, in the order sent. Roles fold (`developer` is a system message,
`function` a tool message). Calls and results of the legacy function form get ids of our own, so that they pair up as the modern ones do. A result
that answers no earlier call is kept and named in a Notice. Nothing is reordered, merged or dropped here; reasoning that a client echoes is kept with
its message.
"""

from collections import deque

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.body import read
from pipeline.parse.content import Content, read_content
from pipeline.request import Json, Message, Role, TextPart, ToolCall

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}


class CalledFunction(msgspec.Struct, frozen=True):
    """Name and arguments of a call; the arguments are JSON text."""

    name: str
    arguments: str | None = None


class CallBody(msgspec.Struct, frozen=True):
    """A call as an assistant message echoes it."""

    id: str
    function: CalledFunction | None = None
    type: str | None = None


class MessageBody(msgspec.Struct, frozen=True):
    """A message as sent."""

    role: str
    content: Content = None
    name: str | None = None
    tool_calls: list[CallBody] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    audio: dict[str, Json] | None = None


class History(msgspec.Struct, frozen=True):
    """The messages, and what had to be mapped or was out of place in them."""

    messages: tuple[Message, ...]
    notices: tuple[Notice, ...]


def read_history(value: Json, path: str) -> History:
    """The messages in `value`, which stands at `path` in the body.

    Raises:
        RequestError: no messages, a wrong type, an unknown role; `param` names the field.
        UnsupportedParameter: audio, files or custom tool calls.

    >>> read_history([{"role": "developer", "content": "Be brief."}], "messages").messages[0].role
    <Role.SYSTEM: 'system'>
    """
    if value is None or value == []:
        raise RequestError(f"{path} must hold at least one message.", param=path)
    bodies = read(value, list[MessageBody], path)
    reader = _HistoryReader()
    messages = tuple(reader.message(body, f"{path}[{index}]") for index, body in enumerate(bodies))
    return History(messages, tuple(reader.notices))


class _HistoryReader:
    """Reads messages in order and remembers the calls made so far."""

    def __init__(self) -> None:
        self.notices: dict[Notice, None] = {}  # an ordered set: a history may hold thousands of stray results
        self._call_ids: set[str] = set()
        self._legacy_count = 0
        self._legacy_open: dict[str, deque[str]] = {}  # function name -> ids of its calls that have no result yet

    def message(self, body: MessageBody, path: str) -> Message:
        role = ROLES.get(body.role)
        if role is None:
            raise RequestError(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
        if body.audio is not None:
            raise UnsupportedParameter(f"{path}.audio is not supported: only text and images are.", param=f"{path}.audio")
        parts = read_content(body.content, f"{path}.content")
        if role is Role.TOOL:
            return Message(role, parts, tool_call_id=self._answered_call(body, path), name=body.name)
        if role is not Role.ASSISTANT:
            if body.tool_calls:
                raise RequestError(f"{path}.tool_calls is only for assistant messages.", param=f"{path}.tool_calls")
            return Message(role, parts, name=body.name)
        if body.refusal:
            parts = (*parts, TextPart(body.refusal))
        return Message(role, parts, self._calls(body, path), name=body.name, reasoning=body.reasoning_content or body.reasoning or None)

    def _calls(self, body: MessageBody, path: str) -> tuple[ToolCall, ...]:
        calls: list[ToolCall] = []
        for index, call in enumerate(body.tool_calls or ()):
            here = f"{path}.tool_calls[{index}]"
            if call.type not in (None, "function"):
                raise UnsupportedParameter(f"{here}.type must be function.", param=f"{here}.type")
            if call.function is None:
                raise RequestError(f"{here}.function is required.", param=f"{here}.function")
            calls.append(ToolCall(call.id, call.function.name, call.function.arguments or ""))
        if body.function_call is not None:
            calls.append(self._legacy_call(body.function_call))
        self._call_ids.update(call.id for call in calls)
        return tuple(calls)

    def _legacy_call(self, function: CalledFunction) -> ToolCall:
        self._note(Notice("legacy_functions", "function_call in the history was read as tool_calls"))
        self._legacy_count += 1
        call_id = f"call_legacy_{self._legacy_count}"
        self._legacy_open.setdefault(function.name, deque()).append(call_id)
        return ToolCall(call_id, function.name, function.arguments or "")

    def _answered_call(self, body: MessageBody, path: str) -> str | None:
        if body.role == "function":
            if not body.name:
                raise RequestError(f"{path}.name is required: it names the function that answered.", param=f"{path}.name")
            if waiting := self._legacy_open.get(body.name):
                return waiting.popleft()
        elif body.tool_call_id in self._call_ids:
            return body.tool_call_id
        self._note(Notice("orphan_tool_result", f"{path} answers no earlier call"))
        return body.tool_call_id

    def _note(self, notice: Notice) -> None:
        self.notices[notice] = None
