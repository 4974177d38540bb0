"""The entries of a conversation as turns, whichever dialect each of them is in (N3-N6, N9).

Theory of operation: the list under `messages` or `input` comes in, and each of its entries is looked at alone, since dialects are mixed: an entry
with a `type` that Responses knows is that item, and one with a role is a message of Chat, Responses or Anthropic, which differ only in their parts.
One entry gives no turn, one, or several: the results in an Anthropic user's message become turns of their own before it. What no chat upstream can be
given is counted in the ledger. An entry that is none of all this is the client's error, so that no part of a conversation is lost in silence.
"""

from collections import deque
from collections.abc import Callable, Iterator

from pipeline.errors import RequestError
from pipeline.parse.quirks.calls import Call, Offered, read_block, read_entry, read_item, read_legacy
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import TEXT_TYPES, Part, kept, raw_parts, read_parts, text_part
from pipeline.parse.quirks.results import read_output
from pipeline.parse.quirks.turns import Turn
from pipeline.parse.quirks.typed import needed_text, object_at, objects, text_at
from pipeline.request import Json

# a role -> Chat's word for it
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}

DROPPED_ITEMS = frozenset(
    {
        *("reasoning", "item_reference", "compaction", "compaction_trigger", "configuration_update", "additional_tools"),
        *("web_search_call", "file_search_call", "image_generation_call", "code_interpreter_call", "computer_call", "computer_call_output"),
        *("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output"),
        *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call", "tool_search_call", "tool_search_output"),
        *("program", "program_output"),
    }
)
"""N6: the items of Responses that only OpenAI can make anything of: its model's thoughts, references to what it stores, tools that it hosts."""

THOUGHTS = ("reasoning_content", "reasoning")

PLAIN = {"role", "content"}
PLAIN_ROLES = ("system", "developer", "user", "assistant")

# what is read of a message, and what numbers or repeats it
KNOWN = {"role", "content", "type", "id", "status", "phase", "index", "name"}
KNOWN_OF_ASSISTANT = KNOWN | {"tool_calls", "function_call", "refusal", *THOUGHTS}
RESULT_IDS = ("tool_call_id", "call_id", "tool_use_id")
KNOWN_OF_RESULT = KNOWN.union(RESULT_IDS)
KNOWN_OF_OUTPUT = {"type", "id", "status", "call_id", "output", "name", "caller", "namespace"}
KNOWN_OF_BLOCK = {"type", "tool_use_id", "content", "is_error"}


class ItemReader:
    """Reads entry by entry; `offered` are the tools that the body offers."""

    def __init__(self, offered: Offered, ledger: Ledger) -> None:
        self._offered = offered
        self._ledger = ledger
        self._items: dict[str, Callable[[dict[str, Json], str], Turn]] = {
            "function_call": self._call_item,
            "custom_tool_call": self._call_item,
            "function_call_output": self._output_item,
            "custom_tool_call_output": self._output_item,
        }

    def read(self, item: dict[str, Json], path: str) -> Iterator[Turn]:
        """N3-N6: the turns that an entry holds; raises RequestError for one without meaning, with the path in the client's body."""
        if item.keys() == PLAIN and isinstance(words := item["content"], str) and item["role"] in PLAIN_ROLES:
            yield Turn(ROLES[item["role"]], path, [text_part(words, f"{path}.content")] if words else [])  # most messages, in a third of the time
            return
        kind = text_at(item, "type", path)
        if kind in self._items:
            yield self._items[kind](item, path)
        elif kind in DROPPED_ITEMS:
            self._ledger.drop(kind)
        elif kind in (None, "message") or "role" in item:
            yield from self._message(item, path)
        else:
            raise RequestError(f"{path}.type is not a kind of item that is known here.", param=f"{path}.type")

    def _call_item(self, item: dict[str, Json], path: str) -> Turn:
        """N4: a call that is an item of its own."""
        return Turn("assistant", path, calls=[read_item(item, path, self._offered, self._ledger)])

    def _output_item(self, item: dict[str, Json], path: str) -> Turn:
        """N5: a result that is an item of its own."""
        self._leave_out(item, KNOWN_OF_OUTPUT, "")
        return Turn("tool", path, read_output(item.get("output"), f"{path}.output", self._ledger), answers=text_at(item, "call_id", path))

    def _message(self, item: dict[str, Json], path: str) -> Iterator[Turn]:
        """N3: a message, whose role says how its content is read."""
        role = ROLES.get(needed_text(item, "role", path))
        if role is None:
            raise RequestError(f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role")
        if role == "tool":
            yield self._result(item, path)
        elif role == "assistant":
            yield self._assistant(item, path)
        else:
            yield from self._asking(item, path, role)

    def _result(self, item: dict[str, Json], path: str) -> Turn:
        """N5: a tool's message, or the legacy function's, which names the function and no call."""
        parts = read_output(item.get("content"), f"{path}.content", self._ledger)
        turn = Turn("tool", path, parts, extra=kept(item, KNOWN_OF_RESULT, "", self._ledger))
        if item["role"] == "function":
            turn.legacy_name = needed_text(item, "name", path)
        else:
            turn.answers = next((text for name in RESULT_IDS if (text := text_at(item, name, path)) is not None), None)
        return turn

    def _assistant(self, item: dict[str, Json], path: str) -> Turn:
        """N3, N4, N9: an assistant's message: text, refusal, calls as entries and as blocks."""
        blocks, others = _parted(raw_parts(item.get("content"), f"{path}.content", self._ledger), "tool_use")
        parts = list(read_parts(others, self._ledger))
        _refuse(parts, "tool_result", "user")
        if refusal := text_at(item, "refusal", path):
            parts.append(text_part(refusal, f"{path}.refusal"))
        return Turn(
            "assistant",
            path,
            parts,
            self._calls(item, path, blocks),
            name=text_at(item, "name", path),
            thoughts={name: [text] for name in THOUGHTS if (text := text_at(item, name, path))},
            extra=kept(item, KNOWN_OF_ASSISTANT, "", self._ledger),
        )

    def _calls(self, item: dict[str, Json], path: str, blocks: list[Part]) -> list[Call]:
        """N4, N9: the calls of a message; a block with the id and the name of an entry is the same call, and any other a call of its own."""
        here = f"{path}.tool_calls"
        entries = objects(item.get("tool_calls") or [], here)
        self._ledger.count(len(entries), "calls", here)
        calls = [read_entry(entry, f"{here}[{index}]", self._offered, self._ledger) for index, entry in enumerate(entries)]
        waiting: dict[tuple[str | None, str], deque[Call]] = {}
        for call in calls:
            waiting.setdefault((call.id, call.name), deque()).append(call)
        for block in blocks:
            call = read_block(block.fields, block.path, self._offered, self._ledger)
            same = waiting.get((call.id, call.name))
            if not same:
                calls.append(call)
            elif (entry := same.popleft()).text in ("", "{}"):
                entry.text, entry.custom = call.text, call.custom
        legacy = object_at(item, "function_call", path)
        if legacy is not None:
            calls.append(read_legacy(legacy, f"{path}.function_call", self._offered, self._ledger))
        return calls

    def _asking(self, item: dict[str, Json], path: str, role: str) -> Iterator[Turn]:
        """N3, N9: a system's or a user's message; the results in it come before the rest."""
        for name in ("tool_calls", "function_call"):
            if item.get(name):
                raise RequestError(f"{path}.{name} is only for assistant messages.", param=f"{path}.{name}")
        given = raw_parts(item.get("content"), f"{path}.content", self._ledger)
        blocks, others = _parted(given, "tool_result") if role == "user" else ([], given)
        for block in blocks:
            yield self._block_result(block)
        parts = list(read_parts(others, self._ledger))
        _refuse(parts, "tool_use", "assistant")
        _refuse(parts, "tool_result", "user")
        if parts or all(part.fields["type"] in TEXT_TYPES for part in given):
            extra = kept(item, KNOWN, "", self._ledger)
            yield Turn(role, path, parts, name=text_at(item, "name", path), extra=extra)

    def _block_result(self, block: Part) -> Turn:
        """N9: Anthropic's `tool_result`."""
        self._leave_out(block.fields, KNOWN_OF_BLOCK, "content.")
        is_error = block.fields.get("is_error") is True
        parts = read_output(block.fields.get("content"), f"{block.path}.content", self._ledger, is_error=is_error)
        return Turn("tool", block.path, parts, answers=text_at(block.fields, "tool_use_id", block.path))

    def _leave_out(self, fields: dict[str, Json], known: set[str], prefix: str) -> None:
        for name, value in fields.items():
            if name not in known and value is not None:
                self._ledger.ignore_inside(f"{prefix}{name}")


def _parted(parts: list[Part], kind: str) -> tuple[list[Part], list[Part]]:
    """The parts of a type, and the others."""
    return [part for part in parts if part.fields.get("type") == kind], [part for part in parts if part.fields.get("type") != kind]


def _refuse(parts: list[Part], kind: str, role: str) -> None:
    """Raises RequestError for a block that only another role's message may hold."""
    for part in parts:
        if part.fields.get("type") == kind:
            raise RequestError(f"{part.path}.type {kind} is only for {role} messages.", param=f"{part.path}.type")


def read_items(items: list[dict[str, Json]], place: str, offered: Offered, ledger: Ledger) -> list[Turn]:
    """N3-N6, N9: all turns of a conversation that stands at `place`, in the order sent; raises RequestError as `ItemReader.read`."""
    reader = ItemReader(offered, ledger)
    return [turn for index, item in enumerate(items) for turn in reader.read(item, f"{place}[{index}]")]
