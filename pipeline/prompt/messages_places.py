"""What may stand where in Anthropic's Messages API: marks of its cache, texts of nothing, and blocks in messages that the API takes none of them in.

Theory of operation: the messages of a conversation come in and go out, so that

- a mark of the cache stands in a block, where alone the API reads it: one of a message moves to the message's last block, and one of a text of
  nothing but white space, which is not written, to the block before it, be it of the message before;
- a message that holds nothing is left out, and reasoning alone is nothing;
- a block that is made of text, such as a document, is its text where its message may not hold such a block;
- images and documents in a system's or an assistant's message stand in a user's behind it (`moved_behind`, `without_media`).

Whatever is lost by that is said in `changes`. A message in good order comes out as the very same object.
"""

from collections.abc import Iterator, Sequence

import msgspec

from pipeline.prompt.changes import Changes
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT
from pipeline.prompt.unread import MESSAGE, PART
from pipeline.request import Block, ImagePart, Json, Message, OpaquePart, Part, Role, TextPart, Thought, ToolCall, with_blocks

CACHE_MARK = "cache_control"

# whose message -> the blocks made of text that it may hold
TAKEN = {
    Role.SYSTEM: frozenset[str](),
    Role.USER: frozenset({"document", "search_result", "compaction"}),
    Role.ASSISTANT: frozenset({"compaction"}),
    Role.TOOL: frozenset({"document", "search_result", "tool_reference"}),
}

MEDIA = frozenset({"image", "document"})
"""Blocks of the API's own that are the user's alone."""


def settled(messages: Sequence[Message], changes: Changes) -> list[Message]:
    """The conversation without messages that hold nothing, each mark of the cache in a block.

    >>> said = Message(Role.USER, (TextPart("Hi"),)), Message(Role.USER, (TextPart(" "),), extra={"cache_control": {"type": "ephemeral"}})
    >>> settled(said, Changes())[0].parts
    (TextPart(text='Hi', extra={'cache_control': {'type': 'ephemeral'}}),)
    """
    found: list[Message] = []
    mark: Json = None  # of what stood behind, on its way to the block before
    for message in reversed(messages):
        place = "system" if message.role is Role.SYSTEM else PART
        extra = message.extra
        if message.role is not Role.TOOL and CACHE_MARK in extra:  # a result is a block itself
            mark = mark or extra[CACHE_MARK]
            extra = _without(extra, CACHE_MARK)
        blocks: list[Block] = []
        for block in reversed(message.blocks):
            block, mark = _settled(block, mark, message.role, place, changes)
            blocks.append(block)
        if mark and message.role is Role.TOOL:
            extra, mark = {CACHE_MARK: mark, **extra}, None
        if message.role is not Role.TOOL and all(isinstance(block, Thought) or is_blank(block) for block in blocks):
            changes.lost += [f"{MESSAGE}.{name}" for name in extra]
            if message.thoughts or message.reasoning:
                changes.note("reasoning_dropped", "reasoning in the history that the API does not take was left out")
            continue
        blocks.reverse()
        if extra is not message.extra or any(new is not old for new, old in zip(blocks, message.blocks, strict=True)):
            message = with_blocks(msgspec.structs.replace(message, extra=extra), blocks)
        found.append(message)
    if mark:
        changes.lost.append(f"{PART}.{CACHE_MARK}")
    return found[::-1]


def is_blank(block: Block) -> bool:
    """Whether it is a text that is not written."""
    return isinstance(block, TextPart) and not block.text.strip() and not block.extra.keys() & BLOCKS_IN_TEXT


def is_media(block: Block, role: Role) -> bool:
    """Whether a block may not stand in the messages of this role, and is no text."""
    if isinstance(block, OpaquePart):
        return role is Role.SYSTEM or (role is Role.ASSISTANT and block.kind in MEDIA)
    return isinstance(block, ImagePart) and role in (Role.SYSTEM, Role.ASSISTANT)


def without_media(message: Message, changes: Changes) -> tuple[Message, tuple[Part, ...]]:
    """The message with what may stand in it, and what may not."""
    moved = tuple(part for part in message.parts if is_media(part, message.role))
    if not moved:
        return message, ()
    changes.note("images_moved", "images or documents of the system or the assistant were put into a user's message, where alone the API takes them")
    return with_blocks(message, [block for block in message.blocks if not is_media(block, message.role)]), moved


def moved_behind(messages: Sequence[Message], changes: Changes) -> Iterator[Message]:
    """The conversation with the images of the assistant in a user's message behind it and its results; before it where it is the last one."""
    waiting: list[Part] = []
    for place, message in enumerate(messages, 1):
        if waiting and message.role is not Role.TOOL:
            yield Message(Role.USER, tuple(waiting))
            waiting = []
        if message.role is Role.ASSISTANT:
            message, moved = without_media(message, changes)
            waiting += moved
            if waiting and place == len(messages):
                yield Message(Role.USER, tuple(waiting))
                waiting = []
        if message.parts or message.tool_calls or message.role is Role.TOOL:
            yield message
    if waiting:
        yield Message(Role.USER, tuple(waiting))


def _settled(block: Block, mark: Json, role: Role, place: str, changes: Changes) -> tuple[Block, Json]:
    """A block as it may stand there, with the mark that comes from behind it; and the mark that it does not take."""
    if isinstance(block, Thought):
        return block, mark
    if isinstance(block, TextPart):
        if is_blank(block):
            changes.lost += [f"{place}.{name}" for name in block.extra if name != CACHE_MARK]
            return (TextPart(block.text) if block.extra else block), mark or block.extra.get(CACHE_MARK)
        block = _as_text(block, role, place, changes)
    return (_marked(block, mark) if mark else block), None


def _as_text(part: TextPart, role: Role, place: str, changes: Changes) -> TextPart:
    kind = next((kind for kind in part.extra if kind in BLOCKS_IN_TEXT), None)
    if kind is None or kind in TAKEN[role]:
        return part
    mark = part.extra[kind].get(CACHE_MARK)
    changes.lost.append(f"{place}.{kind}")
    return TextPart(part.text, {CACHE_MARK: mark} if mark else {})


def _marked(block: Part | ToolCall, mark: Json) -> Part | ToolCall:
    """The block with a mark, its own if it has one."""
    if isinstance(block, OpaquePart):
        return msgspec.structs.replace(block, fields={CACHE_MARK: mark, **block.fields})
    kind = next((kind for kind in block.extra if kind in BLOCKS_IN_TEXT), None)
    if kind is None:
        return msgspec.structs.replace(block, extra={CACHE_MARK: mark, **block.extra})
    return msgspec.structs.replace(block, extra={kind: {CACHE_MARK: mark, **block.extra[kind]}})


def _without(fields: dict[str, Json], name: str) -> dict[str, Json]:
    return {key: value for key, value in fields.items() if key != name}
