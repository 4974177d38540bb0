"""Write the head of one HTTP/1.1 request, and frame its body, without I/O.

Theory of operation: method, target and fields go in as bytes, one block of bytes comes out, with what the sender must know of the body: how long it
is, or that it is chunked. Nothing can be smuggled through: a field name is a token, a value holds no CR, LF or NUL, a target no space or control
character, and a length stands alone. Fields leave in the order and the case in which they came. Two things are added where they are missing, Host
and the frame of a body; one is left out, Proxy-Authorization, since what is for a proxy comes from its own settings and never reaches a target.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")
# a field that the frame, the pool or the proxy depends on; all others pass unread
_READ = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"proxy-authorization"})

LAST_CHUNK = b"0\r\n\r\n"


class RequestFault(ValueError):
    """The request cannot be written as HTTP/1.1. The text names the part, never its value."""


class RequestHead(msgspec.Struct, frozen=True):
    """What goes before the body.

    `length` is the number of body bytes, None when the body is chunked; `closes` says that the request asks for the connection's end.
    """

    data: bytes
    length: int | None
    closes: bool


def write_head(
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    host: bytes,
    body_length: int | None = None,
    proxy_headers: Iterable[tuple[bytes, bytes]] = (),
) -> RequestHead:
    r"""The request line and the header block.

    Args:
        method: an HTTP method.
        target: the request target, in the form that the receiver takes.
        headers: the fields.
        host: the Host field, used when `headers` has none.
        body_length: the body's bytes where they are known; None for a body that is streamed.
        proxy_headers: our own fields for the proxy that receives this request.

    Raises:
        RequestFault: for what cannot be sent safely.

    >>> write_head(b"GET", b"/a", [(b"Host", b"b")], host=b"b", body_length=0).data
    b'GET /a HTTP/1.1\r\nHost: b\r\n\r\n'
    """
    if not _TOKEN.fullmatch(method):
        raise RequestFault("The method is not a token.")
    if not _TARGET.fullmatch(target):
        raise RequestFault("The target holds a space or a control character.")
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
    read: dict[bytes, bytes] = {}
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise RequestFault("The name of a field is not a token.")
        if _FORBIDDEN.search(value):
            raise RequestFault("The value of a field holds a line break or a NUL.")
        lower = name.lower()
        if lower in _READ:
            if lower == b"proxy-authorization":
                continue
            if lower in read and lower != b"connection":
                raise RequestFault(f"There is more than one {lower.decode()} field.")
            read[lower] = value
        lines.append(b"%b: %b\r\n" % (name, value))
    if b"host" not in read:
        lines.insert(1, b"Host: %b\r\n" % host)
    length, frame = _frame(read, body_length)
    lines += (*(b"%b: %b\r\n" % field for field in proxy_headers), frame, b"\r\n")
    return RequestHead(b"".join(lines), length, b"close" in read.get(b"connection", b"").lower())


def _frame(read: dict[bytes, bytes], body_length: int | None) -> tuple[int | None, bytes]:
    """The body's length, None for chunks, and the field that says so if it is still missing."""
    declared, coding = read.get(b"content-length"), read.get(b"transfer-encoding")
    if declared is not None and coding is not None:
        raise RequestFault("There is a content-length beside a transfer-encoding.")
    if coding is not None:
        if coding.strip().lower() != b"chunked":
            raise RequestFault("The transfer coding is not chunked.")
        return None, b""
    if declared is not None:
        if not declared.isdigit():
            raise RequestFault("The content-length is not a number.")
        if body_length not in (None, int(declared)):
            raise RequestFault("The content-length is not that of the body.")
        return int(declared), b""
    if body_length is None:
        return None, b"Transfer-Encoding: chunked\r\n"
    return body_length, b"Content-Length: %d\r\n" % body_length if body_length else b""


def write_chunk(part: bytes) -> bytes:
    r"""One chunk of a chunked body; none for an empty part, which would end the body.

    >>> write_chunk(b"hello"), write_chunk(b"")
    (b'5\r\nhello\r\n', b'')
    """
    return b"%x\r\n%b\r\n" % (len(part), part) if part else b""
