"""What an upstream says, as one line that holds nothing which should not be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.error_text import MAX_MESSAGE_CHARS, clean_message, without_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <b>bold</b> claim", ""),
        ("<!-- x -->", ""),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("key sk-abcdefghijkl1234 and crsr_0123456789abcdef", "key [removed] and [removed]"),
        ("Authorization: Bearer abc.def.ghi-123", "Authorization: [removed]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_DEF", "[removed]"),
        ("key 'sk-abcdefghijkl.REST:of/it+more==' and \u201cuser_0123456789ab:rest\u201d", "key '[removed]' and \u201c[removed]\u201d"),
        ("got Bearer 0123456789abc:REST, sorry", "got [removed] sorry"),
        ('{"authorization":"bearer a.b/c:d+e~f"}', '{"authorization":"[removed]"}'),
        ("the user-facing text of a key-value store", "the user-facing text of a key-value store"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 499 + "…"),
        ("lone \ud800 surrogate", "lone surrogate"),
    ],
)
def test_clean_message(text, expected):
    assert clean_message(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.sk-0123456789abcdef.z is bad", "[removed] is bad"),
        ("not a.sk-0123456789abcdef…", "not [removed]"),
        ("both a.sk-0123456789abcdef.z.longer and a.sk-0123456789abcdef.z", "both [removed] and [removed]"),
        ("x" * 495 + "a.sk-0123456789abcdef.z", "x" * 495 + "[rem…"),
        (" " * 3990 + "a.sk-0123456789abcdef.z", "[removed]"),
    ],
)
def test_a_known_secret_goes_before_the_guess_and_the_cut_can_take_a_part(text, expected):
    assert clean_message(text, ["a.sk-0123456789abcdef.z", "a.sk-0123456789abcdef.z.longer", ""]) == expected


KEYS = st.builds(
    "".join, st.lists(st.sampled_from(["sk-", "user_", "eyJhbGciOi", "Bearer ", "0123456789ab", "S", ".", ":", "/", "-", "'", " "]), min_size=3)
)


@given(st.text(max_size=600), KEYS.filter(lambda key: len(key) >= 8 and "removed" not in key), st.text(max_size=30))
def test_nothing_is_left_of_a_known_secret(before, key, after):
    assert key not in without_secrets(before + key + after, [key]).replace("[removed]", "\0")
    found = clean_message(f"{before} {key}", [key])
    assert len(found) <= MAX_MESSAGE_CHARS
    # what stands in the text by itself may look like a part of the key; the key adds nothing to it
    assert found == clean_message(f"{before} [removed]")
