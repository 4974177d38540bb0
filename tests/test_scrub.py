"""Scrubber: secrets in any cut are found, everything else stays as it is."""

import json
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import NativeToolCall, TextDelta, ThinkingDelta
from pipeline.scrub import Scrubber, scrub_stream
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_native_call, encode_text, encode_thinking
from pipeline.wire.connect import FLAG_COMPRESSED, FLAG_END_STREAM, encode_envelope
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
    ids=lambda secret: secret[:8],
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


BEFORE_KEYS = ["cookie=", '{"k":"', "\\n", '{\\"k\\":\\"']
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9"


@pytest.mark.parametrize(
    ("before", "secret"),
    [("user_01%3A%3A", JWT), *((before, secret) for before in BEFORE_KEYS for secret in (JWT, "crsr_0123456789abcdef", "psk_AbCdEfGh1234"))],
)
def test_a_key_is_found_behind_what_programs_write_before_it(before, secret):
    assert Scrubber({}).text(f"{before}{secret} ", "x") == f"{before}{'x' * len(secret)} "


@pytest.mark.parametrize("piece", [b"-eyJaaaaaaaa", b"eyJaaaaaaaa", b".eyJaaaaaaaa", b"-crsr_aa", b"_psk_aa", b"-sk-a", b"bearer ", b"\\u00", b"\\"])
def test_work_is_linear_in_the_length(piece):
    started = time.perf_counter()
    Scrubber({SECRET: "s"}).replace(bytearray(piece * 40_000), "x")
    assert time.perf_counter() - started < 3  # a quarter of a second; what is quadratic takes twenty


ESCAPED = "ab/cd+ef&gh-0123456789"
SPELLINGS = [ESCAPED.replace("/", "\\/"), ESCAPED.replace("&", "\\u0026"), "".join(f"\\u{ord(letter):04X}" for letter in ESCAPED)]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("compress", [False, True])
def test_a_secret_with_escapes_in_an_end_frame_is_found(spelling, compress):
    error = encode_envelope(f'{{"error":{{"message":"bad {spelling}"}}}}'.encode(), flags=FLAG_END_STREAM, compress=compress)
    frames = encode_text("x") + error
    scrubber = Scrubber({ESCAPED: "s"})
    stream, sizes = scrub_stream(scrubber, frames, [len(frames)], "stream.bin")
    clean = f'{{"error":{{"message":"bad {"x" * len(spelling)}"}}}}'.encode()
    assert stream == encode_text("x") + encode_envelope(clean, flags=FLAG_END_STREAM, compress=compress)
    assert sizes == [len(stream)]
    assert scrubber.notes() == ("stream.bin: s (1 place)",)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_json_in_a_native_calls_arguments_is_read(spelling):
    frames = encode_native_call("id-1", "write", json.dumps({"file": f'{{"key": "{spelling}"}}'})) + encode_end()
    stream, _ = scrub_stream(Scrubber({ESCAPED: "s"}), frames, [len(frames)], "stream.bin")
    (call, *_) = ComposerDecoder().feed(stream)
    assert isinstance(call, NativeToolCall)
    assert set(json.loads(json.loads(call.arguments)["file"])["key"]) == {"x"}
    assert len(stream) == len(frames)


@given(st.integers(1, 80), st.booleans())
def test_an_end_frame_that_is_cut_holds_no_long_piece_of_the_secret(at, in_escapes):
    secret = "abcdefghijklmnopqrstuvwxyz"
    said = "".join(f"\\u{ord(letter):04x}" for letter in secret) if in_escapes else secret
    stream = encode_envelope(f'{{"error":{{"message":"{said}"}}}}'.encode(), flags=FLAG_END_STREAM)[:-at]
    clean, _ = scrub_stream(Scrubber({secret: "s"}), stream, [len(stream)], "stream.bin")
    assert len(clean) == len(stream)
    assert b"abcdef" not in clean
    assert b"\\u0061\\u0062\\u0063\\u0064" not in clean


def inflated(stream: bytes) -> bytes:
    """What anyone can inflate of a cut message."""
    return zlib.decompressobj(31).decompress(stream[5:])


@pytest.mark.parametrize("at", [-1, -6, -9, -20])
def test_a_compressed_message_that_is_cut_does_not_keep_its_secret(at):
    secret = "hunter-2-hunter-3-tail"
    stream = encode_text(f"the password is {secret} and so on, and on", compress=True)[:at]
    assert b"hunter-2" in inflated(stream)
    scrubber = Scrubber({secret: "s"})
    clean, sizes = scrub_stream(scrubber, stream, [len(stream)], "stream.bin")
    assert clean == stream[:5] + b"x" * (len(stream) - 5)
    assert sizes == [len(stream)]
    assert scrubber.notes()[-1] == "stream.bin: a compressed message with a secret, not whole (1 place)"
    decoder = ComposerDecoder()
    assert repr(decoder.feed(clean) + decoder.end()) == repr((other := ComposerDecoder()).feed(stream) + other.end()), "still a cut"


def test_a_secret_that_goes_on_in_a_cut_compressed_message_is_found():
    secret = "hunter-2-hunter-3-tail"
    whole, torn = encode_text(f"it is {secret[:9]}"), encode_text(f"{secret[9:]} and on and on", compress=True)[:-4]
    clean, _ = scrub_stream(Scrubber({secret: "s"}), whole + torn, [len(whole + torn)], "stream.bin")
    assert clean == encode_text("it is xxxxxxxxx") + torn[:5] + b"x" * (len(torn) - 5)


@pytest.mark.parametrize("broken", ["checksum", "behind", "no gzip"])
def test_a_compressed_message_that_breaks_its_format_is_searched(broken):
    payload = encode_text(f"it is {SECRET}" if broken == "checksum" else "nothing", compress=True)[5:]
    if broken == "checksum":
        payload = payload[:-8] + b"\0" * 8
    elif broken == "behind":
        payload += SECRET.encode()
    else:
        payload = SECRET.encode()
    stream = encode_envelope(payload, flags=FLAG_COMPRESSED) + encode_end()
    clean, _ = scrub_stream(Scrubber({SECRET: "s"}), stream, [len(stream)], "stream.bin")
    assert clean == stream[:5] + b"x" * len(payload) + encode_end()


@given(st.integers(1, 60))
def test_a_cut_compressed_message_without_a_secret_stays_as_it_is(at):
    stream = encode_text("hello " * 5 + "world", compress=True)[:-at]
    assert scrub_stream(Scrubber({SECRET: "s"}), stream, [len(stream)], "stream.bin") == (stream, [len(stream)])
