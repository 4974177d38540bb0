"""Parts, calls, results and reasoning as the content blocks of Anthropic's Messages API.

Theory of operation: a part comes in, a block goes out, or none for text of nothing but white space, which the API refuses. A text that stands for a
block of the client's own (`messages_profile.BLOCKS_IN_TEXT`) is that block, and so is a part that only this API has a form for. An image's bytes have
their type from how they begin, since the API compares it and clients guess it; the type that the URL names counts where that says nothing.

Fields that nobody reads go through as the profile says. Left alone: the order of blocks, and what stands inside those of the client's own.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import msgspec

from pipeline.errors import RequestError
from pipeline.prompt.chat_body import image_refused
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT, MessagesProfile
from pipeline.prompt.unread import PART
from pipeline.request import ImagePart, Json, Message, OpaquePart, Part, Request, Thought, ToolCall

SYSTEM = "system"
"""What the place of the parts of a leading system message is called."""

THOUGHTS = ("thinking", "redacted_thinking")

FAILED_SILENTLY = "[the tool failed and said nothing]"
"""The API wants to be told something of an error."""

# how the base64 of an image's bytes begins -> its type; the API knows these four
BEGINNINGS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}

_LABEL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)
_ALPHABET = str.maketrans("-_", "+/", " \t\r\n\f\v")


def check_images(request: Request, profile: MessagesProfile) -> None:
    """Refuse the images that this target does not take.

    Raises:
        UnsupportedParameter: it takes none.
        RequestError: one is neither a web address nor base64; `param` is its place.
    """
    for number, message in enumerate(request.messages):
        for index, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                if not profile.images:
                    raise image_refused(part, f"messages[{number}].content[{index}]")
                if _source(part.url) is None:
                    place = part.path or f"messages[{number}].content[{index}]"
                    raise RequestError(f"{place} must be of the form data:image/png;base64,…", code="invalid_base64_image", param=place)


def written_parts(message: Message, profile: MessagesProfile, place: str = PART) -> Iterator[dict[str, Json]]:
    """The blocks of a message's parts; `place` is what their place is called.

    >>> from pipeline.request import Role, TextPart
    >>> [*written_parts(Message(Role.USER, (TextPart("Hi"), TextPart(" "))), MessagesProfile())]
    [{'type': 'text', 'text': 'Hi'}]
    """
    for part in message.parts:
        if (block := _part(part, profile, place)) is not None:
            yield block


def _part(part: Part, profile: MessagesProfile, place: str) -> dict[str, Json] | None:
    if isinstance(part, OpaquePart):
        return part.fields
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part.url), **profile.kept(part.extra, place)}
    for kind in part.extra:
        if kind in BLOCKS_IN_TEXT:
            block: dict[str, Json] = part.extra[kind]
            return block
    return {"type": "text", "text": part.text, **profile.kept(part.extra, place)} if part.text.strip() else None


def written_blocks(message: Message, profile: MessagesProfile) -> Iterator[dict[str, Json]]:
    """The blocks of a user's or an assistant's message, in their order."""
    for block in message.blocks:
        if isinstance(block, Thought):
            yield written_thought(block)
        elif isinstance(block, ToolCall):
            yield written_call(block, profile)
        elif (written := _part(block, profile, PART)) is not None:
            yield written


def written_result(message: Message, profile: MessagesProfile) -> dict[str, Json]:
    """A result; its content is left out where there is none.

    >>> from pipeline.request import Role, TextPart
    >>> written_result(Message(Role.TOOL, (TextPart("12"),), tool_call_id="toolu_1"), MessagesProfile())
    {'type': 'tool_result', 'tool_use_id': 'toolu_1', 'content': '12'}
    """
    block: dict[str, Json] = {"type": "tool_result", "tool_use_id": message.tool_call_id}
    content = as_content([*written_parts(message, profile)])
    if content:
        block["content"] = content
    if message.is_error:
        block |= {"content": content or FAILED_SILENTLY, "is_error": True}
    return {**block, **profile.kept(message.extra, PART)}


def written_call(call: ToolCall, profile: MessagesProfile) -> dict[str, Json]:
    """A call; its arguments are the text that they came as."""
    extra = profile.kept(call.extra, PART)
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": msgspec.Raw(call.arguments.encode()), **extra}


def written_thought(thought: Thought) -> dict[str, Json]:
    """A block of reasoning, as it was shown or as it was not."""
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.redacted}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def as_content(blocks: list[dict[str, Json]]) -> Json:
    """Blocks, or the text of one that is nothing else."""
    only = blocks[0] if len(blocks) == 1 else {}
    return only["text"] if only.keys() == {"type", "text"} and only["type"] == "text" else blocks


def _source(url: str) -> dict[str, Json] | None:
    """Where an image's bytes are; None for a URL that does not say it in a way that the API knows."""
    if url[:5].lower() != "data:":
        return {"type": "url", "url": url}
    found = _LABEL.match(url)
    if found is None:
        return None
    data = url[found.end() :]
    data = (unquote(data) if "%" in data else data).translate(_ALPHABET)
    if not data:
        return None
    kind = next((kind for beginning, kind in BEGINNINGS.items() if data.startswith(beginning)), found[1].strip().lower() or "image/png")
    return {"type": "base64", "media_type": kind, "data": data}
