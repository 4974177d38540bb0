"""Rows 31 to 36 and 39 to 44: values and their types, tools that were not offered, names of other clients, and a long argument."""

import json

from pipeline.machine.tools.inventory import ToolPolicy, Unknown
from tests.machine.notation import CALLS, GLOB, GLOB_CALL, STOP, TOOLS, B, Case, E, S, T, b, block, call, case, e, tool

_TOKENS = "a </think> b <|final|> c"
_CONTROLS = 'tab\t quote " back \\ nul \x00'


def _write(content: str, key: str = "content") -> str:
    return block(call("Write", **{key: content}))


def _written(value: object, key: str = "content") -> str:
    return f"call Write {json.dumps({key: value}, separators=(',', ':'), ensure_ascii=False)}"


VALUES: tuple[Case, ...] = (
    case(31, "tokens in a value", _write(_TOKENS), _written(_TOKENS), CALLS),
    case(31, "control characters in a value", _write(_CONTROLS), _written(_CONTROLS), CALLS),
    *(case(32, f"a string that looks like {text}", _write(text), _written(text), CALLS) for text in ("123", "007", "1.50", "True", "null", "{bad}")),
    case(33, "an integer of twenty digits", _write("12345678901234567890", "mode"), 'call Write {"mode":12345678901234567890}', CALLS),
    case(33, "an integer in hexadecimal", _write("0x1F", "mode"), 'call Write {"mode":"0x1F"}', "notice argument_type", CALLS),
    case(33, "an empty integer", _write("", "mode"), 'call Write {"mode":""}', "notice argument_type", CALLS),
    case(34, "an array", block(f'{b}todowrite{S}todos\n[{{"a": 1}}]\n{e}'), 'call todowrite {"todos":[{"a": 1}]}', CALLS),
    case(35, "content that is JSON", _write('{"a": [1]}'), _written('{"a": [1]}'), CALLS),
    case(36, "CR LF line ends", f"{B}\r\n{b}\r\nWrite\r\n{S}content\r\na\r\nb\r\n{e}\r\n{E}\r\n", _written("a\r\nb"), CALLS),
    case(36, "CR LF, and one more at the end", f"{B}{b}\r\nWrite\r\n{S}content\r\na\r\n\r\n{e}{E}", _written("a\r\n"), CALLS),
)

_NOPE = block(call("Nope", x="1"))
_NOPE_FORMS = {"pairs": _NOPE, "JSON": f'{b}{{"name":"Nope","arguments":{{"x":"1"}}}}{e}', "inline": f"{b}Nope(x=1){e}"}
_POLICIES = {
    Unknown.TEXT: lambda code, source: (f"notice {code}", f"text {source}", STOP),
    Unknown.PASS: lambda code, source: (f"notice {code}", 'call Nope {"x":"1"}', CALLS),
    Unknown.ERROR: lambda code, source: (f"failed {code}",),
}

NOT_OFFERED: tuple[Case, ...] = (
    *(
        case(39, f"an unknown name, {form}: {choice}", source, *expected("unknown_tool", source), policy=ToolPolicy(unknown=choice))
        for form, source in _NOPE_FORMS.items()
        for choice, expected in _POLICIES.items()
    ),
    *(
        case(
            39,
            f"no tools were offered, {form}: {choice}",
            source,
            *expected("call_without_tools", source),
            tools=(),
            policy=ToolPolicy(without_tools=choice),
        )
        for form, source in _NOPE_FORMS.items()
        for choice, expected in _POLICIES.items()
    ),
    case(39, "an unknown name, then prose", f"{_NOPE}ok", "notice unknown_tool", f"text {_NOPE}ok", STOP),
    case(
        39,
        "an unknown name, then a known one",
        block(call("Nope"), GLOB),
        "notice unknown_tool",
        f"text {B}{call('Nope')}",
        GLOB_CALL,
        f"text {E}",
        CALLS,
    ),
    case(39, "a name in another case", f"{b}READ\n{S}Path\na\n{e}", 'call Read {"path":"a"}', CALLS),
)

_OPENCODE = (tool("write", filePath="string", content="string"), *(one for one in TOOLS if one.name in ("edit", "bash")))
_WRITE_FILE = {"name": "write_file", "arguments": {"target_file": "a", "new_contents": "b", "extra": 1}}
_DELETE = block(call("delete", path="a"))


def _alias(number: int, title: str, text: str, *expected: str) -> Case:
    return case(number, title, T(text), *expected, tools=_OPENCODE)


ALIASES: tuple[Case, ...] = (
    _alias(
        40,
        "write_file for write, in JSON",
        block(f"{b}{json.dumps(_WRITE_FILE)}{e}"),
        "notice tool_renamed",
        'call write {"filePath":"a","content":"b"}',
        "notice argument_dropped",
        CALLS,
    ),
    _alias(
        40,
        "write_file for write, in pairs",
        block(call("write_file", target_file="a", new_contents="b")),
        "notice tool_renamed",
        'call write {"filePath":"a","content":"b"}',
        CALLS,
    ),
    _alias(
        41,
        "edit_file for edit",
        block(call("edit_file", path="a", old_string="b", new_contents="c")),
        "notice tool_renamed",
        'call edit {"filePath":"a","oldString":"b","newString":"c"}',
        CALLS,
    ),
    _alias(41, "run_terminal_cmd for bash", block(call("run_terminal_cmd", cmd="ls")), "notice tool_renamed", 'call bash {"command":"ls"}', CALLS),
    _alias(
        41,
        "StrReplace for edit",
        block(call("StrReplace", path="a", old_string="b", new_string="c")),
        "notice tool_renamed",
        'call edit {"filePath":"a","oldString":"b","newString":"c"}',
        CALLS,
    ),
    case(42, "delete where only a shell is offered", _DELETE, "notice unknown_tool", f"text {_DELETE}", STOP, tools=_OPENCODE),
    _alias(
        43,
        "a command keeps its words",
        block(call("run_terminal_cmd", command="npm run dev")),
        "notice tool_renamed",
        'call bash {"command":"npm run dev"}',
        CALLS,
    ),
)

_LONG = "0123456789abcdef" * 4096

LONG: tuple[Case, ...] = (
    case(44, "an argument of 64 KiB", _write(_LONG), _written(_LONG), CALLS),
    case(44, "an argument of 1 MiB", _write(_LONG * 16), _written(_LONG * 16), CALLS),
)
