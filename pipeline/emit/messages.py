"""Events as Anthropic's Messages API: a stream of its events, or one message.

Theory of operation: `message_start` comes before the first event that there is, then the content blocks (`pipeline.emit.messages_blocks`), then one
`message_delta` with the reason and the usage, and `message_stop`. The whole form is made of the same blocks.

- A client runs a call whose block is closed in an answer that ended with `tool_use`. So the block of a call that was cut is not closed, also in an
  answer that a limit ended, and it is not in the whole form. An answer fails with a call whose arguments are no JSON object: nobody could run it.
- A failed stream ends with one `error` event and has no `message_stop`.
- A thinking block has the signature that its upstream gave, and an empty one where it gave none: the types of the official clients require the field.
- `usage` is cumulative. What is known at the start is the prompt's, estimated where nobody has measured it; the last figures stand in
  `message_delta`. Input tokens are those for which no cache was read or written; beside the API's fields are `estimated`, and `cost` where the price
  is known.

Source: the event types of the official clients (`anthropic.types`, `@anthropic-ai/sdk`), and how their helpers add the events up.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from pipeline.emit.base import AnswerHead, Dialect
from pipeline.emit.messages_blocks import TEXT, TOOL_USE, Blocks, Closed, Opened, Piece, Step, add_up
from pipeline.emit.messages_error import error_object
from pipeline.emit.usage_extra import beside
from pipeline.emit.whole import Whole
from pipeline.errors import AnswerUnsatisfied, PenstockError, StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, UsageReport
from pipeline.models import Price
from pipeline.request import Json
from pipeline.usage.cost import cost_of

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
ID_PREFIX = "msg_"

REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}
CUT_SHORT = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
"""With these an answer may end inside a call."""

OWN_REASONS = frozenset({"pause_turn", "model_context_window_exceeded"})
"""Reasons that only this API has: an upstream that speaks it is quoted."""

CACHE_WRITTEN = "cache_creation_input_tokens"
"""The name under which an upstream's report has the tokens that it wrote to a cache; they are among the prompt's."""

_encode = msgspec.json.Encoder().encode


def usage_fields(usage: UsageReport, price: Price | None) -> dict[str, Any]:
    """The `usage` object."""
    written = usage.extra.get(CACHE_WRITTEN)
    written = written if type(written) is int and 0 <= written <= usage.prompt_tokens else 0
    fields: dict[str, Any] = {
        "input_tokens": max(0, usage.prompt_tokens - usage.cached_tokens - written),
        CACHE_WRITTEN: written,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "estimated": usage.estimated,
    }
    fields = beside(fields, usage)
    if price is not None:
        fields["cost"] = cost_of(usage, price)
    return fields


def stop_fields(reason: FinishReason, raw: str | None, stop: str | None) -> dict[str, str | None]:
    """`stop_reason` and `stop_sequence`.

    >>> stop_fields(FinishReason.STOP, None, "END"), stop_fields(FinishReason.LENGTH, "length", None)["stop_reason"]
    ({'stop_reason': 'stop_sequence', 'stop_sequence': 'END'}, 'max_tokens')
    """
    if reason is FinishReason.STOP and stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stop}
    own = raw if raw in OWN_REASONS and reason in (FinishReason.STOP, FinishReason.LENGTH) else None
    return {"stop_reason": own or REASONS[reason], "stop_sequence": None}


def message_object(head: AnswerHead, content: list[Json], stop: dict[str, str | None], usage: UsageReport) -> dict[str, Json]:
    """A message, as it begins a stream and as it is whole."""
    return {
        "id": head.id,
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": content,
        **stop,
        "usage": usage_fields(usage, head.price),
    }


class MessagesStream:
    """The stream form; `usage` is asked at its beginning and at its end. `chunks` counts the events.

    `omit_thinking` leaves the text of the reasoning out, as a client may ask for; the signatures are there.
    """

    def __init__(self, head: AnswerHead, usage: Callable[[], UsageReport], *, omit_thinking: bool = False) -> None:
        self._head = head
        self._usage = usage
        self.chunks = 0
        self.notices: list[Notice] = []
        self.reason: FinishReason | None = None
        self.error: PenstockError | None = None
        self.is_broken = False
        self._blocks = Blocks(show_thinking=head.show_thinking, omit_thinking=omit_thinking)
        self._index = -1
        self._is_over = False
        self._before_text = b""

    def feed(self, events: Sequence[Event]) -> bytes:
        """The bytes of one list of events; a `ping` for silence, and nothing for events that this dialect does not show or behind the end."""
        if self._is_over:
            return b""
        if not events:
            return PING
        blocks = self._blocks
        pieces = [] if self.chunks else [self._begin()]
        for event in events:
            if type(event) is TextDelta and blocks.open == TEXT:  # what most lists are made of
                self.chunks += 1
                pieces += (self._before_text, _encode(event.text), b"}}\n\n")
            else:
                pieces.append(self._other(event))
                if self._is_over:
                    break
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case Notice():
                self.notices.append(event)
                return b""
            case Finish(reason, raw, stop):
                return self._end(reason, raw, stop)
            case Failed(error):
                return self._failure(error)
            case _:
                told = b"".join([self._written(step) for step in self._blocks.steps(event)])
                return told + self._failure(unreadable_call()) if self._blocks.broken else told

    def _begin(self) -> bytes:
        # nothing is written yet, however much of the answer came with the first read
        used = self._usage()
        is_estimated = used.estimated if used.prompt_estimated is None else used.prompt_estimated
        asked = msgspec.structs.replace(used, completion_tokens=0, reasoning_tokens=0, estimated=is_estimated)
        message = message_object(self._head, [], {"stop_reason": None, "stop_sequence": None}, asked)
        return self._event("message_start", {"message": message})

    def _written(self, step: Step) -> bytes:
        match step:
            case Opened(kind, fields):
                self._index += 1
                self._before_text = self._before("text_delta", "text")
                return self._event("content_block_start", {"index": self._index, "content_block": {"type": kind, **fields}})
            case Piece(kind, field, text, _):
                self.chunks += 1
                return self._before(kind, field) + _encode(text) + b"}}\n\n"
            case Closed():
                return self._event("content_block_stop", {"index": self._index})

    def _end(self, reason: FinishReason, raw: str | None, stop: str | None) -> bytes:
        if self._blocks.open == TOOL_USE and reason not in CUT_SHORT:
            return self._failure(cut_call())
        self.reason = reason
        self._is_over = True
        closed = b"".join([self._written(step) for step in self._blocks.end()])
        usage = usage_fields(self._usage(), self._head.price)
        return closed + self._event("message_delta", {"delta": stop_fields(reason, raw, stop), "usage": usage}) + self._event("message_stop", {})

    def _failure(self, error: PenstockError) -> bytes:
        self.error = error
        self._is_over = True
        return self._event("error", {"error": error_object(error)})

    def _before(self, kind: str, field: str) -> bytes:
        start = f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{self._index},"delta":{{"type":"{kind}","{field}":'
        return start.encode()

    def _event(self, kind: str, fields: dict[str, Json]) -> bytes:
        self.chunks += 1
        return f"event: {kind}\ndata: ".encode() + _encode({"type": kind, **fields}) + b"\n\n"


def unreadable_call() -> PenstockError:
    """Why an answer fails whose call nobody could run."""
    return AnswerUnsatisfied("The model made a call whose arguments are not a JSON object.", code="invalid_arguments")


def cut_call() -> PenstockError:
    """Why an answer fails whose proper end comes inside a call."""
    return StreamCut("The answer ended inside a tool call.", code="tool_call_cut")


def messages_answer(head: AnswerHead, whole: Whole, usage: UsageReport, *, omit_thinking: bool = False) -> bytes:
    """The whole form, for an answer without an error; `omit_thinking` is that of `MessagesStream`.

    Raises:
        PenstockError: the answer came to its end and failed all the same: its last call was cut, or one cannot be run.
    """
    reason = whole.reason or FinishReason.STOP
    blocks = Blocks(show_thinking=head.show_thinking, omit_thinking=omit_thinking)
    steps = [step for event in whole.spoken for step in blocks.steps(event)]
    if blocks.broken:
        raise unreadable_call()
    if blocks.open == TOOL_USE and reason not in CUT_SHORT:
        raise cut_call()
    content = add_up([*steps, *blocks.end()])
    return _encode(message_object(head, content, stop_fields(reason, whole.raw, whole.stop), usage))


MESSAGES = Dialect(ID_PREFIX, MessagesStream, messages_answer)
"""Anthropic's Messages."""

WITHOUT_THOUGHTS = Dialect(ID_PREFIX, partial(MessagesStream, omit_thinking=True), partial(messages_answer, omit_thinking=True))
"""The same without the text of the reasoning."""
