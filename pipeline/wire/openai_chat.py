"""The answer of a Chat Completions upstream: bytes to events.

Theory of operation: the body is an event stream, or a whole completion or an error, since some servers answer so although a stream was asked for
(`AnswerBody`). Each `data:` of a stream is one chunk, read leniently: unknown fields, null and missing ones are of no effect. A delta's reasoning
comes out before its text, refusal and tool calls; `pipeline.wire.openai_calls` makes the calls well formed.

The answer ends with `[DONE]`, or with the body if a finish_reason came before. Only then are the usage, the last one that was told, and `Finish`
sent, since usage comes behind the finish_reason. A body that ends with neither was cut, and so was one that ends with `[DONE]` alone, or for a reason
that is not known here, while a call is not known to be whole: what nobody said was finished is never given out as a call to run. Text alone before
such an end is an answer, named by a Notice, since many servers leave the reason out; `[DONE]` with neither a reason nor anything before it is none.

Invariants: nothing raises; the same bytes give the same events however they are cut; after `Finish` or `Failed` nothing more comes. Keep-alives and
comments give no event. What is passed over or mended is named by a Notice, once each. What is held is at most one unfinished event or one whole
completion, of `MAX_EVENT_BYTES`, and what a call that is still open keeps back.

Left alone: text that waits behind a call when the stream fails, as the call itself; `reasoning_details`, which repeats `reasoning`.
"""

from collections.abc import Callable, Collection

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamError, UpstreamUnavailable
from pipeline.events import Finish, FinishReason, Notice, RefusalDelta, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.openai_answer import DONE, AnswerReader
from pipeline.wire.openai_calls import CallDelta, ChatCalls
from pipeline.wire.openai_chunks import Chunk, ChunkCall, ChunkDelta, ChunkFunction, arguments_of, decode_chunk, mended, read_usage, text_of
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.sse import MAX_EVENT_BYTES, ServerSentEvent

REQUEST_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
"""The headers of a request for a stream, without the credential."""

FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    # Mistral's and Anthropic's words, which some servers keep
    "model_length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
}
"""An upstream's word -> what it means; any other word is `stop` with a Notice where no call can be half."""

CUTTING = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
"""The reasons that cut an answer short, perhaps inside a call."""

# Words for an answer that was broken off (OpenRouter, DeepSeek, vLLM, SGLang): passing it on as finished would be a lie.
FAILURES: dict[str, tuple[type[UpstreamError], str]] = {
    "error": (UpstreamError, "The upstream broke the answer off with an error."),
    "abort": (UpstreamError, "The upstream broke the answer off."),
    "cancelled": (UpstreamError, "The upstream broke the answer off."),
    "canceled": (UpstreamError, "The upstream broke the answer off."),
    "insufficient_system_resource": (UpstreamUnavailable, "The upstream broke the answer off for want of resources."),
}


class OpenAIChatDecoder(AnswerReader):
    r"""Feed a body, get events; splits may fall anywhere.

    >>> decoder = OpenAIChatDecoder(new_id=lambda: "call_1")
    >>> decoder.feed(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: {"choices": [{"finish_reason": "stop"}]}\n\n')
    [TextDelta(text='Hi')]
    >>> decoder.end()
    [Finish(reason=<FinishReason.STOP: 'stop'>, raw='stop')]
    """

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        tools: Collection[str] = (),
        taken_ids: Collection[str] = (),
        reasoning_field: str = "reasoning_content",
        errors: OpenAIErrors | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """`tools` are the names that the client offers, `taken_ids` those of the calls in the history.

        Of two fields with reasoning in one delta, `reasoning_field` counts.
        """
        super().__init__(errors, max_event_bytes)
        self._reasoning_first = reasoning_field == "reasoning"
        self._calls = ChatCalls(new_id=new_id, names=tools, taken_ids=taken_ids)
        self._raw: str | None = None
        self._goes_on = False  # behind a finish_reason
        self._noted: set[str] = set()

    @property
    def awaits_end(self) -> bool:
        """Whether all is said and why it ended, so that only the usage and the end mark may follow.

        It never is with a server that gives a reason on each chunk.
        """
        return self._raw is not None and self._has_spoken and not self._goes_on and not self.is_over

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body; `fault` is what broke it off, None for a proper end. An answer that was complete before is none the worse for it."""
        events = self._events = []
        if self.is_over:
            return events
        whole = self._body.whole
        if whole is not None:
            self._read_whole(whole, fault)
        for event in self._body.end():
            if event.data.strip() == DONE or decode_chunk(event.data) is not None:
                self._dispatch(event)
        if not self.is_over:
            if self._raw is not None:
                self._finish()
            else:
                self._fail(fault or StreamCut("The upstream's stream ended before its end mark."))
        return events

    def _dispatch(self, sent: ServerSentEvent) -> None:
        data = sent.data.strip()
        if self.is_over or not data:
            return
        self.data_events += 1
        if data == DONE:
            self._finish()
            return
        if sent.event == "error":
            self._fail(self._errors.from_stream(decode_json(data)))
            return
        chunk = self._chunk(data)
        if chunk is None:
            self._fail(ProtocolViolation("The upstream sent an event that is no chunk of an answer."))
        elif not self._tell_error(chunk, data):
            self._read(chunk)

    def _chunk(self, data: bytes) -> Chunk | None:
        chunk = decode_chunk(data)
        if chunk is None:
            chunk = decode_chunk(mended(data))
            if chunk is not None:
                self._note("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD")
        return chunk

    def _read_whole(self, data: bytes, fault: PenstockError | None) -> None:
        if data.startswith(b"["):  # a list around an error
            self._fail(fault or self._errors.from_stream(decode_json(data)))
            return
        chunk = self._chunk(data)
        if chunk is None:
            self._fail(fault or ProtocolViolation("The upstream's answer is neither an event stream nor a whole completion."))
        elif not self._tell_error(chunk, data):
            if not chunk.choices:
                self._fail(ProtocolViolation("The upstream's answer holds no choice."))
                return
            self._read(chunk)
            self._finish()

    def _tell_error(self, chunk: Chunk, data: bytes) -> bool:
        """Whether a chunk is an error, which then ends the answer."""
        is_flat = chunk.object == "error" or (chunk.choices is None and chunk.code is not None and isinstance(chunk.message, str))
        if chunk.error or is_flat:
            self._fail(self._errors.from_stream(decode_json(data)))
        return self.is_over

    def _read(self, chunk: Chunk) -> None:
        usage = chunk.usage
        for place, choice in enumerate(chunk.choices or ()):
            if choice is None:
                continue
            if (choice.index if isinstance(choice.index, int) else place) != 0:
                self._note("extra_choices", "the upstream sent several answers; only the first one is passed on")
                continue
            delta = choice.delta
            if delta is None and not self._has_spoken:
                delta = choice.message
            if delta is not None:
                before = len(self._events)
                self._read_delta(delta)
                self._goes_on = self._goes_on or (self._raw is not None and len(self._events) > before)
            if isinstance(choice.finish_reason, str) and choice.finish_reason:
                self._raw = choice.finish_reason
            usage = usage or choice.usage  # Moonshot's place for it
        if usage:
            self._usage = read_usage(usage) or self._usage

    def _read_delta(self, delta: ChunkDelta) -> None:
        events, calls = self._events, self._calls
        before = len(events)
        one, other = delta.reasoning_content, delta.reasoning
        if self._reasoning_first:
            one, other = other, one
        thought = one if isinstance(one, str) and one else other
        if isinstance(thought, str) and thought:
            calls.speak(ThinkingDelta(thought), events)
        content = delta.content
        if isinstance(content, str):
            if content:
                calls.speak(TextDelta(content), events)
        elif content is not None:
            self._read_parts(content)
        if isinstance(delta.refusal, str) and delta.refusal:
            calls.speak(RefusalDelta(delta.refusal), events)
        for call in delta.tool_calls or ():
            if call is not None:
                calls.add(_call_delta(call), events)
        if delta.function_call is not None:
            calls.add(CallDelta(name=text_of(delta.function_call.name), arguments=arguments_of(delta.function_call.arguments)), events)
        self._has_spoken = self._has_spoken or any(not isinstance(event, Notice) for event in events[before:])

    def _read_parts(self, content: Json) -> None:
        """Content as a list of parts, as Mistral's reasoning models send it."""
        for part in as_list(content):
            fields = as_object(part)
            if isinstance(text := fields.get("text"), str) and text:
                self._calls.speak(TextDelta(text), self._events)
            for thought in as_list(fields.get("thinking")):
                if isinstance(text := as_object(thought).get("text"), str) and text:
                    self._calls.speak(ThinkingDelta(text), self._events)
            if fields.get("type") not in ("text", "thinking"):
                self._note("unreadable_content", "the upstream sent content that is no text; it was left out")
        if not isinstance(content, list):
            self._note("unreadable_content", "the upstream sent content that is no text; it was left out")

    def _finish(self) -> None:
        raw = self._raw
        if raw is not None and raw in FAILURES:
            error, message = FAILURES[raw]
            self._fail(error(message))
            return
        if raw is None and not self._has_spoken:
            self._fail(StreamCut("The upstream's stream ended before it began."))
            return
        reason = FINISH_REASONS.get(raw or "")
        if reason is None and not self._calls.are_whole:
            self._fail(StreamCut("The upstream's stream ended inside a tool call."))
            return
        self._calls.end(self._events, cut=reason in CUTTING)
        if raw is None:
            self._note("no_finish_reason", "the upstream ended its answer without saying why")
        elif reason is None:
            self._note("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here")
        if reason is None or (reason is FinishReason.TOOL_CALLS and not self._calls.count):
            reason = FinishReason.STOP
        self._report_usage()
        self._events.append(Finish(reason, raw))
        self.is_over = True

    def _note(self, code: str, detail: str) -> None:
        if code not in self._noted:
            self._noted.add(code)
            self._events.append(Notice(code, detail))


def _call_delta(call: ChunkCall) -> CallDelta:
    index = call.index if isinstance(call.index, int) else None
    if call.custom is not None:
        return CallDelta(index, text_of(call.id), text_of(call.custom.name), arguments_of(call.custom.input), custom=True)
    function = call.function or ChunkFunction()
    return CallDelta(index, text_of(call.id), text_of(function.name), arguments_of(function.arguments))
