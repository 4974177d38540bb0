"""The client's fields that stand unread inside messages, parts, calls, tools and the format of the answer, by name.

Theory of operation: whatever nobody reads of such a thing is in its `extra` (`pipeline.request`). An upstream whose prompt has no place for it, or
whose profile does not let it through, leaves it out, and the client is told the name: the path without numbers, such as `messages.cache_control` or
`tools.function.x`. What stands unread inside the object in the middle of a thing (a tool's `function`, an image's `image_url`) has a name of its own.
A block whose text is sent (`BLOCKS_AS_TEXT`) is not left out: what is named is what the text does not say, such as `messages.content.citations`. So
is what `output_config` of Anthropic's API holds beside what was read.

Invariants: each name comes once, however many messages have the field; a name is no longer than `MAX_NAME_CHARS`, and no more than `MAX_NAMES` are
told. Values are not looked at, but for those of such blocks that say nothing. `kept` takes linear time and gives back the same object where
everything is kept.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeGuard

from pipeline.request import Json, OpaquePart, Request, Role

MESSAGE = "messages"
PART = "messages.content"
CALL = "messages.tool_calls"
TOOL = "tools"
FORMAT = "response_format"

# where a thing stands -> the objects in it of which a part is read
INSIDE = {
    MESSAGE: frozenset[str](),
    PART: frozenset({"image_url"}),
    CALL: frozenset({"function", "custom"}),
    TOOL: frozenset({"function", "custom"}),
    FORMAT: frozenset({"json_schema"}),
}

# a block of Anthropic's API that stands in the `extra` of the text which was made of it -> the fields that are in that text
BLOCKS_AS_TEXT = {
    "document": frozenset({"type", "source", "title", "context"}),
    "search_result": frozenset({"type", "content", "title", "source"}),
    "tool_reference": frozenset({"type", "tool_name"}),
    "compaction": frozenset({"type", "content"}),
}

_EMPTY: tuple[Json, ...] = (None, [], {})

MAX_NAMES = 32
MAX_NAME_CHARS = 100


def unread_inside(request: Request) -> tuple[str, ...]:
    """The names of all of them.

    >>> from pipeline.request import Message, Role, TextPart, Tool
    >>> message = Message(Role.USER, (TextPart("Hi", {"cache_control": {"type": "ephemeral"}}),))
    >>> unread_inside(Request("m", (message, message), (Tool("now", extra={"function": {"x": 1}}),)))
    ('messages.content.cache_control', 'tools.function.x')
    """
    return bounded((*names_inside(request, as_text=True), *_unread_of_config(request)))


def unread_by_prompts(request: Request) -> tuple[str, ...]:
    """What has no effect on a model that is sent a prompt and nothing else: all that is unread, and the wish for a length of text."""
    return (*unread_inside(request), *(("text.verbosity",) if request.options.verbosity is not None else ()))


def bounded(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, and not too many."""
    found: dict[str, None] = {}
    for name in names:
        found[name[:MAX_NAME_CHARS]] = None
        if len(found) == MAX_NAMES:
            break
    return tuple(found)


def names_inside(request: Request, *, as_text: bool = False) -> Iterator[str]:
    """The names, as often as they come; in Anthropic's API calls and results are blocks of a message's content.

    `as_text`: of blocks that are sent as their text, the fields that are not in it have names, instead of the block.
    """
    has_blocks = request.dialect == "anthropic"
    for message in request.messages:
        yield from _names(message.extra, MESSAGE, PART if has_blocks and message.role is Role.TOOL else MESSAGE)
        at = "system" if has_blocks and message.role is Role.SYSTEM else PART
        for part in message.parts:
            if not isinstance(part, OpaquePart):
                yield from _names(_left_of_blocks(part.extra) if as_text and has_blocks else part.extra, PART, at)
        for call in message.tool_calls:
            yield from _names(call.extra, CALL, PART if has_blocks else CALL)
    for tool in request.tools:
        yield from _names(tool.extra, TOOL)
    yield from _names(request.options.answer_format.extra, FORMAT)


def kept(extra: dict[str, Json], place: str, passes: Callable[[str], bool]) -> dict[str, Json]:
    """The fields of a thing at `place` whose names pass.

    >>> kept({"cache_control": {}, "function": {"x": 1, "y": 2}}, TOOL, {"tools.function.x"}.__contains__)
    {'function': {'x': 1}}
    """
    if all(passes(name) for name in _names(extra, place)):
        return extra
    found: dict[str, Json] = {}
    for name, value in extra.items():
        if name in INSIDE[place] and _is_object(value):
            if inside := {key: inner for key, inner in value.items() if passes(f"{place}.{name}.{key}")}:
                found[name] = inside
        elif passes(f"{place}.{name}"):
            found[name] = value
    return found


def _is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def _unread_of_config(request: Request) -> Iterator[str]:
    """What `output_config` of Anthropic's API holds beside the effort, and an effort that `thinking` overruled."""
    config = request.extra.get("output_config") if request.dialect == "anthropic" else None
    if _is_object(config):
        for name in config:
            if name != "effort" or request.options.reasoning_effort is None:
                yield f"output_config.{name}"


def _left_of_blocks(extra: dict[str, Json]) -> dict[str, Json]:
    """The fields of a part, and in place of its block those that the text does not say."""
    found: dict[str, Json] = {}
    for name, value in extra.items():
        if name in BLOCKS_AS_TEXT and _is_object(value) and value.get("type") == name:
            found |= {key: inner for key, inner in value.items() if key not in BLOCKS_AS_TEXT[name] and inner not in _EMPTY}
        else:
            found[name] = value
    return found


def _names(extra: dict[str, Json], place: str, called: str | None = None) -> Iterator[str]:
    """The names of a thing's fields; `called` is what the place is called where that is not its own name."""
    called = called or place
    for name, value in extra.items():
        if name in INSIDE[place] and _is_object(value):
            yield from (f"{called}.{name}.{key}" for key in value)
        else:
            yield f"{called}.{name}"
