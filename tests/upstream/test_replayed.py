"""A recorded case as an upstream: how its bytes are cut and timed."""

from datetime import date
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cases import Case, CaseError, Meta
from pipeline.clocks import SILENCE_SECONDS
from pipeline.events import Failed, Finish, TextDelta
from pipeline.expectations import FORMS, Replay
from pipeline.parse.chat import parse_chat
from pipeline.upstream.replayed import READS_A_TURN, ReplayedUpstream, Split, cut_reads, parse_split
from pipeline.wire.composer import encode_end, encode_text

REQUEST = b'{"model": "composer-2.5", "messages": [{"role": "user", "content": "Hello"}]}'


def case(stream: bytes, *reads: tuple[float, int], upstream: str = "composer") -> Case:
    return Case(Path("composer/made"), stream, REQUEST, Meta(upstream, "chat", "made for a test", date(2026, 1, 1), reads=reads))


SPLITS = st.one_of(
    st.sampled_from([Split(), Split("whole")]),
    st.builds(lambda size: Split("sized", size=size), st.integers(1, 50)),
    st.builds(lambda seed: Split("random", seed=seed), st.integers(0, 999)),
)


@given(st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=20)), max_size=10), st.binary(max_size=10), SPLITS)
def test_every_cut_is_the_stream_in_its_time(recorded, untimed, split):
    stream = b"".join(data for _, data in recorded) + untimed
    made = case(stream, *((float(milliseconds), len(data)) for milliseconds, data in recorded))
    reads = cut_reads(made, split)
    assert b"".join(data for _, data in reads) == stream
    assert all(seconds >= 0 for seconds, _ in reads)
    assert sum(seconds for seconds, _ in reads) <= sum(milliseconds for milliseconds, _ in recorded) / 1000 + 1e-9


def test_a_piece_comes_when_its_last_byte_did():
    made = case(b"aabbcc", (10.0, 2), (20.0, 2), (30.0, 2))
    timed = [(round(seconds, 6), data) for seconds, data in cut_reads(made, Split("sized", size=3))]
    assert timed == [(0.03, b"aab"), (0.03, b"bcc")]
    assert [data for _, data in cut_reads(made, Split("sized", size=1))] == [b"a", b"a", b"b", b"b", b"c", b"c"]


@pytest.mark.parametrize("text", ["", "0", "-1", "halves", "random", "random:", "random:x", "bytes:3", "1.5", "²"])
def test_other_words_are_no_split(text):
    with pytest.raises(ValueError, match="no way to cut a stream"):
        parse_split(text)


async def test_a_read_that_completes_nothing_is_not_silence():
    upstream = ReplayedUpstream(case(encode_text("Hello") + encode_end()[:3]), Split("sized", size=1))
    outgoing = upstream.write(parse_chat(REQUEST))
    assert outgoing.prompt.endswith("USER: Hello")
    batches = [batch async for batch in upstream.stream(outgoing)]
    assert [type(event) for batch in batches for event in batch] == [TextDelta, Failed]
    assert len(batches) == 2


def test_bytes_of_an_unknown_upstream_are_refused():
    with pytest.raises(CaseError, match="gopher"):
        ReplayedUpstream(case(b"", upstream="gopher"))


async def test_a_long_wait_is_told_as_silence(autojump_clock):
    first, last = encode_text("a"), encode_text("b") + encode_end()
    upstream = ReplayedUpstream(case(first + last, (0.0, len(first)), (4 * SILENCE_SECONDS * 1000 + 2000, len(last))), speed=2)
    began = anyio.current_time()
    told = [(anyio.current_time() - began, batch) async for batch in upstream.stream(upstream.write(parse_chat(REQUEST)))]
    assert told == [(0, [TextDelta("a")]), (5, []), (10, []), (11, [TextDelta("b"), Finish()])]


async def test_the_speed_changes_nothing_but_the_time(autojump_clock):
    stream = encode_text("a") + encode_text("b") + encode_end()
    timed = case(stream, (100.0, 5), (60_000.0, len(stream) - 6), (7000.0, 1))
    expected = [await form(Replay(timed)) for form in FORMS.values()]
    assert [await form(Replay(timed, speed=1)) for form in FORMS.values()] == expected


async def test_without_waits_others_still_have_their_turn():
    """A clock over a replay must be able to run out, and a server beside it to answer."""
    word = encode_text("word ")
    upstream = ReplayedUpstream(case(word * 1000 + encode_end()), Split("sized", size=len(word)))
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        batches = [batch async for batch in upstream.stream(upstream.write(parse_chat(REQUEST)))]
        tasks.cancel_scope.cancel()
    assert len(batches) == 1001
    assert turns > 900 // READS_A_TURN
