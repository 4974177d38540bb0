"""Scrubber: secrets in any cut are found, everything else stays as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import NativeToolCall, TextDelta, ThinkingDelta
from pipeline.scrub import Scrubber, scrub_stream
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_native_call, encode_text, encode_thinking
from pipeline.wire.connect import encode_envelope
from tests.support.splits import cut

SECRET = "hunter2-Zürich-🔑"
FRAMES = [encode_text("a"), encode_thinking("b"), encode_native_call("id", "read", "{}"), encode_text("c", compress=True), encode_end()]


def texts(stream: bytes) -> tuple[str, str]:
    events = ComposerDecoder().feed(stream)
    return "".join(e.text for e in events if isinstance(e, TextDelta)), "".join(e.text for e in events if isinstance(e, ThinkingDelta))


@given(
    before=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    after=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    edges=st.lists(st.integers(1, 200), max_size=20),
    compressed=st.integers(0, 2**20),
    thinking=st.booleans(),
    ended=st.booleans(),
)
def test_a_secret_in_any_frames_is_found(before, after, edges, compressed, thinking, ended):
    said = f"{before}{SECRET}{after}"
    pieces = cut(said.encode(), edges)
    encode = encode_thinking if thinking else encode_text
    frames = [encode(piece, compress=bool(compressed >> at & 1)) for at, piece in enumerate(pieces)] + [encode_end()] * ended
    scrubber = Scrubber({SECRET: "the secret"})
    stream, sizes = scrub_stream(scrubber, b"".join(frames), [len(frame) for frame in frames], "stream.bin")
    clean = texts(stream)[thinking]
    assert SECRET not in clean
    assert clean == said.replace(SECRET, "x" * len(SECRET.encode())) or not ended
    assert sum(sizes) == len(stream)
    at = 0
    for size, frame in zip(sizes, frames, strict=True):  # every read still ends where an envelope does
        assert stream[at] == frame[0]
        assert size == 5 + int.from_bytes(stream[at + 1 : at + 5], "big")
        at += size


@given(st.binary(max_size=300), st.lists(st.sampled_from(FRAMES), max_size=6))
def test_any_bytes_without_a_secret_stay_as_they_are(rest, frames):
    stream = b"".join(frames) + rest
    assert scrub_stream(Scrubber({SECRET: "s"}), stream, [len(stream)], "stream.bin") == (stream, [len(stream)])


@given(st.integers(0, 200), st.lists(st.integers(1, 60), max_size=8))
def test_a_stream_cut_anywhere_holds_no_long_piece_of_the_secret(at, edges):
    secret = "abcdefghijklmnopqrstuvwxyz"
    stream = b"".join(encode_text(piece) for piece in cut(f"The key: {secret}.".encode(), edges))[:at]
    clean, _ = scrub_stream(Scrubber({secret: "s"}), stream, [len(stream)], "stream.bin")
    assert len(clean) == len(stream)
    assert b"abcdef" not in b"".join(clean[5:].split(b"\n"))


@given(st.lists(st.integers(1, 400), max_size=10))
def test_reads_that_cut_envelopes_keep_their_sum_and_order(edges):
    frames = b"".join(encode_text(f"{SECRET} and more words {at}", compress=at % 2 == 0) for at in range(5))
    sizes = [len(piece) for piece in cut(frames, edges)]
    stream, moved = scrub_stream(Scrubber({SECRET: "s"}), frames, sizes, "stream.bin")
    assert sum(moved) == len(stream)
    assert len(moved) == len(sizes)
    assert all(size >= 0 for size in moved)


@pytest.mark.parametrize(
    "secret",
    [
        "crsr_0123456789abcdef",
        "psk_AbCdEfGh1234",
        "sk-proj-AAAA1111BBBB2222",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2ln",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9",
    ],
)
def test_what_looks_like_a_key_is_found_without_being_given(secret):
    scrubber = Scrubber({})
    assert scrubber.text(f"it is '{secret}'.", "x") == f"it is '{'x' * len(secret)}'."
    assert len(scrubber.notes()) == 1
    assert secret not in scrubber.notes()[0]


def test_a_bearer_token_is_replaced_and_its_scheme_stays():
    assert Scrubber({}).text("Authorization: Bearer abc123def456ghi", "x") == "Authorization: Bearer xxxxxxxxxxxxxxx"


@pytest.mark.parametrize(
    "text", ["a task-list-of-many-words-in-a-row", "the bearer of good news", "bearer authentication", "crsr_", "disk-encryption"]
)
def test_prose_is_no_key(text):
    assert Scrubber({}).text(text, "x") == text


def test_a_native_call_keeps_its_fields():
    secret = "crsr_0123456789abcdef"
    frames = encode_native_call("id-1", "fetch", json.dumps({"key": secret})) + encode_end()
    stream, _ = scrub_stream(Scrubber({}), frames, [len(frames)], "stream.bin")
    assert ComposerDecoder().feed(stream)[0] == NativeToolCall("id-1", "fetch", json.dumps({"key": "x" * len(secret)}))
    assert len(stream) == len(frames)


def test_an_error_end_frame_and_an_unknown_field_are_searched():
    error = encode_end({"code": "internal", "message": f"no account for {SECRET}"})
    unknown = encode_envelope(b"\xfa\x07" + bytes([len(SECRET.encode())]) + SECRET.encode())
    stream, _ = scrub_stream(Scrubber({SECRET: "s"}), unknown + error, [len(unknown + error)], "stream.bin")
    assert SECRET.encode() not in stream
    assert len(stream) == len(unknown + error)


def test_bytes_that_are_no_connect_stream_are_searched():
    page = f"<html>{SECRET}</html>".encode()
    stream, _ = scrub_stream(Scrubber({SECRET: "s"}), page, [len(page)], "stream.bin")
    assert stream == page.replace(SECRET.encode(), b"x" * len(SECRET.encode()))


def test_a_body_is_written_anew_only_for_a_find():
    body = b'{"a": 1.50,\n "b": ["\\u00fc"]}'
    assert Scrubber({SECRET: "s"}).body(body, "request.json") is body
    found = json.dumps({"a": 7, SECRET: [f"x {SECRET}"], "n": 471147114711}).encode()
    clean = json.loads(Scrubber({SECRET: "s", "4711": "n"}).body(found, "request.json"))
    filler = "x" * len(SECRET.encode())
    assert clean == {"a": 7, filler: [f"x {filler}"], "n": "xxxxxxxxxxxx"}


def test_a_body_that_is_no_json_is_searched_as_text():
    assert Scrubber({SECRET: "s"}).body(f"not json {SECRET}".encode(), "request.json") == b"not json " + b"x" * len(SECRET.encode())


def test_short_literals_are_left_alone():
    assert Scrubber({"abc": "s"}).text("abc abc", "x") == "abc abc"
