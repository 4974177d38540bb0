"""The content blocks of a Messages body as canonical parts and thoughts.

Theory of operation: one block comes in, with its place; what goes out is a part, or None where it is left out and counted in the ledger.

- Text is text, and an image whose source a URL can say is an image.
- A block that is made of text (a document of text, a result of a search, the name of a tool that was found, the summary of a compaction) becomes
  that text, behind its title and what else is said of it, for all upstreams, and stands in the part's `extra` whole, under its type: an upstream of
  the same API is given the block itself.
- What only Anthropic's servers can make anything of, or have run themselves, is left out.
- Any other block is an `OpaquePart` of this dialect: a PDF, a file by its id, and what will come to the API. Upstreams of others refuse it by its
  place, so that no part of a conversation is lost in silence. Parts of OpenAI's APIs are the client's error.

Fields of a block that nobody reads stay with its part (`extra`), but for those that are null or empty and say nothing. Nothing is copied.
"""

from collections.abc import Callable, Iterable, Iterator, Set

from pipeline.errors import RequestError
from pipeline.parse.body import read
from pipeline.parse.content import IMAGE_SCHEMES, PART_FIELDS
from pipeline.parse.messages_sources import BETWEEN_TEXTS, blocks_text, source_text, source_url
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import LEFT_OUT
from pipeline.parse.quirks.parts import Part as Block
from pipeline.parse.quirks.typed import needed_text, object_at, required, text_at
from pipeline.request import ImagePart, Json, OpaquePart, Part, TextPart, Thought

DIALECT = "anthropic"

OF_TURNS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking"})
"""What is more than a part: whoever reads a message takes these out first."""

DROPPED = (LEFT_OUT - OF_TURNS - {"reasoning"}) | {"advisor_tool_result", "mcp_tool_listing", "fallback", "tool_addition", "tool_removal"}
"""What ran at Anthropic, and what only tells its servers something."""

OF_OPENAI = (PART_FIELDS.keys() - {"text"}) | {"file", "input_file", "input_audio"}

EMPTY: tuple[Json, ...] = (None, [], {})
"""Values that say nothing."""


def read_parts(blocks: Iterable[Block], ledger: Ledger) -> Iterator[Part]:
    """The parts that blocks are, in order, without empty text.

    Raises:
        RequestError: a block without its type or its value, an image at another kind of URL, a block that stands in the wrong place.

    >>> list(read_parts([Block({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, "messages[0].content[0]")], Ledger()))
    [TextPart(text='Hi', extra={'cache_control': {'type': 'ephemeral'}})]
    """
    for block in blocks:
        part = read_part(block, ledger)
        if part is not None and not (isinstance(part, TextPart) and not part.text and not part.extra):
            yield part


def read_part(block: Block, ledger: Ledger) -> Part | None:
    """The part that a block is, None where it is left out; raises as `read_parts`."""
    fields, path = block
    kind = kind_of(block)
    if kind == "text":
        return TextPart(needed_text(fields, "text", path), unread(fields, _READ_OF_TEXT))
    if kind in DROPPED:
        ledger.drop(kind)
        return None
    if kind in OF_TURNS:
        raise RequestError(f"{path}.type {kind} does not belong here.", param=f"{path}.type")
    if kind in OF_OPENAI:
        message = f"{path}.type {kind} is a part of OpenAI's APIs: send the body to /v1/chat/completions."
        raise RequestError(message, param=f"{path}.type")
    if kind == "image":
        return _image(fields, path)
    if kind == "compaction" and fields.get("content") is None:
        ledger.drop(kind)  # one that failed: it stands for nothing
        return None
    text = _TEXTS[kind](fields, path) if kind in _TEXTS else None
    return OpaquePart(kind, fields, path, DIALECT) if text is None else TextPart(text, {kind: fields})


def kind_of(block: Block) -> str:
    """The type of a block; raises RequestError where it has none."""
    kind = block.fields.get("type")
    if isinstance(kind, str):
        return kind
    if kind is None:
        raise required(f"{block.path}.type")
    return read(kind, str, f"{block.path}.type")


def read_thought(block: Block, ledger: Ledger) -> Thought | None:
    """The reasoning in a `thinking` or `redacted_thinking` block; None for one that says nothing and is not signed.

    >>> read_thought(Block({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, "messages[1].content[0]"), Ledger())
    Thought(text='Hm.', signature='c2ln')
    """
    fields, path = block
    if fields["type"] == "redacted_thinking":
        thought, known = Thought(redacted=needed_text(fields, "data", path)), _READ_OF_REDACTED
    else:
        thought, known = Thought(needed_text(fields, "thinking", path), text_at(fields, "signature", path) or ""), _READ_OF_THINKING
    for name in unread(fields, known):
        ledger.ignore_inside(f"content.{name}")
    return None if thought == Thought() else thought


def separated(parts: Iterable[Part]) -> Iterator[Part]:
    r"""The parts with a line end between two texts: upstreams that know one text a message would join them without anything.

    >>> [part.text for part in separated([TextPart("One."), TextPart("Two.")])]
    ['One.', '\n', 'Two.']
    """
    before: Part | None = None
    for part in parts:
        if isinstance(before, TextPart) and isinstance(part, TextPart):
            yield TextPart(BETWEEN_TEXTS)
        yield part
        before = part


def unread(fields: dict[str, Json], known: Set[str]) -> dict[str, Json]:
    """The fields beside the `known` ones that say something, as sent."""
    if fields.keys() <= known:
        return {}
    return {name: value for name, value in fields.items() if name not in known and value not in EMPTY}


def _image(fields: dict[str, Json], path: str) -> Part:
    source = object_at(fields, "source", path)
    if source is None:
        raise required(f"{path}.source")
    if source.get("type") not in ("base64", "url"):
        return OpaquePart("image", fields, path, DIALECT)
    url = source_url(source, f"{path}.source")
    if not url[:8].lower().startswith(IMAGE_SCHEMES):
        place = f"{path}.source.url"
        raise RequestError(f"{place} must be a data: or an http(s) URL.", code="invalid_image_url", param=place)
    return ImagePart(url, extra=unread(fields, _READ_OF_IMAGE), path=path)


def _document(fields: dict[str, Json], path: str) -> str | None:
    source = object_at(fields, "source", path)
    if source is None:
        raise required(f"{path}.source")
    text = blocks_text(source.get("content")) if source.get("type") == "content" else source_text(fields)
    return _headed(text, ("title", "context"), fields, path)


def _search_result(fields: dict[str, Json], path: str) -> str | None:
    return _headed(blocks_text(fields.get("content")), ("title", "source"), fields, path)


def _headed(text: str | None, names: tuple[str, ...], fields: dict[str, Json], path: str) -> str | None:
    """A text behind what its block says of it, under these names."""
    head = [said for name in names if (said := text_at(fields, name, path))]
    return None if text is None else BETWEEN_TEXTS.join([*head, text])


def _tool_reference(fields: dict[str, Json], path: str) -> str:
    return f"[tool {needed_text(fields, 'tool_name', path)}]"


def _compaction(fields: dict[str, Json], path: str) -> str:
    return needed_text(fields, "content", path)


# a type of block that is made of text -> that text, None where it is made of something else
_TEXTS: dict[str, Callable[[dict[str, Json], str], str | None]] = {
    "document": _document,
    "search_result": _search_result,
    "tool_reference": _tool_reference,
    "compaction": _compaction,
}

_READ_OF_TEXT = frozenset({"type", "text"})
_READ_OF_IMAGE = frozenset({"type", "source"})
_READ_OF_THINKING = frozenset({"type", "thinking", "signature"})
_READ_OF_REDACTED = frozenset({"type", "data"})
