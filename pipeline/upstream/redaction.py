"""Errors without the keys that were sent.

Theory of operation: an upstream may quote a key in what it says about it, whole or, where the text was shortened, its beginning at the text's end.
`redacted` gives the same error without either. It knows the key itself and so needs no guess at what keys look like.
"""

from collections.abc import Iterable

from pipeline.errors import PenstockError

REMOVED = "[removed]"

_SHORTEST_PREFIX = 6
_ELLIPSIS = "…"


def redacted(error: PenstockError, secrets: Iterable[str]) -> PenstockError:
    """The error as it is, or an equal one without the secrets in its message.

    >>> redacted(PenstockError("bad key 0123456789, told 01234567…"), ["0123456789"])
    PenstockError('bad key [removed], told [removed]')
    """
    message = error.message
    for secret in secrets:
        message = _without(message, secret)
    if message == error.message:
        return error
    return type(error)(message, code=error.code, param=error.param, retry_after_seconds=error.retry_after_seconds)


def _without(text: str, secret: str) -> str:
    if not secret:
        return text
    text = text.replace(secret, REMOVED)
    stem = text.removesuffix(_ELLIPSIS)
    for length in range(min(len(secret) - 1, len(stem)), _SHORTEST_PREFIX - 1, -1):
        if stem.endswith(secret[:length]):
            return stem[:-length] + REMOVED
    return text
