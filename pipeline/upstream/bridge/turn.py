"""What of a request decides whether it goes on with a run that waits for results of tools.

Theory of operation: `turn_of` reads a request, as the client sent it, into a `Turn`: a digest of the whole conversation, and one of each part of it
that stands before an assistant's message. A run that is parked keeps the whole's digest of the request that it answered. The next request goes on
with it if one of its parts has that very digest, everything else is as it was, and what stands behind that part are the run's calls and their results
(`continuation`). Some clients write one answer as several messages, its text and each of its calls apart, each call followed by its result: all that
is one answer. What a user wrote behind the results goes with the last one of them, as a text of its own with the label of the transcripts.

What is compared: each message's role, author, texts, images (by their URLs), calls with their arguments, and what they answer; the model and the
effort; the tools that may be called, and what else the agent was told about its answer. What is not: the words and the arguments of the last calls,
which clients trim and write anew, and fields that no prompt shows. The digests are SHA-256 over a form in which no two different conversations are
alike, but for how arguments are written (`pipeline.conversation_name`). A `Turn` that is kept holds no text.
"""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.conversation_name import call_digest
from pipeline.prompt.neutral import LABELS
from pipeline.prompt.transcript import transcript
from pipeline.request import ImagePart, Json, Message, Part, Request, Role, TextPart, ToolChoice, ToolMode
from pipeline.upstream.images import ImageFile

Digest = bytes


class Result(msgspec.Struct, frozen=True):
    """What a tool gave: its texts, and its images as the bytes of their files and their media types."""

    call_id: str
    texts: tuple[str, ...]
    images: tuple[tuple[bytes, str], ...] = ()
    is_error: bool = False


class Turn(msgspec.Struct, frozen=True):
    """One request, as far as it matters to a run.

    `whole` is the digest of all messages; `places` has those of the parts before an assistant's message, and the places where these parts end.
    `called` are the ids of the last message with calls. `images` are those of all messages, in order.
    """

    model: str
    effort: str | None
    tools: Digest
    choice: ToolChoice
    rules: Digest
    whole: Digest
    places: Mapping[Digest, int]
    called: tuple[str, ...]
    messages: tuple[Message, ...]
    images: tuple[ImageFile, ...] = ()

    @property
    def bare(self) -> "Turn":
        """Without what only this request needs, to be kept."""
        return msgspec.structs.replace(self, places={}, called=(), messages=(), images=())

    @property
    def brings_results(self) -> bool:
        """Whether the conversation ends with results, and what a user wrote behind them."""
        return self._last_answer is not None

    @property
    def ends_in_results(self) -> bool:
        """Whether nothing stands behind them."""
        return self._last_answer is not None and not self._last_answer.words

    @property
    def _last_answer(self) -> "_Answer | None":
        return _answer(self.messages[_last_with_calls(self.messages) :], ()) if self.called else None


class Continuation(msgspec.Struct, frozen=True):
    """What a request brings to a run: the results of its calls; `has_words` says that the last one has a user's words behind it."""

    results: tuple[Result, ...]
    has_words: bool = False


class Otherwise(msgspec.Struct, frozen=True):
    """Why a request does not go on with a run, in words for the client that reads a Notice.

    `takes_over` says that the run's conversation goes on with this request all the same, so that nobody will bring the run its results. Without it,
    the request may be one that a client makes beside a conversation, such as for its title.
    """

    why: str
    takes_over: bool


def turn_of(request: Request, images: Sequence[ImageFile] = ()) -> Turn:
    """Read a request; `images` are those of all its messages, in order."""
    options = request.options
    offered = () if request.tool_choice.mode is ToolMode.NONE else request.tools
    whole, places = _digests_of(request.messages)
    return Turn(
        model=request.model,
        effort=options.reasoning_effort,
        tools=_digest([[tool.name, tool.description, tool.parameters, tool.custom, tool.grammar] for tool in offered]),
        choice=request.tool_choice,
        rules=_digest([options.answer_format.kind, options.answer_format.schema]),
        whole=whole,
        places=places,
        called=last_calls(request.messages),
        messages=request.messages,
        images=(*images,),
    )


def last_calls(messages: Sequence[Message]) -> tuple[str, ...]:
    """The ids of the calls in the last message that has any."""
    return tuple(call.id for call in messages[_last_with_calls(messages)].tool_calls) if messages else ()


def continuation(now: Turn, then: Turn, called: Mapping[str, str]) -> Continuation | Otherwise:
    """What a request brings to the run that answered `then` with calls (id -> tool), or why it does not go on with it."""
    place = now.places.get(then.whole)
    why = "an earlier message is another one, or is gone" if place is None else _other_terms(now, then)
    if why is not None or place is None:
        return Otherwise(why or "", takes_over=now.ends_in_results)
    answer = _answer(now.messages[place:], now.images[sum(map(_image_count, now.messages[:place])) :])
    if answer is None:
        return Otherwise("something else than the results of its calls stands behind them", takes_over=True)
    if sorted(answer.calls) != sorted(called.items()) or sorted(result.call_id for result in answer.results) != sorted(called):
        return Otherwise("the results are not those of all its calls, each one once", takes_over=True)
    if not answer.words:
        return Continuation(answer.results)
    last = answer.results[-1]
    told = "".join(f"\n\n{block}" for block in transcript(answer.words, LABELS).blocks)
    return Continuation((*answer.results[:-1], msgspec.structs.replace(last, texts=(*last.texts, told))), has_words=True)


def _other_terms(now: Turn, then: Turn) -> str | None:
    """What an agent would have been told otherwise, beside the conversation."""
    if (now.model, now.effort) != (then.model, then.effort):
        return "the model is another one"
    if now.tools != then.tools:
        return "the tools are other ones"
    # to be free again is no other wish: the agent has made the call that it was told to make
    if now.choice != then.choice and now.choice.mode is not ToolMode.AUTO:
        return "`tool_choice` is another one"
    if now.rules != then.rules:
        return "`response_format` is another one"
    return None


class _Answer(msgspec.Struct, frozen=True):
    """An assistant's calls by id and tool, their results, and what a user wrote behind them."""

    calls: list[tuple[str, str]]
    results: tuple[Result, ...]
    words: list[Message]


def _answer(behind: Sequence[Message], images: Sequence[ImageFile]) -> _Answer | None:
    """What messages are as one answer and its results, None where they are something else; `images` begin with those of these messages."""
    end = max((place for place, message in enumerate(behind, 1) if message.role is Role.TOOL), default=0)
    answer, words = behind[:end], behind[end:]
    if not answer or not all(map(_is_of_answer, answer)) or not all(map(_is_a_users_text, words)):
        return None
    shown, results = iter(images), list[Result]()
    for message in answer:
        files = [file for _, file in zip(range(_image_count(message)), shown, strict=False)]
        if message.role is Role.TOOL:
            results.append(_result(message, files))
    calls = [(call.id, call.name) for message in answer for call in message.tool_calls]
    return _Answer(calls, tuple(results), [message for message in words if message.text.strip()])


def _is_of_answer(message: Message) -> bool:
    return message.role is Role.ASSISTANT or (message.role is Role.TOOL and message.tool_call_id is not None)


def _is_a_users_text(message: Message) -> bool:
    return message.role is Role.USER and all(isinstance(part, TextPart) for part in message.parts)


def _result(message: Message, files: Sequence[ImageFile]) -> Result:
    texts = tuple(part.text for part in message.parts if isinstance(part, TextPart))
    return Result(
        message.tool_call_id or "",
        texts or ("",),  # nothing at all would be no result
        tuple((file.data, file.header.media_type) for file in files),
        message.is_error,
    )


def _last_with_calls(messages: Sequence[Message]) -> int:
    return max((place for place, message in enumerate(messages) if message.tool_calls), default=0)


def _image_count(message: Message) -> int:
    return sum(isinstance(part, ImagePart) for part in message.parts)


def _digest(value: Json) -> Digest:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).digest()


def _digests_of(messages: Sequence[Message]) -> tuple[Digest, dict[Digest, int]]:
    """The digest of all messages, and those of the parts before an assistant's, and of all."""
    digest = hashlib.sha256()
    places: dict[Digest, int] = {}
    for place, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            places[digest.digest()] = place
        encoded = msgspec.json.encode(_compared(message))
        # the length in front keeps two messages from being read as one
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    whole = digest.digest()
    return whole, {**places, whole: len(messages)}


def _compared(message: Message) -> list[Json]:
    return [
        message.role,
        message.name,
        [_compared_part(part) for part in message.parts],
        [[call.id, call_digest(call).hex()] for call in message.tool_calls],
        message.tool_call_id,
        message.is_error,
    ]


def _compared_part(part: Part) -> list[Json]:
    match part:
        case TextPart():
            return ["text", part.text]
        case ImagePart():
            return ["image", part.url]
        case _:
            return [part.kind]
