"""The content of one message, in every form that clients send, as canonical parts.

Theory of operation: content is null, a string, or a list of parts; what comes out is a tuple of parts in the same order, without empty text. Refusal
parts become text, since a refusal in the history is something the assistant said. `image_url` may be an object or, as Responses writes it, a string.
It holds its content (`data:`) or is a web address; another scheme is refused here, since some upstreams would open a file of their own for it. The
image's bytes are not looked at. A part of any other type (`file`, `input_audio`, `document`, …) is an `OpaquePart`: nothing but its type is looked
at, and what becomes of it is for whoever writes the request. Fields that nobody reads stay with their part (`extra`); those inside `image_url` stand
there under that name.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_object, read, unread
from pipeline.request import ImagePart, Json, OpaquePart, Part, TextPart


class Typed(msgspec.Struct, frozen=True):
    """What every part says of itself."""

    type: str


class ImageBody(msgspec.Struct, frozen=True):
    """The object under `image_url`."""

    url: str
    detail: str | None = None


class PartBody(msgspec.Struct, frozen=True):
    """A part that is read; which field counts is decided by `type`."""

    text: str | None = None
    refusal: str | None = None
    image_url: str | ImageBody | None = None
    detail: str | None = None


Content = str | list[dict[str, Json]] | None

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

_READ = {field: frozenset({"type", field}) for field in PART_FIELDS.values()}
_READ_OF_FLAT_IMAGE = frozenset({"type", "image_url", "detail"})
_READ_INSIDE_IMAGE = frozenset(ImageBody.__struct_fields__)


def read_content(content: Content, path: str) -> tuple[Part, ...]:
    """The parts of `content`; `path` is where it stands in the body.

    Raises:
        RequestError: a part without a type or without its value; an image by another kind of URL.

    >>> read_content([{"type": "text", "text": "Hi"}, {"type": "input_image", "image_url": "https://a.example/b.png"}], "messages[0].content")
    (TextPart(text='Hi'), ImagePart(url='https://a.example/b.png'))
    """
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts = [_part(part, f"{path}[{index}]") for index, part in enumerate(content)]
    return tuple([part for part in parts if not (isinstance(part, TextPart) and not part.text and not part.extra)])


def _part(part: dict[str, Json], path: str) -> Part:
    kind = part.get("type")
    if not isinstance(kind, str):
        kind = read(part, Typed, path).type  # which says what is wrong with it
    field = PART_FIELDS.get(kind)
    if field is None:
        return OpaquePart(kind, part, path)
    value = part.get(field)
    if value is None:
        raise RequestError(f"{path}.{field} is required.", param=f"{path}.{field}")
    if field == "image_url":
        return _image(part, path)
    if not isinstance(value, str):
        read({field: value}, PartBody, path)
    return TextPart(str(value), unread(part, _READ[field])) if len(part) > len(_READ[field]) else TextPart(str(value))


def _image(part: dict[str, Json], path: str) -> ImagePart:
    value = part["image_url"]
    body = read({name: part[name] for name in ("image_url", "detail") if name in part}, PartBody, path)
    if isinstance(body.image_url, ImageBody):
        image, extra = body.image_url, unread(part, _READ["image_url"])
        if is_object(value) and (inside := unread(value, _READ_INSIDE_IMAGE)):
            extra["image_url"] = inside
    else:
        image, extra = ImageBody(body.image_url or "", body.detail), unread(part, _READ_OF_FLAT_IMAGE)
    if not image.url:
        raise RequestError(f"{path}.image_url must hold a URL.", param=f"{path}.image_url")
    if not image.url[:8].lower().startswith(IMAGE_SCHEMES):
        raise RequestError(f"{path}.image_url must be a data: or an http(s) URL.", code="invalid_image_url", param=f"{path}.image_url")
    return ImagePart(image.url, image.detail or "auto", extra=extra)
