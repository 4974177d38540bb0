"""`/v1/messages`: Anthropic's Messages, so that Claude Code and the clients of that API can use every upstream.

Errors have that API's shape (`server.anthropic_shape`). A conversation is named by the session that Claude Code's `metadata.user_id` holds, or by
what else a client says there (`server.sessions`); none of it goes anywhere. The headers `anthropic-version` and `anthropic-beta` are accepted and
choose nothing: what a beta asks for is in the body.
"""

from functools import partial

import msgspec
import trio
from quart import Blueprint, Response, request

from pipeline.emit.messages import MESSAGES, WITHOUT_THOUGHTS
from pipeline.errors import PenstockError, UnsupportedParameter
from pipeline.events import UsageReport
from pipeline.parse.messages import ParsedMessages, parse_messages
from pipeline.request import OpaquePart, Request
from pipeline.usage.estimate import Method
from pipeline.wire.json_values import as_object
from server.answering import Surface
from server.anthropic_shape import MESSAGES_PATH
from server.gateway import Gateway, record
from server.local_answers import asked_usage
from server.routing import Destination, Plan
from server.sessions import in_session
from server.streaming import StreamedResponse

SHOWN, OMITTED = Surface(lambda _: MESSAGES), Surface(lambda _: WITHOUT_THOUGHTS)
SESSION_HEADER = "x-claude-code-session-id"
COUNTED_AT_ONCE = 2
"""Estimates of long conversations; more would only take the processor, and the threads, from those who wait for answers."""


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("messages", __name__)
    counting = trio.CapacityLimiter(COUNTED_AT_ONCE)

    @routes.post(MESSAGES_PATH)
    async def create() -> Response | StreamedResponse:
        caller = gateway.admit()
        parsed = await gateway.parsed(parse_messages)
        asked = in_session(parsed.request, session_of(parsed))
        return await gateway.answering.answer(asked, caller, record(), surface_of(parsed))

    @routes.post(f"{MESSAGES_PATH}/count_tokens")
    async def count_tokens() -> Response:
        caller = gateway.admit()
        asked = (await gateway.parsed(partial(parse_messages, for_count=True))).request
        plan = gateway.routing.plan(asked.model)
        caller.check_model(asked.model, plan.names)
        record().model = asked.model
        # an estimate of a long conversation takes its time, and other answers go on meanwhile
        counted = partial(_counted, asked, plan, gateway.settings.usage.method)
        usage = await trio.to_thread.run_sync(counted, limiter=counting)
        return Response(msgspec.json.encode({"input_tokens": usage.prompt_tokens, "estimated": True}), content_type="application/json")

    return routes


def _counted(asked: Request, plan: Plan, method: Method) -> UsageReport:
    """The estimate; raises UnsupportedParameter for a part of the conversation that none of the model's upstreams has a form for."""
    if any(isinstance(part, OpaquePart) for message in asked.messages for part in message.parts):
        refused = [_refused(asked, destination) for destination in plan.destinations]
        faults = [error for error in refused if error is not None]
        if faults and len(faults) == len(refused):
            raise faults[0]
    return asked_usage(asked, method)


def _refused(asked: Request, destination: Destination) -> UnsupportedParameter | None:
    """What an upstream has against a request, as far as it is the request's fault."""
    try:
        destination.upstream.write(msgspec.structs.replace(asked, model=destination.model_id))
    except UnsupportedParameter as error:
        return error
    except PenstockError:
        return None
    return None


def session_of(parsed: ParsedMessages) -> str | None:
    """The session as the body names it, or else a header of Claude Code's."""
    return parsed.session or request.headers.get(SESSION_HEADER)


def surface_of(parsed: ParsedMessages) -> Surface:
    """How the request is answered: a client may ask for reasoning whose text is left out."""
    thinking = as_object(parsed.request.extra.get("thinking"))
    return OMITTED if thinking.get("display") == "omitted" else SHOWN
