"""scrub_events: a secret that a model wrote in pieces is in no byte, and what is no secret stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import TextDelta
from pipeline.scrub import Scrubber
from pipeline.scrub_events import scrub_events
from pipeline.wire.openai_chat import OpenAIChatDecoder
from tests.support.openai_server import DONE, call, chunk, event, text
from tests.support.splits import cut

SECRET = "hunter-2-hunter-\u00e9-2"
WORDS = st.text(st.characters(exclude_characters="h\u00e9", exclude_categories=["Cs"]), max_size=8)


def scrubbed(stream: bytes) -> bytes:
    clean, sizes = scrub_events(Scrubber({SECRET: "a test"}), stream, [len(stream)], "stream")
    assert sizes == [len(clean)]
    return clean


def told(stream: bytes) -> list[str]:
    decoder = OpenAIChatDecoder(new_id=lambda: "x")
    return [repr(found) for found in decoder.feed(stream) + decoder.end()]


@given(WORDS, WORDS, st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_a_secret_in_any_chunks_is_found(before, after, edges, in_call):
    pieces = cut(before + SECRET + after, edges)

    def say(piece: str) -> bytes:
        return call(index=0, id="a", name="now", arguments=piece) if in_call else text(piece)

    stream = b"".join(map(say, pieces)) + chunk("stop") + DONE
    clean = scrubbed(stream)
    values = [json.loads(line[6:]) for line in clean.split(b"\n\n") if line.startswith(b"data: {")]
    deltas = [value["choices"][0]["delta"] for value in values]
    said = "".join(d["tool_calls"][0]["function"]["arguments"] if in_call else d["content"] for d in deltas if d)
    assert said == before + "x" * len(SECRET.encode()) + after
    assert len(clean) == len(stream)


def test_a_backslash_behind_a_secret_stays():
    stream = text(SECRET + "\\") + DONE
    assert told(scrubbed(stream))[0] == repr(TextDelta("x" * len(SECRET.encode()) + "\\"))


def test_calls_whose_pieces_alternate_are_told_apart_by_their_index():
    stream = call(index=0, arguments="hunter-2-") + call(index=1, arguments="{}") + call(index=0, arguments="hunter-\u00e9-2") + DONE
    clean = scrubbed(stream)
    assert b"hunter" not in clean
    assert b'"arguments":"{}"' in clean


def test_comments_cut_lines_and_whole_bodies_are_searched():
    for stream in (
        b": " + SECRET.encode() + b"\n\n" + DONE,
        text("x") + b'data: {"content": "' + SECRET.encode(),
        event(error=SECRET)[6:-2],
        b"<p>" + SECRET.encode(),
    ):
        assert b"hunter" not in scrubbed(stream)


def test_keys_of_objects_and_reads_that_grow():
    stream = b'data: {"a":1e5,"b":"' + SECRET.encode() + b'"}\n\n' + DONE
    clean, sizes = scrub_events(Scrubber({SECRET: "a test"}), stream, [10, 30, len(stream) - 40], "stream")
    assert sum(sizes) == len(clean) > len(stream)
    assert b"hunter" not in clean
    assert b"hunter" not in scrubbed(b'data: {"' + SECRET.encode() + b'":1}\n\n' + DONE)


@given(st.binary(max_size=60) | st.lists(st.sampled_from([b"data: ", b"{}", b"[{", b'"index":[]', b"\n", b"\r", b"null", b"x"])).map(b"".join))
def test_any_bytes_without_a_secret_stay_as_they_are(stream):
    assert scrubbed(stream) == stream


def test_a_find_changes_nothing_else():
    stream = text("one") + text(SECRET) + text("two") + chunk("stop") + DONE
    assert told(scrubbed(stream)) == [line.replace(SECRET, "x" * len(SECRET.encode())) for line in told(stream)]


PASSWORD = "hunter-2-hunter-3-tail"


@pytest.mark.parametrize("edges", [[8], [8, 20], [4, 9, 14, 19], []])
def test_a_stream_without_its_end_mark_keeps_no_beginning_of_a_secret(edges):
    stream = b"".join(text(piece) for piece in cut(PASSWORD[:20], edges))
    for before in (b"", text("the password is ")):
        clean, sizes = scrub_events(Scrubber({PASSWORD: "s"}), before + stream, [len(before + stream)], "stream")
        assert [line for line in told(clean) if "TextDelta" in line] == [
            line for line in told(before + b"".join(text("x" * len(piece)) for piece in cut(PASSWORD[:20], edges))) if "TextDelta" in line
        ]
        assert sizes == [len(before + stream)]


def test_a_stream_with_its_end_mark_keeps_words_that_only_begin_like_a_secret():
    stream = text("the password is not hunter-2") + chunk("stop") + DONE
    assert scrub_events(Scrubber({PASSWORD: "s"}), stream, [len(stream)], "stream")[0] == stream
    body = b'{"content": "hunter-2"}\n'
    assert scrub_events(Scrubber({PASSWORD: "s"}), body, [len(body)], "stream")[0] == body


@given(
    st.integers(0, 400),
    st.lists(st.integers(0, 40), max_size=6),
    st.booleans(),
    st.sampled_from(["a-b-c-d-e-f-g-h-i", 'a"b\\c/d\u00e9e\U0001f511f-g-h']),
)
def test_a_stream_that_breaks_off_anywhere_keeps_no_piece_of_a_secret(at, edges, in_call, secret):
    """Also not in its last line, which is no JSON any more."""
    pieces = [piece for piece in cut(secret, edges) if piece]
    stream = b"".join(call(index=0, id="0", name="0", arguments=piece) if in_call else text(piece) for piece in pieces)[:at]
    clean, sizes = scrub_events(Scrubber({secret: "s"}), stream, [len(stream)], "stream")
    assert sizes == [len(clean)]
    lines = [line for line in clean.split(b"\n\n") if line.startswith(b"data: {")]
    values = [line.partition(b'"arguments":"' if in_call else b'"content":"')[2].partition(b'"')[0].rstrip() for line in lines]
    # a piece of an escape is no character of the secret, and three characters cannot be told from other text
    kept = b"".join(value.partition(b"\\")[0] for value in values)
    assert len(kept) < 4 or not kept.strip(b"x"), clean


@pytest.mark.parametrize("end", ['"', '"}', '"},', '"}}', '","n', '","n"', '","n":', '","n":1', '","n":"', "\\", "\\u00e", "\\ud83d", "\\ud83d\\udd"])
def test_a_line_may_break_off_in_every_place(end):
    before, cut_line = text("the password is hunter-2"), b'data: {"choices":[{"index":0,"delta":{"content":"-hunter-3-tail' + end.encode()
    clean, _ = scrub_events(Scrubber({PASSWORD: "s"}), before + cut_line, [len(before + cut_line)], "stream")
    assert b"hunter" not in clean
    assert b"tail" not in clean
    assert len(clean) == len(before + cut_line)


@pytest.mark.parametrize(
    "line", [b"data: {]", b"data: }", b'data: {"a":"b\\', b"data: [[[", b'data: "', b"data: {" * 3, b'data: {"a" "b', b"data: " + b"[" * 5000]
)
def test_a_line_that_breaks_off_without_a_secret_stays_as_it_is(line):
    assert scrubbed(text("x") + line) == text("x") + line


@pytest.mark.parametrize("spelling", ["ab\\/cd+ef&gh-0123456789", "ab/cd+ef\\u0026gh-0123456789"])
@pytest.mark.parametrize("edges", [[], [7], [9, 10, 16]])
def test_json_in_arguments_is_read(spelling, edges):
    arguments = f'{{"key":"{spelling}"}}'
    pieces = [call(index=0, id="a", name="now", arguments=piece) for piece in cut(arguments, edges)]
    stream = b"".join(pieces) + chunk("tool_calls") + DONE
    clean, _ = scrub_events(Scrubber({"ab/cd+ef&gh-0123456789": "s"}), stream, [len(stream)], "stream")
    values = [json.loads(line[6:])["choices"][0]["delta"] for line in clean.split(b"\n\n") if line.startswith(b"data: {")]
    said = "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in values if delta)
    assert json.loads(said) == {"key": "x" * len(spelling)}
    assert len(clean) == len(stream)
