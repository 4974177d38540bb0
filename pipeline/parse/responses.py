"""A Responses body as the canonical Request, and what its answer says again of it.

Theory of operation: the bytes are decoded once; the tools, the items and the options each have a reader of their own, and the table of parameters
settles the fields that Chat Completions has too. A field that is null is not there. `instructions` is the system message at the very beginning. A
`previous_response_id` puts the conversation of that response before the items; calls and results then find each other over the whole of it, as in
Chat Completions (`pipeline.parse.pairing`). What comes out is complete or a `RequestError` was raised: a wrong type or value is the client's error
and names its field.

What cannot be had is refused where the client would wait for it (an answer in the background, a conversation or a prompt that OpenAI stores); what
only asks OpenAI's servers for more (`include`, `context_management`, …) is left out and named in `ignored`. Fields that nobody knows are in `extra`.
The order of the checks is fixed (parameters, tools, items, options), so that one body always gives the same error.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from pipeline.echo import Echo
from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.events import Notice
from pipeline.parse.body import check_count, decode_body, is_list, read
from pipeline.parse.pairing import Key, Turn, pair_results
from pipeline.parse.parameters import unread_fields
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.responses_items import ItemReader, Placed, ReadItem
from pipeline.parse.responses_listing import listed
from pipeline.parse.responses_options import AnswerOptions, read_answer_options
from pipeline.parse.responses_tools import ToolsRead, read_tools
from pipeline.parse.tools import MODES
from pipeline.request import Json, Message, Request, Role, TextPart

Recall = Callable[[str], tuple[Message, ...]]
"""The conversation up to and with the output of a response, by its id; raises what the client is told where there is none."""

READ_HERE = frozenset({"input", "instructions", "previous_response_id", "truncation"})
ONLY_OPENAI = frozenset({"access_programs", "client_metadata", "context_management", "image", "include", "max_tool_calls", "moderation"})
"""What asks OpenAI's servers for something that no answer here has, and what only they read."""

OF_CHAT = frozenset({"messages", "functions", "function_call"})
"""What Chat Completions has for what stands under another name here."""

# what only OpenAI stores -> what to do without it
STORED_AT_OPENAI = {
    "conversation": "send the conversation in `input`, or use `previous_response_id`",
    "prompt": "send the prompt's text in `instructions` and `input`",
}

_TURN = re.compile(r"input\[(\d+)\]")


class Envelope(msgspec.Struct, frozen=True):
    """The fields of a body with a plain type that no table checks."""

    model: str | None = None
    stream: bool | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    include: list[str] | None = None
    max_tool_calls: int | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


class ParsedResponses(msgspec.Struct, frozen=True):
    """A request and what is needed beside it.

    `history` is the conversation without the request's own instructions, which the next one does not inherit: with the answer's output behind it, it
    is what `recall` has to give. `input_items` are the request's own, as they are listed.
    """

    request: Request
    echo: Echo
    input_items: tuple[Json, ...]
    history: tuple[Message, ...]


def parse_responses(
    body: bytes,
    *,
    agent: bool = False,
    conversation: str | None = None,
    recall: Recall | None = None,
    stored: ReadItem | None = None,
) -> ParsedResponses:
    """Parse the body of `POST /v1/responses`.

    Args:
        body: JSON in UTF-8, as received.
        agent: ask for Agent mode; offering tools asks for it too.
        conversation: a stable id, where the route knows one.
        recall: the conversation of an earlier response; what it raises passes through. None where nothing is stored.
        stored: an item of an earlier response by its id, for references. None where nothing is stored.

    Raises:
        MalformedBody: the body is not JSON that we read.
        UnsupportedParameter: it asks for what cannot be had (background, a stored conversation or prompt, logprobs, …).
        RequestError: anything else; `param` is the path of the field.

    >>> parsed = parse_responses(b'{"model": "composer-2.5", "instructions": "Be brief.", "input": "Hello"}')
    >>> [message.text for message in parsed.request.messages], parsed.echo.instructions
    (['Be brief.', 'Hello'], 'Be brief.')
    """
    fields = decode_body(body)
    extra, envelope = _settled(fields)
    ledger = Ledger("input")
    tools = read_tools(fields, ledger)
    recalled = _recalled(envelope.previous_response_id, recall)
    history, paired = _history(fields, recalled, ItemReader(tools.namespaces, ledger, stored))
    answer = read_answer_options(fields, ledger)
    ledger.ignore(*(name for name in fields if name in ONLY_OPENAI | OF_CHAT and fields[name] not in (None, [], {})))
    leading = (Message(Role.SYSTEM, (TextPart(envelope.instructions),)),) if envelope.instructions else ()
    request = Request(
        model=envelope.model or "",
        messages=(*leading, *history),
        tools=tools.tools,
        tool_choice=tools.choice,
        options=answer.options,
        stream=bool(envelope.stream),
        include_usage=True,
        agent=agent or bool(tools.tools),
        conversation=conversation,
        context=answer.context,
        extra=extra,
        ignored=ledger.ignored,
        notices=tuple(dict.fromkeys((*ledger.notices, *paired, *answer.notices))),
    )
    return ParsedResponses(request, _echo(fields, envelope, tools, answer), listed(fields.get("input"), body, stored), history)


def _settled(fields: dict[str, Json]) -> tuple[dict[str, Json], Envelope]:
    """The fields that no parser reads, and those with a plain type; raises RequestError for what is refused."""
    for name, instead in STORED_AT_OPENAI.items():
        if fields.get(name) is not None:
            raise UnsupportedParameter(f"{name} is not supported here: {instead}.", param=name)
    extra = unread_fields({name: value for name, value in fields.items() if value is not None and name not in READ_HERE | ONLY_OPENAI | OF_CHAT})
    extra.pop("store", None)  # it is about this server's own store
    return extra, read(fields, Envelope, "")


def _recalled(response_id: str | None, recall: Recall | None) -> tuple[Message, ...]:
    if response_id is None:
        return ()
    if recall is None:
        raise UnsupportedParameter(
            "previous_response_id is not supported here: nothing is stored. Send the whole conversation in `input`.", param="previous_response_id"
        )
    return recall(response_id)


def _history(fields: dict[str, Json], recalled: tuple[Message, ...], reader: ItemReader) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """The conversation in order, and what was out of place in it."""
    value = fields.get("input")
    if value in (None, "", []) and fields.get("messages"):
        raise RequestError("The body has `messages` and no `input`: send it to /v1/chat/completions.", param="input")
    if value is not None and not isinstance(value, str) and not is_list(value):
        raise RequestError("input must be a string or an array.", param="input")
    if not value and not recalled:
        raise RequestError("input must hold at least one item.", param="input")
    items = [{"role": "user", "content": value}] if isinstance(value, str) and value else value or []
    check_count(len(items), "input", "items")
    placed = [*(_turn(message) for message in recalled), *reader.read(items, "input")]
    if not placed:
        raise RequestError("input holds nothing that can be sent to a model.", param="input")
    messages, notices = pair_results([each.turn for each in placed], "input")
    return messages, tuple(_relocated(notice, placed) for notice in notices)


def _turn(message: Message) -> Placed:
    """A turn of an earlier conversation; its images and files stand in no place of this body."""
    if any(not isinstance(part, TextPart) for part in message.parts):
        parts = tuple(part if isinstance(part, TextPart) else msgspec.structs.replace(part, path="previous_response_id") for part in message.parts)
        message = msgspec.structs.replace(message, parts=parts)
    keys = tuple(Key(call.id) for call in message.tool_calls)
    return Placed(Turn(message, keys, None if message.tool_call_id is None else Key(message.tool_call_id)), "previous_response_id")


def _relocated(notice: Notice, placed: Sequence[Placed]) -> Notice:
    """A Notice that names a turn by its number, with the place of the turn's item."""
    return msgspec.structs.replace(notice, detail=_TURN.sub(lambda found: placed[int(found[1])].path, notice.detail, count=1))


def _echo(fields: dict[str, Json], envelope: Envelope, tools: ToolsRead, answer: AnswerOptions) -> Echo:
    said = {name: value for name in ("frequency_penalty", "presence_penalty", "temperature", "top_p") if (value := fields.get(name)) is not None}
    tier = fields.get("service_tier")
    choice = fields.get("tool_choice")
    return Echo(
        instructions=envelope.instructions,
        max_output_tokens=answer.options.max_tokens,
        max_tool_calls=envelope.max_tool_calls,
        metadata=fields.get("metadata") or {},
        parallel_tool_calls=answer.options.parallel_tool_calls,
        previous_response_id=envelope.previous_response_id,
        prompt_cache_key=envelope.prompt_cache_key,
        reasoning=answer.reasoning,
        safety_identifier=envelope.safety_identifier,
        service_tier="default" if tier in (None, "auto") else tier,
        store=bool(fields.get("store")),
        text=answer.text,
        tool_choice=MODES[choice].value if isinstance(choice, str) else choice or "auto",
        tools=tools.echoed,
        truncation=fields.get("truncation") or "disabled",
        user=fields.get("user"),
        namespaces=tools.namespaces.names,
        **said,
    )
