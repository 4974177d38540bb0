"""What the messages of a run of the SDK's agent say, one by one.

Theory of operation: `RunMessages` is given the object of an update or of a message, and puts what it says to the client behind its `events`: text and
thinking, once each however often they are told (`pipeline.wire.sdk_told`), and a Notice for each tool that the agent ran by itself. What only matters
at the end it keeps: the usage, the run's id, and what a status said of trouble. `UPDATES` and `MESSAGES` name the types that are read; the others are
of no effect.

Invariants: nothing raises. Left alone: calls of the client's tools, which are asked for by callbacks; the agent's way to them is no tool of its own.
"""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Protocol

from pipeline.events import Notice, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object
from pipeline.wire.sdk_told import Tail, ToldTwice
from pipeline.wire.sdk_usage import Counts, read_counts, summed

MAX_TOOL_NOTICES = 16
MAX_CALLS = 4096

# All custom tools are of this kind, and the agent finds and calls them with these two.
_WAYS_TO_CUSTOM_TOOLS = frozenset({"mcp", "getmcptools", "callmcptool"})
_MAX_ID_CHARS = 512
_MAX_NAME_CHARS = 64

Fields = Mapping[str, Json]


class _Reader(Protocol):
    """How one type is read."""

    def __call__(self, messages: Any, fields: Fields, /) -> None:
        """Take what matters out of its fields."""
        ...


class RunMessages:
    """The messages of one run.

    Attributes:
        call_order: the ids of the calls that the model has begun, each with its place among them; of so many that it is no list of calls, the first.
        events: where what is said goes; the caller puts a list of its own there.
        has_said_text: text has been said since the caller last took this back.
        run_id: the run's id, from the first message that names it.
        trouble: what the last status of an error said.
        usage: the counts that ends of turns told, or else the messages about them.
    """

    def __init__(self, custom_tools: Collection[str], secrets: Collection[str]) -> None:
        """`custom_tools` are the names of the client's; none of the `secrets` stands in `trouble`."""
        self.call_order: dict[str, int] = {}
        self.events: list[UpstreamEvent] = []
        self.has_said_text = False
        self.run_id: str | None = None
        self.trouble = ""
        self._custom_tools = frozenset(custom_tools)
        self._secrets = secrets
        self._text, self._thinking = ToldTwice(), ToldTwice()
        self._said, self._told = Tail(), Tail()  # what was said, and what the messages alone told of the same
        self._agent_tools: set[str] = set()
        self._of_turns: Counts = {}
        self._of_messages: Counts = {}

    @property
    def usage(self) -> Counts:
        """The two tell the same."""
        return self._of_turns or self._of_messages

    def read_update(self, kind: Json, fields: Fields) -> None:
        """An `interactionUpdate`."""
        self._read(self.UPDATES, kind, fields)

    def read_message(self, kind: Json, fields: Fields) -> None:
        """An `sdkMessage`."""
        self.learn_run_id(fields.get("run_id"))
        self._read(self.MESSAGES, kind, fields)

    def learn_run_id(self, run_id: Json) -> None:
        """Take what may be the run's id, unless it is known."""
        if self.run_id is None and isinstance(run_id, str) and 0 < len(run_id) <= _MAX_ID_CHARS:
            self.run_id = run_id

    def read_text_of_result(self, text: Json, *, is_part: bool) -> None:
        """The text of the run's result, of the whole run or its last part: what of it was not said before is said.

        That is all of it where the bridge tells nothing else, and a part where updates ended early. `is_part` says that another part of the run was
        answered before.
        """
        if not isinstance(text, str) or not text.strip() or self._said.holds(text):
            return
        rest = self._said.rest_of(text)
        if rest is None and self._told.holds(text):
            rest = self._said.rest_of(self._told)
        if rest is None and not self.has_said_text:
            rest = text
        if rest is not None:
            self._say(rest if self.has_said_text else rest.lstrip())
        elif not (is_part and self._said.is_end_of(text)):
            self.events.append(Notice("contradictory_text", "the text of the run's result is not what the run said"))

    def _read(self, table: Mapping[str, _Reader], kind: Json, fields: Fields) -> None:
        reader = table.get(kind) if isinstance(kind, str) else None
        if reader is not None:
            reader(self, fields)

    def _say(self, text: str) -> None:
        if text:
            self.has_said_text = True
            self._said.add(text)
            self.events.append(TextDelta(text))

    def _think(self, text: str) -> None:
        if text:
            self.events.append(ThinkingDelta(text))

    def _name_tool(self, name: Json) -> None:
        if not isinstance(name, str) or name in self._custom_tools or name in self._agent_tools or len(self._agent_tools) == MAX_TOOL_NOTICES:
            return
        if name.replace("_", "").replace("-", "").lower() not in _WAYS_TO_CUSTOM_TOOLS:
            self._agent_tools.add(name)
            self.events.append(Notice("agent_tool", f"the agent used its own tool {clean_message(name[:_MAX_NAME_CHARS])!r}"))

    def _read_delta(self, fields: Fields) -> None:
        self._say(self._text.by_update(_text(fields)))

    def _read_thinking_delta(self, fields: Fields) -> None:
        self._think(self._thinking.by_update(_text(fields)))

    def _read_tool_start(self, fields: Fields) -> None:
        call, call_id = as_object(fields.get("toolCall")), fields.get("callId")
        if isinstance(call_id, str) and len(call_id) <= _MAX_ID_CHARS and len(self.call_order) < MAX_CALLS:
            self.call_order.setdefault(call_id, len(self.call_order))
        self._name_tool(call.get("name") or call.get("type"))

    def _read_turn_end(self, fields: Fields) -> None:
        self._of_turns = summed([self._of_turns, read_counts(fields.get("usage"))])

    def _read_assistant(self, fields: Fields) -> None:
        for block in map(as_object, as_list(as_object(fields.get("message")).get("content"))):
            if block.get("type") == "text":
                text = _text(block)
                self._told.add(text)
                self._say(self._text.by_message(text))

    def _read_thinking(self, fields: Fields) -> None:
        self._think(self._thinking.by_message(_text(fields)))

    def _read_tool_call(self, fields: Fields) -> None:
        self._name_tool(fields.get("name"))

    def _read_status(self, fields: Fields) -> None:
        message = fields.get("message")
        if fields.get("status") == "ERROR" and isinstance(message, str):
            self.trouble = clean_message(message, self._secrets)

    def _read_usage(self, fields: Fields) -> None:
        self._of_messages = summed([self._of_messages, read_counts(fields.get("usage"))])

    # the `type` of an update, and of a message -> what is read of it
    UPDATES: ClassVar[Mapping[str, _Reader]] = {
        "text-delta": _read_delta,
        "thinking-delta": _read_thinking_delta,
        "tool-call-started": _read_tool_start,
        "turn-ended": _read_turn_end,
    }
    MESSAGES: ClassVar[Mapping[str, _Reader]] = {
        "assistant": _read_assistant,
        "thinking": _read_thinking,
        "tool_call": _read_tool_call,
        "status": _read_status,
        "usage": _read_usage,
    }


def _text(fields: Fields) -> str:
    text = fields.get("text")
    return text if isinstance(text, str) else ""
