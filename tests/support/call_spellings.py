"""Calls of one tool in every spelling and body form, each with the arguments that must come of it, as hypothesis strategies.

The source is made from the arguments, so that they are known without reading it. A raw value may hold anything but a complete structural sequence: a
marker where the grammar gives it a meaning (`is_structural`, written from the grammar and not from the program). Such a value is replaced.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from pipeline.request import Tool

Arguments: TypeAlias = dict[str, Any]
TYPES = {
    "path": "string",
    "content": "string",
    "mode": "integer",
    "ratio": "number",
    "flag": "boolean",
    "nothing": "null",
    "options": "object",
    "items": "array",
}
TOOLS = (
    Tool("Write", parameters={"type": "object", "properties": {key: {"type": kind} for key, kind in TYPES.items()}}),
    Tool("Read", parameters={"type": "object", "properties": {"path": {"type": "string"}}}),
)

# -- the grammar's markers, from its text --------------------------------------------------------------------------------------------------------

_SPACE = r"\s{0,16}"


def _pattern(words: str) -> str:
    return f"<{_SPACE}[|｜]{_SPACE}(?:{words.replace('_', '[_▁]')}){_SPACE}[|｜]{_SPACE}>"


MARKER = re.compile(_pattern("tool_calls_begin|tool_calls_end|tool_call_begin|tool_call_end|tool_sep"), re.IGNORECASE)
_CALL_END = re.compile(_pattern("tool_call_end"), re.IGNORECASE)
_CALL_END_AHEAD = re.compile(f"{_pattern('tool_call_end')}{_SPACE}{_pattern('tool_call_begin|tool_calls_end')}", re.IGNORECASE)
_CALL_BEGIN_AHEAD = re.compile(rf"{_pattern('tool_call_begin')}{_SPACE}(?P<name>[^\s<]+)\s*(?:\n|<)", re.IGNORECASE)
_KEY_AHEAD = re.compile(rf"{_pattern('tool_sep')}{_SPACE}(?P<key>[^\s<>=:]{{1,128}})(?:\r?\n|: | |=)", re.IGNORECASE)


def is_structural(raw: str, *, in_block: bool = True) -> bool:
    """Whether a marker in a raw value, given with what follows it, stands where it ends the value."""
    return (
        (_CALL_END_AHEAD if in_block else _CALL_END).search(raw) is not None
        or any(_folded(found["key"]) in TYPES for found in _KEY_AHEAD.finditer(raw))
        or any(_folded(found["name"]) in ("write", "read") for found in _CALL_BEGIN_AHEAD.finditer(raw))
    )


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


# -- spellings -----------------------------------------------------------------------------------------------------------------------------------


def _respelled(words: str, styles: tuple[Any, ...]) -> str:
    bars, scores, gaps, is_upper = styles
    word = words.replace("_", "▁" if scores else "_")
    return f"<{gaps[0]}{bars[0]}{gaps[1]}{word.upper() if is_upper else word}{gaps[2]}{bars[1]}{gaps[3]}>"


_GAP = st.sampled_from(["", "", "", " ", "\n", "\t\u00a0", " " * 16])
_BAR = st.sampled_from("|｜")
_STYLES = st.tuples(st.tuples(_BAR, _BAR), st.booleans(), st.tuples(_GAP, _GAP, _GAP, _GAP), st.booleans())
_PLAIN = st.sampled_from(
    [
        (("|", "|"), False, ("", "", "", ""), False),
        (("｜", "｜"), True, ("", "", "", ""), False),
        (("|", "|"), False, ("", " ", " ", ""), False),
        (("|", "|"), False, (" ", " ", " ", " "), False),
    ]
)


def spelled(words: str) -> st.SearchStrategy[str]:
    """A marker in ASCII, full-width, spaced, mixed, in any case."""
    return (_PLAIN | _STYLES).map(lambda styles: _respelled(words, styles))


B, b, S, e, E = map(spelled, ("tool_calls_begin", "tool_call_begin", "tool_sep", "tool_call_end", "tool_calls_end"))
GAPS = st.sampled_from(["", "\n", " ", "\r\n", "\n  "])
_BREAKS = st.sampled_from(["\n", "\r\n"])

# -- values --------------------------------------------------------------------------------------------------------------------------------------

_CODE = [
    "if a < b and c[0] == \"x\":\n\treturn {'k': 1}\n",
    "<div>\n  <b>\n</div>\n",
    "a\r\nb\r\n",
    "C:\\new\\tmp",
    '{"a": [1, "b"]}',
    "```json\n{}\n```",
    "\U0001d11e\U0001f600",
    "</think>",
    "<|final|>",
    "<｜/final｜>",
]
_ODD = [
    "<",
    "<|",
    "|>",
    "<｜tool",
    "</think",
    '"',
    "'",
    "\\",
    "\\u0041",
    "\\n",
    "\x00",
    "\x1b[0m",
    "\u2028",
    "é",
    "\n",
    "\r",
    "  ",
    "path\n",
    "Write\n",
]
_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
_LONG_LINE = st.just(5_120).map(lambda times: "x<" * times)
_PIECES = st.one_of(st.sampled_from(_ODD), st.sampled_from(_CODE), _TEXT, B, b, S, e, E)
STRINGS = st.lists(_PIECES, max_size=5).map("".join) | st.tuples(_PIECES, st.integers(0, 9)).flatmap(
    lambda drawn: _LONG_LINE if drawn[1] == 9 else st.just(drawn[0])
)
_INTEGERS = st.integers(-(10**25), 10**25)
_LEAVES = st.one_of(st.none(), st.booleans(), _INTEGERS, _PIECES)
_NESTED = _LEAVES | st.lists(_LEAVES, max_size=3) | st.dictionaries(_TEXT, _LEAVES, max_size=2)
_BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "string": STRINGS,
    "integer": _INTEGERS,
    "number": st.integers(-99, 99) | st.floats(-1e6, 1e6),
    "boolean": st.booleans(),
    "null": st.none(),
    "object": st.dictionaries(_TEXT, _NESTED, max_size=3),
    "array": st.lists(_NESTED, max_size=3),
}


@st.composite
def arguments(draw) -> Arguments:
    """Arguments of Write, each of the type that its schema names."""
    keys = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4, unique=True))
    return {key: draw(_BY_TYPE[TYPES[key]]) for key in keys}


@st.composite
def as_json(draw, value: Any) -> str:
    """One JSON spelling of a value."""
    source = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])))
    return source.replace("/", "\\/") if draw(st.booleans()) else source  # a slash stands only inside strings, and may be escaped there


# -- body forms ----------------------------------------------------------------------------------------------------------------------------------


@st.composite
def pairs(draw, given: Arguments, *, in_block: bool, followed: str) -> tuple[str, Arguments]:
    """`name sep key value …`, each key and separator in a spelling of its own; `followed` is what stands behind the last value."""
    parts = [draw(GAPS), draw(st.sampled_from(["Write", "write", "WRITE"])), draw(GAPS)]
    meant: Arguments = {}
    for key, value in given.items():
        separator = draw(_BREAKS | st.sampled_from([": ", "=", " "]))
        misfit = draw(st.sampled_from(["", "0x1F", "True", "1e"])) if TYPES[key] == "integer" and draw(st.integers(0, 9)) == 0 else None
        raw = value if isinstance(value, str) else draw(as_json(value))
        if misfit is not None:
            raw = value = misfit
        # one line break is taken off the end, and CR LF is one
        ending = " " if separator == " " else "\r\n" if raw.endswith("\r") else draw(_BREAKS)
        if is_structural(f"{raw}{ending}<{followed[1:]}", in_block=in_block):
            raw = value = "replaced"
        meant[key] = value
        parts += [
            draw(S),
            draw(st.sampled_from(["", "\n", " "])),
            draw(st.sampled_from([key, key.upper(), f"{key[0]}_{key[1:]}"])),
            separator,
            raw,
            ending,
        ]
    return "".join(parts), meant


@st.composite
def json_body(draw, given: Arguments) -> tuple[str, Arguments]:
    """An object with name and arguments under any of their words, or inside `function`; markers in its strings are data."""
    written, meant = draw(_loosely(given))
    inner: Any = json.dumps(written) if draw(st.booleans()) else written
    word = draw(st.sampled_from(["arguments", "args", "input", "parameters", "params"]))
    if draw(st.booleans()):
        members: Arguments = {draw(st.sampled_from(["name", "tool", "tool_name", "toolName"])): "Write", word: inner, "id": "x"}
    else:
        members = {"function": {"name": "Write", "arguments": inner}, "type": "function"}
    return draw(GAPS) + draw(as_json(dict(draw(st.permutations(list(members.items())))))) + draw(GAPS), meant


@st.composite
def separated_json(draw, given: Arguments) -> tuple[str, Arguments]:
    """`name sep {…}`, or DeepSeek's older form with a fence."""
    written, meant = draw(_loosely(given))
    source = draw(as_json(written))
    if draw(st.booleans()):
        return f"{draw(GAPS)}Write{draw(GAPS)}{draw(S)}{draw(GAPS)}{source}{draw(GAPS)}", meant
    return f"function{draw(S)}Write\n```json\n{source}\n```{draw(GAPS)}", meant


@st.composite
def _loosely(draw, given: Arguments) -> tuple[Arguments, Arguments]:
    """The arguments as a model writes them, and as they are meant: a number for a string becomes its text, and the text of a number a number."""
    written, meant = dict(given), dict(given)
    for key in given:
        if TYPES[key] == "string" and draw(st.integers(0, 4)) == 0:
            written[key] = draw(_INTEGERS)
            meant[key] = str(written[key])
        elif TYPES[key] == "integer" and draw(st.integers(0, 4)) == 0:
            written[key] = str(given[key])
    return written, meant


@st.composite
def inline(draw, given: Arguments, *, in_block: bool) -> tuple[str, Arguments]:
    """`name(k="v", …)` or `name [k=v]`, with quotes around what is text; it holds no containers."""
    meant = {key: value for key, value in given.items() if not isinstance(value, list | dict)}
    for key, value in meant.items():
        if isinstance(value, str) and is_structural(f"{_quoted(value)}<", in_block=in_block):
            meant[key] = "replaced"
    opening, closing = draw(st.sampled_from(["()", "[]"]))
    shown = [
        f"{key}{draw(st.sampled_from(['=', ': ']))}{_quoted(value) if isinstance(value, str) else json.dumps(value)}" for key, value in meant.items()
    ]
    return f"{draw(GAPS)}Write{draw(st.sampled_from(['', ' ']))}{opening}{', '.join(shown)}{closing}{draw(GAPS)}", meant


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@st.composite
def call_bodies(draw, *, in_block: bool = True, followed: str = "<", only_pairs: bool = False) -> tuple[str, Arguments]:
    """What stands between a call's markers, and the arguments that must come of it."""
    given = draw(arguments())
    forms: dict[str, Callable[[], st.SearchStrategy[tuple[str, Arguments]]]] = {
        "pairs": lambda: pairs(given, in_block=in_block, followed=followed),
        "json": lambda: json_body(given),
        "separated": lambda: separated_json(given),
        "inline": lambda: inline(given, in_block=in_block),
        "name": lambda: pairs({}, in_block=in_block, followed=followed),
    }
    return draw(forms["pairs" if only_pairs else draw(st.sampled_from(["pairs", "pairs", *forms]))]())
