"""An OpenAI-compatible upstream by Chat Completions: any base URL, with a key or without one, under a profile.

Theory of operation: a Request is written by `pipeline.prompt.chat_body` and posted to `{base_url}/chat/completions`; one piece of the answer's body,
which is one read, goes through the codec of `pipeline.wire` and is one list. A read that gives no event (a comment, half a chunk) gives no list; an
empty piece is the transport's word for silence and gives an empty one. An HTTP error, a redirect and a broken connection are `Failed`.

What the body leaves out of the request (`left_out`) is named by the Notices of `Outgoing`.

Invariants: the key goes to the configured host only, never into an error, a log or a repr; redirects are not followed. Closing the generator closes
the connection, in every state; one whose answer is complete is used again if the body's frame ends at once. Left alone: retries and clocks, which are
the flow's; and which models there are, since the upstream itself says so.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import anyio
import msgspec

from pipeline.credential import Credential, Kind
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import Model
from pipeline.parameters import Family, ignored_by
from pipeline.prompt.chat_body import ChatProfile, left_out, not_passed, prompt_text, write_chat_body
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.http import Client, Response, content_coding, opened, pieces, read_bounded, take_end
from pipeline.upstream.redaction import redacted
from pipeline.wire.openai_chat import REQUEST_HEADERS, OpenAIChatDecoder, State
from pipeline.wire.openai_errors import OpenAIErrors

ENDPOINT = "chat/completions"
MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
"""How long the body of an HTTP error may take; what has come by then is not waited for any longer."""


class OpenAIChatConfig(msgspec.Struct, frozen=True):
    """The settings of one upstream. `base_url` is as the vendor gives it: with or without a `/` at its end; `/v1` is added where it has no path.

    `context_window` is told of every model, in tokens; None where it is not known.
    """

    base_url: str
    credential: Credential = Credential()
    profile: ChatProfile = ChatProfile()
    context_window: int | None = None


def chat_url(base_url: str) -> str:
    """The address of the chat endpoint; a query (some vendors keep a version there) stays at the end.

    >>> chat_url("https://a.example"), chat_url("https://a.example/api/v1/"), chat_url("http://b.example:8000/v1?v=2")
    ('https://a.example/v1/chat/completions', 'https://a.example/api/v1/chat/completions', 'http://b.example:8000/v1/chat/completions?v=2')
    """
    scheme, host, path, query, _ = urlsplit(base_url.strip())
    path = path.rstrip("/").removesuffix("/" + ENDPOINT) or "/v1"
    return urlunsplit((scheme, host, f"{path}/{ENDPOINT}", query, ""))


class OpenAIChatUpstream:
    """One configured upstream; `client` is shared and stays open."""

    def __init__(self, name: str, config: OpenAIChatConfig, client: Client, *, new_id: Callable[[], str] | None = None) -> None:
        """`new_id` makes ids for tool calls that come without one."""
        self.name = name
        self.writes_markers = False
        self._config = config
        self._client = client
        self._url = chat_url(config.base_url)
        self._new_id = new_id or partial(Identity().new, "call_")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def models(self) -> Sequence[Model]:
        """None that are known without asking the upstream."""
        return ()

    def find_model(self, model_id: str) -> Model | None:
        """Every id is one that the upstream may serve."""
        return Model(model_id, model_id, self.name, context_window=self._config.context_window)

    async def prepared(self, request: Request) -> Request:
        """The request as it is: the upstream fetches images itself."""
        return request

    def write(self, request: Request) -> Outgoing:
        """The request as a Chat Completions body. Raises UnsupportedParameter for images where the profile has none."""
        profile = self._config.profile
        ignored = ignored_by(Family.OPENAI_CHAT, request, not_passed(request, profile))
        return Outgoing(request, write_chat_body(request, profile), prompt_text(request), ignored, left_out(request, profile))

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer; see `Upstream.stream`."""
        secrets: list[str] = []
        try:
            headers = self._headers(key, secrets)
            async with opened(self._client, "POST", self._url, headers, outgoing.body) as response:
                refusal = await self._refusal(response, secrets)
                if refusal is not None:
                    raise refusal
                async with aclosing(self._read(response, outgoing, secrets)) as batches:
                    async for batch in batches:
                        told = [_without_secrets(event, secrets) for event in batch] if batch and isinstance(batch[-1], Failed) else batch
                        yield told
        except PenstockError as error:
            yield [Failed(redacted(error, secrets))]

    async def _read(self, response: Response, outgoing: Outgoing, secrets: Sequence[str]) -> AsyncGenerator[list[UpstreamEvent], None]:
        decoder = OpenAIChatDecoder(
            new_id=self._new_id,
            tools=[tool.name for tool in outgoing.request.tools],
            reasoning_field=self._config.profile.reasoning_field,
            errors=self._errors(secrets),
        )
        fault: PenstockError | None = None
        try:
            async with aclosing(pieces(response)) as received:
                async for piece in received:
                    events = decoder.feed(piece)
                    try:
                        if events or not piece:
                            yield events
                    finally:
                        # behind the last list, so that nobody waits for it; and also when the reader leaves with that list
                        if decoder.state is State.OVER:
                            await take_end(received)  # noqa: ASYNC102 - the shield and the time are in there
                    if decoder.state is State.OVER:
                        return
        except UpstreamError as error:
            fault = error
        events = decoder.end(fault)
        if events:
            yield events

    async def _refusal(self, response: Response, secrets: Sequence[str]) -> PenstockError | None:
        """Why there is no answer to read; its body is waited for only so long."""
        coding = content_coding(response)
        if response.status_code == 200:
            return None if coding is None else ProtocolViolation("The upstream compressed its answer although it was asked not to.")
        body = b""
        with anyio.move_on_after(ERROR_SECONDS):
            try:
                body = await read_bounded(response, MAX_ERROR_BYTES) if coding is None else b""
            except UpstreamError:
                body = b""  # the status says enough
        return self._errors(secrets).from_http(response.status_code, response.headers, body)

    def _errors(self, secrets: Sequence[str]) -> OpenAIErrors:
        return OpenAIErrors(callers_key=self._config.credential.kind is Kind.CALLER, secrets=secrets)

    def _headers(self, key: str | None, secrets: list[str]) -> dict[str, str]:
        headers = dict(REQUEST_HEADERS)
        secret = self._config.credential.key(key)
        if secret is None:
            return headers
        if not (secret.isascii() and secret.isprintable()):
            if self._config.credential.kind is Kind.CALLER:
                raise AuthenticationError("The key holds characters that no header may have.")
            raise UpstreamUnusable(
                "The gateway's key for this upstream holds characters that no header may have.", code="upstream_credentials_refused"
            )
        secrets.append(secret)
        headers["Authorization"] = f"Bearer {secret}"
        return headers


def _without_secrets(event: UpstreamEvent, secrets: Sequence[str]) -> UpstreamEvent:
    return Failed(redacted(event.error, secrets)) if isinstance(event, Failed) else event
