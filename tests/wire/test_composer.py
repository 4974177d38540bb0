"""ComposerDecoder: transcripts under every cut, the table-driven reader against the general one, and nothing that raises."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AuthenticationError, ContextLengthExceeded, ProtocolViolation, StreamCut, UpstreamError
from pipeline.events import Failed, Finish, FinishReason, NativeToolCall, Notice, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_native_call, encode_text, encode_text_and_thinking, encode_thinking
from pipeline.wire.connect import encode_envelope
from pipeline.wire.protobuf import encode_fields, encode_varint
from tests.support.splits import cut, splits

END = encode_end()
DONE = Finish(FinishReason.STOP, None)
GROUP = b"\x1b\x08\x01\x1c"  # field 3, a group that holds field 1
FIXED = encode_varint(99 << 3 | 1) + bytes(8) + encode_varint(98 << 3 | 5) + bytes(4)


def dropped(count, field):
    return Notice("invalid_utf8", f"{count} bytes in the {field} field were no UTF-8 and were dropped")


def message(*fields):
    return encode_envelope(encode_fields(*fields))


CASES = {
    "text": (encode_text("hel") + encode_text("lo") + END, [TextDelta("hel"), TextDelta("lo"), DONE]),
    "text that is itself a frame": (encode_text(encode_text("in")) + END, [TextDelta(encode_text("in").decode()), DONE]),
    "thinking, then text": (encode_thinking("hm") + encode_text("hi") + END, [ThinkingDelta("hm"), TextDelta("hi"), DONE]),
    "both in one frame": (encode_text_and_thinking("hi", "hm") + END, [ThinkingDelta("hm"), TextDelta("hi"), DONE]),
    "empty frames and fields": (
        encode_envelope(b"") + encode_text("") + encode_thinking("") + message((2, b"")) + message((2, encode_fields((25, b"")))) + END,
        [DONE],
    ),
    "compressed": (encode_text("hi", compress=True) + encode_thinking("hm", compress=True) + END, [TextDelta("hi"), ThinkingDelta("hm"), DONE]),
    "compressed end": (encode_end(compress=True), [DONE]),
    "empty end": (encode_envelope(b"", flags=2), [DONE]),
    "end with metadata only": (encode_envelope(b'{"metadata":{"a":["b"]}}', flags=2), [DONE]),
    "bytes after the end": (END + encode_text("no") + b"\xff" * 9, [DONE]),
    "long text": (
        encode_text("x" * 125) + encode_text("y" * 126) + encode_text("z" * 700) + END,
        [*map(TextDelta, ("x" * 125, "y" * 126, "z" * 700)), DONE],
    ),
    "long thinking": (encode_thinking("x" * 122) + encode_thinking("y" * 123) + END, [ThinkingDelta("x" * 122), ThinkingDelta("y" * 123), DONE]),
    "a character cut between text frames": (encode_text(b"na\xc3") + encode_text(b"\xafve") + END, [TextDelta("na"), TextDelta("ïve"), DONE]),
    "a character in four frames": (b"".join(encode_text(bytes([byte])) for byte in "𝄞".encode()) + END, [TextDelta("𝄞"), DONE]),
    "each kind has its own cut character": (
        encode_text(b"\xe2\x82") + encode_thinking(b"\xc3") + encode_text(b"\xac") + encode_thinking(b"\xa9") + END,
        [TextDelta("€"), ThinkingDelta("é"), DONE],
    ),
    "a cut character does not stop the other kind": (
        encode_thinking(b"\xc3") + encode_text("hi") + END,
        [TextDelta("hi"), dropped(1, "thinking"), DONE],
    ),
    "invalid bytes": (encode_text(b"a\xffb") + END, [dropped(1, "text"), TextDelta("ab"), DONE]),
    "a cut character that does not go on": (
        encode_text(b"a\xe2\x82") + encode_text("b") + END,
        [TextDelta("a"), dropped(2, "text"), TextDelta("b"), DONE],
    ),
    "a cut character at the end": (encode_text(b"a\xe2\x82") + END, [TextDelta("a"), dropped(2, "text"), DONE]),
    "the upstream's own replacement character": (encode_text("a\ufffd") + END, [TextDelta("a\ufffd"), DONE]),
    "unknown fields": (
        encode_envelope(
            FIXED + encode_fields((7, 1), (8, "x")) + GROUP + encode_fields((2, FIXED + encode_fields((3, 1), (1, "hi"), (9, b"")) + GROUP)) + FIXED
        )
        + END,
        [TextDelta("hi"), DONE],
    ),
    "known numbers of another type": (message((2, 5), (1, 7), (2, encode_fields((1, 5), (25, 6)))) + END, [DONE]),
    "fields that come twice are joined": (
        message((2, encode_fields((1, "a"), (1, "b"))), (2, encode_fields((1, "c")))) + END,
        [TextDelta("abc"), DONE],
    ),
    "native call": (encode_native_call("c1", "Read", '{"a":1}', tool=19) + END, [NativeToolCall("c1", "Read", '{"a":1}'), DONE]),
    "native call without id and arguments": (message((1, encode_fields((9, "Read")))) + END, [NativeToolCall("", "Read", ""), DONE]),
    "native call after text": (
        message((1, encode_fields((3, "c1"), (9, "Read"))), (2, encode_fields((1, "hi")))) + END,
        [TextDelta("hi"), NativeToolCall("c1", "Read", ""), DONE],
    ),
    "native call without a name": (
        encode_native_call("c1", "", "{}") + encode_text("on") + END,
        [Notice("native_call_unreadable", "a native tool call without a name was dropped"), TextDelta("on"), DONE],
    ),
    "native call with invalid utf-8": (
        encode_native_call("c1", "Read", b"\xff") + END,
        [Notice("native_call_unreadable", "a native tool call with invalid UTF-8 was dropped"), DONE],
    ),
    "native call that is no message": (
        message((1, b"\x12\x7f")) + END,
        [Notice("native_call_unreadable", "a native tool call that is not valid protobuf was dropped"), DONE],
    ),
}

FAILURES: dict[str, tuple[bytes, list[UpstreamEvent], type[Exception]]] = {
    "nothing": (b"", [], StreamCut),
    "no end": (encode_text("hi"), [TextDelta("hi")], StreamCut),
    "cut in a frame": (encode_text("hi") + encode_text("there")[:-2], [TextDelta("hi")], StreamCut),
    "cut in a character, then cut": (encode_text(b"a\xc3"), [TextDelta("a"), dropped(1, "text")], StreamCut),
    "error end": (encode_text("hi") + encode_end({"code": "unauthenticated"}) + encode_text("no"), [TextDelta("hi")], AuthenticationError),
    "error end, compressed": (encode_end({"code": "unauthenticated"}, compress=True), [], AuthenticationError),
    "end that is no json": (encode_envelope(b"<html>", flags=2), [], ProtocolViolation),
    "end that is no object": (encode_envelope(b"[]", flags=2), [], ProtocolViolation),
    "bare limit": (encode_end({"code": "resource_exhausted", "message": "Error"}), [], UpstreamError),
    "a web page": (b"<!DOCTYPE html><html></html>", [], ProtocolViolation),
    "broken message": (encode_text("hi") + encode_envelope(b"\x12\x7f") + encode_text("no") + END, [TextDelta("hi")], ProtocolViolation),
    "broken chat part": (message((2, b"\x0a\x7f")) + END, [], ProtocolViolation),
    "broken thinking": (message((2, encode_fields((25, b"\x0a\x7f")))) + END, [], ProtocolViolation),
    "broken after text in the same frame": (encode_envelope(encode_text("hi")[5:] + b"\x08") + END, [], ProtocolViolation),
    "frame over the limit": (encode_text("hi") + encode_text("x" * 5000) + END, [TextDelta("hi")], ProtocolViolation),
}


class GeneralDecoder(ComposerDecoder):
    """Reads every envelope the long way."""

    def _read_plain(self, data, position, events):
        return position


def run(pieces: list[bytes], decoder: ComposerDecoder | None = None) -> list[UpstreamEvent]:
    decoder = decoder or ComposerDecoder(max_message_bytes=4096)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    if decoder.finished:
        assert decoder.end() == []
    events += decoder.end()
    assert decoder.finished
    assert decoder.feed(encode_text("more")) == []
    assert decoder.end() == []
    return events


def comparable(events: list[UpstreamEvent]) -> list[object]:
    """Errors have no equality; their type, code and message do."""
    return [(type(event.error), event.error.code, event.error.message) if isinstance(event, Failed) else event for event in events]


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_events(stream, expected):
    for pieces in splits(stream):
        assert run(pieces) == expected


@pytest.mark.parametrize(("stream", "expected", "error"), FAILURES.values(), ids=FAILURES)
def test_every_cut_fails_the_same(stream, expected, error):
    whole = comparable(run([stream]))
    for pieces in splits(stream):
        events = run(pieces)
        last = events.pop()
        assert isinstance(last, Failed)
        assert type(last.error) is error
        assert events == expected
        assert comparable([*events, last]) == whole


def test_a_bare_limit_on_a_large_request_means_that_it_was_too_long():
    events = run([encode_end({"code": "resource_exhausted", "message": "Error"})], ComposerDecoder(over_half_window=True))
    assert isinstance(events[0], Failed)
    assert isinstance(events[0].error, ContextLengthExceeded)


PIECES = st.text(max_size=140) | st.binary(max_size=140) | st.sampled_from([b"\xc3", b"\xa9", b"\xf0\x9d", b"\x84\x9e", "ok"])
FRAMES = st.one_of(
    st.builds(encode_text, PIECES, compress=st.just(False)),
    st.builds(encode_text, PIECES, compress=st.just(False)),
    st.builds(encode_thinking, PIECES, compress=st.just(False)),
    st.builds(encode_text_and_thinking, PIECES, PIECES, compress=st.booleans()),
    st.builds(encode_native_call, st.text(max_size=5), st.text(max_size=5), PIECES, compress=st.booleans()),
    st.builds(encode_envelope, st.binary(max_size=20), flags=st.sampled_from([0, 0, 0, 2, 4])),
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join)


def damage(stream: bytes, at: int, byte: int) -> bytes:
    at %= len(stream) + 1
    return stream[:at] + bytes([byte]) + stream[at + 1 :]


@given(STREAMS | st.builds(damage, STREAMS, st.integers(0, 2000), st.integers(0, 255)), st.lists(st.integers(0, 800)))
def test_the_table_and_the_general_reader_agree_on_any_stream_under_any_cut(stream, offsets):
    expected = comparable(run([stream], GeneralDecoder()))
    assert comparable(run([stream], ComposerDecoder())) == expected
    assert comparable(run(cut(stream, offsets), ComposerDecoder())) == expected
    assert not any(isinstance(event, TextDelta | ThinkingDelta) and not event.text for event in expected)


@pytest.mark.parametrize("encode", [encode_text, encode_thinking])
def test_the_table_and_the_general_reader_agree_on_every_length(encode):
    for length in range(300):
        stream = encode("a" * length) + END
        assert run([stream], ComposerDecoder()) == run([stream], GeneralDecoder())
        for at in range(min(len(stream), 20)):  # every header byte, wrong by one
            wrong = damage(stream, at, (stream[at] + 1) % 256)
            assert comparable(run([wrong], ComposerDecoder())) == comparable(run([wrong], GeneralDecoder()))


def test_the_table_is_used_for_short_texts():
    class Counting(ComposerDecoder):
        def _read_envelope(self, envelope, events):
            raise AssertionError("the general reader was asked")

    decoder = Counting()
    for length in range(1, 122):
        assert decoder.feed(encode_text("a" * length) + encode_thinking("é" * (length // 2) + "a")) == [
            TextDelta("a" * length),
            ThinkingDelta("é" * (length // 2) + "a"),
        ]


@given(st.binary(max_size=200))
def test_any_bytes_never_raise(data):
    assert run([data])


@given(st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=200))), st.booleans())
def test_round_trip(deltas, compress):
    stream = b"".join(encode_thinking(text, compress=compress) if thinking else encode_text(text, compress=compress) for thinking, text in deltas)
    assert run([stream + END]) == [*(ThinkingDelta(text) if thinking else TextDelta(text) for thinking, text in deltas), DONE]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_text_cut_into_frames_anywhere_is_the_text_without_its_wrong_bytes(data, offsets):
    stream = b"".join(encode_text(piece) for piece in cut(data, offsets)) + END
    events = run([stream])
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == data.decode(errors="ignore")
    assert any(isinstance(event, Notice) for event in events) == (data.decode(errors="ignore").encode() != data)


def test_a_long_answer_in_one_read_takes_linear_time():
    def seconds(count):
        stream = (encode_text("word00001") + encode_text("ï" * 80)) * count + END
        started = time.process_time()
        assert len(run([stream], ComposerDecoder())) == 2 * count + 1
        return time.process_time() - started

    small = min(seconds(1_000) for _ in range(3))
    assert min(seconds(8_000) for _ in range(2)) < small * 8 * 4 + 0.05
