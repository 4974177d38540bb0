"""The messages of a Messages body as turns of the conversation.

Theory of operation: the list under `messages` comes in, and what leads it under `system`. An assistant's message is one turn: its text, its calls and
its thoughts; the order among these stays known (`Message.order`), since who has signed the thoughts wants them back where they stood. A user's
message is a turn for each result in it, in front of one for the rest: that is the order that Anthropic's own API asks for, and the only one that
others have. `system` is the first turn; newer models also take system messages between the others. Neighbouring texts of the assistant are one text,
since an answer with citations is cut into such; where a call or a thought stood between them a line end does. All other texts are apart
(`pipeline.parse.messages_blocks.separated`).

Left out, and named in the ledger: a message of the assistant or the system that holds nothing. A message as OpenAI's APIs have it (of a `tool`, with
`tool_calls`) is the client's error, with the route that takes it. Fields that nobody reads stay with their message, part or call (`extra`).
"""

from collections.abc import Iterator

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import read
from pipeline.parse.messages_blocks import kind_of, read_part, read_parts, read_thought, separated, unread
from pipeline.parse.messages_sources import BETWEEN_TEXTS
from pipeline.parse.pairing import Key, Turn
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import Part as Block
from pipeline.parse.quirks.parts import raw_parts
from pipeline.parse.quirks.typed import compact, needed_text, object_at, required
from pipeline.parse.responses_items import BETWEEN_THOUGHTS, Placed
from pipeline.request import Block as Said
from pipeline.request import Json, Message, Part, Role, TextPart, ToolCall, with_blocks

ROLES = ("user", "assistant", "system")
CHAT_ROLES = ("tool", "function", "developer")
CHAT_FIELDS = ("tool_calls", "tool_call_id", "function_call")
CHAT = "send it to /v1/chat/completions"

THOUGHTS = ("thinking", "redacted_thinking")

_READ_OF_MESSAGE = frozenset({"role", "content"})
_READ_OF_CALL = frozenset({"type", "id", "name", "input"})
_READ_OF_RESULT = frozenset({"type", "tool_use_id", "content", "is_error"})


def leading(value: Json, ledger: Ledger) -> Iterator[Placed]:
    r"""The turn that `system` is, if it says anything; raises RequestError for what is no text.

    >>> [each.turn.message.text for each in leading([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}], Ledger())]
    ['One.\nTwo.']
    """
    parts = tuple(separated(read_parts(raw_parts(value, "system", ledger), ledger)))
    if parts:
        yield Placed(Turn(Message(Role.SYSTEM, parts)), "system")


def read_turns(messages: list[dict[str, Json]], ledger: Ledger) -> Iterator[Placed]:
    """The turns of all messages, each with its place, in the order sent.

    Raises:
        RequestError: a message or a block that is none, or that stands where it means nothing; `param` names it.
    """
    for index, message in enumerate(messages):
        yield from _message(message, f"messages[{index}]", ledger)


def _message(message: dict[str, Json], path: str, ledger: Ledger) -> Iterator[Placed]:
    role = needed_text(message, "role", path)
    if role in CHAT_ROLES or any(message.get(name) for name in CHAT_FIELDS):
        place = f"{path}.role" if role in CHAT_ROLES else next(f"{path}.{name}" for name in CHAT_FIELDS if message.get(name))
        raise RequestError(f"{place} belongs to Chat Completions: {CHAT}, or write calls as tool_use and results as tool_result.", param=place)
    if role not in ROLES:
        raise RequestError(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
    if message.get("content") is None and role != "system":
        raise required(f"{path}.content")
    blocks = raw_parts(message.get("content"), f"{path}.content", ledger)
    extra = unread(message, _READ_OF_MESSAGE)
    if role == "user":
        yield from _asked(blocks, extra, path, ledger)
        return
    turn = _answered(blocks, extra, ledger) if role == "assistant" else _instructed(blocks, extra, ledger)
    if turn is None:
        ledger.drop(f"empty {role} message")
        _leave_out(extra, ledger)
    else:
        yield Placed(turn, path)


def _leave_out(extra: dict[str, Json], ledger: Ledger) -> None:
    for name in extra:
        ledger.ignore_inside(name)


# -- the user's, and the results of tools


def _asked(blocks: list[Block], extra: dict[str, Json], path: str, ledger: Ledger) -> Iterator[Placed]:
    results = [block for block in blocks if block.fields.get("type") == "tool_result"]
    for block in results:
        yield Placed(_result(block, ledger), block.path)
    rest = [block for block in blocks if block.fields.get("type") != "tool_result"] if results else blocks
    parts = tuple(separated(read_parts(rest, ledger)))
    if parts or not results:
        yield Placed(Turn(Message(Role.USER, parts, extra=extra)), path)
    else:
        _leave_out(extra, ledger)


def _result(block: Block, ledger: Ledger) -> Turn:
    fields, path = block
    call_id = needed_text(fields, "tool_use_id", path)
    failed = fields.get("is_error")
    if failed is not None and not isinstance(failed, bool):
        read(failed, bool, f"{path}.is_error")
    parts = tuple(separated(read_parts(raw_parts(fields.get("content"), f"{path}.content", ledger), ledger)))
    message = Message(Role.TOOL, parts, tool_call_id=call_id, extra=unread(fields, _READ_OF_RESULT), is_error=failed is True)
    return Turn(message, answers=Key(call_id))


# -- the system's


def _instructed(blocks: list[Block], extra: dict[str, Json], ledger: Ledger) -> Turn | None:
    parts = tuple(separated(read_parts(blocks, ledger)))
    return Turn(Message(Role.SYSTEM, parts, extra=extra)) if parts else None


# -- the assistant's


def _answered(blocks: list[Block], extra: dict[str, Json], ledger: Ledger) -> Turn | None:
    said: list[Said] = []
    last: Part | None = None
    is_apart = False  # whether something else stood behind the last text
    for block in blocks:
        kind = kind_of(block)
        if kind == "tool_use":
            said.append(_call(block, ledger))
            is_apart = True
        elif kind in THOUGHTS:
            if (thought := read_thought(block, ledger)) is not None:
                said.append(thought)
            is_apart = True
        elif (part := read_part(block, ledger)) is None:
            is_apart = True
        elif part != TextPart(""):
            if is_apart and isinstance(part, TextPart) and isinstance(last, TextPart):
                said.append(TextPart(BETWEEN_TEXTS))
            said.append(part)
            last, is_apart = part, False
    message = with_blocks(Message(Role.ASSISTANT, extra=extra), said)
    if not message.parts and not message.tool_calls:
        return None
    reasoning = BETWEEN_THOUGHTS.join(thought.text for thought in message.thoughts if thought.text) or None
    return Turn(msgspec.structs.replace(message, reasoning=reasoning), tuple(Key(call.id) for call in message.tool_calls))


def _call(block: Block, ledger: Ledger) -> ToolCall:
    fields, path = block
    ledger.count(1, "calls", path)
    call_id, name = needed_text(fields, "id", path), needed_text(fields, "name", path)
    arguments = object_at(fields, "input", path)
    if arguments is None:
        raise required(f"{path}.input")
    return ToolCall(call_id, name, compact(arguments), extra=unread(fields, _READ_OF_CALL))
