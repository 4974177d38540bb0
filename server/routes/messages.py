"""`/v1/messages`: Anthropic's Messages, so that Claude Code and the clients of that API can use every upstream.

Errors have that API's shape (`server.anthropic_shape`). A conversation is named by what the client says of its user, which in Claude Code's words
holds the session: it is hashed, and goes nowhere. The headers `anthropic-version` and `anthropic-beta` are accepted and choose nothing: what a beta
asks for is in the body.
"""

import hashlib
from functools import partial

import msgspec
import trio
from quart import Blueprint, Response

from pipeline.emit.messages import MESSAGES
from pipeline.parse.messages import ParsedMessages, parse_messages
from pipeline.request import Request
from server.answering import Surface
from server.anthropic_shape import MESSAGES_PATH
from server.gateway import Gateway, record
from server.local_answers import asked_usage
from server.streaming import StreamedResponse

MESSAGES_SURFACE = Surface(lambda _: MESSAGES)


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("messages", __name__)

    @routes.post(MESSAGES_PATH)
    async def create() -> Response | StreamedResponse:
        caller = gateway.admit()
        asked = with_conversation(await gateway.parsed(parse_messages))
        return await gateway.answering.answer(asked, caller, record(), MESSAGES_SURFACE)

    @routes.post(f"{MESSAGES_PATH}/count_tokens")
    async def count_tokens() -> Response:
        caller = gateway.admit()
        asked = (await gateway.parsed(partial(parse_messages, for_count=True))).request
        plan = gateway.routing.plan(asked.model)
        caller.check_model(asked.model, plan.names)
        record().model = asked.model
        # an estimate of a long conversation takes its time, and other answers go on meanwhile
        usage = await trio.to_thread.run_sync(asked_usage, asked, gateway.settings.usage.method)
        return Response(msgspec.json.encode({"input_tokens": usage.prompt_tokens, "estimated": True}), content_type="application/json")

    return routes


def with_conversation(parsed: ParsedMessages) -> Request:
    """The request with the conversation that its client names, if it names one."""
    if not parsed.session:
        return parsed.request
    return msgspec.structs.replace(parsed.request, conversation=hashlib.sha256(parsed.session.encode("utf-8", "surrogatepass")).hexdigest())
