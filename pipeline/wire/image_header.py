r"""What kind of image some bytes are, and its size in pixels, from the first bytes alone.

Theory of operation: the bytes of a file go in; the format comes out by its signature, whatever a label says, and the size as the header claims it.
Nothing is decoded, so that an image that would unpack to gigabytes costs no more than any other. PNG, GIF and WebP have the size at a fixed place.
In a JPEG it stands in the frame header (SOF), behind segments that are jumped over by their lengths, at most `MAX_SEGMENT_COUNT` of them; what is no
segment there ends the search. The work is linear in what is read, and reading never raises: what has no readable header is None.

Left alone: whether the rest of the file is an image, how many frames it has, and the orientation that a camera noted.

Sources: PNG (W3C, third edition, 11.2.1), GIF89a (section 18), JPEG (ITU T.81, annex B), WebP (RFC 9649).
"""

import re

import msgspec

MAX_SEGMENT_COUNT = 1_024
"""Of a JPEG, before its frame header. A colour profile takes 255 at most, and nothing else comes near."""

# signature -> media type; "." in the WebP signature stands for the file's length
SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)

FORMATS = "PNG, JPEG, GIF or WebP"
"""The formats that are read, for messages."""

_PNG_HEADER = re.compile(rb"\x00\x00\x00\x0dIHDR(....)(....)", re.DOTALL)
_MARKER = re.compile(rb"\xff++([^\x00\xff])", re.DOTALL)  # any number of fill bytes before the code, and no way back into them
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_END_OF_HEADERS = frozenset({0xD8, 0xD9, 0xDA})  # another start, the end, or the picture itself: no frame header comes before them


class ImageHeader(msgspec.Struct, frozen=True):
    """What the header says: the media type by content, width and height in pixels, each at least 1."""

    media_type: str
    width: int
    height: int


def media_type_of(data: bytes) -> str | None:
    r"""The media type by the signature, None for what is none of the four.

    >>> media_type_of(b"GIF89a"), media_type_of(b"<svg/>")
    ('image/gif', None)
    """
    return next((media_type for signature, media_type in SIGNATURES if signature.match(data)), None)


def read_image_header(data: bytes) -> ImageHeader | None:
    r"""The header of an image, None where the format is none of the four, or the header is cut, broken or of no size.

    >>> read_image_header(b"GIF89a\x03\x00\x02\x00")
    ImageHeader(media_type='image/gif', width=3, height=2)
    """
    media_type = media_type_of(data)
    if media_type is None:
        return None
    width, height = _READERS[media_type](data)
    return ImageHeader(media_type, width, height) if width and height else None


def _png(data: bytes) -> tuple[int, int]:
    header = _PNG_HEADER.match(data, 8)
    return (int.from_bytes(header[1], "big"), int.from_bytes(header[2], "big")) if header else (0, 0)


def _gif(data: bytes) -> tuple[int, int]:
    return (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")) if len(data) >= 10 else (0, 0)


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(MAX_SEGMENT_COUNT):
        marker = _MARKER.match(data, at)
        if marker is None:
            break
        code, at = marker[1][0], marker.end()
        if code in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if code in _END_OF_HEADERS or length < 2:
            break
        if code in _START_OF_FRAME:
            # length, precision, height, width
            frame = data[at + 3 : at + 7]
            return (int.from_bytes(frame[2:], "big"), int.from_bytes(frame[:2], "big")) if len(frame) == 4 else (0, 0)
        at += length
    return 0, 0


def _webp(data: bytes) -> tuple[int, int]:
    kind, body = data[12:16], data[20:30]  # between them stands the chunk's length
    if kind == b"VP8 " and len(body) == 10 and not body[0] & 1 and body[3:6] == b"\x9d\x01\x2a":  # a key frame and its start code
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    return 0, 0


_READERS = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif, "image/webp": _webp}
