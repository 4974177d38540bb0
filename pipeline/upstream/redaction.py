"""Errors without the keys that were sent.

Theory of operation: an upstream may quote a key in what it says about it, whole or, where the text was shortened, its beginning at the text's end.
`redacted` gives the same error without either. It knows the key itself and so needs no guess at what keys look like. The codecs have taken the keys
out of an upstream's own words before (`pipeline.wire.error_text`), so that what is left here is what else an error is made of: its code and its
param, which are the upstream's words too, are dropped when a key stands in them.
"""

import re
from collections.abc import Collection, Mapping

from pipeline.errors import PenstockError
from pipeline.wire.error_text import SHORTEST_PREFIX_CHARS, without_secrets

_WORDS = re.compile(r"[^\s;,]+")


def header_secrets(headers: Mapping[str, str]) -> list[str]:
    """What of the values of an operator's headers an error must not hold: each whole value, and the secrets that a value is made of.

    Those are the words behind a scheme (`Bearer …`), and what stands behind a `=`, as in cookies. What is too short to be one is left out.

    >>> header_secrets({"Cookie": "sid=0123456789; theme=dark", "X-Auth": "Token abcdefgh", "X-Team": "blue"})
    ['sid=0123456789; theme=dark', 'theme=dark', '0123456789', 'Token abcdefgh', 'abcdefgh']
    """
    found: list[str] = []
    for value in headers.values():
        first, *further = _WORDS.findall(value) or [""]
        named = [behind.strip('"') for _, is_there, behind in (word.partition("=") for word in (first, *further)) if is_there]
        found += [value, *further, *named]
    return [secret for secret in dict.fromkeys(found) if len(secret) >= SHORTEST_PREFIX_CHARS]


def redacted(error: PenstockError, secrets: Collection[str]) -> PenstockError:
    """The error as it is, or an equal one without the secrets.

    >>> redacted(PenstockError("bad key 0123456789, told 01234567…"), ["0123456789"])
    PenstockError('bad key [removed], told [removed]')
    """
    message = without_secrets(error.message, secrets)
    code = None if _holds(error.code, secrets) else error.code
    param = None if error.param is not None and _holds(error.param, secrets) else error.param
    if (message, code, param) == (error.message, error.code, error.param):
        return error
    return type(error)(message, code=code, param=param, retry_after_seconds=error.retry_after_seconds, may_pass_elsewhere=error.may_pass_elsewhere)


def _holds(word: str, secrets: Collection[str]) -> bool:
    # the codecs fold the case of an upstream's words; what is shorter is found in many a word of our own
    return any(secret.lower() in word.lower() for secret in secrets if len(secret) >= SHORTEST_PREFIX_CHARS)
