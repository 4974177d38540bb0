"""Breeding: a good answer and a few random changes give an answer that nobody thought of.

Changes are those that break parsers: pieces deleted, doubled, moved, put in from another answer; markers and their fragments put in anywhere or
respelled; characters replaced; a field's rest moved to the other field; the answer cut.
"""

from collections.abc import Callable, Sequence
from random import Random

from pipeline.machine.forms.dialects import DIALECTS
from tests.fuzz.inputs import MAX_CHARS, TRIGGER, Input, random_setup
from tests.machine.notation import B, E, S, b, e, full, spaced

Fields = tuple[tuple[str, str], ...]

MARKERS = (B, b, S, e, E, "<|final|>", "</think>", "<|/final|>")
WORDS = (
    *("<", "|", "｜", ">", "<|", "|>", "_", "▁", " ", "\n", "\r\n", "\r", "\t", " " * 16, " " * 17, "\u2028", "\x1c", "\x00", "𝄞", "é", "İ", "ſ"),
    *("tool_calls", "tool_call", "_begin", "_end", "tool_sep", "final", "/final", "</thin", "k>"),
    *("Read", "Write", "write", "Nope", "function", "read_file", "x y", "path", "content", "mode", "a key", "xml:lang", "xml", "_path", "filePath"),
    *(
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        '"',
        "\\",
        "\\u",
        "\\ud834",
        "\\udd1e",
        ":",
        ",",
        "=",
        ": ",
        "null",
        "true",
        "1e400",
        "007",
        "12345678901234567890",
    ),
    *('{"name":"Read","arguments":{"path":"a"}}', '{"path":"', '"name":"Write"', '"function":{', "```", "```json\n", '("a", k=v)', "[k=v]"),
    *("<|open|>", "<|close|>", "<|sep|>", "[TOOL_CALL]", "[ARGS]", "```json action", '<invoke name="', "</invoke>", TRIGGER),
    *(example for dialect in DIALECTS.values() for example in (dialect.example, *dialect.openings)),
    *(f"\n{S}path\n", f"\n{S}content\n", f"{b}\nWrite\n{S}content\n", f"{b}Read", f"\n{e}{b}", f"\n{e}{E}", f"{B}{b}", f"{E}{B}"),
)


def _spelled(marker: str, chance: Random) -> str:
    styles: Sequence[Callable[[str], str]] = (
        str,
        str,
        full,
        spaced,
        str.upper,
        lambda text: full(spaced(text)),
        lambda text: text.replace("|", "|\n "),
    )
    return chance.choice(styles)(marker)


def _span(text: str, chance: Random) -> tuple[int, int]:
    start = chance.randint(0, len(text))
    return start, min(len(text), start + chance.choice((1, 1, 2, 5, 20, 100)))


def _delete(text: str, chance: Random, _: str) -> str:
    start, stop = _span(text, chance)
    return text[:start] + text[stop:]


def _double(text: str, chance: Random, _: str) -> str:
    start, stop = _span(text, chance)
    return text[:stop] + text[start:stop] * chance.choice((1, 1, 2, 20)) + text[stop:]


def _move(text: str, chance: Random, _: str) -> str:
    start, stop = _span(text, chance)
    rest = text[:start] + text[stop:]
    at = chance.randint(0, len(rest))
    return rest[:at] + text[start:stop] + rest[at:]


def _put_word(text: str, chance: Random, _: str) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(WORDS) + text[at:]


def _put_marker(text: str, chance: Random, _: str) -> str:
    at = chance.randint(0, len(text))
    marker = _spelled(chance.choice(MARKERS), chance)
    return text[:at] + (marker if chance.random() < 0.8 else marker[: chance.randint(1, len(marker))]) + text[at:]


def _respell(text: str, chance: Random, _: str) -> str:
    marker = chance.choice(MARKERS)
    return text.replace(marker, _spelled(marker, chance), chance.choice((1, -1)))


def _flip(text: str, chance: Random, _: str) -> str:
    if not text:
        return text
    at = chance.randrange(len(text))
    code = ord(text[at]) ^ (1 << chance.randrange(7))
    return text[:at] + chr(code) + text[at + 1 :] if not 0xD800 <= code < 0xE000 else text


def _splice(text: str, chance: Random, other: str) -> str:
    start, stop = sorted((chance.randint(0, len(other)), chance.randint(0, len(other))))
    at = chance.randint(0, len(text))
    return text[:at] + other[start:stop] + text[at if chance.random() < 0.5 else len(text) :]


_CHANGES: Sequence[Callable[[str, Random, str], str]] = (
    _delete,
    _double,
    _move,
    _put_word,
    _put_word,
    _put_marker,
    _put_marker,
    _respell,
    _flip,
    _splice,
)


def bred(answers: Sequence[Fields], chance: Random) -> Input:
    """A new input from the pool."""
    fields = [list(field) for field in chance.choice(answers)] or [["T", ""]]
    other = "".join(text for _, text in chance.choice(answers))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        field = chance.choice(fields)
        field[1] = chance.choice(_CHANGES)(field[1], chance, other)
    if chance.random() < 0.15:  # the rest of a field moves to the other one
        field = chance.choice(fields)
        at = chance.randint(0, len(field[1]))
        fields.insert(fields.index(field) + 1, ["K" if field[0] == "T" else "T", field[1][at:]])
        field[1] = field[1][:at]
    if chance.random() < 0.05:  # and back again
        fields.append([chance.choice("TK"), other[:200]])
    budget, kept = MAX_CHARS, []
    for kind, text in fields:
        kept.append((kind, text[:budget]))
        budget -= len(kept[-1][1])
    if chance.random() < 0.2:
        last = kept[-1]
        kept[-1] = (last[0], last[1][: chance.randint(0, len(last[1]))])
    return Input(tuple(kept), chance.random() < 0.7, random_setup(chance))
