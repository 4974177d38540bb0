"""Responses emission: what each event looks like to a client, and what it is never told."""

import json

import pytest

from pipeline.echo import Echo
from pipeline.emit.base import AnswerHead
from pipeline.emit.responses import KEEPALIVE, ResponsesStream, responses_dialect
from pipeline.emit.responses_object import usage_fields
from pipeline.emit.whole import Whole
from pipeline.errors import ContextLengthExceeded, PenstockError, RateLimited, StreamCut
from pipeline.events import (
    Event,
    Failed,
    Finish,
    FinishReason,
    Notice,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from pipeline.models import Price
from tests.support.responses_checker import checked, read_events
from tests.support.responses_types import assert_response, assert_typed

USAGE = UsageReport(1_000_000, 2_000_000, reasoning_tokens=5, cached_tokens=7)
HEAD = AnswerHead("resp_7", 17, "composer-2.5", show_thinking=True)
READ = {"type": "function", "name": "read", "description": None, "parameters": {"type": "object"}, "strict": False}
ECHO = Echo(instructions="Be brief.", metadata={"a": "b"}, store=True, tools=(READ,), namespaces={"files__read": ("files", "read")}, user="me")
CALL: list[Event] = [ToolCallStart(0, "call_1", "read"), ToolCallDelta(0, '{"path":'), ToolCallDelta(0, '"a"}'), ToolCallEnd(0)]
CUSTOM: list[Event] = [ToolCallStart(1, "call_2", "patch", custom=True), ToolCallDelta(1, '*** "Begin'), ToolCallEnd(1)]


def emitter(head: AnswerHead = HEAD, echo: Echo = ECHO, *, shows_reasoning: bool = True) -> ResponsesStream:
    return ResponsesStream(head, lambda: USAGE, echo=echo, shows_reasoning=shows_reasoning, now=lambda: 99)


def told(*events: Event, stream: ResponsesStream | None = None) -> list[dict]:
    """The events of an answer without those that begin it, and without their numbers; each is of its type and in its place."""
    stream = stream or emitter()
    data = stream.feed(events)
    found = read_events(data)
    assert checked(data).response == stream.response
    assert stream.chunks == len(found)
    for event in found:
        assert_typed(event)
        del event["sequence_number"]
    return found[2:]


def final(*events: Event, stream: ResponsesStream | None = None) -> dict:
    return told(*events, stream=stream)[-1]["response"]


def output(*events: Event) -> list[dict]:
    return final(*events)["output"]


def text_item(text: str, number: int, status: str = "completed") -> dict:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": f"msg_7_{number}", "type": "message", "status": status, "role": "assistant", "content": [part]}


def test_it_begins_with_the_request():
    created, in_progress, *_ = read_events(emitter().feed([TextDelta("a")]))
    assert created["type"] == "response.created"
    assert in_progress == {**created, "type": "response.in_progress", "sequence_number": 1}
    assert created["response"] == {
        **{"id": "resp_7", "object": "response", "created_at": 17, "completed_at": None, "status": "in_progress", "model": "composer-2.5"},
        **{"error": None, "incomplete_details": None, "output": [], "usage": None, "instructions": "Be brief.", "metadata": {"a": "b"}},
        **{"tools": [READ], "tool_choice": "auto", "parallel_tool_calls": True, "max_tool_calls": None, "store": True, "user": "me"},
        **{
            "background": False,
            "truncation": "disabled",
            "previous_response_id": None,
            "max_output_tokens": None,
            "text": {"format": {"type": "text"}},
        },
        **{"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_logprobs": 0, "service_tier": "default"},
        **{"reasoning": {"effort": None, "summary": None}, "safety_identifier": None, "prompt_cache_key": None},
    }


def test_a_user_is_named_only_where_the_client_named_one():
    assert final(Finish())["user"] == "me"
    assert "user" not in final(Finish(), stream=emitter(echo=Echo()))


def test_a_message():
    where = {"item_id": "msg_7_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    item = text_item("Hello", 0)
    assert told(TextDelta("Hel"), TextDelta("lo"), Finish())[:-1] == [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **where, "part": part},
        {"type": "response.output_text.delta", **where, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **where, "delta": "lo", "logprobs": []},
        {"type": "response.output_text.done", **where, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", **where, "part": {**part, "text": "Hello"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def test_reasoning():
    where, part = {"item_id": "rs_7_0", "output_index": 0, "summary_index": 0}, {"type": "summary_text", "text": ""}
    assert told(ThinkingDelta("h"), ThinkingDelta("m"), Finish())[:-1] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"id": "rs_7_0", "type": "reasoning", "status": "in_progress", "summary": []},
        },
        {"type": "response.reasoning_summary_part.added", **where, "part": part},
        {"type": "response.reasoning_summary_text.delta", **where, "delta": "h"},
        {"type": "response.reasoning_summary_text.delta", **where, "delta": "m"},
        {"type": "response.reasoning_summary_text.done", **where, "text": "hm"},
        {"type": "response.reasoning_summary_part.done", **where, "part": {**part, "text": "hm"}},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"id": "rs_7_0", "type": "reasoning", "status": "completed", "summary": [{**part, "text": "hm"}]},
        },
    ]


@pytest.mark.parametrize(("by_head", "by_request"), [(True, False), (False, True), (False, False)])
def test_reasoning_that_is_not_shown_leaves_nothing(by_head, by_request):
    stream = emitter(AnswerHead("resp_7", 17, "m", show_thinking=by_head), shows_reasoning=by_request)
    answer = told(ThinkingDelta("hm"), TextDelta("a"), Finish(), stream=stream)
    assert answer[-1]["response"]["output"] == [text_item("a", 0)]
    assert "hm" not in json.dumps(answer)


BROKEN: list[Event] = [ToolCallStart(0, "call_1", "read"), ToolCallDelta(0, '{"path": tru'), ToolCallEnd(0)]


@pytest.mark.parametrize("behind", [[], [TextDelta("more"), *CALL, Finish(FinishReason.TOOL_CALLS)], [Finish(FinishReason.LENGTH)]])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_function_s_call_that_is_no_json_is_never_done(behind, at_once):
    events = [*CALL, *BROKEN, *behind]
    stream = emitter()
    data = b"".join(stream.feed(batch) for batch in ([events] if at_once else [[event] for event in events]))
    told = read_events(data)
    assert checked(data).response == stream.response
    assert [event["type"] for event in told[-2:]] == ["error", "response.failed"], "and nothing behind the end"
    assert told[-1]["response"]["error"]["code"] == told[-2]["code"] == "invalid_arguments"
    assert [event["item"]["call_id"] for event in told if event["type"] == "response.output_item.done"] == ["call_1"]
    assert [item["arguments"] for item in told[-1]["response"]["output"]] == ['{"path":"a"}']
    assert stream.error is not None
    assert stream.error.status == 502


@pytest.mark.parametrize(("call", "code"), [(BROKEN, "invalid_arguments"), (CALL[:-1], "tool_call_cut")])
def test_in_the_whole_form_a_call_that_cannot_be_run_is_an_error(call, code):
    folded = Whole()
    folded.add([TextDelta("a"), *call, Finish()])
    with pytest.raises(PenstockError) as caught:
        responses_dialect(ECHO, shows_reasoning=True).whole(HEAD, folded, USAGE)
    assert (caught.value.code, caught.value.status) == (code, 502)


def test_behind_the_end_of_a_list_nothing_is_said():
    stream = emitter()
    whole = stream.feed([TextDelta("a"), Finish(), TextDelta("b"), *CALL, Failed(StreamCut("Cut."))])
    assert read_events(whole)[-1]["type"] == "response.completed"
    assert stream.error is None


def test_a_call_is_done_when_it_is_whole():
    where, item = {"item_id": "fc_7_0", "output_index": 0}, {"id": "fc_7_0", "type": "function_call", "call_id": "call_1", "name": "read"}
    assert told(*CALL, Finish(FinishReason.TOOL_CALLS))[:-1] == [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **where, "delta": '{"path":'},
        {"type": "response.function_call_arguments.delta", **where, "delta": '"a"}'},
        {"type": "response.function_call_arguments.done", **where, "arguments": '{"path":"a"}', "name": "read"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "status": "completed", "arguments": '{"path":"a"}'}},
    ]


def test_a_custom_call_has_its_input_as_text():
    where, item = {"item_id": "ctc_7_0", "output_index": 0}, {"id": "ctc_7_0", "type": "custom_tool_call", "call_id": "call_2", "name": "patch"}
    assert told(*CUSTOM, Finish(FinishReason.TOOL_CALLS))[:-1] == [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "input": ""}},
        {"type": "response.custom_tool_call_input.delta", **where, "delta": '*** "Begin'},
        {"type": "response.custom_tool_call_input.done", **where, "input": '*** "Begin'},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "status": "completed", "input": '*** "Begin'}},
    ]


def test_a_call_of_a_tool_in_a_namespace_says_both():
    events = told(ToolCallStart(0, "call_1", "files__read"), ToolCallDelta(0, "{}"), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS))
    for item in (events[0]["item"], events[3]["item"], events[-1]["response"]["output"][0]):
        assert (item["namespace"], item["name"]) == ("files", "read")
    assert events[2]["name"] == "read"
    assert "namespace" not in output(*CALL, Finish())[0]


def test_a_refusal_is_a_part_of_its_own():
    events = told(TextDelta("Well."), RefusalDelta("I "), RefusalDelta("cannot."), Finish())
    where = {"item_id": "msg_7_0", "output_index": 0, "content_index": 1}
    assert events[5:10] == [
        {"type": "response.content_part.added", **where, "part": {"type": "refusal", "refusal": ""}},
        {"type": "response.refusal.delta", **where, "delta": "I "},
        {"type": "response.refusal.delta", **where, "delta": "cannot."},
        {"type": "response.refusal.done", **where, "refusal": "I cannot."},
        {"type": "response.content_part.done", **where, "part": {"type": "refusal", "refusal": "I cannot."}},
    ]
    assert [part["type"] for part in events[-1]["response"]["output"][0]["content"]] == ["output_text", "refusal"]


def test_what_comes_behind_another_item_opens_its_own():
    items = output(ThinkingDelta("a"), TextDelta("b"), ThinkingDelta("c"), *CALL, TextDelta("d"), *CUSTOM, Finish())
    assert [item["id"] for item in items] == ["rs_7_0", "msg_7_1", "rs_7_2", "fc_7_3", "msg_7_4", "ctc_7_5"]
    assert {item["status"] for item in items} == {"completed"}


def test_the_end():
    response = final(TextDelta("a"), Finish(), stream=emitter(AnswerHead("resp_7", 17, "m", price=Price(0.5, 2.5))))
    assert (response["status"], response["completed_at"], response["incomplete_details"]) == ("completed", 99, None)
    assert response["usage"] == {
        "input_tokens": 1_000_000,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
        "output_tokens": 2_000_000,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 3_000_000,
        "estimated": True,
        "cost": {
            "currency": "USD",
            "estimated": True,
            "input_usd": 0.5,
            "output_usd": 5.0,
            "total_usd": 5.5,
            "pricing": {"input_per_million": 0.5, "output_per_million": 2.5},
        },
    }


@pytest.mark.parametrize(("reason", "word"), [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")])
def test_a_cut_answer_is_incomplete(reason, word):
    stream = emitter()
    *_, done, end = told(*CALL, TextDelta("a"), Finish(reason), stream=stream)
    assert (done["item"]["status"], end["type"], stream.reason) == ("incomplete", "response.incomplete", reason)
    assert end["response"]["incomplete_details"] == {"reason": word}
    assert [item["status"] for item in end["response"]["output"]] == ["completed", "incomplete"]


def test_a_call_that_a_limit_cut_is_never_done():
    *events, end = told(TextDelta("a"), *CALL[:-1], Finish(FinishReason.LENGTH))
    assert [event["type"] for event in events[-3:]] == ["response.output_item.added", *2 * ["response.function_call_arguments.delta"]]
    assert (end["type"], end["response"]["output"]) == ("response.incomplete", [text_item("a", 0)])


@pytest.mark.parametrize("cut", [Failed(StreamCut("Cut off.")), Finish(FinishReason.STOP)], ids=["failed", "ended"])
@pytest.mark.parametrize("call", [CALL, CUSTOM], ids=["function", "custom"])
def test_a_failed_answer_does_not_do_its_call(cut, call):
    stream = emitter()
    *events, error, end = told(TextDelta("a"), *call[:-1], cut, stream=stream)
    assert [event["output_index"] for event in events if event["type"] == "response.output_item.done"] == [0]
    assert (error["type"], end["type"], end["response"]["output"]) == ("error", "response.failed", [text_item("a", 0)])
    assert (stream.error is not None, stream.reason, stream.is_broken) == (True, None, False)


def test_a_failed_answer_keeps_its_text_and_does_not_do_it():
    *events, error, end = told(*CALL, TextDelta("a"), Failed(ContextLengthExceeded("Too long.")))
    assert events[-1]["type"] == "response.output_text.delta"
    body = {"message": "Too long.", "type": "invalid_request_error", "param": None, "code": "context_length_exceeded"}
    assert error == {"type": "error", "error": body, "message": "Too long.", "param": None, "code": "context_length_exceeded"}
    assert end["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}
    assert end["response"]["output"][1] == text_item("a", 1, "incomplete")


def test_an_answer_may_fail_at_once():
    error, end = told(Failed(StreamCut("Cut off.")))
    assert (error["type"], end["response"]["status"], end["response"]["output"]) == ("error", "failed", [])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RateLimited("Too fast.", retry_after_seconds=11.05), "Too fast. Please try again in 12s."),
        (RateLimited("Too fast."), "Too fast."),
    ],
)
def test_how_long_to_wait_is_said_where_there_is_no_header(error: PenstockError, message):
    told_error, end = told(Failed(error))
    assert told_error["message"] == end["response"]["error"]["message"] == message


def test_an_answer_without_anything():
    assert output(Finish()) == []


def test_nothing_comes_behind_the_end():
    stream = emitter()
    stream.feed([TextDelta("a"), Finish()])
    ended = stream.response
    assert stream.feed([TextDelta("b")]) == stream.feed([]) == b""
    assert stream.response is ended


def test_silence_and_notices():
    stream = emitter()
    assert stream.feed([]) == KEEPALIVE
    assert stream.chunks == 0
    stream.feed([TextDelta("a")])
    assert stream.feed([Notice("odd")]) == b""
    assert stream.notices == [Notice("odd")]
    assert stream.response is None


@pytest.mark.parametrize("text", ["\n\ndata: x\r\r", "\u2028\u2029\u0085", "\x00\x1b", '"\\', "𝄞 é", "[DONE]"])
@pytest.mark.parametrize("kind", [TextDelta, ThinkingDelta, RefusalDelta])
def test_any_text_is_one_event(text, kind):
    stream = emitter()
    stream.feed([kind("a")])
    data = stream.feed([kind(text), kind(text)])
    assert data.count(b"\n\n") == 2
    assert b"\r" not in data
    assert [event["delta"] for event in read_events(data)] == [text, text]


def test_a_list_is_written_as_its_events_are():
    events = [*CALL, TextDelta("a"), TextDelta("b"), RefusalDelta("c"), TextDelta("d"), *CUSTOM, TextDelta("e"), Finish()]
    one, other = emitter(), emitter()
    assert one.feed(events) == b"".join(other.feed([event]) for event in events)
    assert one.chunks == other.chunks


@pytest.mark.parametrize("reason", FinishReason)
def test_the_whole_form_is_the_final_object(reason):
    events = [ThinkingDelta("hm"), TextDelta("a"), TextDelta("b"), RefusalDelta("c"), *CALL, *CUSTOM, Finish(reason)]
    folded = Whole()
    folded.add(events)
    dialect = responses_dialect(ECHO, shows_reasoning=True, now=lambda: 99)
    answer = json.loads(dialect.whole(HEAD, folded, USAGE))
    assert_response(answer)
    assert answer == final(*events)
    assert dialect.id_prefix == "resp_"


def test_the_time_of_the_end_is_the_clock_s():
    stream = responses_dialect(Echo(), shows_reasoning=True).stream(HEAD, lambda: USAGE)
    response = checked(stream.feed([TextDelta("a"), Finish()])).response
    assert response is not None
    assert response["completed_at"] > 1_700_000_000


def test_an_object_can_be_changed_without_changing_another():
    first, second = emitter(), emitter()
    for stream in (first, second):
        stream.feed([TextDelta("a"), Finish()])
    assert first.response is not None
    assert second.response is not None
    first.response["output"][0]["content"][0]["annotations"].append("mine")
    assert second.response["output"][0]["content"][0]["annotations"] == []


@pytest.mark.parametrize(("told", "counted"), [(7, 7), (0, 0), (-1, 0), (True, 0), ("7", 0), (None, 0)])
def test_tokens_that_were_written_into_the_upstreams_cache(told, counted):
    fields = usage_fields(UsageReport(20, 1, extra={"cache_creation_input_tokens": told}), None)
    assert fields["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": counted}
