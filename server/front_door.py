"""Who may come in: the request's Host, the page that it comes from, and the caller's key.

A Host that is not ours is refused, so that a page in the user's browser cannot reach a loopback server through a name of its own, and a tunnel does
not open a server that asks for no key. In mode `open` no key is asked for and none is passed on; since a browser lets every page send a request to
every address, though not read the answer, what a page of the web sends is refused: it would be paid for all the same. In mode `forward` the caller's
key is its own upstream key: it is used for this request, and neither stored nor logged. In mode `keys` it is one of this gateway's: only its SHA-256
is compared, in full and with every key's, so that neither the time nor a prefix says anything; no upstream gets it.
"""

import hashlib
import ipaddress
import re
from collections.abc import Set
from hmac import compare_digest
from urllib.parse import urlsplit

import msgspec
from werkzeug.datastructures import Headers

from pipeline.credential import GATEWAY_TOKENS
from pipeline.errors import AuthenticationError, PermissionDenied, RequestError
from server.config_addresses import is_loopback, split_url
from server.keys import SHAPE
from server.settings import GatewayKey, Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_KEY_CHARS = 4096
MODEL_NOT_ALLOWED = "model_not_allowed"
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>\d{1,5}))?\Z", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]+\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request: `name` is the key's in mode `keys`, `upstream_key` the caller's own in mode `forward`; `models` None means every model."""

    name: str | None = None
    upstream_key: str | None = None
    models: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Caller(name={self.name!r})"

    def check_model(self, model_id: str, names: Set[str]) -> None:
        """Raise PermissionDenied unless the caller may use the model that was asked for as `model_id` and is also known by `names`."""
        if self.models is None or not names.isdisjoint(self.models):
            return
        message = f"This key may not use the model {model_id[:100]!r}. GET /v1/models lists what it may use."
        raise PermissionDenied(message, code=MODEL_NOT_ALLOWED, param="model")


class FrontDoor:
    """The checks of one server's settings."""

    def __init__(self, settings: Settings) -> None:
        self.mode = settings.auth.mode
        self._allowed = _allowed_hosts(settings)
        self._keys = [(bytes.fromhex(key.hash.removeprefix("sha256:")), key) for key in settings.auth.keys]

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

    def admit(self, headers: Headers) -> Caller:
        """The caller, by the key that mode `forward` or `keys` asks for.

        Raises:
            AuthenticationError: there is no key, or none that fits.
            PermissionDenied: no key is asked for, and a page of the web sent the request.
        """
        if self.mode == "open":
            if self.refuses_page(headers):
                message = "This server asks for no key and therefore answers no page of the web. Set auth.mode to use it from one."
                raise PermissionDenied(message, code="origin_not_allowed")
            return Caller()
        key = _given_key(headers)
        what = "a key of this server" if self.mode == "keys" else "your own upstream key"
        if not key:
            raise AuthenticationError(f"No API key was given. Send {what} as `Authorization: Bearer …`.")
        if len(key) > MAX_KEY_CHARS or not _KEY.match(key):
            raise AuthenticationError("The API key is malformed.")
        if self.mode == "keys":
            found = self._holder(key)
            return Caller(name=found.name, models=found.models)
        if key.startswith(GATEWAY_TOKENS):
            raise AuthenticationError("This is a gateway's key. This server takes your own upstream key.")
        return Caller(upstream_key=key)

    def refuses_page(self, headers: Headers) -> bool:
        """Whether the request comes from a page that this server answers nothing."""
        return self.mode == "open" and _is_from_the_web(headers)

    def _holder(self, key: str) -> GatewayKey:
        digest = hashlib.sha256(key.encode()).digest()
        matching = [holder for kept, holder in self._keys if compare_digest(kept, digest)]  # all are compared, whichever fits
        if not matching or not SHAPE.fullmatch(key):
            raise AuthenticationError("This API key is not known here.")
        return matching[0]


def _is_from_the_web(headers: Headers) -> bool:
    """Whether a browser says that a page of another machine sent this. What is no browser says nothing."""
    origins = headers.getlist("Origin")
    if not origins:
        return headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site"
    return not all(map(_is_local_or_app, origins))


def _is_local_or_app(origin: str) -> bool:
    """Whether an Origin is a page of this machine or an installed program's own.

    `null` is neither: a page of the web can make it. Browsers take every name under `localhost` for this machine.

    >>> [_is_local_or_app(each) for each in ("http://localhost:3000", "https://tauri.localhost", "vscode-webview://1a", "https://a.example", "null")]
    [True, True, True, False, False]
    """
    scheme, mark, _ = origin.partition("://")
    if scheme.lower() not in ("http", "https"):
        return bool(mark) and _SCHEME.match(scheme) is not None
    parts = split_url(origin)
    host = (parts.hostname if parts is not None else None) or ""
    return is_loopback(host) or host.endswith(".localhost")


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
