"""A request that posts JSON and is answered with a stream of events: its headers, and the reading of its answer, for upstreams of any such dialect.

`request_headers` are those of one request, with the key in the one that brings it. `answer_events` feeds the answer's body to a codec, one list for
each read. A read of data that say nothing yet is a list with `Progress`; one of less gives no list, or an empty one where there was none for long; an
empty piece is the transport's word for silence and gives an empty one. Behind the list that ends the answer the end of the body's frame is taken, so
that the connection can be used again; an answer that has said why it ended is waited for only `END_WAIT_SECONDS` more.

Invariants: a key goes into one header and into `secrets`, and nowhere else. Closing the generator closes the body.
"""

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

import anyio

from pipeline.clocks import Quiet
from pipeline.credential import Credential, Kind
from pipeline.errors import AuthenticationError, PenstockError, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, Finish, Progress, UpstreamEvent
from pipeline.upstream.http import Response, pieces, take_end
from pipeline.upstream.post_headers import FIXED_HEADERS
from pipeline.wire.openai_chat import REQUEST_HEADERS

END_WAIT_SECONDS = 5.0
"""How long an answer is waited for that only lacks its end mark; this is looked at whenever something comes, be it silence."""

KEY_HEADERS = {"authorization": "Bearer {}", "api-key": "{}", "x-api-key": "{}"}
"""A header that a key may be sent in -> its value."""


class Decoder(Protocol):
    """A codec; the list that ends the answer has `Finish` or `Failed` last.

    `data_events` counts the events with data that it has taken.
    """

    data_events: int

    @property
    def awaits_end(self) -> bool:
        """Whether the answer is complete but for its end mark and what may stand before that."""
        ...

    @property
    def is_marked(self) -> bool:
        """Of an answer that is over: whether nothing but the end of the body's frame may follow."""
        ...

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read."""
        ...

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body, and what broke it off."""
        ...


def can_be_sent(text: str) -> bool:
    """Whether a text can stand in a header."""
    return text.isascii() and text.isprintable()


def request_headers(
    configured: Mapping[str, str],
    credential: Credential,
    key: str | None,
    secrets: list[str],
    *,
    key_header: str = "authorization",
    own: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers, all names in lower case; the key is added to `secrets`.

    Args:
        configured: the operator's, which count before the upstream's `own` and not before those that make the exchange.
        credential: the upstream's.
        key: the caller's own, which is used where the credential says so.
        secrets: what must not be told.
        key_header: one of `KEY_HEADERS`.
        own: those of the upstream's API.

    Raises:
        AuthenticationError, UpstreamUnusable: there is no key, or it cannot be sent.
    """
    headers = {**(own or {}), **{name.lower(): value for name, value in configured.items() if name.lower() not in FIXED_HEADERS}}
    headers |= {name.lower(): value for name, value in REQUEST_HEADERS.items()}
    secret = credential.key(key)
    if secret is None:
        return headers
    if not can_be_sent(secret):
        if credential.kind is Kind.CALLER:
            raise AuthenticationError("The key holds characters that no header may have.")
        raise UpstreamUnusable("The gateway's key for this upstream holds characters that no header may have.", code="upstream_credentials_refused")
    secrets.append(secret)
    return headers | {key_header: KEY_HEADERS[key_header].format(secret)}


async def answer_events(response: Response, decoder: Decoder) -> AsyncGenerator[list[UpstreamEvent], None]:
    """The answer's events, `Finish` or `Failed` last."""
    fault: PenstockError | None = None
    is_over, ends_at = False, math.inf
    quiet = Quiet()
    try:
        async with aclosing(pieces(response)) as received:
            async for piece in received:
                taken = decoder.data_events
                events: list[UpstreamEvent] = decoder.feed(piece)
                if not decoder.awaits_end:
                    ends_at = math.inf
                elif (now := anyio.current_time()) >= ends_at:
                    events = [*events, *decoder.end()]
                else:
                    ends_at = min(ends_at, now + END_WAIT_SECONDS)
                if not events and decoder.data_events > taken:
                    events = [Progress()]
                is_over = bool(events) and isinstance(events[-1], Finish | Failed)
                try:
                    if quiet.passes(events) or not piece:
                        yield events
                finally:
                    # behind the last list, so that nobody waits for it; and also when the reader leaves with that list
                    if is_over:
                        for _ in range(1 if decoder.is_marked else 2):  # the end mark and the end of the frame may be a read each
                            await take_end(received)  # noqa: ASYNC102 - the shield and the time are in there
                if is_over:
                    return
    except UpstreamError as error:
        fault = error
    if last := decoder.end(fault):
        yield last
