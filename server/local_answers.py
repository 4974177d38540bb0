"""Answers that the server gives by itself, in the request's dialect and without an upstream.

There are two, both for Cursor: the greeting that its settings page asks for when a key is verified, with a model that may not exist; and, where a
route says so, an empty answer whose usage is larger than the model's window, which makes Cursor shorten the conversation.
"""

from collections.abc import Sequence

from quart import Response

from pipeline.emit.base import AnswerHead, Dialect
from pipeline.emit.chat import CONTENT_TYPE
from pipeline.emit.whole import Whole
from pipeline.events import Event, Finish, TextDelta, UsageReport
from pipeline.identity import Identity
from pipeline.prompt.chat_body import prompt_text
from pipeline.request import Request, Role
from pipeline.usage.estimate import Method, tokens_in
from server.streaming import HEADERS

VERIFICATION = "Testing. Just say hi and nothing else."
"""What Cursor's settings page sends to find out whether a key works."""

GREETING = "hi"


def is_verification(request: Request) -> bool:
    """Whether a request is the one by which Cursor verifies a key."""
    users = [message for message in request.messages if message.role is Role.USER]
    return len(users) == 1 and users[0].text.strip() == VERIFICATION


def greeting(request: Request, dialect: Dialect) -> Response:
    """What Cursor wants to hear."""
    return said(request, dialect, [TextDelta(GREETING), Finish()], UsageReport(tokens_in(VERIFICATION), tokens_in(GREETING)))


def overflow_signal(request: Request, dialect: Dialect, window_tokens: int | None, method: Method) -> Response:
    """An empty answer to a conversation that is too long, whose usage says so."""
    return said(request, dialect, [Finish()], overflow_usage(request, window_tokens, method))


def overflow_usage(request: Request, window_tokens: int | None, method: Method) -> UsageReport:
    """A usage beyond the window; one that is not known was smaller than the conversation."""
    tokens = asked_usage(request, method).prompt_tokens
    return UsageReport(max(tokens, (window_tokens or tokens) + 1), 0)


def asked_usage(request: Request, method: Method) -> UsageReport:
    """The usage of a request that nobody answered: its own tokens, estimated."""
    return UsageReport(tokens_in(prompt_text(request), method=method), 0)


def said(request: Request, dialect: Dialect, events: Sequence[Event], usage: UsageReport) -> Response:
    """These events as an answer, streamed where the request asks for that."""
    head = head_of(request, dialect)
    if request.stream:
        return Response(dialect.stream(head, lambda: usage).feed(events), headers=HEADERS, content_type=CONTENT_TYPE)
    whole = Whole()
    whole.add(events)
    return Response(dialect.whole(head, whole, usage), content_type="application/json")


def head_of(request: Request, dialect: Dialect) -> AnswerHead:
    """The head of an answer that no exchange makes."""
    identity = Identity()
    return AnswerHead(identity.new(dialect.id_prefix), identity.created(), request.model, include_usage=request.include_usage)
