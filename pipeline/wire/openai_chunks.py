"""One JSON chunk of a Chat Completions answer, read leniently.

Theory of operation: the bytes of one chunk, or of a whole completion, come in; a `Chunk` goes out, or None for bytes that are not one. A field whose
type differs between servers is left as decoded (`Json`), and whoever reads it looks at it; the others are typed, and all may be null or missing.
Unknown fields are of no effect. `mended` is the second try for bytes that are no UTF-8 and for halves of surrogate pairs, which some servers make by
cutting a character in two.

Invariants: nothing raises, whatever the bytes are.
"""

import re

import msgspec

from pipeline.events import UsageReport
from pipeline.request import Json
from pipeline.wire.json_values import as_object

_MAX_COUNT = 2**53
_COUNTED = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details", "estimated"})
_DETAILS = {"prompt_tokens_details": "cached_tokens", "completion_tokens_details": "reasoning_tokens"}

# An escape: a pair of surrogates, a single one, or any other.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)


class ChunkFunction(msgspec.Struct, frozen=True, gc=False):
    """Name and arguments of a call, or pieces of them."""

    name: Json = None
    arguments: Json = None


class ChunkCustom(msgspec.Struct, frozen=True, gc=False):
    """Name and input of a custom tool's call, or pieces of them."""

    name: Json = None
    input: Json = None


class ChunkCall(msgspec.Struct, frozen=True, gc=False):
    """One entry of `tool_calls`."""

    index: Json = None
    id: Json = None
    function: ChunkFunction | None = None
    custom: ChunkCustom | None = None


class ChunkDelta(msgspec.Struct, frozen=True, gc=False):
    """What a chunk adds to the message; in a whole completion the message."""

    content: Json = None
    reasoning_content: Json = None
    reasoning: Json = None
    refusal: Json = None
    tool_calls: list[ChunkCall | None] | None = None
    function_call: ChunkFunction | None = None


class ChunkChoice(msgspec.Struct, frozen=True, gc=False):
    """One of the answers; `delta` in a stream, `message` in a whole completion."""

    index: Json = None
    delta: ChunkDelta | None = None
    message: ChunkDelta | None = None
    finish_reason: Json = None
    usage: Json = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A chunk of a stream, a whole completion, or an error; `code` and `message` only in an error that is flat."""

    choices: list[ChunkChoice | None] | None = None
    usage: Json = None
    error: Json = None
    object: Json = None
    code: Json = None
    message: Json = None


_CHUNKS = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes) -> Chunk | None:
    """The chunk in these bytes, None where there is none."""
    try:
        return _CHUNKS.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def mended(data: bytes) -> bytes:
    """The same JSON with U+FFFD for bytes that are no UTF-8 and for escapes of single surrogates."""
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], data.decode(errors="replace")).encode()


def read_usage(value: Json) -> UsageReport | None:
    """A `usage` object as it is told by any of the servers; None where it counts nothing.

    >>> read_usage({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}})
    UsageReport(prompt_tokens=9, completion_tokens=3, reasoning_tokens=0, cached_tokens=4, estimated=False)
    """
    fields = as_object(value)
    prompt, completion = _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))
    if not prompt and not completion:
        return None
    cached = as_object(fields.get("prompt_tokens_details")).get("cached_tokens")
    counts = (_count(count) for count in (cached, fields.get("cached_tokens"), fields.get("prompt_cache_hit_tokens")))  # OpenAI, Moonshot, DeepSeek
    reasoning = _count(as_object(fields.get("completion_tokens_details")).get("reasoning_tokens"))
    return UsageReport(prompt, completion, reasoning, next(filter(None, counts), 0), estimated=False, extra=_unread(fields))


def _unread(fields: dict[str, Json]) -> dict[str, Json]:
    """What of a `usage` object is none of our own counts: vendors' figures, a cost, and further details."""
    extra = {name: value for name, value in fields.items() if name not in _COUNTED and value is not None}
    for name, known in _DETAILS.items():
        details = {key: value for key, value in as_object(fields.get(name)).items() if key != known and value is not None}
        if details:
            extra[name] = details
    return extra


def _count(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else 0


def text_of(value: Json) -> str:
    """An id or a name; some servers number their calls."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def arguments_of(value: Json) -> str:
    """Arguments as JSON text; some servers send the object itself."""
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
