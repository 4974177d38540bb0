"""The notation of the case table: letters for markers, T and K for the fields, and one row of the table as a value.

`B b S e E` are the five markers in Composer's own spelling. A row's input is a sequence of fields, T text and K thinking; its outcome is the lines of
a transcript (`tests.machine.transcript`). Both are rendered for people from the row itself, so that a document made of them cannot say anything else.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipeline.machine.answer import Markup
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import Tool

B, b, S, e, E = "<|tool_calls_begin|>", "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>", "<|tool_calls_end|>"
LETTERS = {B: "B", b: "b", S: "S", e: "e", E: "E"}
STOP, CALLS, CUT = "finish stop", "finish tool_calls", "failed upstream_stream_cut"
SHOWN_CHARS = 120
_MARKER = re.compile("|".join(map(re.escape, LETTERS)))


def tool(name: str, **types: str) -> Tool:
    return Tool(name, parameters={"type": "object", "properties": {key: {"type": kind} for key, kind in types.items()}})


TOOLS = (
    tool("Read", path="string"),
    tool("Write", path="string", content="string", mode="integer"),
    tool("Glob", targeting="string", glob_pattern="string"),
    tool("edit", filePath="string", oldString="string", newString="string"),
    tool("bash", command="string"),
    tool("todowrite", todos="array"),
)
GLOB = f"{b}\nGlob\n{S}targeting\n/p/**\n{S}glob_pattern\n*\n{e}"
GLOB_CALL = 'call Glob {"targeting":"/p/**","glob_pattern":"*"}'


def full(text: str) -> str:
    """The text with full-width bars and U+2581 for every bar and underscore."""
    return text.replace("|", "｜").replace("_", "▁")


def spaced(text: str) -> str:
    """The text with a space on both sides of each marker's bars."""
    return text.replace("<|", "< | ").replace("|>", " | >")


def call(name: str, /, **arguments: str) -> str:
    """A call in the form that the prompt shows, without its block."""
    return f"{b}\n{name}\n" + "".join(f"{S}{key}\n{value}\n" for key, value in arguments.items()) + e


def block(*calls: str) -> str:
    return B + "".join(calls) + E


class Field(NamedTuple):
    """What one field of the upstream said; bytes where the row is about UTF-8 that was cut."""

    kind: str
    data: str | bytes


def T(data: str | bytes) -> Field:
    """A piece of the text field."""
    return Field("T", data)


def K(data: str | bytes) -> Field:
    """A piece of the thinking field."""
    return Field("K", data)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One row: `fields` in, `expected` out, in the transcript's lines.

    `proper` False: the stream is cut behind the last field. `together`: all fields came in one frame of the upstream.
    """

    number: int
    title: str
    fields: tuple[Field, ...]
    expected: tuple[str, ...]
    proper: bool = True
    tools: tuple[Tool, ...] = TOOLS
    policy: ToolPolicy = ToolPolicy()
    markup: Markup = Markup()
    parallel: bool = True
    together: bool = False

    @property
    def name(self) -> str:
        return f"{self.number} {self.title}"

    @property
    def is_bytes(self) -> bool:
        """Whether the row exists only as bytes."""
        return any(isinstance(field.data, bytes) for field in self.fields)

    @property
    def size(self) -> int:
        """Characters or bytes of all fields."""
        return sum(len(field.data) for field in self.fields)

    @property
    def shown(self) -> str:
        """The input in the notation of the table."""
        fields = " ".join(f"{kind} {_shown(data)}" for kind, data in self.fields)
        return fields if self.proper else f"{fields} ✂"

    @property
    def outcome(self) -> str:
        """The result in words."""
        return ", ".join(filter(None, map(_in_words, self.expected)))


def case(number: int, title: str, fields: str | Field | Sequence[Field], *expected: str, **options) -> Case:
    """A row; a bare string is one text field."""
    if isinstance(fields, str):
        fields = T(fields)
    return Case(number=number, title=title, fields=(fields,) if isinstance(fields, Field) else tuple(fields), expected=expected, **options)


def _shown(data: str | bytes) -> str:
    if isinstance(data, bytes):
        return repr(data)
    words: list[str] = []
    at = 0
    for found in _MARKER.finditer(data):
        words += [*_quoted(data[at : found.start()]), LETTERS[found.group()]]
        at = found.end()
    return " ".join([*words, *_quoted(data[at:])])


def _quoted(text: str) -> list[str]:
    if len(text) > SHOWN_CHARS:
        return [f"{json.dumps(text[: SHOWN_CHARS // 3], ensure_ascii=False)} … ({len(text)} characters)"]
    return [json.dumps(text, ensure_ascii=False)] if text else []


def _in_words(line: str) -> str:
    kind, _, rest = line.partition(" ")
    if kind in ("text", "think"):
        return f"{'text' if kind == 'text' else 'thinking'} {_shown(rest)}"
    if kind == "call":
        name, _, arguments = rest.partition(" ")
        return f"{name}{arguments if len(arguments) <= SHOWN_CHARS else arguments[: SHOWN_CHARS // 3] + '…'}"
    if kind == "open":
        return f"{rest} (left open)"
    return {"notice": f"Notice {rest}", "failed": f"Failed {rest}"}.get(kind, "")
