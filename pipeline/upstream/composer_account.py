"""The account behind a key: who it is, and the access token that it is exchanged for.

Theory of operation: a key comes in. `token` posts it to the backend's exchange and gives the access token, which is kept until shortly before the
`exp` inside it, or a few minutes where it says nothing. `identity` asks the public API who the key belongs to and gives an id of the account, which
is kept for an hour; when the API cannot be asked, the key's own hash stands in for a while, since a conversation's id is not worth a refused
request. Requests that come together share one call.

Invariants: the key goes to these two addresses and nowhere else. It is not kept: what is kept has the key's full SHA-256 as its name. No error that
is raised here holds a key or a token. Each call has a time limit and reads a bounded body.

The calls, as public projects document them: `GET {api_base}/v1/me` gives `userId` or `userEmail`; `POST {base_url}/auth/exchange_user_api_key` with
the body `{}` gives `accessToken`. Both take the key as a bearer.
"""

import base64
import binascii
from collections.abc import Mapping

import anyio
import msgspec

from pipeline.credential import Secret
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamTimeout, UpstreamUnusable
from pipeline.identity import Clock
from pipeline.upstream.http import USER_AGENT, Client, content_coding, opened, read_bounded
from pipeline.upstream.redaction import redacted
from pipeline.upstream.single_flight import Fresh, Held, SingleFlightCache, fingerprint
from pipeline.wire.composer_errors import error_from_http

EXCHANGE_PATH = "/auth/exchange_user_api_key"
IDENTITY_PATH = "/v1/me"

ACCOUNT_COUNT = 1024
"""How many accounts are remembered."""

IDENTITY_SECONDS = 3600.0
STAND_IN_SECONDS = 60.0
EXPIRY_MARGIN_SECONDS = 60.0
OPAQUE_TOKEN_SECONDS = 300.0
CALL_SECONDS = 10.0
MAX_BODY_BYTES = 65_536
MAX_KEY_CHARS = 4096


class _Exchanged(msgspec.Struct):
    token: str = msgspec.field(name="accessToken")


class _Claims(msgspec.Struct):
    exp: float


class _Me(msgspec.Struct):
    user_id: str | int | None = msgspec.field(name="userId", default=None)
    user_email: str | None = msgspec.field(name="userEmail", default=None)


class _Reply(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes


class ComposerAccounts:
    """The accounts of all keys that pass through one upstream. `clock` gives seconds since the epoch."""

    def __init__(self, client: Client, base_url: str, api_base: str, clock: Clock) -> None:
        self._client = client
        self._exchange_url = base_url.rstrip("/") + EXCHANGE_PATH
        self._identity_url = api_base.rstrip("/") + IDENTITY_PATH
        self._clock = clock
        self._tokens: SingleFlightCache[Secret] = SingleFlightCache(clock, ACCOUNT_COUNT)
        self._identities: SingleFlightCache[str] = SingleFlightCache(clock, ACCOUNT_COUNT)

    async def token(self, key: str) -> Held[Secret]:
        """The access token of a key.

        Raises:
            AuthenticationError: the key is not accepted.
            PenstockError: the exchange failed in another way.
        """
        check_key(key)
        return await self._tokens.get(fingerprint(key), lambda: self._exchange(key))

    def drop_token(self, key: str, token: Secret) -> None:
        """Forget a token that the upstream did not accept."""
        self._tokens.drop(fingerprint(key), token)

    async def identity(self, key: str) -> str:
        """An id of the key's account; raises AuthenticationError when the key is not accepted."""
        check_key(key)
        return (await self._identities.get(fingerprint(key), lambda: self._ask_identity(key))).value

    async def _exchange(self, key: str) -> Fresh[Secret]:
        reply = await self._call("POST", self._exchange_url, key, b"{}")
        if 300 <= reply.status < 400 or reply.status in (404, 405):
            raise UpstreamUnusable("The upstream has no token exchange at the configured `base_url`.", code="upstream_endpoint_gone")
        if reply.status != 200:
            raise redacted(error_from_http(reply.status, reply.headers, reply.body, secrets=[key]), [key])
        try:
            token = msgspec.json.decode(reply.body, type=_Exchanged).token
        except (msgspec.MsgspecError, ValueError, RecursionError):
            token = ""
        if not _fits_a_header(token):
            raise ProtocolViolation("The upstream's token exchange gave no access token.")
        return Fresh(Secret(token), self._expires_at(token))

    async def _ask_identity(self, key: str) -> Fresh[str]:
        stand_in = Fresh(fingerprint(key), self._clock() + STAND_IN_SECONDS)
        try:
            reply = await self._call("GET", self._identity_url, key)
        except PenstockError:
            return stand_in
        if reply.status == 401:
            raise redacted(error_from_http(reply.status, reply.headers, reply.body, secrets=[key]), [key])
        if reply.status != 200:
            return stand_in
        try:
            me = msgspec.json.decode(reply.body, type=_Me)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return stand_in
        named = me.user_email if me.user_id in (None, "") else str(me.user_id)
        return Fresh(named or fingerprint(key), self._clock() + IDENTITY_SECONDS)

    async def _call(self, method: str, url: str, key: str, content: bytes | None = None) -> _Reply:
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            with anyio.fail_after(CALL_SECONDS):
                async with opened(self._client, method, url, headers, content) as response:
                    # what is compressed all the same is not inflated, and so says nothing
                    body = b"" if content_coding(response) else await read_bounded(response, MAX_BODY_BYTES)
                    return _Reply(response.status_code, response.headers, body)
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream did not tell about the account within {CALL_SECONDS:g} seconds.") from None

    def _expires_at(self, token: str) -> float:
        """The time until which a token may be used: its own word, if it is a JSON Web Token that has one."""
        part = token.split(".")[1] if token.count(".") == 2 else ""
        try:
            claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=_Claims)
        except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
            return self._clock() + OPAQUE_TOKEN_SECONDS
        return claims.exp - EXPIRY_MARGIN_SECONDS


def check_key(key: str) -> None:
    """Raise AuthenticationError for a text that no upstream can have given out as a key."""
    if len(key) > MAX_KEY_CHARS or not _fits_a_header(key):
        raise AuthenticationError("This is not a key of the upstream.")


def _fits_a_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
