"""CustomCalls: the raw text out of `{"input": "..."}`, however that comes and however it is cut (O5)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.custom_calls import MAX_HELD_CHARS, CustomCalls
from tests.support.splits import cut, splits

NAME = "ApplyPatch"
PATCH = '*** Begin Patch\n*** Update File: a.py\n@@\n-say("hi")\n+say("hí 😀\\n")\n\t/x\x01\n*** End Patch\n'
ASCII = json.dumps({"input": PATCH})
SOURCES = [
    "input",
    "other",
    '"',
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    " ",
    "\n",
    "\\",
    "\\n",
    "\\u",
    "00e9",
    "\\ud83d",
    "\\ude00",
    "\\d",
    "1",
    "null",
    "é",
    '{"input": "',
    '"}',
]
"""Fragments of which objects, almost objects and raw text are made."""


def called(pieces: list[str], *, name: str = NAME, end: bool = True) -> list[Event]:
    """What a call with these argument deltas becomes."""
    calls = CustomCalls({NAME})
    given: list[Event] = [ToolCallStart(0, "call_1", name), *(ToolCallDelta(0, piece) for piece in pieces if piece)]
    if end:
        given.append(ToolCallEnd(0))
    return [made for event in given for made in calls.feed([event])]


def text_of(events: list[Event]) -> str:
    return "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))


def codes_of(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Notice)]


CASES = {
    "plain": ('{"input":"*** Begin Patch\\n"}', "*** Begin Patch\n", []),
    "escapes and a pair, all ASCII": (ASCII, PATCH, []),
    "characters as they are": (json.dumps({"input": PATCH}, ensure_ascii=False), PATCH, []),
    "white space anywhere": (' \n{ "input"\t:\r\n "a b" } \n', "a b", []),
    "an escaped key": ('{"\\u0069nput":"a"}', "a", []),
    "an empty input": ('{"input":""}', "", []),
    "what looks like the end": ('{"input":"\\"}{\\"input\\": \\""}', '"}{"input": "', []),
    "another key before": ('{"reason":{"input":"no"},"input":"a"}', "a", ["custom_argument_dropped"]),
    "other keys behind": ('{"input":"a","b":[1,{"input":"no"}],"c":"}"}', "a", ["custom_argument_dropped"]),
    "the input twice": ('{"input":"a","input":"b"}', "a", ["argument_repeated"]),
    "a number": ('{"input": 1.50}', "1.50", ["argument_type"]),
    "an object": ('{"input": {"a": "\\n"}}', '{"a": "\\n"}', ["argument_type"]),
    "null and more": ('{"input":null,"x":1}', "null", ["argument_type", "custom_argument_dropped"]),
    "no input": ('{"patch":"*** Begin"}', '{"patch":"*** Begin"}', ["custom_input_as_is"]),
    "an empty object": ("{}", "", ["custom_input_repaired"]),
    "an empty object and more": ("{ } x", "", ["custom_input_repaired", "custom_argument_dropped"]),
    "nothing": ("", "", []),
    "raw text": ("*** Begin Patch\n", "*** Begin Patch\n", ["custom_input_as_is"]),
    "raw text with white space and a brace": (' \n{ let a = "input"; }', ' \n{ let a = "input"; }', ["custom_input_as_is"]),
    "a JSON string": ('"a\\nb"', '"a\\nb"', ["custom_input_as_is"]),
    "an array": ('[{"input":"a"}]', '[{"input":"a"}]', ["custom_input_as_is"]),
    "an object that breaks before its input": ('{"a":1,,"input":"b"}', '{"a":1,,"input":"b"}', ["custom_input_as_is"]),
    "line ends as they are": ('{"input":"a\nb\r\n\tc"}', "a\nb\r\n\tc", ["custom_input_repaired"]),
    "escapes that JSON has not": (r'{"input":"\d+\'\u12x\x41\\"}', r"\d+\'\u12x\x41" + "\\", ["custom_input_repaired"]),
    "half a pair": ('{"input":"a\\ud83db\\ude00\\n"}', "a\ufffdb\ufffd\n", ["mended_text"]),
    "half a pair before a pair": ('{"input":"\\ud83d\\ud83d\\ude00"}', "\ufffd😀", ["mended_text"]),
    "no brace at the end": ('{"input":"a"', "a", ["custom_input_repaired"]),
    "text behind the object": ('{"input":"a"} and so on', "a", ["custom_argument_dropped"]),
    "a character too many behind": ('{"input":"a"x', "a", ["custom_argument_dropped"]),
    "a bracket too many behind": ('{"input":"a","b":]}', "a", ["custom_argument_dropped"]),
}


@pytest.mark.parametrize(("arguments", "expected", "codes"), CASES.values(), ids=[f"O5 {name}" for name in CASES])
def test_every_cut_gives_the_same_input(arguments, expected, codes):
    for pieces in splits(arguments, seeds=20):
        events = called(pieces)
        assert text_of(events) == expected
        assert codes_of(events) == codes
        assert events[0] == ToolCallStart(0, "call_1", NAME, custom=True)
        assert events[-1] == ToolCallEnd(0)
        assert sum(isinstance(event, ToolCallDelta) for event in events) <= len(pieces) + 1


@pytest.mark.parametrize(
    "arguments", ['{"input":"a', '{"input":"a\\', '{"input":"a\\ud83d\\u'], ids=["O5 no quote", "O5 half an escape", "O5 half a pair"]
)
def test_an_input_without_its_end_is_half_of_one(arguments):
    for pieces in splits(arguments, seeds=20):
        events = called(pieces)
        assert text_of(events) == "a"
        assert codes_of(events) == ["call_cut"]
        assert not any(isinstance(event, ToolCallEnd) for event in events), "half a patch must not be applied"
        assert isinstance(last := events[-1], Failed)
        assert last.error.code == "tool_call_cut"


@pytest.mark.parametrize("arguments", ["{", '{"in', ' {"input"', '{"input":', '{"input": 1', '{"reason":"x","inp', '{"reason":"x'])
def test_O5_the_beginning_of_an_object_is_no_input(arguments):
    for pieces in splits(arguments, seeds=5):
        events = called(pieces)
        assert text_of(events) == ""
        assert codes_of(events)[-1:] == ["call_cut"]
        assert not any(isinstance(event, ToolCallEnd) for event in events)
        assert isinstance(last := events[-1], Failed)
        assert last.error.code == "tool_call_cut"


@given(st.text(), st.booleans(), st.lists(st.integers(0, 400)))
def test_O5_any_input_comes_back(text, ascii_only, edges):
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    events = called(cut(arguments, edges))
    assert text_of(events) == text
    assert codes_of(events) == []


@given(st.lists(st.sampled_from(SOURCES)).map("".join), st.lists(st.integers(0, 200)))
def test_O5_any_text_any_cut(arguments, edges):
    whole, pieces = called([arguments]), called(cut(arguments, edges))
    assert text_of(whole) == text_of(pieces)
    assert codes_of(whole) == codes_of(pieces)
    if not codes_of(whole):  # then it is what a decoder makes of it
        assert not arguments.strip() or json.loads(arguments) == {"input": text_of(whole)}


def test_O5_one_delta_is_one_delta_and_nothing_is_held():
    pieces = ['{"input":"', "one", " two", "\\", "n", "\\ud83d", "\\ud", "e00!", 'x"', "}"]
    deltas = [
        [event.arguments for event in called(pieces[: count + 1], end=False) if isinstance(event, ToolCallDelta)] for count in range(len(pieces))
    ]
    assert [len(made) for made in deltas] == [0, 1, 2, 2, 3, 3, 3, 4, 5, 5]
    assert deltas[-1] == ["one", " two", "\n", "😀!", "x"]


def test_O5_every_character_before_an_escape_goes_on_at_once():
    sent = 0
    for count in range(len(ASCII)):
        text = text_of(called([ASCII[: count + 1]], end=False))
        assert PATCH.startswith(text)
        sent = max(sent, len(text))
        # `{"input": "`, and twelve characters for one pair
        assert len(json.dumps(text)[1:-1]) + len('{"input": "') + 12 > count
    assert sent == len(PATCH)


def test_O5_an_input_that_begins_too_late_is_raw_text():
    late = "{" + " " * MAX_HELD_CHARS + '"input":"a"}'
    for pieces in (cut(late, [10, MAX_HELD_CHARS - 1, MAX_HELD_CHARS + 3]), [late], cut(late, range(0, len(late), 1000))):
        events = called(pieces)
        assert text_of(events) == late
        assert codes_of(events) == ["custom_input_as_is"]
    just = "{" + " " * (MAX_HELD_CHARS - 10) + '"input":"a"}'
    assert [text_of(called(pieces)) for pieces in ([just], cut(just, range(0, len(just), 1000)))] == ["a", "a"]


def test_O5_a_failed_stream_leaves_the_call_open():
    failed = Failed(StreamCut("cut"))
    calls = CustomCalls({NAME})
    events = calls.feed([ToolCallStart(0, "call_1", NAME), ToolCallDelta(0, '{"a":1,"input":"b\\'), failed])
    assert events[:2] == [ToolCallStart(0, "call_1", NAME, custom=True), ToolCallDelta(0, "b")]
    assert codes_of(events) == ["custom_argument_dropped"]
    assert events[-1] is failed
    assert not any(isinstance(event, ToolCallEnd) for event in events)


def test_an_answer_cut_by_its_length_leaves_the_call_open():
    end = Finish(FinishReason.LENGTH)
    events = CustomCalls({NAME}).feed([ToolCallStart(0, "call_1", NAME), ToolCallDelta(0, '{"input":"b'), Notice("call_cut"), end])
    assert events == [ToolCallStart(0, "call_1", NAME, custom=True), ToolCallDelta(0, "b"), Notice("call_cut"), end]


def test_other_calls_and_native_custom_calls_pass():
    others: list[Event] = [
        TextDelta("a"),
        ToolCallStart(0, "call_1", "Read"),
        ToolCallDelta(0, '{"input":"a"}'),
        ToolCallEnd(0),
        ToolCallStart(1, "call_2", NAME, custom=True),
        ToolCallDelta(1, '{"input":"a"}'),
        ToolCallEnd(1),
        Finish(FinishReason.TOOL_CALLS),
    ]
    assert CustomCalls({NAME}).feed(others) == others


def test_several_calls_each_for_itself():
    calls = CustomCalls({NAME})
    events: list[Event] = []
    for index, arguments in enumerate(["raw", '{"input":"a"}', '{"input":"b\nc"}']):
        events += calls.feed([ToolCallStart(index, f"call_{index}", NAME), ToolCallDelta(index, arguments), ToolCallEnd(index)])
    assert [event.arguments for event in events if isinstance(event, ToolCallDelta)] == ["raw", "a", "b\nc"]
    assert codes_of(events) == ["custom_input_as_is", "custom_input_repaired"]


@pytest.mark.parametrize("unit", ["word ", "\\n", "\n", "\\ud83d", "\\ud83d\\ude00", "\\q", '\\"', "😀"])
def test_time_is_linear_in_the_input(unit):
    """As characters examined: the reader's patterns never look again at what was passed on."""
    size = 100_000
    arguments = '{"input":"' + unit * (size // len(unit)) + '"}'
    pieces = [arguments[at : at + 7] for at in range(0, len(arguments), 7)]
    looked = 0

    class Counted(str):
        __slots__ = ()

        def __radd__(self, other: str) -> str:
            nonlocal looked
            looked += len(other) + len(self)
            return other + str(self)

    calls = CustomCalls({NAME})
    calls.feed([ToolCallStart(0, "call_1", NAME)])
    for piece in pieces:
        calls.feed([ToolCallDelta(0, Counted(piece))])
    assert 0 < looked <= len(arguments) + 12 * len(pieces)
