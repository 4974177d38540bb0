r"""How models write tool calls as text when they do not write them as Composer does: one row a dialect, each switched on by the operator.

A row says what begins a call, how its head ends, what its body is, and what closes it; the reading is the same for all (`dialect_calls`). Nothing
here is read unless it was switched on (`tools.dialects`), because each of these texts can also stand in an honest answer.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from pipeline.machine.markers import NAME, SPACE, proper_prefix


class Body(StrEnum):
    """What follows the head: the arguments' object; an object that holds the name too; or marked arguments."""

    OBJECT = "object"
    NAMED_OBJECT = "named object"
    ARGUMENTS = "arguments"


class Dialect(NamedTuple):
    """One dialect.

    `openings` begin a call, character by character. `head` is what may stand from there to the body, each way as a sequence of patterns; a `NAME` in
    it is the tool's name, unless the body names the tool. `closing` follows the body behind white space and belongs to the call; with `must_close`
    a call without it is broken. `takes_trigger`: where the request has a trigger, that text stands directly in front of the opening.
    """

    name: str
    source: str
    example: str
    openings: tuple[str, ...]
    head: tuple[tuple[str, ...], ...]
    body: Body
    closing: str = ""
    must_close: bool = False
    takes_trigger: bool = False

    @property
    def whole_head(self) -> re.Pattern[str]:
        """The head in front of its body; the tool's name is the group `name`."""
        return _whole(self.head, before_object=self.body is not Body.ARGUMENTS)

    @property
    def head_so_far(self) -> re.Pattern[str]:
        """What may still become a head, at the end of a text."""
        return _so_far(self.head)


@lru_cache
def _whole(ways: tuple[tuple[str, ...], ...], *, before_object: bool) -> re.Pattern[str]:
    named = [[f"(?P<name{number}>{NAME})" if part == NAME else part for part in way] for number, way in enumerate(ways)]
    behind = r"(?=\{)" if before_object else ""
    return re.compile(f"(?:{'|'.join(''.join(way) for way in named)}){behind}")


@lru_cache
def _so_far(ways: tuple[tuple[str, ...], ...]) -> re.Pattern[str]:
    # a pattern that may match a part of itself, such as a name, stands in the prefix as it is
    return re.compile(rf"(?:{'|'.join(proper_prefix((*way, '')) for way in ways)})\Z")


def _literal(text: str) -> tuple[str, ...]:
    return tuple(re.escape(character) for character in text)


CALL_END = "<|close|>call<|sep|>"
"""What ends a call whose body is marked arguments."""


_OPEN = "<|open|>"
_TOOLS = f"{_OPEN}tools"
_ID = r"[\w-]{1,64}"
_ARGS = (SPACE, *_literal("[ARGS]"), SPACE)

DIALECTS = {
    row.name: row
    for row in (
        Dialect(
            "bracket",
            "https://github.com/lidge-jun/opencodex/pull/4815",
            '[TOOL_CALL]Read[ARGS]{"path": "a"}',
            openings=("[TOOL_CALL]", "[TOOL_CALLS]"),
            head=tuple((SPACE, NAME, *call_id, *args) for call_id in ((), (SPACE, *_literal("[CALL_ID]"), _ID)) for args in (_ARGS, (SPACE,))),
            body=Body.OBJECT,
        ),
        Dialect(
            "kimi",
            "https://github.com/can1357/oh-my-pi/issues/8495",
            '<|open|>toolscall tool="Read" index="1"<|sep|><|open|>argument key="path" type="string"<|sep|>a'
            "<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
            openings=tuple(f'{opened}call tool="' for opened in (_TOOLS, f"{_TOOLS}<|sep|>", _TOOLS + _OPEN, f"{_TOOLS}<|sep|>{_OPEN}", _OPEN)),
            head=tuple((NAME, *_literal('"'), *index, *_literal("<|sep|>")) for index in ((), (*_literal(' index="'), r"\d{1,9}", *_literal('"')))),
            body=Body.ARGUMENTS,
            closing="<|close|>tools<|sep|>",
        ),
        Dialect(
            "fenced",
            "https://github.com/7836246/cursor2api",
            '```json action\n{"tool": "Read", "parameters": {"path": "a"}}\n```',
            openings=("```json action",),
            head=((SPACE,),),
            body=Body.NAMED_OBJECT,
            closing="```",
            must_close=True,
        ),
        Dialect(
            "invoke",
            "prompts that teach a model to write calls so",
            '<invoke name="Read">{"path": "a"}</invoke>',
            openings=('<invoke name="',),
            head=((NAME, *_literal('"'), SPACE, ">", SPACE),),
            body=Body.OBJECT,
            closing="</invoke>",
            must_close=True,
            takes_trigger=True,
        ),
    )
}
"""Every dialect but Composer's own, by the name that settings have for it."""
