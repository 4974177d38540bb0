"""One event of a Responses stream, read leniently, and what is done with each type of event.

Theory of operation: the bytes of one event's data come in; a `ResponsesEvent` goes out, or None for bytes that are no JSON object. Its type stands in
the JSON, or, with servers that leave it out there, in the name of the SSE event; `EVENTS` says what each type is to us. A type that is not in the
table has no effect. All fields may be null, missing or of another type, and whoever reads one looks at it. The `response` that the first and the last
events carry is left undecoded until it is wanted, since it repeats the whole request.

Sources: the types of OpenAI's own SDK, and the spellings of servers that speak an older or a further form of them.

Invariants: nothing raises, whatever the bytes are.
"""

from enum import Enum, auto
from typing import NamedTuple

import msgspec

from pipeline.events import UsageReport
from pipeline.request import Json
from pipeline.wire.json_values import as_object
from pipeline.wire.openai_chunks import read_usage


class Action(Enum):
    """What an event does."""

    ADD = auto()
    """An item of the output begins."""
    DELTA = auto()
    """More of a channel."""
    DONE = auto()
    """All of one part of a channel, once more or for the first time."""
    PART_DONE = auto()
    """The same in the form of a content part, whose own type says which channel it is."""
    ITEM_DONE = auto()
    """All of an item."""
    END = auto()
    """The end of the answer, with all of it."""
    ERROR = auto()
    TELL = auto()
    """Something that no other dialect has a place for; a Notice names it."""
    NOTHING = auto()
    """Progress, or what the item that it belongs to says too."""


class Channel(Enum):
    """What a text is."""

    TEXT = auto()
    REFUSAL = auto()
    THOUGHT = auto()
    SUMMARY = auto()
    ARGUMENTS = auto()
    INPUT = auto()


class Meaning(NamedTuple):
    """An event's action, and the channel of those that have one."""

    action: Action
    channel: Channel | None = None


_NOTHING = Meaning(Action.NOTHING)
_TELL = Meaning(Action.TELL)
_END = Meaning(Action.END)

EVENTS: dict[str, Meaning] = {
    "error": Meaning(Action.ERROR),
    "response.created": _NOTHING,
    "response.queued": _NOTHING,
    "response.in_progress": _NOTHING,
    "response.completed": _END,
    "response.incomplete": _END,
    "response.failed": _END,
    "response.output_item.added": Meaning(Action.ADD),
    "response.output_item.done": Meaning(Action.ITEM_DONE),
    "response.content_part.added": _NOTHING,  # an empty part
    "response.content_part.done": Meaning(Action.PART_DONE),
    "response.output_text.delta": Meaning(Action.DELTA, Channel.TEXT),
    "response.output_text.done": Meaning(Action.DONE, Channel.TEXT),
    "response.output_text.annotation.added": _TELL,
    "response.refusal.delta": Meaning(Action.DELTA, Channel.REFUSAL),
    "response.refusal.done": Meaning(Action.DONE, Channel.REFUSAL),
    "response.reasoning_text.delta": Meaning(Action.DELTA, Channel.THOUGHT),
    "response.reasoning_text.done": Meaning(Action.DONE, Channel.THOUGHT),
    "response.reasoning_summary_part.added": _NOTHING,  # an empty part
    "response.reasoning_summary_part.done": Meaning(Action.PART_DONE),
    "response.reasoning_summary_text.delta": Meaning(Action.DELTA, Channel.SUMMARY),
    "response.reasoning_summary_text.done": Meaning(Action.DONE, Channel.SUMMARY),
    "response.function_call_arguments.delta": Meaning(Action.DELTA, Channel.ARGUMENTS),
    "response.function_call_arguments.done": Meaning(Action.DONE, Channel.ARGUMENTS),
    "response.custom_tool_call_input.delta": Meaning(Action.DELTA, Channel.INPUT),
    "response.custom_tool_call_input.done": Meaning(Action.DONE, Channel.INPUT),
    # sound was not asked for
    "response.audio.delta": _TELL,
    "response.audio.done": _NOTHING,
    "response.audio.transcript.delta": _TELL,
    "response.audio.transcript.done": _NOTHING,
    # tools that run at the upstream: their items are named by a Notice when they are added or done
    "response.code_interpreter_call.in_progress": _NOTHING,
    "response.code_interpreter_call.interpreting": _NOTHING,
    "response.code_interpreter_call.completed": _NOTHING,
    "response.code_interpreter_call_code.delta": _NOTHING,
    "response.code_interpreter_call_code.done": _NOTHING,
    "response.compaction.compacting": _NOTHING,
    "response.file_search_call.in_progress": _NOTHING,
    "response.file_search_call.searching": _NOTHING,
    "response.file_search_call.completed": _NOTHING,
    "response.image_generation_call.in_progress": _NOTHING,
    "response.image_generation_call.generating": _NOTHING,
    "response.image_generation_call.partial_image": _NOTHING,
    "response.image_generation_call.completed": _NOTHING,
    "response.mcp_call.in_progress": _NOTHING,
    "response.mcp_call.completed": _NOTHING,
    "response.mcp_call.failed": _NOTHING,
    "response.mcp_call_arguments.delta": _NOTHING,
    "response.mcp_call_arguments.done": _NOTHING,
    "response.mcp_list_tools.in_progress": _NOTHING,
    "response.mcp_list_tools.completed": _NOTHING,
    "response.mcp_list_tools.failed": _NOTHING,
    "response.shell_call_command.added": _NOTHING,
    "response.shell_call_command.delta": _NOTHING,
    "response.shell_call_command.done": _NOTHING,
    "response.shell_call_output_content.delta": _NOTHING,
    "response.shell_call_output_content.done": _NOTHING,
    "response.web_search_call.in_progress": _NOTHING,
    "response.web_search_call.searching": _NOTHING,
    "response.web_search_call.completed": _NOTHING,
    # not in OpenAI's own types
    "response.cancelled": _END,
    "response.done": _END,  # Azure's and the Realtime API's word for all three ends
    "response.error": Meaning(Action.ERROR),
    "response.reasoning.delta": Meaning(Action.DELTA, Channel.THOUGHT),
    "response.reasoning.done": Meaning(Action.DONE, Channel.THOUGHT),
}
"""A type of event -> what it means here."""

# a content part's own type -> its channel and the field of its text
PARTS = {
    "output_text": (Channel.TEXT, "text"),
    "text": (Channel.TEXT, "text"),
    "refusal": (Channel.REFUSAL, "refusal"),
    "reasoning_text": (Channel.THOUGHT, "text"),
    "summary_text": (Channel.SUMMARY, "text"),
}

USAGE_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""A figure's name here -> its name in Chat Completions."""

_NULL = msgspec.Raw(b"null")


class ResponsesEvent(msgspec.Struct, frozen=True, gc=False):
    """One event; `text`, `refusal`, `arguments` and `input` are those of the events that say all of a part."""

    type: Json = None
    delta: Json = None
    item_id: Json = None
    output_index: Json = None
    content_index: Json = None
    summary_index: Json = None
    text: Json = None
    refusal: Json = None
    arguments: Json = None
    input: Json = None
    name: Json = None
    item: Json = None
    part: Json = None
    response: msgspec.Raw = _NULL
    error: Json = None
    object: Json = None

    @property
    def part_index(self) -> int | None:
        """Which part of the item it belongs to."""
        index = self.content_index if self.content_index is not None else self.summary_index
        return index if isinstance(index, int) else None

    def said(self, channel: Channel) -> Json:
        """The whole text of a channel's part."""
        return {Channel.REFUSAL: self.refusal, Channel.ARGUMENTS: self.arguments, Channel.INPUT: self.input}.get(channel, self.text)


_EVENTS = msgspec.json.Decoder(ResponsesEvent)


def decode_event(data: bytes) -> ResponsesEvent | None:
    """The event in these bytes, None where there is none."""
    try:
        return _EVENTS.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def read_response_usage(value: Json) -> UsageReport | None:
    """The `usage` of a response; None where it counts nothing. Some servers use the names of Chat Completions.

    >>> read_response_usage({"input_tokens": 9, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 2}})
    UsageReport(prompt_tokens=9, completion_tokens=3, reasoning_tokens=2, cached_tokens=0, estimated=False)
    """
    return read_usage({USAGE_NAMES.get(name, name): count for name, count in as_object(value).items()})
