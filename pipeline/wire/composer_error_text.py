"""The words for people inside an upstream's error, made fit to be shown.

Theory of operation: Connect errors carry their text in `details`, as debug JSON {title, detail} or as a base64 protobuf message of a kind that we
do not know. `details_text` takes the first form where there is one and otherwise the strings of the second, found by walking its length-delimited
fields. `clean_message` then makes one bounded line of whatever was found, and shows nothing at all of what looks like HTML.

Invariants: nothing raises; work and result are bounded, however large or deep the input is.
"""

import base64
import binascii
import re
from typing import TypeGuard

from pipeline.errors import ProtocolViolation
from pipeline.request import Json
from pipeline.wire.protobuf import read_fields

MAX_MESSAGE_CHARS = 500
_MAX_DETAILS = 16
_MAX_VALUE_CHARS = 65_536
_MAX_STRINGS = 8
_MAX_NESTING = 4
# Eight times what can be shown is plenty to look at, and keeps the patterns below from meeting megabytes.
_MAX_LOOKED_AT_CHARS = 8 * MAX_MESSAGE_CHARS

_HTML = re.compile(r"<(?:!doctype|!--|/?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>)", re.IGNORECASE)
_NOT_SHOWN = re.compile(
    r"[\s\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"
)  # control, white space, direction and width marks
_SECRET = re.compile(r"\b(?:(?:sk|pk|key|crsr|cursor|user)[-_][\w-]{12,}|eyJ[\w-]{8,}(?:\.[\w-]+)*|bearer\s+[\w.~+/=-]{8,})", re.IGNORECASE)


def clean_message(text: str) -> str:
    r"""One line of at most `MAX_MESSAGE_CHARS` characters, empty where the text is HTML.

    >>> clean_message("Wait\x00 a\n moment, sk-0123456789abcdef"), clean_message("<html><b>502</b>")
    ('Wait a moment, [removed]', '')
    """
    text = text[:_MAX_LOOKED_AT_CHARS]
    if _HTML.search(text):
        return ""
    line = _SECRET.sub("[removed]", _NOT_SHOWN.sub(" ", text)).strip()
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1].rstrip() + "…"


def details_text(details: Json) -> str:
    """The text for people in a Connect error's `details`, not yet cleaned; empty where there is none.

    >>> details_text([{"debug": {"details": {"title": "Slow down", "detail": "Try again in a minute."}}}])
    'Slow down: Try again in a minute.'
    """
    found: list[str] = []
    for detail in as_list(details)[:_MAX_DETAILS]:
        fields = as_object(detail)
        human = as_object(as_object(fields.get("debug")).get("details"))
        texts = [text for text in (human.get("title"), human.get("detail")) if isinstance(text, str) and text.strip()]
        value = fields.get("value")
        if not texts and isinstance(value, str):
            texts = _strings_of_base64(value)
        found += texts
    return ": ".join(dict.fromkeys(text.strip().rstrip(":") for text in found))


def as_object(value: Json) -> dict[str, Json]:
    """A JSON object as it is, anything else as an empty one."""
    return value if _is_object(value) else {}


def as_list(value: Json) -> list[Json]:
    """A JSON array as it is, anything else as an empty one."""
    return value if _is_list(value) else []


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)


def _strings_of_base64(value: str) -> list[str]:
    # Connect leaves the padding out; some servers use the URL alphabet.
    if len(value) > _MAX_VALUE_CHARS:
        return []
    standard = value.strip().replace("-", "+").replace("_", "/")
    try:
        message = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return []
    return _strings_of_message(message, _MAX_NESTING)[:_MAX_STRINGS]


def _strings_of_message(message: bytes, nesting: int) -> list[str]:
    fields = read_fields(message)
    if isinstance(fields, ProtocolViolation):
        return []
    strings: list[str] = []
    for _number, value in fields:
        if isinstance(value, int) or len(strings) >= _MAX_STRINGS:
            continue
        # A nested message opens with the tag of a low field number, which as text is a control character.
        nested = _strings_of_message(value, nesting - 1) if nesting and value[:1] < b" " else []
        strings += nested or _as_text(value)
    return strings


def _as_text(value: bytes) -> list[str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return []
    return (
        [text]
        if any(character.isalpha() for character in text) and not any(character < " " and character not in "\t\r\n" for character in text)
        else []
    )
