"""AnswerBody: what a body is, under every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.wire.answer_body import AnswerBody
from tests.support.splits import cut, splits

CASES = {
    "a stream": (b"data: 1\n\ndata: 2\n\n", ([b"1", b"2"], None, None)),
    "blank lines and a mark first": (b" \r\n\xef\xbb\xbf\ndata: 1\n\n", ([b"1"], None, None)),
    "a comment first": (b": hi\n\ndata: 1\n\n", ([b"1"], None, None)),
    "the last event without its empty line": (b"data: 1\n\ndata: 2", ([b"1", b"2"], None, None)),
    "an object": (b'\n\xef\xbb\xbf {"a": 1} ', ([], b'{"a": 1} ', None)),
    "a list": (b"[1]", ([], b"[1]", None)),
    "a page": (b" <!doctype html>", ([], None, ProtocolViolation)),
    "nothing": (b"", ([], None, None)),
    "half a mark": (b"\xef\xbb", ([], None, None)),
    "an event over the limit": (b"data: 1\n\ndata: " + b"x" * 200, ([b"1"], None, ProtocolViolation)),
    "a value over the limit": (b"{" + b" " * 200, ([], b"", ProtocolViolation)),
}


def run(pieces):
    body = AnswerBody(100)
    events = [event.data for piece in pieces for event in body.feed(piece)] + [event.data for event in body.end()]
    return events, body.whole, None if body.fault is None else type(body.fault)


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same(body, expected):
    for pieces in splits(body, seeds=5):
        assert run(pieces) == expected


@given(st.lists(st.sampled_from([b" ", b"\n", b"\xef\xbb\xbf", b"\xef", b"{", b"data: 1\n\n", b"<", b"x" * 60])), st.lists(st.integers(0, 200)))
def test_any_body_any_cut(pieces, at):
    body = b"".join(pieces)
    assert run(cut(body, at)) == run([body])
