"""What the OpenAI-compatible upstreams have in common, whichever of the two APIs they speak: any base URL, with a key or without one.

Theory of operation: see `pipeline.upstream.api_http`, which does the sending. The body is posted to `{base_url}/{endpoint}`. A request is asked in
the form that the profile takes: without custom tools where the server knows only functions. The APIs have no field that says that a tool failed, so
that a result which its client marked as an error says so in its text.
"""

from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from pipeline.prompt.chat_body import ChatProfile
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.error_marks import with_error_marks
from pipeline.request import Request
from pipeline.upstream.api_http import ApiConfig, ApiUpstream

CHAT, RESPONSES = "chat/completions", "responses"
ENDPOINTS = (CHAT, RESPONSES)


class OpenAIConfig(ApiConfig, frozen=True):
    """The settings of one upstream. `/v1` is added to a `base_url` that has no path."""

    profile: ChatProfile = ChatProfile()


def endpoint_url(base_url: str, endpoint: str) -> str:
    """The address of an endpoint; a query (some vendors keep a version there) stays at the end. A base URL may end with either endpoint.

    >>> endpoint_url("https://a.example", "responses"), endpoint_url("http://b.example:8000/openai/v1/?api-version=2", "responses")
    ('https://a.example/v1/responses', 'http://b.example:8000/openai/v1/responses?api-version=2')
    """
    scheme, host, path, query, _ = urlsplit(base_url.strip())
    path = path.rstrip("/")
    for known in ENDPOINTS:
        path = path.removesuffix("/" + known)
    path = path or "/v1"
    return urlunsplit((scheme, host, f"{path}/{endpoint}", query, ""))


class OpenAIUpstream(ApiUpstream[OpenAIConfig]):
    """One configured upstream."""

    dialect = "openai"
    endpoint: ClassVar[str]

    def _address(self, base_url: str) -> str:
        return endpoint_url(base_url, self.endpoint)

    def _in_form(self, request: Request) -> Request:
        request = with_error_marks(request)
        return request if self._config.profile.custom_tools else in_function_form(request)
