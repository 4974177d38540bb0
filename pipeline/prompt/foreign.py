"""A request for an upstream of another dialect than its client's: the fields that mean something only in the client's own are left out by name.

Theory of operation: what no stage reads of a body is kept in the words of the client's dialect (`Request.dialect`), and written back for an upstream
of the same one. For another the request loses those fields, and their names go to `ignored`. The few that both dialects have under one name, with
one meaning, stay. A part that only the client's dialect has a form for is refused. A request in the upstream's own dialect comes back as the very
same object.
"""

import re
from typing import TypeGuard, TypeVar

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.messages_fields import KEPT_AND_READ
from pipeline.prompt.unread import CALL, FORMAT, INSIDE, MESSAGE, PART, TOOL, bounded, unread_inside
from pipeline.request import AnswerFormat, ImagePart, Json, Message, OpaquePart, Part, Request, TextPart, Tool, ToolCall

Thing = TypeVar("Thing", bound=Message | TextPart | ImagePart | ToolCall | Tool | AnswerFormat)

SHARED = frozenset({"temperature", "top_p"})
"""Fields of a body that mean the same in both dialects."""

READ = {"anthropic": KEPT_AND_READ}
"""Fields of a dialect that are read, and kept beside that for an upstream that speaks it."""

UNDERSTOOD = {"anthropic": frozenset({"cache_control"})}
"""Fields inside of messages and tools that clients of every dialect write for an upstream of this one, in its own words."""

_PLAIN_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


def in_dialect(request: Request, dialect: str) -> Request:
    """The request as an upstream of `dialect` can take it.

    Raises:
        UnsupportedParameter: a part that has no form there; `param` is its place.

    >>> from pipeline.request import Role, TextPart
    >>> said = (Message(Role.USER, (TextPart("Hi", {"cache_control": {}}),)),)
    >>> foreign = in_dialect(Request("m", said, extra={"top_k": 5, "top_p": 0.9}, dialect="anthropic"), "openai")
    >>> foreign.messages[0].parts, foreign.extra, foreign.ignored
    ((TextPart(text='Hi'),), {'top_p': 0.9}, ('top_k', 'messages.content.cache_control'))
    """
    if request.dialect == dialect:
        return request
    understood = UNDERSTOOD.get(dialect, frozenset())
    unnamed = SHARED | READ.get(request.dialect, frozenset())
    inside = (name for name in unread_inside(request) if name.rpartition(".")[2] not in understood or name.startswith(f"{FORMAT}."))
    names = bounded((*(name for name in request.extra if name not in unnamed), *inside))
    return msgspec.structs.replace(
        request,
        messages=tuple(_message(message, dialect, understood) for message in request.messages),
        tools=tuple(_stripped(tool, TOOL, understood) for tool in request.tools),
        options=msgspec.structs.replace(request.options, answer_format=_stripped(request.options.answer_format, FORMAT, frozenset())),
        extra={name: value for name, value in request.extra.items() if name in SHARED},
        ignored=tuple(dict.fromkeys((*request.ignored, *names))),
        dialect=dialect,
    )


def _message(message: Message, dialect: str, understood: frozenset[str]) -> Message:
    message = _stripped(message, MESSAGE, understood)
    return msgspec.structs.replace(
        message,
        parts=tuple(_part(part, dialect, understood) for part in message.parts),
        tool_calls=tuple(_stripped(call, CALL, understood) for call in message.tool_calls),
    )


def _part(part: Part, dialect: str, understood: frozenset[str]) -> Part:
    if not isinstance(part, OpaquePart):
        return _stripped(part, PART, understood)
    if part.dialect != dialect:
        kind = part.kind if _PLAIN_WORD.fullmatch(part.kind) else "?"
        raise UnsupportedParameter(f"{part.path} is of type {kind}, which this model's API has no form for.", param=part.path)
    return part


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _stripped(thing: Thing, place: str, understood: frozenset[str]) -> Thing:
    """The same without what is not understood; what is, is taken up from inside the object in its middle, such as a tool's `function`."""
    if not thing.extra:
        return thing
    found: dict[str, Json] = {}
    for name, value in thing.extra.items():
        if name in INSIDE[place] and _is_object(value):
            found = {key: inner for key, inner in value.items() if key in understood} | found
    found |= {name: value for name, value in thing.extra.items() if name in understood}
    return msgspec.structs.replace(thing, extra=found)
