"""A website's chat endpoint over the network: the address that the operator configured, which answers with a UI message stream.

Theory of operation: `write` makes the messages of a chat page of a request (`pipeline.prompt.website_messages`), within the window if one is known.
Tools are described in them, under a trigger of this request's own, behind which alone their calls are read. `stream` posts them to the address as it
is; each read of the answer goes through the codec and is one list. A read of data that say nothing yet is a list with `Progress`, one of less gives
no list, and an empty piece is the transport's word for silence and gives an empty one. The answer is over with its `finish`; what stands behind that
is taken only so that the connection can be used again.

An endpoint that answers with a page, asks for a proof that it speaks to a browser, or forbids the request has refused the gateway, whatever its
status is: `pipeline.wire.website_errors` says so, and nothing of the page is shown. Nothing is done about it here: no script is run, no cookie is
kept, and the client's name is our own, unless the operator configured a header.

Invariants: the key and the operator's own headers go to the configured address only, never into an error, a log or a repr; redirects are not
followed. Nothing raises while streaming. Closing the generator closes the connection. Left alone: retries and clocks, which are the flow's; which
models there are, since nothing of the kind can be asked; and the conversation's name, since the website is sent all of it each time.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial

import anyio
import msgspec

from pipeline.credential import Credential, Kind
from pipeline.errors import PenstockError, ProtocolViolation, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import MODELS, Model, resolve_composer_model, with_effort
from pipeline.parameters import Family, ignored_by
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.unread import unread_by_prompts
from pipeline.prompt.website_messages import SiteWriter, check_parts, encode_body, new_trigger, show_messages, teaches_calls
from pipeline.prompt.window import Overflow
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.http import Client, Response, content_coding, opened, read_bounded
from pipeline.upstream.posted import answer_events, can_be_sent, request_headers
from pipeline.upstream.redaction import header_secrets, redacted
from pipeline.upstream.request_window import fitted
from pipeline.usage.estimate import Counted, Method
from pipeline.wire.ui_message_stream import UiMessageDecoder
from pipeline.wire.website_errors import WebsiteErrors, is_page

MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
"""How long the body of an HTTP error may take; what has come by then is not waited for any longer."""

MAX_MODEL_CHARS = 200
"""A longer text is no model's id."""


class WebsiteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one upstream. `url` is posted to as it is; `headers` are further ones, whose values are secrets.

    `context_window`, in tokens, is that of every model, None where it is not known; `context_overflow` says what becomes of a request that is longer,
    None that the website judges it, and `usage_method` how its tokens are estimated.
    """

    url: str = ""
    credential: Credential = Credential()
    headers: Mapping[str, str] = {}
    context_window: int | None = None
    context_overflow: Overflow | None = None
    usage_method: Method = "calibrated"

    def __repr__(self) -> str:
        """Without the headers, which may be credentials."""
        return f"WebsiteConfig(url={self.url!r}, headers={sorted(self.headers)!r})"


class WebsiteUpstream:
    """See the module. It exists without its settings too, and then refuses each request. Raises ValueError for a header that cannot be sent."""

    def __init__(self, name: str, config: WebsiteConfig, client: Client, *, identity: Identity | None = None) -> None:
        """`client` is shared and stays open; `identity` makes ids and triggers."""
        for header, value in config.headers.items():
            if not can_be_sent(header + value):
                raise ValueError(f"upstreams.{name}.headers: the header {header!r} holds characters that no header may have")
        self.name = name
        self.writes_markers = True
        self.keeps_promises = False
        self._config = config
        self._client = client
        self._identity = identity or Identity()

    def __repr__(self) -> str:
        return f"WebsiteUpstream({self.name!r})"

    def models(self) -> Sequence[Model]:
        """The models that Cursor's websites are known to list; the website itself is not asked."""
        return [self._as_served(model) for model in MODELS.values()]

    def find_model(self, model_id: str) -> Model | None:
        """A listed model under any of its spellings, and any other id as it is: a website's own ids need not be on the list."""
        resolved = resolve_composer_model(model_id)
        if resolved is not None:
            return self._as_served(MODELS[resolved])
        return Model(model_id, model_id, self.name, context_window=self._config.context_window) if len(model_id) <= MAX_MODEL_CHARS else None

    async def prepared(self, request: Request) -> Request:
        """The request as it is: a website is sent text only, so that nothing has to be fetched."""
        return request

    def write(self, request: Request) -> Outgoing:
        """The request as a chat page would send it.

        Raises:
            UpstreamUnusable: the upstream is not configured; the message names what is missing.
            UnsupportedParameter: a part of it is no text.
            ContextLengthExceeded: it does not fit the model's window.
        """
        config = self._config
        if not config.url:
            raise UpstreamUnusable(f"The upstream {self.name!r} is not configured: set upstreams.{self.name}.url.")
        check_parts(request)
        written = in_function_form(request)
        trigger = new_trigger(self._identity) if teaches_calls(written) else ""
        writer = SiteWriter(trigger)
        within = fitted(written, config.context_window, config.context_overflow, write=writer.text, show=show_messages, method=config.usage_method)
        model = with_effort(resolve_composer_model(request.model) or request.model, request.options.reasoning_effort)
        rewrite = partial(encode_body, writer.messages(within.request), model, self._identity)
        return Outgoing(
            within.request,
            rewrite(),
            within.prompt,
            (*ignored_by(Family.WEBSITE, request), *unread_by_prompts(request)),
            within.notices,
            None if within.prompt_tokens is None else Counted(within.prompt_tokens, config.usage_method),
            rewrite=rewrite,
            trigger=trigger,
            markers=False,
        )

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer; `key` is the caller's own, which is used where the upstream has none of its own."""
        secrets = header_secrets(self._config.headers)
        try:
            headers = request_headers(self._config.headers, self._config.credential, key, secrets)
            errors = WebsiteErrors(callers_key=self._config.credential.kind is Kind.CALLER, secrets=secrets)
            async with opened(self._client, "POST", self._config.url, headers, outgoing.body) as response:
                refusal = await _refusal(response, errors)
                if refusal is not None:
                    raise refusal
                async with aclosing(answer_events(response, UiMessageDecoder(errors=errors))) as batches:
                    async for batch in batches:
                        last = batch[-1] if batch else None
                        yield [*batch[:-1], Failed(redacted(last.error, secrets))] if isinstance(last, Failed) else batch
        except PenstockError as error:
            yield [Failed(redacted(error, secrets))]

    def _as_served(self, model: Model) -> Model:
        """What is published of a model's window and price is not said of a website: it has the configured window, and no known price."""
        return msgspec.structs.replace(model, context_window=self._config.context_window, price=None)


async def _refusal(response: Response, errors: WebsiteErrors) -> PenstockError | None:
    """Why there is no stream to read; None when there is one. A body is waited for only so long, and a page's not at all."""
    status, coding = response.status_code, content_coding(response)
    has_page = is_page(response.headers)
    if status == 200 and not has_page:
        return None if coding is None else ProtocolViolation("The upstream compressed its answer although it was asked not to.")
    body = b""
    if coding is None and not has_page:
        # a status without its words is still an answer
        with suppress(UpstreamError), anyio.move_on_after(ERROR_SECONDS):
            body = await read_bounded(response, MAX_ERROR_BYTES)
    return errors.from_http(status, response.headers, body)
