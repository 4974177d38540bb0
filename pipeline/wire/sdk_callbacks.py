"""The callbacks of custom tools: what the bridge asks of the program that offers them, and what it is answered.

Theory of operation: when the model calls one of the tools that `CreateAgent` was given, the bridge posts `CallCustomTool` to the program that started
it, and waits. `read_callback` reads such a body; `tool_result` writes the answer, and `callback_error` the error of an answer that is none. All are
JSON as protobuf maps it.

Invariants: a body that is no call is a `ProtocolViolation`. The arguments come out as the JSON text that came in, so that a number stays as it was
written; what in it is no character becomes U+FFFD. Left alone: whether there is such a tool, and whether the arguments are any good.

The ids of calls are the model's: they can be long and hold line ends.
"""

import base64
from collections.abc import Sequence

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.request import Json
from pipeline.wire.json_values import decode_json
from pipeline.wire.openai_chunks import mended

CALL_CUSTOM_TOOL = "/sdk.v1.SdkCustomToolCallbackService/CallCustomTool"


class ToolCallback(msgspec.Struct, frozen=True):
    """One call. `arguments` is the JSON text of an object; `tool_call_id` is None where the bridge told none."""

    tool_name: str
    arguments: str
    tool_call_id: str | None
    agent_id: str


class _Body(msgspec.Struct, frozen=True):
    """The body as sent; protobuf leaves out what is empty."""

    tool_name: str | None = msgspec.field(default=None, name="toolName")
    args: msgspec.Raw = msgspec.Raw(b"{}")
    tool_call_id: str | None = msgspec.field(default=None, name="toolCallId")
    agent_id: str | None = msgspec.field(default=None, name="agentId")


_BODIES = msgspec.json.Decoder(_Body)


def read_callback(body: bytes) -> ToolCallback:
    """The call in a request's body; raises ProtocolViolation where there is none.

    >>> read_callback(b'{"toolName": "Glob", "args": {"depth": 2.0}, "agentId": "agent-1"}')
    ToolCallback(tool_name='Glob', arguments='{"depth": 2.0}', tool_call_id=None, agent_id='agent-1')
    """
    fields = _decode(body) or _decode(mended(body))
    if fields is None:
        raise ProtocolViolation("The bridge asked for a tool's result in a form that is not its protocol's.")
    if not fields.tool_name or not fields.agent_id:
        raise ProtocolViolation("The bridge asked for a tool's result without the tool's name or the agent's id.")
    return ToolCallback(fields.tool_name, bytes(fields.args).decode(), fields.tool_call_id or None, fields.agent_id)


def tool_result(texts: Sequence[str], images: Sequence[tuple[bytes, str]] = (), *, is_error: bool = False) -> bytes:
    """What a tool gave: its texts, its images as the bytes of their files and their media types, and whether it failed.

    >>> tool_result(["4 files"])
    b'{"result":{"content":[{"type":"text","text":"4 files"}],"isError":false}}'
    """
    content: list[Json] = [{"type": "text", "text": text} for text in texts]
    content += [{"type": "image", "data": base64.b64encode(data).decode(), "mimeType": kind} for data, kind in images]
    return msgspec.json.encode({"result": {"content": content, "isError": is_error}})


def callback_error(code: str, message: str) -> bytes:
    """The body of an answer that is an error: Connect's code, and a sentence that the agent may read.

    >>> callback_error("unauthenticated", "Unauthorized")
    b'{"code":"unauthenticated","message":"Unauthorized"}'
    """
    return msgspec.json.encode({"code": code, "message": message})


def _decode(body: bytes) -> _Body | None:
    """None for bytes that are no such JSON, and for arguments that are no object of characters."""
    try:
        fields = _BODIES.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    arguments = decode_json(bytes(fields.args))
    if arguments is None and bytes(fields.args).strip() == b"null":
        return msgspec.structs.replace(fields, args=msgspec.Raw(b"{}"))
    return fields if isinstance(arguments, dict) else None
