"""What each kind of upstream is sent when its answers are recorded, and how these are scrubbed and its refusals read.

A request comes in as it was parsed, and goes out as the bytes that the gateway would send, under the profile that such an upstream has where nothing
else is said. What cannot be sent raises WrongUse.
"""

from collections.abc import Callable, Mapping

import msgspec

from pipeline.errors import PenstockError, RequestError
from pipeline.identity import Identity
from pipeline.models import resolve_composer_model, with_effort
from pipeline.prompt.chat_body import ChatProfile, write_chat_body
from pipeline.prompt.composer import assemble_prompt
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.messages_body import write_messages_body
from pipeline.prompt.messages_form import in_messages_form
from pipeline.prompt.messages_profile import MessagesProfile
from pipeline.prompt.responses_body import RESPONSES_PROFILE, write_responses_body
from pipeline.prompt.website_messages import check_parts as check_website_parts
from pipeline.prompt.website_messages import encode_body, new_trigger, site_messages, teaches_calls
from pipeline.request import Request
from pipeline.scrub import Scrubber, scrub_stream
from pipeline.scrub_events import scrub_events
from pipeline.upstream.composer_write import connect_headers, write_message
from pipeline.upstream.images import read_images
from pipeline.wire.anthropic_messages import OWN_HEADERS
from pipeline.wire.composer_errors import error_from_http
from pipeline.wire.openai_chat import REQUEST_HEADERS
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.website_errors import WebsiteErrors


class WrongUse(Exception):
    """The command cannot be carried out as it was given; the message says why."""


class Kind(msgspec.Struct, frozen=True):
    """What one kind of upstream is sent, and how its answers are scrubbed and its refusals read."""

    body: Callable[[Request], bytes]
    headers: Callable[[], Mapping[str, str]]
    scrub: Callable[[Scrubber, bytes, list[int], str], tuple[bytes, list[int]]]
    refusal: Callable[[int, Mapping[str, str], bytes], PenstockError]


def composer_body(request: Request) -> bytes:
    """A request as the bytes that Composer takes, with fresh ids; raises WrongUse for images that are not in the request itself."""
    try:
        images = read_images(request)
    except RequestError as error:
        raise WrongUse(error.message) from None
    return write_message(request, assemble_prompt(request), Identity(), images=images)


def chat_body(request: Request) -> bytes:
    """A request as a Chat Completions body; nothing that the client sent is left out of it for want of a profile."""
    return write_chat_body(request, ChatProfile())


def responses_body(request: Request) -> bytes:
    """A request as a Responses body, under the profile that such an upstream has where nothing else is said."""
    return write_responses_body(request, RESPONSES_PROFILE)


def messages_body(request: Request) -> bytes:
    """A request as a Messages body, under the profile that such an upstream has where nothing else is said."""
    profile = MessagesProfile()
    formed, _ = in_messages_form(in_function_form(in_dialect(request, "anthropic")), profile)
    return write_messages_body(formed, profile).data


def website_body(request: Request) -> bytes:
    """A request as a website takes it; raises WrongUse for what is no text.

    The calls that it teaches have the trigger of a frozen identity, so that whoever replays the recording knows it.
    """
    try:
        check_website_parts(request)
    except RequestError as error:
        raise WrongUse(error.message) from None
    written = in_function_form(request)
    trigger = new_trigger(Identity.frozen()) if teaches_calls(written) else ""
    model = resolve_composer_model(request.model) or request.model
    return encode_body(site_messages(written, trigger=trigger), with_effort(model, request.options.reasoning_effort), Identity())


KINDS = {
    "composer": Kind(composer_body, lambda: connect_headers(Identity()), scrub_stream, error_from_http),
    "openai-chat": Kind(chat_body, lambda: REQUEST_HEADERS, scrub_events, OpenAIErrors(callers_key=True).from_http),
    "openai-responses": Kind(responses_body, lambda: REQUEST_HEADERS, scrub_events, OpenAIErrors(callers_key=True).from_http),
    "anthropic": Kind(messages_body, lambda: REQUEST_HEADERS | OWN_HEADERS, scrub_events, OpenAIErrors(callers_key=True).from_http),
    "website": Kind(website_body, lambda: REQUEST_HEADERS, scrub_events, WebsiteErrors(callers_key=True).from_http),
}
"""`upstream` in meta.toml -> how such an upstream is recorded."""
