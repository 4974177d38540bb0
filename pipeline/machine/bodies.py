"""Bodies that are read when they are complete: a JSON object, or an inline list of arguments.

Both give a name and arguments as JSON source text, which are then fitted to the tool's schema; what was left out is said. Values keep their source
text, so that numbers lose nothing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.machine.fitting import quote, string_of

_NAMES = ("name", "tool", "tool_name", "toolName")
_ARGUMENTS = ("arguments", "args", "input", "parameters", "params")
_PAIR = re.compile(r"""\s*(?P<key>[^\s=:,]+)\s*[=:]\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*)\s*(?:,|\Z)""")

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


class Body(NamedTuple):
    """What a body said. `arguments` is JSON text; None: there were arguments and they could not be read."""

    name: str
    arguments: dict[str, str] | None
    unread: str = ""


def read_json_body(source: str) -> Body | None:
    """`{"name": …, "arguments": …}` in its spellings; None when the source is no such object."""
    fields = _object(source)
    if fields is None:
        return None
    function = _object(fields["function"]) if "function" in fields else None
    holder = function if function is not None else fields
    name = next((text for word in _NAMES if word in holder and (text := string_of(holder[word])) is not None), None)
    if name is None:
        return None
    given = next((holder[word] for word in _ARGUMENTS if word in holder), None)
    return Body(name, {} if given is None else read_arguments(given))


def read_arguments(source: str) -> dict[str, str] | None:
    """Arguments as key to JSON source text, from an object or from a string that holds one; {} where the source is empty."""
    source = source.rstrip().removesuffix("```")
    text = string_of(source)
    source = source if text is None else text
    return {} if not source.strip() or source.strip() == "null" else _object(source)


def read_inline(source: str, name: str) -> Body:
    """`(k=v, k: v)` or `[k=v]`: quotes protect commas and are removed, bare values are text."""
    inner = source.strip()
    closing = {"(": ")", "[": "]"}[inner[0]]
    inner = inner[1:-1] if inner.endswith(closing) else inner[1:]
    arguments: dict[str, str] = {}
    unread: list[str] = []
    at = 0
    while at < len(inner) and (found := _PAIR.match(inner, at)):
        value = found["value"].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = re.sub(r"\\([\\\"'])", r"\1", value[1:-1])
        if found["key"] in arguments:
            unread.append(found.group().strip())
        arguments.setdefault(found["key"], quote(value))
        at = found.end()
    return Body(name, arguments, " ".join([*unread, inner[at:].strip()]).strip())


def _object(source: str) -> dict[str, str] | None:
    """The members of an object by their source text; of a key that is given twice, the first."""
    try:
        msgspec.json.decode(source, type=dict[str, msgspec.Raw])
        members: dict[str, str] = {}
        for key, value in _members(source):
            members.setdefault(msgspec.json.decode(key, type=str), value)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return members


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
