"""Fetch a small file from an address that a stranger chose, and let them reach nothing that they could not reach themselves.

Theory of operation: `GuardedFetcher.fetch` reads the URL by one grammar, resolves its host once, and judges every address that comes back; if one of
them is not public, none is used. The connection is made to an address that was judged, and the name is not looked up again: it is only what the
certificate must have and what Host says. So a name that changes its mind between the look and the leap gains nothing. Redirects are not followed,
proxies of the environment are not used, as they would look the name up themselves, and ports other than 80 and 443 are refused. The request carries
no key, no cookie, and nothing that the client sent. The answer is read to `max_bytes` and no further, whatever it announces, and is refused if it is
compressed.

Each fault is a `RequestError` that names the field. None tells more of the network than a stranger may know: a name that leads inside and one that
leads nowhere are refused in the same words, and no address and no part of the URL is in them.

The clock here is that of one connection. How long all may take is for the caller, who cancels; that closes the socket.
"""

import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

import anyio
import anyio.to_thread
import msgspec
from anyio.lowlevel import RunVar

from pipeline.clocks import CLOSE_SECONDS
from pipeline.errors import RequestError, UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.http import Client, Response, content_coding, open_client, read_bounded, told_faults
from pipeline.upstream.http1.proxy import DEFAULT_PORTS, Proxies
from pipeline.upstream.public_addresses import Address, is_public
from pipeline.upstream.transport import Transport, Verify

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, in the order in which they are to be tried; raises OSError for one that has none."""

CONNECT_SECONDS = 3.0
MAX_TRIED_ADDRESSES = 3
LOOKUPS_AT_ONCE = 16
MAX_URL_CHARS = 8_192
PORTS = frozenset(DEFAULT_PORTS.values())

# the whole URL or nothing: no credentials, no backslash, no escape in the host, no control character anywhere
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f.]*:[0-9a-f:.]*\]|[a-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][^\x00-\x20\x7f-\x9f\\#\ud800-\udfff]*)?(?:#[^\x00-\x20\x7f-\x9f\ud800-\udfff]*)?",
    re.ASCII | re.IGNORECASE,
)
# by its last label a host is an IPv4 address in one of its many spellings, of which resolvers read more than anybody expects
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

_limiter: RunVar[anyio.CapacityLimiter] = RunVar("penstock.lookups")

_HEADERS = {"Accept": "image/png, image/jpeg, image/gif, image/webp", "Connection": "close"}


class Target(msgspec.Struct, frozen=True):
    """Where a URL leads. `host` is a name or an address without brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host field says."""
        return f"{_bracketed(self.host)}:{self.port}" if self.port != DEFAULT_PORTS[self.scheme] else _bracketed(self.host)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that the system knows for a name, or the address that the host is.

    A name server that takes its time holds up other names of strangers at most: these lookups have threads of their own.
    """
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = ask(flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    except socket.gaierror:
        found = await anyio.to_thread.run_sync(ask, limiter=_lookups(), abandon_on_cancel=True)
    return [str(place[0]) for *_, place in found]


def _lookups() -> anyio.CapacityLimiter:
    """The limiter of the event loop that runs."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(LOOKUPS_AT_ONCE)
        _limiter.set(limiter)
        return limiter


def read_target(url: str, path: str, ports: Collection[int] = PORTS) -> Target:
    """Take a URL apart; raises RequestError for one that is not fetched.

    >>> read_target("https://a.example?size=1#top", "messages[0].content[0].image_url")
    Target(scheme='https', host='a.example', port=443, target='/?size=1')
    """
    found = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if found is None:
        raise _refusal(path, f"must be a URL of the form https://host/path, without credentials and within {MAX_URL_CHARS} characters")
    scheme, host = found["scheme"].lower(), found["host"].strip("[]").lower()
    port = int(found["port"]) if found["port"] else DEFAULT_PORTS[scheme]
    if port not in ports:
        raise _refusal(path, "names a port that images are not fetched from; use the usual one")
    kind = IPv6Address if ":" in host else IPv4Address if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) else None
    if kind is not None:
        try:
            kind(host)
        except ValueError:
            raise _refusal(path, "names a host by an address that is not in its usual form") from None
    target = found["target"] or "/"
    return Target(scheme, host, port, target if target.startswith("/") else f"/{target}")


class GuardedFetcher:
    """See the module.

    Its parameters are for tests, which fetch from loopback and resolve names of their own; no setting reaches them.
    """

    def __init__(
        self,
        client: Client,
        *,
        resolve: Resolver = resolve,
        may_reach: Callable[[Address], bool] = is_public,
        ports: Collection[int] = PORTS,
    ) -> None:
        """`client` goes direct, through no proxy; `open_fetcher` makes one."""
        self._client = client
        self._resolve = resolve
        self._may_reach = may_reach
        self._ports = ports

    async def fetch(self, url: str, path: str, max_bytes: int) -> bytes:
        """The file behind an http(s) URL, which stands at `path` in the body.

        Raises:
            RequestError: the URL is not one that is fetched, or nothing usable came back; `param` is the path.
        """
        target = read_target(url, path, self._ports)
        addresses = await self._judged(target, path)
        try:
            async with self._opened(target, addresses) as response:
                return await _read(response, path, max_bytes)
        except UpstreamError as fault:
            raise RequestError(f"{path} could not be fetched: {_words(fault)}.", code="failed_to_download_image", param=path) from None

    async def _judged(self, target: Target, path: str) -> list[str]:
        """The addresses that may be connected to; raises RequestError when there is none, or one that may not."""
        try:
            addresses = [ip_address(found) for found in await self._resolve(target.host, target.port)]
        except (OSError, ValueError):  # ValueError is what a name gives that cannot even be asked for
            addresses = []
        if not addresses or not all(map(self._may_reach, addresses)):
            raise _refusal(path, "could not be fetched: its host has no public address")
        return [str(address) for address in dict.fromkeys(addresses)][:MAX_TRIED_ADDRESSES]

    @asynccontextmanager
    async def _opened(self, target: Target, addresses: Sequence[str]) -> AsyncGenerator[Response, None]:
        """The answer of the first address that takes the connection; raises UpstreamError."""
        response = None
        for number, address in enumerate(addresses, 1):
            try:
                response = await self._send(target, address)
            except (UpstreamUnavailable, UpstreamTimeout):
                if number == len(addresses):
                    raise
            else:
                break
        assert response is not None
        try:
            yield response
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True), suppress(UpstreamError), told_faults():
                await response.aclose()

    async def _send(self, target: Target, address: str) -> Response:
        url = f"{target.scheme}://{_bracketed(address)}:{target.port}{target.target}"
        with told_faults():
            request = self._client.build_request(
                "GET", url, headers={**_HEADERS, "Host": target.authority}, extensions={"sni_hostname": target.host.rstrip(".")}
            )
            return await self._client.send(request, stream=True, follow_redirects=False)


@asynccontextmanager
async def open_fetcher(
    *,
    verify: Verify = True,
    resolve: Resolver = resolve,
    may_reach: Callable[[Address], bool] = is_public,
    ports: Collection[int] = PORTS,
) -> AsyncGenerator[GuardedFetcher, None]:
    """A fetcher with a client of its own, which is closed with the block; a server needs none of the parameters."""
    transport = Transport(connect_seconds=CONNECT_SECONDS, write_seconds=CONNECT_SECONDS, verify=verify, proxies=Proxies())
    async with open_client(transport=transport) as client:
        yield GuardedFetcher(client, resolve=resolve, may_reach=may_reach, ports=ports)


async def _read(response: Response, path: str, max_bytes: int) -> bytes:
    """The body of an answer that is one; raises RequestError and UpstreamError."""
    status = response.status_code
    if 300 <= status < 400:
        raise _refusal(path, "leads to a redirect, and those are not followed: send the address that it leads to", code="failed_to_download_image")
    if status != 200:
        raise _refusal(path, f"could not be fetched: its host answered with status {status}", code="failed_to_download_image")
    if content_coding(response) is not None:
        raise _refusal(path, "could not be fetched: its host compressed what was asked for plain", code="failed_to_download_image")
    data = await read_bounded(response, max_bytes + 1)
    if len(data) > max_bytes:
        raise _refusal(path, f"leads to a file of more than {max_bytes} bytes", code="image_file_too_large")
    return data


def _words(fault: UpstreamError) -> str:
    match fault:
        case UpstreamUnusable(code="upstream_certificate_invalid"):
            return "the certificate of its host is not valid"
        case UpstreamTimeout():
            return "its host did not take the connection in time"
        case UpstreamUnavailable():
            return "its host cannot be reached"
        case _:
            return "the answer of its host was cut or is not HTTP"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refusal(path: str, words: str, *, code: str = "invalid_image_url") -> RequestError:
    return RequestError(f"{path} {words}.", code=code, param=path)
