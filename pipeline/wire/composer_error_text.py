"""The words for people inside a Connect error.

Theory of operation: Connect errors carry their text in `details`, as debug JSON {title, detail} or as a base64 protobuf message of a kind that we
do not know. `details_text` takes the first form where there is one and otherwise the strings of the second, found by walking its length-delimited
fields. The text is as it was sent; `pipeline.wire.error_text` makes it fit to be shown.

Invariants: nothing raises; work and result are bounded, however large or deep the input is.
"""

import base64
import binascii

from pipeline.errors import ProtocolViolation
from pipeline.request import Json
from pipeline.wire.json_values import as_list, as_object
from pipeline.wire.protobuf import read_fields

_MAX_DETAILS = 16
_MAX_VALUE_CHARS = 65_536
_MAX_STRINGS = 8
_MAX_NESTING = 4


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
