"""Secrets out of a recording: its bytes, its request and its words.

Theory of operation: a `Scrubber` knows literal secrets (values that the person who records gave) and `PATTERNS` (what looks like a bearer token, a
key or a JWT), and searches also in what the escapes of JSON strings stand for (`pipeline.scrub_escapes`). What it finds becomes as many `x` as it had
bytes, so that lengths, and with them the frames of a stream, hold. `found` counts what was replaced by its kind and place, never by its value.

A model writes a key in pieces of a few characters, a frame each, so a search in the raw bytes of a stream would miss it, and could take a length for
a letter of it. `scrub_stream` therefore reads Connect envelopes, joins the strings of each protobuf field over all envelopes, searches in that, and
writes back into the place of every byte. A compressed envelope is inflated for it; one with a find is compressed anew and may change its length, as
the sizes of the reads then do. Bytes that are no whole envelope (a cut stream's end) are read as far as they go, and so is a compressed message that
cannot be inflated to its end: since it cannot be written anew, a find makes `x` of all that follows its header, and a note says so.

Invariants: without a find, every byte stays as it is. In a stream without an end mark, a literal's beginning at the very end of a field is a find
too, since the cut may have come inside it. Nothing raises, whatever the bytes are. Left alone: literals under `SHORTEST_LITERAL` characters, which no
text could be told from, secrets in another encoding than UTF-8 and JSON's, and what a message holds after its first `MAX_MESSAGE_BYTES` inflated.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from struct import Struct

import msgspec

from pipeline.errors import ProtocolViolation
from pipeline.partial_gzip import inflate_leniently
from pipeline.request import Json
from pipeline.scrub_escapes import readings
from pipeline.wire.connect import FLAG_COMPRESSED, FLAG_END_STREAM, HEADER_BYTES, MAX_MESSAGE_BYTES, encode_envelope
from pipeline.wire.json_values import as_list, as_object
from pipeline.wire.protobuf import read_fields

SHORTEST_LITERAL = 4

# A word of its own, and long enough not to be prose; group 1, where there is one, is the secret. Where a run of the word's own letters may fail to
# match, the look-behind holds all of them: otherwise each place of a long run would be tried to its end.
PATTERNS = {
    "a bearer token": re.compile(rb"(?i)\bbearer\s+(?=[^\s]*[0-9])([a-z0-9._~+/=-]{12,})"),
    "a JWT": re.compile(rb"(?:(?<![A-Za-z0-9_-])|(?<=%3[Aa]))eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    "a key (crsr_)": re.compile(rb"(?<![A-Za-z0-9])crsr_[A-Za-z0-9_-]{8,}"),
    "a key (psk_)": re.compile(rb"(?<![A-Za-z0-9])psk_[A-Za-z0-9_-]{8,}"),
    "a key (sk-)": re.compile(rb"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{16,}"),
}

_HEADER = Struct(">BI")

# The response message's own fields. Whether a field that is not listed holds text or a message is seen from its bytes.
_TEXT_PATHS = frozenset({(2, 1), (2, 25, 1), (1, 3), (1, 9), (1, 10)})
_MESSAGE_PATHS = frozenset({(1,), (2,), (2, 25)})
_DEEPEST_MESSAGE = 8


class Scrubber:
    """Finds secrets and counts what it replaced.

    >>> scrubber = Scrubber({"hunter-2-hunter": "--scrub"})
    >>> scrubber.text("say hunter-2-hunter", "title"), scrubber.notes()
    ('say xxxxxxxxxxxxxxx', ('title: --scrub (1 place)',))
    """

    def __init__(self, literals: Mapping[str, str]) -> None:
        """`literals` is each secret text and what it is called in the notes."""
        self.found: Counter[tuple[str, str]] = Counter()
        self._literals: dict[bytes, str] = {}
        for text, kind in literals.items():
            if len(text) >= SHORTEST_LITERAL:
                self._literals[text.encode("utf-8", "surrogatepass")] = kind
        # the longest first, since one may hold another
        self._ordered = sorted(self._literals, key=len, reverse=True)

    def notes(self) -> tuple[str, ...]:
        """What was replaced, for `meta.toml`."""
        return tuple(f"{place}: {kind} ({count} {'place' if count == 1 else 'places'})" for (place, kind), count in self.found.items())

    def matches(self, data: bytes, *, cut: bool = False) -> Iterator[tuple[int, int, str]]:
        """Start, stop and kind of every find; they may overlap. `cut` says that the data may end inside a secret."""
        # the most resolved first: its finds are the longest, so that each is counted once
        for reading in reversed(list(readings(data, cut=cut))):
            for start, stop, kind in self._matches_in(reading.text, cut=cut):
                yield *reading.span(start, stop), kind

    def _matches_in(self, data: bytes, *, cut: bool) -> Iterator[tuple[int, int, str]]:
        for literal in self._ordered:
            start = data.find(literal)
            while start >= 0:
                yield start, start + len(literal), self._literals[literal]
                start = data.find(literal, start + len(literal))
            lengths = range(len(literal) - 1, SHORTEST_LITERAL - 1, -1) if cut else ()
            length = next((length for length in lengths if data.endswith(literal[:length])), 0)
            if length:
                yield len(data) - length, len(data), f"the beginning of {self._literals[literal]}"
        for kind, pattern in PATTERNS.items():
            for found in pattern.finditer(data):
                start, stop = found.span(1 if pattern.groups else 0)
                yield start, stop, kind

    def replace(self, data: bytearray, place: str, *, cut: bool = False) -> bool:
        """Replace in place; returns whether there was anything."""
        changed = False
        for start, stop, kind in list(self.matches(bytes(data), cut=cut)):
            if data[start:stop].strip(b"x"):  # not yet replaced as part of another find
                self.found[place, kind] += 1
                data[start:stop] = b"x" * (stop - start)
                changed = True
        return changed

    def text(self, text: str, place: str) -> str:
        """A text without secrets."""
        data = bytearray(text.encode("utf-8", "surrogatepass"))
        return data.decode("utf-8", "surrogatepass") if self.replace(data, place) else text

    def body(self, body: bytes, place: str) -> bytes:
        """A JSON body without secrets in its strings; written anew only if there were any."""
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            data = bytearray(body)
            self.replace(data, place)
            return bytes(data)
        before = self.found.total()
        clean = self._json(value, place)
        return body if self.found.total() == before else msgspec.json.format(msgspec.json.encode(clean), indent=2) + b"\n"

    def _json(self, value: Json, place: str) -> Json:
        if isinstance(value, str):
            return self.text(value, place)
        if isinstance(value, list):
            return [self._json(item, place) for item in as_list(value)]
        if isinstance(value, dict):
            return {self.text(name, place): self._json(item, place) for name, item in as_object(value).items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = str(value)
            clean = self.text(shown, place)
            return value if clean == shown else clean
        return value


class _Piece(msgspec.Struct):
    """An envelope, or what is left behind the last whole one: its bytes as sent, and the payload that is searched, inflated."""

    raw: bytes
    flags: int
    payload: bytearray
    whole: bool  # the payload is all that was announced, and all of it could be inflated
    changed: bool = False

    @property
    def lost(self) -> bool:
        """Whether its bytes go, since they hold a secret and cannot be written anew."""
        return self.changed and not self.whole and bool(self.flags & FLAG_COMPRESSED)

    def written(self) -> bytes:
        """The bytes after the search; same length unless compressed."""
        if not self.changed:
            return self.raw
        if self.lost:
            return self.raw[:HEADER_BYTES].ljust(len(self.raw), b"x")
        if not self.flags & FLAG_COMPRESSED:
            return self.raw[: len(self.raw) - len(self.payload)] + bytes(self.payload)
        return encode_envelope(bytes(self.payload), flags=self.flags & ~FLAG_COMPRESSED, compress=True)


def scrub_stream(scrubber: Scrubber, stream: bytes, read_sizes: list[int], place: str) -> tuple[bytes, list[int]]:
    """A Connect stream without secrets, and the sizes of its reads, which change only where a compressed envelope did."""
    pieces = list(_pieces(stream))
    cut = not any(piece.flags & FLAG_END_STREAM and piece.whole for piece in pieces)
    channels: dict[tuple[int, ...], list[tuple[_Piece, int, int]]] = {}
    for piece in pieces:
        for path, start, stop in _texts_of(piece):
            channels.setdefault(path, []).append((piece, start, stop))
    for spans in channels.values():
        _scrub_channel(scrubber, spans, place, cut=cut)
    scrubber.found.update((place, "a compressed message with a secret, not whole") for piece in pieces if piece.lost)
    return _joined(pieces, read_sizes)


def _scrub_channel(scrubber: Scrubber, spans: list[tuple[_Piece, int, int]], place: str, *, cut: bool) -> None:
    """Search in one field's strings as if they were one, and write each back to where it came from."""
    joined = bytearray().join(piece.payload[start:stop] for piece, start, stop in spans)
    if not scrubber.replace(joined, place, cut=cut):
        return
    at = 0
    for piece, start, stop in spans:
        clean = joined[at : at + stop - start]
        at += stop - start
        if piece.payload[start:stop] != clean:
            piece.payload[start:stop] = clean
            piece.changed = True


def _joined(pieces: list[_Piece], read_sizes: list[int]) -> tuple[bytes, list[int]]:
    """The stream, and the reads with each boundary moved by what the envelopes before it grew or shrank."""
    stream = bytearray()
    moved: list[tuple[int, int, int]] = []  # where an envelope ended, how long it was, and where it ends now
    at = 0
    for piece in pieces:
        written = piece.written()
        at += len(piece.raw)
        stream += written
        if len(written) != len(piece.raw):
            moved.append((at, len(piece.raw), len(stream)))
    if not moved:
        return bytes(stream), read_sizes
    sizes: list[int] = []
    boundary = last = shift = 0
    rows = iter(moved)
    row = next(rows, None)
    for size in read_sizes:
        boundary += size
        while row is not None and boundary >= row[0]:
            shift = row[2] - row[0]
            row = next(rows, None)
        place = boundary + shift
        if row is not None and boundary > row[0] - row[1]:  # inside an envelope that was written anew
            place = min(place, row[2])
        sizes.append(place - last)
        last = place
    return bytes(stream), sizes


def _pieces(stream: bytes) -> Iterator[_Piece]:
    at = 0
    while len(stream) - at >= HEADER_BYTES:
        flags, length = _HEADER.unpack_from(stream, at)
        stop = at + HEADER_BYTES + length
        if stop > len(stream):
            break
        yield _piece(stream[at:stop], flags, whole=True)
        at = stop
    if at < len(stream):
        rest = stream[at:]
        # what does not begin like an envelope is text
        yield _piece(rest, rest[0], whole=False) if rest[0] <= FLAG_COMPRESSED | FLAG_END_STREAM else _Piece(rest, 0, bytearray(rest), whole=True)


def _piece(raw: bytes, flags: int, *, whole: bool) -> _Piece:
    payload = raw[HEADER_BYTES:]
    if not flags & FLAG_COMPRESSED or not payload:
        return _Piece(raw, flags, bytearray(payload), whole)
    inflated, to_its_end = inflate_leniently(payload, MAX_MESSAGE_BYTES)
    if not inflated:
        return _Piece(raw, flags & ~FLAG_COMPRESSED, bytearray(payload), whole=False)  # never was compressed: it is text, or nothing
    return _Piece(raw, flags, bytearray(inflated), whole and to_its_end)


def _texts_of(piece: _Piece) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """The places of an envelope's texts, each under the path of its field; one that is no message, or not whole, is a text under no path."""
    payload = piece.payload
    is_text = piece.flags & FLAG_END_STREAM or (piece.whole and not _is_message(payload))
    if not is_text:
        yield from _texts(payload, 0, len(payload))
    if is_text or not piece.whole:  # what is not whole may be a message with something else behind it, or be no message at all
        yield (), 0, len(payload)


def _is_message(data: bytearray) -> bool:
    return not isinstance(read_fields(bytes(data)), ProtocolViolation)


def _texts(data: bytearray, start: int, stop: int, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Path, start and stop of each text at any depth; lenient, since a cut message must be searched too."""
    at = start
    while at < stop:
        tag, at = _varint(data, at, stop)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 2:
            length, at = _varint(data, at, stop)
            end = min(at + length, stop)
            here = (*path, number)
            unlisted = here not in _TEXT_PATHS and len(here) < _DEEPEST_MESSAGE
            if here in _MESSAGE_PATHS or (unlisted and end > at and _is_message(data[at:end])):
                yield from _texts(data, at, end, here)
            else:
                yield here, at, end
            at = end
        elif wire_type == 0:
            _, at = _varint(data, at, stop)
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        # a group's tag has no value of its own


def _varint(data: bytearray, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, at
