"""Names of tools as Anthropic's Messages API takes them: at most 128 letters, digits, `_` and `-`.

Theory of operation: a tool that the client offers under another name is refused, since the model's calls would come back under a name that the client
does not know. In the history such a name, of a tool that is offered no more or was another server's, becomes one that the API takes: the same
everywhere in a conversation and in every turn of it, and no other tool's.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.changes import Changes
from pipeline.request import Message, Request, ToolCall

MAX_NAME_CHARS = 128

_FINE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_ODD = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_DIGEST_CHARS = 8


def check_tool_names(request: Request) -> None:
    """Refuse the tools that cannot be offered.

    Raises:
        UnsupportedParameter: the name of one is none that the API takes; `param` is its place.
    """
    for index, tool in enumerate(request.tools):
        if not _FINE.fullmatch(tool.name):
            message = f"tools[{index}] has a name that this model's API does not take: it has to be 1 to {MAX_NAME_CHARS} letters, digits, _ and -."
            raise UnsupportedParameter(message, param=f"tools[{index}]")


def with_plain_names(messages: Sequence[Message], offered: Sequence[str], changes: Changes) -> list[Message]:
    """The conversation with names that the API takes; `offered` are those of the request's tools.

    >>> [made] = with_plain_names([Message("assistant", tool_calls=(ToolCall("a", "browser.open", "{}"),))], (), Changes())
    >>> made.tool_calls[0].name
    'browser_open_9abc904e'
    """
    if all(_FINE.fullmatch(call.name) for message in messages for call in message.tool_calls):
        return [*messages]
    changes.note("call_name_rewritten", "names of tools in the history that the API refuses were replaced")
    taken = {*offered, *(call.name for message in messages for call in message.tool_calls)}
    made: dict[str, str] = {}
    return [
        msgspec.structs.replace(message, tool_calls=tuple(_named(call, taken, made) for call in message.tool_calls))
        if message.tool_calls
        else message
        for message in messages
    ]


def _named(call: ToolCall, taken: set[str], made: dict[str, str]) -> ToolCall:
    if _FINE.fullmatch(call.name):
        return call
    if call.name not in made:
        made[call.name] = _plain(call.name)
        while made[call.name] in taken:
            made[call.name] = _plain(made[call.name] + "?")
        taken.add(made[call.name])
    return msgspec.structs.replace(call, name=made[call.name])


def _plain(name: str) -> str:
    """Its plain characters, and a digest of all of them: two names are never made one."""
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{_ODD.sub('_', name)[: MAX_NAME_CHARS - _DIGEST_CHARS - 1]}_{digest}"
