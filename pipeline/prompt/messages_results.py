"""Calls and their results as Anthropic's Messages API demands them: each call with an id of its own, and directly behind it one result.

Theory of operation: the messages of a conversation come in, in which results that answer a call stand behind the message that makes it; they go out
so that the API does not refuse them. Each of these is named by a Notice:

- an id that is not of at most 64 letters, digits, `_` and `-`, or that an earlier call has, becomes a digest: the same in every turn of a
  conversation, so that caches of prompts hold;
- a further result of one call is added to the first;
- a call without a result gets one that says so;
- a result that answers no call of the message before it becomes the user's text, with its id.

Invariants: no text is lost. A conversation in good order comes out as it went in.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec

from pipeline.prompt.changes import Changes
from pipeline.request import Message, Part, Role, TextPart, ToolCall

NO_RESULT = "[no result was recorded]"
ORPHAN = "[result of the tool call {id}, which is not in this conversation]"

_FINE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def paired(messages: Sequence[Message], changes: Changes) -> list[Message]:
    """The conversation in the order that the API demands; what was out of order is said in `changes`.

    >>> called = Message(Role.ASSISTANT, tool_calls=(ToolCall("a|b", "now", "{}"),))
    >>> made = paired([called], changes := Changes())
    >>> made[1].text, made[1].tool_call_id == made[0].tool_calls[0].id, [notice.code for notice in changes.notices]
    ('[no result was recorded]', True, ['call_id_rewritten', 'tool_result_supplied'])
    """
    taken: dict[str, int] = {}  # an id that is used -> the number that the next call of this id is tried with
    found: list[Message] = []
    place = 0
    while place < len(messages):
        message = messages[place]
        place += 1
        first = place
        while message.role is Role.ASSISTANT and place < len(messages) and messages[place].role is Role.TOOL:
            place += 1
        if message.role is Role.TOOL:
            found.append(_as_text(message, changes))
        elif not message.tool_calls and first == place:
            found.append(message)
        else:
            calls = [_renamed(call, taken, changes) for call in message.tool_calls]
            found.append(msgspec.structs.replace(message, tool_calls=tuple(calls)))
            found += _results(message.tool_calls, calls, messages[first:place], changes)
    return found


def _renamed(call: ToolCall, taken: dict[str, int], changes: Changes) -> ToolCall:
    """The call under an id that none before it has; the numbers that were tried for its id are not tried again."""
    number = taken.get(call.id)
    if number is None and _FINE.fullmatch(call.id):
        taken[call.id] = 0
        return call
    number = number or 0
    while (made := _digest(call.id, number)) in taken:
        number += 1
    taken[call.id] = number + 1
    taken.setdefault(made, 0)
    changes.note("call_id_rewritten", "ids of tool calls that the API refuses were replaced")
    return msgspec.structs.replace(call, id=made)


def _digest(call_id: str, number: int) -> str:
    return "call_" + sha256(f"{number}|{call_id}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _results(sent: Sequence[ToolCall], calls: Sequence[ToolCall], results: Sequence[Message], changes: Changes) -> Iterator[Message]:
    """One result for each of `calls`, which are `sent` under their new ids; then what answers none of them."""
    answers: dict[str, list[Message]] = {}
    places: dict[str, deque[str]] = {}  # an id as it was sent -> the new ids that wait for a result of it
    for before, after in zip(sent, calls, strict=True):
        places.setdefault(before.id, deque()).append(after.id)
    last: dict[str, str] = {}
    orphans: list[Message] = []
    for result in results:
        key = result.tool_call_id or ""
        if waiting := places.get(key):
            last[key] = waiting.popleft()
            answers[last[key]] = [result if result.tool_call_id == last[key] else msgspec.structs.replace(result, tool_call_id=last[key])]
        elif key in last:
            answers[last[key]].append(result)
            changes.note("tool_result_repeated", "a further result of the same call was added to the first")
        else:
            orphans.append(_as_text(result, changes))
    yield from map(_joined, answers.values())
    for call in calls:
        if call.id not in answers:
            changes.note("tool_result_supplied", "a call without a result got one that says so")
            yield Message(Role.TOOL, (TextPart(NO_RESULT),), tool_call_id=call.id)
    yield from orphans


def _joined(results: Sequence[Message]) -> Message:
    if len(results) == 1:
        return results[0]
    parts: list[Part] = []
    for result in results:
        if parts and result.parts:
            parts.append(TextPart("\n"))
        parts += result.parts
    return msgspec.structs.replace(results[0], parts=tuple(parts), is_error=any(result.is_error for result in results))


def _as_text(result: Message, changes: Changes) -> Message:
    changes.note("tool_result_as_text", "a result that answers no call became the user's text")
    named = TextPart(ORPHAN.format(id=result.tool_call_id or "without an id") + "\n")
    return Message(Role.USER, (named, *result.parts))
