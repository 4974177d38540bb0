"""Where the content of one of Anthropic's blocks is: the readers of `source`.

Theory of operation: images and documents have a `source`, an object whose `type` says how it holds them: `base64` with the bytes, `url` with an
address, `text` with the text, `content` with blocks, `file` with the id of a file at Anthropic. What a URL can say becomes one, what is text becomes
text; for all else there is no form but the block's own, and that is for the caller to decide.
"""

from pipeline.errors import RequestError
from pipeline.parse.body import is_list, is_object
from pipeline.parse.quirks.typed import needed_text
from pipeline.request import Json

BETWEEN_TEXTS = "\n"


def source_url(source: dict[str, Json], path: str) -> str:
    """The source of an image as a URL: a web address, or its bytes as `data:`; raises RequestError for one that is neither.

    >>> source_url({"type": "base64", "media_type": "image/png", "data": "AAAA"}, "messages[0].content[0].source")
    'data:image/png;base64,AAAA'
    """
    if source.get("type") == "url":
        return needed_text(source, "url", path)
    if source.get("type") == "base64":
        return data_url(source, path)
    raise RequestError(f"{path}.type must be base64 or url.", param=f"{path}.type")


def data_url(source: dict[str, Json], path: str) -> str:
    """The bytes of a source as a `data:` URL; raises RequestError where it does not say what they are."""
    return f"data:{needed_text(source, 'media_type', path)};base64,{needed_text(source, 'data', path)}"


def source_text(document: dict[str, Json]) -> str | None:
    """The text of a document that holds it as such, None for any other."""
    source = document.get("source")
    text = source.get("data") if is_object(source) and source.get("type") == "text" else None
    return text if isinstance(text, str) else None


def blocks_text(content: Json) -> str | None:
    r"""The text of what is a string, or blocks of nothing but text; None for anything else.

    >>> blocks_text([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]), blocks_text([{"type": "image"}])
    ('One.\nTwo.', None)
    """
    if isinstance(content, str):
        return content
    if not is_list(content):
        return None
    texts = [block.get("text") if is_object(block) and block.get("type") == "text" else None for block in content]
    found = [text for text in texts if isinstance(text, str)]
    return BETWEEN_TEXTS.join(found) if len(found) == len(texts) else None
