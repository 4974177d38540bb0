"""Answers that were promised to be JSON: fences go, faults are named, at every cut."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import AnswerUnsatisfied, RequestError, StreamCut
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.json_answer import Checker, JsonAnswerMachine
from pipeline.request import AnswerFormat
from tests.machine.test_schema_weight import doubling
from tests.support.splits import cut, splits
from tests.support.transcripts import merge

OBJECT = AnswerFormat("json_object")
SCHEMA = AnswerFormat("json_schema", {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["a"]}, "x")
REMOVED, STOP = Notice("json_fence_removed", "the code fence around the JSON was removed"), Finish()


def run(pieces: list[str], answer_format: AnswerFormat = OBJECT, *, must_hold: bool = False, end: Finish = STOP) -> list[Event]:
    machine = JsonAnswerMachine(Checker(answer_format), must_hold=must_hold)
    given: list[Event] = [TextDelta(piece) for piece in pieces if piece]
    return merge(event for one in [*given, end] for event in machine.feed([one]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1]}', [TextDelta('{"a": [1]}'), STOP]),
        ('\n  {"a": [1]}\n', [TextDelta('{"a": [1]}\n'), STOP]),
        ('```json\n{"a": [1]}\n```', [TextDelta('{"a": [1]}'), REMOVED, STOP]),
        ('```\r\n{"a": [1]}\r\n```\r\n\r\n', [TextDelta('{"a": [1]}'), REMOVED, STOP]),
        ('```json\n{"a": "```\n"}', [TextDelta('{"a": "```\n"}'), REMOVED, Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
        ('{"a": "```json\\n```"}', [TextDelta('{"a": "```json\\n```"}'), STOP]),
        ("[1]", [TextDelta("[1]"), Notice("response_format_unsatisfied", "the answer is no JSON object"), STOP]),
        ("Here it is", [TextDelta("Here it is"), Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
        ('```json {"a": [1]}```', [TextDelta('{"a": [1]}'), REMOVED, STOP]),
        ('```{"a": [1]}\n```', [TextDelta('{"a": [1]}'), REMOVED, STOP]),
        ("```json x", [TextDelta("```json x"), Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
        (
            "```json" + " " * 20 + "\n{}",
            [TextDelta("```json" + " " * 20 + "\n{}"), Notice("response_format_unsatisfied", "the answer is no JSON"), STOP],
        ),
        ("``", [TextDelta("``"), Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
        ("", [Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
    ],
)
def test_every_cut(text, expected):
    for pieces in splits(text, seeds=20):
        assert run(pieces) == expected, pieces


@settings(max_examples=300)
@given(st.text(alphabet="`json \n{}[x\r", max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_one_answer_for_every_cut(text, edges):
    assert run(cut(text, edges)) == run([text])


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4),
    st.sampled_from(["", "```json\n", "```\n"]),
    st.lists(st.integers(0, 60)),
)
def test_the_json_itself_is_never_touched(value, fence, edges):
    text = json.dumps(value, indent=1)
    events = run(cut(fence + text + ("\n```\n" if fence else ""), edges))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert events[-1] == STOP
    assert Notice("response_format_unsatisfied", "the answer is no JSON") not in events


def test_a_schema_is_held_against_the_answer():
    assert run(['{"a": [1, 2]}'], SCHEMA)[-2:] == [TextDelta('{"a": [1, 2]}'), STOP]
    assert run(['{"a": [1, "2"]}'], SCHEMA)[-2] == Notice("response_format_unsatisfied", "the answer does not fit the schema at /a/1")
    assert run(["{}"], SCHEMA)[-2] == Notice("response_format_unsatisfied", "the answer does not fit the schema at its top")


def test_a_whole_answer_that_fails_is_a_fault():
    (failed,) = run(["no"], SCHEMA, must_hold=True)[1:]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, AnswerUnsatisfied)
    assert failed.error.code == "response_format_unsatisfied"


NO_PROMISE: dict[str, list[Event]] = {
    "cut by a limit": [TextDelta("[1"), Finish(FinishReason.LENGTH)],
    "filtered": [TextDelta('{"a'), Finish(FinishReason.CONTENT_FILTER)],
    "a refusal": [RefusalDelta("no"), Finish()],
    "calls": [ToolCallStart(0, "c", "Read"), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS)],
    "calls and prose": [TextDelta("Let me look."), ToolCallStart(0, "c", "Read"), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS)],
    "calls, whatever the reason": [TextDelta("Let me look."), ToolCallStart(0, "c", "Read"), ToolCallEnd(0), Finish()],
}


@pytest.mark.parametrize("must_hold", [True, False])
@pytest.mark.parametrize("events", NO_PROMISE.values(), ids=NO_PROMISE)
def test_what_promises_no_json_is_not_checked(events, must_hold):
    assert JsonAnswerMachine(Checker(OBJECT), must_hold=must_hold).feed(events) == events


FAULT = Failed(StreamCut("cut"))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TextDelta("``"), FAULT], [TextDelta("``"), FAULT]),
        ([TextDelta("```\n{}\n``"), FAULT], [TextDelta("{}"), TextDelta("\n``"), FAULT]),
        ([TextDelta("``"), ThinkingDelta("hm"), TextDelta("x")], [TextDelta("``"), ThinkingDelta("hm"), TextDelta("x")]),
        ([ThinkingDelta("hm"), TextDelta("```\n{"), Finish()], [ThinkingDelta("hm"), TextDelta("{"), REMOVED]),
        # what was shown of a fence is the beginning, and no other fence comes behind it
        ([TextDelta("`"), ThinkingDelta("hm"), TextDelta("``\n")], [TextDelta("`"), ThinkingDelta("hm"), TextDelta("``\n")]),
    ],
)
def test_what_is_held_comes_before_what_follows(events, expected):
    assert JsonAnswerMachine(Checker(OBJECT), must_hold=False).feed(events)[: len(expected)] == expected


def test_at_an_end_that_another_made_only_the_fence_is_told_of():
    machine = JsonAnswerMachine(Checker(OBJECT), must_hold=True)
    machine.feed([TextDelta('```json\n{"a": ')])
    assert machine.ended(STOP) == [REMOVED, STOP]
    assert JsonAnswerMachine(Checker(OBJECT), must_hold=True).ended(STOP) == [STOP]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/x"}, {"$ref": "file:///etc/passwd"}, {"pattern": "("}, {"required": "a"}]
)
def test_a_schema_that_is_none_is_the_client_s_fault(schema):
    with pytest.raises(RequestError) as caught:
        Checker(AnswerFormat("json_schema", schema, "x"))
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize("path", ["text.format.schema", "response_format.schema"])
def test_the_fault_of_a_schema_names_its_place_and_is_short(path):
    for schema in ({"properties": {"a" * 20_000: {"type": "x" * 20_000}}}, {"$ref": "#/" + "x" * 5_000}, {"type": "strin"}):
        with pytest.raises(RequestError) as caught:
            Checker(AnswerFormat("json_schema", schema, path=path))
        assert caught.value.param == path
        assert caught.value.message.startswith(f"{path} is not a JSON Schema")
        assert len(caught.value.message) < 400
    assert "/type is not valid" in caught.value.message


def test_a_pattern_that_takes_much_memory_is_refused():
    patterns = {"allOf": [{"pattern": rf"^(\p{{L}}{{1,100}}|b{number})+$"} for number in range(200)]}
    with pytest.raises(RequestError):
        Checker(AnswerFormat("json_schema", patterns, "x"))


def test_an_answer_that_is_too_large_for_its_schema_is_not_checked():
    heavy = AnswerFormat("json_schema", {"items": {"anyOf": [{"type": "string"}] * 1_000}}, "x")
    for must_hold in (True, False):
        *_, notice, finish = run(["[" + "1," * 2_000 + "1]"], heavy, must_hold=must_hold)
        assert isinstance(notice, Notice)
        assert (notice.code, finish) == ("response_format_unchecked", STOP)
    assert run(["[1]"], heavy)[-2] == Notice("response_format_unsatisfied", "the answer does not fit the schema")


def test_hostile_schemas_and_answers_neither_hang_nor_raise():
    deep: dict = {}
    for _ in range(5000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(RequestError):
        Checker(AnswerFormat("json_schema", deep, "x"))
    slow = Checker(AnswerFormat("json_schema", {"type": "string", "pattern": "^(a+)+$"}, "x"))
    assert slow.judge('"' + "a" * 50_000 + 'b"').fault is not None
    assert Checker(OBJECT).judge("[" * 100_000).fault == "the answer is no JSON"


def tree(depth: int) -> str:
    return '{"a":' * depth + "{}" + "}" * depth


BACK = {"properties": {"a": {"$ref": "#"}}, "required": ["b"]}
HOSTILE: dict[str, tuple[dict, str]] = {
    **{f"doubling {keyword}": (doubling(11, keyword), "{}") for keyword in ("anyOf", "allOf", "oneOf")},
    **{f"doubling {keyword}, too far": (doubling(40, keyword), "{}") for keyword in ("anyOf", "allOf", "oneOf")},
    "doubling at every level": ({"anyOf": [BACK] * 4}, tree(120)),
    "a large value in many faults": ({"anyOf": [{"type": "string"}] * 1_000}, json.dumps([{"a": "x" * 100}] * 20_000)),
    "a large value in few faults": ({"anyOf": [{"type": "string"}] * 9}, json.dumps(["x" * 100] * 20_000)),
    "many faults": ({"items": {"type": "string"}}, json.dumps([1] * 20_000)),
    "looking around": ({"pattern": "(?=.*x)(?=.*y)"}, json.dumps("abc " * 100_000)),
    "reference back": ({"items": {"pattern": r"^(?:(a+)\1*)+$"}}, json.dumps(["a" * 60 + "!"] * 2_000)),
    **{
        f"{count} patterns of {repeats}": (
            {"allOf": [{"pattern": rf"^(\p{{L}}{{1,{repeats}}}|b{n})+$"} for n in range(count)]},
            json.dumps("xy" * 500),
        )
        for count, repeats in ((100, 4), (100, 8), (10, 40), (500, 1))
    },
    "formats": ({"$schema": "http://json-schema.org/draft-07/schema#", "items": {"format": "regex"}}, json.dumps([r"\p{L}{1,500}"] * 1_000)),
    "a long chain": ({"$ref": "#/$defs/a0", "$defs": {f"a{n}": {"properties": {"a": {"$ref": f"#/$defs/a{n + 1}"}}} for n in range(9_000)}}, "{}"),
    "a large enum": ({"items": {"enum": list(range(40_000))}}, json.dumps([-1] * 10_000)),
    "unevaluated": ({"unevaluatedProperties": False, "anyOf": [BACK] * 2}, tree(60)),
    "an answer of many values": ({"items": {"type": "integer"}}, json.dumps([1] * 900_000)),
    "wide properties": ({"properties": {f"p{n}": {"anyOf": [{"type": "string"}] * 3} for n in range(9_000)}}, "{}"),
}


def test_a_schema_that_just_does_not_double_too_far_is_used():
    assert Checker(AnswerFormat("json_schema", doubling(11, "anyOf"), "x")).judge("{}").fault == "the answer does not fit the schema"
    with pytest.raises(RequestError):
        Checker(AnswerFormat("json_schema", doubling(12, "anyOf"), "x"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_schema_costs_neither_much_time_nor_memory(name):
    """In a process of its own, whose memory has a limit, and whose peak is its own."""
    program = Path(__file__).with_name("hostile_schema.py")
    schema, text = HOSTILE[name]
    done = subprocess.run([sys.executable, program], input=json.dumps([schema, text]), capture_output=True, text=True, timeout=20, check=True)
    seconds, mebibytes = json.loads(done.stdout)
    assert seconds < 0.6  # 0.2 on a machine that is not busy
    assert mebibytes < 50
