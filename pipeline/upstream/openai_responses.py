"""An OpenAI-compatible upstream by Responses, under a profile.

Theory of operation: see `pipeline.upstream.openai_http`, which does the sending. Here a Request is written by `pipeline.prompt.responses_body`, and
the answer is read by the codec of `pipeline.wire.openai_responses`. The API has no stop texts: the flow ends the answer at the first of them. What
else the body leaves out of the request is named by what `Outgoing` says of it.

Invariants: nothing is kept at the upstream (`store` is false), so that each request says all of its conversation.
"""

from pipeline.parameters import Family, ignored_by
from pipeline.prompt.chat_body import ChatProfile
from pipeline.prompt.responses_body import RESPONSES_PROFILE, left_out, not_passed, not_passed_inside, write_responses_body
from pipeline.request import Request
from pipeline.upstream.api_http import call_ids
from pipeline.upstream.base import Outgoing
from pipeline.upstream.openai_http import RESPONSES, OpenAIConfig, OpenAIUpstream
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.openai_responses import OpenAIResponsesDecoder

ENDPOINT = RESPONSES
SUMMARY = "reasoning.summary"


class OpenAIResponsesConfig(OpenAIConfig, frozen=True):
    """The settings of one upstream of this kind."""

    profile: ChatProfile = RESPONSES_PROFILE


class OpenAIResponsesUpstream(OpenAIUpstream):
    """One configured upstream."""

    endpoint = ENDPOINT

    def _outgoing(self, request: Request, prompt: str) -> Outgoing:
        profile = self._config.profile
        ignored = (*ignored_by(Family.OPENAI_RESPONSES, request, not_passed(request, profile)), *not_passed_inside(request, profile))
        if request.options.reasoning and profile.reasoning_effort:  # other APIs have no such wish, and this one is asked for a summary
            ignored = tuple(name for name in ignored if name != SUMMARY)
        body, notices = write_responses_body(request, profile), left_out(request, profile)
        return Outgoing(request, body, prompt, ignored, notices, stops=request.options.stop)

    def _decoder(self, outgoing: Outgoing, errors: OpenAIErrors) -> OpenAIResponsesDecoder:
        return OpenAIResponsesDecoder(new_id=self._new_id, taken_ids=call_ids(outgoing.request), errors=errors)
