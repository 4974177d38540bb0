"""readings: what JSON's escapes stand for, and where each of it stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scrub_escapes import DEEPEST_LEVEL, cut_escape_bytes, readings

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\n\t\u00e9\U0001f511u0'), max_size=20)


@given(TEXTS, TEXTS, TEXTS, st.integers(0, DEEPEST_LEVEL), st.booleans())
def test_a_text_in_json_in_json_is_read_and_found_where_it_stands(before, middle, after, levels, ascii_only):
    parts = [before, middle, after]
    for _ in range(levels):
        parts = [json.dumps(part, ensure_ascii=ascii_only)[1:-1] for part in parts]
    data = "".join(parts).encode()
    reading = list(readings(data))[: levels + 1][-1]
    if levels and b"\\" in data:
        # fewer levels than were written are only there when nothing needed them
        assert reading.text == (before + middle + after).encode()
    if middle and reading.text == (before + middle + after).encode():
        start = len(before.encode())
        from_byte, to_byte = reading.span(start, start + len(middle.encode()))
        assert data[from_byte:to_byte].decode() == parts[1]


@given(st.binary(max_size=40) | st.text('\\u0dD8c9"nx', max_size=40).map(str.encode))
def test_any_bytes_are_read_and_every_span_is_inside(data):
    for reading in [*readings(data), *readings(data, cut=True)]:
        for start in range(len(reading.text)):
            from_byte, to_byte = reading.span(start, start + 1)
            assert 0 <= from_byte < to_byte <= len(data)
        if reading.text:
            assert reading.span(0, len(reading.text))[1] == len(data)


@pytest.mark.parametrize("whole", ["\\n", "\\\\", "\\u00e9", "\\ud83d\\udd11"])
def test_an_escape_that_is_cut_anywhere_stands_for_nothing(whole):
    for length in range(1, len(whole)):
        data = b"key" + whole[:length].encode()
        assert cut_escape_bytes(data) == length
        assert len(list(readings(data))) == 1
        reading = list(readings(data, cut=True))[1]
        assert reading.text == b"key"
        assert reading.span(0, 3) == (0, len(data))
    assert cut_escape_bytes(b"key" + whole.encode()) == 0
