"""scrub_events: a secret that a model wrote in pieces is in no byte, and what is no secret stays."""

import json

from hypothesis import given
from hypothesis import strategies as st

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
