"""Events as the Responses API: a stream of its events, or one Response object.

Theory of operation: `response.created` and `response.in_progress` come before the first event that there is, then the items
(`pipeline.emit.responses_items`), then exactly one of `response.completed`, `response.incomplete` and `response.failed`, whose Response object holds
all of the answer. There is no `[DONE]`. The whole form is that object: what was folded is told to a stream of its own, whose bytes nobody reads.

- Text and refusals stand in messages, reasoning in items of its own where it is shown, each call is an item. Text behind a call opens another
  message, and reasoning behind text another reasoning item.
- A client runs a call when its item is done. So that is said of a call that has come to its end, and of no other: a call that was cut is added and
  never done, and it is not in the final object. An answer fails with a function's call whose arguments are no JSON when it ends: nobody could run it.
- Where a limit or a filter ended the answer it is `incomplete`, and so is the text that was open then.
- A failed answer ends with `error` and `response.failed`. Nothing that was open is done by it; the text that came stays in the final object, as
  incomplete. An answer whose proper end comes inside a call, without a limit to blame, failed too. In the whole form its error is raised.

Where the events are not what the types of the official client (`openai.types.responses`) say:

- the fields of `error` are there twice: as those types have them, and in an object `error`, as the service sends them and others look for them;
- the code of a failed response is one of this gateway's where the API has no word for it, since a person is helped by the exact one;
- an item of a custom tool's call, like the service's own, has a `status`; the done event of a function's arguments has the function's `name`, which
  older types require; `usage` has what Chat's has beside the API's fields: `estimated`, and `cost` where the price is known;
- a Response has `store`, `presence_penalty` and `frequency_penalty`, which the open schema of the API requires.
"""

from collections.abc import Callable, Sequence
from functools import partial

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead, Dialect, Emitter
from pipeline.emit.responses_history import BETWEEN, output_messages
from pipeline.emit.responses_items import Channel, ItemWriter, encode
from pipeline.emit.responses_object import ResponseObject, error_fields, usage_fields
from pipeline.emit.whole import Whole
from pipeline.errors import AnswerUnsatisfied, PenstockError, StreamCut
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
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.identity import Identity
from pipeline.request import Json

__all__ = ["KEEPALIVE", "ResponsesStream", "output_messages", "responses_dialect", "tell_whole"]

KEEPALIVE = b": keepalive\n\n"
ID_PREFIX = "resp_"
INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
"""The reasons that cut an answer short -> `incomplete_details.reason`."""


class ResponsesStream:
    """The stream form; `usage` is asked once, at the end. `chunks` counts the events, and is the number of the next one.

    `response` is the Response object that the stream ended with, None before. `now` gives the time of its end, in seconds since the epoch.
    """

    def __init__(
        self,
        head: AnswerHead,
        usage: Callable[[], UsageReport],
        *,
        echo: Echo,
        shows_reasoning: bool = True,
        now: Callable[[], int] | None = None,
    ) -> None:
        self.notices: list[Notice] = []
        self.reason: FinishReason | None = None
        self.error: PenstockError | None = None
        self.is_broken = False
        self.response: dict[str, Json] | None = None
        self._usage = usage
        self._price = head.price
        self._shows_reasoning = shows_reasoning and head.show_thinking
        self._now = now or Identity().created
        self.chunks = 0
        self._object = ResponseObject(head, echo)
        self._items = ItemWriter(head.id.removeprefix(ID_PREFIX), echo.namespaces)
        self._thoughts: list[list[str]] = []
        self._thought_at = 0  # the number of events behind the last thought

    @property
    def reasoning(self) -> str:
        """All that the model thought so far, shown or not, with an empty line where it said something in between."""
        return BETWEEN.join("".join(pieces) for pieces in self._thoughts)

    def feed(self, events: Sequence[Event]) -> bytes:
        """The bytes of one list of events; a comment for silence, and nothing for events that this dialect does not show or behind the end."""
        if self.response is not None:
            return b""
        if not events:
            return KEEPALIVE
        items = self._items
        pieces = [] if self.chunks else [self._begin()]
        text, number = items.told_on(Channel.TEXT), items.count
        for event in events:
            if type(event) is TextDelta and text is not None:  # what most lists are made of, in a third of the time
                text.pieces.append(event.text)
                pieces += (text.before_number, encode(number), text.before_text, encode(event.text), text.behind)
                number += 1
            else:
                items.count = number
                pieces.append(self._other(event))
                text, number = items.told_on(Channel.TEXT), items.count
                if self.response is not None:
                    break
        self.chunks = items.count = number
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                return self._items.say(Channel.TEXT, text)
            case ThinkingDelta(text):
                return self._think(text)
            case RefusalDelta(text):
                return self._items.say(Channel.REFUSAL, text)
            case ToolCallStart():
                return self._items.open_call(event)
            case ToolCallDelta(_, arguments):
                return self._items.add_arguments(arguments)
            case ToolCallEnd():
                return self._end_call()
            case Notice():
                self.notices.append(event)
            case Finish(reason, _):
                return self._end(reason)
            case Failed(error):
                return self._failure(error)
            case _:
                pass
        return b""

    def _begin(self) -> bytes:
        begun = b'"response":' + self._object.begun()
        return self._items.framed("response.created", begun) + self._items.framed("response.in_progress", begun)

    def _think(self, text: str) -> bytes:
        if not self._thoughts or self._thought_at != self._items.count:
            self._thoughts.append([])
        self._thoughts[-1].append(text)
        told = self._items.say(Channel.SUMMARY, text) if self._shows_reasoning else b""
        self._thought_at = self._items.count
        return told

    def _end_call(self) -> bytes:
        if self._items.has_broken_call:
            return self._failure(AnswerUnsatisfied("The model made a call whose arguments are not valid JSON.", code="invalid_arguments"))
        return self._items.end_call()

    def _end(self, reason: FinishReason) -> bytes:
        cut = INCOMPLETE.get(reason)
        if cut is None and self._items.has_open_call:
            return self._failure(StreamCut("The answer ended inside a tool call.", code="tool_call_cut"))
        self.reason = reason
        if cut is not None:
            return self._items.finish("incomplete") + self._final("incomplete", incomplete_details={"reason": cut})
        return self._items.finish("completed") + self._final("completed", completed_at=self._now())

    def _failure(self, error: PenstockError) -> bytes:
        self.error = error
        self._items.give_up()
        said = error_fields(error)
        told = self._items.event("error", {"code": said["code"], "message": said["message"], "param": said["param"], "error": said})
        return told + self._final("failed", error={"code": said["code"], "message": said["message"]})

    def _final(self, status: str, **changed: Json) -> bytes:
        usage = usage_fields(self._usage(), self._price)
        self.response = self._object.at(status, self._items.output, usage=usage, **changed)
        return self._items.framed(f"response.{status}", b'"response":' + self._object.encoded(self.response))


def responses_dialect(echo: Echo, *, shows_reasoning: bool, now: Callable[[], int] | None = None) -> Dialect:
    """How a request with this echo is answered.

    Reasoning is shown where both `shows_reasoning` and the answer's head say so. `now` gives the time at which an answer ends, in seconds since the
    epoch; the system's clock if none is given.
    """
    form = partial(ResponsesStream, echo=echo, shows_reasoning=shows_reasoning, now=now)

    def stream(head: AnswerHead, usage: Callable[[], UsageReport]) -> Emitter:
        return form(head, usage)

    def whole(head: AnswerHead, answer: Whole, usage: UsageReport) -> bytes:
        return tell_whole(form(head, lambda: usage), answer)

    return Dialect(ID_PREFIX, stream, whole)


def tell_whole(stream: ResponsesStream, answer: Whole) -> bytes:
    """The whole form of an answer: the object that a new stream of it ends with, which `stream.response` is then too.

    Raises:
        PenstockError: the answer came to its end and failed all the same: its last call was cut, or one cannot be run.
    """
    stream.feed([*answer.spoken, Finish(answer.reason or FinishReason.STOP)])
    if stream.error is not None:
        raise stream.error
    return encode(stream.response)
