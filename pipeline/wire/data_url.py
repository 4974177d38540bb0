r"""A file inside a `data:` URL (RFC 2397), read.

Theory of operation: the URL that a client sent goes in, the bytes of the file come out; what cannot be read is the client's error and names the
field. Only base64 is read, as clients write it for images: in either alphabet (RFC 4648, sections 4 and 5), with or without padding, wrapped into
lines, and with `+`, `/` and `=` escaped for a URL. Anything else in it is refused and never skipped. The size is checked before anything is decoded;
the work is linear in the length of the URL.

Left alone: the label. What a client says of the type is not believed, since the content tells it.
"""

from binascii import Error, a2b_base64
from urllib.parse import unquote_to_bytes

from pipeline.errors import RequestError

SCHEME = "data:"
MAX_LABEL_CHARS = 256
"""Of what stands before the comma: a type and some parameters."""

_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\r\n\f\v"
_LONGEST_SPELLING = 4
"""Characters of the URL for a byte of the file: base64 makes 4 of 3, and each of these may be escaped with 3."""


def is_data_url(url: str) -> bool:
    """Whether the URL holds its content.

    >>> is_data_url("DATA:,x"), is_data_url("https://a.example/data:")
    (True, False)
    """
    return url[: len(SCHEME)].lower() == SCHEME


def decode_data_url(url: str, path: str, max_bytes: int) -> bytes:
    """The file in the URL, which stands at `path` in the body.

    Raises:
        RequestError: it is not a base64 data URL, holds nothing, or holds more than `max_bytes`; `param` is the path.

    >>> decode_data_url("data:image/gif;base64,R0lGODlh", "messages[0].content[0].image_url", 1024)
    b'GIF89a'
    """
    comma = url.find(",", 0, MAX_LABEL_CHARS)
    if not is_data_url(url) or comma < 0 or url[:comma].rpartition(";")[2].strip().lower() != "base64":
        raise RequestError(f"{path} must be of the form data:image/png;base64,…", code="invalid_base64_image", param=path)
    # no copy is made of a text that is too long however it was spelled
    is_too_long = len(url) - comma - 1 > max_bytes * _LONGEST_SPELLING + MAX_LABEL_CHARS
    try:
        digits = b"" if is_too_long else _digits(url[comma + 1 :])
        if is_too_long or len(digits) * 3 // 4 > max_bytes:
            raise RequestError(f"{path} holds an image of more than {max_bytes} bytes.", code="image_file_too_large", param=path)
        data = a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except (UnicodeEncodeError, Error):
        raise RequestError(f"{path} holds what is not valid base64.", code="invalid_base64_image", param=path) from None
    if not data:
        raise RequestError(f"{path} holds an empty image.", code="empty_image_file", param=path)
    return data


def _digits(text: str) -> bytes:
    """The base64 digits in the standard alphabet, without whitespace and padding; raises what base64 and ASCII raise."""
    encoded = text.encode("ascii")
    escaped = unquote_to_bytes(encoded) if b"%" in encoded else encoded
    padded = escaped.translate(_STANDARD, _WHITESPACE)
    digits = padded.rstrip(b"=")
    if len(padded) - len(digits) > 2:
        raise Error
    return digits
