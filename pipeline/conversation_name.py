"""A name for a conversation: a hash of what survives the clients that send it back.

Theory of operation: messages are added in their order, and behind each of them the digest is the name of the conversation so far: a SHA-256 over its
owner, the model, and the messages, each field behind its length. Only what survives a client is hashed:

- of a message its role and its text; of an assistant's text not the white space, which clients trim, fold and join anew;
- of an image its URL, of another part its fields;
- of a call its tool and its arguments: their JSON value, since clients write it anew, with numbers as JavaScript has them, and of a custom tool's
  call the raw input without white space, whether or not it lies in the wrapper that stands for it where there are only functions;
- no ids: Kimi's (`functions.read:0`) are rewritten on their way through Cursor, and beside the whole conversation they tell nothing apart;
- neither reasoning nor `name` nor `extra`: clients drop them, or move them as a cache mark is moved.

Invariants: linear in the text. Nothing raises, whatever a model or a client wrote. No text can be had from a name.
"""

import hashlib
import re
from typing import cast

import msgspec

from pipeline.request import WRAPPED_INPUT, ImagePart, Json, Message, OpaquePart, Role, TextPart, ToolCall

_EXACT = 2**53
_LONG_NUMBER = re.compile(r"\d{16}")


class ConversationName:
    r"""The running hash of a conversation.

    >>> written, echoed = (ConversationName("me", "kimi") for _ in range(2))
    >>> written.add(Message(Role.ASSISTANT, (TextPart("Looking."),), (ToolCall("call_1", "read", '{"lines": [1, 2.0]}'),)))
    >>> echoed.add(Message(Role.ASSISTANT, (TextPart(" Looking.\n"),), (ToolCall("a", "read", '{"lines":[1.0,2]}'),)))
    >>> written.digest() == echoed.digest()
    True
    """

    def __init__(self, owner: str, model: str) -> None:
        self._hash = hashlib.sha256()
        self._text(owner)
        self._text(model)

    def add(self, message: Message) -> None:
        """The next message."""
        is_answer = message.role is Role.ASSISTANT
        self._text(message.role.value)
        self._text(_without_space(message.text) if is_answer else message.text)
        others = [part for part in message.parts if not isinstance(part, TextPart)]
        self._count(len(others))
        for part in others:
            self._part(part)
        self._count(len(message.tool_calls))
        for call in message.tool_calls:
            self._text(call.name)
            self._field(_arguments(call))

    def digest(self, message: Message | None = None) -> bytes:
        """The hash of all that was added, of 32 bytes; with a message, of that behind it, which is not added."""
        if message is None:
            return self._hash.digest()
        before, self._hash = self._hash, self._hash.copy()
        self.add(message)
        behind, self._hash = self._hash, before
        return behind.digest()

    def _part(self, part: ImagePart | OpaquePart) -> None:
        if isinstance(part, ImagePart):
            self._text("image")
            self._text(part.url)
        else:
            self._text(part.kind)
            self._field(_canonical(part.fields) or b"")

    def _text(self, text: str) -> None:
        self._field(_encoded(text))

    def _field(self, data: bytes) -> None:
        self._count(len(data))
        self._hash.update(data)

    def _count(self, number: int) -> None:
        self._hash.update(number.to_bytes(8, "big"))


def call_digest(call: ToolCall) -> bytes:
    """A call by what is the same of it however it is written."""
    arguments = _arguments(call)
    return hashlib.sha256(_encoded(f"{len(call.name)} {call.name}") + arguments).digest()


def _arguments(call: ToolCall) -> bytes:
    """What is the same of a call's arguments however they are written."""
    fields = None if call.custom else _object(call.arguments)
    if fields is not None:
        wrapped = fields.get(WRAPPED_INPUT)
        if len(fields) == 1 and isinstance(wrapped, str):
            return _encoded(_without_space(wrapped))
        if (canonical := _canonical(fields)) is not None:
            return canonical
    return _encoded(_without_space(call.arguments))


def _number(literal: str) -> int | float:
    """1.0 and 1e2 as JavaScript writes them."""
    value = float(literal)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


_read_object = msgspec.json.Decoder(dict[str, Json], float_hook=_number).decode


def _object(text: str) -> dict[str, Json] | None:
    """The object that arguments are, None where they are none; clients write no arguments in either way."""
    try:
        fields = _read_object(_encoded(text)) if text.strip() else {}
        return {name: _as_doubles(value) for name, value in fields.items()} if _LONG_NUMBER.search(text) else fields
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return None


def _as_doubles(value: object) -> Json:
    """The value with its large integers as JavaScript has them, which reads every number as a double."""
    match value:
        case int():
            return float(value) if abs(value) >= _EXACT else value
        case list():
            return list(map(_as_doubles, cast("list[object]", value)))
        case dict():
            return {name: _as_doubles(item) for name, item in cast("dict[str, object]", value).items()}
        case _:
            return value


def _canonical(value: Json) -> bytes | None:
    try:
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.EncodeError, ValueError, RecursionError):
        return None


def _without_space(text: str) -> str:
    return "".join(text.split())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
