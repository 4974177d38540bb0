"""The content of one message, in every form that clients send, as canonical parts.

Theory of operation: content is null, a string, or a list of parts; what comes out is a tuple of `TextPart` and `ImagePart` in the same order, without
empty text. Refusal parts become text, since a refusal in the history is something the assistant said. `image_url` may be an object or, as Responses
writes it, a string. It holds its content (`data:`) or is a web address; another scheme is refused here, since some upstreams would open a file of
their own for it. The image's bytes are not looked at. Audio, files and video are refused by name; so is a part type that nobody knows.
"""

import msgspec

from pipeline.errors import RequestError, UnsupportedParameter
from pipeline.request import ImagePart, Part, TextPart


class ImageBody(msgspec.Struct, frozen=True):
    """The object under `image_url`."""

    url: str
    detail: str | None = None


class PartBody(msgspec.Struct, frozen=True):
    """A part as sent; which field counts is decided by `type`."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | ImageBody | None = None
    detail: str | None = None


Content = str | list[PartBody] | None

# part type -> the field that holds its value
PART_FIELDS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_image": "image_url",
}

IMAGE_SCHEMES = ("data:", "http://", "https://")

UNSUPPORTED_PARTS = frozenset({"input_audio", "audio", "file", "input_file", "video_url", "input_video"})


def read_content(content: Content, path: str) -> tuple[Part, ...]:
    """The parts of `content`; `path` is where it stands in the body.

    Raises:
        RequestError: a part of an unknown type, or without its value; an image by another kind of URL.
        UnsupportedParameter: a part that is neither text nor an image.

    >>> read_content([PartBody("text", text="Hi"), PartBody("input_image", image_url="https://a.example/b.png")], "messages[0].content")
    (TextPart(text='Hi'), ImagePart(url='https://a.example/b.png'))
    """
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts = (_part(part, f"{path}[{index}]") for index, part in enumerate(content))
    return tuple(part for part in parts if part != TextPart(""))


def _part(part: PartBody, path: str) -> Part:
    if part.type in UNSUPPORTED_PARTS:
        raise UnsupportedParameter(f"{path} is of type {part.type}: only text and images are supported.", param=f"{path}.type")
    field = PART_FIELDS.get(part.type)
    if field is None:
        raise RequestError(f"{path}.type is not a known part type; use one of {', '.join(PART_FIELDS)}.", param=f"{path}.type")
    value: str | ImageBody | None = getattr(part, field)
    if value is None:
        raise RequestError(f"{path}.{field} is required.", param=f"{path}.{field}")
    if field != "image_url":
        return TextPart(str(value))
    image = ImageBody(value, part.detail) if isinstance(value, str) else value
    if not image.url:
        raise RequestError(f"{path}.image_url must hold a URL.", param=f"{path}.image_url")
    if not image.url[:8].lower().startswith(IMAGE_SCHEMES):
        raise RequestError(f"{path}.image_url must be a data: or an http(s) URL.", code="invalid_image_url", param=f"{path}.image_url")
    return ImagePart(image.url, image.detail or "auto")
