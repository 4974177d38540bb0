"""Rows 14 to 30, 37, 38 and 46: the forms of a call, what is missing from them, and where a call ends."""

import json

from pipeline.machine.tools.inventory import Malformed, ToolPolicy
from tests.machine.notation import CALLS as TOOL_CALLS
from tests.machine.notation import CUT, GLOB, GLOB_CALL, STOP, B, Case, E, K, S, T, b, block, call, case, e, full, spaced

_READ = 'call Read {"path":"a"}'
_READ_TEXT = call("Read", path="a")
_JSON_SPELLINGS = (("name", "arguments"), ("tool", "args"), ("tool_name", "input"), ("toolName", "parameters"), ("name", "params"))
_BAD_JSON = block(f'{b}{{"name":"Read","arguments":["x"]}}{e}')
_BAD_NO_NAME = block(f'{b}{{"arguments":{{"path":"a"}}}}{e}')
_IN_VALUE = f"a {S} b {e} c {E} d {S}nokey\nx {b} y {B}"


FORMS: tuple[Case, ...] = (
    case(14, "text, then a call", f"Checking.\n{block(GLOB)}", "text Checking.\n", GLOB_CALL, TOOL_CALLS),
    case(15, "spaced markers", f"Checking.\n{spaced(block(GLOB))}", "text Checking.\n", GLOB_CALL, TOOL_CALLS),
    case(
        15,
        "full-width markers",
        f"Checking.\n{full(B + b)}\nGlob\n{full(S)}targeting\n/p/**\n{full(S)}glob_pattern\n*\n{full(e + E)}",
        "text Checking.\n",
        GLOB_CALL,
        TOOL_CALLS,
    ),
    case(15, "mixed markers", f"Checking.\n{full(B)}{GLOB}{full(spaced(E))}", "text Checking.\n", GLOB_CALL, TOOL_CALLS),
    case(15, "markers in upper case", f"{B.upper()}{GLOB}{E.title()}", GLOB_CALL, TOOL_CALLS),
    case(16, "two calls in one block", f"{B}{GLOB}\n{GLOB}{E}", GLOB_CALL, GLOB_CALL, TOOL_CALLS),
    case(16, "two blocks with text between", f"{block(GLOB)}\n\nand {block(GLOB)}", GLOB_CALL, "text and ", GLOB_CALL, TOOL_CALLS),
    case(17, "inline in brackets", f"{b}Glob [targeting=/a/**, glob_pattern=*]{e}", 'call Glob {"targeting":"/a/**","glob_pattern":"*"}', TOOL_CALLS),
    case(
        17,
        "inline in parentheses",
        f'{b}Glob(targeting="v, w", glob_pattern: 3){e}',
        'call Glob {"targeting":"v, w","glob_pattern":"3"}',
        TOOL_CALLS,
    ),
    *(
        case(18, f"JSON with {name} and {arguments}", block(f'{b}{{"{name}":"Read","{arguments}":{{"path":"a"}}}}{e}'), _READ, TOOL_CALLS)
        for name, arguments in _JSON_SPELLINGS
    ),
    case(
        18,
        "JSON with function and arguments in a string",
        f'{b}{{"function":{json.dumps({"name": "Read", "arguments": json.dumps({"path": "a"})})}}}{e}',
        'call Read {"path": "a"}'.replace(": ", ":"),
        TOOL_CALLS,
    ),
    case(19, "JSON with an array for arguments", f'{b}{{"name":"Read","arguments":["x"]}}{e}', "failed malformed_tool_call"),
    case(19, "JSON with a broken string for arguments", f'{b}{{"name":"Read","arguments":"{{oops"}}{e}', "failed malformed_tool_call"),
    case(
        19,
        "the same, under the policy text",
        _BAD_JSON,
        "notice malformed_call",
        f"text {_BAD_JSON}",
        STOP,
        policy=ToolPolicy(malformed=Malformed.TEXT),
    ),
    case(19, "the same, under the policy error", _BAD_JSON, "failed malformed_tool_call", policy=ToolPolicy(malformed=Malformed.ERROR)),
    case(19, "JSON without a name", _BAD_NO_NAME, "notice malformed_call", f"text {_BAD_NO_NAME}", STOP),
    case(20, "DeepSeek's native form", block(f'{b}function{S}Read\n```json\n{{"path":"a"}}\n```{e}'), _READ, TOOL_CALLS),
    case(20, "JSON behind the separator", block(f'{b}Read{S}{{"path":"a"}}{e}'), _READ, TOOL_CALLS),
    case(21, "a name only", block(call("Read")), "call Read {}", TOOL_CALLS),
    case(22, "prose where the name should be", f"{b} I will read the file", "notice malformed_call", f"text {b} I will read the file", STOP),
    case(
        22,
        "prose where the name should be, in a block",
        f"{B}{b}\nI will read{e}{E} ok",
        "notice malformed_call",
        f"text {B}{b}\nI will read",
        "notice marker_kept",
        f"text {e}{E} ok",
        STOP,
    ),
    case(23, "an empty block", f"{B}{E}ok", "text ok", STOP),
)

ENDS: tuple[Case, ...] = (
    case(24, "the block's end is missing", f"{B}{GLOB}", GLOB_CALL, "notice call_repaired", TOOL_CALLS),
    case(24, "the block's end is missing after two calls", f"{B}{GLOB}{GLOB}\n", GLOB_CALL, GLOB_CALL, "notice call_repaired", TOOL_CALLS),
    case(25, "the last call's end is missing", f"{B}{_READ_TEXT.removesuffix(e)}{E}", _READ, "notice call_repaired", TOOL_CALLS),
    case(
        25,
        "the first call's end is missing",
        block(_READ_TEXT.removesuffix(e), GLOB),
        _READ,
        "notice call_repaired",
        GLOB_CALL,
        TOOL_CALLS,
    ),
    case(
        25,
        "both ends are missing",
        f"{B}{b}\nRead\n{S}path\na",
        'open Read {"path":"a',
        "notice call_cut",
        "failed tool_call_cut",
    ),
    case(26, "a bare call, with prose behind it", f"{GLOB} done", GLOB_CALL, "text  done", TOOL_CALLS),
    case(26, "a bare call at the end", f"Now: {GLOB}", "text Now: ", GLOB_CALL, TOOL_CALLS),
    case(
        28,
        "a key without a value",
        f"{B}{b}\nGlob\n{S}targeting\n{S}glob_pattern\n*\n{e}{E}",
        'call Glob {"targeting":"","glob_pattern":"*"}',
        TOOL_CALLS,
    ),
    case(
        29,
        "indentation and final line breaks",
        block(f"{b}\nWrite\n{S}content\n    def f():\n        pass\n\n{e}"),
        'call Write {"content":"    def f():\\n        pass\\n"}',
        TOOL_CALLS,
    ),
    case(29, "line breaks at the start", block(call("Write", content="\n\n a")), 'call Write {"content":"\\n\\n a"}', TOOL_CALLS),
    case(
        30,
        "markers as data in a value",
        block(call("Write", content=_IN_VALUE)),
        f"call Write {json.dumps({'content': _IN_VALUE}, separators=(',', ':'))}",
        "notice marker_kept",
        TOOL_CALLS,
    ),
    case(
        30,
        "a separator with a key that was given",
        block(call("Write", content=f"a\n{S}content\nb")),
        f'call Write {{"content":"a\\n{S}content\\nb"}}',
        "notice marker_kept",
        TOOL_CALLS,
    ),
    case(
        30,
        "markers in a string of a JSON body",
        block(f'{b}{{"name":"Write","arguments":{{"content":"a {S} {b} {e} x {E} y"}}}}{e}'),
        f'call Write {{"content":"a {S} {b} {e} x {E} y"}}',
        TOOL_CALLS,
    ),
    case(
        37,
        "spaces instead of line breaks",
        f"{b} write {S} path /U/x/test {S} content 22 {e}",
        'call Write {"path":"/U/x/test","content":"22"}',
        TOOL_CALLS,
    ),
    case(37, "equals signs and colons", block(f"{b}Write{S}path=/U/x{S}content: 22\n{e}"), 'call Write {"path":"/U/x","content":"22"}', TOOL_CALLS),
    case(38, "a call behind the answer token", K(f"r</think>{block(GLOB)}"), "think r", GLOB_CALL, TOOL_CALLS),
    case(
        38,
        "a call in the thinking, without a token",
        K(f"r {block(GLOB)}\nmore"),
        "think r ",
        "notice call_in_thinking",
        GLOB_CALL,
        "think more",
        TOOL_CALLS,
    ),
)

CUTS: tuple[Case, ...] = (
    *(
        case(46, f"cut {where}", f"{B}{b}\nRead{said}", *before, "notice call_cut", CUT, proper=False)
        for where, said, before in (
            ("in a name", "", ()),
            ("in a key", f"\n{S}pa", ("open Read ",)),
            ("in a value", f"\n{S}path\nab", ('open Read {"path":"ab',)),
            ("directly behind a call's end", f"\n{S}path\na\n{e}", ('open Read {"path":"a',)),
            ("in the look-ahead behind a call's end", f"\n{S}path\na\n{e} <|tool_ca", ('open Read {"path":"a',)),
        )
    ),
    case(46, "cut in a JSON body", f'{B}{b}{{"name":"Read","arguments":{{"path":"a', "notice call_cut", CUT, proper=False),
    case(46, "cut behind a whole block", T(block(GLOB)), GLOB_CALL, CUT, proper=False),
    case(46, "cut behind the second call's name", f"{B}{GLOB}{b}\nRead", GLOB_CALL, "notice call_cut", CUT, proper=False),
)
