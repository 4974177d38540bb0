"""The lines that the bridge writes to its standard error.

Bytes come in, whole lines go out, without their ends; splits may fall anywhere. Nothing raises: what is no UTF-8 is replaced. A line is kept up to
`MAX_LINE_BYTES`; what is longer is cut there and the rest of it dropped, so that a program that never ends its line takes no memory, and little time.
"""

MAX_LINE_BYTES = 16_384


class Lines:
    r"""Feed bytes, get lines.

    >>> lines = Lines()
    >>> lines.feed(b"a\r\nb"), lines.feed(b"\n\nc"), lines.end()
    (['a'], ['b', ''], ['c'])
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Consume the next read and return the lines that it completes."""
        lines: list[str] = []
        start = 0
        while (stop := data.find(b"\n", start)) >= 0:
            self._hold(data, start, stop)
            lines.extend(self._taken())
            start = stop + 1
        self._hold(data, start, len(data))
        return lines

    def end(self) -> list[str]:
        """What stands behind the last line's end."""
        return self._taken() if self._held else []

    def _hold(self, data: bytes, start: int, stop: int) -> None:
        room = self._max_line_bytes - len(self._held)
        self._held += data[start : min(stop, start + room)]

    def _taken(self) -> list[str]:
        line = self._held.decode("utf-8", "replace").removesuffix("\r")
        self._held.clear()
        return [line]
