"""The transcript of the tool-marker grammar: what a model writes, and what comes of it, under every cut.

A field is (kind, text): T text, K thinking. Expected are lines: `text …`, `think …`, `call NAME {arguments}`, `open NAME …` for a call that was never
completed, `notice code`, `finish reason`, `failed code`.
"""

from collections.abc import Iterable, Iterator
from itertools import count

import pytest

from pipeline.errors import StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    Notice,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UpstreamEvent,
)
from pipeline.machine.answer import AnswerMachine
from pipeline.request import Tool
from tests.support.splits import splits

B, b, S, e, E = "<|tool_calls_begin|>", "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>", "<|tool_calls_end|>"


def tool(name: str, **types: str) -> Tool:
    return Tool(name, parameters={"type": "object", "properties": {key: {"type": kind} for key, kind in types.items()}})


TOOLS = [
    tool("Read", path="string"),
    tool("Write", path="string", content="string", mode="integer"),
    tool("Glob", targeting="string", glob_pattern="string"),
    tool("edit", filePath="string", oldString="string", newString="string"),
    tool("bash", command="string"),
    tool("todowrite", todos="array"),
]
GLOB = f"{b}\nGlob\n{S}targeting\n/p/**\n{S}glob_pattern\n*\n{e}"
GLOB_CALL = 'call Glob {"targeting":"/p/**","glob_pattern":"*"}'
STOP, CALLS = "finish stop", "finish tool_calls"


def full(text: str) -> str:
    return text.replace("|", "｜").replace("_", "▁")


def spaced(text: str) -> str:
    return text.replace("<|", "< | ").replace("|>", " | >")


def write(content: str, key: str = "content") -> str:
    return f"{B}{b}\nWrite\n{S}{key}\n{content}\n{e}{E}"


CASES: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "1 text": ([("T", "Hello"), ("T", " from Composer")], ["text Hello from Composer", STOP]),
    "3 answer in thinking": ([("K", "reason"), ("K", "\n</think>\nOK")], ["think reason\n", "text OK", STOP]),
    "4 thinking only": ([("K", "abc")], ["think abc", "notice empty_answer", STOP]),
    "5 final in thinking": ([("K", "Hidden <｜final｜>Visible answer")], ["think Hidden ", "text Visible answer", STOP]),
    "6 final first in text": ([("T", "<"), ("T", "｜fina"), ("T", "l｜"), ("T", ">\n\nVisible")], ["text Visible", STOP]),
    "7 more thinking is text": ([("K", "r</think>A"), ("K", " more")], ["think r", "text A more", STOP]),
    "8 closing final": ([("K", "r<｜final｜>OK<｜/final｜>")], ["think r", "text OK", STOP]),
    "9 two tokens": ([("K", "r</think>\n<｜final｜>OK")], ["think r", "text OK", STOP]),
    "10 tokens as text": (
        [("T", "The tag `</think>` closes it, and <|final|> too.")],
        ["text The tag `</think>` closes it, and <|final|> too.", STOP],
    ),
    "11 spaced final": ([("T", "< |  final  | >Vis")], ["text Vis", STOP]),
    "12 less than": ([("T", "a < b")], ["text a < b", STOP]),
    "14 text and call": ([("T", f"Checking.\n{B}{GLOB}{E}")], ["text Checking.\n", GLOB_CALL, CALLS]),
    "15 spaced": ([("T", f"Checking.\n{spaced(B + GLOB + E)}")], ["text Checking.\n", GLOB_CALL, CALLS]),
    "15 full width": (
        [("T", f"Checking.\n{full(B + b)}\nGlob\n{full(S)}targeting\n/p/**\n{full(S)}glob_pattern\n*\n{full(e + E)}")],
        ["text Checking.\n", GLOB_CALL, CALLS],
    ),
    "15 mixed": ([("T", f"Checking.\n{full(B)}{GLOB}{full(spaced(E))}")], ["text Checking.\n", GLOB_CALL, CALLS]),
    "15 upper case": ([("T", f"{B.upper()}{GLOB}{E}")], [GLOB_CALL, CALLS]),
    "16 two calls": ([("T", f"{B}{GLOB}\n{GLOB}{E}")], [GLOB_CALL, GLOB_CALL, CALLS]),
    "16 two blocks": ([("T", f"{B}{GLOB}{E}\n\nand {B}{GLOB}{E}")], [GLOB_CALL, "text and ", GLOB_CALL, CALLS]),
    "17 brackets": ([("T", f"{b}Glob [targeting=/a/**, glob_pattern=*]{e}")], ['call Glob {"targeting":"/a/**","glob_pattern":"*"}', CALLS]),
    "17 parentheses": ([("T", f'{b}Glob(targeting="v, w", glob_pattern: 3){e}')], ['call Glob {"targeting":"v, w","glob_pattern":"3"}', CALLS]),
    "18 json": ([("T", f'{B}{b}{{"name":"Read","arguments":{{"path":"a"}}}}{e}{E}')], ['call Read {"path":"a"}', CALLS]),
    "18 json spellings": ([("T", f'{B}{b}{{"tool_name":"Read","args":{{"path":"a"}}}}{e}{E}')], ['call Read {"path":"a"}', CALLS]),
    "18 json function": ([("T", f'{b}{{"function":{{"name":"Read","arguments":"{{\\"path\\":\\"a\\"}}"}}}}{e}')], ['call Read {"path":"a"}', CALLS]),
    "19 array for arguments": ([("T", f'{b}{{"name":"Read","arguments":["x"]}}{e}')], ["failed malformed_tool_call"]),
    "19 broken string": ([("T", f'{b}{{"name":"Read","arguments":"{{oops"}}{e}')], ["failed malformed_tool_call"]),
    "20 native": ([("T", f'{B}{b}function{S}Read\n```json\n{{"path":"a"}}\n```{e}{E}')], ['call Read {"path":"a"}', CALLS]),
    "20 sep json": ([("T", f'{B}{b}Read{S}{{"path":"a"}}{e}{E}')], ['call Read {"path":"a"}', CALLS]),
    "21 name only": ([("T", f"{B}{b}\nRead\n{e}{E}")], ["call Read {}", CALLS]),
    "22 prose as name": ([("T", f"{b} I will read the file")], ["notice malformed_call", f"text {b} I will read the file", STOP]),
    "22 prose in a block": ([("T", f"{B}{b}\nI will read{e}{E} ok")], ["notice malformed_call", f"text {B}{b}\nI will read{e}{E} ok", STOP]),
    "23 empty block": ([("T", f"{B}{E}ok")], ["text ok", STOP]),
    "24 block end missing": ([("T", f"{B}{GLOB}")], [GLOB_CALL, "notice call_repaired", CALLS]),
    "25 last call end missing": ([("T", f"{B}{b}\nRead\n{S}path\na\n{E}")], ['call Read {"path":"a"}', "notice call_repaired", CALLS]),
    "25 first call end missing": (
        [("T", f"{B}{b}\nRead\n{S}path\na\n{GLOB}{E}")],
        ['call Read {"path":"a"}', "notice call_repaired", GLOB_CALL, CALLS],
    ),
    "25 both missing": ([("T", f"{B}{b}\nRead\n{S}path\na")], ['open Read {"path":"a', "notice call_cut", "failed tool_call_cut"]),
    "26 bare call and prose": ([("T", f"{GLOB} done")], [GLOB_CALL, "text  done", CALLS]),
    "27 strays": ([("T", f"see {E} and {S}x")], [f"text see {E} and {S}x", STOP]),
    "27 stray begin": ([("T", f"the {B} marker")], ["text the ", "notice malformed_call", f"text {B} marker", STOP]),
    "28 key without a value": (
        [("T", f"{B}{b}\nGlob\n{S}targeting\n{S}glob_pattern\n*\n{e}{E}")],
        ['call Glob {"targeting":"","glob_pattern":"*"}', CALLS],
    ),
    "29 indentation": (
        [("T", f"{B}{b}\nWrite\n{S}content\n    def f():\n        pass\n\n{e}{E}")],
        ['call Write {"content":"    def f():\\n        pass\\n"}', CALLS],
    ),
    "30 markers in a value": (
        [("T", write(f"a {S} b {e} c {E} d {S}nokey\nx {b} y {B}"))],
        [f'call Write {{"content":"a {S} b {e} c {E} d {S}nokey\\nx {b} y {B}"}}', CALLS],
    ),
    "30 sep with a given key": ([("T", write(f"a\n{S}content\nb"))], [f'call Write {{"content":"a\\n{S}content\\nb"}}', CALLS]),
    "31 tokens in a value": ([("T", write("a </think> b <|final|> c"))], ['call Write {"content":"a </think> b <|final|> c"}', CALLS]),
    **{
        f"32 string {text}": ([("T", write(text))], [f'call Write {{"content":"{text}"}}', CALLS])
        for text in ("123", "007", "1.50", "True", "{bad}", "null")
    },
    "33 big integer": ([("T", write("12345678901234567890", "mode"))], ['call Write {"mode":12345678901234567890}', CALLS]),
    "33 hex integer": ([("T", write("0x1F", "mode"))], ['call Write {"mode":"0x1F"}', "notice argument_type", CALLS]),
    "33 empty integer": ([("T", write("", "mode"))], ['call Write {"mode":""}', "notice argument_type", CALLS]),
    "34 array": ([("T", f'{B}{b}todowrite{S}todos\n[{{"a": 1}}]\n{e}{E}')], ['call todowrite {"todos":[{"a": 1}]}', CALLS]),
    "35 json text as content": ([("T", write('{"a": [1]}'))], ['call Write {"content":"{\\"a\\": [1]}"}', CALLS]),
    "36 crlf": ([("T", f"{B}\r\n{b}\r\nWrite\r\n{S}content\r\na\r\nb\r\n{e}\r\n{E}\r\n")], ['call Write {"content":"a\\r\\nb"}', CALLS]),
    "37 space form": (
        [("T", f"{b} write {S} path /U/x/test {S} content 22 {e}")],
        ['call Write {"path":"/U/x/test","content":"22"}', CALLS],
    ),
    "38 call behind the answer token": ([("K", f"r</think>{B}{GLOB}{E}")], ["think r", GLOB_CALL, CALLS]),
    "38 call in thinking": ([("K", f"r {B}{GLOB}{E}\nmore")], ["think r ", "notice call_in_thinking", GLOB_CALL, "think more", CALLS]),
    "39 unknown name": ([("T", f"{B}{b}\nNope\n{S}x\n1\n{e}{E}ok")], ["notice unknown_tool", f"text {B}{b}\nNope\n{S}x\n1\n{e}{E}ok", STOP]),
    "39 unknown then known": (
        [("T", f"{B}{b}\nNope\n{e}{GLOB}{E}")],
        ["notice unknown_tool", f"text {B}{b}\nNope\n{e}", GLOB_CALL, f"text {E}", CALLS],
    ),
    "39 unknown json": ([("T", f'{b}{{"name":"Nope"}}{e}')], ["notice unknown_tool", f'text {b}{{"name":"Nope"}}{e}', STOP]),
    "control characters": (
        [("T", write('tab\t quote " back \\ nul \x00'))],
        ['call Write {"content":"tab\\t quote \\" back \\\\ nul \\u0000"}', CALLS],
    ),
    "fields have lexers of their own": ([("T", "a <"), ("K", "think"), ("T", "b")], ["text a ", "think think", "text <b", STOP]),
    "folded names": ([("T", f"{b}READ\n{S}Path\na\n{e}")], ['call Read {"path":"a"}', CALLS]),
}

CUT: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "2 text": ([("T", "Hello")], ["text Hello", "failed upstream_stream_cut"]),
    "46 behind the call end": ([("T", f"{B}{b}\nRead\n{S}path\na\n{e}")], ['open Read {"path":"a', "notice call_cut", "failed upstream_stream_cut"]),
    "46 in a value": ([("T", f"{B}{b}\nRead\n{S}path\nab")], ['open Read {"path":"ab', "notice call_cut", "failed upstream_stream_cut"]),
    "46 in a name": ([("T", f"{B}{b}\nRead")], ["notice call_cut", "failed upstream_stream_cut"]),
    "in a marker": ([("T", "ok <|tool_ca")], ["text ok <|tool_ca", "failed upstream_stream_cut"]),
    "46 in the look-ahead": (
        [("T", f"{B}{b}\nRead\n{S}path\na\n{e} <|tool_ca")],
        ['open Read {"path":"a', "notice call_cut", "failed upstream_stream_cut"],
    ),
}


def lines(events: Iterable[Event]) -> list[str]:
    """Events as the transcript's lines."""
    found: list[str] = []
    places: list[int] = []
    for event in events:
        match event:
            case TextDelta(text) if found and found[-1].startswith("text "):
                found[-1] += text
            case TextDelta(text):
                found.append(f"text {text}")
            case ThinkingDelta(text) if found and found[-1].startswith("think "):
                found[-1] += text
            case ThinkingDelta(text):
                found.append(f"think {text}")
            case ToolCallStart(index, _, name):
                assert index == len(places), "calls are numbered in order"
                places.append(len(found))
                found.append(f"open {name} ")
            case ToolCallDelta(index, arguments):
                assert all(line.startswith("notice") for line in found[places[index] + 1 :]), "text inside a call"
                found[places[index]] += arguments
            case ToolCallEnd(index):
                assert found[places[index]].startswith("open ")
                found[places[index]] = found[places[index]].replace("open ", "call ", 1)
            case Notice(code, _):
                found.append(f"notice {code}")
            case Finish(reason, _):
                found.append(f"finish {reason}")
            case Failed(error):
                found.append(f"failed {error.code}")
            case _:
                raise AssertionError(event)
    return found


def settled(found: list[str]) -> list[str]:
    """Notices may come earlier or later inside a call under another cut; what they say and how often may not change."""
    return [line for line in found if not line.startswith("notice")] + sorted(line for line in found if line.startswith("notice"))


def run(pieces: Iterable[tuple[str, str]], *, proper: bool, tools: list[Tool] = TOOLS) -> list[str]:
    numbers = count()
    machine = AnswerMachine(new_id=lambda: f"call_{next(numbers)}", tools=tools)
    batches: list[list[UpstreamEvent]] = [[TextDelta(text) if kind == "T" else ThinkingDelta(text)] for kind, text in pieces if text]
    batches.append([Finish() if proper else Failed(StreamCut("cut"))])
    return lines(event for batch in batches for event in machine.feed(batch))


def all_cuts(fields: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for at, (kind, text) in enumerate(fields):
        for pieces in splits(text, seeds=20):
            yield [*fields[:at], *((kind, piece) for piece in pieces), *fields[at + 1 :]]


@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_answer(fields, expected):
    assert run(fields, proper=True) == expected
    for pieces in all_cuts(fields):
        assert settled(run(pieces, proper=True)) == settled(expected), pieces


@pytest.mark.parametrize(("fields", "expected"), CUT.values(), ids=CUT)
def test_a_cut_stream_completes_nothing(fields, expected):
    assert run(fields, proper=False) == expected
    for pieces in all_cuts(fields):
        assert settled(run(pieces, proper=False)) == settled(expected), pieces


def test_without_tools_a_call_is_text():
    text = f"{B}{GLOB}{E}"
    assert run([("T", text)], proper=True, tools=[]) == ["notice call_without_tools", f"text {text}", STOP]


@pytest.mark.parametrize("name", CASES)
def test_cut_anywhere_no_call_is_completed_that_was_not(name):
    fields, expected = CASES[name]
    complete = [line for line in expected if line.startswith("call ")]
    for at in range(len(fields[-1][1])):
        found = run([*fields[:-1], (fields[-1][0], fields[-1][1][:at])], proper=False)
        calls = [line for line in found if line.startswith("call ")]
        assert calls == complete[: len(calls)]
        assert found[-1].startswith("failed ")
