"""Events as Chat Completions: a stream of `chat.completion.chunk` events, or one `chat.completion`.

One list of events becomes one piece of bytes, and each delta in it a chunk of its own. The parts of a chunk that do not change within an answer are
built once, so that a chunk costs one JSON encoding of its text. What clients rely on: `id`, `created` and the requested `model` are the same on
every chunk; the first delta is `{"role":"assistant","content":null}`, since an empty string would open a text part; the first delta of a call
carries index, id, type and name, later ones only index and arguments; exactly one `finish_reason`; a usage chunk with empty `choices` when it was
asked for; `[DONE]` only after a proper end. A failed stream ends with one `error` object and without `[DONE]`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.emit.base import AnswerHead, Dialect
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
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "estimated": usage.estimated,
    }
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

    def feed(self, events: Sequence[Event]) -> bytes:
        """The bytes of one list of events; a comment for silence, and nothing for events that this dialect does not show."""
        if not events:
            return KEEPALIVE
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
            case ToolCallStart(index, call_id, name):
                call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
                return self._chunk({"tool_calls": [call]})
            case ToolCallDelta(index, arguments):
                return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
            case Notice():
                self.notices.append(event)
            case Finish(reason, _):
                self.reason = reason
                return self._end(reason)
            case Failed(error):
                self.error = error
                return error_event(error)
            case _:
                pass
        return b""

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


def chat_answer(head: AnswerHead, whole: Whole, usage: UsageReport) -> bytes:
    """The whole form, for an answer without an error: `content` is null exactly if there are only calls."""
    text = whole.text + whole.refusal
    message: dict[str, Any] = {"role": "assistant", "content": None if whole.calls and not text else text, "refusal": None}
    if head.show_thinking and whole.thinking:
        message["reasoning_content"] = whole.thinking
    if whole.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in whole.calls
        ]
    return _encode(
        {
            "id": head.id,
            "object": "chat.completion",
            "created": head.created,
            "model": head.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": whole.reason}],
            "usage": usage_body(usage, head.price),
        }
    )


CHAT = Dialect("chatcmpl-", ChatStream, chat_answer)
"""Chat Completions."""
