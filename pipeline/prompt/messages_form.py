r"""A conversation in the form that Anthropic's Messages API takes, where other APIs allow more.

Theory of operation: a request comes in, one that says the same goes out, together with what was changed. The order of calls and results is that of
`pipeline.prompt.messages_results`. Beside that

- a system message between the others is text of the user's, since most models take none there: in a block of its own, inside a tag. Where the profile
  says that they do, it stays if it stands behind a user's message and before none, which is where the API allows it;
- a conversation of nothing but system messages has its last one as the user's: the API wants a message;
- arguments in the history that are no JSON object, as those of a cut call, become one, with their text in it;
- a result that its client marked as an error and that holds more than text says so in its text: the API takes text alone under such a mark;
- reasoning in the history that nobody has signed is left out, since the API refuses it; a profile may say otherwise, and one that never asks for
  reasoning has none in the history either;
- white space at the end of an assistant's message that is to be continued is left out, since the API refuses it.

Each of these is named by a Notice. Nothing that is written for the model is lost otherwise.
"""

import msgspec

from pipeline.events import Notice
from pipeline.prompt.changes import Changes
from pipeline.prompt.error_marks import marked
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT, MessagesProfile
from pipeline.prompt.messages_results import paired
from pipeline.prompt.unread import MESSAGE
from pipeline.request import WRAPPED_INPUT, Json, Message, Part, Request, Role, TextPart, Thought, ToolCall

OPENING, CLOSING = "<system-reminder>\n", "\n</system-reminder>"
"""Around the text of a system message among the user's."""

_USERS = (Role.USER, Role.TOOL)


def leading_count(request: Request) -> int:
    """How many messages stand before the conversation begins, all of the system."""
    return next((place for place, message in enumerate(request.messages) if message.role is not Role.SYSTEM), len(request.messages))


def in_messages_form(request: Request, profile: MessagesProfile) -> tuple[Request, tuple[Notice, ...]]:
    r"""The request as the API takes it, and what had to be changed for that.

    >>> said = [Message(role, (TextPart(text),)) for role, text in ((Role.USER, "Hi"), (Role.SYSTEM, "Be brief."), (Role.ASSISTANT, "Hello. "))]
    >>> made, notices = in_messages_form(Request("m", tuple(said)), MessagesProfile())
    >>> [message.text for message in made.messages], [notice.code for notice in notices]
    (['Hi', '<system-reminder>\nBe brief.\n</system-reminder>', 'Hello.'], ['system_message_as_user', 'trailing_space_removed'])
    """
    changes = Changes()
    first = leading_count(request)
    if first == len(request.messages):
        first = max(0, first - 1)
    messages = _systems(paired(request.messages[first:], changes), profile, changes)
    messages = [_own(message, profile, changes) if message.role is Role.ASSISTANT else _result(message) for message in messages]
    if messages and messages[-1].role is Role.ASSISTANT:
        messages[-1] = _without_trailing_space(messages[-1], changes)
    ignored = tuple(dict.fromkeys((*request.ignored, *changes.lost)))
    return msgspec.structs.replace(request, messages=(*request.messages[:first], *messages), ignored=ignored), tuple(changes.notices)


# -- the system's


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
    is_behind_user = place > 0 and messages[place - 1].role in _USERS
    return is_behind_user and (place + 1 == len(messages) or messages[place + 1].role is Role.ASSISTANT)


def _reminder(message: Message) -> Message:
    last = message.parts[-1] if message.parts else None
    extra = last.extra if isinstance(last, TextPart) else {}
    return Message(Role.USER, (TextPart(f"{OPENING}{message.text}{CLOSING}", extra),), name=message.name)


def _result(message: Message) -> Message:
    """A result that failed; one with more than text in it says so in its text."""
    has_more = message.is_error and not all(isinstance(part, TextPart) and not part.extra.keys() & BLOCKS_IN_TEXT for part in message.parts)
    return marked(message) if has_more else message


# -- the assistant's


def _own(message: Message, profile: MessagesProfile, changes: Changes) -> Message:
    thoughts = _thoughts(message, profile)
    if len(thoughts) < len(message.thoughts) or (message.reasoning and not thoughts):
        changes.note("reasoning_dropped", "reasoning in the history that the API does not take was left out")
    calls = tuple(_call(call, changes) for call in message.tool_calls)
    if calls == message.tool_calls and thoughts == message.thoughts:
        return message
    return msgspec.structs.replace(message, thoughts=thoughts, tool_calls=calls)


def _thoughts(message: Message, profile: MessagesProfile) -> tuple[Thought, ...]:
    if profile.thinking == "off":
        return ()
    if profile.unsigned_thinking:
        return message.thoughts or ((Thought(message.reasoning),) if message.reasoning else ())
    return tuple(thought for thought in message.thoughts if thought.signature or thought.redacted)


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
    parts: list[Part] = list(message.parts)
    while parts and not message.tool_calls:
        last = parts[-1]
        if not isinstance(last, TextPart) or last.text == last.text.rstrip():
            break
        changes.note("trailing_space_removed", "white space at the end of the message that the model is to continue was left out")
        parts.pop()
        if text := last.text.rstrip():
            parts.append(msgspec.structs.replace(last, text=text))
    return message if len(parts) == len(message.parts) and tuple(parts) == message.parts else msgspec.structs.replace(message, parts=tuple(parts))
