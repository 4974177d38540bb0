"""What of a request decides whether it goes on with a run that waits for results of tools.

Theory of operation: `turn_of` reads a request, as the client sent it, into a `Turn`: a digest of the whole conversation and one of its part before
the last calls, the ids of those calls, and the results that stand behind them. A run that is parked keeps the whole's digest of the request that it
answered; the next request goes on with it if the part before its last calls has that very digest, and everything else is as it was (`difference`).

What is compared: each message's role, author, texts, images (by their URLs), calls and what they answer; the model and the effort; the tools that may
be called, and what else the agent was told about its answer. What is not: the words that stood beside the last calls, which clients trim, and fields
that no prompt shows. The digests are SHA-256 over a form in which no two different conversations are alike. No text is kept.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

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

    `whole` is the digest of all messages, `before` that of those before the last message with calls, and `calls` are these calls by id, with the
    names of their tools. `results` are all that stands behind them, None where something else stands there too.
    """

    model: str
    effort: str | None
    tools: Digest
    choice: ToolChoice
    rules: Digest
    whole: Digest
    before: Digest
    calls: Mapping[str, str]
    results: tuple[Result, ...] | None

    @property
    def bare(self) -> "Turn":
        """Without what only this request needs, to be kept."""
        return msgspec.structs.replace(self, results=None, calls={})


def turn_of(request: Request, images: Sequence[ImageFile] = ()) -> Turn:
    """Read a request; `images` are those of all its messages, in order."""
    options, messages = request.options, request.messages
    last = max((place for place, message in enumerate(messages) if message.tool_calls), default=0)
    offered = () if request.tool_choice.mode is ToolMode.NONE else request.tools
    before, whole = _digests_of(messages, last)
    return Turn(
        model=request.model,
        effort=options.reasoning_effort,
        tools=_digest([[tool.name, tool.description, tool.parameters, tool.custom, tool.grammar] for tool in offered]),
        choice=request.tool_choice,
        rules=_digest([options.answer_format.kind, options.answer_format.schema]),
        whole=whole,
        before=before,
        calls={call.id: call.name for call in messages[last].tool_calls} if messages else {},
        results=_results(messages, last, images),
    )


def difference(now: Turn, then: Turn, called: Mapping[str, str]) -> str | None:
    """What keeps a request from going on with the run that answered `then` with calls (id -> tool); None when nothing does.

    The words are for the client that reads a Notice.
    """
    if now.results is None:
        return "something else than the results of its calls stands behind them"
    if dict(now.calls) != dict(called) or sorted(result.call_id for result in now.results) != sorted(called):
        return "the results are not those of all its calls, each one once"
    if now.before != then.whole:
        return "an earlier message is another one, or is gone"
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


def _results(messages: Sequence[Message], last: int, images: Sequence[ImageFile]) -> tuple[Result, ...] | None:
    """The results behind the last calls, None where there are none or not only those."""
    behind = messages[last + 1 :]
    if not behind or not messages[last].tool_calls or any(message.role is not Role.TOOL or message.tool_call_id is None for message in behind):
        return None
    shown = iter(images[sum(map(_image_count, messages[: last + 1])) :])
    return tuple(_result(message, shown) for message in behind)


def _result(message: Message, images: Iterator[ImageFile]) -> Result:
    texts = tuple(part.text for part in message.parts if isinstance(part, TextPart))
    files = [file for _, file in zip(range(_image_count(message)), images, strict=False)]
    return Result(
        message.tool_call_id or "",
        texts or ("",),  # nothing at all would be no result
        tuple((file.data, file.header.media_type) for file in files),
        message.is_error,
    )


def _image_count(message: Message) -> int:
    return sum(isinstance(part, ImagePart) for part in message.parts)


def _digest(value: Json) -> Digest:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).digest()


def _digests_of(messages: Sequence[Message], last: int) -> tuple[Digest, Digest]:
    """The digest of the messages before the one at `last`, and that of all."""
    digest = before = hashlib.sha256()
    for place, message in enumerate(messages):
        if place == last:
            before = digest.copy()
        encoded = msgspec.json.encode(_compared(message))
        # the length in front keeps two messages from being read as one
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return before.digest(), digest.digest()


def _compared(message: Message) -> list[Json]:
    return [
        message.role,
        message.name,
        [_compared_part(part) for part in message.parts],
        [[call.id, call.name] for call in message.tool_calls],
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
