"""The canonical Request: what every client dialect is parsed into, and what every upstream is written from.

Only what the stages need is here, in one shape. A body's own dialect, spelling and order of fields are gone, except `extra`: the client's fields that
no stage reads, of the body and of each thing in it, kept for upstreams that take them unchanged (`pass_fields`). What was mapped or repaired on the
way in is named in `notices`, and `ignored` names what no upstream gets: a field whose wish another one overruled, or a key of an object that is read
in part (`reasoning.summary`). So an answer can say what became of them (`pipeline.parameters.ignored_by`).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from pipeline.events import Notice

Json: TypeAlias = Any
"""A decoded JSON value: dict, list, str, int, float, bool or None."""


class Role(StrEnum):
    """Who speaks. `developer` is folded into SYSTEM when parsed, `function` into TOOL."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class TextPart(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Text of a message."""

    text: str
    extra: dict[str, Json] = {}


class ImagePart(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """An image by URL: `data:` or http(s).

    `detail` is the client's own word, `auto` where it gave none; `data` is the file where it was fetched. `path` is where it stands in a body whose
    parts are in other places here; an empty one says that it is where its place among the messages says.
    """

    url: str
    detail: str = "auto"
    data: bytes | None = None
    extra: dict[str, Json] = {}
    path: str = ""


class OpaquePart(msgspec.Struct, frozen=True):
    """A part that is neither text nor an image (`file`, `input_audio`, …): `fields` is the whole part as the client wrote it, `path` where it stands.

    Only an upstream of the same dialect can take it, `openai` or `anthropic`; any other refuses the request.
    """

    kind: str
    fields: dict[str, Json]
    path: str
    dialect: str = "openai"


Part = TextPart | ImagePart | OpaquePart


class ToolCall(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A call in the history. `arguments` is the JSON text as the client echoed it; of a `custom` tool's call it is the raw input, any text."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    extra: dict[str, Json] = {}


class Thought(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A block of reasoning as an upstream signed it (`pipeline.events.ThinkingEnd`), sent back by a client whose dialect has such blocks."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


Block: TypeAlias = Thought | Part | ToolCall
"""What an assistant's message is made of."""


class BlockKind(StrEnum):
    """The kinds of blocks, in the order that they usually stand in."""

    THOUGHT = "thought"
    PART = "part"
    CALL = "call"


class Message(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One turn.

    `tool_calls`, `reasoning` and `thoughts` only with ASSISTANT, `tool_call_id` and `is_error` only with TOOL; `name` is the tool's name there and
    the author's elsewhere. `reasoning` is the text of all `thoughts` where there are some. `order` says of each block which kind it is, where
    thoughts, parts and calls do not stand in this order; only an API that has such blocks reads it.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None
    extra: dict[str, Json] = {}
    thoughts: tuple[Thought, ...] = ()
    is_error: bool = False
    order: tuple[BlockKind, ...] = ()

    @property
    def text(self) -> str:
        """The text parts, joined without anything between them."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Thoughts, parts and calls in their order; in the usual one where `order` is about others than these."""
        kinds: dict[BlockKind, tuple[Block, ...]] = {
            BlockKind.THOUGHT: self.thoughts,
            BlockKind.PART: self.parts,
            BlockKind.CALL: self.tool_calls,
        }
        if not self.order or any(self.order.count(kind) != len(blocks) for kind, blocks in kinds.items()):
            return (*self.thoughts, *self.parts, *self.tool_calls)
        waiting = {kind: iter(blocks) for kind, blocks in kinds.items()}
        return tuple(next(waiting[kind]) for kind in self.order)


def with_blocks(message: Message, blocks: Sequence[Block]) -> Message:
    """The message with these blocks, in this order; its `reasoning` stays as it is.

    >>> made = with_blocks(Message(Role.ASSISTANT), [TextPart("Hm."), Thought("Oh.", "c2ln"), ToolCall("a", "now", "{}")])
    >>> [kind.value for kind in made.order], made.blocks[1], with_blocks(made, made.parts).order
    (['part', 'thought', 'call'], Thought(text='Oh.', signature='c2ln'), ())
    """
    thoughts = tuple(block for block in blocks if isinstance(block, Thought))
    calls = tuple(block for block in blocks if isinstance(block, ToolCall))
    parts = tuple(block for block in blocks if not isinstance(block, Thought | ToolCall))
    order = tuple(map(_kind, blocks))
    usual = (BlockKind.THOUGHT,) * len(thoughts) + (BlockKind.PART,) * len(parts) + (BlockKind.CALL,) * len(calls)
    return msgspec.structs.replace(message, thoughts=thoughts, parts=parts, tool_calls=calls, order=() if order == usual else order)


def _kind(block: Block) -> BlockKind:
    return BlockKind.THOUGHT if isinstance(block, Thought) else BlockKind.CALL if isinstance(block, ToolCall) else BlockKind.PART


WRAPPED_INPUT = "input"
"""The one parameter of the function that stands for a custom tool, where an upstream knows only functions."""


class Grammar(msgspec.Struct, frozen=True):
    """What the input of a custom tool has to match: `syntax` is `lark` or `regex`, `definition` the grammar's text."""

    syntax: str
    definition: str


class Tool(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A tool that the client offers: a function, or a `custom` tool.

    A function's `parameters` is its JSON Schema as sent, `{}` where it sent none. A custom tool takes one raw text, of a `grammar` or of any form; it
    has no parameters. For an upstream that knows only functions it is written as one (`pipeline.prompt.custom_tools`).
    """

    name: str
    description: str = ""
    parameters: dict[str, Json] = {}
    strict: bool | None = None
    custom: bool = False
    grammar: Grammar | None = None
    extra: dict[str, Json] = {}


class ToolMode(StrEnum):
    """What the client said about using tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    FUNCTION = "function"


class ToolChoice(msgspec.Struct, frozen=True):
    """`name` is set exactly when the mode is FUNCTION."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None


class AnswerFormat(msgspec.Struct, frozen=True):
    """`response_format`: kind is text, json_object or json_schema; the schema and what is said of it only with json_schema.

    `path` is where the schema stands in the body. Fields of `response_format` that nobody reads are in `extra`; those inside `json_schema` stand
    there under that name.
    """

    kind: str = "text"
    schema: dict[str, Json] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    path: str = "response_format.json_schema.schema"
    extra: dict[str, Json] = {}


class Options(msgspec.Struct, frozen=True):
    """The parameters that shape one answer. None means that the client did not say.

    `reasoning` is the wish to see the model's reasoning, `reasoning_budget` how many tokens of it there may be.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    answer_format: AnswerFormat = AnswerFormat()
    parallel_tool_calls: bool = True
    reasoning_effort: str | None = None
    reasoning: bool = False
    reasoning_budget: int | None = None
    verbosity: str | None = None


class ContextRule(msgspec.Struct, frozen=True):
    """What a route says of its model's window: `tokens` that fit, and what becomes of a longer conversation (`error`, `trim` or `signal`).

    What is None the upstream's own settings say.
    """

    tokens: int | None = None
    overflow: str | None = None


class Request(msgspec.Struct, frozen=True):
    """One request, ready for an upstream.

    `model` is the id as the client wrote it; `include_usage` asks for a usage chunk at the end of a stream; `agent` is Agent mode in the words of
    Composer (tools were offered, or the request came by /opencode); `conversation` is a stable id where the client gave one;
    `context` is the route's. `dialect` is the API whose words all `extra`s are in: `openai` or `anthropic`.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    options: Options = Options()
    stream: bool = False
    include_usage: bool = False
    agent: bool = False
    conversation: str | None = None
    context: ContextRule = ContextRule()
    extra: dict[str, Json] = {}
    ignored: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    dialect: str = "openai"
