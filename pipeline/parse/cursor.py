"""The bodies that Cursor's editor sends to its custom base URL, as the canonical Request.

Theory of operation: the path says Chat Completions, but the body may hold Responses' `input` instead of `messages`. A body with messages is a chat
body. Otherwise `input`, a string or a list of message items, becomes the messages, with `instructions` before them as a system message; every other
field goes through the same readers as a chat body's. An item of another kind (a call, its output, reasoning) is refused with its path and type, so
that no part of a conversation is lost in silence.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import decode_body, read
from pipeline.parse.chat import build_request
from pipeline.parse.history import History, read_history
from pipeline.request import Json, Message, Request, Role, TextPart


class ItemKind(msgspec.Struct, frozen=True):
    """What an item of `input` says that it is; without a type it is a message."""

    type: str = "message"


class InputFields(msgspec.Struct, frozen=True):
    """The fields that stand for `messages`."""

    input: str | list[ItemKind] | None = None
    instructions: str | None = None


def parse_cursor(body: bytes) -> Request:
    """Parse the body of `POST /cursor/chat/completions`.

    Raises:
        RequestError: as `parse_chat`; also for an item of `input` that is not a message.

    >>> parse_cursor(b'{"model": "gpt-4o", "input": "Hello", "instructions": "Be brief."}').messages[0].text
    'Be brief.'
    """
    fields = decode_body(body)
    if fields.get("messages"):
        return build_request(fields)
    history = _read_input(fields)
    return build_request({name: value for name, value in fields.items() if name not in ("messages", "input", "instructions")}, history=history)


def _read_input(fields: dict[str, Json]) -> History:
    body = read(fields, InputFields, "")
    if not body.input:
        raise RequestError("The body must hold `messages` or `input`, and neither may be empty.", param="messages")
    if isinstance(body.input, str):
        history = History((Message(Role.USER, (TextPart(body.input),)),), ())
    else:
        for index, item in enumerate(body.input):
            if item.type != "message":
                param = f"input[{index}]"
                raise RequestError(f"{param} is of type {item.type!r}: only message items are supported on this path yet.", param=param)
        history = read_history(fields["input"], "input")
    if not body.instructions:
        return history
    return History((Message(Role.SYSTEM, (TextPart(body.instructions),)), *history.messages), history.notices)
