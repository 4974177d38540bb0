"""Policies, native calls, interleaved fields and odd schemas; what each does, and that nothing ever comes after `Failed`."""

import json
import time
from collections.abc import Sequence
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    NativeToolCall,
    Notice,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UpstreamEvent,
)
from pipeline.machine.answer import AnswerMachine
from pipeline.machine.tools.inventory import Malformed, ToolPolicy, Unknown
from pipeline.request import Tool
from tests.machine.marker_fragments import ANYTHING
from tests.machine.notation import GLOB, GLOB_CALL, TOOLS, B, E, S, b, e, tool
from tests.machine.transcript import lines, settled
from tests.support.splits import cut, splits

NOPE = f"{B}{b}\nNope\n{S}x\n1\n{e}{E}"
BAD_JSON = f'{B}{b}{{"name":"Read","arguments":["x"]}}{e}{E}'


def run(events: list[UpstreamEvent], *, tools: Sequence[Tool] = TOOLS, parallel: bool = True, **policy) -> list[Event]:
    numbers = count()
    machine = AnswerMachine(new_id=lambda: f"call_{next(numbers)}", tools=tools, policy=ToolPolicy(**policy), parallel=parallel)
    return [event for given in [*events, Finish()] for event in machine.feed([given])]


def said(text: str, **options) -> list[str]:
    return lines(run([TextDelta(text)], **options))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Unknown.TEXT, ["notice unknown_tool", f"text {NOPE}", "finish stop"]),
        (Unknown.PASS, ["notice unknown_tool", 'call Nope {"x":"1"}', "finish tool_calls"]),
        (Unknown.ERROR, ["failed unknown_tool"]),
    ],
)
def test_a_tool_that_was_not_offered(policy, expected):
    assert said(NOPE, unknown=policy) == expected
    assert [line.replace("unknown_tool", "x") for line in expected] == [
        line.replace("call_without_tools", "x") for line in said(NOPE, tools=[], without_tools=policy)
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Malformed.RECOVER, ["failed malformed_tool_call"]),
        (Malformed.TEXT, ["notice malformed_call", f"text {BAD_JSON}", "finish stop"]),
        (Malformed.ERROR, ["failed malformed_tool_call"]),
    ],
)
def test_arguments_that_are_no_object(policy, expected):
    assert said(BAD_JSON, malformed=policy) == expected


def test_a_second_call_when_only_one_may_be():
    assert said(f"{B}{GLOB}{GLOB}{E}ok", parallel=False) == [GLOB_CALL, "notice parallel_call_dropped", "text ok", "finish tool_calls"]


@pytest.mark.parametrize(
    ("calls", "options", "expected"),
    [
        ([("i", "Read", '{"path":"a"}')], {}, ['call Read {"path":"a"}', "finish tool_calls"]),
        ([("i", "Read", "")], {}, ["call Read {}", "finish tool_calls"]),
        ([("i", "Nope", "{}")], {}, ["notice unknown_tool", "finish stop"]),
        ([("i", "Nope", "{}")], {"unknown": Unknown.PASS}, ["notice unknown_tool", "call Nope {}", "finish tool_calls"]),
        ([("i", "Nope", "{}")], {"unknown": Unknown.ERROR}, ["failed unknown_tool"]),
        ([("i", "Read", "[1")], {}, ["notice malformed_call", "finish stop"]),
        ([("i", "Read", "[1")], {"malformed": Malformed.ERROR}, ["failed malformed_tool_call"]),
        ([("i", "Read", "{}"), ("j", "Read", "{}")], {"parallel": False}, ["call Read {}", "notice parallel_call_dropped", "finish tool_calls"]),
        ([("i", "Read", "{}"), ("i", "Read", "{}")], {}, ["call Read {}", "notice call_id_repeated", "call Read {}", "finish tool_calls"]),
    ],
)
def test_native_calls(calls, options, expected):
    events = run([NativeToolCall(*call) for call in calls], **options)
    assert lines(events) == expected
    ids = [event.id for event in events if isinstance(event, ToolCallStart)]
    assert len(ids) == len(set(ids))


def test_what_another_field_says_waits_for_the_open_call():
    events: list[UpstreamEvent] = [
        TextDelta(f"{b}\nWrite\n{S}content\nab"),
        ThinkingDelta("hm"),
        NativeToolCall("i", "Read", "{}"),
        TextDelta(f"cd\n{e}end"),
    ]
    assert lines(run(events)) == ['call Write {"content":"abcd"}', "think hm", "call Read {}", "text end", "finish tool_calls"]


def test_a_cut_call_lets_the_other_field_speak():
    machine = AnswerMachine(new_id=lambda: "call_1", tools=TOOLS)
    events = machine.feed([TextDelta(f"{b}\nWrite\n{S}content\nab"), ThinkingDelta("hm"), Failed(StreamCut("cut"))])
    assert lines(events) == ['open Write {"content":"ab', "notice call_cut", "think hm", "failed upstream_stream_cut"]


ODD = [
    Tool(
        "T",
        parameters={
            "properties": {"a": {"type": "string"}, "file path": {"type": "string"}, "xml:lang": {"type": "string"}, "xml": {"type": "string"}}
        },
    )
]


@pytest.mark.parametrize("order", [("a", "file path", "xml:lang", "xml"), ("file path", "a"), ("xml:lang", "a"), ("xml", "xml:lang")])
def test_keys_with_spaces_and_colons(order):
    text = f"{B}{b}\nT\n" + "".join(f"{S}{key}\n{number}\n" for number, key in enumerate(order)) + e + E
    expected = {key: str(number) for number, key in enumerate(order)}
    for pieces in splits(text, seeds=20):
        events = run([TextDelta(piece) for piece in pieces], tools=ODD)
        assert json.loads("".join(event.arguments for event in events if isinstance(event, ToolCallDelta))) == expected, pieces


@pytest.mark.parametrize("space", [16, 17, 40])
def test_white_space_before_the_first_call_has_one_limit(space):
    text = f"{B}{' ' * space}{b}\nRead\n{e}{E}"
    whole = settled(said(text))
    assert all(settled(lines(run([TextDelta(piece) for piece in pieces]))) == whole for pieces in splits(text, seeds=10))
    assert ("call Read {}" in whole) is True
    assert ("notice malformed_call" in whole) is (space > 16)


def test_text_behind_a_name_is_named():
    assert settled(said(f"{B}{b}\nRead\n{e} hello lost {e}{E}")) == ["call Read {}", "finish tool_calls", "notice malformed_call"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"name":"Read","arguments":{"path":"a","path":"b"}}', {"path": "a"}),
        ('{"name":"Read","arguments":{"path":"a{[,:]}\\"","x":[1,{"y":2}]}}', {"path": 'a{[,:]}"', "x": [1, {"y": 2}]}),
        ('bash(command="echo C:\\new\\tmp \\"q\\"")', {"command": 'echo C:\\new\\tmp "q"'}),
        ("Read(path=a, path=b)", {"path": "a"}),
    ],
)
def test_bodies_keep_what_was_written(body, expected):
    events = run([TextDelta(f"{b}{body}{e}")])
    assert json.loads("".join(event.arguments for event in events if isinstance(event, ToolCallDelta))) == expected


def test_a_repeated_inline_argument_is_named():
    assert "notice argument_repeated" in said(f"{b}Read(path=a, path=b){e}")


@pytest.mark.parametrize("root", [{"$ref": "#/$defs/A"}, {"allOf": [{"$ref": "#/$defs/A"}]}, {"anyOf": [{"$ref": "#/$defs/A"}]}])
def test_properties_behind_a_reference_are_known(root):
    schema = {**root, "$defs": {"A": {"properties": {"content": {"type": "string"}}}}}
    events = run([TextDelta(f'{B}{b}\nPut\n{S}content\n{{"a":1}}\n{e}{E}')], tools=[Tool("Put", parameters=schema)])
    assert json.loads("".join(event.arguments for event in events if isinstance(event, ToolCallDelta))) == {"content": '{"a":1}'}


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (f"{B}{b}\nWrite\n{S}content\nx{S}", "-"),
        (f"{B}{b}\nWrite\n{S}content\nx", S),
        (f'{b}{{"name":"Read","arguments":{{"path":', " " * 16),
        (f"{b}\nWrite\n{S}", "-"),
        (f"{B}", " "),
        (f"{B}{b}\nWrite\n{S}content\nx{e}", "\n" * 17),
    ],
    ids=["punctuation behind a separator", "separators", "spaces in json", "no key", "spaces behind a begin", "line breaks behind an end"],
)
def test_hostile_runs_are_linear_and_not_held(head, piece):
    def seconds(times: int) -> float:
        machine = AnswerMachine(new_id=lambda: "call_1", tools=TOOLS)
        started = time.perf_counter()
        machine.feed([TextDelta(head)])
        for _ in range(times):
            machine.feed([TextDelta(piece)])
        machine.feed([TextDelta(head + piece * times)])
        machine.feed([Finish()])
        return time.perf_counter() - started

    small, large = min(seconds(2_000) for _ in range(3)), seconds(16_000)
    assert large < 10 * 8 * small + 0.5, f"{small:.3f} s, then {large:.3f} s for eight times as much"


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.sampled_from("TK"), ANYTHING), max_size=4),
    st.sampled_from(list(product(Unknown, Unknown, Malformed))),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_nothing_comes_after_the_end_and_calls_never_nest(fields, choices, parallel, offered, proper, edges):
    unknown, without, malformed = choices
    policy = ToolPolicy(unknown=unknown, without_tools=without, malformed=malformed, max_argument_bytes=1024)
    end: UpstreamEvent = Finish() if proper else Failed(StreamCut("cut"))

    def answer(pieces: list[tuple[str, str]]) -> list[Event]:
        numbers = count()
        machine = AnswerMachine(
            new_id=lambda: f"c{next(numbers)}", tools=[*TOOLS, tool("x y", **{"a b": "string"})] if offered else [], policy=policy, parallel=parallel
        )
        given: list[UpstreamEvent] = [TextDelta(text) if kind == "T" else ThinkingDelta(text) for kind, text in pieces if text]
        return [event for one in [*given, end] for event in machine.feed([one])]

    events = answer(fields)
    assert sum(isinstance(event, Finish | Failed) for event in events) == 1
    assert isinstance(events[-1], Finish | Failed)
    is_open: int | None = None
    for event in events:
        if isinstance(event, ToolCallStart):
            assert is_open is None
            is_open = event.index
        elif isinstance(event, ToolCallEnd):
            assert is_open == event.index
            is_open = None
        elif isinstance(event, Notice) and event.code == "call_cut":
            is_open = None  # the call is over and was not completed; what the other field said may follow
        elif not isinstance(event, Notice | Finish | Failed | ToolCallDelta):
            assert is_open is None, "text inside a call"
    if isinstance(events[-1], Finish):
        assert is_open is None
    cut_up = answer([(kind, piece) for kind, text in fields for piece in cut(text, edges)])
    assert settled(lines(cut_up)) == settled(lines(events))
