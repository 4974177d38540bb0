r"""Secrets out of a recorded event stream of JSON chunks, or out of one whole JSON body.

Theory of operation: a model writes a key in pieces of a few characters, a chunk each, so a search in the raw bytes would miss it. Each `data:` line
that is JSON is decoded, and the strings at the same place of all lines are joined, searched and written back; entries of a list that carry an `index`
(choices, tool calls) are told apart by it. A line with a find is encoded anew and filled up with spaces, so that lengths hold; should it become
longer all the same, the read with its end grows. A last line that breaks off inside a string is read as if the string ended there. What is not in
such a line is searched as it is.

Invariants: without a find, every byte stays as it is. In a stream without `[DONE]`, or a body that is not whole, a literal's beginning at the very
end of a field is a find too, since the cut may have come inside it. Nothing raises, whatever the bytes are.

>>> stream = b'data: {"t": "sk-012345"}\n\ndata: {"t": "6789ABCDEF0"}\n\n'
>>> scrub_events(Scrubber({}), stream, [len(stream)], "stream")[0]
b'data: {"t":"xxxxxxxxx"} \n\ndata: {"t":"xxxxxxxxxxx"} \n\n'
"""

import re
from collections.abc import Iterator

import msgspec

from pipeline.request import Json
from pipeline.scrub import Scrubber
from pipeline.scrub_escapes import cut_escape_bytes
from pipeline.wire.json_values import as_list, as_object, decode_json

_FIELD = b"data:"
_DONE = b"[DONE]"

# What JSON's nesting is made of, each string as one; the last string may lack its end.
_TOKEN = re.compile(rb'(?P<colon>:\s*+)?(?P<string>"(?:[^"\\]|\\.)*+(?:"|(?P<open>\\?\Z)))|[][{}]', re.DOTALL)
_CLOSERS = {b"{": b"}", b"[": b"]"}
_Path = tuple[str | int, ...]


class _Line(msgspec.Struct):
    """One line with its end: what stands before the JSON, the JSON decoded (None where there is none), and what stands behind it.

    `closers` is what a line that breaks off lacks of its JSON.
    """

    raw: bytes
    before: bytes = b""
    value: Json = None
    after: bytes = b""
    closers: bytes = b""
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
        return self.before + encoded.removesuffix(self.closers).ljust(size) + self.after


class _Text(msgspec.Struct):
    """One string: the line that it is in, and where it is held there."""

    line: _Line
    holder: Json
    key: str | int


def scrub_events(scrubber: Scrubber, stream: bytes, read_sizes: list[int], place: str) -> tuple[bytes, list[int]]:
    """The stream without secrets, and the sizes of its reads."""
    is_stream = _FIELD in stream
    lines = [_read(line) for line in stream.splitlines(keepends=True)] if is_stream else [_read(stream)]
    cut = not (any(_is_done(line) for line in lines) if is_stream else lines[0].value is not None and not lines[0].closers)
    channels: dict[_Path, list[_Text]] = {}
    for line in lines:
        for path, text in _texts(line):
            channels.setdefault(path, []).append(text)
    for texts in channels.values():
        _scrub_channel(scrubber, texts, place, cut=cut)
    written = [line.written() for line in lines]
    clean = bytearray().join(written)
    scrubber.replace(clean, place, cut=cut)
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
    value = decode_json(body[len(before) :])
    if value is None and raw == body:
        return _read_broken_off(raw, before)
    return _Line(raw) if value is None else _Line(raw, before, value, raw[len(body) :])


def _read_broken_off(raw: bytes, before: bytes) -> _Line:
    """A line without an end: its JSON up to where it can be closed, if that is a string's inside or the end of something."""
    json, nesting, end, quote = raw[len(before) :], bytearray(), 0, b""
    for token in _TOKEN.finditer(json):
        string, mark = token["string"], token[0]
        if string is not None and token["colon"] is None and nesting.endswith(b"}"):
            continue  # a key, which nothing can be closed behind
        if mark in _CLOSERS:
            nesting += _CLOSERS[mark]
        elif string is None and (not nesting or nesting.pop() != ord(mark)):
            return _Line(raw)
        end = token.end()
        if string is not None and token["open"] is not None:
            quote, end = b'"', end - cut_escape_bytes(string)
    closers = quote + nesting[::-1]
    value = decode_json(json[:end] + closers)
    if value is None:
        return _Line(raw)
    # behind an open string there is at most a piece of an escape, which is no loss
    return _Line(raw, before, value, b"" if quote else json[end:], closers)


def _is_done(line: _Line) -> bool:
    return line.raw.removeprefix(_FIELD).strip() == _DONE


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


def _scrub_channel(scrubber: Scrubber, texts: list[_Text], place: str, *, cut: bool) -> None:
    """Search in the strings of one path as if they were one, and write each back to where it came from."""
    pieces = [str(text.holder[text.key]).encode() for text in texts]
    joined = bytearray().join(pieces)
    if not scrubber.replace(joined, place, cut=cut):
        return
    at = 0
    for text, piece in zip(texts, pieces, strict=True):
        clean = joined[at : at + len(piece)]
        at += len(piece)
        if bytes(clean) != piece:
            text.holder[text.key] = clean.decode(errors="replace")
            text.line.changed = True
