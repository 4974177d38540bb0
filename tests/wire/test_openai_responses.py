"""OpenAIResponsesDecoder: what each kind of stream means, under every cut."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from pipeline.errors import (
    AuthenticationError,
    ContextLengthExceeded,
    ProtocolViolation,
    RateLimited,
    RequestError,
    StreamCut,
    UpstreamError,
    UpstreamUnavailable,
    UpstreamUnusable,
)
from pipeline.events import (
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
    UpstreamEvent,
    UsageReport,
)
from pipeline.wire.openai_errors import OpenAIErrors
from pipeline.wire.openai_responses import INCOMPLETE_REASONS, OpenAIResponsesDecoder
from pipeline.wire.openai_responses_calls import Pieces
from pipeline.wire.openai_responses_events import EVENTS, PARTS
from tests.support.responses_events import (
    CREATED,
    DONE,
    added,
    bare,
    begun,
    called,
    completed,
    custom_call,
    done,
    event,
    failed,
    function_call,
    incomplete,
    message,
    piece,
    reasoning,
    response,
    spoken,
    text,
    thought,
    usage,
)
from tests.support.splits import cut, splits

STOP = Finish(FinishReason.STOP, "completed")
CALLS = Finish(FinishReason.TOOL_CALLS, "completed")
END = completed()
CONTRADICTION = Notice("contradictory_text", "the upstream told a text twice, and not the same; what it told first stays")
UNREADABLE = Notice("unreadable_content", "the upstream sent content that is no text; it was left out")
MENDED = Notice("mended_text", "the upstream sent bytes or escapes that are no characters; they were replaced by U+FFFD")
DUPLICATE = Notice("duplicate_call_id", "a call had the id of an earlier one; it got a new id")
LENGTH = Finish(FinishReason.LENGTH, "max_output_tokens")
NOW = function_call("now", '{"a": 1}')
PATCH = custom_call("patch", "a\nb")
COUNTED = UsageReport(9, 3, estimated=False)


def decoder(**options) -> OpenAIResponsesDecoder:
    numbers = count(1)
    return OpenAIResponsesDecoder(new_id=lambda: f"made_{next(numbers)}", **options)


def run(pieces: Sequence[bytes], **options) -> list[UpstreamEvent]:
    machine = decoder(**options)
    events = [found for piece in pieces for found in machine.feed(piece)]
    return events + machine.end()


def shape(events: Sequence[UpstreamEvent]) -> list[object]:
    """Events that can be compared: an error is its class."""
    return [type(found.error) if isinstance(found, Failed) else found for found in events]


def one_call(*arguments: str, call_id: str = "call_1", name: str = "now", index: int = 0, custom: bool = False) -> list[object]:
    return [ToolCallStart(index, call_id, name, custom), *(ToolCallDelta(index, piece) for piece in arguments), ToolCallEnd(index)]


def whole(status: str, output: Sequence[dict[str, Any]] = (), **fields: object) -> bytes:
    return json.dumps(response(status, output, **fields)).encode()


def arguments_done(arguments: object, item_id: str = "fc_1", index: int = 0, **fields: object) -> bytes:
    return event("response.function_call_arguments.done", item_id=item_id, output_index=index, arguments=arguments, **fields)


def input_done(text: str, item_id: str = "ctc_1", index: int = 0) -> bytes:
    return event("response.custom_tool_call_input.done", item_id=item_id, output_index=index, input=text)


def cut_call(name: str, left_out: int = 0) -> Notice:
    """What is said of a call that stays open, and of what stood behind it."""
    behind = f"; what came behind it was left out ({left_out} pieces)" if left_out else ""
    return Notice("call_cut", f"{name}: the upstream ended its answer inside the call{behind}")


def text_done(full: str, part: int | None = 0, item_id: str = "msg_1") -> bytes:
    return event("response.output_text.done", item_id=item_id, output_index=0, content_index=part, text=full)


def without(sent: bytes, *names: str) -> bytes:
    """An event whose data, and item, lack some fields."""
    head, _, data = sent.partition(b"data: ")
    fields = json.loads(data)
    kept = {name: value for name, value in fields.items() if name not in names}
    if "item" in kept:
        kept["item"] = {name: value for name, value in kept["item"].items() if name not in names}
    return head + b"data: " + json.dumps(kept).encode() + b"\n\n"


TEXTS: dict[str, tuple[bytes, list[object]]] = {
    "text": (CREATED + b"".join(spoken(["Hel", "lo"])) + completed(message("Hello")), [TextDelta("Hel"), TextDelta("lo"), STOP]),
    "no event lines": (
        bare("response.output_text.delta", delta="x") + bare("response.completed", response=response("completed")),
        [TextDelta("x"), STOP],
    ),
    "types in the event line only": (
        b'event: response.output_text.delta\ndata: {"delta": "x"}\n\nevent: response.completed\ndata: {"response": {}}\n\n',
        [TextDelta("x"), STOP],
    ),
    "the type in the JSON counts": (
        b'event: message\ndata: {"type": "response.output_text.delta", "delta": "x"}\n\n' + END,
        [TextDelta("x"), STOP],
    ),
    "unknown types, fields and values": (
        event("response.dreams.delta", delta="no")
        + event("response.output_text.delta", delta={"text": "no"})
        + event("response.output_text.delta", delta=None, item_id=7, output_index="0", content_index=[])
        + event("response.output_item.added", item=5, output_index=None)
        + without(text("x"), "item_id", "output_index", "content_index")
        + event("response.completed", response=None, foo=[1]),
        [Notice("output_item_dropped", "an item of a type that is not known here"), TextDelta("x"), STOP],
    ),
    "comments, empty events and [DONE]": (b": hi\n\ndata:\n\n" + text("x") + b": hi\n\n" + END + DONE, [TextDelta("x"), STOP]),
    "crlf": ((text("x") + END).replace(b"\n", b"\r\n"), [TextDelta("x"), STOP]),
    "the last event without its empty line": ((text("x") + END).rstrip(), [TextDelta("x"), STOP]),
    "text in done only": (text_done("Hello") + done(0, message("Hello")) + completed(message("Hello")), [TextDelta("Hello"), STOP]),
    "text in the part only": (
        event("response.content_part.done", item_id="msg_1", output_index=0, content_index=0, part={"type": "output_text", "text": "Hi"})
        + completed(message("Hi")),
        [TextDelta("Hi"), STOP],
    ),
    "text in the item only": (done(0, message("Hello")) + completed(message("Hello")), [TextDelta("Hello"), STOP]),
    "text in the output only": (completed(message("Hello")), [TextDelta("Hello"), STOP]),
    "content that is a text": (completed({"type": "message", "content": "Hello"}), [TextDelta("Hello"), STOP]),
    "done says more": (text("Hel") + text_done("Hello") + done(0, message("Hello!")), [TextDelta("Hel"), TextDelta("lo"), TextDelta("!"), StreamCut]),
    "done says something else": (
        text("Hel") + text_done("Goodbye") + done(0, message("Goodbye")) + completed(message("Goodbye")),
        [TextDelta("Hel"), CONTRADICTION, STOP],
    ),
    "done says less": (text("Hello") + text_done("Hel") + END, [TextDelta("Hello"), CONTRADICTION, STOP]),
    "done says nothing": (text("Hello") + text_done("") + done(0, message("")) + completed(message("")), [TextDelta("Hello"), STOP]),
    "two parts": (
        text("a")
        + text_done("a")
        + text("b", part=1)
        + text_done("b", 1)
        + completed({**message("a"), "content": [*message("a")["content"], *message("b")["content"]]}),
        [TextDelta("a"), TextDelta("b"), STOP],
    ),
    "two parts without their index": (
        without(text("a"), "content_index")
        + text_done("a", None)
        + without(text("b"), "content_index")
        + text_done("b", None)
        + text_done("b", None)
        + text_done("c", None)
        + completed({**message("a"), "content": [*message("ab")["content"], *message("c")["content"]]}),
        [TextDelta("a"), TextDelta("b"), TextDelta("c"), STOP],
    ),
    "two messages": (
        b"".join(spoken(["a"])) + b"".join(spoken(["b"], "msg_2", 1)) + completed(message("a"), message("b", "msg_2")),
        [TextDelta("a"), TextDelta("b"), STOP],
    ),
    "two messages with one index and other ids": (
        b"".join(spoken(["a"])) + b"".join(spoken(["b"], "msg_2", 0)) + completed(message("a", "x"), message("b", "y")),
        [TextDelta("a"), TextDelta("b"), STOP],
    ),
    "content that is no text": (done(0, {**message(""), "content": [{"type": "output_audio"}, 5]}) + END, [UNREADABLE, STOP]),
    "sound": (event("response.audio.delta", delta="AAAA") + event("response.audio.transcript.delta", delta="x") + END, [UNREADABLE, STOP]),
    "refusal": (
        event("response.refusal.delta", delta="I ")
        + event("response.refusal.done", refusal="I won't.")
        + completed({**message(""), "content": [{"type": "refusal", "refusal": "I won't."}]}),
        [RefusalDelta("I "), RefusalDelta("won't."), STOP],
    ),
    "reasoning in full": (
        event("response.reasoning_text.delta", item_id="rs_1", output_index=0, content_index=0, delta="hm")
        + event("response.reasoning_text.done", item_id="rs_1", output_index=0, content_index=0, text="hmm")
        + done(0, {**reasoning(), "content": [{"type": "reasoning_text", "text": "hmm"}]})
        + text("x", index=1)
        + END,
        [ThinkingDelta("hm"), ThinkingDelta("m"), TextDelta("x"), STOP],
    ),
    "a summary in two parts": (
        b"".join(thought([["a", "b"], ["c"]])) + text("x", index=1) + completed(reasoning("ab", "c"), message("x")),
        [ThinkingDelta("a"), ThinkingDelta("b"), ThinkingDelta("\n\nc"), TextDelta("x"), STOP],
    ),
    "a summary in the item only": (
        done(0, reasoning("a", "b")) + completed(reasoning("a", "b")),
        [ThinkingDelta("a"), ThinkingDelta("\n\nb"), STOP],
    ),
    "two reasoning items": (
        b"".join(thought([["a"]])) + b"".join(thought([["b"]], "rs_2", 1)) + END,
        [ThinkingDelta("a"), ThinkingDelta("\n\nb"), STOP],
    ),
    "empty and encrypted reasoning": (done(0, {**reasoning(), "encrypted_content": "gAAA"}) + text("x", index=1) + END, [TextDelta("x"), STOP]),
    "items that are no answer": (
        added(0, {"type": "web_search_call", "id": "ws"})
        + done(0, {"type": "web_search_call", "id": "ws"})
        + event("response.web_search_call.completed", item_id="ws")
        + added(1, {"type": "image_generation_call", "result": "AAAA"})
        + text("x", index=2)
        + event("response.output_text.annotation.added", annotation={})
        + completed({"type": "web_search_call"}, {"type": "image_generation_call"}, message("x")),
        [
            Notice("output_item_dropped", "web_search_call"),
            Notice("output_item_dropped", "image_generation_call"),
            TextDelta("x"),
            Notice("annotation_dropped", "the upstream named sources of its text; they were left out"),
            STOP,
        ],
    ),
    "bytes that are no UTF-8": (
        b'data: {"type":"response.output_text.delta","delta":"a\xff"}\n\n'
        + b'data: {"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"a\xff"}]}]}}\n\n',
        [MENDED, TextDelta("a\ufffd"), STOP],
    ),
    "bytes that are no UTF-8 at the end only": (
        b'data: {"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"a\xff"}]}]}}\n\n',
        [MENDED, TextDelta("a\ufffd"), STOP],
    ),
    "half a surrogate pair": (rb'data: {"type":"response.output_text.delta","delta":"\ud83d"}' + b"\n\n" + END, [MENDED, TextDelta("\ufffd"), STOP]),
}

FUNCTIONS: dict[str, tuple[bytes, list[object]]] = {
    "a call": (b"".join(called(NOW, ['{"a"', ": 1}"])) + completed(NOW), [*one_call('{"a"', ": 1}"), CALLS]),
    "arguments in done only": (begun(NOW) + arguments_done('{"a": 1}') + done(0, NOW) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "arguments in the item only": (begun(NOW) + done(0, NOW) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "arguments in the output only": (begun(NOW) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "a call in the item only": (done(0, NOW) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "a call in the output only": (completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "arguments where the item is added": (added(0, NOW) + END, [*one_call('{"a": 1}'), CALLS]),
    "arguments where the item is added, and again": (
        added(0, NOW) + b"".join(called(NOW, ['{"a": 1}'])[1:]) + completed(NOW),
        [*one_call('{"a": 1}'), CALLS],
    ),
    "an item that is added twice": (begun(NOW) + b"".join(called(NOW, ['{"a": 1}'])) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "an item that is done twice": (done(0, NOW) + done(0, NOW) + completed(NOW), [*one_call('{"a": 1}'), CALLS]),
    "done says more": (begun(NOW) + piece('{"a"') + arguments_done('{"a": 1') + done(0, NOW) + END, [*one_call('{"a"', ": 1", "}"), CALLS]),
    "done says something else": (
        begun(NOW) + piece('{"b": 2}') + arguments_done('{"a": 1}') + done(0, NOW) + completed(NOW),
        [*one_call('{"b": 2}')[:-1], CONTRADICTION, ToolCallEnd(0), CALLS],
    ),
    "done says the same in other words": (
        begun(NOW) + piece('{"a":1}') + arguments_done('{"a": 1}') + done(0, NOW) + END,
        [*one_call('{"a":1}'), CALLS],
    ),
    "done says something else before the name is known": (
        without(begun(NOW), "name") + piece('{"b": 2}') + arguments_done('{"a": 1}') + done(0, NOW) + END,
        [CONTRADICTION, *one_call('{"a": 1}'), CALLS],
    ),
    "done says nothing": (
        begun(NOW) + piece('{"a": 1}') + arguments_done("") + done(0, {**NOW, "arguments": None}) + END,
        [*one_call('{"a": 1}'), CALLS],
    ),
    "arguments that are an object": (begun(NOW) + arguments_done({"a": 1}) + END, [*one_call('{"a":1}'), CALLS]),
    "no arguments": (begun(NOW) + done(0, {**NOW, "arguments": ""}) + END, [*one_call("{}"), CALLS]),
    "arguments that are no JSON": (
        done(0, {**NOW, "arguments": "{a}"}) + END,
        [
            *one_call("{a}")[:-1],
            Notice("invalid_arguments", "now: the arguments are not valid JSON, and were passed on as they are"),
            ToolCallEnd(0),
            CALLS,
        ],
    ),
    "late arguments": (
        b"".join(called(NOW, ['{"a": 1}'])) + piece("x") + END,
        [*one_call('{"a": 1}'), Notice("late_arguments", "now: arguments behind their end were dropped"), CALLS],
    ),
    "the name in done only": (
        without(begun(NOW), "name") + piece('{"a": 1}') + arguments_done('{"a": 1}', name="now") + END,
        [*one_call('{"a": 1}'), CALLS],
    ),
    "no name": (
        without(begun(NOW), "name") + piece('{"a": 1}') + without(done(0, NOW), "name") + END,
        [Notice("nameless_call", "the upstream sent a tool call without a name; it was dropped"), STOP],
    ),
    "no item was added": (piece('{"a"') + piece(": 1}") + done(0, NOW) + completed(NOW), [*one_call('{"a"', ": 1}"), CALLS]),
    "no call_id": (
        b"".join(without(sent, "call_id") for sent in called(NOW, ['{"a": 1}'])) + completed({**NOW, "call_id": None}),
        [*one_call('{"a": 1}', call_id="made_1"), CALLS],
    ),
    "call_id at the end only": (
        without(begun(NOW), "call_id") + piece('{"a": 1}') + done(0, NOW) + completed(NOW),
        [*one_call('{"a": 1}', call_id="made_1"), CALLS],
    ),
    "no ids and no index": (
        b"".join(without(sent, "id", "item_id", "output_index") for sent in called(NOW, ['{"a": 1}'])) + completed({**NOW, "id": None}),
        [*one_call('{"a": 1}'), CALLS],
    ),
    "another id in each event": (
        added(0, {**NOW, "id": "a", "arguments": ""})
        + piece('{"a"', "b")
        + piece(": 1}", "c")
        + arguments_done('{"a": 1}', "d")
        + done(0, {**NOW, "id": "e"})
        + completed({**NOW, "id": "f"}),
        [*one_call('{"a"', ": 1}"), CALLS],
    ),
    "another call_id at the end": (
        b"".join(called(NOW, ['{"a": 1}'])) + completed({**NOW, "id": "x", "call_id": "call_x"}),
        [*one_call('{"a": 1}'), CALLS],
    ),
    "one index for two calls": (
        b"".join(called(NOW, ['{"a": 1}'])) + b"".join(called(function_call("now", "{}", "call_2", "fc_2"), ["{}"], 0)) + END,
        [*one_call('{"a": 1}'), *one_call("{}", call_id="call_2", index=1), CALLS],
    ),
    "one call_id for two calls": (
        b"".join(called(NOW, ['{"a": 1}'])) + b"".join(called(function_call("now", "{}", "call_1", "fc_2"), ["{}"], 1)) + END,
        [
            *one_call('{"a": 1}'),
            DUPLICATE,
            *one_call("{}", call_id="made_1", index=1),
            CALLS,
        ],
    ),
    "calls at once": (
        begun(NOW)
        + begun(function_call("at", "", "call_2", "fc_2"), 1)
        + piece("{}", "fc_2", 1)
        + piece('{"a": 1}')
        + done(1, function_call("at", "{}", "call_2", "fc_2"))
        + done(0, NOW)
        + END,
        [*one_call('{"a": 1}'), *one_call("{}", call_id="call_2", name="at", index=1), CALLS],
    ),
    "text behind a call waits for its end": (
        begun(NOW) + piece('{"a": ') + text("so", index=1) + piece("1}") + done(0, NOW) + END,
        [*one_call('{"a": ', "1}"), TextDelta("so"), CALLS],
    ),
    "text behind a call whose item is never done": (
        begun(NOW) + piece('{"a": 1}') + arguments_done('{"a": 1}') + text("so", index=1) + END,
        [*one_call('{"a": 1}'), TextDelta("so"), CALLS],
    ),
    "completed without a done, but whole": (begun(NOW) + piece('{"a": 1}') + END, [*one_call('{"a": 1}'), CALLS]),
    "completed inside a call": (begun(NOW) + piece('{"a"') + END, [*one_call('{"a"')[:-1], StreamCut]),
    "completed before the arguments": (begun(NOW) + END, [ToolCallStart(0, "call_1", "now"), StreamCut]),
    "a custom call": (b"".join(called(PATCH, ["a\n", "b"])) + completed(PATCH), [*one_call("a\n", "b", name="patch", custom=True), CALLS]),
    "a custom call in done only": (b"".join(called(PATCH, [])) + completed(PATCH), [*one_call("a\nb", name="patch", custom=True), CALLS]),
    "a custom call in the item only": (done(0, PATCH) + completed(PATCH), [*one_call("a\nb", name="patch", custom=True), CALLS]),
    "a custom call without its item": (
        piece("a\n", "ctc_1", custom=True) + done(0, PATCH) + END,
        [*one_call("a\n", "b", name="patch", custom=True), CALLS],
    ),
    "a custom call that is empty": (done(0, {**PATCH, "input": ""}) + END, [*one_call(name="patch", custom=True), CALLS]),
    "completed inside a custom call": (
        begun(PATCH) + piece("{}", "ctc_1", custom=True) + END,
        [*one_call("{}", name="patch", custom=True)[:-1], StreamCut],
    ),
}

CUT_CALL = cut_call("now")
HALF = {**PATCH, "input": "a"}
HALF_SAID = begun(PATCH) + piece("a", "ctc_1", custom=True)
HALF_HEARD = one_call("a", name="patch", custom=True)[:-1]
BROKEN_OFF = incomplete("max_output_tokens")


def status(item: dict[str, Any], said: str | None) -> dict[str, Any]:
    """An item with another status, or without one."""
    return {**{name: value for name, value in item.items() if name != "status"}, **({} if said is None else {"status": said})}


# An answer that is incomplete: what was said behind the first piece of a custom tool's input -> whether the call may end, and what was left out.
BROKEN_INPUTS: dict[str, tuple[bytes, bool, int]] = {
    "nothing": (BROKEN_OFF, False, 0),
    "its input is done": (input_done("a") + BROKEN_OFF, False, 0),
    "its input is done, and a blank": (input_done("a") + text(" ", index=1) + BROKEN_OFF, False, 1),
    "its input is done, and another call": (input_done("a") + begun(NOW, 1) + piece("{", "fc_1", 1) + BROKEN_OFF, False, 1),
    "its item is done": (done(0, HALF) + BROKEN_OFF, True, 0),
    "its item is done, without a status": (done(0, status(HALF, None)) + BROKEN_OFF, True, 0),
    "its item is done, in progress": (done(0, status(HALF, "in_progress")) + BROKEN_OFF, False, 0),
    "its item is done, in progress, and a blank": (done(0, status(HALF, "in_progress")) + text(" ", index=1) + BROKEN_OFF, False, 1),
    "its item is done, incomplete": (input_done("a") + done(0, status(HALF, "incomplete")) + BROKEN_OFF, False, 0),
    "it is the last of the output": (incomplete("max_output_tokens", HALF), False, 0),
    "it is the last of the output, in progress": (incomplete("max_output_tokens", status(HALF, "in_progress")), False, 0),
    "it is in the output without a status": (incomplete("max_output_tokens", status(HALF, None), message("x")), False, 1),
    "it is in the output, in progress": (incomplete("max_output_tokens", status(HALF, "in_progress"), message("x")), False, 1),
    "it is in the output, completed": (incomplete("max_output_tokens", HALF, status(message(""), "incomplete")), True, 0),
}


@pytest.mark.parametrize(("behind", "may_end", "left_out"), BROKEN_INPUTS.values(), ids=BROKEN_INPUTS)
def test_a_custom_call_ends_in_an_incomplete_answer_only_if_it_was_completed(behind, may_end, left_out):
    expected = [ToolCallEnd(0)] if may_end else [cut_call("patch", left_out)]
    for pieces in splits(HALF_SAID + behind, seeds=5):
        assert shape(run(pieces)) == [*HALF_HEARD, *expected, LENGTH]


@pytest.mark.parametrize("said", [None, "completed", "in_progress"])
def test_a_custom_call_whose_item_is_done_ends_in_a_completed_answer(said):
    assert run([HALF_SAID + done(0, status(HALF, said)) + END]) == [*HALF_HEARD, ToolCallEnd(0), CALLS]
    assert run([HALF_SAID + input_done("a") + END]) == [*HALF_HEARD, ToolCallEnd(0), CALLS]
    assert run([HALF_SAID + completed(status(HALF, said))]) == [*HALF_HEARD, ToolCallEnd(0), CALLS]


def test_a_custom_call_whose_item_is_incomplete_never_ends():
    assert shape(run([HALF_SAID + done(0, status(HALF, "incomplete")) + END])) == [*HALF_HEARD, StreamCut]


@pytest.mark.parametrize("said", [None, "completed", "in_progress", "incomplete"])
@pytest.mark.parametrize("arguments", ['{"a"', "", "{a}"])
def test_a_function_s_call_ends_in_an_incomplete_answer_only_if_it_is_json(said, arguments):
    item = status({**NOW, "arguments": arguments}, said)
    for behind in (BROKEN_OFF, incomplete("max_output_tokens", item)):
        found = run([begun(NOW) + done(0, item) + text(" ", index=1) + behind])
        assert found == [ToolCallStart(0, "call_1", "now"), *([ToolCallDelta(0, arguments)] if arguments else []), cut_call("now", 1), LENGTH]
    whole_item = status(NOW, said)
    found = run([begun(NOW) + done(0, whole_item) + text(" ", index=1) + BROKEN_OFF])
    assert found == [*one_call('{"a": 1}'), TextDelta(" "), LENGTH]


# Tellings of a custom tool's input that contradict what the client has seen of it.
CONTRADICTIONS = {
    "something else": input_done("b"),
    "less": piece("b", "ctc_1", custom=True) + input_done("a"),
    "something else in the item": done(0, {**PATCH, "input": "ba"}),
    "something else in the item, as long as what was told twice": input_done("a") + done(0, {**PATCH, "input": "b"}),
    "something else in the output": completed({**PATCH, "input": "b"}),
    "something else behind a text that was told in two ways": text("x", index=1) + text_done("y") + input_done("b"),
}


@pytest.mark.parametrize("behind", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_an_input_that_is_told_in_two_ways_is_none(behind):
    for pieces in splits(HALF_SAID + behind + END, seeds=5):
        found = run(pieces)
        assert not any(isinstance(event, ToolCallEnd) for event in found)
        assert shape(found)[-1] is ProtocolViolation


def test_an_input_that_looks_like_json_is_no_json():
    found = run([begun(PATCH) + piece("1", "ctc_1", custom=True) + input_done("2") + END])
    assert shape(found) == [*one_call("1", name="patch", custom=True)[:-1], ProtocolViolation]


def test_an_input_that_nobody_has_seen_may_be_told_in_two_ways_but_not_in_three():
    waiting = without(begun(PATCH), "name") + piece("a", "ctc_1", custom=True) + input_done("b")
    assert run([waiting + done(0, {**PATCH, "input": "b"}) + END]) == [CONTRADICTION, *one_call("b", name="patch", custom=True), CALLS]
    found = run([waiting + done(0, {**PATCH, "input": "c"}) + END])
    assert (found[0], shape(found)[-1]) == (CONTRADICTION, ProtocolViolation)
    assert not any(isinstance(event, ToolCallEnd) for event in found)


@pytest.mark.parametrize("behind", [arguments_done('{"a": 1}'), arguments_done('{"b') + done(0, NOW), done(0, NOW), completed(NOW)])
def test_half_arguments_that_are_told_in_another_way_are_none(behind):
    found = run([begun(NOW) + piece('{"b') + behind + END])
    assert shape(found) == [ToolCallStart(0, "call_1", "now"), ToolCallDelta(0, '{"b'), ProtocolViolation]


def test_a_blank_input_is_an_input():
    assert run([completed({**PATCH, "input": "\n"})]) == [*one_call("\n", name="patch", custom=True), CALLS]


def test_O4_an_id_of_the_history_is_not_used_again():
    found = run([b"".join(called(NOW, ['{"a": 1}'])) + completed(NOW)], taken_ids=["call_1"])
    assert found == [DUPLICATE, *one_call('{"a": 1}', call_id="made_1"), CALLS]


def test_a_call_that_the_output_repeats_in_other_words_is_the_same():
    again = {**NOW, "id": "x", "call_id": "y", "arguments": '{"a":1}'}
    assert run([b"".join(called(NOW, ['{"a": 1}'])) + completed(again)]) == [*one_call('{"a": 1}'), CALLS]
    other = {**again, "arguments": '{"a":2}'}
    assert run([b"".join(called(NOW, ['{"a": 1}'])) + completed(other)])[3:] == [*one_call('{"a":2}', call_id="y", index=1), CALLS]


def test_events_with_data_are_counted_and_comments_are_not():
    machine = decoder()
    counts = []
    for sent in (b": hi\n\n", b"data:\n\n", CREATED, event("response.dreams.delta")[:9], event("response.dreams.delta")[9:], DONE):
        machine.feed(sent)
        counts.append(machine.data_events)
    assert counts == [0, 0, 2, 2, 3, 4]


ENDS: dict[str, tuple[bytes, list[object]]] = {
    "usage": (
        text("x") + completed(message("x"), usage=usage(9, 3, cached=8, reasoning=2)),
        [TextDelta("x"), UsageReport(9, 3, reasoning_tokens=2, cached_tokens=8, estimated=False), STOP],
    ),
    "usage under the names of Chat Completions": (
        text("x") + completed(usage={"prompt_tokens": 9, "completion_tokens": 3}),
        [TextDelta("x"), COUNTED, STOP],
    ),
    "usage of nothing, or of nonsense": (text("x") + completed(usage={"input_tokens": -1, "output_tokens": "3"}), [TextDelta("x"), STOP]),
    "incomplete": (
        text("x") + incomplete("max_output_tokens", message("x"), usage=usage(9, 3)),
        [TextDelta("x"), COUNTED, Finish(FinishReason.LENGTH, "max_output_tokens")],
    ),
    "incomplete for a reason that nobody knows": (
        text("x") + incomplete("nap"),
        [
            TextDelta("x"),
            Notice("unknown_finish_reason", "the upstream ended its answer for a reason that is not known here"),
            Finish(FinishReason.LENGTH, "nap"),
        ],
    ),
    "incomplete by its status": (
        text("x") + event("response.completed", response=response("incomplete", incomplete_details={"reason": "content_filter"})),
        [TextDelta("x"), Finish(FinishReason.CONTENT_FILTER, "content_filter")],
    ),
    "incomplete inside a call": (
        begun(NOW) + piece('{"a"') + done(0, {**NOW, "arguments": '{"a"', "status": "incomplete"}) + incomplete("max_output_tokens"),
        [*one_call('{"a"')[:-1], CUT_CALL, Finish(FinishReason.LENGTH, "max_output_tokens")],
    ),
    "incomplete inside a call with text behind it": (
        begun(NOW) + piece('{"a"') + text("x", index=1) + incomplete("max_output_tokens"),
        [
            *one_call('{"a"')[:-1],
            Notice("call_cut", "now: the upstream ended its answer inside the call; what came behind it was left out (1 pieces)"),
            Finish(FinishReason.LENGTH, "max_output_tokens"),
        ],
    ),
    "incomplete behind a whole call": (
        b"".join(called(NOW, ['{"a": 1}'])) + incomplete("max_output_tokens"),
        [*one_call('{"a": 1}'), Finish(FinishReason.LENGTH, "max_output_tokens")],
    ),
    "incomplete inside a custom call": (
        begun(PATCH) + piece("a", "ctc_1", custom=True) + done(0, {**PATCH, "input": "a", "status": "incomplete"}) + incomplete("max_output_tokens"),
        [*HALF_HEARD, cut_call("patch"), LENGTH],
    ),
    "failed before anything": (CREATED + failed("rate_limit_exceeded", "Slow down"), [RateLimited]),
    "failed after text": (text("x") + failed("server_error", "oops") + DONE, [TextDelta("x"), UpstreamError]),
    "failed without an error": (text("x") + event("response.failed", response=response("failed", error=None)), [TextDelta("x"), UpstreamError]),
    "cancelled": (text("x") + event("response.cancelled", response=response("cancelled")), [TextDelta("x"), UpstreamError]),
    "done in the words of others": (text("x") + event("response.done", response=response("completed")), [TextDelta("x"), STOP]),
    "a flat error": (event("error", code="rate_limit_exceeded", message="Slow down", param=None), [RateLimited]),
    "a nested error": (
        event("error", error={"type": "invalid_request_error", "code": "context_length_exceeded", "message": "no"}),
        [ContextLengthExceeded],
    ),
    "an error without a type": (b'data: {"error": {"message": "Busy", "type": "overloaded_error"}}\n\n', [UpstreamUnavailable]),
    "an error by its event": (b'event: error\ndata: {"type": "overloaded_error", "message": "Busy"}\n\n', [UpstreamUnavailable]),
    "an error by its event that is no JSON": (b"event: error\ndata: oops\n\n", [UpstreamError]),
    "an error after content": (text("x") + event("error", message="oops"), [TextDelta("x"), UpstreamError]),
    "an error inside a call": (begun(NOW) + piece("{") + event("error", message="oops"), [*one_call("{")[:-1], UpstreamError]),
    "neither end": (text("x"), [TextDelta("x"), StreamCut]),
    "[DONE] is no end": (text("x") + DONE, [TextDelta("x"), StreamCut]),
    "cut in an event": (text("x") + END[:-20], [TextDelta("x"), StreamCut]),
    "nothing": (b"", [StreamCut]),
    "nothing more after the end": (text("x") + END + text("y") + event("error", message="late"), [TextDelta("x"), STOP]),
    "garbage": (text("x") + b"data: {oops\n\n" + END, [TextDelta("x"), ProtocolViolation]),
    "an event that is no object": (b"data: [1]\n\n", [ProtocolViolation]),
    "a page of HTML": (b"<html>sign in</html>", [ProtocolViolation]),
    "a whole answer": (
        whole("completed", [reasoning("hm"), message("x"), NOW], usage=usage(9, 3)),
        [ThinkingDelta("hm"), TextDelta("x"), *one_call('{"a": 1}'), COUNTED, CALLS],
    ),
    "a whole answer without a status": (b'{"output": [{"type": "message", "content": "x"}]}', [TextDelta("x"), STOP]),
    "a whole answer that is incomplete": (
        whole("incomplete", [message("x")], incomplete_details={"reason": "max_output_tokens"}),
        [TextDelta("x"), Finish(FinishReason.LENGTH, "max_output_tokens")],
    ),
    "a whole answer that failed": (whole("failed", error={"code": "server_error", "message": "oops"}), [UpstreamError]),
    "a whole answer that is not finished": (whole("in_progress"), [ProtocolViolation]),
    "a whole answer in one event": (b"data: " + whole("completed", [message("x")]) + b"\n\n" + DONE, [TextDelta("x"), STOP]),
    "an unfinished answer in an event": (b"data: " + whole("in_progress") + b"\n\n" + text("x") + END, [TextDelta("x"), STOP]),
    "a whole answer that is cut": (whole("completed", [message("x")])[:-9], [ProtocolViolation]),
    "a whole answer with bytes that are no UTF-8": (b'{"output": [{"type": "message", "content": "\xff"}]}', [MENDED, TextDelta("\ufffd"), STOP]),
    "an answer of another kind": (b'{"choices": []}', [ProtocolViolation]),
    "an error as the whole body": (b'{"error": {"message": "no", "code": "invalid_api_key"}}', [UpstreamUnusable]),
    "an error in a list": (b'[{"error": {"code": 429, "message": "quota"}}]', [RateLimited]),
    "a flat error as the whole body": (b'{"object": "error", "message": "too big", "type": "BadRequestError", "code": 400}', [RequestError]),
}

CASES = {**TEXTS, **{f"{name} (call)": case for name, case in FUNCTIONS.items()}, **{f"{name} (end)": case for name, case in ENDS.items()}}


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES)
def test_every_cut_gives_the_same_events(stream, expected):
    for pieces in splits(stream, seeds=5):
        assert shape(run(pieces)) == expected, [len(piece) for piece in pieces]


def test_every_type_of_the_api_has_its_meaning():
    union, *_ = get_args(ResponseStreamEvent)
    types = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(union)}
    assert types - EVENTS.keys() == set()
    assert EVENTS.keys() - types == {"response.cancelled", "response.done", "response.error", "response.reasoning.delta", "response.reasoning.done"}


@pytest.mark.parametrize("name", [name for name in EVENTS if name not in ("error", "response.error") and not name.startswith("response.c")])
def test_no_event_without_its_fields_spoils_an_answer(name):
    found = run([text("x") + event(name) + event(name, item={}, part={}, delta="", response={}) + END])
    assert found[0] == TextDelta("x")
    assert isinstance(found[-1], Failed if name == "response.failed" else Finish)


@pytest.mark.parametrize("word", INCOMPLETE_REASONS)
def test_every_reason_and_its_raw_word(word):
    assert run([incomplete(word)])[-1] == Finish(INCOMPLETE_REASONS[word], word)


def test_one_read_is_one_list_and_comments_are_none():
    machine = decoder()
    assert machine.feed(CREATED) == []
    assert machine.feed(text("a") + text("b")) == [TextDelta("a"), TextDelta("b")]
    assert machine.feed(b": keepalive\n\n") == []
    assert machine.feed(completed(usage=usage(9, 3))) == [COUNTED, STOP]
    assert machine.feed(text("c")) == machine.end() == []


def test_a_call_starts_and_grows_as_it_comes():
    machine = decoder()
    assert machine.feed(begun(NOW)) == [ToolCallStart(0, "call_1", "now")]
    assert machine.feed(piece('{"a"')) == [ToolCallDelta(0, '{"a"')]
    assert machine.feed(arguments_done('{"a": 1}')) == [ToolCallDelta(0, ": 1}")]
    assert machine.feed(done(0, NOW)) == [ToolCallEnd(0)]


@pytest.mark.parametrize("sent", [END, END + b"data: {", whole("completed", [message("x")])])
def test_a_broken_connection_does_not_spoil_an_answer_that_was_complete(sent):
    machine = decoder()
    assert (machine.feed(sent) + machine.end(StreamCut("gone")))[-1] == STOP


@pytest.mark.parametrize("sent", [b"", text("x"), whole("completed", [message("x")])[:-9], b"["])
def test_a_broken_connection_is_told_as_such(sent):
    fault = StreamCut("The connection was reset.")
    machine = decoder()
    last = (machine.feed(sent) + machine.end(fault))[-1]
    assert isinstance(last, Failed)
    assert last.error is fault


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"{" + b" " * 200, whole("completed", [message("x" * 200)])])
def test_what_is_held_is_bounded(stream):
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        assert shape(run(pieces, max_event_bytes=100)) == [ProtocolViolation]


def test_whose_key_was_refused_decides():
    error = event("error", message="no such key", code="invalid_api_key")
    assert shape(run([error], errors=OpenAIErrors(callers_key=True))) == [AuthenticationError]
    assert shape(run([error])) == [UpstreamUnusable]


# -- properties ----------------------------------------------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "arguments", "id", "content", "status"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ITEMS = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "web_search_call"]),
    st.dictionaries(
        st.sampled_from(["id", "call_id", "name", "arguments", "input", "status", "content", "summary"]),
        st.sampled_from(["a", "b", "{}", '{"a": 1}', "incomplete", "completed"])
        | st.lists(
            st.builds(lambda kind, text: {"type": kind, "text": text, "refusal": text}, st.sampled_from([*PARTS]), st.text(max_size=3)), max_size=2
        )
        | ANYTHING,
        max_size=5,
    ),
)
SENT = st.builds(
    lambda name, fields: event(name, **fields),
    st.sampled_from([*EVENTS]),
    st.fixed_dictionaries(
        {},
        optional={
            "item_id": st.sampled_from(["a", "b"]) | ANYTHING,
            "output_index": st.integers(0, 2) | ANYTHING,
            "content_index": st.integers(0, 1) | ANYTHING,
            "summary_index": st.integers(0, 1) | ANYTHING,
            "delta": st.text(max_size=4) | ANYTHING,
            "text": st.text(max_size=4) | ANYTHING,
            "arguments": st.sampled_from(["{}", '{"a": 1}']) | ANYTHING,
            "input": ANYTHING,
            "name": st.just("now") | ANYTHING,
            "item": ITEMS | ANYTHING,
            "part": ANYTHING,
            "error": ANYTHING,
            "response": st.fixed_dictionaries(
                {"output": st.lists(ITEMS, max_size=3), "status": st.sampled_from(["completed", "incomplete", None, "failed"])}
            )
            | ANYTHING,
        },
    ),
)


def well_formed(events: Sequence[UpstreamEvent]) -> bool:
    """One call at a time, nothing but Notices in it, numbered from 0; one end, and nothing behind it."""
    started, current = 0, None
    for found in events[:-1]:
        match found:
            case ToolCallStart(index):
                assert current is None
                assert index == started
                current, started = index, started + 1
            case ToolCallDelta(index):
                assert index == current
            case ToolCallEnd(index):
                assert index == current
                current = None
            case TextDelta(words) | ThinkingDelta(words) | RefusalDelta(words):
                assert current is None
                assert words
            case Finish() | Failed():
                raise AssertionError("an end that is not the last event")
            case _:
                pass
    return isinstance(events[-1], Finish | Failed)


@given(st.lists(SENT, max_size=8), st.lists(st.integers(0, 2000), max_size=8))
def test_any_events_give_a_well_formed_answer_however_they_are_cut(events, at):
    stream = b"".join(events)
    found = run([stream])
    assert well_formed(found)
    assert shape(run(cut(stream, at))) == shape(found)


@given(
    st.binary(max_size=100)
    | st.lists(st.sampled_from([b"data: ", b"\n\n", b'{"type":"response.completed"', b"}", b"[DONE]", b"<", b"\xff"])).map(b"".join)
)
def test_any_bytes(stream):
    assert well_formed(run([stream]))


PIECES = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4)
TOLD = st.lists(
    st.one_of(
        st.tuples(st.just("message"), PIECES),
        st.tuples(st.just("reasoning"), PIECES),
        st.tuples(st.just("function_call"), PIECES.map(lambda pieces: ['{"a": "', *(json.dumps(text)[1:-1] for text in pieces), '"}'])),
        st.tuples(st.just("custom_tool_call"), PIECES),
    ),
    min_size=1,
    max_size=4,
)


@given(TOLD, st.randoms(use_true_random=False))
def test_everything_is_told_once_whichever_events_are_missing(told, chance):
    """A server may leave out any telling of a text but one; ids that no other event shares are no hindrance."""
    stream, items, expected = CREATED, [], []
    for index, (kind, pieces) in enumerate(told):
        full = "".join(pieces)
        expected.append((kind, full))
        if kind == "message":
            items.append(message(full, f"msg_{index}"))
            events = spoken(pieces, f"msg_{index}", index)
        elif kind == "reasoning":
            items.append(reasoning(full, item_id=f"rs_{index}"))
            events = thought([pieces], f"rs_{index}", index)
        else:
            items.append((function_call if kind == "function_call" else custom_call)("now", full, f"call_{index}", f"it_{index}"))
            events = called(items[-1], pieces, index)
        if chance.random() < 0.3:  # the deltas
            events = [sent for sent in events if b".delta" not in sent]
        if chance.random() < 0.5:
            events = [sent for sent in events if b"event: response.output_item.done" in sent or chance.random() < 0.5 or b".delta" in sent]
        stream += b"".join(events)
    found = run([stream + completed(*items)])
    assert isinstance(found[-1], Finish)
    assert not any(isinstance(notice, Notice) for notice in found)
    assert heard(found) == spoken_as(expected)


def heard(events: Sequence[UpstreamEvent]) -> dict[str, str]:
    """All that was said, by kind."""
    said = dict.fromkeys(("message", "reasoning", "call"), "")
    for found in events:
        match found:
            case TextDelta(words):
                said["message"] += words
            case ThinkingDelta(words):
                said["reasoning"] += words
            case ToolCallDelta(_, words):
                said["call"] += words
            case ToolCallEnd():
                said["call"] += "|"
            case _:
                pass
    return said


def spoken_as(told: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {
        "message": "".join(full for kind, full in told if kind == "message"),
        "reasoning": "\n\n".join(full for kind, full in told if kind == "reasoning"),
        "call": "".join(full + "|" for kind, full in told if kind.endswith("call")),
    }


def test_time_is_linear(monkeypatch):
    """A text of many pieces, each told again and again, is not looked at again and again."""
    examined = 0

    def joined(self: Pieces) -> str:
        nonlocal examined
        examined += self.chars
        return text_of_pieces(self)

    text_of_pieces = vars(Pieces)["text"].fget
    monkeypatch.setattr(Pieces, "text", property(joined))
    count = 2_000
    machine = decoder()
    machine.feed(begun(NOW))
    for _ in range(count):
        machine.feed(piece("1") + arguments_done("2") + text("a", index=1) + text_done("b"))
        machine.feed(event("response.output_text.done", text="c"))
    machine.feed(done(0, NOW) + done(1, message("d")))
    assert shape(machine.end()) == [StreamCut]
    assert examined < 10 * count
