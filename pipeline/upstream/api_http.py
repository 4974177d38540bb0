"""What the upstreams with a vendor's API over HTTP have in common, whichever API they speak: any address, with a key or without one.

Theory of operation: a subclass says which address it posts to, how a request becomes a body, and which codec reads the answer. A request is put into
the upstream's dialect and written, within the window if one is known and something is to become of what is longer; else the upstream is the judge.
The body is posted to the address, and the answer read as `pipeline.upstream.posted` reads it. An HTTP error, a redirect and a broken connection are
`Failed`.

Invariants: the key and the operator's own headers go to the configured host only, never into an error, a log or a repr; redirects are not followed.
Closing the generator closes the connection, in every state; one whose answer is complete is used again if the body's frame ends at once. Left alone:
retries and clocks, which are the flow's; and which models there are, since the upstream itself says so.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import ClassVar, Generic, TypeVar

import anyio
import msgspec

from pipeline.credential import Credential, Kind
from pipeline.errors import PenstockError, ProtocolViolation, UpstreamError
from pipeline.events import Failed, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import Model
from pipeline.prompt.chat_body import prompt_text
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.window import Fitted, Overflow
from pipeline.request import Message, Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.http import Client, Response, content_coding, opened, read_bounded
from pipeline.upstream.posted import KEY_HEADERS, Decoder, answer_events, can_be_sent, request_headers
from pipeline.upstream.redaction import header_secrets, redacted
from pipeline.upstream.request_window import fitted
from pipeline.usage.estimate import Counted, Method
from pipeline.wire.openai_errors import OpenAIErrors

MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
"""How long the body of an HTTP error may take; what has come by then is not waited for any longer."""


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
            if not can_be_sent(header + value):
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
            headers = request_headers(
                self._config.headers, self._config.credential, key, secrets, key_header=self._config.key_header, own=self.own_headers
            )
            async with opened(self._client, "POST", self._url, headers, outgoing.body) as response:
                refusal = await self._refusal(response, secrets)
                if refusal is not None:
                    raise refusal
                async with aclosing(answer_events(response, self._decoder(outgoing, self._errors(secrets)))) as batches:
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


def _without_secrets(event: UpstreamEvent, secrets: Sequence[str]) -> UpstreamEvent:
    return Failed(redacted(event.error, secrets)) if isinstance(event, Failed) else event
