r"""Secrets out of a recorded event stream of JSON chunks, or out of one whole JSON body.

Theory of operation: a model writes a key in pieces of a few characters, a chunk each, so a search in the raw bytes would miss it. Each `data:` line
that is JSON is decoded, and the strings at the same place of all lines are joined, searched and written back; entries of a list that carry an `index`
(choices, tool calls) are told apart by it. A line with a find is encoded anew and filled up with spaces, so that lengths hold; should it become
longer all the same, the read with its end grows. What is not in such a line is searched as it is.

Invariants: without a find, every byte stays as it is; nothing raises, whatever the bytes are.

>>> stream = b'data: {"t": "sk-012345"}\n\ndata: {"t": "6789ABCDEF0"}\n\n'
>>> scrub_events(Scrubber({}), stream, [len(stream)], "stream")[0]
b'data: {"t":"xxxxxxxxx"} \n\ndata: {"t":"xxxxxxxxxxx"} \n\n'
"""

from collections.abc import Iterator

import msgspec

from pipeline.request import Json
from pipeline.scrub import Scrubber
from pipeline.wire.composer_error_text import as_list, as_object

_FIELD = b"data:"
_Path = tuple[str | int, ...]


class _Line(msgspec.Struct):
    """One line with its end: what stands before the JSON, the JSON decoded (None where there is none), and what stands behind it."""

    raw: bytes
    before: bytes = b""
    value: Json = None
    after: bytes = b""
    changed: bool = False

    def written(self) -> bytes:
        """The line after the search, of its old length if possible."""
        if not self.changed:
            return self.raw
        size = len(self.raw) - len(self.before) - len(self.after)
        try:
            encoded = msgspec.json.encode(self.value)
        except RecursionError:
            encoded = b"x" * size
        return self.before + encoded.ljust(size) + self.after


class _Text(msgspec.Struct):
    """One string: the line that it is in, and where it is held there."""

    line: _Line
    holder: Json
    key: str | int


def scrub_events(scrubber: Scrubber, stream: bytes, read_sizes: list[int], place: str) -> tuple[bytes, list[int]]:
    """The stream without secrets, and the sizes of its reads."""
    lines = [_read(line) for line in stream.splitlines(keepends=True)] if _FIELD in stream else [_read(stream)]
    channels: dict[_Path, list[_Text]] = {}
    for line in lines:
        for path, text in _texts(line):
            channels.setdefault(path, []).append(text)
    for texts in channels.values():
        _scrub_channel(scrubber, texts, place)
    written = [line.written() for line in lines]
    clean = bytearray().join(written)
    scrubber.replace(clean, place, cut=not clean.rstrip().endswith((b"[DONE]", b"}", b"]")))
    sizes, end, read, read_end = list(read_sizes), 0, 0, read_sizes[0] if read_sizes else 0
    for line, now in zip(lines, written, strict=True):
        end += len(line.raw)
        while read_end < end and read + 1 < len(read_sizes):
            read += 1
            read_end += read_sizes[read]
        if sizes:
            sizes[read] += len(now) - len(line.raw)
    return bytes(clean), sizes


def _read(raw: bytes) -> _Line:
    body = raw.rstrip(b"\r\n")
    before = _FIELD if body.startswith(_FIELD) else b""
    before += b" " * body[len(before) :].startswith(b" ") if before else b""
    try:
        return _Line(raw, before, msgspec.json.decode(body[len(before) :]), raw[len(body) :])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _Line(raw)


def _texts(line: _Line) -> Iterator[tuple[_Path, _Text]]:
    """Every string in a line's value, under its path."""
    waiting: list[tuple[_Path, Json]] = [((), line.value)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, dict):
            entries: list[tuple[str | int, Json, Json]] = [(key, key, value) for key, value in as_object(node).items()]
        else:
            entries = [(place, as_object(value).get("index", place), value) for place, value in enumerate(as_list(node))]
        for key, name, value in entries:
            here = (*path, name if isinstance(name, str | int) else key)
            if isinstance(value, str):
                yield here, _Text(line, node, key)
            else:
                waiting.append((here, value))


def _scrub_channel(scrubber: Scrubber, texts: list[_Text], place: str) -> None:
    """Search in the strings of one path as if they were one, and write each back to where it came from."""
    pieces = [str(text.holder[text.key]).encode() for text in texts]
    joined = bytearray().join(pieces)
    if not scrubber.replace(joined, place):
        return
    at = 0
    for text, piece in zip(texts, pieces, strict=True):
        clean = joined[at : at + len(piece)]
        at += len(piece)
        if bytes(clean) != piece:
            text.holder[text.key] = clean.decode(errors="replace")
            text.line.changed = True
