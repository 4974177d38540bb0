"""What a route and the model's id say of a request, put into it before it is written for a target.

A parsed request and the plan for it come in, the request that the targets get goes out. The id may have asked for an effort (`kimi-k3-high`), which a
body's own effort beats; the route may raise the token limit, know the model's window, and put a user's turn behind a conversation that ends with the
assistant's, which some models refuse. Nothing is changed that the route does not name. Left alone: where the request goes (`server.routing`).
"""

import msgspec

from pipeline.events import Notice
from pipeline.request import ContextRule, Message, Options, Request, Role, TextPart
from server.routing import Plan
from server.settings import Route

GO_ON = "Continue."
"""The turn behind a last assistant message, where a route says `no_prefill`."""


def shaped(request: Request, plan: Plan) -> Request:
    """The request as the plan's targets get it."""
    route, options = plan.route, _options(request.options, plan)
    notices = list(request.notices)
    if plan.fast:
        notices.append(Notice("fast_suffix_ignored", "the id's `-fast` names no other model here"))
    if options.max_tokens != request.options.max_tokens:
        notices.append(Notice("token_limit_raised", f"the route's answers may have {options.max_tokens} tokens at least"))
    messages = request.messages
    if route.no_prefill and messages and messages[-1].role is Role.ASSISTANT and not messages[-1].tool_calls:
        messages = (*messages, Message(Role.USER, (TextPart(GO_ON),)))
        notices.append(Notice("prefill_continued", "the conversation ended with the assistant's turn; a user's was put behind it"))
    return msgspec.structs.replace(
        request,
        messages=messages,
        options=options,
        # what a Responses body says of truncation is about this request alone
        context=ContextRule(route.context_window, request.context.overflow or route.context_overflow),
        notices=tuple(notices),
    )


def _options(options: Options, plan: Plan) -> Options:
    least = plan.route.min_output_tokens
    if least is not None and options.max_tokens is not None and options.max_tokens < least:
        options = msgspec.structs.replace(options, max_tokens=least)
    if options.reasoning_effort is None and (plan.effort is not None or plan.thinking):
        return msgspec.structs.replace(options, reasoning_effort=plan.effort, reasoning=True)
    return options


def shows_reasoning(request: Request, output: str) -> bool:
    """Whether an answer in a dialect that has a field for reasoning shows it; `output` is the setting `reasoning.output`."""
    return output == "always" or (output == "on-request" and request.options.reasoning)


def strips_shown(route: Route, *, for_cursor: bool) -> bool:
    """Whether reasoning that an earlier answer showed as text is taken out of the history again."""
    return route.strip_think or (for_cursor and route.display_reasoning in ("think", "details"))
