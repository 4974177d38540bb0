"""An OpenAI-compatible upstream by Chat Completions, under a profile.

Theory of operation: see `pipeline.upstream.openai_http`, which does the sending. Here a Request is written by `pipeline.prompt.chat_body`, and the
answer is read by the codec of `pipeline.wire.openai_chat`. What the body leaves out of the request is named by what `Outgoing` says of it.
"""

from pipeline.parameters import Family, ignored_by
from pipeline.prompt.chat_body import left_out, not_passed, not_passed_inside, write_chat_body
from pipeline.prompt.chat_form import images_behind_results, single_system
from pipeline.request import Request
from pipeline.upstream.api_http import call_ids
from pipeline.upstream.base import Outgoing
from pipeline.upstream.openai_http import CHAT, OpenAIConfig, OpenAIUpstream, endpoint_url
from pipeline.wire.openai_chat import OpenAIChatDecoder
from pipeline.wire.openai_errors import OpenAIErrors

ENDPOINT = CHAT


class OpenAIChatConfig(OpenAIConfig, frozen=True):
    """The settings of one upstream of this kind."""


def chat_url(base_url: str) -> str:
    """The address of the chat endpoint; a query (some vendors keep a version there) stays at the end.

    >>> chat_url("https://a.example"), chat_url("https://a.example/api/v1/"), chat_url("http://b.example:8000/v1?v=2")
    ('https://a.example/v1/chat/completions', 'https://a.example/api/v1/chat/completions', 'http://b.example:8000/v1/chat/completions?v=2')
    """
    return endpoint_url(base_url, ENDPOINT)


class OpenAIChatUpstream(OpenAIUpstream):
    """One configured upstream."""

    endpoint = ENDPOINT

    def _outgoing(self, request: Request, prompt: str) -> Outgoing:
        profile, given = self._config.profile, request.notices
        request = request if profile.tool_images else images_behind_results(request)
        request = single_system(request) if profile.single_system else request
        notices = (*left_out(request, profile), *request.notices[len(given) :])
        ignored = (*ignored_by(Family.OPENAI_CHAT, request, not_passed(request, profile)), *not_passed_inside(request, profile))
        return Outgoing(request, write_chat_body(request, profile), prompt, ignored, notices)

    def _decoder(self, outgoing: Outgoing, errors: OpenAIErrors) -> OpenAIChatDecoder:
        return OpenAIChatDecoder(
            new_id=self._new_id,
            tools=[tool.name for tool in outgoing.request.tools],
            taken_ids=call_ids(outgoing.request),
            reasoning_field=self._config.profile.reasoning_field,
            errors=errors,
        )
