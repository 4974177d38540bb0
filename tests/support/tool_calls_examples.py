"""The examples of docs/tool-calls.md that are not rows of the case table: input and options; what comes of them is found by running them.

`COMPARED` also holds what another project was measured to do with the same input, and where its code was found.
"""

from typing import NamedTuple

from pipeline.events import NativeToolCall, TextDelta, UpstreamEvent
from pipeline.machine.tools.inventory import Malformed, ToolPolicy, Unknown
from pipeline.request import Tool
from tests.machine.notation import GLOB, B, Case, E, K, S, T, b, block, call, case, e, full, spaced, tool
from tests.machine.structural import STRUCTURAL

GREP = tool("grep", pattern="string", include="string")
WRITE = tool("write", filePath="string", content="string")
FLAGS = tool("Flag", on="boolean")

# the first example: what the upstream sends, read by read, with every cut in an awkward place
STREAM_TOOLS = (GREP,)
STREAM = (
    "Let me look.\n\n<|tool_ca",
    "lls_begin|><|tool_call_begin|>\ngrep\n<|tool",
    "_sep|>pattern\nstrptime|fromiso",
    "format <|tool_sep|> date\n<|tool_",
    "sep|>include\n*.py\n<|tool_call_end|>",
    "<|tool_calls_end|>",
)

# how the arguments can follow the name, in the words of the grammar
FORMS = {
    "pairs": case(0, "", call("Write", path="a.py", content="x = 1")),
    "pairs, keys behind spaces": case(0, "", f"{b} Write {S} path a.py {S} content 22 {e}"),
    "json": case(0, "", f'{b}{{"name": "Read", "arguments": {{"path": "a"}}}}{e}'),
    "json behind the name": case(0, "", f'{b}Read{S}{{"path": "a"}}{e}'),
    "native": case(0, "", f'{b}function{S}Read\n```json\n{{"path": "a"}}\n```{e}'),
    "inline": case(0, "", f'{b}Glob(targeting="v, w", glob_pattern: 3){e}'),
    "inline, brackets": case(0, "", f"{b}Glob [targeting=/a/**, glob_pattern=*]{e}"),
    "name": case(0, "", f"{b}\nRead\n{e}"),
}

# a decision's name -> the inputs that show it
DECISIONS: dict[str, tuple[Case, ...]] = {
    "unknown key": (
        case(0, "", block(call("Write", path="a", content=f"the {S} marker\n{S}colour\nred"))),
        case(0, "", block(call("Write", content=f"a\n{S}path\nb"))),
    ),
    "text behind the end": (case(0, "", f"{B}{call('Write', content='a')} and on {E}"), case(0, "", f"{GLOB} and on")),
    "structure in a value": STRUCTURAL,
    "json string": (case(0, "", f'{B}{b}{{"name": "Write", "arguments": {{"content": "x{e}{E}y"}}}}{e}{E}'),),
    "booleans": (case(0, "", block(call("Flag", on="true")), tools=(FLAGS,)), case(0, "", block(call("Flag", on="True")), tools=(FLAGS,))),
    "closing final": (case(0, "", K("r<|final|>one<|/final|> two")), case(0, "", "one<|/final|> two")),
    "unknown arguments": (
        case(0, "", block(call("Write", content="a", colour="red"))),
        case(0, "", block(f'{b}{{"name": "Write", "arguments": {{"content": "a", "colour": "red"}}}}{e}')),
        case(0, "", block(f'{b}{{"name": "write_file", "arguments": {{"path": "a", "contents": "b", "colour": "red"}}}}{e}'), tools=(WRITE,)),
    ),
    "cut": (case(0, "", f"{B}{b}\nWrite\n{S}content\nhalf a", proper=False),),
    "waiting": (case(0, "", (T(f"{b}\nWrite\n{S}content\nab"), K("hm"), T(f"cd\n{e}end"))),),
}

# where a dialect is read only behind a text of the request's own, that text

HIDDEN_CHARS = 200
HIDDEN = (case(0, "", "Let me think.\n<|final|>Yes."), case(0, "", "No token comes."))

# a native call comes in a field of its own, which the notation has no letter for
NATIVE: tuple[UpstreamEvent, ...] = (TextDelta("one "), NativeToolCall("1", "nope", "{}"), TextDelta("two"))

_NOPE = block(call("nope", x="1"))
_BROKEN = f'{B}{b}{{"name": "Read", "arguments": ["x"]}}{e}{E}'
_NO_TOOLS: tuple[Tool, ...] = ()

# setting -> its choice -> the input that shows it
POLICIES: dict[str, dict[str, Case]] = {
    "unknown": {choice: case(0, "", _NOPE, policy=ToolPolicy(unknown=choice)) for choice in Unknown},
    "without_tools": {choice: case(0, "", _NOPE, tools=_NO_TOOLS, policy=ToolPolicy(without_tools=choice)) for choice in Unknown},
    "malformed": {choice: case(0, "", _BROKEN, policy=ToolPolicy(malformed=choice)) for choice in Malformed},
}


class Compared(NamedTuple):
    """An input, and what the other project makes of it."""

    row: Case
    theirs: str


COMPARED_WITH = "standardagents/composer-api"

COMPARED = (
    Compared(case(8, "", K("r<｜final｜>OK<｜/final｜>")), "`<｜/final｜>` leaks"),
    Compared(case(24, "", f"{B}{GLOB}"), "raw markers leak"),
    Compared(case(25, "", f"{B}{b}\nRead\n{S}path\na\n{E}"), "the call is dropped"),
    Compared(case(29, "", block(call("Write", content="    def f():\n        pass\n"))), "indentation and final newline are trimmed"),
    Compared(case(30, "", block(call("Write", content=f"a {e} b {E} c"))), "an end marker in a value cuts or loses the call"),
    Compared(case(31, "", block(call("Write", content="a </think> b"))), "the argument is truncated"),
    Compared(case(32, "", block(call("Write", content="123"))), "a number"),
    Compared(case(33, "", block(call("Write", mode="12345678901234567890"))), "20-digit integers lose precision"),
    Compared(case(37, "", f"{B}{b} Write {S} path /U/x/test {S} content 22 {e}{E}"), "a key `path /U/x/test`"),
)

_STREAM = f"Checking.\n\n{B}{GLOB}{E}"

# what it is -> the stream, and how many of its two-way splits change the other project's answer
COMPARED_SPLITS = {
    "ASCII": (_STREAM, 2),
    "full-width": (f"Checking.\n\n{full(B + b)}\nGlob\n{full(S)}targeting\n/p/**\n{full(S)}glob_pattern\n*\n{full(e + E)}", 2),
    "spaced": (f"Checking.\n\n{spaced(B + GLOB + E)}", 21),
    "mixed: the first bar full-width": (_STREAM.replace("|", "｜", 1), 15),
}
