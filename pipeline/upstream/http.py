"""The one httpx client of the project, and its faults in our words.

Theory of operation: `open_client` makes the client that every upstream of a process shares, over our own transport. It speaks HTTP/1.1, since httpx
does not tell an HTTP/2 upstream that a stream was cancelled, and the upstream would go on generating. Redirects are not followed: a key must not
travel to another host. No cookie is kept: one caller's would travel with the next one's request. Proxies and certificates come from the environment,
as the transport reads it.

`opened` sends one request and closes its answer, whatever happens; `pieces` reads the body as it comes, one piece for each read. An empty piece is
the transport's word for silence; httpx's own `aiter_raw` would drop it. Nothing is inflated: `content_coding` lets a caller refuse what would have
to be.

The transport times only the connection and the writing; how long an answer may be silent or last is for `pipeline.clocks`. `told_faults` turns
what httpx raises into the errors of `pipeline.errors`, without the library's own text. A connection that is refused is 503 and not 502: nothing was
sent, the server may only be starting, and a client that asks again, as clients do on a 503, loses nothing. The same is said where all targets of a
route refuse.
"""

import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx

import pipeline
from pipeline.clocks import CLOSE_SECONDS, SILENCE_SECONDS, Timeouts
from pipeline.errors import StreamCut, UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.transport import ProxyRefusedError, Transport
from pipeline.wire.outcomes import PROXY_REFUSED

USER_AGENT = f"penstock/{pipeline.__version__}"

END_SECONDS = 0.05
"""How long the end of a body may be waited for when nothing else of it is wanted."""

# The names under which the other modules know httpx's types; they do not import it themselves.
Client = httpx.AsyncClient
Request = httpx.Request
Response = httpx.Response

# The first row that fits: subclasses stand before their bases.
_FAULTS = (
    (httpx.ConnectTimeout, UpstreamTimeout, "The upstream did not accept the connection in time."),
    (httpx.TimeoutException, UpstreamTimeout, "The upstream did not take the request in time."),
    (httpx.ConnectError, UpstreamUnavailable, "The upstream cannot be reached."),
    (httpx.ProxyError, UpstreamUnavailable, "The proxy before the upstream made no connection to it."),
    (httpx.UnsupportedProtocol, UpstreamUnusable, "The upstream's or the proxy's address is not one that can be spoken to."),
    (httpx.LocalProtocolError, UpstreamUnusable, "The request to the upstream holds what HTTP cannot carry."),
    (httpx.TransportError, StreamCut, "The upstream closed the connection before its answer was complete."),
    (httpx.DecodingError, StreamCut, "The upstream's answer has a content encoding that cannot be decoded."),
    (httpx.InvalidURL, UpstreamUnusable, "The upstream's address is not a URL."),
)


def open_client(
    timeouts: Timeouts | None = None, *, silence_seconds: float = SILENCE_SECONDS, transport: httpx.AsyncBaseTransport | None = None
) -> Client:
    """A client, not yet connected to anything; whoever opens it closes it.

    Args:
        timeouts: `connect_seconds` and `write_stall_seconds` are carried out here.
        silence_seconds: how long a read waits for bytes before it gives an empty piece.
        transport: one that takes the place of ours, for tests; its limits and clocks are its own.
    """
    timeouts = timeouts or Timeouts()
    connect, write = timeouts.connect_seconds, timeouts.write_stall_seconds
    return httpx.AsyncClient(
        transport=transport or Transport(connect_seconds=connect, write_seconds=write, silence_seconds=silence_seconds),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=None,
        trust_env=False,
    )


@contextmanager
def told_faults() -> Generator[None, None, None]:
    """Raise httpx's exceptions as `UpstreamError`s; all others pass.

    >>> with told_faults():
    ...     raise httpx.ReadError("[Errno 104] secret.example")
    Traceback (most recent call last):
    pipeline.errors.StreamCut: The upstream closed the connection before its answer was complete.
    """
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        if _is_certificate_fault(fault):
            raise UpstreamUnusable("The upstream's certificate is not valid.", code="upstream_certificate_invalid") from None
        if isinstance(fault, ProxyRefusedError):
            raise UpstreamUnusable(PROXY_REFUSED.message, code=PROXY_REFUSED.code) from None
        for kind, error, message in _FAULTS:
            if isinstance(fault, kind):
                raise error(message) from None
        raise


def _is_certificate_fault(fault: BaseException) -> bool:
    """Whether TLS failed because the certificate was not accepted: no retry mends that."""
    cause: BaseException | None = fault
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


@asynccontextmanager
async def opened(client: Client, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> AsyncGenerator[Response, None]:
    """The answer to one request, as soon as its head is there; raises UpstreamError. Leaving the block closes it."""
    with told_faults():
        request = client.build_request(method, url, headers=headers, content=content)
        response = await client.send(request, stream=True, follow_redirects=False)
    # an answer may take hours, and the request's body has been sent
    response.request = Request(method, request.url, headers=request.headers)
    del request, content
    try:
        yield response
    finally:
        # a connection that cannot even be closed properly is gone
        with anyio.move_on_after(CLOSE_SECONDS, shield=True), suppress(httpx.HTTPError):
            await response.aclose()


def content_coding(response: Response) -> str | None:
    """The content coding of a body that would have to be inflated, None for a plain one."""
    coding: str = response.headers.get("content-encoding", "").strip().lower()
    return None if coding in ("", "identity") else coding


async def pieces(response: Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes, one piece for each read, an empty one for silence; raises UpstreamError."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    iterator = aiter(response.stream)
    try:
        with told_faults():
            async for piece in iterator:
                yield piece
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


async def take_end(received: AsyncGenerator[bytes, None]) -> None:
    """One more read of a body whose answer is complete, for the end of its frame: only then can the connection be used again.

    Never raises, and takes no longer than `END_SECONDS`; an upstream that goes on is closed as it would have been.
    """
    with anyio.move_on_after(END_SECONDS, shield=True), suppress(UpstreamError):
        await anext(received, None)


async def read_bounded(response: Response, max_bytes: int) -> bytes:
    """The body's first `max_bytes`; what comes after them is not read. Raises UpstreamError."""
    body = bytearray()
    async with aclosing(pieces(response)) as received:
        async for piece in received:
            body += piece
            if len(body) >= max_bytes:
                break
    return bytes(body[:max_bytes])
