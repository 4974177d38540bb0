"""The results of tools in the history, in every form, as the text of a tool's message (N5, and the results of N9).

Theory of operation: a string, parts, null, or any other JSON value comes in; text parts come out. A list is one of parts only if each of its entries
is a part that has its value; a list with anything else in it is a tool's own data. Data becomes its compact JSON. A tool's message takes nothing but
text: an image or a document becomes a word that says so, in a list of data too, where it would be an endless row of letters. A document that is
text is that text.
"""

from collections.abc import Iterator

from pipeline.parse.body import is_list, is_object
from pipeline.parse.messages_sources import source_text
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import IMAGE_TYPES, LEFT_OUT, TEXT_TYPES, Part, raw_parts, read_parts, text_part
from pipeline.parse.quirks.typed import compact
from pipeline.request import Json

ERROR_MARK = "[error]"

# a kind of part that is left out of a result -> the word that stands in its place
OMITTED = {
    **dict.fromkeys(IMAGE_TYPES, "image"),
    "document": "document",
    **dict.fromkeys(("file", "input_file"), "file"),
    **dict.fromkeys(("input_audio", "audio"), "audio"),
    **dict.fromkeys(("video_url", "input_video"), "video"),
}

# a kind of part -> the fields that hold its value, one of which is there
VALUES = {
    **dict.fromkeys(TEXT_TYPES, ("text",)),
    "refusal": ("refusal",),
    **dict.fromkeys(IMAGE_TYPES, ("image_url", "source", "data", "file_id")),
    "document": ("source",),
    "file": ("file",),
    "input_file": ("file_data", "file_id", "file_url"),
    "input_audio": ("input_audio",),
    "audio": ("audio", "source", "data"),
    "video_url": ("video_url",),
    "input_video": ("input_video", "video_url"),
}
STRUCTURED = frozenset({"image_url", "source", "file", "input_audio", "audio", "video_url", "input_video"})
"""Values that may be an object; any other is text."""


def read_output(value: Json, path: str, ledger: Ledger, *, is_error: bool = False) -> list[Part]:
    """N5: the parts of a result, which are text.

    >>> [part.text for part in read_output({"ok": True}, "input[0].output", Ledger())]
    ['{"ok":true}']
    """
    mark = [text_part(ERROR_MARK, path)] if is_error else []
    if value is None or isinstance(value, str) or (is_list(value) and all(map(_is_part, value))):
        return [*mark, *read_parts(list(_texts(raw_parts(value, path, ledger), ledger)), ledger)]
    data = [_without_bytes(each, ledger) for each in value] if is_list(value) else value
    return [*mark, text_part(compact(data), path)]


def _is_part(value: Json) -> bool:
    """Whether this is a part that has its value, and not a tool's own data."""
    if not is_object(value) or not isinstance(kind := value.get("type"), str):
        return False
    return kind in LEFT_OUT or any(_holds(value.get(name), name) for name in VALUES.get(kind, ()))


def _holds(value: Json, name: str) -> bool:
    return isinstance(value, str) or (name in STRUCTURED and is_object(value))


def _texts(parts: list[Part], ledger: Ledger) -> Iterator[Part]:
    """Parts with a word in place of what is no text."""
    for part in parts:
        word = OMITTED.get(part.fields["type"])
        if word is None:
            yield part
        elif part.fields["type"] == "document" and (text := source_text(part.fields)) is not None:
            yield text_part(text, part.path)
        else:
            yield text_part(_omitted(word, ledger), part.path)


def _without_bytes(value: Json, ledger: Ledger) -> Json:
    """An entry of a tool's own list, or a word in place of an image."""
    return _omitted("image", ledger) if _is_part(value) and value["type"] in IMAGE_TYPES else value


def _omitted(word: str, ledger: Ledger) -> str:
    ledger.drop(f"{word} in a tool's result")
    return f"[{word} omitted]"
