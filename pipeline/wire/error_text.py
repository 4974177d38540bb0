"""What an upstream says to people, made fit to be shown.

Theory of operation: a text of any length comes in, with the secrets that this exchange knows; one bounded line goes out. The known secrets go first,
whole or, at the text's end, shortened: a guess that came before them could take a part and leave the rest. Then HTML makes the text worthless, what
cannot be seen becomes a space, and what looks like a key goes too, up to the next white space or quotation mark, since keys hold dots, colons and
slashes. Only then is the line cut.

Invariants: nothing raises; apart from the search for the known secrets, which is linear, work and result are bounded however large the input is.
"""

import re
from collections.abc import Iterable

MAX_MESSAGE_CHARS = 500
REMOVED = "[removed]"

SHORTEST_PREFIX_CHARS = 6
"""A shorter beginning of a secret tells nothing, and is one of many a word."""

# Eight times what can be shown is plenty to look at, and keeps the patterns below from meeting megabytes.
_MAX_LOOKED_AT_CHARS = 8 * MAX_MESSAGE_CHARS
_ELLIPSIS = "…"

_HTML = re.compile(r"<(?:!doctype|!--|/?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>)", re.IGNORECASE)
_NOT_SHOWN = re.compile(
    r"[\s\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"
)  # control, white space, direction and width marks
_OF_A_KEY = r"[^\s\"'`\u2018-\u201f\u00ab\u00bb]"
_SECRET = re.compile(
    rf"\b(?:(?:sk|pk|key|crsr|cursor|user)[-_][\w-]{{12,}}|eyJ[\w-]{{8,}}|bearer\s+{_OF_A_KEY}{{8,}}){_OF_A_KEY}*",
    re.IGNORECASE,
)


def clean_message(text: str, secrets: Iterable[str] = ()) -> str:
    r"""One line of at most `MAX_MESSAGE_CHARS` characters, without the secrets; empty where the text is HTML.

    >>> clean_message("Wait\x00 a\n moment, sk-0123456789abcdef.XYZ:/0"), clean_message("<html><b>502</b>"), clean_message("no hunter2!", ["hunter2"])
    ('Wait a moment, [removed]', '', 'no [removed]!')
    """
    text = without_secrets(text, secrets)[:_MAX_LOOKED_AT_CHARS]
    if _HTML.search(text):
        return ""
    line = _SECRET.sub(REMOVED, _NOT_SHOWN.sub(" ", text)).strip()
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1].rstrip() + _ELLIPSIS


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets, and without the beginning of one that its end has shortened.

    >>> without_secrets("bad key 0123456789, told 01234567…", ["0123456789"])
    'bad key [removed], told [removed]'
    """
    # the longest first: one may be a part of another
    for secret in sorted(secrets, key=len, reverse=True):
        text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    if not secret:
        return text
    text = text.replace(secret, REMOVED)
    stem = text.removesuffix(_ELLIPSIS)
    for length in range(min(len(secret) - 1, len(stem)), SHORTEST_PREFIX_CHARS - 1, -1):
        if stem.endswith(secret[:length]):
            return stem[:-length] + REMOVED
    return text
