"""Bodies that are read when they are complete: a JSON object, or an inline list of arguments.

Both give a name and arguments, which are then fitted to the tool's schema: an object's values as their source text, so that numbers lose nothing, and
an inline list's as raw text. What was left out is said.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.machine.forms.heads import Form
from pipeline.machine.values.json_source import string_of

_NAMES = ("name", "tool", "tool_name", "toolName")
_ARGUMENTS = ("arguments", "args", "input", "parameters", "params")
_READ = frozenset({*_NAMES, "function", "id", "type", "index", "call_id", "tool_call_id"})
# a comma ends a bare value only if the next key or the end follows: a command may hold commas, and half of one must not be run
_KEY = r"""[^\s=:,"'(){}\[\]]{1,128}"""
_NEXT = rf"\s{{0,64}}(?:{_KEY}\s{{0,16}}[=:]|\Z)"
_QUOTED = r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'"
_PAIR = re.compile(
    rf"""\s*(?P<key>{_KEY})\s*[=:]\s*(?:(?P<quoted>{_QUOTED})\s*(?=,{_NEXT}|\Z)|(?P<bare>(?:"(?:[^"\\]|\\.)*+"|,(?!{_NEXT})|[^,])*+))(?:,|\Z)""",
    re.DOTALL,
)

_QUOTE = re.compile(r'"|\\(?:.|\Z)', re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


class Argument(NamedTuple):
    """One argument as the model wrote it: its value is JSON source, or raw text, which has no type yet."""

    key: str
    value: str
    is_raw: bool = False


class Body(NamedTuple):
    """What a body said. `arguments` are in order; None: there were arguments and they could not be read."""

    name: str
    arguments: list[Argument] | None
    unread: str = ""


class WholeBody:
    """A body on its way to completion, in one of the forms that are read as a whole."""

    def __init__(self, form: Form) -> None:
        self.chars = 0
        self._form = form
        self._pieces: list[str] = []
        self._in_string = False
        self._escaped = False

    @property
    def source(self) -> str:
        """All that was kept."""
        return "".join(self._pieces)

    @property
    def is_in_string(self) -> bool:
        """Whether the text so far ends inside a JSON string, where a marker is data."""
        return self._in_string and self._form in (Form.JSON, Form.SEP_JSON)

    def keep(self, text: str) -> None:
        """The next characters."""
        self._pieces.append(text)
        self.chars += len(text)
        at = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        for found in _QUOTE.finditer(text, at):
            if found.group() == '"':
                self._in_string = not self._in_string
            elif found.group() == "\\":
                self._escaped = True

    def read(self, name: str) -> Body | None:
        """What the body says, for the tool of that name where the head gave one; None when it cannot be read."""
        source = self.source
        if self._form is Form.JSON:
            return read_json_body(source)
        if self._form is Form.INLINE:
            return read_inline(source, name)
        if self._form is Form.SEP_JSON:
            return Body(name, read_arguments(source))
        return Body(name, [], source.strip().removeprefix("```" if self._form is Form.FENCE_END else "").strip())


def read_json_body(source: str) -> Body | None:
    """`{"name": …, "arguments": …}` in its spellings; None when the source is no such object."""
    fields = _object(source)
    return None if fields is None else read_json_fields(fields)


def read_json_fields(fields: dict[str, str]) -> Body | None:
    """The same of an object's members by their source text."""
    function = _object(fields["function"]) if "function" in fields else None
    holder = function if function is not None else fields
    name = next((text for word in _NAMES if word in holder and (text := string_of(holder[word])) is not None), None)
    if name is None:
        return None
    # beside `function` they are as good as inside it
    source = next((place[word] for place in (holder, fields) for word in _ARGUMENTS if word in place), None)
    unread = [key for key in [*fields, *holder] if key not in _READ and source not in (fields.get(key), holder.get(key))]
    if source is None:
        # members of no known name are arguments, most likely, and a call without them is not what was asked for
        return Body(name, None if unread else [])
    return Body(name, read_arguments(source), ", ".join(dict.fromkeys(unread)))


def read_arguments(source: str) -> list[Argument] | None:
    """Arguments with JSON source, from an object or from a string that holds one; none where the source is empty."""
    source = source.rstrip().removesuffix("```")
    text = string_of(source)
    source = source if text is None else text
    return [] if not source.strip() or source.strip() == "null" else _pairs(source)


def read_inline(source: str, name: str) -> Body:
    """`(k=v, k: v)` or `[k=v]`: quotes protect commas and are removed, bare values are text. What does not end with its bracket is no such list."""
    inner = source.strip()
    if not inner.endswith({"(": ")", "[": "]"}[inner[0]]):
        return Body(name, None)
    inner = inner[1:-1]
    arguments: list[Argument] = []
    at = 0
    while at < len(inner) and (found := _PAIR.match(inner, at)):
        quoted = found["quoted"]
        value = found["bare"].strip() if quoted is None else re.sub(r"\\([\\\"'])", r"\1", quoted[1:-1])
        arguments.append(Argument(found["key"], value, is_raw=True))
        at = found.end()
    return Body(name, arguments, inner[at:].strip())


def _object(source: str) -> dict[str, str] | None:
    """The members of an object by their source text; of a key that is given twice, the first."""
    pairs = _pairs(source)
    return None if pairs is None else {argument.key: argument.value for argument in reversed(pairs)}


def _pairs(source: str) -> list[Argument] | None:
    """The members of an object in order, each value in its source text; None when the source is no object."""
    try:
        msgspec.json.decode(source, type=dict[str, msgspec.Raw])
        return [Argument(msgspec.json.decode(key, type=str), value) for key, value in _members(source)]
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _members(source: str) -> Iterator[tuple[str, str]]:
    """Key and value of each member, as they stand in the text of a valid object."""
    depth = 0
    key, start = "", 0
    for found in _TOKEN.finditer(source):
        token = found.group()
        if depth == 1 and token == ":":
            key, start = source[start : found.start()].strip(), found.end()
        elif depth == 1 and token in ",}":
            if key:
                yield key, source[start : found.start()].strip()
            key, start = "", found.end()
        if token in "{[":
            depth += 1
            start = found.end() if depth == 1 else start
        elif token in "}]":
            depth -= 1
