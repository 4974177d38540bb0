"""UTF-8 that was cut anywhere: bytes to text, without ever inventing a character.

Theory of operation: pieces come in, text goes out. A character cut at the end of a piece is held, at most three bytes, and joined with the next
piece. Bytes that cannot be UTF-8 are dropped and counted; U+FFFD stays in the text where the sender sent it, and nowhere else. Nothing raises;
time is linear, since both the decoding and the removal are one C pass.
"""

import re
from codecs import utf_8_decode

# Strict UTF-8 has no surrogates, so under this error handler each one stands for exactly one byte that could not be decoded.
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_ESCAPE = "surrogateescape"


class Utf8Decoder:
    r"""Feed pieces, get text and the number of bytes that were dropped.

    >>> decoder = Utf8Decoder()
    >>> decoder.feed(b"na\xc3"), decoder.feed(b"\xafve \xff!"), decoder.feed(b"\xe2\x82"), decoder.end()
    (('na', 0), ('ïve !', 1), ('', 0), 2)
    """

    def __init__(self) -> None:
        self.pending = b""  # the beginning of a character

    def feed(self, piece: bytes) -> tuple[str, int]:
        """Consume the next piece; returns its text, which may be empty, and the count of bytes dropped."""
        data = self.pending + piece
        text, consumed = utf_8_decode(data, _ESCAPE, False)
        self.pending = data[consumed:]
        if text.isascii():
            return text, 0
        return _ESCAPED_BYTE.subn("", text)

    def end(self) -> int:
        """No more pieces: drops what is pending and returns its count of bytes."""
        dropped = len(self.pending)
        self.pending = b""
        return dropped
