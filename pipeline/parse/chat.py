"""A Chat Completions body as the canonical Request.

Theory of operation: the bytes are decoded once (`pipeline.parse.body`); the conversation, the tools and the options each have a reader of their own,
and the table of parameters (`pipeline.parameters`) settles every other field. What comes out is complete or a `RequestError` was raised: a wrong type
or value is the client's error and names its field. What was mapped or left out is in `notices`, what no reader looked at in `extra` and `ignored`.
The order of the checks is fixed (parameters, messages, tools, options), so that one body always gives the same error.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import decode_body, is_list, is_object, read
from pipeline.parse.history import History, read_history
from pipeline.parse.options import read_options
from pipeline.parse.parameters import unread_fields
from pipeline.parse.tools import read_toolbox
from pipeline.request import Json, Request

BLOCKS = frozenset({"tool_use", "tool_result"})
"""Anthropic's blocks for what Chat Completions has messages of their own for."""

OF_CHAT = frozenset({"function", "custom", "parameters"})
"""Of a tool, what only Chat Completions, and Responses, have."""


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options`."""

    include_usage: bool | None = None


class Envelope(msgspec.Struct, frozen=True):
    """The fields of a body that say where the answer goes and in which form."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


def parse_chat(body: bytes, *, agent: bool = False, conversation: str | None = None) -> Request:
    """Parse the body of `POST /v1/chat/completions`.

    Args:
        body: JSON in UTF-8, as received.
        agent: ask for Agent mode; offering tools asks for it too.
        conversation: a stable id, where the route knows one.

    Raises:
        MalformedBody: the body is not JSON that we read.
        UnsupportedParameter: it asks for what no upstream can do (n over 1, logprobs, audio, …).
        RequestError: anything else; `param` is the path of the field.

    >>> parse_chat(b'{"model": "composer-2.5", "messages": [{"role": "user", "content": "Hello"}]}').messages[0].text
    'Hello'
    """
    fields = decode_body(body)
    if not fields.get("messages") and fields.get("input"):
        raise RequestError(
            "The body has `input` and no `messages`: send it to /v1/responses, or to /cursor/chat/completions for an answer in chat form.",
            param="messages",
        )
    if _is_messages(fields):
        raise RequestError("The body is one of Anthropic's Messages: send it to /v1/messages.", param="messages")
    return build_request(fields, agent=agent, conversation=conversation)


def _is_messages(fields: dict[str, Json]) -> bool:
    """Whether a body can only be one of Anthropic's API: its tools have an `input_schema`, or a content holds the blocks of calls and results."""
    tools, messages = fields.get("tools"), fields.get("messages")
    if is_list(tools) and any(is_object(tool) and "input_schema" in tool and not OF_CHAT & tool.keys() for tool in tools):
        return True
    contents = [message.get("content") for message in messages if is_object(message)] if is_list(messages) else []
    kinds = (part.get("type") for content in contents if is_list(content) for part in content if is_object(part))
    return any(isinstance(kind, str) and kind in BLOCKS for kind in kinds)


def build_request(
    fields: dict[str, Json],
    *,
    history: History | None = None,
    is_counted: bool = False,
    agent: bool = False,
    conversation: str | None = None,
) -> Request:
    """Make the Request from decoded fields.

    Args:
        fields: the body.
        history: what was read already in place of `messages`.
        is_counted: the things in `messages` were counted where the client wrote them, and there may be more of them here.
        agent: as `parse_chat`.
        conversation: as `parse_chat`.

    Raises:
        RequestError: as `parse_chat`.
    """
    extra = unread_fields(fields)
    history = history or read_history(fields.get("messages"), "messages", is_counted=is_counted)
    toolbox = read_toolbox(fields)
    options = read_options(fields)
    envelope = read(fields, Envelope, "")
    return Request(
        model=envelope.model or "",
        messages=history.messages,
        tools=toolbox.tools,
        tool_choice=toolbox.choice,
        options=options.options,
        stream=bool(envelope.stream),
        include_usage=envelope.stream_options is not None and bool(envelope.stream_options.include_usage),
        agent=agent or bool(toolbox.tools),
        conversation=conversation,
        extra=extra,
        ignored=toolbox.unread + options.unread,
        notices=tuple(dict.fromkeys((*history.notices, *toolbox.notices, *options.notices))),
    )
