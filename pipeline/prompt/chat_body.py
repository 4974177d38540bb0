r"""The canonical Request as a Chat Completions body.

Theory of operation: a `Request` and the target's `ChatProfile` come in, the bytes of one JSON object go out. What a stage understands is written from
the Request; the other fields of the client (`extra`) go through as they are, if `pass_fields` lets them and they are not `DENIED_FIELDS`: those would
choose a host, a credential, a model or a transport, which only the operator does. The stream is always asked for, with its usage, whatever the client
asked: a whole answer is a fold over the same stream.

Invariants: the client's fields come out as they went in, except that
- the content of one text part is a string, that of none `""`, or null beside tool calls; an image's `detail` is left out when it is auto;
- a call in the history without arguments has `{}`, a tool without a schema has the schema of an object without properties;
- what says no more than the default is left out: tool_choice auto, parallel_tool_calls true, response_format text; so are tool_choice and
  parallel_tool_calls without tools, which OpenAI refuses;
- the token limit, the reasoning effort and echoed reasoning stand under the names that the profile gives.

What is left out otherwise is named by `left_out`, from the same tables. Left alone: whether the target can do what it is asked.
"""

import re

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.events import Notice
from pipeline.request import AnswerFormat, ImagePart, Json, Message, OpaquePart, Part, Request, Role, TextPart, Tool, ToolChoice, ToolMode

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

NO_PARAMETERS: dict[str, Json] = {"type": "object", "properties": {}}
UNNAMED_SCHEMA = "response"

_MAX_NAME_CHARS = 64
_MAX_NAMES = 16
_NOT_A_NAME = re.compile(r"[^\w.~-]+", re.ASCII)


class ChatProfile(msgspec.Struct, frozen=True):
    """What one target takes.

    `token_limit_field` and `reasoning_field` are names of fields, the second one empty for a target that takes no echoed reasoning; the booleans say
    whether the target takes images and the parameters of these names; `pass_fields` is "all" or the names of the unknown fields that go through.
    """

    images: bool = True
    token_limit_field: str = "max_tokens"
    reasoning_field: str = "reasoning_content"
    reasoning_effort: bool = True
    verbosity: bool = True
    prompt_cache_key: bool = True
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
    body.update(_tools(request))
    body.update(_options(request, profile))
    for name, value in request.extra.items():
        if name not in body and _why_left_out(name, profile) is None:
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
    reasons = ((name, _why_left_out(name, profile)) for name in request.extra)
    notices += [Notice("field_not_forwarded", f"{_NOT_A_NAME.sub('?', name)[:_MAX_NAME_CHARS]} {why}") for name, why in reasons if why is not None]
    if len(notices) > _MAX_NAMES:
        notices[_MAX_NAMES:] = [Notice("field_not_forwarded", f"and {len(notices) - _MAX_NAMES} more")]
    return tuple(notices)


def not_passed(request: Request, profile: ChatProfile) -> tuple[str, ...]:
    """The names of the fields that this target takes no notice of: `pipeline.parameters.ignored_by` says what of it the client is told."""
    effort = () if profile.reasoning_effort else ("reasoning_effort",)
    return (*effort, *(name for name in request.extra if _why_left_out(name, profile) is not None))


def prompt_text(request: Request) -> str:
    """What the model reads, as one text for the usage estimate: messages, calls and tools, and a line for each image."""
    texts: list[str] = []
    for message in request.messages:
        texts += (message.text, message.reasoning or "")
        texts += ["[image]" for part in message.parts if isinstance(part, ImagePart)]
        texts += [text for call in message.tool_calls for text in (call.name, call.arguments)]
    for tool in request.tools:
        texts += (tool.name, tool.description, msgspec.json.encode(tool.parameters).decode())
    return "\n".join(text for text in texts if text)


def _why_left_out(name: str, profile: ChatProfile) -> str | None:
    plain = name.strip().casefold().replace("-", "").replace("_", "")
    if name in OWN_FIELDS:
        return "is written by the gateway"
    if plain in _DENIED_WORDS or plain.startswith(_DENIED_BEGINNINGS):
        return "would choose a host, a model or a transport"
    if (name == "verbosity" and not profile.verbosity) or (name == "prompt_cache_key" and not profile.prompt_cache_key):
        return "is not taken by this model"
    if profile.pass_fields != PASS_ALL and name not in profile.pass_fields:
        return "is not among the fields that are passed on"
    return None


def _message(message: Message, path: str, profile: ChatProfile) -> dict[str, Json]:
    written: dict[str, Json] = {"role": message.role.value, "content": _content(message, path, profile)}
    if message.name is not None:
        written["name"] = message.name
    if message.reasoning and profile.reasoning_field:
        written[profile.reasoning_field] = message.reasoning
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments if call.arguments.strip() else "{}"}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _content(message: Message, path: str, profile: ChatProfile) -> Json:
    parts = message.parts
    if not parts:
        return None if message.tool_calls and message.role is Role.ASSISTANT else ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part, f"{path}.content[{index}]", profile) for index, part in enumerate(parts)]


def _part(part: Part, path: str, profile: ChatProfile) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, OpaquePart):
        return part.fields
    if not profile.images:
        raise UnsupportedParameter(f"{path} is an image, and this model takes none.", param=path)
    return {"type": "image_url", "image_url": _image(part)}


def _image(part: ImagePart) -> Json:
    return {"url": part.url} if part.detail == "auto" else {"url": part.url, "detail": part.detail}


def _tools(request: Request) -> dict[str, Json]:
    if not request.tools:
        return {}
    fields: dict[str, Json] = {"tools": [{"type": "function", "function": _function(tool)} for tool in request.tools]}
    if request.tool_choice.mode is not ToolMode.AUTO:
        fields["tool_choice"] = _choice(request.tool_choice)
    if not request.options.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


def _function(tool: Tool) -> dict[str, Json]:
    function: dict[str, Json] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or NO_PARAMETERS
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _choice(choice: ToolChoice) -> Json:
    if choice.mode is ToolMode.FUNCTION:
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode.value


def _options(request: Request, profile: ChatProfile) -> dict[str, Json]:
    options = request.options
    fields: dict[str, Json] = {}
    if options.max_tokens is not None:
        fields[profile.token_limit_field] = options.max_tokens
    if options.stop:
        fields["stop"] = list(options.stop)
    if options.answer_format.kind != "text":
        fields["response_format"] = _format(options.answer_format)
    if options.reasoning_effort and profile.reasoning_effort:
        fields["reasoning_effort"] = options.reasoning_effort
    return fields


def _format(answer_format: AnswerFormat) -> Json:
    if answer_format.kind != "json_schema":
        return {"type": answer_format.kind}
    # the name is required by OpenAI and optional here
    schema: dict[str, Json] = {"name": answer_format.name or UNNAMED_SCHEMA, "schema": answer_format.schema or {}}
    if answer_format.description is not None:
        schema["description"] = answer_format.description
    if answer_format.strict is not None:
        schema["strict"] = answer_format.strict
    return {"type": "json_schema", "json_schema": schema}
