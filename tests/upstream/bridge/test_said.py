"""The lines of standard error: every split gives the same ones, and one without an end takes no memory."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.upstream.bridge.said import Lines

SOME = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\xff", "é".encode(), b"x" * 9])).map(b"".join)


def lines_of(*pieces: bytes, limit: int = 8) -> list[str]:
    lines = Lines(limit)
    return [line for piece in pieces for line in lines.feed(piece)] + lines.end()


@given(SOME, st.integers(0, 200))
def test_a_split_changes_nothing(data, where):
    whole = lines_of(data)
    assert lines_of(data[:where], data[where:]) == whole
    assert lines_of(*(data[index : index + 1] for index in range(len(data)))) == whole


@given(SOME)
def test_short_lines_are_whole(data):
    kept = data.decode("utf-8", "replace").split("\n")
    assert lines_of(data, limit=10_000) == [line.removesuffix("\r") for line in (kept if kept[-1] else kept[:-1])]


def test_a_line_that_does_not_end_is_cut_and_the_next_is_whole():
    lines = Lines(8)
    for _ in range(1000):
        assert lines.feed(b"y" * 1000) == []
    assert lines.feed(b"\nnext\n") == ["y" * 8, "next"]
