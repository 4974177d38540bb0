"""The parts of a message's content: those of three dialects as Chat's text and image parts (N3, and the images of N9).

Theory of operation: content is null, a string or a list of parts; a list of Chat's parts comes out, each with the place where it stood. Text parts of
every spelling are `text`. Images by URL, by data or as Anthropic's `source` are `image_url`. Thinking, and what ran at the provider, is left out and
counted. A part of any other type stays exactly as it is: whether it can be sent is for the readers of a chat body. Fields of a part that are null say
nothing; those that a chat upstream has no use for are left out by name; others stay.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.errors import RequestError
from pipeline.parse.body import is_list, is_object, read
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, object_at, required, text_at
from pipeline.request import Json

TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
IMAGE_TYPES = frozenset({"image_url", "input_image", "image"})

LEFT_OUT = frozenset(
    {
        *("thinking", "redacted_thinking", "reasoning", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result"),
        *("code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result"),
        *("mcp_tool_use", "mcp_tool_result", "container_upload"),
    }
)
"""Anthropic's blocks that say what the model thought, or what ran at the provider."""

USELESS = frozenset({"cache_control", "annotations", "logprobs", "citations"})
"""Fields of parts and messages that mean something only to the API whose dialect they are."""


class Part(NamedTuple):
    """One part in Chat's form, and where it stood in the client's body."""

    fields: dict[str, Json]
    path: str

    @property
    def text(self) -> str | None:
        """The text of a text part, None for every other."""
        return self.fields["text"] if self.fields.get("type") == "text" else None


def raw_parts(content: Json, path: str, ledger: Ledger) -> list[Part]:
    """N3: null, a string or a list of parts as a list of parts, not read yet; raises RequestError for anything else."""
    if isinstance(content, str):
        return [text_part(content, path)] if content else []
    if content is None:
        return []
    if not is_list(content):
        raise RequestError(f"{path} must be a string or an array.", param=path)
    ledger.count(len(content), "parts", path)
    for index, part in enumerate(content):
        if not is_object(part):
            read(part, dict[str, Json], f"{path}[{index}]")
    return [Part(part, f"{path}[{index}]") for index, part in enumerate(content)]


def text_part(text: str, path: str) -> Part:
    """Text as a part."""
    return Part({"type": "text", "text": text}, path)


def read_parts(parts: Sequence[Part], ledger: Ledger) -> Iterator[Part]:
    """N3: parts in Chat's form, without those that are left out.

    Raises:
        RequestError: a text part without text, or an image whose source nobody can read.

    >>> [part.fields for part in read_parts([Part({"type": "input_text", "text": "Hi"}, "input[0].content[0]")], Ledger())]
    [{'type': 'text', 'text': 'Hi'}]
    """
    for part in parts:
        kind = part.fields.get("type")
        if not isinstance(kind, str):
            if kind is None:
                raise required(f"{part.path}.type")
            read(kind, str, f"{part.path}.type")
        elif kind in LEFT_OUT:
            ledger.drop(kind)
        elif kind in TEXT_TYPES:
            yield _text(part, ledger)
        elif kind == "refusal":
            yield text_part(needed_text(part.fields, "refusal", part.path), part.path)
        elif kind in IMAGE_TYPES:
            yield _image(part, ledger)
        else:
            yield part


def _text(part: Part, ledger: Ledger) -> Part:
    text = needed_text(part.fields, "text", part.path)
    return Part({"type": "text", "text": text, **kept(part.fields, {"type", "text"}, "content", ledger)}, part.path)


def _image(part: Part, ledger: Ledger) -> Part:
    """N3 image, N9: every way to write an image as `image_url` with an object."""
    fields = part.fields
    source = object_at(fields, "source", part.path)
    if source is not None:
        image: dict[str, Json] = {"url": _source_url(source, f"{part.path}.source")}
    elif is_object(given := fields.get("image_url")):
        image = {name: value for name, value in given.items() if value is not None}
    else:
        image = {"url": needed_text(fields, "image_url", part.path)}
    needed_text(image, "url", f"{part.path}.image_url")
    detail = text_at(fields, "detail", part.path) or image.get("detail")
    image.pop("detail", None)
    if detail != "auto" and detail is not None:
        image["detail"] = detail
    others = kept(fields, {"type", "image_url", "source", "detail"}, "content", ledger)
    return Part({"type": "image_url", "image_url": image, **others}, part.path)


def _source_url(source: dict[str, Json], path: str) -> str:
    """N9: Anthropic's source of an image as a URL."""
    if source.get("type") == "url":
        return needed_text(source, "url", path)
    if source.get("type") == "base64":
        return f"data:{needed_text(source, 'media_type', path)};base64,{needed_text(source, 'data', path)}"
    raise RequestError(f"{path}.type must be base64 or url.", param=f"{path}.type")


def kept(fields: dict[str, Json], known: set[str], prefix: str, ledger: Ledger) -> dict[str, Json]:
    """The fields beside the `known` ones that stay; those of `USELESS` that say something are named in the ledger as `prefix` and name."""
    if fields.keys() <= known:
        return {}
    others = {name: value for name, value in fields.items() if name not in known and value is not None}
    useless = [name for name in others if name in USELESS]
    for name in useless:
        if others.pop(name) not in ([], {}):
            ledger.ignore_inside(f"{prefix}.{name}" if prefix else name)
    return others
