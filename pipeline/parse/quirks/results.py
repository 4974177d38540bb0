"""The results of tools in the history, in every form, as the parts of a tool's message (N5, and the results of N9).

Theory of operation: a string, parts, null, or any other JSON value comes in; parts come out, which are one text unless a document is among them. An
image becomes a word that says so, since a tool's message takes none. A value that is no list of parts is data, and becomes its compact JSON.
"""

from collections.abc import Iterator

from pipeline.parse.body import is_list, is_object
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import IMAGE_TYPES, LEFT_OUT, TEXT_TYPES, Part, raw_parts, read_parts, text_part
from pipeline.parse.quirks.typed import compact
from pipeline.request import Json

IMAGE_OMITTED = "[image omitted]"
ERROR_MARK = "[error]"

DOCUMENT_TYPES = frozenset({"document", "search_result", "file", "input_file", "input_audio", "audio", "video_url", "input_video", "tool_reference"})
PART_TYPES = TEXT_TYPES | IMAGE_TYPES | LEFT_OUT | DOCUMENT_TYPES | {"refusal"}


def read_output(value: Json, path: str, ledger: Ledger, *, is_error: bool = False) -> list[Part]:
    """N5: the parts of a result; raises RequestError for a text part without text.

    >>> [part.text for part in read_output({"ok": True}, "input[0].output", Ledger())]
    ['{"ok":true}']
    """
    mark = [text_part(ERROR_MARK, path)] if is_error else []
    if value is None or isinstance(value, str) or _are_parts(value):
        return [*mark, *read_parts(list(_without_images(raw_parts(value, path, ledger), ledger)), ledger)]
    return [*mark, text_part(compact(value), path)]


def _are_parts(value: Json) -> bool:
    """Whether this is a list of parts, and not of a tool's own data."""
    return is_list(value) and all(is_object(part) and isinstance(kind := part.get("type"), str) and kind in PART_TYPES for part in value)


def _without_images(parts: list[Part], ledger: Ledger) -> Iterator[Part]:
    for part in parts:
        if part.fields.get("type") in IMAGE_TYPES:
            ledger.drop("image in a tool's result")
            yield text_part(IMAGE_OMITTED, part.path)
        else:
            yield part
