"""Which of the offered tools the demonstration calls: one that does no harm, or one that the client asked for by name.

Theory of operation: a request comes in, the tools to call go out, none where a call could change something that nobody asked to change. A tool that
`tool_choice` names is called. A tool whose name stands in the message is called, two at most; one that changes things only where the message
clearly means the tool and not the everyday word: "use write", "the write tool", "`write`", or a name that is no word, such as `write_file`. Otherwise
the name is judged by its words: `CHANGING` wins over `HARMLESS`; of the harmless tools the one is called whose name has most words of the message,
and else the first harmless word of the table wins. None is called where the message means a tool that changes things. A single tool is called
whatever its name is, and so is the mildest one where the client requires a call.
"""

import re

from pipeline.request import Request, Tool, ToolMode
from pipeline.upstream.hints import MAX_LOOKED_AT_CHARS, name_words

MAX_CALLS = 2

MEANT_CHARS = 5
"""Words that begin with the same letters, this many, mean the same here: `hotels` and `hotel`."""

_CHANGING = """
    write edit delete remove create update replace patch apply insert append move rename copy mkdir rm set put post send submit save upload
    bash shell sh exec execute run command cmd terminal process kill start stop restart install deploy commit push merge checkout todo todowrite
    task agent spawn skill buy pay book order cancel close complete completion reset clear drop ask input notebook browser click type stdin
"""

HARMLESS = (
    "read",
    "view",
    "glob",
    "grep",
    "list",
    "ls",
    "search",
    "find",
    "get",
    "fetch",
    "webfetch",
    "lookup",
    "show",
    "describe",
    "query",
    "calculator",
)
"""Words of names of tools that only look, the best to show first."""

CHANGING = frozenset(_CHANGING.split())
"""Words of names of tools that change something, spend something, or speak for the model."""

# inside a word they say the same: `todowrite`, `strreplace`
_CHANGING_PARTS = re.compile(r"write|edit|delete|remove|create|update|replace|execute|exec(?:$|ute)|bash")
_RUNS_COMMANDS = re.compile(r"\b(?:bash|shell|exec|execute|run|command|cmd|terminal)\b")


def changes_things(tool: Tool) -> bool:
    """Whether the tool's name says that it does more than look.

    >>> changes_things(Tool("write_to_file")), changes_things(Tool("getWeather")), changes_things(Tool("search_replace"))
    (True, False, True)
    """
    words = name_words(tool.name)
    return not CHANGING.isdisjoint(words.split()) or _CHANGING_PARTS.search(words) is not None


def chosen_tools(request: Request, message: str) -> list[Tool]:
    """The tools to call for a request whose user's last message is `message`; empty for none."""
    tools, choice = {tool.name: tool for tool in request.tools}, request.tool_choice
    if not tools or choice.mode is ToolMode.NONE:
        return []
    if choice.mode is ToolMode.FUNCTION:
        return [tools[choice.name]] if choice.name in tools else []
    named = _named(list(tools.values()), message[:MAX_LOOKED_AT_CHARS])
    if named:
        return named[: MAX_CALLS if request.options.parallel_tool_calls else 1]
    if len(tools) == 1:
        return list(tools.values())
    meant = {name: _overlap(name, message[:MAX_LOOKED_AT_CHARS]) for name in tools}
    harmless = [tool for tool in tools.values() if not changes_things(tool)]
    wanted = max(meant.values())
    if harmless and (wanted == 0 or any(meant[tool.name] == wanted for tool in harmless)):
        return [min(harmless, key=lambda tool: (-meant[tool.name], _rank(tool)))]
    return [_mildest(list(tools.values()))] if choice.mode is ToolMode.REQUIRED else []


def _named(tools: list[Tool], message: str) -> list[Tool]:
    """The tools that the message names, in the order in which it does."""
    places = [(place, tool) for tool in tools if (place := _place(tool, message)) is not None]
    return [tool for _, tool in sorted(places, key=lambda found: found[0])]


def _place(tool: Tool, message: str) -> int | None:
    name = rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])"
    if not changes_things(tool) or not tool.name.isalpha() or re.search(r"[a-z][A-Z]", tool.name):
        pattern = name
    else:
        # "use the write and edit tools" names both; "write me a poem" names none
        listed = r"(?:,? (?:and )?[\w`-]+){0,4}?"
        pattern = rf"[`'\"]{name}[`'\"]|\b(?:use|call|invoke|with)(?: the)? {name}|{name}{listed} (?:tools?|functions?)\b|\btool {name}|{name}\(\)"
    found = re.search(pattern, message, re.IGNORECASE)
    return found.start() if found else None


def _rank(tool: Tool) -> int:
    words = name_words(tool.name).split()
    return next((rank for rank, word in enumerate(HARMLESS) if word in words), len(HARMLESS))


def _overlap(name: str, message: str) -> int:
    """How many words of a tool's name, verbs that only look left aside, the message has in one form or another.

    >>> _overlap("get_weather", "What is the weather like?"), _overlap("search_hotels", "a hotel in Rome"), _overlap("get_weather", "Hi")
    (1, 1, 0)
    """
    said = {word[:MEANT_CHARS] for word in re.findall(r"[a-z]{3,}", message.lower())}
    return len({word[:MEANT_CHARS] for word in name_words(name).lower().split() if len(word) > 2 and word not in HARMLESS} & said)


def _mildest(tools: list[Tool]) -> Tool:
    """A tool that runs commands runs our own constant; any other would do what its name says."""
    return next((tool for tool in tools if _RUNS_COMMANDS.search(name_words(tool.name))), tools[0])
