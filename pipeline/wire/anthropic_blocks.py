"""The blocks of a Messages answer as events: text, reasoning and calls, whatever comes between.

Theory of operation: a block begins, is added to and ends; each method appends the events that are certain. Text and reasoning go out as they come.
The pieces of calls go to `pipeline.wire.openai_calls`, which gives them one behind the other, and holds back what is said while one is open. A block
of reasoning is over at its own end or when another block begins, and is followed by its signature if the server has signed it. A call that is over
and had no input is known to be whole when another block begins: if the answer ends there, it may have been cut.

Servers leave out ends and indices, use one index for all blocks, and put content into the first event of a block: what begins at an index ends the
block before it there, an event without an index is about the last block, and what a call began with counts if no pieces came.

Invariants: nothing raises, and time is linear. What is passed over is named by a Notice, once each. What is held is the signature of the open block,
of `MAX_SIGNATURE_CHARS` (a longer one is left out), the arguments that a call began with, and what `ChatCalls` holds.
"""

from collections.abc import Callable, Collection

import msgspec

from pipeline.events import Notice, TextDelta, ThinkingDelta, ThinkingEnd, UpstreamEvent, UsageReport
from pipeline.request import Json
from pipeline.wire.anthropic_events import BlockDelta
from pipeline.wire.openai_calls import CallDelta, ChatCalls, Spoken
from pipeline.wire.openai_chunks import text_of

MAX_SIGNATURE_CHARS = 1024 * 1024
"""How long a signature may be; they are some thousand characters, and a request has to carry all of them."""

TEXT, THINKING, REDACTED, TOOL_USE = "text", "thinking", "redacted_thinking", "tool_use"


class _Block:
    """One block. `number` is its place among all that began; `arguments` are those that came with its beginning, until others come.

    `is_silent` says that nothing of its input has come.
    """

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.number = number
        self.arguments = ""
        self.is_silent = kind == TOOL_USE
        self.signature: list[str] = []
        self.signature_chars = 0

    def sign(self, piece: Json) -> None:
        """More of the signature; what is too long of it is not held."""
        if isinstance(piece, str) and piece:
            self.signature_chars += len(piece)
            if self.signature_chars <= MAX_SIGNATURE_CHARS:
                self.signature.append(piece)
            else:
                self.signature.clear()


class AnswerBlocks:
    """The blocks of one answer; `asked` is a report that goes out before the first event that says something.

    >>> blocks, events = AnswerBlocks(new_id=lambda: "toolu_1"), []
    >>> blocks.begin({"type": "tool_use", "id": "toolu_9", "name": "now", "input": {}}, 0, events)
    >>> blocks.end_all(events)
    >>> blocks.calls.end(events)
    >>> events
    [ToolCallStart(index=0, id='toolu_9', name='now'), ToolCallDelta(index=0, arguments='{}'), ToolCallEnd(index=0)]
    """

    def __init__(self, *, new_id: Callable[[], str], tools: Collection[str] = (), taken_ids: Collection[str] = ()) -> None:
        """`new_id` makes ids for calls without one; `tools` are the names that the client offers, `taken_ids` those of the calls in the history."""
        self.calls = ChatCalls(new_id=new_id, names=tools, taken_ids=taken_ids)
        self.asked: UsageReport | None = None
        self._count = 0
        self._by_index: dict[int, _Block] = {}
        self._last: _Block | None = None
        self._thinking: _Block | None = None  # the open block of reasoning
        self._silent: list[_Block] = []  # calls that are over, without input
        self._noted: set[str] = set()

    def begin(self, fields: dict[str, Json], index: int | None, events: list[UpstreamEvent]) -> None:
        """A block begins, with what of its content stands there already."""
        self._end_thinking(events)
        self._close(self._at(index), events)  # one whose end was left out
        for silent in self._silent:
            if silent.is_silent:
                self._call(CallDelta(silent.number, arguments="{}"), events)
        self._silent.clear()
        kind = text_of(fields.get("type"))
        block = self._new(kind, index)
        if kind == TEXT:
            self._say(TextDelta, fields.get("text"), events)
            if fields.get("citations"):
                self._note_citation(events)
        elif kind == THINKING:
            self._thinking = block
            block.sign(fields.get("signature"))
            self._say(ThinkingDelta, fields.get("thinking"), events)
        elif kind == REDACTED:
            if redacted := text_of(fields.get("data")):
                self.speak(ThinkingEnd(redacted=redacted), events)
        elif kind == TOOL_USE:
            block.arguments = _arguments(fields.get("input"))
            self._call(CallDelta(block.number, text_of(fields.get("id")), text_of(fields.get("name"))), events)
        else:
            self.note("output_item_dropped", "the upstream's answer held a block that is no text, reasoning or call; it was left out", events)

    def add(self, delta: BlockDelta, index: int | None, events: list[UpstreamEvent]) -> None:
        """More of a block; one that was never begun can be told by what comes."""
        kind = delta.type
        if kind == "text_delta":
            self._say(TextDelta, delta.text, events)
        elif kind == "thinking_delta":
            self._say(ThinkingDelta, delta.thinking, events)
        elif kind == "input_json_delta":
            block = self._at(index) or self._new(TOOL_USE, index)
            if block.kind == TOOL_USE and isinstance(delta.partial_json, str) and delta.partial_json:
                block.arguments, block.is_silent = "", False
                self._call(CallDelta(block.number, arguments=delta.partial_json), events)
        elif kind == "signature_delta":
            thinking = self._thinking
            if thinking is not None and thinking is self._at(index):
                thinking.sign(delta.signature)
        elif kind == "citations_delta":
            self._note_citation(events)
        else:
            self.note("unreadable_content", "the upstream sent content that is no text; it was left out", events)

    def end(self, index: int | None, events: list[UpstreamEvent]) -> None:
        """A block is over."""
        self._close(self._at(index), events)

    def end_all(self, events: list[UpstreamEvent]) -> None:
        """The answer is over; its calls are ended by their own rules."""
        self._end_thinking(events)
        for block in (*self._by_index.values(), self._last):
            self._close(block, events)

    def speak(self, event: Spoken, events: list[UpstreamEvent]) -> None:
        """Something that the model says."""
        self._tell_asked(events)
        self.calls.speak(event, events)

    def note(self, code: str, detail: str, events: list[UpstreamEvent]) -> None:
        """A Notice, once."""
        if code not in self._noted:
            self._noted.add(code)
            events.append(Notice(code, detail))

    def _new(self, kind: str, index: int | None) -> _Block:
        block = _Block(kind, self._count)
        self._last = block
        self._count += 1
        if index is not None:
            self._by_index[index] = block
        return block

    def _at(self, index: int | None) -> _Block | None:
        """The block that an event is about; without an index it is the last one."""
        return self._last if index is None else self._by_index.get(index)

    def _close(self, block: _Block | None, events: list[UpstreamEvent]) -> None:
        if block is None:
            return
        if block is self._thinking:
            self._end_thinking(events)
        elif block.arguments:
            self._call(CallDelta(block.number, arguments=block.arguments), events)
            block.arguments, block.is_silent = "", False
        elif block.is_silent and block not in self._silent[-1:]:
            self._silent.append(block)

    def _end_thinking(self, events: list[UpstreamEvent]) -> None:
        block, self._thinking = self._thinking, None
        if block is None:
            return
        if block.signature_chars > MAX_SIGNATURE_CHARS:
            self.note("signature_dropped", "the signature of the model's reasoning was too long and was left out", events)
        elif block.signature:
            self.speak(ThinkingEnd("".join(block.signature)), events)

    def _say(self, kind: type[TextDelta] | type[ThinkingDelta], text: Json, events: list[UpstreamEvent]) -> None:
        if isinstance(text, str) and text:
            self.speak(kind(text), events)

    def _call(self, delta: CallDelta, events: list[UpstreamEvent]) -> None:
        self._tell_asked(events)
        self.calls.add(delta, events)

    def _tell_asked(self, events: list[UpstreamEvent]) -> None:
        if self.asked is not None:
            events.append(self.asked)
            self.asked = None

    def _note_citation(self, events: list[UpstreamEvent]) -> None:
        self.note("annotation_dropped", "the upstream named sources of its text; they were left out", events)


def _arguments(value: Json) -> str:
    """The input of a call as JSON text; none for an empty one, whose pieces are still to come."""
    return msgspec.json.encode(value).decode() if value else ""
