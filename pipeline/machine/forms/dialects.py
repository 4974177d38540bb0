r"""How models write tool calls as text when they do not write them as Composer does: one row a dialect, each switched on by the operator.

A row says what begins a call, how its head ends, what its body is, and what closes it; the reading is the same for all (`dialect_calls`). Nothing
here is read unless it was switched on (`tools.dialects`), because each of these texts can also stand in an honest answer.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from pipeline.machine.markers import NAME


class Body(StrEnum):
    """What follows the head: the arguments' object; an object that holds the name too; or marked arguments."""

    OBJECT = "object"
    NAMED_OBJECT = "named object"
    ARGUMENTS = "arguments"


class Dialect(NamedTuple):
    """One dialect.

    `openings` begin a call, character by character. `head` matches from there to the body and gives `name`, unless the body names the tool;
    `head_so_far` matches what may still become a head. `closing` follows the body behind white space and belongs to the call; with `must_close`
    a call without it is broken. `takes_trigger`: where the request has a trigger, that text stands directly in front of the opening.
    """

    name: str
    source: str
    example: str
    openings: tuple[str, ...]
    head: re.Pattern[str]
    head_so_far: re.Pattern[str]
    body: Body
    closing: str = ""
    must_close: bool = False
    takes_trigger: bool = False


CALL_END = "<|close|>call<|sep|>"
"""What ends a call whose body is marked arguments."""

_OPEN = "<|open|>"
_TOOLS = f"{_OPEN}tools"

DIALECTS = {
    row.name: row
    for row in (
        Dialect(
            "bracket",
            "https://github.com/lidge-jun/opencodex/pull/4815",
            '[TOOL_CALL]Read[ARGS]{"path": "a"}',
            openings=("[TOOL_CALL]", "[TOOL_CALLS]"),
            head=re.compile(rf"\s{{0,16}}(?P<name>{NAME})\s{{0,16}}(?:\[CALL_ID\][\w-]{{1,64}})?(?:\[ARGS\])?\s{{0,16}}(?=\{{)"),
            head_so_far=re.compile(
                rf"\s{{0,16}}(?:{NAME}\s{{0,16}}(?:\[|\[C|\[CA|\[CAL|\[CALL|\[CALL_|\[CALL_I|\[CALL_ID|\[CALL_ID\][\w-]{{0,64}})?"
                r"(?:\[|\[A|\[AR|\[ARG|\[ARGS|\[ARGS\]\s{0,16})?)?\Z"
            ),
            body=Body.OBJECT,
        ),
        Dialect(
            "kimi",
            "https://github.com/can1357/oh-my-pi/issues/8495",
            '<|open|>toolscall tool="Read" index="1"<|sep|><|open|>argument key="path" type="string"<|sep|>a'
            "<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
            openings=tuple(f'{opened}call tool="' for opened in (_TOOLS, f"{_TOOLS}<|sep|>", _TOOLS + _OPEN, f"{_TOOLS}<|sep|>{_OPEN}", _OPEN)),
            head=re.compile(rf'(?P<name>{NAME})"(?: index="\d{{1,9}}")?<\|sep\|>'),
            head_so_far=re.compile(rf'(?:{NAME}(?:"[ a-z="\d]{{0,19}}(?:<(?:\|(?:s(?:e(?:p(?:\|)?)?)?)?)?)?)?)?\Z'),
            body=Body.ARGUMENTS,
            closing="<|close|>tools<|sep|>",
        ),
        Dialect(
            "fenced",
            "https://github.com/7836246/cursor2api",
            '```json action\n{"tool": "Read", "parameters": {"path": "a"}}\n```',
            openings=("```json action",),
            head=re.compile(r"\s{0,16}(?=\{)"),
            head_so_far=re.compile(r"\s{0,16}\Z"),
            body=Body.NAMED_OBJECT,
            closing="```",
            must_close=True,
        ),
        Dialect(
            "invoke",
            "the prompt of an upstream that teaches it, behind a trigger of the request's own",
            '<invoke name="Read">{"path": "a"}</invoke>',
            openings=('<invoke name="',),
            head=re.compile(rf'(?P<name>{NAME})"\s{{0,16}}>\s{{0,16}}(?=\{{)'),
            head_so_far=re.compile(rf'(?:{NAME}(?:"\s{{0,16}}(?:>\s{{0,16}})?)?)?\Z'),
            body=Body.OBJECT,
            closing="</invoke>",
            must_close=True,
            takes_trigger=True,
        ),
    )
}
