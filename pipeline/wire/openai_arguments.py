r"""The arguments of a call as text: whether they are whole.

Theory of operation: `ObjectScan` finds the end of an object in text that comes in pieces, looking at each character once; the decoder has the last
word on whether what it found is JSON. Nothing raises, whatever the text is.
"""

import re

import msgspec

_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


class ObjectScan:
    r"""Whether a text that comes in pieces has reached the end of its outermost brackets; one that does not begin with a bracket never does.

    >>> scan = ObjectScan()
    >>> [scan.feed(piece) for piece in ('{"a": "}', '\\', '"', '", "b": [1]', '}')]
    [False, False, False, False, True]
    """

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._is_other = False  # the text begins with something else
        self._in_string = False
        self._escaped = False  # the text so far ends with a backslash inside a string

    def feed(self, text: str) -> bool:
        """Look at the next piece."""
        if not self.closed and not self._depth:  # only blanks so far
            text = text.lstrip()
            self._is_other = self._is_other or text[:1] not in "{["
            if self._is_other or not text:
                return False
        at, size = 0, len(text)
        if self._escaped and text:
            at, self._escaped = 1, False
        while at < size:
            found = (_IN_STRING if self._in_string else _STRUCTURE).search(text, at)
            if found is None:
                break
            at = found.end()
            if found[0] == '"':
                self._in_string = not self._in_string
            elif found[0] == "\\":
                self._escaped = at == size
                at += 1
            else:
                self._depth += 1 if found[0] in "{[" else -1
                self.closed = self.closed or self._depth == 0
        return self.closed


def is_json(text: str) -> bool:
    """Whether a text is one JSON value.

    >>> is_json('{"a": 1}'), is_json('{"a": ')
    (True, False)
    """
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
