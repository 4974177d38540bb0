r"""The canonical Request as a Chat Completions body.

Theory of operation: a `Request` and the target's `ChatProfile` come in, the bytes of one JSON object go out. What a stage understands is written from
the Request; the other fields of the client (`extra`), of the body and of each thing in it, go through as they are, if `pass_fields` lets them. Those
of the body that are `DENIED_FIELDS` never do: they would choose a host, a credential, a model or a transport, which only the operator does. Parts
that are neither text nor images pass whole. Custom tools are written as such, and for a target that has none the request comes here in the form of
functions (`pipeline.prompt.custom_tools`). The stream is always asked for, with its usage, whatever the client asked: a whole answer is a fold over
the same stream.

Invariants: the client's fields come out as they went in, except that
- the content of one text part without fields of its own is a string, that of none `""`, or null beside tool calls; empty text parts are left out;
- text and images have the names of Chat Completions (`text`, `image_url`), and so have roles (`system`, `tool`); a refusal is text;
- an image's `detail` is left out when it is auto, and so is an empty description of a tool and a format that allows a custom tool any text;
- a call in the history has its type, and without arguments `{}`; a tool without a schema has the schema of an object without properties;
- functions and function_call are tools and tool_choice; of tools that are not allowed, or run at OpenAI, nothing is left;
- what is null where it could be read, and what says no more than the default, is left out: an empty list of calls, tool_choice auto,
  parallel_tool_calls true, response_format text; so are tool_choice and parallel_tool_calls without tools, which OpenAI refuses;
- the token limit, the reasoning effort and echoed reasoning stand under the names that the profile gives; `text.format` is response_format, and
  `text.verbosity` is verbosity where the profile has it;
- where the profile has `prompt_cache_key` and the client sent none, it is made of the conversation.

What is left out otherwise is named by `left_out` and `not_passed`, from the same tables. Left alone: whether the target can do what it is asked.
"""

import hashlib
import re
from collections.abc import Callable
from typing import TypeGuard

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.events import Notice
from pipeline.prompt.chat_tools import choice_value, tool_object
from pipeline.prompt.unread import CALL, FORMAT, MESSAGE, PART, TOOL, bounded, kept, names_inside
from pipeline.request import AnswerFormat, ImagePart, Json, Message, OpaquePart, Part, Request, Role, TextPart, ToolCall, ToolMode

PASS_ALL = "all"

# Written from the Request or by the operator's choice: never from `extra`.
_OWN = "model messages stream stream_options tools tool_choice parallel_tool_calls functions function_call stop response_format reasoning_effort"
OWN_FIELDS = frozenset(_OWN.split())

# The spellings of gateways and SDKs for another host, credential, model or transport; compared without case, `_` and `-`: api_base is apiBase too.
_DENIED = """
    api_base base_url api_url api_host host url endpoint azure_endpoint azure_deployment deployment deployment_id engine region region_name
    api_key api_token api_type api_version access_token auth authorization token credentials key_name organization organization_id
    custom_llm_provider model_list model_group models fallback fallbacks fallback_models context_window_fallbacks content_policy_fallbacks
    headers extra_headers default_headers custom_headers http_headers extra_query default_query extra_body user_config
    client http_client http_agent proxy proxies http_proxy https_proxy ssl_verify verify_ssl verify cert
    timeout request_timeout stream_timeout max_retries num_retries retry_policy mock_response router_settings
"""
DENIED_FIELDS = frozenset(_DENIED.split())
DENIED_PREFIXES = ("aws_", "azure_", "vertex_", "watsonx_", "litellm_")
_DENIED_WORDS = frozenset(name.replace("_", "") for name in DENIED_FIELDS)
_DENIED_BEGINNINGS = tuple(prefix.rstrip("_") for prefix in DENIED_PREFIXES)

UNNAMED_SCHEMA = "response"

REASONING_FIELDS = frozenset({"reasoning_content", "reasoning"})
MAX_CACHE_KEY_CHARS = 64
"""OpenAI refuses a longer one."""

_TEXT_FIELDS = ("type", "text")
_MAX_NAME_CHARS = 64
_MAX_NAMES = 16
_NOT_A_NAME = re.compile(r"[^\w.~-]+", re.ASCII)


class ChatProfile(msgspec.Struct, frozen=True):
    """What one target takes.

    `token_limit_field` and `reasoning_field` are names of fields, the second one empty for a target that takes no echoed reasoning; the booleans say
    whether the target takes custom tools, images, images in the results of tools, one system message only, and an effort, and whether the gateway is
    to write `verbosity` and `prompt_cache_key` for it;
    `pass_fields` is "all" or the names of the unknown fields that go through, those inside other objects with their path (`tools.cache_control`).
    """

    custom_tools: bool = False
    images: bool = True
    tool_images: bool = False
    single_system: bool = False
    token_limit_field: str = "max_tokens"
    reasoning_field: str = "reasoning_content"
    reasoning_effort: bool = True
    verbosity: bool = False
    prompt_cache_key: bool = False
    pass_fields: str | tuple[str, ...] = PASS_ALL


def write_chat_body(request: Request, profile: ChatProfile) -> bytes:
    """The body; `request.model` is the target's own id.

    Raises:
        UnsupportedParameter: the conversation holds images and the target takes none.

    >>> from pipeline.request import Message, Role, TextPart
    >>> write_chat_body(Request("kimi-k3", (Message(Role.USER, (TextPart("Hello"),)),)), ChatProfile()).decode()
    '{"model":"kimi-k3","messages":[{"role":"user","content":"Hello"}],"stream":true,"stream_options":{"include_usage":true}}'
    """
    body: dict[str, Json] = {
        "model": request.model,
        "messages": [_message(message, f"messages[{index}]", profile) for index, message in enumerate(request.messages)],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update(_tools(request, profile))
    body.update(_options(request, profile))
    for name, value in request.extra.items():
        if name not in body and why_left_out(name, profile) is None:
            body[name] = value
    return msgspec.json.encode(body)


def left_out(request: Request, profile: ChatProfile) -> tuple[Notice, ...]:
    """What of the request is not in its body, by name and never by value.

    >>> left_out(Request("m", (), extra={"api_base": "https://other.example", "top_k": 5}), ChatProfile())
    (Notice(code='field_not_forwarded', detail='api_base would choose a host, a model or a transport'),)
    """
    notices: list[Notice] = []
    if request.options.reasoning_effort and not profile.reasoning_effort:
        notices.append(Notice("reasoning_effort_dropped", "this model takes no reasoning effort"))
    if not profile.reasoning_field and any(message.reasoning for message in request.messages):
        notices.append(Notice("reasoning_dropped", "this model takes no reasoning in the history"))
    reasons = ((name, why_left_out(name, profile)) for name in request.extra)
    notices += [Notice("field_not_forwarded", f"{_NOT_A_NAME.sub('?', name)[:_MAX_NAME_CHARS]} {why}") for name, why in reasons if why is not None]
    if len(notices) > _MAX_NAMES:
        notices[_MAX_NAMES:] = [Notice("field_not_forwarded", f"and {len(notices) - _MAX_NAMES} more")]
    return tuple(notices)


def not_passed(request: Request, profile: ChatProfile) -> tuple[str, ...]:
    """The names of the fields that this target takes no notice of: `pipeline.parameters.ignored_by` says what of it the client is told."""
    effort = () if profile.reasoning_effort else ("reasoning_effort",)
    return (*effort, *(name for name in request.extra if why_left_out(name, profile) is not None))


def not_passed_inside(request: Request, profile: ChatProfile) -> tuple[str, ...]:
    """The paths of what stands inside other objects and is not passed on, each once.

    >>> request = Request("m", (Message(Role.USER, extra={"cache_control": {}}),))
    >>> not_passed_inside(request, ChatProfile()), not_passed_inside(request, ChatProfile(pass_fields=()))
    ((), ('messages.cache_control',))
    """
    verbosity = ("text.verbosity",) if request.options.verbosity is not None and not profile.verbosity else ()
    if profile.pass_fields == PASS_ALL:
        return verbosity
    passes = _passes(profile)
    return (*bounded(name for name in names_inside(request) if not passes(name)), *verbosity)


def cache_key(request: Request, profile: ChatProfile) -> str | None:
    """The `prompt_cache_key` that the gateway gives a conversation, None where it is not to, or the client sent its own."""
    conversation = request.conversation
    if not profile.prompt_cache_key or not conversation or "prompt_cache_key" in request.extra:
        return None
    return conversation if len(conversation) <= MAX_CACHE_KEY_CHARS else hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()


def is_denied(name: str) -> bool:
    """Whether a field of a body would choose a host, a credential, a model or a transport, in any spelling.

    >>> is_denied("apiBase"), is_denied("top_k")
    (True, False)
    """
    plain = name.strip().casefold().replace("-", "").replace("_", "")
    return plain in _DENIED_WORDS or plain.startswith(_DENIED_BEGINNINGS)


def why_left_out(name: str, profile: ChatProfile) -> str | None:
    """The end of a sentence that says why a field of the body is not passed on; None for one that is."""
    if name in OWN_FIELDS:
        return "is written by the gateway"
    if is_denied(name):
        return "would choose a host, a model or a transport"
    if not _passes(profile)(name):
        return "is not among the fields that are passed on"
    return None


def image_refused(part: ImagePart, path: str) -> UnsupportedParameter:
    """The error of an image that the target does not take; `path` is where it stands in the Request, which counts if the part knows no place."""
    place = part.path or path
    return UnsupportedParameter(f"{place} is an image, and this model takes none.", param=place)


def prompt_text(request: Request) -> str:
    """What the model reads, as one text for the usage estimate: messages, calls and tools, and a line for each image."""
    texts: list[str] = []
    for message in request.messages:
        texts += (message.text, message.reasoning or "")
        texts += [f"[{'image' if isinstance(part, ImagePart) else part.kind}]" for part in message.parts if not isinstance(part, TextPart)]
        texts += [text for call in message.tool_calls for text in (call.name, call.arguments)]
    for tool in request.tools:
        texts += (tool.name, tool.description)
        texts.append(msgspec.json.encode(tool.parameters).decode() if not tool.custom else tool.grammar.definition if tool.grammar else "")
    return "\n".join(text for text in texts if text)


def _passes(profile: ChatProfile) -> Callable[[str], bool]:
    return _all_pass if profile.pass_fields == PASS_ALL else frozenset(profile.pass_fields).__contains__


def _all_pass(_name: str) -> bool:
    return True


def _with(written: dict[str, Json], extra: dict[str, Json], place: str, profile: ChatProfile) -> dict[str, Json]:
    """`written`, and the client's own fields around and inside it; none of them takes the place of what is written."""
    if extra:
        _merge(written, extra if profile.pass_fields == PASS_ALL else kept(extra, place, _passes(profile)))
    return written


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _merge(written: dict[str, Json], extra: dict[str, Json]) -> None:
    for name, value in extra.items():
        if name not in written:
            written[name] = value
        elif _is_object(value) and _is_object(written[name]):
            _merge(written[name], value)


def _message(message: Message, path: str, profile: ChatProfile) -> dict[str, Json]:
    written: dict[str, Json] = {"role": message.role.value, "content": _content(message, path, profile)}
    if message.name is not None:
        written["name"] = message.name
    if message.reasoning is not None and profile.reasoning_field:
        written[profile.reasoning_field] = message.reasoning
    if message.tool_calls:
        written["tool_calls"] = [_call(call, profile) for call in message.tool_calls]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if not message.extra:
        return written
    extra = message.extra if profile.reasoning_field else {name: value for name, value in message.extra.items() if name not in REASONING_FIELDS}
    return _with(written, extra, MESSAGE, profile)


def _call(call: ToolCall, profile: ChatProfile) -> dict[str, Json]:
    written: dict[str, Json]
    if call.custom:
        written = {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        arguments = call.arguments if call.arguments.strip() else "{}"
        written = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
    return _with(written, call.extra, CALL, profile)


def _content(message: Message, path: str, profile: ChatProfile) -> Json:
    parts = message.parts
    if not parts:
        return None if message.tool_calls and message.role is Role.ASSISTANT else ""
    only = parts[0] if len(parts) == 1 else None
    if not isinstance(only, TextPart):
        return [_part(part, f"{path}.content[{index}]", profile) for index, part in enumerate(parts)]
    if not only.extra:
        return only.text
    written = _part(only, path, profile)
    # what a target may take as a string only is a string, if no more than its text goes through
    return only.text if len(written) == len(_TEXT_FIELDS) else [written]


def _part(part: Part, path: str, profile: ChatProfile) -> dict[str, Json]:
    if isinstance(part, TextPart):
        return _with({"type": "text", "text": part.text}, part.extra, PART, profile)
    if isinstance(part, OpaquePart):
        return part.fields
    if not profile.images:
        raise image_refused(part, path)
    image: dict[str, Json] = {"url": part.url} if part.detail == "auto" else {"url": part.url, "detail": part.detail}
    return _with({"type": "image_url", "image_url": image}, part.extra, PART, profile)


def _tools(request: Request, profile: ChatProfile) -> dict[str, Json]:
    if not request.tools:
        return {}
    fields: dict[str, Json] = {"tools": [_with(tool_object(tool), tool.extra, TOOL, profile) for tool in request.tools]}
    if request.tool_choice.mode is not ToolMode.AUTO:
        fields["tool_choice"] = choice_value(request)
    if not request.options.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


def _options(request: Request, profile: ChatProfile) -> dict[str, Json]:
    options = request.options
    fields: dict[str, Json] = {}
    if options.max_tokens is not None:
        fields[profile.token_limit_field] = options.max_tokens
    if options.stop:
        fields["stop"] = list(options.stop)
    answer_format = _with(_format(options.answer_format), options.answer_format.extra, FORMAT, profile)
    if answer_format != {"type": "text"}:
        fields["response_format"] = answer_format
    if options.reasoning_effort and profile.reasoning_effort:
        fields["reasoning_effort"] = options.reasoning_effort
    if options.verbosity is not None and profile.verbosity:
        fields["verbosity"] = options.verbosity
    if (key := cache_key(request, profile)) is not None:
        fields["prompt_cache_key"] = key
    return fields


def _format(answer_format: AnswerFormat) -> dict[str, Json]:
    if answer_format.kind != "json_schema":
        return {"type": answer_format.kind}
    # the name is required by OpenAI and optional here
    schema: dict[str, Json] = {"name": answer_format.name or UNNAMED_SCHEMA, "schema": answer_format.schema or {}}
    if answer_format.description is not None:
        schema["description"] = answer_format.description
    if answer_format.strict is not None:
        schema["strict"] = answer_format.strict
    return {"type": "json_schema", "json_schema": schema}
