"""Which tools a model cannot call by their own names, where it writes its calls as text.

A head of a call ends at white space, a marker or a bracket, so that a name with one of these in it is never read as the client wrote it. Clients of
some APIs may name a tool so. It is offered all the same, since a call of a folded spelling still finds it (`inventory`), and a Notice says that its
calls may stay text.
"""

import re
from collections.abc import Iterable

from pipeline.events import Notice
from pipeline.machine.markers import NAME
from pipeline.request import Tool

MAX_NAMED = 8
MAX_SHOWN_CHARS = 64

_READABLE = re.compile(NAME)


def unreadable_names(tools: Iterable[Tool]) -> tuple[Notice, ...]:
    """One Notice that names such tools, none where there are none.

    >>> [notice.detail for notice in unreadable_names([Tool("read"), Tool("read a file")])]
    ["a call cannot hold the name 'read a file'"]
    """
    found = [tool.name for tool in tools if _READABLE.fullmatch(tool.name) is None]
    if not found:
        return ()
    shown = ", ".join(repr(name[:MAX_SHOWN_CHARS]) for name in found[:MAX_NAMED])
    return (Notice("tool_name_unreadable", f"a call cannot hold the name {shown}{', …' if len(found) > MAX_NAMED else ''}"),)
