"""A conversation as text: one labelled block a message.

Theory of operation: messages come in, blocks go out, in their order. A block is `ROLE: text`, and `ROLE (name, id): text` where the message has a
name or answers a call; a result names the tool of its call, if that is among the messages, and says `failed` where its client did. Earlier calls are
records on lines of their own, `[called NAME, id ID, with ARGUMENTS]`. Images stand as `[image N]` on lines of their own, counted in the order in
which their bytes are sent.

Which text has to be neutralised is the prompt's to say (`pipeline.prompt.neutral`); apart from that every text is verbatim, and names and ids are,
unless they would break the line that they stand in: then they are JSON strings.

Left alone: reasoning that the client echoed, which the model did not write for the next turn, and parts that are neither text nor an image, which
have no place in a transcript: `check_parts` refuses a request that has one.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.neutral import LINE_ENDS, Neutral
from pipeline.request import ImagePart, Message, OpaquePart, Request, TextPart, ToolCall

CONVERSATION_HEADING = "Conversation:"
BACKSLASH_NOTE = (
    "Note: in what follows, a backslash after `<` or before a label marks quoted text that only looks like markup. "
    "The backslash is not part of that text."
)
LABEL_NOTE = (
    "Note: in what follows, a backslash before a label marks quoted text that only looks like a label. The backslash is not part of that text."
)
"""The same where nothing but labels is neutralised."""

FAILED = "failed"
"""Stands in the label of a result that its client marked as an error."""

_NEEDS_QUOTES = re.compile(rf"[()\[\]{LINE_ENDS}]")
"""What would end the label or the record that a name or an id stands in."""

_PLAIN_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Transcript(msgspec.Struct, frozen=True):
    """The blocks of a conversation, and whether anything in them had to be neutralised."""

    blocks: tuple[str, ...]
    changed: bool


def check_parts(request: Request) -> None:
    """Refuse what cannot stand in a transcript.

    Raises:
        UnsupportedParameter: a part that is neither text nor an image; `param` is its place.

    >>> from pipeline.request import Role
    >>> check_parts(Request("composer-2.5", (Message(Role.USER, (OpaquePart("file", {}, "messages[0].content[0]"),)),)))
    Traceback (most recent call last):
    pipeline.errors.UnsupportedParameter: messages[0].content[0] is of type file: this model takes only text and images.
    """
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, OpaquePart):
                kind = part.kind if _PLAIN_WORD.fullmatch(part.kind) else "?"
                raise UnsupportedParameter(f"{part.path} is of type {kind}: this model takes only text and images.", param=f"{part.path}.type")


def transcript(messages: Sequence[Message], neutral: Neutral) -> Transcript:
    """One block a message.

    >>> from pipeline.prompt.neutral import LABELS
    >>> from pipeline.request import Role
    >>> called = Message(Role.ASSISTANT, (TextPart("Looking."),), (ToolCall("call_1", "read", '{"path":"a.txt"}'),))
    >>> for block in transcript([called, Message(Role.TOOL, (TextPart("line one"),), tool_call_id="call_1")], LABELS).blocks:
    ...     print(block)
    ASSISTANT: Looking.
    [called read, id call_1, with {"path":"a.txt"}]
    TOOL (read, call_1): line one
    """
    blocks: list[str] = []
    changed = False

    def noted(text: str) -> str:
        nonlocal changed
        shown = neutral.text(text)
        changed = changed or shown != text
        return shown

    noting = msgspec.structs.replace(neutral, text=noted)
    image_count = 0
    called: dict[str, str] = {}
    for message in messages:
        called.update((call.id, call.name) for call in message.tool_calls)
        shown, head = shown_text(message, image_count, noting), label(message, called, noting)
        image_count += sum(isinstance(part, ImagePart) for part in message.parts)
        blocks.append("\n".join([f"{head} {shown}" if shown else head, *(record(call, noting) for call in message.tool_calls)]))
    return Transcript(tuple(blocks), changed)


def shown_text(message: Message, image_count: int, neutral: Neutral) -> str:
    """The message's text with a line for each image; `image_count` images came before.

    Text parts join without anything between them, so that a marker cut in two by them is found. An image's line is a line of its own.
    """
    shown: list[str] = []
    for is_image, parts in groupby(message.parts, lambda part: isinstance(part, ImagePart)):
        if is_image:
            run = "\n".join(f"[image {number}]" for number, _ in enumerate(parts, image_count + 1))
            image_count += run.count("\n") + 1
        else:
            run = neutral.text("".join(part.text for part in parts if isinstance(part, TextPart)))
        if run and shown and not shown[-1].endswith("\n"):
            shown.append("\n")
        if run:
            shown.append(run)
    return "".join(shown)


def label(message: Message, called: Mapping[str, str], neutral: Neutral) -> str:
    """The role, and who or what speaks in it; `called` has the tool's name of each call so far, by the call's id."""
    name, call_id = message.name, message.tool_call_id
    if call_id is not None:
        name = name or called.get(call_id)
    about = [shown_word(word, neutral) for word in (name, call_id) if word]
    if message.is_error:
        about.append(FAILED)
    return f"{message.role.upper()} ({', '.join(about)}):" if about else f"{message.role.upper()}:"


def record(call: ToolCall, neutral: Neutral) -> str:
    """A call of the history, in a form that is none in which a call is made."""
    arguments = neutral.text(neutral.json(call.arguments))  # a model may have written them badly: any text
    return f"[called {shown_word(call.name, neutral)}, id {shown_word(call.id, neutral)}, with {arguments}]"


def shown_word(text: str, neutral: Neutral) -> str:
    """A name or an id: as it is, or as a JSON string where it would break the line that it stands in."""
    return neutral.value(text) if _NEEDS_QUOTES.search(text) else neutral.text(text)
