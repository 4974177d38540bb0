"""Fit what a model wrote to the types that the client's schema allows.

A raw value, from the text form of a call, and a JSON value, from its JSON form, both become JSON source text; the source is kept wherever it fits, so
that numbers lose nothing. Types come from the schema, never from looks. What does not fit is passed on and named.
"""

import re

import msgspec

from pipeline.machine.json_types import ANY, is_text, type_name
from pipeline.machine.schema import ToolSchema

_encode = msgspec.json.Encoder().encode
_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?\Z", re.ASCII)


def escape(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return _encode(text)[1:-1].decode()


def quote(text: str) -> str:
    """The text as a JSON string."""
    return _encode(text).decode()


def type_of(source: str) -> str | None:
    """The JSON type of a source text, None when it is not JSON.

    >>> type_of("12345678901234567890123"), type_of("[1]"), type_of("True")
    ('integer', 'array', None)
    """
    try:
        value = msgspec.json.decode(source)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None
    name = type_name(value)
    # 1.0 is an integer to JSON Schema, whatever a decoder makes of it
    return "integer" if name == "number" and _INTEGER.match(source.strip()) else name


def typed(text: str, types: frozenset[str]) -> tuple[str, bool]:
    """JSON text for a raw value under a schema's types, and whether it fits them."""
    found = type_of(text)
    allowed = (types - {"string"}) if types != ANY else frozenset({"object", "array"})
    if found in allowed:
        return text.strip(), True
    return quote(text), "string" in types


def fit_arguments(arguments: dict[str, str], schema: ToolSchema) -> tuple[str, list[str]]:
    """The arguments' object as JSON text under the schema, and what did not fit, in words."""
    misfits: list[str] = []
    pieces: dict[str, str] = {}
    for spelling, source in arguments.items():
        key = schema.key(spelling) or spelling
        if key in pieces:
            misfits.append(f"{schema.name}.{key} was given twice; the first stays")
            continue
        types = schema.types(key)
        pieces[key], fits = _fit(source, types)
        if not fits:
            misfits.append(f"{schema.name}.{key} is not {' or '.join(sorted(types))}")
    return "{" + ",".join(f"{quote(key)}:{value}" for key, value in pieces.items()) + "}", misfits


def _fit(source: str, types: frozenset[str]) -> tuple[str, bool]:
    text = string_of(source)
    if types == ANY:
        return source, True
    if text is not None:
        return (quote(text), True) if is_text(types) else typed(text, types)
    if "string" in types and not types & {"integer", "number"} and re.fullmatch(r"-?[\d.eE+-]+", source):
        return quote(source), True
    fitted, fits = typed(source, types)
    return (fitted, True) if fits and not fitted.startswith('"') else (source, False)


def string_of(source: str) -> str | None:
    """The text of a JSON string, None when the source is no JSON string."""
    try:
        return msgspec.json.decode(source, type=str) if source.lstrip().startswith('"') else None
    except (msgspec.MsgspecError, UnicodeError):
        return None
