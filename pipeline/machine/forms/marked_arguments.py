r"""Arguments that stand between marks, as Kimi writes them, and the call inside a call of a dispatcher.

::

    <|open|>argument key="path" type="string"<|sep|>src/a.py<|close|>argument<|sep|> …

The type in the mark is the model's idea; ours comes from the client's schema, so every value is raw text. A closing mark counts only if the next
argument or the end follows, so a value may talk about marks.

>>> read_marked_arguments('<|open|>argument key="n" type="number"<|sep|>7<|close|>argument<|sep|>')
[Argument(key='n', value='7', is_raw=True)]
"""

import re
from collections.abc import Sequence

from pipeline.machine.forms.bodies import Argument, read_arguments

_VISIBLE = re.compile(r"\S")
_CLOSE = "<|close|>argument<|sep|>"
_ARGUMENT = re.compile(
    r'\s*<\|open\|>argument key="(?P<key>[^"]{1,128})"[^<]{0,64}<\|sep\|>(?P<value>.*?)<\|close\|>argument<\|sep\|>(?=\s*(?:<\|open\|>argument |\Z))',
    re.DOTALL,
)

DISPATCHER = "CallDynamicTool"
"""A tool of Cursor's whose arguments `toolName` and `arguments` are the call that is meant (Kimi under Cursor, seen 2026-10)."""


def ends_arguments(pieces: Sequence[str]) -> bool:
    """Whether a call may end behind these pieces: nothing stands there, or an argument is closed."""
    tail = ""
    for piece in reversed(pieces):
        tail = (piece + tail).rstrip() if not tail else piece + tail
        if len(tail) >= len(_CLOSE):
            break
    return not tail or tail.endswith(_CLOSE)


def read_marked_arguments(source: str) -> list[Argument] | None:
    """The arguments; None when something else stands between the arguments."""
    found: list[Argument] = []
    at = 0
    while _VISIBLE.search(source, at):
        argument = _ARGUMENT.match(source, at)
        if argument is None:
            return None
        found.append(Argument(argument["key"], argument["value"], is_raw=True))
        at = argument.end()
    return found


def named(name: str, arguments: list[Argument]) -> tuple[str, list[Argument]]:
    """The call that is meant: the one inside, where a dispatcher was called."""
    fields = {argument.key: argument.value for argument in arguments}
    inner = fields.get("toolName")
    if name != DISPATCHER or inner is None:
        return name, arguments
    given = read_arguments(fields.get("arguments", ""))
    return (name, arguments) if given is None else (inner, given)
