"""Answers that were promised to be JSON: fences go, faults are named, at every cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import AnswerUnsatisfied, RequestError
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, ToolCallEnd, ToolCallStart
from pipeline.machine.json_answer import Checker, JsonAnswerMachine
from pipeline.request import AnswerFormat
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
        ("``", [TextDelta("``"), Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
        ("", [Notice("response_format_unsatisfied", "the answer is no JSON"), STOP]),
    ],
)
def test_every_cut(text, expected):
    for pieces in splits(text, seeds=20):
        assert run(pieces) == expected, pieces


@settings(max_examples=300)
@given(st.text(alphabet="`json \n{}x\r", max_size=40), st.lists(st.integers(0, 40), max_size=8))
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


def test_calls_and_cut_answers_promise_no_json():
    assert run(["[1"], end=Finish(FinishReason.LENGTH)) == [TextDelta("[1"), Finish(FinishReason.LENGTH)]
    machine = JsonAnswerMachine(Checker(OBJECT), must_hold=True)
    call: list[Event] = [ToolCallStart(0, "c", "Read"), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS)]
    assert machine.feed(call) == call


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/x"}, {"$ref": "file:///etc/passwd"}, {"pattern": "("}, {"required": "a"}]
)
def test_a_schema_that_is_none_is_the_client_s_fault(schema):
    with pytest.raises(RequestError) as caught:
        Checker(AnswerFormat("json_schema", schema, "x"))
    assert caught.value.param == "response_format.json_schema.schema"


def test_hostile_schemas_and_answers_neither_hang_nor_raise():
    deep: dict = {}
    for _ in range(5000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(RequestError):
        Checker(AnswerFormat("json_schema", deep, "x"))
    slow = Checker(AnswerFormat("json_schema", {"type": "string", "pattern": "^(a+)+$"}, "x"))
    assert slow.fault('"' + "a" * 50_000 + 'b"') is not None
    assert Checker(AnswerFormat("json_schema", {"$ref": "#"}, "x")).fault("{}") is None
    assert Checker(OBJECT).fault("[" * 100_000) == "the answer is no JSON"
