"""Events as Chat Completions: a stream of `chat.completion.chunk` events, or one `chat.completion`.

One list of events becomes one piece of bytes, and each delta in it a chunk of its own. The parts of a chunk that do not change within an answer are
built once, so that a chunk costs one JSON encoding of its text. What clients rely on: `id`, `created` and the requested `model` are the same on
every chunk; the first delta is `{"role":"assistant","content":null}`, since an empty string would open a text part; the first delta of a call
carries index, id, type and name, later ones only index and arguments (of a custom tool's call, the raw input); exactly one `finish_reason`; a usage
chunk with empty `choices` when it was asked for; `[DONE]` only after a proper end. A failed stream ends with one `error` object and without `[DONE]`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.emit.base import AnswerHead, Dialect
from pipeline.emit.usage_extra import beside, details
from pipeline.emit.whole import Whole
from pipeline.errors import PenstockError
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from pipeline.models import Price
from pipeline.request import ToolCall
from pipeline.usage.cost import cost_of

KEEPALIVE = b": keepalive\n\n"
DONE = b"data: [DONE]\n\n"
CONTENT_TYPE = "text/event-stream; charset=utf-8"

_encode = msgspec.json.Encoder().encode


def usage_body(usage: UsageReport, price: Price | None) -> dict[str, Any]:
    """The `usage` object."""
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": details("prompt_tokens_details", {"cached_tokens": usage.cached_tokens}, usage),
        "completion_tokens_details": details("completion_tokens_details", {"reasoning_tokens": usage.reasoning_tokens}, usage),
        "estimated": usage.estimated,
    }
    body = beside(body, usage)
    if price is not None:
        body["cost"] = cost_of(usage, price)
    return body


def error_event(error: PenstockError) -> bytes:
    """The one event that ends a failed stream."""
    return b'data: {"error":' + _encode(error.body()) + b"}\n\n"


class ChatStream:
    """The stream form; `usage` is asked once, at the end."""

    def __init__(self, head: AnswerHead, usage: Callable[[], UsageReport]) -> None:
        self._head = head
        self._usage = usage
        self.chunks = 0
        self.notices: list[Notice] = []
        self.reason: FinishReason | None = None
        self.error: PenstockError | None = None
        self.is_broken = False
        self._before_delta = (
            b'data: {"id":'
            + _encode(head.id)
            + b',"object":"chat.completion.chunk","created":'
            + _encode(head.created)
            + b',"model":'
            + _encode(head.model)
            + b',"choices":['
        )
        self._prefix = self._before_delta + b'{"index":0,"delta":'
        no_usage = b',"usage":null' if head.include_usage else b""
        self._after_choices = b"]" + no_usage + b"}\n\n"
        self._suffix = b',"logprobs":null,"finish_reason":null}' + self._after_choices
        self._text_prefix = self._prefix + b'{"content":'
        self._text_suffix = b"}" + self._suffix
        self._started = False
        self._custom: set[int] = set()  # the indices of custom tools' calls

    def feed(self, events: Sequence[Event]) -> bytes:
        """The bytes of one list of events; a comment for silence, and nothing for events that this dialect does not show."""
        return self._written(events) if events else KEEPALIVE

    def _written(self, events: Sequence[Event]) -> bytes:
        pieces: list[bytes] = []
        if not self._started:
            self._started = True
            pieces += (self._prefix, b'{"role":"assistant","content":null}', self._suffix)
            self.chunks += 1
        prefix, suffix = self._text_prefix, self._text_suffix
        chunks = 0
        for event in events:
            if type(event) is TextDelta:
                chunks += 1
                pieces += (prefix, _encode(event.text), suffix)
            else:
                pieces.append(self._other(event))
        self.chunks += chunks
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case ThinkingDelta(text):
                return self._chunk({"reasoning_content": text}) if self._head.show_thinking else b""
            case RefusalDelta(text):
                return self._chunk({"content": text})
            case ToolCallStart():
                return self._chunk({"tool_calls": [self._opened(event)]})
            case ToolCallDelta(index, arguments):
                piece = {"custom": {"input": arguments}} if index in self._custom else {"function": {"arguments": arguments}}
                return self._chunk({"tool_calls": [{"index": index, **piece}]})
            case Notice():
                self.notices.append(event)
            case Finish(reason, _):
                self.reason = reason
                return self._end(reason)
            case Failed(error):
                self.error = error
                return self._failure(error)
            case _:
                pass
        return b""

    def _opened(self, start: ToolCallStart) -> dict[str, Any]:
        if start.custom:
            self._custom.add(start.index)
        return {"index": start.index, **call_body(ToolCall(start.id, start.name, "", custom=start.custom))}

    def _failure(self, error: PenstockError) -> bytes:
        return error_event(error)

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        self.chunks += 1
        return self._prefix + _encode(delta) + self._suffix

    def _end(self, reason: FinishReason) -> bytes:
        self.chunks += 1
        last = self._prefix + b'{},"logprobs":null,"finish_reason":' + _encode(reason) + b"}" + self._after_choices
        if not self._head.include_usage:
            return last + DONE
        self.chunks += 1
        return last + self._before_delta + b'],"usage":' + _encode(usage_body(self._usage(), self._head.price)) + b"}\n\n" + DONE


def call_body(call: ToolCall) -> dict[str, Any]:
    """A call as an answer holds it, in the form of its kind."""
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def answer_body(
    head: AnswerHead, *, text: str, thinking: str | None, calls: Sequence[ToolCall], reason: FinishReason | None, usage: UsageReport
) -> bytes:
    """The object of a whole answer: `content` is null exactly if there are only calls."""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text, "refusal": None}
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = [call_body(call) for call in calls]
    return _encode(
        {
            "id": head.id,
            "object": "chat.completion",
            "created": head.created,
            "model": head.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": usage_body(usage, head.price),
        }
    )


def chat_answer(head: AnswerHead, whole: Whole, usage: UsageReport) -> bytes:
    """The whole form, for an answer without an error."""
    return answer_body(
        head,
        text=whole.text + whole.refusal,
        thinking=whole.thinking if head.show_thinking else None,
        calls=whole.calls,
        reason=whole.reason,
        usage=usage,
    )


CHAT = Dialect("chatcmpl-", ChatStream, chat_answer)
"""Chat Completions."""
