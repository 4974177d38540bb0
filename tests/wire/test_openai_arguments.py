"""ObjectScan: where an object in pieces has its end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.openai_arguments import ObjectScan
from tests.support.splits import cut, splits


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.lists(st.integers(0, 200)))
def test_an_object_is_finished_at_its_last_character_and_not_before(value, edges):
    text = json.dumps({"x": value}, ensure_ascii=False)
    scan = ObjectScan()
    *before, last = [scan.feed(piece) for piece in cut(text, [*edges, len(text) - 1])]
    assert not any(before)
    assert last


@pytest.mark.parametrize("text", ["", " ", "*** Begin {}", '"{}"', "1 {}", "}{}", "\n x [1] {}"])
def test_what_does_not_begin_with_a_bracket_never_has_an_end(text):
    for pieces in splits(text, seeds=5):
        scan = ObjectScan()
        assert not any(scan.feed(piece) for piece in pieces)


def test_blanks_before_the_object_do_not_count():
    for pieces in splits(' \n\t {"a": {}} ', seeds=5):
        scan = ObjectScan()
        assert [scan.feed(piece) for piece in pieces][-1]
