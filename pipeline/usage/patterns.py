"""What the estimate counts in a text, and what each find weighs.

Theory of operation: a BPE tokenizer makes a token of a short common word, of a run of spaces, of up to three digits, of a syllable or of a rare
sign. How many tokens a text has can therefore be told from where its words, runs and signs begin, without knowing the words. A text becomes its
*classes*: one letter a character, which says what kind of character it is. That is one pass of `bytes.translate` over the UTF-8 form, for the first
byte of a character tells its script and the others are dropped. The classes then become one big integer, eight bits a character and each bit a
*kind*: shifting it by eight bits puts every character beside the one before it, so that `capital & small << 9` marks the humps of all camel-case
words at once, and `bit_count` says how many there are. So all work is some fifty operations in C over the whole line. They do not branch on what is
in it, which makes them three times as quick as looking for byte strings.

Invariants: every find is at one character and depends on it and at most `REACH` before it, so the finds in a text are those in its pieces, each
looked at behind the last `REACH` characters of what came before. Every find weighs zero or more, and every character is found at least once; so an
estimate is above zero for any text, and never falls when the text goes on. Weights are whole thousandths of a token: their sum does not depend on
the order.

The weights, and the characters that join with others, are in `calibration.toml`; `python -m benchmarks.estimate --fit` makes them from the texts in
`benchmarks/corpora`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from pathlib import Path

import msgspec

_FILE = Path(__file__).with_name("calibration.toml")
_CONTINUATION = bytes(range(0x80, 0xC0))


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: the vocabulary that it was made from, the characters that often share a token with others, and thousandths of a token a find."""

    vocabulary: str
    joining_han: str
    joining_hangul: str
    weights: Mapping[str, int]


# class -> the first bytes of its characters in UTF-8; what is in none is ".", a sign
CLASSES = {
    "b": b"bcdefghlmnpqrstvwxy",
    "a": b"aiou",
    "k": b"jkz",  # rare in English, not in its neighbours
    "A": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0": b"0123456789",
    " ": b" \t",
    "n": b"\r\n",
    "e": bytes(range(0xC3, 0xCE)),  # Latin letters with marks
    "g": b"\xce\xcf",  # Greek
    "c": bytes(range(0xD0, 0xD4)),  # Cyrillic
    "h": bytes(range(0xD4, 0xD8)),  # Hebrew, Armenian
    "r": bytes(range(0xD8, 0xE0)),  # Arabic and its neighbours
    "i": b"\xe0",  # the scripts of India, Thai, Lao
    "v": b"\xe1",  # Vietnamese letters, Georgian, Khmer, Mongolian
    "s": b"\xe2",  # dashes, quotes, arrows, frames, symbols
    "y": b"\xe3",  # kana and the signs of Chinese and Japanese
    "z": bytes(range(0xE4, 0xEA)),  # Han
    "o": bytes(range(0xEA, 0xEF)),  # Hangul
    "f": b"\xef",  # full-width forms
    "m": bytes(range(0xF0, 0x100)),  # emoji and rare scripts
}

# bit -> the classes that have it. One table for what ASCII can make, one for the words of other scripts.
LETTER, VOWEL, SMALL, CAPITAL, DIGIT, SPACE, NEWLINE, SIGN = range(8)
BITS = {LETTER: "bakAe", VOWEL: "a", SMALL: "bak", CAPITAL: "A", DIGIT: "0", SPACE: " ", NEWLINE: "n", SIGN: "."}
CYRILLIC, ARABIC, HAN = range(3)
SCRIPT_BITS = {CYRILLIC: "c", ARABIC: "r", HAN: "z"}

CHARACTER = "character"
"""Every character, of whatever kind."""

# what `_common_finds` gives, in its order, and the kind of character that each is at
COMMON = {
    CHARACTER: None,
    "word of 2 letters": LETTER,
    "word of 3 letters": LETTER,
    "word of 9 letters": LETTER,
    "word that ends in a, i, o, u": None,
    "small letter": SMALL,
    "j, k, z": SMALL,
    "capital": CAPITAL,
    "capital behind a small letter": CAPITAL,
    "digit": DIGIT,
    "number": DIGIT,
    "digit behind a capital": DIGIT,
    "digit behind a space": DIGIT,
    "small letter behind a digit": SMALL,
    "small letter behind a sign": SMALL,
    "sign": SIGN,
    "sign behind a space": SIGN,
    "two spaces": SPACE,
    "newline behind a small letter": NEWLINE,
}

# single characters of other classes: name -> class
SINGLE = {
    "Latin letter with a mark": b"e",
    "Greek": b"g",
    "Cyrillic letter": b"c",
    "Hebrew": b"h",
    "Arabic letter": b"r",
    "Indic": b"i",
    "Vietnamese, Georgian": b"v",
    "symbol": b"s",
    "kana": b"y",
    "Han": b"z",
    "Hangul": b"o",
    "full width": b"f",
    "emoji": b"m",
}

# what `_word_finds` gives, in its order
WORDS = ("Cyrillic word", "Cyrillic word of 4 letters", "Arabic word", "run of Han")

# letters that tell languages apart which the classes cannot: name -> the letters; a find weighs beside what its class does
LETTERS = {"Ukrainian letter": "і", "Serbian letter": "јљњ", "Bulgarian letter": "ъ"}

# characters that weigh otherwise than the others of their class: name -> that class's name
JOINING = {"Han that joins": "Han", "Hangul that joins": "Hangul"}

NAMES = (*COMMON, *SINGLE, *WORDS, *LETTERS, *JOINING)
REACH = 9
LINE_START = b"n"
"""The classes before the first character: a text begins as a line does."""

MOST_CHARACTERS = 8192
"""The longest line of classes that is looked at as one."""


def _table(letters: Iterable[tuple[int, Iterable[int]]], other: int = 0) -> bytes:
    """A translation in which each byte becomes the sum of the values that it is listed under."""
    table = [0] * 256
    for value, found in letters:
        for byte in found:
            table[byte] += value
    return bytes(value or other for value in table)


_CLASS_OF_BYTE = _table([(ord(letter), found) for letter, found in CLASSES.items()], other=ord("."))
_BITS_OF_CLASS = _table([(1 << bit, classes.encode()) for bit, classes in BITS.items()])
_SCRIPT_OF_CLASS = _table([(1 << bit, classes.encode()) for bit, classes in SCRIPT_BITS.items()])
_MASKS = [int.from_bytes(bytes([1 << bit]) * MOST_CHARACTERS, "little") for bit in range(8)]

CALIBRATION = msgspec.toml.decode(_FILE.read_bytes(), type=Calibration)
_JOINING = {
    "Han that joins": re.compile(f"[^{CALIBRATION.joining_han}]+"),
    "Hangul that joins": re.compile(f"[^{CALIBRATION.joining_hangul}]+"),
}


def classes_of(text: str) -> bytes:
    """One class a character.

    >>> classes_of("Über 25 km: 東京")
    b'ebbb 00 kb. zz'
    """
    return text.encode("utf-8", "surrogatepass").translate(_CLASS_OF_BYTE, _CONTINUATION)


def _common_finds(classes: bytes) -> list[int]:
    """The finds of `COMMON`. A shift by 8 puts a character on the next one; what it differs from 8 by puts one bit on another."""
    line = int.from_bytes(classes.translate(_BITS_OF_CLASS), "little")
    letter, small, capital = line & _MASKS[LETTER], line & _MASKS[SMALL], line & _MASKS[CAPITAL]
    digit, space, sign = line & _MASKS[DIGIT], line & _MASKS[SPACE], line & _MASKS[SIGN]
    no_letter = (_MASKS[LETTER] >> (8 * (MOST_CHARACTERS - len(classes)))) ^ letter
    start, two, two_spaces = letter & ~(letter << 8), letter & (letter << 8), space & (space << 8)
    four = two & (two << 16)
    return [
        len(classes),
        ((start << 8) & letter).bit_count(),
        ((start << 16) & two).bit_count(),
        ((start << 64) & four & (four << 32)).bit_count(),
        (((line & _MASKS[VOWEL]) << (8 - VOWEL)) & no_letter).bit_count(),
        small.bit_count(),
        classes.count(b"k"),
        capital.bit_count(),
        ((small << (8 + CAPITAL - SMALL)) & capital).bit_count(),
        digit.bit_count(),
        (digit & ~(digit << 8)).bit_count(),
        ((capital << (8 + DIGIT - CAPITAL)) & digit).bit_count(),
        ((space << (8 + DIGIT - SPACE)) & digit).bit_count(),
        ((digit << (8 + SMALL - DIGIT)) & small).bit_count(),
        ((sign << (8 + SMALL - SIGN)) & small).bit_count(),
        sign.bit_count(),
        ((space << (8 + SIGN - SPACE)) & sign).bit_count(),
        (two_spaces & ~(two_spaces << 8)).bit_count(),
        ((small << (8 + NEWLINE - SMALL)) & line & _MASKS[NEWLINE]).bit_count(),
    ]


def _word_finds(classes: bytes) -> list[int]:
    """The finds of `WORDS`."""
    line = int.from_bytes(classes.translate(_SCRIPT_OF_CLASS), "little")
    start = line & ~(line << 8)
    two = line & (line << 8)
    cyrillic = start & _MASKS[CYRILLIC]
    return [
        cyrillic.bit_count(),
        ((cyrillic << 24) & two & (two << 16)).bit_count(),
        (start & _MASKS[ARABIC]).bit_count(),
        (start & _MASKS[HAN]).bit_count(),
    ]


def finds(text: str) -> list[int]:
    """How often each of `NAMES` is found in a whole text; for whoever fits the weights, or asks where an estimate comes from."""
    counts = dict.fromkeys(NAMES, 0)
    before = LINE_START
    for start in range(0, len(text), MOST_CHARACTERS // 2):
        piece = text[start : start + MOST_CHARACTERS // 2]
        classes = classes_of(piece)
        line = before + classes
        for names, look in ((COMMON, _common_finds), (WORDS, _word_finds)):
            for name, found, known in zip(names, look(line), look(before), strict=True):
                counts[name] += found - known
        for name, kind in SINGLE.items():
            counts[name] += classes.count(kind)
        before = line[-REACH:]
    for name, letters in LETTERS.items():
        counts[name] = sum(map(text.count, letters))
    for name, whole in JOINING.items():
        counts[name] = len(_JOINING[name].sub("", text))
        counts[whole] -= counts[name]
    return list(counts.values())


def _weights(names: Iterable[str]) -> list[int]:
    return [CALIBRATION.weights[name] for name in names]


_COMMON_WEIGHTS, _WORD_WEIGHTS = _weights(COMMON), _weights(WORDS)
_SINGLE_WEIGHTS = list(zip(SINGLE.values(), _weights(SINGLE), strict=True))
_LETTER_WEIGHTS = [(letter, CALIBRATION.weights[name]) for name, letters in LETTERS.items() for letter in letters]
_JOINING_WEIGHTS = [(SINGLE[whole], _JOINING[name], CALIBRATION.weights[name] - CALIBRATION.weights[whole]) for name, whole in JOINING.items()]


def _sum(weights: Sequence[int], counts: Sequence[int]) -> int:
    total: int = sum(map(mul, weights, counts))
    return total


def weigh(before: bytes, classes: bytes) -> int:
    """Thousandths of a token for the finds in a line of classes, behind the classes of the `REACH` characters before it."""
    line = before + classes
    total = _sum(_COMMON_WEIGHTS, _common_finds(line)) - _sum(_COMMON_WEIGHTS, _common_finds(before))
    if any(kind in classes for kind in (b"c", b"r", b"z")):
        total += _sum(_WORD_WEIGHTS, _word_finds(line)) - _sum(_WORD_WEIGHTS, _word_finds(before))
    return total


def weigh_beyond_ascii(text: str, classes: bytes) -> int:
    """Thousandths of a token for the characters of a text, and its classes, that ASCII does not have."""
    total = 0
    for kind, weight in _SINGLE_WEIGHTS:
        total += weight * classes.count(kind)
    if b"c" in classes:
        for letter, weight in _LETTER_WEIGHTS:
            total += weight * text.count(letter)
    for kind, others, difference in _JOINING_WEIGHTS:
        if kind in classes:
            total += difference * len(others.sub("", text))
    return total


def _most_at(kind: int) -> int:
    is_letter = kind in (SMALL, CAPITAL)
    return sum(CALIBRATION.weights[name] for name, at in COMMON.items() if at in (None, kind) or (is_letter and at == LETTER))


MOST_IN_ASCII = max(map(_most_at, (SMALL, CAPITAL, DIGIT, SPACE, NEWLINE, SIGN)))
MOST_BEYOND_ASCII = _most_at(LETTER) + max(_weights(SINGLE)) + sum(_WORD_WEIGHTS) + max(_weights(LETTERS))
"""No character adds more thousandths of a token than this."""
