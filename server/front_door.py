"""Who may come in: the request's Host, and the caller's key.

A Host that is not ours is refused, so that a page in the user's browser cannot reach a loopback server through a name of its own, and a tunnel does
not open a server that asks for no key. In mode `open` no key is asked for and none is passed on. In mode `forward` the caller's key is its own
upstream key: it is used for this request, and neither stored nor logged.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from pipeline.credential import GATEWAY_TOKENS
from pipeline.errors import AuthenticationError, PermissionDenied, RequestError
from server.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_KEY_CHARS = 4096
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>\d{1,5}))?\Z", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]+\Z")


class FrontDoor:
    """The checks of one server's settings."""

    def __init__(self, settings: Settings) -> None:
        self.mode = settings.auth.mode
        self._allowed = _allowed_hosts(settings)

    def check_host(self, headers: Headers) -> None:
        """Raise for a Host that is malformed, missing, given twice, or not ours."""
        given = headers.getlist("Host")
        found = _HOST.match(given[0]) if len(given) == 1 else None
        if found is None:
            raise RequestError("The Host header is missing or malformed.", code="invalid_host")
        name = found["name"].lower().rstrip(".")
        if name in self._allowed or (name.startswith("127.") and _is_loopback(name)):
            return
        if self.mode == "open":
            message = "This server asks for no key and therefore answers only under a loopback name. Set auth.mode and server.allowed_hosts."
        else:
            message = "This server does not answer under this host name. Add it to server.allowed_hosts, or set server.public_url."
        raise PermissionDenied(message, code="host_not_allowed")

    def key_of(self, headers: Headers) -> str | None:
        """The caller's upstream key in mode `forward`, None in mode `open`; raises AuthenticationError."""
        if self.mode == "open":
            return None
        key = _given_key(headers)
        if not key:
            raise AuthenticationError("No API key was given. Send your own upstream key as `Authorization: Bearer …`.")
        if len(key) > MAX_KEY_CHARS or not _KEY.match(key):
            raise AuthenticationError("The API key is malformed.")
        if key.startswith(GATEWAY_TOKENS):
            raise AuthenticationError("This is a gateway's key. This server takes your own upstream key.")
        return key


def _given_key(headers: Headers) -> str:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return (headers.get("X-Api-Key") or headers.get("Api-Key") or "").strip()


def _allowed_hosts(settings: Settings) -> frozenset[str]:
    server = settings.server
    if settings.auth.mode == "open":
        return LOOPBACK_NAMES
    if server.allowed_hosts:
        return frozenset(_bracketed(host.lower()) for host in server.allowed_hosts)
    public = urlsplit(server.public_url).hostname
    own = {_bracketed(host.lower()) for host in (server.host, public) if host}
    return LOOPBACK_NAMES | own - {"0.0.0.0", "[::]"}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.IPv4Address(name).is_loopback
    except ValueError:
        return False
