"""The parts of a message's content: those of three dialects as Chat's text and image parts (N3, and the images of N9).

Theory of operation: content is null, a string or a list of parts; a list of Chat's parts comes out, each with the place where it stood. Text parts of
every spelling are `text`. Images by URL, by data or as Anthropic's `source` are `image_url`. Thinking, and what ran at the provider, is left out and
counted. A file of Responses and a document of Anthropic are Chat's `file`, a document of text is text, and one that holds neither its bytes nor its
text is the client's error. A part of any other type stays exactly as it is: whether it can be sent is for those who write it. Fields of a part that
are null say nothing; those that a chat upstream has no use for are left out by name; others stay.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.errors import RequestError
from pipeline.parse.body import is_list, is_object, read
from pipeline.parse.messages_sources import data_url, source_text, source_url
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


EMPTY_TEXT: dict[str, Json] = {"type": "text", "text": ""}

UNNAMED = "document"
"""The name of a file that has none: Chat asks for one."""


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
    """N3: parts in Chat's form, without empty text and without those that are left out.

    Raises:
        RequestError: a text part without text, or an image or a document whose source nobody can read.

    >>> [part.fields for part in read_parts([Part({"type": "input_text", "text": "Hi"}, "input[0].content[0]")], Ledger())]
    [{'type': 'text', 'text': 'Hi'}]
    """
    return (part for part in _read(parts, ledger) if part.fields != EMPTY_TEXT)


def _read(parts: Sequence[Part], ledger: Ledger) -> Iterator[Part]:
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
        elif kind == "document":
            yield _document(part, ledger)
        elif kind == "input_file" and not part.fields.get("file_url"):
            inside = {name: value for name, value in part.fields.items() if name != "type" and value is not None}
            yield Part({"type": "file", "file": inside}, part.path)
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
        image: dict[str, Json] = {"url": source_url(source, f"{part.path}.source")}
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


def _document(part: Part, ledger: Ledger) -> Part:
    """N9: Anthropic's document as Chat's file, or as its text; what else it says has no place in either."""
    path, fields = f"{part.path}.source", part.fields
    source = object_at(fields, "source", part.path)
    if source is None:
        raise required(path)
    known = {"type", "source"}
    text = source_text(fields)
    if text is None and source.get("type") != "base64":
        raise RequestError(f"{path}.type must be base64 or text: no other document can be sent here.", param=f"{path}.type")
    title = text_at(fields, "title", part.path)
    for name, value in fields.items():
        if value is not None and name not in known and (name != "title" or text is not None):
            ledger.ignore_inside(f"content.{name}")
    if text is not None:
        return text_part(text, part.path)
    return Part({"type": "file", "file": {"filename": title or UNNAMED, "file_data": data_url(source, path)}}, part.path)


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
