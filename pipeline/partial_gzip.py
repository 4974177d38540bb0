"""What can be inflated of a gzip message that may be cut off, broken or followed by other bytes.

Theory of operation: a recording may end inside a compressed message, and whoever searches it for secrets must see what anyone else could inflate. A
message's bytes come in; what they inflate to goes out, followed by the bytes that are no part of it, as they are, and the word whether all of it was
one whole message. Nothing raises, whatever the bytes are. What comes after the first `max_bytes` inflated is left out, so that a small message cannot
take all memory.
"""

import zlib

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def inflate_leniently(message: bytes, max_bytes: int) -> tuple[bytes, bool]:
    r"""What a message says as far as it can be told, and whether it is whole.

    >>> import gzip
    >>> inflate_leniently(gzip.compress(b"hello"), 100), inflate_leniently(gzip.compress(b"hello")[:-8], 100), inflate_leniently(b"text", 100)
    ((b'hello', True), (b'hello', False), (b'', False))
    """
    inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(message, max_bytes + 1)
    except zlib.error:
        return _inflate_before_fault(message, max_bytes), False
    whole = inflater.eof and not inflater.unused_data and len(inflated) <= max_bytes
    return inflated + inflater.unused_data, whole


def _inflate_before_fault(message: bytes, max_bytes: int) -> bytes:
    # byte by byte, since a call that fails gives nothing of what it inflated before the fault
    inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
    inflated = bytearray()
    for at in range(len(message)):
        try:
            inflated += inflater.decompress(message[at : at + 1])
        except zlib.error:
            return bytes(inflated + message[at:]) if inflated else b""
        if len(inflated) > max_bytes:
            break
    return bytes(inflated)
