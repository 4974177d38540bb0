"""A chat completion read back: what a benchmark counts and compares, so that speed is never bought with lost chunks.

`read_stream` takes the bytes of a whole event stream and gives the number of chunks and what they say together. It is strict: anything that is not a
well-formed stream with a proper end raises WrongOutput.
"""

import msgspec

from benchmarks.measure import WrongOutput

DONE = b"data: [DONE]\n\n"


class _Function(msgspec.Struct):
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] = []


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


class _Message(msgspec.Struct):
    content: str | None


class _WholeChoice(msgspec.Struct):
    message: _Message


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice]


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode


class Said(msgspec.Struct, frozen=True):
    """What a stream said. `chunks` counts its events without `[DONE]`; `arguments` are those of all its calls, joined."""

    chunks: int
    text: str
    thinking: str
    arguments: str


def read_stream(stream: bytes) -> Said:
    r"""Read a whole event stream; raises WrongOutput when it is not one, or does not end properly.

    >>> first = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    >>> last = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    >>> read_stream(first + last + DONE)
    Said(chunks=2, text='hi', thinking='', arguments='')
    >>> read_stream(first + DONE)
    Traceback (most recent call last):
    ...
    benchmarks.measure.WrongOutput: the stream has 0 finish reasons instead of 1
    """
    if not stream.endswith(DONE):
        raise WrongOutput(f"the stream does not end with [DONE] but with {stream[-100:]!r}")
    events = stream.removesuffix(DONE).removesuffix(b"\n\n").split(b"\n\n")
    try:
        choices = [choice for event in events for choice in _decode_chunk(event.removeprefix(b"data: ")).choices]
    except msgspec.DecodeError as error:
        raise WrongOutput(f"an event of the stream is no chunk: {error}") from None
    finishes = sum(choice.finish_reason is not None for choice in choices)
    if finishes != 1:
        raise WrongOutput(f"the stream has {finishes} finish reasons instead of 1")
    deltas = [choice.delta for choice in choices]
    return Said(
        chunks=len(events),
        text="".join(delta.content for delta in deltas if delta.content),
        thinking="".join(delta.reasoning_content for delta in deltas if delta.reasoning_content),
        arguments="".join(call.function.arguments for delta in deltas for call in delta.tool_calls),
    )


def read_whole(body: bytes) -> str:
    """The text of a `chat.completion`; raises WrongOutput when it is none."""
    try:
        content = _decode_whole(body).choices[0].message.content
    except (msgspec.DecodeError, IndexError) as error:
        raise WrongOutput(f"the body is no chat completion: {error}") from None
    if not content:
        raise WrongOutput("the chat completion says nothing")
    return content
