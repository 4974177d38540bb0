r"""The canonical Request as a body of Anthropic's Messages API.

Theory of operation: a `Request` in the form of the API (`pipeline.prompt.messages_form`) and the target's `MessagesProfile` come in; `MessagesBody`
goes out: the bytes of one JSON object, and by name what is not in them. The system messages in front are `system`; results are blocks of a user's
message, in front of what the user says; messages of one role in a row are one. Options are written by `pipeline.prompt.messages_options`, blocks by
`pipeline.prompt.messages_blocks`. A client of the same API gets its own words back: blocks and fields that nobody here reads come out as they went
in, where `pass_fields` lets them. The stream is always asked for.

Invariants: the conversation comes out as it went in, except that
- content of one text alone is a string; text of nothing but white space, and messages that then hold nothing, are left out: the API refuses them;
- a tool without a schema has that of an object, and `strict` stands there only if it is true;
- tool_choice auto is left out, unless it says that there may be one call at a time;
- a conversation with calls, of a request without tools, has their names as tools that may not be called: the API wants to know them;
- where the profile has `prompt_cache`, a conversation in which nothing is marked to be cached is marked as a whole.

Left alone: whether the target can do what it is asked.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from pipeline.events import Notice
from pipeline.prompt.chat_body import ChatProfile
from pipeline.prompt.chat_body import left_out as fields_left_out
from pipeline.prompt.chat_body import not_passed as fields_not_passed
from pipeline.prompt.messages_blocks import SYSTEM, THOUGHTS, as_content, written_blocks, written_parts, written_result
from pipeline.prompt.messages_form import leading_count
from pipeline.prompt.messages_options import READ, written_options
from pipeline.prompt.messages_places import CACHE_MARK
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT, MessagesProfile
from pipeline.prompt.unread import MESSAGE, PART, TOOL, bounded, names_inside
from pipeline.request import ImagePart, Json, Message, Request, Role, Tool, ToolMode

CHOICES = {ToolMode.AUTO: "auto", ToolMode.REQUIRED: "any", ToolMode.NONE: "none", ToolMode.FUNCTION: "tool"}

_OPEN_OBJECT: dict[str, Json] = {"type": "object"}
_ROLES = {Role.SYSTEM: "system", Role.USER: "user", Role.TOOL: "user", Role.ASSISTANT: "assistant"}


class MessagesBody(msgspec.Struct, frozen=True):
    """What is sent. The flow ends the answer at the first of `stops`; `ignored` and `notices` say what is not as the client sent it."""

    data: bytes
    stops: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def write_messages_body(request: Request, profile: MessagesProfile) -> MessagesBody:
    """The body; `request.model` is the target's own id.

    >>> from pipeline.request import TextPart
    >>> write_messages_body(Request("claude", (Message(Role.USER, (TextPart("Hello"),)),)), MessagesProfile(max_tokens=99)).data.decode()
    '{"model":"claude","max_tokens":99,"messages":[{"role":"user","content":"Hello"}],"stream":true}'
    """
    options = written_options(request, profile)
    body: dict[str, Json] = {"model": request.model, **options.fields}
    first = leading_count(request.messages)
    system = [block for message in request.messages[:first] for block in written_parts(message, profile, SYSTEM)]
    if options.rules:
        system.append({"type": "text", "text": options.rules})
    if system:
        body["system"] = as_content(system)
    body["messages"] = _turns(request.messages[first:], profile)
    body["stream"] = True
    body |= _tools(request, profile)
    names = {name: value for name, value in request.extra.items() if name not in READ}
    unread, plain = Request("", (), extra=names), ChatProfile(pass_fields=profile.pass_fields)
    not_passed = (*fields_not_passed(unread, plain), *options.ignored)
    body |= {name: value for name, value in names.items() if name not in body and name not in not_passed}
    if profile.prompt_cache and not _is_marked(request):
        body[CACHE_MARK] = {"type": "ephemeral"}
    return MessagesBody(
        msgspec.json.encode(body),
        options.stops,
        (*not_passed, *_not_passed_inside(request, profile)),
        (*options.notices, *fields_left_out(unread, plain)),
    )


def _turns(messages: Sequence[Message], profile: MessagesProfile) -> list[dict[str, Json]]:
    written = [(_ROLES[message.role], message, _blocks(message, profile)) for message in messages]
    turns: list[dict[str, Json]] = []
    for role, run in groupby((each for each in written if each[2]), lambda each: each[0]):
        blocks: list[dict[str, Json]] = []
        extra: dict[str, Json] = {}
        for _, message, added in run:
            blocks += added
            if message.role is not Role.TOOL:
                extra |= profile.kept(message.extra, MESSAGE)
        turns.append({"role": role, "content": as_content(blocks), **extra})
    return turns


def _blocks(message: Message, profile: MessagesProfile) -> list[dict[str, Json]]:
    if message.role is Role.TOOL:
        return [written_result(message, profile)]
    blocks = [*written_blocks(message, profile)]
    # reasoning alone is no message
    return blocks if any(block["type"] not in THOUGHTS for block in blocks) else []


# -- tools


def _tools(request: Request, profile: MessagesProfile) -> dict[str, Json]:
    tools, mode = request.tools, request.tool_choice.mode
    if not tools:
        names = dict.fromkeys(call.name for message in request.messages for call in message.tool_calls)
        tools, mode = tuple(map(Tool, names)), ToolMode.NONE
    if not tools:
        return {}
    fields: dict[str, Json] = {"tools": [_tool(tool, profile) for tool in tools]}
    choice: dict[str, Json] = {"type": CHOICES[mode]}
    if mode is ToolMode.FUNCTION:
        choice["name"] = request.tool_choice.name
    if not request.options.parallel_tool_calls and mode is not ToolMode.NONE:
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        fields["tool_choice"] = choice
    return fields


def _tool(tool: Tool, profile: MessagesProfile) -> dict[str, Json]:
    written: dict[str, Json] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = tool.parameters if "type" in tool.parameters else {**_OPEN_OBJECT, **tool.parameters}
    if tool.strict:
        written["strict"] = True
    return {**profile.kept(tool.extra, TOOL), **written}


# -- what is not in the body


def _is_marked(request: Request) -> bool:
    """Whether the client says itself what is to be cached."""
    return CACHE_MARK in request.extra or any(name.endswith(f".{CACHE_MARK}") for name in names_inside(request))


def _not_passed_inside(request: Request, profile: MessagesProfile) -> tuple[str, ...]:
    """The paths of what stands inside other objects and is not passed on, each once."""
    blocks = {f"{place}.{kind}" for place in (PART, SYSTEM) for kind in BLOCKS_IN_TEXT}
    names = ["messages.name"] if any(message.name is not None and message.role is not Role.TOOL for message in request.messages) else []
    if any(isinstance(part, ImagePart) and part.detail != "auto" for message in request.messages for part in message.parts):
        names.append(f"{PART}.image_url.detail")
    return bounded((*names, *(name for name in names_inside(request) if name not in blocks and not profile.passes(name))))
