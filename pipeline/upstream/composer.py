"""Composer over the network: the backend that the operator configured, asked with the caller's own key.

Theory of operation: `write` makes Composer's message of a request. `stream` exchanges the key for an access token, posts the message to the endpoint
and gives the events of the answer, one list for each read. A read that completes no event gives no list; an empty piece, which is how the transport
tells silence, gives an empty one. The end envelope ends the reading; the connection is used again if the body ends at once behind it, and is closed
otherwise. What is missing at the end of the body is a fault.

A token that was kept from an earlier request may have been withdrawn since. When the upstream refuses it, the token is dropped; and if the upstream
said nothing before that, the request is sent once more, with a new one. A refusal is the caller's to mend where the key is theirs. Otherwise it is a
permanent fault of the upstream, and nothing of what the upstream says about it is shown.

A request that is longer than its model's window is refused or trimmed before it is sent (`pipeline.prompt.window`), as the operator chose for its
route, or else for this upstream. Custom tools are offered as functions.

Images are sent as bytes: those that came as `data:` URLs, and those that `pipeline.upstream.images` fetched before. A web address that is still there
is the client's error. Nothing is fetched for a request that can be refused without it: one for an upstream that is not configured, or one that is far
too long. The key is not tried before: it is exchanged when the stream is opened.

A conversation that the request names keeps its id: the UUID is derived from the account and that name. Only then is the account asked for.

Invariants: the key goes to the token exchange and the public API, the access token and the operator's own headers go to the endpoint, nothing goes
anywhere else, and redirects are not followed. Nothing raises while streaming: faults are `Failed`, without the key, the token or what the operator's
headers hold in their words. Left alone: how long an answer may take (`pipeline.clocks`), and retries of anything else.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial

import anyio
import msgspec

from pipeline.clocks import Quiet
from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import MODELS, Model, resolve_composer_model
from pipeline.parameters import Family, ignored_by
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.transcript import check_parts
from pipeline.prompt.unread import unread_by_prompts
from pipeline.prompt.window import MAX_UTF8_BYTES, Overflow
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.composer_account import ComposerAccounts
from pipeline.upstream.composer_write import FIXED_HEADERS, connect_headers, derived_uuid, write_message
from pipeline.upstream.http import USER_AGENT, Client, Response, content_coding, opened, pieces, read_bounded, take_end
from pipeline.upstream.images import MAX_BYTES, Fetcher, fetch_images, images_left, most_fetched_bytes, read_images
from pipeline.upstream.redaction import header_secrets, redacted
from pipeline.upstream.request_window import check_length, fitted_prompt, window_of
from pipeline.upstream.single_flight import Held
from pipeline.usage.estimate import Counted, Method, tokens_in
from pipeline.wire.composer import ComposerDecoder
from pipeline.wire.composer_errors import error_from_http
from pipeline.wire.outcomes import REFUSED_CREDENTIALS

API_BASE = "https://api.cursor.com"
MAX_ERROR_BYTES = 65_536
ERROR_BODY_SECONDS = 5.0
# what must be set -> the variable that sets it
REQUIRED = {"base_url": "CURSOR_BACKEND_BASE_URL", "endpoint": "CURSOR_CHAT_ENDPOINT"}


class ComposerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one upstream is configured with.

    `endpoint` is a path under `base_url` or an absolute URL; `headers` are sent to the endpoint, except those that make the protocol;
    `context_window`, in tokens, is that of every model, None that each has its own, where it is known; `context_overflow` says what becomes of a
    request that is longer, None that the upstream judges it, and `usage_method` how its tokens are estimated; `max_image_bytes` is for one image.
    """

    base_url: str = ""
    endpoint: str = ""
    api_base: str = API_BASE
    client_version: str = ""
    headers: Mapping[str, str] = {}
    credential: Credential = Credential()
    context_window: int | None = None
    context_overflow: Overflow | None = None
    usage_method: Method = "calibrated"
    max_image_bytes: int = MAX_BYTES

    @property
    def url(self) -> str:
        """Where requests are posted to."""
        if self.endpoint.lower().startswith(("http://", "https://")):
            return self.endpoint
        return f"{self.base_url.rstrip('/')}/{self.endpoint.lstrip('/')}"

    def __repr__(self) -> str:
        """Without the headers, which may be credentials."""
        return f"ComposerConfig(base_url={self.base_url!r}, endpoint={self.endpoint!r}, headers={sorted(self.headers)!r})"


class ComposerUpstream:
    """See the module. It exists without its settings too, and then refuses each request. Raises ValueError for a header that cannot be sent."""

    def __init__(
        self, name: str, config: ComposerConfig, client: Client, *, identity: Identity | None = None, fetcher: Fetcher | None = None
    ) -> None:
        """`client` is shared and stays open; `identity` makes ids and keeps time; without a `fetcher`, images of the web are refused."""
        for header, value in config.headers.items():
            if not (header + value).isascii() or not (header + value).isprintable():
                raise ValueError(f"upstreams.{name}.headers: the header {header!r} holds characters that no header may have")
        self.name = name
        self.writes_markers = True
        self.keeps_promises = False
        self._config = config
        self._client = client
        self._fetcher = fetcher
        self._identity = identity or Identity()
        self._header_secrets = header_secrets(config.headers)
        self._accounts = ComposerAccounts(client, config.base_url, config.api_base, self._identity.created)

    def models(self) -> Sequence[Model]:
        """All models that Composer is known to list; the backend itself is not asked."""
        return [self._with_window(model) for model in MODELS.values()]

    def find_model(self, model_id: str) -> Model | None:
        """A listed model, under any of its spellings."""
        resolved = resolve_composer_model(model_id)
        return None if resolved is None else self._with_window(MODELS[resolved])

    async def prepared(self, request: Request) -> Request:
        """The request with the images of the web in it. Raises RequestError for one that cannot be had."""
        if self._fetcher is None or not most_fetched_bytes(request):
            return request
        self._check_configured()
        check_parts(request)
        config = self._config
        check_length(request, self._window(request.model), config.context_overflow, method=config.usage_method)
        return await fetch_images(request, self._fetcher, max_bytes=self._config.max_image_bytes)

    def write(self, request: Request) -> Outgoing:
        """The request as Composer takes it.

        Raises:
            UpstreamUnusable: the upstream is not configured; the message names what is missing.
            RequestError: the conversation does not fit the model's window, or a part of it is nothing that is sent.
        """
        self._check_configured()
        config = self._config
        request = in_function_form(request)
        fitted = fitted_prompt(request, self._window(request.model), config.context_overflow, method=config.usage_method)
        # a fault is told of at its place in the whole conversation, and what is sent are the images that are left
        images = images_left(read_images(request, max_bytes=config.max_image_bytes), request, fitted.request)
        rewrite = partial(write_message, fitted.request, fitted.prompt, self._identity, images=images)
        return Outgoing(
            fitted.request,
            rewrite(),
            fitted.prompt,
            (*ignored_by(Family.COMPOSER, request), *unread_by_prompts(request)),
            fitted.notices,
            None if fitted.prompt_tokens is None else Counted(fitted.prompt_tokens, config.usage_method),
            tuple(images),
            rewrite,
        )

    def _check_configured(self) -> None:
        for setting, variable in REQUIRED.items():
            if not getattr(self._config, setting):
                raise UpstreamUnusable(f"The upstream {self.name!r} is not configured: set upstreams.{self.name}.{setting} or {variable}.")

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer; `key` is the caller's own, which is used where the upstream has none of its own."""
        try:
            key = self._config.credential.key(key)
            body = await self._body(outgoing, key)
        except PenstockError as error:
            yield [Failed(self._told(error, [key or ""]))]
            return
        may_repeat = True
        while True:
            try:
                token = None if key is None else await self._accounts.token(key)
            except PenstockError as error:
                yield [Failed(self._told(error, [key or ""]))]
                return
            secrets = [*self._header_secrets, *(secret for secret in (key, token.value.reveal() if token else None) if secret)]
            said_nothing, repeats = True, False
            async with aclosing(self._call(outgoing, body, token, secrets)) as batches:
                async for batch in batches:
                    if key is not None and token is not None and _is_refused(batch):
                        self._accounts.drop_token(key, token.value)
                        repeats = said_nothing and len(batch) == 1 and token.is_kept and may_repeat
                        if repeats:
                            break
                    said_nothing = said_nothing and not batch
                    yield [*batch[:-1], Failed(self._told(last.error, secrets))] if batch and isinstance(last := batch[-1], Failed) else batch
            if not repeats:
                return
            may_repeat = False

    async def _body(self, outgoing: Outgoing, key: str | None) -> bytes:
        """The message, under the conversation's own id where the request names one; raises AuthenticationError."""
        conversation = outgoing.request.conversation
        if conversation is None:
            return outgoing.body
        account = "" if key is None else await self._accounts.identity(key)
        conversation_id = derived_uuid(account, conversation)
        return write_message(outgoing.request, outgoing.prompt, self._identity, conversation_id=conversation_id, images=outgoing.images)

    async def _call(
        self, outgoing: Outgoing, body: bytes, token: Held[Secret] | None, secrets: Sequence[str]
    ) -> AsyncGenerator[list[UpstreamEvent], None]:
        """One call of the endpoint: its events, `Finish` or `Failed` last."""
        decoder = ComposerDecoder(over_half_window=self._over_half_window(outgoing), secrets=secrets)
        try:
            async with opened(self._client, "POST", self._config.url, self._headers(token), body) as response:
                refusal = await _refusal(response, secrets)
                if refusal is not None:
                    yield [Failed(refusal)]
                    return
                quiet = Quiet()
                async with aclosing(pieces(response)) as received:
                    async for piece in received:
                        events = decoder.feed(piece)
                        try:
                            if quiet.passes(events) or not piece:
                                yield events
                        finally:
                            # behind the last list, so that nobody waits for it; and also when the reader leaves with that list
                            if decoder.finished:
                                await take_end(received)  # noqa: ASYNC102 - the shield and the time are in there
                        if decoder.finished:
                            return
        except UpstreamError as fault:
            # the connection knows better than the codec why the end is missing
            yield [*(event for event in decoder.end() if not isinstance(event, Failed)), Failed(fault)]
            return
        yield decoder.end()

    def _headers(self, token: Held[Secret] | None) -> dict[str, str]:
        config = self._config
        # all names in lower case, so that none is there twice
        headers = {"user-agent": USER_AGENT}
        if config.client_version:
            headers["x-cursor-client-version"] = config.client_version
        headers |= {name.lower(): value for name, value in config.headers.items() if name.lower() not in FIXED_HEADERS}
        if token is not None:
            headers["authorization"] = f"Bearer {token.value.reveal()}"
        return {**headers, **connect_headers(self._identity)}

    def _told(self, error: PenstockError, secrets: Sequence[str]) -> PenstockError:
        """The error as the client is told it: without the secrets, and nobody is asked for a key that is not theirs."""
        if isinstance(error, AuthenticationError) and self._config.credential.kind is not Kind.CALLER:
            return UpstreamUnusable(REFUSED_CREDENTIALS.message, code=REFUSED_CREDENTIALS.code)
        return redacted(error, secrets)

    def _over_half_window(self, outgoing: Outgoing) -> bool:
        window, _ = window_of(outgoing.request, self._window(outgoing.request.model), None)
        if window is None or len(outgoing.prompt) * MAX_UTF8_BYTES * 2 <= window:
            return False
        tokens = tokens_in(outgoing.prompt, self._config.usage_method) if outgoing.counted is None else outgoing.counted.tokens
        return tokens * 2 > window

    def _window(self, model_id: str) -> int | None:
        model = self.find_model(model_id)
        return self._config.context_window if model is None else model.context_window

    def _with_window(self, model: Model) -> Model:
        window = self._config.context_window
        return model if window is None else msgspec.structs.replace(model, context_window=window)


async def _refusal(response: Response, secrets: Sequence[str]) -> PenstockError | None:
    """Why there is no stream to read; None when there is one."""
    status = response.status_code
    if 300 <= status < 400:
        return UpstreamUnusable("The configured chat endpoint has moved; redirects are not followed.", code="upstream_endpoint_gone")
    coding = content_coding(response)
    if status == 200:
        return None if coding is None else ProtocolViolation("The upstream compressed its whole answer, which was asked for uncompressed.")
    body = b""
    if coding is None:
        # a status without its words is still an answer
        with suppress(UpstreamError), anyio.move_on_after(ERROR_BODY_SECONDS):
            body = await read_bounded(response, MAX_ERROR_BYTES)
    return error_from_http(status, response.headers, body, secrets=secrets)


def _is_refused(batch: list[UpstreamEvent]) -> bool:
    """Whether a list ends with the word that the token is not accepted."""
    return bool(batch) and isinstance(last := batch[-1], Failed) and isinstance(last.error, AuthenticationError)
