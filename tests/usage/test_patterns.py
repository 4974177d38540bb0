"""What is found in a text, and that the weights keep the estimate's promises."""

from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.usage.estimate import PatternCount
from pipeline.usage.patterns import (
    BITS,
    CALIBRATION,
    CHARACTER,
    CLASSES,
    COMMON,
    JOINING,
    MOST_BEYOND_ASCII,
    MOST_IN_ASCII,
    NAMES,
    SCRIPT_BITS,
    SINGLE,
    classes_of,
    finds,
)
from tests.support.texts import TEXTS

# text -> what is found in it beside its characters
CASES = {
    "nothing": ("", {}),
    "one letter is no word": ("x", {"small letter": 1}),
    "a word, and its last vowel": ("the sofa, ", {
        "small letter": 7, "word of 2 letters": 2, "word of 3 letters": 2, "word that ends in a, i, o, u": 1, "sign": 1,
    }),
    "a word that goes on does not end": ("sofa", {"small letter": 4, "word of 2 letters": 1, "word of 3 letters": 1}),
    "a long word": ("abcdefghl", {"small letter": 9, "word of 2 letters": 1, "word of 3 letters": 1, "word of 9 letters": 1}),
    "a longer one is one too": ("b" * 30, {"small letter": 30, "word of 2 letters": 1, "word of 3 letters": 1, "word of 9 letters": 1}),
    "humps": ("fetchMeXY", {
        "small letter": 6, "capital": 3, "capital behind a small letter": 2, "word of 2 letters": 1, "word of 3 letters": 1, "word of 9 letters": 1,
    }),
    "numbers": ("7, A1 22b", {
        "digit": 4, "number": 3, "sign": 1, "capital": 1, "digit behind a capital": 1, "digit behind a space": 1, "small letter": 1,
        "small letter behind a digit": 1,
    }),
    "signs": (".b !", {"sign": 2, "small letter": 1, "small letter behind a sign": 1, "sign behind a space": 1}),
    "spaces": ("b  \t  B ", {"small letter": 1, "two spaces": 1, "capital": 1}),
    "the line's first spaces": ("  B", {"two spaces": 1, "capital": 1}),
    "newlines": ("b\n\n", {"small letter": 1, "newline behind a small letter": 1}),
    "rare letters": ("jz", {"j, k, z": 2, "small letter": 2, "word of 2 letters": 1}),
    "letters with marks are of the word": ("né ", {"small letter": 1, "Latin letter with a mark": 1, "word of 2 letters": 1}),
    "Cyrillic": ("да, пять", {"Cyrillic letter": 6, "Cyrillic word": 2, "Cyrillic word of 4 letters": 1, "sign": 1}),
    "letters that tell": ("їх љубав ъ іі", {
        "Cyrillic letter": 10, "Cyrillic word": 4, "Cyrillic word of 4 letters": 1, "Ukrainian letter": 2, "Serbian letter": 1, "Bulgarian letter": 1,
    }),
    "Arabic": ("سوق قديم", {"Arabic letter": 7, "Arabic word": 2}),
    "Han that joins and that does not": ("中鬱 国", {"Han": 1, "Han that joins": 2, "run of Han": 2}),
    "Japanese": ("彁のカ。", {"Han": 1, "run of Han": 1, "kana": 3}),
    "Korean": ("가뷁", {"Hangul": 1, "Hangul that joins": 1}),
    "other scripts": ("ωשहქ", {"Greek": 1, "Hebrew": 1, "Indic": 1, "Vietnamese, Georgian": 1}),
    "symbols, full width, emoji": ("→！😀", {"symbol": 1, "full width": 1, "emoji": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_finds(text, expected):
    found = dict(zip(NAMES, finds(text), strict=True))
    assert found.pop(CHARACTER) == len(text)
    assert {name: count for name, count in found.items() if count} == expected


def test_every_find_has_a_case():
    assert {name for _, expected in CASES.values() for name in expected} == {*NAMES} - {CHARACTER}


def test_the_file_has_a_weight_for_each_find_and_none_else():
    assert list(CALIBRATION.weights) == list(NAMES)
    assert all(weight >= 0 for weight in CALIBRATION.weights.values())
    assert CALIBRATION.weights[CHARACTER] > 0


def test_no_byte_is_in_two_classes_and_every_class_is_counted_somewhere():
    listed = [byte for found in CLASSES.values() for byte in found]
    assert len(listed) == len(set(listed))
    in_bits = set("".join([*BITS.values(), *SCRIPT_BITS.values()]))
    assert {*CLASSES} <= in_bits | {kind.decode() for kind in SINGLE.values()}


def test_joining_characters_are_of_the_class_that_they_are_taken_from():
    for field, name in zip((CALIBRATION.joining_han, CALIBRATION.joining_hangul), JOINING, strict=True):
        assert set(classes_of(field)) == set(SINGLE[JOINING[name]])
        assert len(field) == len(set(field))


@given(TEXTS)
def test_the_estimate_is_the_sum_of_the_weighed_finds(text):
    count = PatternCount()
    count.add(text)
    assert count.total == -(-sum(map(mul, finds(text), CALIBRATION.weights.values())) // 1000)


@given(TEXTS, st.characters())
def test_no_character_adds_more_than_the_most(text, last):
    before, after = finds(text), finds(text + last)
    added = sum(weight * (b - a) for weight, a, b in zip(CALIBRATION.weights.values(), before, after, strict=True))
    assert 0 < added <= (MOST_IN_ASCII if (text + last).isascii() else MOST_BEYOND_ASCII)


def test_every_common_find_says_where_it_is():
    assert {kind for kind in COMMON.values() if kind is not None} <= {*BITS}
