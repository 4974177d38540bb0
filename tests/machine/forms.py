"""Every way in which one row of the case table can arrive: as text pieces, as frames, and as bytes.

- text: each piece of a field is one delta, in a list of its own;
- frames: each piece of a field's UTF-8 is one Connect frame, and neighbours also share frames;
- bytes: the row in frames of about a token each, and their bytes in reads that are cut anywhere: in an envelope's head, a length, a character.

What a machine answers depends on nothing but the lists that it is given, so an `Exam` runs it once for each list of lists, and the codec for every
form; it counts both. A row of more than 4 KiB has fewer splits: all within 64 items of a marker, and 500 seeded ones; one of more than 256 KiB only
comes whole, in pieces of four and in some random ones.
"""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from pipeline.events import Failed, UpstreamEvent
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_text, encode_text_and_thinking, encode_thinking
from pipeline.wire.connect import encode_envelope
from pipeline.wire.protobuf import encode_fields
from tests.machine.notation import Case, Field
from tests.machine.transcript import CUT_OFF, ENDED, deltas, lines, new_machine, settled
from tests.support.splits import EVERY_SPLIT_LIMIT, cut, random_edges

SEEDS = 200
LONG_SEEDS = 20
HUGE_SEEDS = 4
LONG_OFFSETS = 500
HUGE = 256 * 1024
NEAR_ITEMS = 64
FORMS = ("text", "frames", "bytes")
Batches: TypeAlias = list[list[UpstreamEvent]]
_CHAT, _TEXT, _THINKING, _INNER = 2, 1, 25, 1
_MARKER_START = re.compile(r"<[|｜\s/]")
_END = encode_end()


class Tally(msgspec.Struct):
    """How much was tried: rows, splits of them in each form, and how often a machine had to run for it."""

    rows: set[str] = msgspec.field(default_factory=set)
    splits: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(FORMS, 0))
    runs: int = 0

    def __str__(self) -> str:
        parts = ", ".join(f"{count:,} as {form}" for form, count in self.splits.items())
        return f"{len(self.rows)} rows of the case table: {sum(self.splits.values()):,} splits ({parts}), {self.runs:,} distinct runs of a machine"


class Exam:
    """One row, answered in every form."""

    def __init__(self, row: Case, tally: Tally) -> None:
        self._row = row
        self._tally = tally
        self._answers: dict[tuple[tuple[UpstreamEvent, ...], ...], list[str]] = {}
        tally.rows.add(row.name)

    def answer(self, form: str, batches: Batches) -> list[str]:
        """The settled transcript of these lists."""
        self._tally.splits[form] += 1
        if self._row.size > EVERY_SPLIT_LIMIT:  # too large to be kept, and no two of its splits are alike
            self._tally.runs += 1
            return settled(self.transcript(batches))
        # an error has no equality of its own, and a cut is a cut
        key = tuple(tuple(CUT_OFF if isinstance(event, Failed) else event for event in batch) for batch in batches if batch)
        if key not in self._answers:
            self._tally.runs += 1
            self._answers[key] = settled(self.transcript(batches))
        return self._answers[key]

    def transcript(self, batches: Batches) -> list[str]:
        """The transcript of these lists, with every notice in its place."""
        machine = new_machine(self._row.tools, self._row.policy, markup=self._row.markup, parallel=self._row.parallel)
        return lines(event for batch in batches for event in machine.feed(batch))

    def forms(self) -> Iterator[tuple[str, Batches]]:
        """Every form and split of the row, as the lists that the machine is given."""
        row = self._row
        end: list[UpstreamEvent] = [ENDED if row.proper else CUT_OFF]
        if not row.is_bytes:
            for pieces in splits_of(row.fields):
                yield "text", [*([event] for event in deltas((kind, str(data)) for kind, data in pieces)), end]
        ending = [_END] if row.proper else []
        encoded = [Field(kind, _utf8(data)) for kind, data in row.fields]
        if row.size > EVERY_SPLIT_LIMIT:
            yield "bytes", decoded([*token_frames(encoded, size=4), *ending])
            return
        for number, pieces in enumerate(splits_of(encoded)):
            yield "frames", decoded([*frames(pieces), *ending])
            if len(pieces) > 2:
                yield "frames", decoded([*shared_frames(pieces, number), *ending])
        in_frames = [_together(encoded)] if row.together else token_frames(encoded)
        for reads in reads_of(b"".join([*in_frames, *ending])):
            yield "bytes", decoded(reads)


def splits_of(fields: Sequence[Field]) -> Iterator[list[Field]]:
    """The fields as they are, item by item, each in two at every offset, and all at seeded random offsets."""
    yield list(fields)
    is_long = sum(len(data) for _, data in fields) > EVERY_SPLIT_LIMIT
    step = 4 if is_long else 1
    yield [Field(kind, data[at : at + step]) for kind, data in fields for at in range(0, len(data), step)]
    for place, (kind, data) in enumerate(fields):
        for offset in _two_way_offsets(data):
            yield [*fields[:place], Field(kind, data[:offset]), Field(kind, data[offset:]), *fields[place + 1 :]]
    for seed in range(SEEDS if not is_long else LONG_SEEDS if len(fields[0].data) < HUGE else HUGE_SEEDS):
        chance = random.Random(seed)
        yield [Field(kind, piece) for kind, data in fields for piece in _cut(data, random_edges(len(data), chance.randrange(1 << 30)))]


def _cut(data: str | bytes, edges: Sequence[int]) -> Sequence[str | bytes]:
    if isinstance(data, str):
        return cut(data, edges)
    return cut(data, edges)


def _two_way_offsets(data: str | bytes) -> Iterable[int]:
    if len(data) <= EVERY_SPLIT_LIMIT:
        return range(1, len(data))
    if len(data) > HUGE:
        return ()
    near = {found.start() + step for found in _MARKER_START.finditer(str(data)) for step in range(-NEAR_ITEMS, NEAR_ITEMS + 1)}
    chance = random.Random(len(data))
    return sorted(offset for offset in near | {chance.randrange(1, len(data)) for _ in range(LONG_OFFSETS)} if 0 < offset < len(data))


def reads_of(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, byte by byte, in two at every offset, and at seeded random offsets."""
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    for offset in range(1, len(stream)):
        yield [stream[:offset], stream[offset:]]
    for seed in range(SEEDS):
        yield cut(stream, random_edges(len(stream), seed))


def decoded(reads: Iterable[bytes]) -> Batches:
    """What the codec gives for each read, and at the end of the body."""
    decoder = ComposerDecoder()
    return [*map(decoder.feed, reads), decoder.end()]


def frames(pieces: Iterable[Field]) -> list[bytes]:
    """One frame for each piece."""
    return [encode_text(_utf8(data)) if kind == "T" else encode_thinking(_utf8(data)) for kind, data in pieces]


def token_frames(fields: Iterable[Field], size: int = 9) -> list[bytes]:
    """Frames of a few bytes, as tokens come; they cut characters."""
    return frames(Field(kind, data[at : at + size]) for kind, data in fields for at in range(0, len(data), size))


def shared_frames(pieces: Sequence[Field], seed: int) -> list[bytes]:
    """Neighbours share frames: thinking, then text, each as one or more fields of the same message, as the codec's order allows."""
    chance = random.Random(seed)
    found: list[bytes] = []
    at = 0
    while at < len(pieces):
        stop = at + 1
        while stop < len(pieces) and (pieces[stop - 1].kind, pieces[stop].kind) != ("T", "K") and chance.random() < 0.5:
            stop += 1
        chat = [(_TEXT, _utf8(data)) if kind == "T" else (_THINKING, encode_fields((_INNER, _utf8(data)))) for kind, data in pieces[at:stop]]
        found.append(encode_envelope(encode_fields((_CHAT, encode_fields(*chat))), compress=chance.random() < 0.1))
        at = stop
    return found


def _together(fields: Sequence[Field]) -> bytes:
    said = {kind: _utf8(data) for kind, data in fields}
    return encode_text_and_thinking(said["T"], said["K"])


def _utf8(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
