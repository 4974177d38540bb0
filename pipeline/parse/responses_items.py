"""The items of a Responses body as turns of the conversation.

Theory of operation: a list of items comes in: messages, calls, results, reasoning. A message of the user or the system and a result is a turn of its
own. What the assistant did stands in several items, one for its reasoning, its text and each of its calls: neighbours of these are one turn, with
line feeds between texts that were separate messages. Reasoning belongs to the turn that it stands in; the text of its content counts, or else its
summary. A reference to an item is that item where it can be found. A file is written as Chat Completions has it, which upstreams of both APIs are
given in their own form; one by its address has no form there, and is refused. Images and files know their places in the body: whoever refuses one
later has to name it as the client wrote it.

Left out, and named in the ledger: items whose kind only OpenAI's own servers can make anything of, references to what is not stored, encrypted
reasoning, and reasoning that nothing follows. An item of another kind is the client's error, so that no part of a conversation is lost in silence.
Fields of an item that number it, or say that it is complete, are bookkeeping and dropped; those that mean something only to OpenAI's servers are
named in the ledger, and those that nobody knows stay with their message, part or call (`extra`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from pipeline.errors import RequestError, ResponseNotFound, UnsupportedParameter
from pipeline.parse.body import is_object, read
from pipeline.parse.content import PART_FIELDS, Content, read_content
from pipeline.parse.pairing import Key, Turn
from pipeline.parse.quirks.items import DROPPED_ITEMS
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.typed import needed_text, required, text_at
from pipeline.parse.responses_namespaces import Namespaces
from pipeline.request import ImagePart, Json, Message, OpaquePart, Part, Role, TextPart, ToolCall

ROLES = {"user": Role.USER, "system": Role.SYSTEM, "developer": Role.SYSTEM, "assistant": Role.ASSISTANT}

ReadItem = Callable[[str], Json | None]
"""A stored item by its id, None where there is none."""

LEFT_OUT = DROPPED_ITEMS - {"reasoning", "item_reference"} | {"compaction_summary", "context_compaction"}
"""The items that only OpenAI's servers can make anything of."""

REASONING_PREFIX = "rs_"
"""How the ids of reasoning begin, here and at OpenAI."""

BETWEEN_MESSAGES = "\n"
BETWEEN_THOUGHTS = "\n\n"

BOOKKEEPING = frozenset({"type", "id", "status", "created_by"})
OF_OPENAI = frozenset({"phase", "caller", "async", "annotations", "logprobs", "prompt_cache_breakpoint"})
"""Fields of items and parts that mean something only to OpenAI's own servers."""


class MessageItem(msgspec.Struct, frozen=True):
    """A message."""

    role: str
    content: Content = None
    name: str | None = None


class CallItem(msgspec.Struct, frozen=True):
    """A call of a function (`arguments`, JSON text) or of a custom tool (`input`, any text)."""

    call_id: str
    name: str
    arguments: str | None = None
    input: str | None = None
    namespace: str | None = None


class OutputItem(msgspec.Struct, frozen=True):
    """The result of a call, as text or as parts."""

    call_id: str
    output: str | list[dict[str, Json]]
    name: str | None = None
    namespace: str | None = None


class Thought(msgspec.Struct, frozen=True):
    """A part of a reasoning item."""

    text: str


class ReasoningItem(msgspec.Struct, frozen=True):
    """What the model thought."""

    summary: list[Thought] | None = None
    content: list[Thought] | None = None
    encrypted_content: str | None = None


_READ_OF_MESSAGE = BOOKKEEPING.union(MessageItem.__struct_fields__)
_READ_OF_CALL = {
    "function_call": BOOKKEEPING | {"call_id", "name", "namespace", "arguments"},
    "custom_tool_call": BOOKKEEPING | {"call_id", "name", "namespace", "input"},
}
_READ_OF_OUTPUT = BOOKKEEPING.union(OutputItem.__struct_fields__)


class Draft(msgspec.Struct):
    """The assistant's turn while its items come; `texts` counts its messages."""

    path: str
    parts: list[Part] = []
    calls: list[ToolCall] = []
    thoughts: list[str] = []
    name: str | None = None
    extra: dict[str, Json] = {}
    texts: int = 0


class Placed(msgspec.Struct, frozen=True):
    """A turn and the place of its first item in the body."""

    turn: Turn
    path: str


class ItemReader:
    """Reads items one by one; `stored` finds those that are referred to. Each turn comes out as soon as it is complete."""

    def __init__(self, namespaces: Namespaces, ledger: Ledger, stored: ReadItem | None = None) -> None:
        self._namespaces = namespaces
        self._ledger = ledger
        self._stored = stored
        self._draft: Draft | None = None

    def read(self, items: Sequence[Json], place: str) -> Iterator[Placed]:
        """The turns of all items of a list that stands at `place`; raises RequestError, with the path, for an item without meaning."""
        for index, item in enumerate(items):
            path = f"{place}[{index}]"
            if not is_object(item):
                item = read(item, dict[str, Any], path)
            yield from self._item(item, path)
        yield from self._completed()

    def _item(self, item: dict[str, Json], path: str) -> Iterator[Placed]:
        kind = kind_of(item, path)
        if kind == "item_reference":
            item_id = needed_text(item, "id", path)
            found = self._stored(item_id) if self._stored else None
            if not is_object(found) or found.get("type") == "item_reference":
                if not item_id.startswith(REASONING_PREFIX):  # without its reasoning a conversation is whole, and without a text or a call it is not
                    raise _not_kept(item_id, path)
                self._ledger.drop("item_reference")
                return
            item, kind = found, kind_of(found, path)
        if kind in _READ_OF_CALL:
            self._call(item, kind, path)
        elif kind == "reasoning":
            self._reasoning(item, path)
        elif kind == "message" and item.get("role") == "assistant":
            self._said(item, path)
        elif kind in LEFT_OUT:
            self._ledger.drop(kind)
        elif kind == "message":
            yield from self._completed()
            yield Placed(self._asked(item, path), path)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            yield from self._completed()
            yield Placed(self._result(item, path), path)
        else:
            raise RequestError(f"{path}.type is not a kind of item that is known here.", param=f"{path}.type")

    # -- others

    def _asked(self, item: dict[str, Json], path: str) -> Turn:
        body, parts = self._message(item, path)
        role = ROLES.get(body.role)
        if role is None:
            raise RequestError(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
        return Turn(Message(role, parts, name=body.name, extra=self._unread(item, _READ_OF_MESSAGE)))

    def _result(self, item: dict[str, Json], path: str) -> Turn:
        body = read(item, OutputItem, path)
        parts = self._parts(body.output, f"{path}.output")
        extra = self._unread(item, _READ_OF_OUTPUT)
        return Turn(Message(Role.TOOL, parts, tool_call_id=body.call_id, extra=extra), answers=Key(body.call_id))

    # -- the assistant's

    def _open(self, path: str) -> Draft:
        if self._draft is None:
            self._draft = Draft(path)
        return self._draft

    def _said(self, item: dict[str, Json], path: str) -> None:
        body, parts = self._message(item, path)
        draft = self._open(path)
        if draft.parts and parts:
            draft.parts.append(TextPart(BETWEEN_MESSAGES))
        draft.parts += parts
        draft.texts += 1
        draft.name = draft.name or body.name
        self._keep(draft, self._unread(item, _READ_OF_MESSAGE))

    def _call(self, item: dict[str, Json], kind: str, path: str) -> None:
        body = read(item, CallItem, path)
        self._ledger.count(1, "calls", path)
        name = self._namespaces.flat(body.namespace, body.name)
        extra = self._unread(item, _READ_OF_CALL[kind])
        if kind == "function_call":
            call = ToolCall(body.call_id, name, body.arguments or "", extra=extra)
        else:
            call = ToolCall(body.call_id, name, body.input or "", custom=True, extra=extra)
        self._open(path).calls.append(call)

    def _reasoning(self, item: dict[str, Json], path: str) -> None:
        body = read(item, ReasoningItem, path)
        self._ledger.count(len(body.summary or ()) + len(body.content or ()), "parts", path)
        texts = [thought.text for thought in body.content or () if thought.text] or [thought.text for thought in body.summary or () if thought.text]
        if texts:
            self._open(path).thoughts += texts
        if body.encrypted_content:
            self._ledger.repaired("encrypted_reasoning_dropped", "encrypted reasoning of another server")

    def _completed(self) -> Iterator[Placed]:
        """The assistant's turn, when something else follows or nothing does."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        if not draft.texts and not draft.calls:
            self._ledger.drop("reasoning that nothing follows")
            return
        message = Message(
            Role.ASSISTANT,
            tuple(draft.parts),
            tuple(draft.calls),
            name=draft.name,
            reasoning=BETWEEN_THOUGHTS.join(draft.thoughts) or None,
            extra=draft.extra,
        )
        yield Placed(Turn(message, tuple(Key(call.id) for call in draft.calls)), draft.path)

    # -- what all of them have

    def _message(self, item: dict[str, Json], path: str) -> tuple[MessageItem, tuple[Part, ...]]:
        if item.get("tool_calls"):
            raise RequestError(f"{path}.tool_calls: calls are items of their own here.", param=f"{path}.tool_calls")
        body = read(item, MessageItem, path)
        return body, self._parts(body.content, f"{path}.content")

    def _parts(self, content: Content, path: str) -> tuple[Part, ...]:
        self._ledger.count(0 if content is None or isinstance(content, str) else len(content), "parts", path)
        return tuple(self._cleaned(read_content(content, path), _places_of_images(content, path)))

    def _cleaned(self, parts: Iterable[Part], images: Iterator[str]) -> Iterator[Part]:
        """The parts without the fields of OpenAI's own, and without text that is then empty; a file in the form of Chat Completions."""
        for part in parts:
            if isinstance(part, TextPart) and part.extra:
                cleaned = TextPart(part.text, self._unread(part.extra, frozenset(), "content."))
                if cleaned.text or cleaned.extra:
                    yield cleaned
            elif isinstance(part, ImagePart):
                yield msgspec.structs.replace(part, path=next(images))
            elif isinstance(part, OpaquePart) and part.kind == "input_file":
                if part.fields.get("file_url"):
                    place = f"{part.path}.file_url"
                    raise UnsupportedParameter(f"{place} is not supported here: send the file itself, in `file_data`.", param=place)
                inside = {name: value for name, value in part.fields.items() if name != "type" and value is not None}
                yield OpaquePart("file", {"type": "file", "file": inside}, part.path)
            else:
                yield part

    def _unread(self, fields: dict[str, Json], known: frozenset[str], prefix: str = "") -> dict[str, Json]:
        """The fields beside the `known` ones that stay."""
        if fields.keys() <= known:
            return {}
        kept: dict[str, Json] = {}
        for name, value in fields.items():
            if name in OF_OPENAI:
                if value not in (None, False, [], {}):
                    self._ledger.ignore_inside(f"{prefix}{name}")
            elif name not in known and value is not None:
                kept[name] = value
        return kept

    def _keep(self, draft: Draft, extra: dict[str, Json]) -> None:
        for name, value in extra.items():
            if draft.extra.setdefault(name, value) != value:
                self._ledger.ignore_inside(name)


def kind_of(item: dict[str, Json], path: str) -> str:
    """The type of an item; one without is a message where it has a role, and a reference where it has nothing but an id.

    Raises:
        RequestError: it says nothing of all that.

    >>> kind_of({"role": "user", "content": "Hi"}, "input[0]"), kind_of({"id": "rs_1"}, "input[1]")
    ('message', 'item_reference')
    """
    kind = text_at(item, "type", path)
    if kind is not None:
        return kind
    if "role" in item:
        return "message"
    if item.keys() <= {"id", "type"} and item.get("id") is not None:
        return "item_reference"
    raise required(f"{path}.type")


def _places_of_images(content: Content, path: str) -> Iterator[str]:
    """Where the images of a content that was read stand, in order; parts without text are no parts afterwards."""
    if isinstance(content, list):
        yield from (f"{path}[{index}]" for index, part in enumerate(content) if PART_FIELDS.get(part["type"]) == "image_url")


def _not_kept(item_id: str, path: str) -> ResponseNotFound:
    message = f"There is no item {item_id[:100]!r} here. A response's items are kept only where its request said `store: true`, and for a while. "
    message += "Send the item itself: clients do so when they are told `store: false`."
    return ResponseNotFound(message, code="item_not_found", param=f"{path}.id")
