r"""The canonical Request as a Responses body.

Theory of operation: a `Request` and the target's `ChatProfile` come in, the bytes of one JSON object go out. Each message, call and result of the
conversation is one item of `input`, in the order sent. What a stage understands is written from the Request, in the form of this API; the other
fields of the client's body go through as they are under the rules of `pipeline.prompt.chat_body`, but for those that Chat Completions has and
Responses has not (`LACKING`). The stream is always asked for, and never that anything be kept (`store` is false): each request says all of its
conversation.

A text-only system message at the very beginning is `instructions`: to the model it is the same, and some servers demand them. Further system messages
stay where they are, as items, and nothing is merged.

Invariants: the conversation comes out as it went in, except that
- the content of one text part is a string; an image's `detail` is left out when it is auto; a `file` part of Chat Completions is an `input_file`;
- a call in the history without arguments has `{}`, a tool without a schema has the schema of an object without properties;
- a function that says nothing of `strict` is not strict, as in Chat Completions: here the API would take silence for a yes;
- what says no more than the default is left out; so are tool_choice and parallel_tool_calls without tools;
- the model's own reasoning is not sent: the API takes it back only in the form in which it keeps it itself;
- the client's `verbosity` is `text.verbosity`, which is its name here;
- what a client put inside its messages, calls and tools beside their own fields is left out: the API refuses items with fields that it does not know.

What is left out otherwise is named by `left_out`, `not_passed` and `not_passed_inside`. Left alone: whether the target can do what it is asked.
Custom tools are written as such; for a target that has none, the request comes here in the form of functions (`pipeline.prompt.custom_tools`).
"""

import re
from collections.abc import Iterator

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.events import Notice
from pipeline.prompt.chat_body import UNNAMED_SCHEMA, ChatProfile, cache_key, image_refused, why_left_out
from pipeline.prompt.chat_tools import NO_PARAMETERS
from pipeline.prompt.unread import bounded, unread_inside
from pipeline.request import AnswerFormat, ImagePart, Json, Message, OpaquePart, Part, Request, Role, TextPart, Tool, ToolMode

RESPONSES_PROFILE = ChatProfile(custom_tools=True, verbosity=True, prompt_cache_key=True)
"""What a Responses API takes where nothing else is said; `token_limit_field` and `reasoning_field` are of no effect here."""

_LACKING = "frequency_penalty logit_bias n presence_penalty prediction seed stop web_search_options"
LACKING = frozenset(_LACKING.split())
"""Fields of Chat Completions that have no counterpart here."""

_OWN = "background conversation input instructions max_output_tokens previous_response_id reasoning store text"
OWN_FIELDS = frozenset(_OWN.split())
"""Fields that are written from the Request or by the gateway's choice, beside those of `chat_body.OWN_FIELDS`."""

_MAX_NAME_CHARS = 64
_MAX_NAMES = 16
_NOT_A_NAME = re.compile(r"[^\w.~-]+", re.ASCII)


def write_responses_body(request: Request, profile: ChatProfile) -> bytes:
    """The body; `request.model` is the target's own id.

    Raises:
        UnsupportedParameter: the conversation holds images and the target takes none, or a part that the API has no form for.

    >>> from pipeline.request import Message, Role, TextPart
    >>> write_responses_body(Request("gpt-5.2", (Message(Role.USER, (TextPart("Hello"),)),)), RESPONSES_PROFILE).decode()
    '{"model":"gpt-5.2","input":[{"type":"message","role":"user","content":"Hello"}],"store":false,"stream":true}'
    """
    body: dict[str, Json] = {"model": request.model}
    messages = request.messages
    first = 0
    if len(messages) > 1 and messages[0].role is Role.SYSTEM and all(isinstance(part, TextPart) for part in messages[0].parts):
        body["instructions"], first = messages[0].text, 1
    customs: set[str] = set()
    body["input"] = [item for place in range(first, len(messages)) for item in _items(messages[place], f"messages[{place}]", customs, profile)]
    body |= {"store": False, "stream": True}
    body |= _tools(request)
    body |= _options(request, profile)
    for name, value in request.extra.items():
        if name not in body and name != "verbosity" and _why_left_out(name, profile) is None:
            body[name] = value
    return msgspec.json.encode(body)


def left_out(request: Request, profile: ChatProfile) -> tuple[Notice, ...]:
    """What of the request is not in its body, by name and never by value.

    >>> left_out(Request("m", (), extra={"api_base": "https://other.example", "seed": 5}), RESPONSES_PROFILE)[1]
    Notice(code='field_not_forwarded', detail='seed is not known to the Responses API')
    """
    notices: list[Notice] = []
    if request.options.reasoning_effort and not profile.reasoning_effort:
        notices.append(Notice("reasoning_effort_dropped", "this model takes no reasoning effort"))
    if any(message.reasoning for message in request.messages):
        notices.append(Notice("reasoning_dropped", "a Responses API takes no reasoning in the history but its own"))
    reasons = ((name, _why_left_out(name, profile)) for name in request.extra)
    notices += [Notice("field_not_forwarded", f"{_NOT_A_NAME.sub('?', name)[:_MAX_NAME_CHARS]} {why}") for name, why in reasons if why is not None]
    if len(notices) > _MAX_NAMES:
        notices[_MAX_NAMES:] = [Notice("field_not_forwarded", f"and {len(notices) - _MAX_NAMES} more")]
    return tuple(notices)


def not_passed(request: Request, profile: ChatProfile) -> tuple[str, ...]:
    """The names of the fields that this target takes no notice of: `pipeline.parameters.ignored_by` says what of it the client is told."""
    effort = () if profile.reasoning_effort else ("reasoning_effort",)
    return (*effort, *(name for name in request.extra if _why_left_out(name, profile) is not None))


def not_passed_inside(request: Request, profile: ChatProfile) -> tuple[str, ...]:
    """The paths of what stands inside other objects and is not passed on, each once.

    >>> not_passed_inside(Request("m", (Message(Role.USER, name="Ann", extra={"cache_control": {}}),)), RESPONSES_PROFILE)
    ('messages.name', 'messages.cache_control')
    """
    names = ["messages.name"] if any(message.name is not None and message.role is not Role.TOOL for message in request.messages) else []
    names += unread_inside(request)
    if request.options.verbosity is not None and not profile.verbosity:
        names.append("text.verbosity")
    return bounded(names)


def _why_left_out(name: str, profile: ChatProfile) -> str | None:
    """The end of a sentence that says why a field of the body is not passed on; None for one that is."""
    if name in OWN_FIELDS:
        return "is written by the gateway"
    if name in LACKING:
        return "is not known to the Responses API"
    return why_left_out(name, profile)


def _items(message: Message, path: str, customs: set[str], profile: ChatProfile) -> Iterator[dict[str, Json]]:
    """One message as items: a result is one, and calls stand behind the text that they came with.

    `customs` are the ids whose latest call so far is one of a custom tool: models count their calls anew, and an id may have been any tool's before.
    """
    if message.role is Role.TOOL:
        kind = "custom_tool_call_output" if message.tool_call_id in customs else "function_call_output"
        yield {"type": kind, "call_id": message.tool_call_id, "output": _content(message, path, profile)}
        return
    if message.parts or not message.tool_calls:
        yield {"type": "message", "role": message.role.value, "content": _content(message, path, profile)}
    for call in message.tool_calls:
        if call.custom:
            customs.add(call.id)
            yield {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments}
        else:
            customs.discard(call.id)
            arguments = call.arguments if call.arguments.strip() else "{}"
            yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _content(message: Message, path: str, profile: ChatProfile) -> Json:
    parts = message.parts
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part, message.role, f"{path}.content[{place}]", profile) for place, part in enumerate(parts)]


def _part(part: Part, role: Role, path: str, profile: ChatProfile) -> dict[str, Json]:
    if isinstance(part, TextPart):
        return {"type": "output_text" if role is Role.ASSISTANT else "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        if not profile.images:
            raise image_refused(part, path)
        image: dict[str, Json] = {"type": "input_image", "image_url": part.url}
        return image if part.detail == "auto" else {**image, "detail": part.detail}
    return _opaque(part)


def _opaque(part: OpaquePart) -> dict[str, Json]:
    if part.kind == "input_file":
        return part.fields
    inside = part.fields.get("file")
    if part.kind == "file" and isinstance(inside, dict):
        return {"type": "input_file", **inside}
    raise UnsupportedParameter(f"{part.path} is a part of a kind that the Responses API has no form for.", param=part.path)


def _tools(request: Request) -> dict[str, Json]:
    if not request.tools:
        return {}
    fields: dict[str, Json] = {"tools": [_custom(tool) if tool.custom else _function(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice.mode is ToolMode.FUNCTION:
        is_custom = any(tool.custom and tool.name == choice.name for tool in request.tools)
        fields["tool_choice"] = {"type": "custom" if is_custom else "function", "name": choice.name}
    elif choice.mode is not ToolMode.AUTO:
        fields["tool_choice"] = choice.mode.value
    if not request.options.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


def _function(tool: Tool) -> dict[str, Json]:
    function: dict[str, Json] = {"type": "function", "name": tool.name}
    if tool.description:
        function["description"] = tool.description
    return {**function, "parameters": tool.parameters or NO_PARAMETERS, "strict": bool(tool.strict)}


def _custom(tool: Tool) -> dict[str, Json]:
    custom: dict[str, Json] = {"type": "custom", "name": tool.name}
    if tool.description:
        custom["description"] = tool.description
    if tool.grammar is not None:
        custom["format"] = {"type": "grammar", "syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
    return custom


def _options(request: Request, profile: ChatProfile) -> dict[str, Json]:
    options = request.options
    fields: dict[str, Json] = {}
    if options.max_tokens is not None:
        fields["max_output_tokens"] = options.max_tokens
    if text := _text(request, profile):
        fields["text"] = text
    if profile.reasoning_effort and (reasoning := _reasoning(request)):
        fields["reasoning"] = reasoning
    key = cache_key(request, profile)
    if key is not None:
        fields["prompt_cache_key"] = key
    return fields


def _reasoning(request: Request) -> dict[str, Json]:
    options = request.options
    fields: dict[str, Json] = {"effort": options.reasoning_effort} if options.reasoning_effort else {}
    # without it, the API shows nothing of what the model thinks
    return fields | {"summary": "auto"} if options.reasoning else fields


def _text(request: Request, profile: ChatProfile) -> dict[str, Json]:
    options = request.options
    fields: dict[str, Json] = {}
    if options.answer_format.kind != "text":
        fields["format"] = _format(options.answer_format)
    if options.verbosity is not None and profile.verbosity:
        fields["verbosity"] = options.verbosity
    elif "verbosity" in request.extra and _why_left_out("verbosity", profile) is None:
        fields["verbosity"] = request.extra["verbosity"]
    return fields


def _format(answer_format: AnswerFormat) -> dict[str, Json]:
    if answer_format.kind != "json_schema":
        return {"type": answer_format.kind}
    fields: dict[str, Json] = {"type": "json_schema", "name": answer_format.name or UNNAMED_SCHEMA, "schema": answer_format.schema or {}}
    if answer_format.description is not None:
        fields["description"] = answer_format.description
    if answer_format.strict is not None:
        fields["strict"] = answer_format.strict
    return fields
