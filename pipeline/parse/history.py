"""The conversation of a Chat Completions body as canonical messages.

Theory of operation: a list of message objects comes in, one `Message` each goes out. Roles fold (`developer` is a system message, `function` a tool
message). Calls and results of the legacy function form get ids of our own, so that they pair up as the modern ones do. Reasoning that a client echoes
is kept with its message, and a refusal becomes text. Nothing is merged or dropped here, and the order is as sent, except for results of tools that do
not stand behind their call (`pipeline.parse.pairing`). Fields that nobody reads stay with their message or call (`extra`); those inside a call's
`function` or `custom` stand there under that name.
"""

from itertools import count

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.body import check_count, is_list, is_object, read, unread
from pipeline.parse.content import Content, read_content
from pipeline.parse.pairing import Key, Turn, pair_results
from pipeline.request import Json, Message, Role, TextPart, ToolCall

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}


# the lists in a message -> what they hold
COUNTED = {"content": "parts", "tool_calls": "calls"}


class CalledFunction(msgspec.Struct, frozen=True):
    """Name and arguments of a call; the arguments are JSON text."""

    name: str
    arguments: str | None = None


class CalledCustom(msgspec.Struct, frozen=True):
    """Name and input of a custom tool's call; the input is any text."""

    name: str
    input: str | None = None


class CallBody(msgspec.Struct, frozen=True):
    """A call as an assistant message echoes it: of a function, or of a custom tool."""

    id: str
    function: CalledFunction | None = None
    custom: CalledCustom | None = None
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


# what is read of a message, by its role; lists and calls where they do not belong are refused, or say nothing
_OF_ALL = frozenset({"role", "content", "name", "audio"})
_OF_ASKING = _OF_ALL | {"tool_calls", "function_call"}
READ_OF_ROLE = {
    Role.SYSTEM: _OF_ASKING,
    Role.USER: _OF_ASKING,
    Role.ASSISTANT: _OF_ALL | {"tool_calls", "function_call", "refusal", "reasoning_content", "reasoning"},
    Role.TOOL: _OF_ALL | {"tool_call_id"},
}
_NULL_IS_ABSENT = frozenset(MessageBody.__struct_fields__)
_READ_OF_CALL = {"function": frozenset({"id", "type", "function"}), "custom": frozenset({"id", "type", "custom"})}
_READ_INSIDE_CALL = {"function": frozenset(CalledFunction.__struct_fields__), "custom": frozenset(CalledCustom.__struct_fields__)}
_NULL_IS_NO_CALL = frozenset({"function", "custom"})


class History(msgspec.Struct, frozen=True):
    """The messages, and what had to be mapped or was out of place in them."""

    messages: tuple[Message, ...]
    notices: tuple[Notice, ...]


def read_history(value: Json, path: str, *, is_counted: bool = False) -> History:
    """The messages in `value`, which stands at `path` in the body; where it `is_counted`, any number of them.

    Raises:
        RequestError: no messages or too many, a wrong type, an unknown role; `param` names the field.
        UnsupportedParameter: audio, or a call of an unknown kind.

    >>> read_history([{"role": "developer", "content": "Be brief."}], "messages").messages[0].role
    <Role.SYSTEM: 'system'>
    """
    if value is None or value == []:
        raise RequestError(f"{path} must hold at least one message.", param=path)
    if not is_counted:
        _check_counts(value, path)
    bodies = read(value, list[MessageBody], path)
    reader = _TurnReader({call.id for body in bodies for call in body.tool_calls or ()})
    turns = [reader.turn(body, sent, f"{path}[{index}]") for index, (body, sent) in enumerate(zip(bodies, value, strict=True))]
    messages, notices = pair_results(turns, path)
    legacy = [Notice("legacy_functions", "function_call in the history was read as tool_calls")] if reader.has_legacy_calls else []
    return History(messages, (*legacy, *notices))


def _check_counts(value: Json, path: str) -> None:
    """Refuse a conversation of too many messages, parts or calls before a value is made of each; raises RequestError."""
    if not is_list(value):
        return
    check_count(len(value), path, "messages")
    counts = dict.fromkeys(COUNTED, 0)
    for index, message in enumerate(value):
        for field, what in COUNTED.items():
            if is_object(message) and is_list(items := message.get(field)):
                counts[field] += len(items)
                check_count(counts[field], f"{path}[{index}].{field}", what)


class _TurnReader:
    """Reads messages one by one; `taken` are the ids of the client's own calls."""

    def __init__(self, taken: set[str]) -> None:
        self.has_legacy_calls = False
        self._legacy_ids = (call_id for number in count(1) if (call_id := f"call_legacy_{number}") not in taken)

    def turn(self, body: MessageBody, sent: dict[str, Json], path: str) -> Turn:
        """`body` is what was read of the message that was `sent`."""
        role = ROLES.get(body.role)
        if role is None:
            raise RequestError(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
        if body.audio is not None:
            raise UnsupportedParameter(f"{path}.audio is not supported: only text and images are.", param=f"{path}.audio")
        parts = read_content(body.content, f"{path}.content")
        extra = unread(sent, READ_OF_ROLE[role], _NULL_IS_ABSENT)
        if role is Role.TOOL:
            # a legacy result has the id of its call as soon as that is found
            call_id = None if body.role == "function" else body.tool_call_id
            return Turn(Message(role, parts, tool_call_id=call_id, name=body.name, extra=extra), answers=_answered(body, path))
        if role is not Role.ASSISTANT:
            for name in ("tool_calls", "function_call"):
                if getattr(body, name):
                    raise RequestError(f"{path}.{name} is only for assistant messages.", param=f"{path}.{name}")
            return Turn(Message(role, parts, name=body.name, extra=extra))
        if body.refusal:
            parts = (*parts, TextPart(body.refusal))
        calls, keys = self._calls(body, sent, path)
        return Turn(Message(role, parts, calls, name=body.name, reasoning=_reasoning(body, extra), extra=extra), keys)

    def _calls(self, body: MessageBody, sent: dict[str, Json], path: str) -> tuple[tuple[ToolCall, ...], tuple[Key, ...]]:
        made = zip(body.tool_calls or (), sent.get("tool_calls") or (), strict=True)
        calls = [_call(call, fields, f"{path}.tool_calls[{index}]") for index, (call, fields) in enumerate(made)]
        keys = [Key(call.id) for call in calls]
        if body.function_call is not None:
            self.has_legacy_calls = True
            calls.append(ToolCall(next(self._legacy_ids), body.function_call.name, body.function_call.arguments or ""))
            keys.append(Key(body.function_call.name, is_name=True))
        return tuple(calls), tuple(keys)


def _call(body: CallBody, sent: dict[str, Json], path: str) -> ToolCall:
    kind = body.type or ("custom" if body.function is None and body.custom is not None else "function")
    if kind not in _READ_OF_CALL:
        raise UnsupportedParameter(f"{path}.type must be function or custom.", param=f"{path}.type")
    called = body.custom if kind == "custom" else body.function
    if called is None:
        raise RequestError(f"{path}.{kind} is required.", param=f"{path}.{kind}")
    extra = unread(sent, _READ_OF_CALL[kind], _NULL_IS_NO_CALL)
    if inside := unread(sent[kind], _READ_INSIDE_CALL[kind]):
        extra[kind] = inside
    if isinstance(called, CalledCustom):
        return ToolCall(body.id, called.name, called.input or "", custom=True, extra=extra)
    return ToolCall(body.id, called.name, called.arguments or "", extra=extra)


def _reasoning(body: MessageBody, extra: dict[str, Json]) -> str | None:
    """The echoed reasoning; of two spellings the first counts that says anything, and the other is kept unread."""
    if body.reasoning_content is None or body.reasoning is None:
        return body.reasoning if body.reasoning_content is None else body.reasoning_content
    if body.reasoning_content or not body.reasoning:
        extra["reasoning"] = body.reasoning
        return body.reasoning_content
    extra["reasoning_content"] = body.reasoning_content
    return body.reasoning


def _answered(body: MessageBody, path: str) -> Key | None:
    """The key of the call that a result answers."""
    if body.role == "function":
        if not body.name:
            raise RequestError(f"{path}.name is required: it names the function that answered.", param=f"{path}.name")
        return Key(body.name, is_name=True)
    return None if body.tool_call_id is None else Key(body.tool_call_id)
