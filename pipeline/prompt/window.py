"""A request that fits the window of its model, or an error that says by how much it does not.

Theory of operation: a request comes in, with the two functions that write it and the one that counts tokens; the request as it is sent goes out, with
its text and a Notice if anything of it was left out. What does not fit is refused (`error`), or the conversation begins later (`trim`): whole turns
go, the oldest first, as few as are needed. A turn is a user message and all that follows it up to the next one; what stands before the first user
message is a turn too. No cut parts a call from its result: where a result answers across the beginning of a turn, that is no place for a cut. System
messages stay, wherever they stand, and so does the newest turn. If even they do not fit, the request is refused.

A part of the window is kept for the answer: as many tokens as the client allows it, but no more than half of the window, since many clients always
ask for the most that a model can write; where the client sets no limit, a sixteenth.

Time: a request with fewer bytes than the window has tokens fits, and is only written. Any other is written and counted once, and to trim it its turns
are shown and counted once each, from the newest one back to the first that does not fit. Counts of parts are added up, which is never too little for
a count whose parts sum to at least the whole. Images weigh what their lines in the text weigh. Left alone: the tools and the output rules, which are
never shortened, and everything inside a message.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import accumulate, pairwise

import msgspec

from pipeline.errors import ContextLengthExceeded
from pipeline.events import Notice
from pipeline.request import Message, Request, Role

MAX_UTF8_BYTES = 4
"""Bytes of one character at the most. A token is at least one byte, so that a text of n characters has no more tokens than this many times n."""

UNLIMITED_ANSWER_SHARE = 16
LARGEST_ANSWER_SHARE = 2


class Overflow(StrEnum):
    """What becomes of a request that does not fit: it is refused, its oldest turns go, or it is refused in the way that makes Cursor shorten it.

    SIGNAL is ERROR here: only the surface that Cursor asks knows how to say it.
    """

    ERROR = "error"
    TRIM = "trim"
    SIGNAL = "signal"


class Window(msgspec.Struct, frozen=True):
    """What a model can read and write together, in tokens, and what becomes of a request that is longer."""

    tokens: int
    overflow: Overflow = Overflow.ERROR

    def kept_for_answer(self, max_tokens: int | None) -> int:
        """Tokens that the prompt leaves free; `max_tokens` is the client's limit of the answer.

        >>> [Window(200_000).kept_for_answer(limit) for limit in (None, 32_000, 500_000)]
        [12500, 32000, 100000]
        """
        if max_tokens is None:
            return self.tokens // UNLIMITED_ANSWER_SHARE
        return min(max_tokens, self.tokens // LARGEST_ANSWER_SHARE)


class Fitted(msgspec.Struct, frozen=True):
    """A request as it is sent, the text that it became, what was left out of it, and the text's tokens where they were counted."""

    request: Request
    prompt: str
    notices: tuple[Notice, ...] = ()
    prompt_tokens: int | None = None


def fit_window(
    request: Request,
    window: Window,
    *,
    write: Callable[[Request], str],
    show: Callable[[Sequence[Message]], str],
    count: Callable[[str], int],
) -> Fitted:
    """The request that fits.

    Args:
        request: the whole request.
        window: that of the request's model.
        write: the whole text of a request.
        show: what that text grows by, at most, when some of its messages are added to it.
        count: the tokens of a text, an estimate.

    Raises:
        ContextLengthExceeded: it does not fit; the message has the words by which clients know that they have to shorten the conversation.
    """
    prompt = write(request)
    kept = window.kept_for_answer(request.options.max_tokens)
    room = window.tokens - kept
    if len(prompt) * MAX_UTF8_BYTES <= room:
        return Fitted(request, prompt)
    needed = count(prompt)
    if needed <= room:
        return Fitted(request, prompt, prompt_tokens=needed)
    cuts = _cuts(request.messages) if window.overflow is Overflow.TRIM else []
    if not cuts:
        raise _too_long(window.tokens, kept, "your messages", needed)
    begin, least = _beginning(request, cuts, room, write=write, show=show, count=count)
    if begin is None:
        raise _too_long(window.tokens, kept, "the system messages, the tools and the newest turn alone", least)
    shorter = msgspec.structs.replace(request, messages=(*_systems(request.messages[:begin]), *request.messages[begin:]))
    return Fitted(shorter, write(shorter), (_trimmed(_spoken(request.messages[:begin]), needed, room),))


def _beginning(
    request: Request,
    cuts: Sequence[int],
    room: int,
    *,
    write: Callable[[Request], str],
    show: Callable[[Sequence[Message]], str],
    count: Callable[[str], int],
) -> tuple[int | None, int]:
    """The first cut behind which everything fits, None if even the last one is too early; and the tokens of all that was weighed for it."""
    tokens = count(write(msgspec.structs.replace(request, messages=_systems(request.messages))))
    begin = None
    for stop, start in pairwise([len(request.messages), *reversed(cuts)]):
        tokens += count(show(_spoken(request.messages[start:stop])))
        if tokens > room:
            break
        begin = start
    return begin, tokens


def _systems(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(message for message in messages if message.role is Role.SYSTEM)


def _spoken(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role is not Role.SYSTEM]


def _cuts(messages: Sequence[Message]) -> list[int]:
    """The places, in order, where a shorter conversation may begin: user messages behind another turn, where no call waits for its result."""
    open_calls = list(accumulate(_crossings(messages)))
    first = next((place for place, message in enumerate(messages) if message.role is not Role.SYSTEM), len(messages))
    return [place for place, message in enumerate(messages) if message.role is Role.USER and place > first and not open_calls[place]]


def _crossings(messages: Sequence[Message]) -> list[int]:
    """By how much the number of pairs that a cut before each message would part is more than before the last one.

    A result belongs to the last call of its id before it, or, where it came too early, to the first one behind it.
    """
    changes = [0] * (len(messages) + 1)
    last_call: dict[str, int] = {}
    early: dict[str, int] = {}
    for place, message in enumerate(messages):
        for call in message.tool_calls:
            last_call[call.id] = place
            if call.id in early:
                _pair(changes, early.pop(call.id), place)
        answered = message.tool_call_id
        if answered is not None and answered in last_call:
            _pair(changes, last_call[answered], place)
        elif answered is not None:
            early.setdefault(answered, place)
    return changes


def _pair(changes: list[int], one: int, other: int) -> None:
    """No cut behind `one` and up to `other`."""
    changes[one + 1] += 1
    changes[other + 1] -= 1


def _trimmed(dropped: Sequence[Message], needed: int, room: int) -> Notice:
    turns = sum(message.role is Role.USER for message in dropped) + (dropped[0].role is not Role.USER)
    counts = f"{turns} of the oldest turns, {len(dropped)} messages in all,"
    return Notice("context_trimmed", f"{counts} were left out: about {needed} tokens do not fit into {room}")


def _too_long(window: int, kept: int, what: str, tokens: int) -> ContextLengthExceeded:
    # clients look for OpenAI's own words, and then shorten the conversation by themselves
    return ContextLengthExceeded(
        f"This model's maximum context length is {window} tokens, of which {kept} are kept for the answer. "
        f"However, {what} resulted in about {tokens} tokens. Please reduce the length of the messages.",
        param="messages",
    )
