r"""A conversation in the form that Anthropic's Messages API takes, where other APIs allow more.

Theory of operation: a request comes in, one that says the same goes out, together with what was changed. The order of calls and results is that of
`pipeline.prompt.messages_results`, which blocks stand where is that of `pipeline.prompt.messages_places`, and names of tools are those of
`pipeline.prompt.messages_names`. Beside that

- a system message between the others is text of the user's, since most models take none there: in a block of its own, inside a tag. Where the profile
  says that they do, it stays if it is text, and stands behind a user's message and before none, which is where the API allows it;
- a conversation of nothing but system messages has its last one as the user's: the API wants a message. One that holds nothing is refused;
- arguments in the history that are no JSON object, as those of a cut call, become one, with their text in it;
- a result that its client marked as an error and that holds more than text says so in its text: the API takes text alone under such a mark;
- reasoning in the history that nobody has signed is left out, since the API refuses it; a profile may say otherwise, and one that never asks for
  reasoning has none in the history either;
- white space at the end of an assistant's message that is to be continued is left out, since the API refuses it.

Each of these is named by a Notice. Nothing that is written for the model is lost otherwise.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.prompt.changes import Changes
from pipeline.prompt.error_marks import marked
from pipeline.prompt.messages_names import with_plain_names
from pipeline.prompt.messages_places import is_media, moved_behind, settled, without_media
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT, MessagesProfile
from pipeline.prompt.messages_results import paired
from pipeline.prompt.unread import MESSAGE
from pipeline.request import WRAPPED_INPUT, Block, Json, Message, Part, Request, Role, TextPart, Thought, ToolCall, with_blocks

OPENING, CLOSING = "<system-reminder>\n", "\n</system-reminder>"
"""Around the text of a system message among the user's."""

_USERS = (Role.USER, Role.TOOL)


def leading_count(messages: Sequence[Message]) -> int:
    """How many messages stand before the conversation begins, all of the system."""
    return next((place for place, message in enumerate(messages) if message.role is not Role.SYSTEM), len(messages))


def in_messages_form(request: Request, profile: MessagesProfile) -> tuple[Request, tuple[Notice, ...]]:
    r"""The request as the API takes it, and what had to be changed for that.

    Raises:
        RequestError: nothing in it can be sent.

    >>> said = [Message(role, (TextPart(text),)) for role, text in ((Role.USER, "Hi"), (Role.SYSTEM, "Be brief."), (Role.ASSISTANT, "Hello. "))]
    >>> made, notices = in_messages_form(Request("m", tuple(said)), MessagesProfile())
    >>> [message.text for message in made.messages], [notice.code for notice in notices]
    (['Hi', '<system-reminder>\nBe brief.\n</system-reminder>', 'Hello.'], ['system_message_as_user', 'trailing_space_removed'])
    """
    changes = Changes()
    said = with_plain_names(settled(request.messages, changes), [tool.name for tool in request.tools], changes)
    if not said:
        raise RequestError("messages holds nothing that can be sent to a model.", param="messages")
    first = leading_count(said)
    if first == len(said):
        first -= 1
    system = _leading(said[:first], changes)
    messages = _systems(paired([*system[first:], *said[first:]], changes), profile, changes)
    messages = [_own(message, profile, changes) if message.role is Role.ASSISTANT else _result(message) for message in messages]
    messages = [*moved_behind(messages, changes)]
    if messages and messages[-1].role is Role.ASSISTANT:
        messages[-1] = _without_trailing_space(messages[-1], changes)
    ignored = tuple(dict.fromkeys((*request.ignored, *changes.lost)))
    return msgspec.structs.replace(request, messages=(*system[:first], *messages), ignored=ignored), tuple(changes.notices)


# -- the system's


def _leading(messages: Sequence[Message], changes: Changes) -> list[Message]:
    """The system messages in front, and behind them a user's with the images that they hold."""
    found: list[Message] = []
    media: list[Part] = []
    for message in messages:
        changes.lost += [f"{MESSAGE}.{name}" for name in message.extra]
        text, moved = without_media(message, changes)
        found.append(text)
        media += moved
    return [*found, Message(Role.USER, tuple(media))] if media else found


def _systems(messages: list[Message], profile: MessagesProfile, changes: Changes) -> list[Message]:
    if all(message.role is not Role.SYSTEM for message in messages):
        return messages
    merged: list[Message] = []
    for message in messages:
        if profile.system_messages and merged and message.role is merged[-1].role is Role.SYSTEM:
            merged[-1] = _joined(merged[-1], message)
        else:
            merged.append(message)
    found: list[Message] = []
    for place, message in enumerate(merged):
        if message.role is not Role.SYSTEM or (profile.system_messages and _may_stand(merged, place)):
            found.append(message)
        else:
            changes.lost += [f"{MESSAGE}.{name}" for name in message.extra]
            changes.note("system_message_as_user", "a system message between the others is text of the user's, since this model takes none there")
            found.append(_reminder(message))
    return found


def _joined(first: Message, further: Message) -> Message:
    return msgspec.structs.replace(first, parts=(*first.parts, TextPart("\n"), *further.parts), extra=first.extra | further.extra)


def _may_stand(messages: list[Message], place: int) -> bool:
    """Whether the API allows a system message here; one that is put among the user's before it does not count."""
    if any(is_media(part, Role.SYSTEM) for part in messages[place].parts):
        return False
    is_behind_user = place > 0 and messages[place - 1].role in _USERS
    return is_behind_user and (place + 1 == len(messages) or messages[place + 1].role is Role.ASSISTANT)


def _reminder(message: Message) -> Message:
    """The user's message that a system's becomes: texts that stand together are one, and the tag is around all."""
    parts: list[Part] = []
    for is_text, run in groupby((TextPart(OPENING), *message.parts, TextPart(CLOSING)), lambda part: isinstance(part, TextPart)):
        together = [*run]
        if is_text:
            texts = [part for part in together if isinstance(part, TextPart)]
            extra = {name: value for part in texts for name, value in part.extra.items()}
            together = [TextPart("".join(part.text for part in texts), extra)]
        parts += together
    return Message(Role.USER, tuple(parts), name=message.name)


def _result(message: Message) -> Message:
    """A result that failed; one with more than text in it says so in its text."""
    has_more = message.is_error and not all(isinstance(part, TextPart) and not part.extra.keys() & BLOCKS_IN_TEXT for part in message.parts)
    return marked(message) if has_more else message


# -- the assistant's


def _own(message: Message, profile: MessagesProfile, changes: Changes) -> Message:
    blocks: list[Block] = []
    if profile.unsigned_thinking and profile.thinking != "off" and message.reasoning and not message.thoughts:
        blocks.append(Thought(message.reasoning))
    for block in message.blocks:
        if isinstance(block, ToolCall):
            blocks.append(_call(block, changes))
        elif not isinstance(block, Thought) or _goes_back(block, profile):
            blocks.append(block)
    made = with_blocks(message, blocks)
    if len(made.thoughts) < len(message.thoughts) or (message.reasoning and not made.thoughts):
        changes.note("reasoning_dropped", "reasoning in the history that the API does not take was left out")
    return made


def _goes_back(thought: Thought, profile: MessagesProfile) -> bool:
    return profile.thinking != "off" and bool(profile.unsigned_thinking or thought.signature or thought.redacted)


def _call(call: ToolCall, changes: Changes) -> ToolCall:
    """The call with arguments that are a JSON object, as they came where they are one."""
    text = call.arguments.strip()
    value = decoded(text)
    if isinstance(value, dict):
        return call
    if not text:
        return msgspec.structs.replace(call, arguments="{}")
    changes.note("arguments_repaired", "the arguments of a call in the history were no JSON object")
    says_nothing = text == "null" or value in ("", [])
    return msgspec.structs.replace(call, arguments="{}" if says_nothing else msgspec.json.encode({WRAPPED_INPUT: call.arguments}).decode())


def decoded(text: str) -> Json:
    """A JSON value, None for a text that is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _without_trailing_space(message: Message, changes: Changes) -> Message:
    blocks = [*message.blocks]
    for place in reversed(range(len(blocks))):
        last = blocks[place]
        if not isinstance(last, TextPart) or last.extra.keys() & BLOCKS_IN_TEXT:
            break
        text = last.text.rstrip()
        if text != last.text:
            changes.note("trailing_space_removed", "white space at the end of the message that the model is to continue was left out")
            blocks[place] = msgspec.structs.replace(last, text=text)
        if text:
            break
    return with_blocks(message, blocks)
