"""The items of a Responses answer as events, each text once, however often and under whatever names the upstream tells it.

Theory of operation: an answer is a list of items: messages, reasoning, calls. The API tells each text up to five times: in deltas, when a part is
done, twice; when the item is done; and in the response at the end. What has been told already is kept for each item, so that each later telling only
adds what is missing. One that says something else is named by a Notice, and what was told first stays; but what a call does must not depend on
chance, so that of a custom tool's call, or of arguments that are no JSON, it is a `fault` if the client has seen the first telling. What is only told
at the end comes out at the end.

A blank line stands between two parts of the reasoning. Items that are none of these, such as the record of a search that the upstream ran, are named
by a Notice.

Invariants: nothing raises; time is linear in what the upstream sends. Left alone: which item an event is about (`ItemFinder`), and the order of
calls and text (`CallQueue`).
"""

from collections.abc import Callable, Collection, Iterator

from pipeline.errors import ProtocolViolation
from pipeline.events import Notice, RefusalDelta, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.json_values import as_list, as_object
from pipeline.wire.openai_arguments import is_json
from pipeline.wire.openai_chunks import arguments_of, text_of
from pipeline.wire.openai_responses_calls import Call, CallQueue
from pipeline.wire.openai_responses_events import PARTS, Channel
from pipeline.wire.openai_responses_finding import KIND_OF_CHANNEL, KINDS, Item, ItemFinder, Kind

_OTHER_ITEMS = """
    apply_patch_call apply_patch_call_output code_interpreter_call compaction computer_call computer_call_output
    file_search_call image_generation_call local_shell_call local_shell_call_output mcp_approval_request mcp_call
    mcp_list_tools shell_call shell_call_output web_search_call
"""
OTHER_ITEMS = frozenset(_OTHER_ITEMS.split())
"""Types of items that a Notice may name."""

PART_BREAK = "\n\n"
"""Between two parts of the reasoning."""


class ResponseItems:
    """Each method appends the events that are certain now.

    >>> events, items = [], ResponseItems(new_id=lambda: "call_1")
    >>> items.delta(Channel.TEXT, "m", 0, 0, "Hi", events)
    >>> items.final([{"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi!"}]}], events, cut=False)
    >>> events
    [TextDelta(text='Hi'), TextDelta(text='!')]
    """

    def __init__(self, *, new_id: Callable[[], str], taken_ids: Collection[str] = ()) -> None:
        """`new_id` makes ids for calls that come without one; `taken_ids` are those of the conversation's earlier calls."""
        self.calls = CallQueue(new_id=new_id, taken_ids=taken_ids)
        self.fault: ProtocolViolation | None = None
        self._finder = ItemFinder()
        self._thought_at: tuple[Item, Channel, int] | None = None
        self._noted: set[tuple[str, str]] = set()

    def add(self, value: Json, index: int | None, events: list[UpstreamEvent]) -> None:
        """An item begins."""
        fields = as_object(value)
        kind = KINDS.get(text_of(fields.get("type")), Kind.OTHER)
        item = self._finder.added(kind, fields) or self._open(kind, fields, index)
        if kind is Kind.OTHER:
            self._note_other(fields, events)
        call = item.call
        if call is not None:
            call.offered = arguments_of(fields.get("input" if call.custom else "arguments"))
            self._describe(item, fields)
            self._enqueue(item, events)

    def delta(self, channel: Channel, item_id: str, index: int | None, part: int | None, text: str, events: list[UpstreamEvent]) -> None:
        """More of a channel, never empty."""
        item = self._item(channel, item_id, index, events)
        call = item.call
        if call is None:
            self._speak(item, channel, part, text, events)
        elif call.has_ended:
            self.note("late_arguments", f"{call.shown_name}: arguments behind their end were dropped", events)
        else:
            call.add(text)
            self.calls.advance(events)

    def part_done(
        self, channel: Channel, item_id: str, index: int | None, part: int | None, full: str, events: list[UpstreamEvent], *, name: str = ""
    ) -> None:
        """All of one part."""
        item = self._item(channel, item_id, index, events)
        call = item.call
        if call is None:
            self._say_rest(item, channel, part, full, events)
            return
        call.name = call.name or name
        self._complete(call, full, events)
        if self.fault is None:
            if full:
                call.settle()
            self.calls.advance(events)

    def item_done(self, value: Json, index: int | None, events: list[UpstreamEvent]) -> None:
        """All of an item."""
        fields = as_object(value)
        kind = KINDS.get(text_of(fields.get("type")), Kind.OTHER)
        if kind is Kind.OTHER:
            self._note_other(fields, events)
            return
        item = self._finder.done(kind, fields, index) or self._open(kind, fields, index)
        self._settle(item, fields, events, completed=text_of(fields.get("status")) in ("", "completed"))

    def final(self, output: Json, events: list[UpstreamEvent], *, cut: bool) -> None:
        """The whole output, at the end. In an answer that was `cut` short, an item is completed if it says so and is not the last one."""
        values = as_list(output)
        for place, value in enumerate(values):
            fields = as_object(value)
            kind = KINDS.get(text_of(fields.get("type")), Kind.OTHER)
            if kind is Kind.OTHER:
                self._note_other(fields, events)
                continue
            item = self._finder.counterpart(kind, fields, place) or self._open(kind, fields, None)
            status = text_of(fields.get("status"))
            completed = (status == "completed" and place + 1 < len(values)) if cut else status != "incomplete"
            self._settle(item, fields, events, completed=completed)
            if self.fault is not None:
                return

    def settle_offers(self, events: list[UpstreamEvent]) -> None:
        """Take the arguments with which a call was added, where nothing was told of them later."""
        for item in self._finder.items:
            call = item.call
            if call is not None and call.offered and not call.told.chars and not call.has_ended:
                call.add(call.offered)
        self.calls.advance(events)

    def note(self, code: str, detail: str, events: list[UpstreamEvent]) -> None:
        """A Notice, once."""
        if (code, detail) not in self._noted:
            self._noted.add((code, detail))
            events.append(Notice(code, detail))

    def _item(self, channel: Channel, item_id: str, index: int | None, events: list[UpstreamEvent]) -> Item:
        """The item that an event of a channel belongs to; a new one where the upstream did not add it."""
        kind = KIND_OF_CHANNEL[channel]
        item = self._finder.find(kind, item_id, index)
        if item is None:
            item = self._finder.open(kind, item_id, index, custom=channel is Channel.INPUT)
            self._enqueue(item, events)
        return item

    def _open(self, kind: Kind, fields: dict[str, Json], index: int | None) -> Item:
        return self._finder.open(kind, text_of(fields.get("id")), index, custom=fields.get("type") == "custom_tool_call")

    def _settle(self, item: Item, fields: dict[str, Json], events: list[UpstreamEvent], *, completed: bool) -> None:
        """Add what an item's own fields say beyond what was told of it; `completed` says that nothing of it is missing."""
        if item.call is not None:
            self._settle_call(item, item.call, fields, events, completed=completed)
        else:
            told: dict[Channel, list[str]] = {}
            for channel, text in self._parts(fields, events):
                told.setdefault(channel, []).append(text)
            for channel, texts in told.items():
                self._say_all(item, channel, texts, events)
        item.is_done = True

    def _settle_call(self, item: Item, call: Call, fields: dict[str, Json], events: list[UpstreamEvent], *, completed: bool) -> None:
        self._describe(item, fields)
        full = arguments_of(fields.get("input" if call.custom else "arguments"))
        self._complete(call, full or ("" if call.told.chars else call.offered), events)
        if self.fault is not None:
            return
        call.is_done = True
        if completed:
            call.complete()
        else:
            call.settle()
            call.is_cut = fields.get("status") == "incomplete" and not call.is_completed
        self._enqueue(item, events)

    def _describe(self, item: Item, fields: dict[str, Json]) -> None:
        """Keep what a call's item says of it; what comes behind the call's start does not change its name or kind any more."""
        call = item.call
        if call is None:
            return
        if call.number is None:
            call.name = call.name or text_of(fields.get("name"))
            call.custom = call.custom or fields.get("type") == "custom_tool_call"
        call.upstream_id = call.upstream_id or text_of(fields.get("call_id"))
        if call.upstream_id:
            self._finder.know_call(call.upstream_id, item)

    def _enqueue(self, item: Item, events: list[UpstreamEvent]) -> None:
        """Give a call its place in the answer, the first time that something is known of it."""
        call = item.call
        if call is not None:
            if call.is_queued:
                self.calls.advance(events)
            else:
                self.calls.open(call, events)

    def _complete(self, call: Call, full: str, events: list[UpstreamEvent]) -> None:
        """All of a call's arguments: add what is missing."""
        told = call.told
        if not full or (full.isspace() and not call.custom):
            return
        if told.begin(full) and (not call.has_ended or len(full) == told.chars):
            if len(full) > told.chars:
                call.add(full[told.chars :])
        elif call.is_contradicted or (call.is_settled and len(full) <= told.chars):
            # what was looked at before is not looked at again; of a custom tool's call, that not even two tellings agree
            if call.custom and not call.has_ended:
                self._fail(call)
        elif not call.says(full):
            call.is_contradicted = True
            if call.has_shown and not call.has_ended and (call.custom or not is_json(call.arguments)):
                self._fail(call)
                return
            self._contradict(events)
            if not call.has_shown and not call.has_ended:
                call.replace(full)

    def _fail(self, call: Call) -> None:
        self.fault = ProtocolViolation(f"The upstream told the arguments of {call.shown_name or 'a call'} twice, and not the same.")

    def _say_rest(self, item: Item, channel: Channel, part: int | None, full: str, events: list[UpstreamEvent]) -> None:
        said = item.said_on(channel)
        found = said.missing(part, full)
        if found is None:
            self._contradict(events)
        elif found[1]:
            self._speak(item, channel, *found, events)
        said.done(part if found is None else found[0])

    def _say_all(self, item: Item, channel: Channel, texts: list[str], events: list[UpstreamEvent]) -> None:
        """All parts of a channel: what was said, in whichever parts, must be how they begin."""
        said = item.said_on(channel)
        if not said.all.begin("".join(texts)):
            self._contradict(events)
            return
        skip = said.all.chars
        for place, text in enumerate(texts):
            if len(text) > skip:
                self._speak(item, channel, place, text[skip:], events)
            skip = max(0, skip - len(text))

    def _speak(self, item: Item, channel: Channel, part: int | None, text: str, events: list[UpstreamEvent]) -> None:
        part = item.said_on(channel).add(part, text)
        if channel is Channel.TEXT:
            self.calls.speak(TextDelta(text), events)
        elif channel is Channel.REFUSAL:
            self.calls.speak(RefusalDelta(text), events)
        else:
            here = (item, channel, part)
            if self._thought_at is not None and self._thought_at != here:
                text = PART_BREAK + text
            self._thought_at = here
            self.calls.speak(ThinkingDelta(text), events)

    def _parts(self, fields: dict[str, Json], events: list[UpstreamEvent]) -> Iterator[tuple[Channel, str]]:
        """The texts of a message or of reasoning."""
        content = fields.get("content")
        if isinstance(content, str):
            yield Channel.TEXT, content
        for value in (*as_list(fields.get("summary")), *as_list(content)):
            part = as_object(value)
            channel, name = PARTS.get(text_of(part.get("type")), (None, ""))
            text = part.get(name)
            if channel is not None and isinstance(text, str):
                yield channel, text
            else:
                self.note("unreadable_content", "the upstream sent content that is no text; it was left out", events)

    def _note_other(self, fields: dict[str, Json], events: list[UpstreamEvent]) -> None:
        kind = text_of(fields.get("type"))
        self.note("output_item_dropped", kind if kind in OTHER_ITEMS else "an item of a type that is not known here", events)

    def _contradict(self, events: list[UpstreamEvent]) -> None:
        self.note("contradictory_text", "the upstream told a text twice, and not the same; what it told first stays", events)
