"""Which key an upstream gets: the caller's, its own, or none; and keys that do not show themselves.

Each upstream has one credential, fixed by the settings. A key never travels to any other host, and a gateway's own token is never an upstream's key.
"""

from enum import StrEnum
from typing import NoReturn

import msgspec

from pipeline.errors import AuthenticationError

GATEWAY_TOKENS = ("psk_", "cmp_")
"""How the tokens of gateways begin: they are resolved here and never forwarded."""


class Secret:
    """A text that is only shown to who asks for it by `reveal`.

    >>> Secret("sk-1234"), str(Secret("sk-1234")), f"{Secret('sk-1234')}"
    (***, '***', '***')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Kind(StrEnum):
    """Whose key it is."""

    CALLER = "caller"
    OWN = "own"
    NONE = "none"


class Credential(msgspec.Struct, frozen=True):
    """One upstream's credential; `secret` is set exactly when the kind is OWN."""

    kind: Kind = Kind.NONE
    secret: Secret | None = None

    def key(self, callers: str | None) -> str | None:
        """The key to send, None for no Authorization at all.

        Raises:
            AuthenticationError: the caller's key is needed, and missing or a gateway's.
            ValueError: the upstream's own key was never loaded, or is a gateway's; loading settings refuses both.

        >>> Credential(Kind.OWN, Secret("psk_4f9a0c77")).key(None)
        Traceback (most recent call last):
        ValueError: a gateway's token is never forwarded to an upstream
        """
        if self.kind is Kind.OWN:
            if self.secret is None:
                raise ValueError("this upstream's own key was never loaded")
            if self.secret.reveal().startswith(GATEWAY_TOKENS):
                raise ValueError("a gateway's token is never forwarded to an upstream")
            return self.secret.reveal()
        if self.kind is Kind.NONE:
            return None
        if not callers:
            raise AuthenticationError("This model needs your own upstream key. Send it as `Authorization: Bearer …`.")
        if callers.startswith(GATEWAY_TOKENS):
            raise AuthenticationError("A gateway's token is never forwarded to an upstream. Send your own upstream key.")
        return callers
