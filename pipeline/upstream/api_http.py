"""What the upstreams with a vendor's API over HTTP have in common, whichever API they speak: any address, with a key or without one.

Theory of operation: a subclass says which address it posts to, how a request becomes a body, and which codec reads the answer. A request is put into
the upstream's dialect and written, within the window if one is known and something is to become of what is longer; else the upstream is the judge.
The body is posted to the address; one piece of the answer's body, which is one read, goes through the codec and is one list. A read of
data that say nothing yet is a list with `Progress`; one of less (a comment, half an event) gives no list, or an empty one where there was none for
long; an empty piece is the transport's word for silence and gives an empty one. An answer that has said why it ended is waited for only
`END_WAIT_SECONDS` more, for its usage and its end mark, and is none the worse for lacking them. An HTTP error, a redirect and a broken connection are
`Failed`.

Invariants: the key and the operator's own headers go to the configured host only, never into an error, a log or a repr; redirects are not followed.
Closing the generator closes the connection, in every state; one whose answer is complete is used again if the body's frame ends at once. Left alone:
retries and clocks, which are the flow's; and which models there are, since the upstream itself says so.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import ClassVar, Generic, Protocol, TypeVar

import anyio
import msgspec

from pipeline.clocks import Quiet
from pipeline.credential import Credential, Kind
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamError, UpstreamUnusable
from pipeline.events import Failed, Finish, Progress, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import Model
from pipeline.prompt.chat_body import prompt_text
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.window import Fitted, Overflow
from pipeline.request import Message, Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.http import Client, Response, content_coding, opened, pieces, read_bounded, take_end
from pipeline.upstream.post_headers import FIXED_HEADERS
from pipeline.upstream.redaction import header_secrets, redacted
from pipeline.upstream.request_window import fitted
from pipeline.usage.estimate import Counted, Method
from pipeline.wire.openai_chat import REQUEST_HEADERS
from pipeline.wire.openai_errors import OpenAIErrors

END_WAIT_SECONDS = 5.0
"""How long an answer is waited for that only lacks its end mark; this is looked at whenever something comes, be it silence."""

MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
"""How long the body of an HTTP error may take; what has come by then is not waited for any longer."""

KEY_HEADERS = {"authorization": "Bearer {}", "api-key": "{}", "x-api-key": "{}"}
"""A header that a key may be sent in -> its value."""


class ApiConfig(msgspec.Struct, frozen=True):
    """The settings of one upstream. `base_url` is as the vendor gives it, with or without a `/` at its end.

    `context_window` is told of every model, in tokens; None where it is not known. `context_overflow` says what becomes of a request that is longer;
    None leaves it to the upstream. `key_header` is one of `KEY_HEADERS`; `headers` are further ones, whose values are secrets.
    """

    base_url: str
    credential: Credential = Credential()
    context_window: int | None = None
    context_overflow: Overflow | None = None
    key_header: str = "authorization"
    headers: Mapping[str, str] = {}
    usage_method: Method = "calibrated"

    def __repr__(self) -> str:
        """Without the headers, which may be credentials."""
        shown = {name: getattr(self, name) for name in ("base_url", "profile") if name in self.__struct_fields__}
        told = "".join(f"{name}={value!r}, " for name, value in shown.items())
        return f"{type(self).__name__}({told}headers={sorted(self.headers)!r})"


class Decoder(Protocol):
    """A codec; the list that ends the answer has `Finish` or `Failed` last.

    `data_events` counts the events with data that it has taken.
    """

    data_events: int

    @property
    def awaits_end(self) -> bool:
        """Whether the answer is complete but for its end mark and what may stand before that."""
        ...

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read."""
        ...

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body, and what broke it off."""
        ...


def call_ids(request: Request) -> frozenset[str]:
    """The ids of the calls in the history, none of which a call of the answer may have."""
    return frozenset(call.id for message in request.messages for call in message.tool_calls)


def fitted_request(request: Request, tokens: int | None, overflow: Overflow | None, *, method: Method = "calibrated") -> Fitted:
    """The request with the text that the model reads; `tokens` and `overflow` are the upstream's own, and the request's route goes before them.

    Raises:
        ContextLengthExceeded: it does not fit, and must not or cannot be trimmed.

    >>> from pipeline.request import Role, TextPart
    >>> turns = tuple(Message(Role.USER, (TextPart(word * 1_000),)) for word in ("old ", "new "))
    >>> [message.text[:4] for message in fitted_request(Request("m", turns), 1_200, Overflow.TRIM).request.messages]
    ['new ']
    """

    def show(messages: Sequence[Message]) -> str:
        return prompt_text(Request(request.model, tuple(messages))) + "\n"

    return fitted(request, tokens, overflow, write=prompt_text, show=show, method=method)


Config = TypeVar("Config", bound=ApiConfig)


class ApiUpstream(ABC, Generic[Config]):
    """One configured upstream; `client` is shared and stays open. Raises ValueError for a header that cannot be sent."""

    dialect: ClassVar[str]
    """The API whose words the unread fields of a request have to be in, as in `Request.dialect`."""

    own_headers: ClassVar[Mapping[str, str]] = {}
    """What is sent beside `REQUEST_HEADERS` where the settings do not say otherwise; names in lower case."""

    call_prefix: ClassVar[str] = "call_"
    """How an id begins that is made for a call without one."""

    def __init__(self, name: str, config: Config, client: Client, *, new_id: Callable[[], str] | None = None) -> None:
        """`new_id` makes ids for tool calls that come without one."""
        if config.key_header not in KEY_HEADERS:
            raise ValueError(f"upstreams.{name}: a key is sent in one of {', '.join(KEY_HEADERS)}")
        for header, value in config.headers.items():
            if not _can_be_sent(header + value):
                raise ValueError(f"upstreams.{name}.headers: the header {header!r} holds characters that no header may have")
        self.name = name
        self.writes_markers = False
        self.keeps_promises = True
        self._config = config
        self._client = client
        self._url = self._address(config.base_url)
        self._new_id = new_id or partial(Identity().new, self.call_prefix)

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
        """The request as a body.

        Raises:
            UnsupportedParameter: it holds something that the profile, or the API, has no form for.
            ContextLengthExceeded: it does not fit the window.
        """
        config = self._config
        written = self._in_form(in_dialect(request, self.dialect))
        within = fitted_request(written, config.context_window, config.context_overflow, method=config.usage_method)
        outgoing = self._outgoing(within.request, within.prompt)
        counted = None if within.prompt_tokens is None else Counted(within.prompt_tokens, config.usage_method)
        return msgspec.structs.replace(outgoing, notices=(*outgoing.notices, *within.notices), counted=counted)

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer; see `Upstream.stream`."""
        secrets = header_secrets(self._config.headers)
        try:
            headers = self._headers(key, secrets)
            async with opened(self._client, "POST", self._url, headers, outgoing.body) as response:
                refusal = await self._refusal(response, secrets)
                if refusal is not None:
                    raise refusal
                async with aclosing(self._read(response, self._decoder(outgoing, self._errors(secrets)))) as batches:
                    async for batch in batches:
                        told = [_without_secrets(event, secrets) for event in batch] if batch and isinstance(batch[-1], Failed) else batch
                        yield told
        except PenstockError as error:
            yield [Failed(redacted(error, secrets))]

    @abstractmethod
    def _address(self, base_url: str) -> str:
        """Where requests are posted to."""

    @abstractmethod
    def _in_form(self, request: Request) -> Request:
        """A request as this upstream can be asked, in canonical terms; what is changed in length counts for the window."""

    @abstractmethod
    def _outgoing(self, request: Request, prompt: str) -> Outgoing:
        """A request in that form, as this API has it; `prompt` is the text that the model reads."""

    @abstractmethod
    def _decoder(self, outgoing: Outgoing, errors: OpenAIErrors) -> Decoder:
        """What reads the answer."""

    async def _read(self, response: Response, decoder: Decoder) -> AsyncGenerator[list[UpstreamEvent], None]:
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
                            await take_end(received)  # noqa: ASYNC102 - the shield and the time are in there
                    if is_over:
                        return
        except UpstreamError as error:
            fault = error
        if last := decoder.end(fault):
            yield last

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
        config = self._config
        headers = {**self.own_headers, **{name.lower(): value for name, value in config.headers.items() if name.lower() not in FIXED_HEADERS}}
        headers |= {name.lower(): value for name, value in REQUEST_HEADERS.items()}
        secret = config.credential.key(key)
        if secret is None:
            return headers
        if not _can_be_sent(secret):
            if config.credential.kind is Kind.CALLER:
                raise AuthenticationError("The key holds characters that no header may have.")
            raise UpstreamUnusable(
                "The gateway's key for this upstream holds characters that no header may have.", code="upstream_credentials_refused"
            )
        secrets.append(secret)
        return headers | {config.key_header: KEY_HEADERS[config.key_header].format(secret)}


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _without_secrets(event: UpstreamEvent, secrets: Sequence[str]) -> UpstreamEvent:
    return Failed(redacted(event.error, secrets)) if isinstance(event, Failed) else event
