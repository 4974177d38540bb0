"""A body of Anthropic's Messages API as the canonical Request, and the session that its client names.

Theory of operation: the bytes are decoded once; the tools, the conversation and the options each have a reader of their own, which give canonical
values without Chat Completions in between. Calls and results then find each other as in Chat Completions (`pipeline.parse.pairing`); results directly
behind their calls are what Anthropic demands too. What comes out is complete or a `RequestError` was raised: a wrong type or value is the client's
error and names its field. The order of the checks is fixed (parameters, tools, messages, options), so that one body always gives the same error.

A field that the API does not have is checked and kept as in Chat Completions, where it is one of those (`pipeline.parameters`) that no parser reads;
one that a parser there reads means nothing here, and is named in `ignored`. Fields that nobody knows are in `extra`.

`metadata.user_id` names the conversation for most clients: Claude Code has its session in it. It stays in `extra` for an upstream of the same API;
what the session is good for is for the route to decide.
"""

import re
from collections.abc import Sequence

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.messages_fields import LEFT_OUT, READ
from pipeline.parameters import BY_NAME
from pipeline.parse.body import check_count, decode_body, is_list, is_object, read
from pipeline.parse.messages_blocks import DIALECT, EMPTY
from pipeline.parse.messages_options import read_answer_options
from pipeline.parse.messages_tools import read_tools
from pipeline.parse.messages_turns import leading, read_turns
from pipeline.parse.pairing import pair_results
from pipeline.parse.parameters import unread_fields
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import objects, text_at
from pipeline.parse.responses_items import Placed
from pipeline.request import Json, Message, Request

_TURN = re.compile(r"messages\[(\d+)\]")
_SESSION = re.compile(r"_session_(.+)\Z", re.DOTALL)


class Envelope(msgspec.Struct, frozen=True):
    """The fields of a body that say where the answer goes and in which form."""

    model: str | None = None
    stream: bool | None = None


class ParsedMessages(msgspec.Struct, frozen=True):
    """A request, and what its client calls the session, None where it says nothing of that."""

    request: Request
    session: str | None


def parse_messages(body: bytes, *, agent: bool = False, conversation: str | None = None, for_count: bool = False) -> ParsedMessages:
    """Parse the body of `POST /v1/messages`, or of `POST /v1/messages/count_tokens`.

    Args:
        body: JSON in UTF-8, as received.
        agent: ask for Agent mode; offering tools asks for it too.
        conversation: a stable id, where the route knows one.
        for_count: its tokens are to be counted, and it needs no `max_tokens`.

    Raises:
        MalformedBody: the body is not JSON that we read.
        UnsupportedParameter: it asks for what no upstream can do (n over 1, logprobs, …).
        RequestError: anything else; `param` is the path of the field.

    >>> parsed = parse_messages(b'{"model": "composer-2.5", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}')
    >>> parsed.request.messages[0].text, parsed.session
    ('Hello', None)
    """
    fields = decode_body(body)
    ledger = Ledger()
    extra, envelope = _settled(fields, ledger)
    offer = read_tools(fields, ledger)
    messages, paired = _history(fields, ledger)
    answer = read_answer_options(fields, ledger, parallel=offer.parallel, for_count=for_count)
    request = Request(
        model=envelope.model or "",
        messages=messages,
        tools=offer.tools,
        tool_choice=offer.choice,
        options=answer.options,
        stream=bool(envelope.stream),
        include_usage=True,
        agent=agent or bool(offer.tools),
        conversation=conversation,
        extra=answer.extra | extra,
        ignored=ledger.ignored,
        notices=tuple(dict.fromkeys((*ledger.notices, *paired, *answer.notices))),
        dialect=DIALECT,
    )
    return ParsedMessages(request, _session(answer.extra.get("metadata")))


def _settled(fields: dict[str, Json], ledger: Ledger) -> tuple[dict[str, Json], Envelope]:
    """The fields that the API does not have and that are kept, and those with a plain type; raises RequestError for what is refused."""
    others = {name: value for name, value in fields.items() if value is not None and name not in READ | LEFT_OUT}
    extra = unread_fields(others)
    # what is refused unless it asks for nothing says nothing when it was not refused
    ledger.ignore(*(name for name, value in others.items() if name not in extra and value not in EMPTY and not BY_NAME[name].is_rejected))
    return extra, read(fields, Envelope, "")


def _history(fields: dict[str, Json], ledger: Ledger) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """The conversation in order, and what was out of place in it."""
    value = fields.get("messages")
    if value in EMPTY:
        if fields.get("input"):
            raise RequestError("The body has `input` and no `messages`: send it to /v1/responses.", param="messages")
        raise RequestError("messages must hold at least one message.", param="messages")
    check_count(len(value) if is_list(value) else 0, "messages", "messages")
    placed = [*leading(fields.get("system"), ledger), *read_turns(objects(value, "messages"), ledger)]
    if all(each.path == "system" for each in placed):
        raise RequestError("messages holds nothing that can be sent to a model.", param="messages")
    messages, notices = pair_results([each.turn for each in placed], "messages")
    return messages, tuple(_relocated(notice, placed) for notice in notices)


def _relocated(notice: Notice, placed: Sequence[Placed]) -> Notice:
    """A Notice that names a turn by its number, with the place of the turn in the body."""
    return msgspec.structs.replace(notice, detail=_TURN.sub(lambda found: placed[int(found[1])].path, notice.detail, count=1))


def _session(metadata: Json) -> str | None:
    """What names the conversation in `metadata.user_id`: the session in Claude Code's words, old and new, and any other text as it is."""
    user = text_at(metadata, "user_id", "metadata") if is_object(metadata) else None
    if not user:
        return None
    if user.startswith("{"):
        try:
            told = msgspec.json.decode(user)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return user
        session = told.get("session_id") if is_object(told) else None
        return session if isinstance(session, str) and session else user
    found = _SESSION.search(user)
    return found[1] if found else user
