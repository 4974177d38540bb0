r"""The texts that bytes may stand for when they hold JSON strings, with the way back to the bytes.

Theory of operation: the same secret has many spellings inside a JSON string (`a/b`, `a\/b`, `a\u002fb`), more in JSON inside JSON, and none of them
need be in one piece. A `Reading` is the bytes with their escapes resolved, and `span` says which of the bytes a stretch of it was written as, so that
a find is replaced where it stands. `readings` gives the bytes themselves first, then one reading for each level of JSON inside JSON.

Invariants: linear in the bytes for each level; nothing raises, whatever the bytes are. An escape is one unit: a span holds all of it or nothing. An
escape that the end of cut bytes leaves unfinished stands for nothing, and belongs to what is before it. Bytes that only look like escapes (a path in
Windows) are read as such too: a reading is for searching only.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

DEEPEST_LEVEL = 4
"""How many times escapes are resolved: tool arguments that hold a JSON text, inside an event that is JSON, are three."""

_HEX = rb"[0-9a-fA-F]"
_HIGH = rb"\\u[dD][89abAB]" + _HEX + rb"{2}"
_LOW = rb"\\u[dD][c-fC-F]" + _HEX + rb"{2}"
_ESCAPE = re.compile(
    rb"(?P<cut>(?=\\)(?:" + _HIGH + rb")?(?:\\(?:u" + _HEX + rb"{0,3})?)?\Z)"
    rb"|(?P<code>" + _HIGH + _LOW + rb"|\\u" + _HEX + rb"{4})"
    rb'|\\(?P<letter>["\\/bfnrt])'
)  # fmt: skip
_LETTERS = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Reading(msgspec.Struct, frozen=True):
    r"""What bytes stand for. `below` is what it was read from, None for the bytes themselves.

    >>> plain, resolved = readings(b'say "a\\u002fb"')
    >>> resolved.text, resolved.span(resolved.text.find(b"a/"), resolved.text.find(b"b"))
    (b'say "a/b"', (5, 12))
    """

    text: bytes
    below: "Reading | None" = None
    # Where a run of plain bytes (even places) or an escape (odd places) begins, in the text and in the text below.
    starts: tuple[int, ...] = ()
    starts_below: tuple[int, ...] = ()

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """From where to where the bytes go that `text[start:stop]`, which is not empty, was written as."""
        if self.below is None:
            return start, stop
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, stop - 1) - 1
        start_below = self.starts_below[first] + (0 if first % 2 else start - self.starts[first])
        if stop == len(self.text):
            stop_below = len(self.below.text)
        else:
            stop_below = self.starts_below[last + 1] if last % 2 else self.starts_below[last] + stop - self.starts[last]
        return self.below.span(start_below, stop_below)


def readings(data: bytes, *, cut: bool = False) -> Iterator[Reading]:
    """The bytes as they are, and then with their escapes resolved once, twice, and so on while there are any.

    `cut` says that the bytes may end inside an escape.
    """
    reading: Reading | None = Reading(data)
    for _ in range(DEEPEST_LEVEL + 1):
        if reading is None:
            return
        yield reading
        reading = _resolved(reading, cut=cut)


def cut_escape_bytes(data: bytes) -> int:
    r"""How many bytes at the end of a string's inside are an escape that is not whole.

    >>> cut_escape_bytes(b"a\\u00e"), cut_escape_bytes(b"a\\u00e9"), cut_escape_bytes(b"a\\ud83d\\"), cut_escape_bytes(b"a\\\\")
    (5, 0, 7, 0)
    """
    return next((len(escape["cut"]) for escape in _ESCAPE.finditer(data) if escape["cut"] is not None), 0)


def _resolved(below: Reading, *, cut: bool) -> Reading | None:
    """The next level, None where there is no escape."""
    if b"\\" not in below.text:
        return None
    text, starts, starts_below = bytearray(), [0], [0]
    at = 0
    for escape in _ESCAPE.finditer(below.text):
        if escape["cut"] is not None and not cut:
            break
        text += below.text[at : escape.start()]
        starts.append(len(text))
        starts_below.append(escape.start())
        text += _meaning(escape)
        at = escape.end()
        starts.append(len(text))
        starts_below.append(at)
    text += below.text[at:]
    return Reading(bytes(text), below, tuple(starts), tuple(starts_below)) if at else None


def _meaning(escape: re.Match[bytes]) -> bytes:
    letter, code = escape["letter"], escape["code"]
    if letter is not None:
        return _LETTERS[letter]
    if code is None:
        return b""
    # half of a pair alone is no character, but must not raise
    return bytes.fromhex(code.replace(b"\\u", b"").decode()).decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
