"""An upstream with Anthropic's Messages API, Anthropic's own or another vendor's, under a profile.

Theory of operation: see `pipeline.upstream.api_http`, which does the sending. Here a Request is put into the form of the API
(`pipeline.prompt.messages_form`) and written (`pipeline.prompt.messages_body`), and the answer is read by the codec of
`pipeline.wire.anthropic_messages`. What the body leaves out of the request is named by what `Outgoing` says of it.

Invariants: of the headers of a client none is passed on. What a beta needs in `anthropic-beta` is the operator's to send, and so is another version
than the one that there is.
"""

from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.messages_blocks import check_images
from pipeline.prompt.messages_body import write_messages_body
from pipeline.prompt.messages_form import in_messages_form
from pipeline.prompt.messages_names import check_tool_names
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.request import Request
from pipeline.upstream.api_http import ApiConfig, ApiUpstream, call_ids
from pipeline.upstream.base import Outgoing
from pipeline.wire.anthropic_messages import OWN_HEADERS, AnthropicDecoder
from pipeline.wire.openai_errors import OpenAIErrors

ENDPOINT = "messages"
MOST_MODELS = 1000
"""How many models one page of the list may have, which is more than there are."""


class AnthropicConfig(ApiConfig, frozen=True):
    """The settings of one upstream. `/v1` is added to a `base_url` that does not end with it, as the vendors' own clients do."""

    key_header: str = "x-api-key"
    profile: MessagesProfile = MessagesProfile()


def messages_url(base_url: str) -> str:
    """The address of the endpoint; a query stays at the end.

    >>> messages_url("https://api.anthropic.com"), messages_url("https://a.example/anthropic/?x=1"), messages_url("https://a.example/v1/messages")
    ('https://api.anthropic.com/v1/messages', 'https://a.example/anthropic/v1/messages?x=1', 'https://a.example/v1/messages')
    """
    scheme, host, path, query, _ = urlsplit(base_url.strip())
    path = path.rstrip("/").removesuffix("/" + ENDPOINT).removesuffix("/v1")
    return urlunsplit((scheme, host, f"{path}/v1/{ENDPOINT}", query, ""))


def anthropic_models_url(base_url: str) -> str:
    """The address of the list of models: all of them on one page.

    >>> anthropic_models_url("https://api.anthropic.com/v1/"), anthropic_models_url("https://a.example?x=1")
    ('https://api.anthropic.com/v1/models?limit=1000', 'https://a.example/v1/models?x=1&limit=1000')
    """
    scheme, host, path, query, _ = urlsplit(messages_url(base_url))
    query = "&".join([*filter(None, [query]), f"limit={MOST_MODELS}"])
    return urlunsplit((scheme, host, path.removesuffix(ENDPOINT) + "models", query, ""))


class AnthropicUpstream(ApiUpstream[AnthropicConfig]):
    """One configured upstream."""

    dialect = "anthropic"
    own_headers = OWN_HEADERS
    call_prefix: ClassVar[str] = "toolu_"

    def _address(self, base_url: str) -> str:
        return messages_url(base_url)

    def _in_form(self, request: Request) -> Request:
        check_images(request, self._config.profile)
        check_tool_names(request)
        return in_function_form(request)

    def _outgoing(self, request: Request, prompt: str) -> Outgoing:
        profile = self._config.profile
        request, changed = in_messages_form(request, profile)
        body = write_messages_body(request, profile)
        ignored = tuple(dict.fromkeys((*request.ignored, *body.ignored)))
        return Outgoing(request, body.data, prompt, ignored, (*body.notices, *changed), stops=body.stops)

    def _decoder(self, outgoing: Outgoing, errors: OpenAIErrors) -> AnthropicDecoder:
        return AnthropicDecoder(
            new_id=self._new_id,
            tools=[tool.name for tool in outgoing.request.tools],
            taken_ids=call_ids(outgoing.request),
            errors=errors,
        )
