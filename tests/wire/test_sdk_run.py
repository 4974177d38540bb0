"""RunDecoder: what each kind of stream means, under every cut."""

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AuthenticationError, ProtocolViolation, RateLimited, StreamCut, UpstreamError, UpstreamTimeout, UpstreamUnusable
from pipeline.events import Failed, Finish, FinishReason, Notice, TextDelta, ThinkingDelta, UpstreamEvent, UsageReport
from pipeline.wire.connect import FLAG_END_STREAM, encode_envelope
from pipeline.wire.sdk_messages import MAX_TOOL_NOTICES, RunMessages
from pipeline.wire.sdk_run import FINISHED, RunDecoder
from tests.support.sdk_scripts import (
    RUN,
    USED,
    assistant,
    custom_tool_started,
    delta,
    done,
    end,
    envelope,
    error_end,
    finish,
    interaction,
    keepalive,
    message,
    result,
    said,
    status,
    step_started,
    system,
    thinking,
    thought,
    thought_aloud,
    tool_call,
    tool_completed,
    tool_started,
    turn_ended,
    unknown,
    usage,
    user,
)
from tests.support.splits import cut, splits

STOP = Finish(FinishReason.STOP, FINISHED)
COUNTED = UsageReport(214, 38, 9, 128, estimated=False, extra={"cacheWriteTokens": 12})
CONTRADICTION = Notice("contradictory_text", "the text of the run's result is not what the run said")
MENDED = Notice("mended_text", "bytes or escapes that are no characters were replaced by U+FFFD")
NO_RESULT = StreamCut("The run's stream ended without its result.")
NO_END = StreamCut("The upstream's answer ended without its end mark.")
HALF = StreamCut("The upstream's answer was cut off inside a message.")


def run(pieces: Sequence[bytes], **options) -> list[UpstreamEvent]:
    decoder = RunDecoder(**options)
    events = [found for piece in pieces for found in decoder.feed(piece)]
    return events + decoder.end()


def agent_tool(name: str) -> Notice:
    return Notice("agent_tool", f"the agent used its own tool {name!r}")


def run_usage(prompt: int, cached: int, completion: int) -> Notice:
    return Notice("run_usage", f"all requests of this run together: {prompt} tokens of prompts, {cached} of them cached, and {completion} of answers")


STREAMS: dict[str, tuple[list[bytes], list[UpstreamEvent]]] = {
    "text": ([system(), user("Hi"), step_started(), delta("He"), delta("llo"), *finish("Hello")], [TextDelta("He"), TextDelta("llo"), STOP]),
    "thinking and text": (
        [thinking("Hm. "), thinking("Yes."), delta("Yes"), *finish("Yes")],
        [ThinkingDelta("Hm. "), ThinkingDelta("Yes."), TextDelta("Yes"), STOP],
    ),
    "told twice, updates first": ([delta("a"), assistant("a"), delta("b"), assistant("b"), *finish("ab")], [TextDelta("a"), TextDelta("b"), STOP]),
    "told twice, messages first": ([assistant("a"), delta("a"), assistant("b"), delta("b"), *finish("ab")], [TextDelta("a"), TextDelta("b"), STOP]),
    "messages alone": (
        [thought("Hm."), assistant("a", {"type": "tool_use", "name": "x"}, "b"), *finish("ab")],
        [ThinkingDelta("Hm."), TextDelta("a"), TextDelta("b"), STOP],
    ),
    "a message and then other updates": (
        [assistant("ab"), delta("xy"), delta("z"), *finish()],
        [TextDelta("ab"), TextDelta("xy"), TextDelta("z"), STOP],
    ),
    "thinking by messages, text by updates": ([thought("Hm."), delta("a"), *finish("a")], [ThinkingDelta("Hm."), TextDelta("a"), STOP]),
    "the result alone": ([system(), *finish("Hello")], [TextDelta("Hello"), STOP]),
    "no text at all": ([system(), *finish()], [STOP]),
    "the result is the last step's text": ([delta("Let me see. "), delta("4."), *finish("4.")], [TextDelta("Let me see. "), TextDelta("4."), STOP]),
    "the result joins the steps in its own way": (
        [delta("One."), delta("Two."), *finish("One.\n\nTwo.\n")],
        [TextDelta("One."), TextDelta("Two."), STOP],
    ),
    "the result says more behind it": ([delta("One. "), *finish("One.\n\nTwo. ")], [TextDelta("One. "), TextDelta("\n\nTwo. "), STOP]),
    "the last part by a message and the result": (
        [delta("One."), assistant("One."), assistant("Two."), *finish("Two.")],
        [TextDelta("One."), TextDelta("Two."), STOP],
    ),
    "the last part by a message and the whole result": (
        [delta("One."), assistant("One."), assistant("\n\nTwo."), *finish("One. Two.")],
        [TextDelta("One."), TextDelta(" Two."), STOP],
    ),
    "half of the last part by updates": (
        [delta("One."), delta("Tw"), assistant("One."), assistant("Two."), *finish("Two.")],
        [TextDelta("One."), TextDelta("Tw"), TextDelta("o."), STOP],
    ),
    "a message that the result does not tell": ([delta("One."), assistant("Two."), *finish("Three.")], [TextDelta("One."), CONTRADICTION, STOP]),
    "an empty update and messages": ([delta(""), assistant("a"), delta(""), assistant("b"), *finish("ab")], [TextDelta("a"), TextDelta("b"), STOP]),
    "the result says something else": ([delta("One."), *finish("Two.")], [TextDelta("One."), CONTRADICTION, STOP]),
    "the result says more": ([delta("Two."), *finish("One. Two.")], [TextDelta("Two."), CONTRADICTION, STOP]),
    "keep-alives": ([keepalive(), delta("a"), encode_envelope(b""), *finish("a"), b""], [TextDelta("a"), STOP]),
    "without done": ([delta("a"), result("a"), end()], [TextDelta("a"), STOP]),
    "an empty end message": ([result(), encode_envelope(b"", flags=FLAG_END_STREAM)], [STOP]),
    "what comes behind the end": ([result(), end(), delta("late"), end()], [STOP]),
    "a second result": ([result("a"), result("b", "ERROR"), end()], [TextDelta("a"), STOP]),
    "usage of the result": ([delta("a"), turn_ended(1, 1), usage(1, 1), *finish("a", used=USED)], [TextDelta("a"), COUNTED, STOP]),
    "usage of the turns": (
        [delta("a"), turn_ended(10, 2), usage(10, 2), turn_ended(5, 1, cacheReadTokens=4), *finish("a")],
        [TextDelta("a"), UsageReport(15, 3, 0, 4, estimated=False), STOP],
    ),
    "usage of the messages": ([delta("a"), turn_ended(), usage(10, 2), *finish("a")], [TextDelta("a"), UsageReport(10, 2, estimated=False), STOP]),
    "an error of the run": (
        [delta("a"), result("a", "ERROR", used=USED, error_code="rate_limited", error_message="Slow down."), done(), end()],
        [TextDelta("a"), COUNTED, Failed(RateLimited("The SDK limits the rate of requests. It says: Slow down."))],
    ),
    "an error that comes first": (
        [result("", "ERROR", used=USED, error_code="internal_error"), end()],
        [Failed(UpstreamError("The SDK failed (internal_error)."))],
    ),
    "an error that a status explained": (
        [status("ERROR", "The sandbox broke."), result(state="ERROR")],
        [Failed(UpstreamError("The SDK failed. It says: The sandbox broke."))],
    ),
    "cancelled": ([result("", "CANCELLED"), end()], [Failed(UpstreamError("The run was cancelled.", code="run_cancelled"))]),
    "expired": ([result("", "EXPIRED"), end()], [Failed(UpstreamTimeout("The SDK gave the run up, since it took too long."))]),
    "a result of no known kind": ([result("", "NAPPING"), end()], [Failed(ProtocolViolation("The run ended and its result does not say how."))]),
    "a result without a status": (
        [envelope({"result": {"runId": RUN}})],
        [Failed(ProtocolViolation("The run ended and its result does not say how."))],
    ),
    "an error in the end message": (
        [delta("a"), turn_ended(3, 4), error_end("unauthenticated", "No.", "UNAUTHORIZED")],
        [TextDelta("a"), UsageReport(3, 4, estimated=False), Failed(AuthenticationError("The SDK does not accept this key. It says: No."))],
    ),
    "an error behind the result": ([result("a"), error_end("internal", "x")], [TextDelta("a"), Failed(UpstreamError("The SDK failed. It says: x"))]),
    "the reader was too slow": (
        [delta("a"), error_end("resource_exhausted", "Merged run stream consumer fell behind; the bridge dropped the connection")],
        [
            TextDelta("a"),
            Failed(
                UpstreamError(
                    "The answer was not read as fast as the bridge sent it, and was broken off. It says: Merged run stream consumer fell behind; "
                    "the bridge dropped the connection",
                    code="upstream_reader_too_slow",
                )
            ),
        ],
    ),
    "an end without a result": ([delta("a"), end()], [TextDelta("a"), Failed(NO_RESULT)]),
    "done without a result": ([delta("a"), done(), end()], [TextDelta("a"), Failed(NO_RESULT)]),
    "cut before the result": ([delta("a")], [TextDelta("a"), Failed(NO_END)]),
    "cut behind the result": ([delta("a"), result("a")], [TextDelta("a"), Failed(NO_END)]),
    "cut behind done": ([delta("a"), result("a"), done()], [TextDelta("a"), Failed(NO_END)]),
    "cut inside a message": ([delta("a"), delta("b")[:-1]], [TextDelta("a"), Failed(HALF)]),
    "nothing": ([], [Failed(NO_END)]),
    "no Connect stream": ([delta("a"), b"\xffoops"], [TextDelta("a"), Failed(ProtocolViolation("The upstream's answer is not a Connect stream."))]),
    "no JSON": ([encode_envelope(b"{oops")], [Failed(ProtocolViolation("The bridge sent a message that is not a JSON object."))]),
    "no object": (
        [delta("a"), encode_envelope(b"[1]")],
        [TextDelta("a"), Failed(ProtocolViolation("The bridge sent a message that is not a JSON object."))],
    ),
    "an end message that is no object": (
        [result(), encode_envelope(b"4", flags=FLAG_END_STREAM)],
        [Failed(ProtocolViolation("The upstream's end message is not a JSON object."))],
    ),
    "half a pair of surrogates": (
        [encode_envelope(b'{"interactionUpdate":{"type":"text-delta","update":{"type":"text-delta","text":"a\\ud83d"}}}'), *finish("a\ufffd")],
        [MENDED, TextDelta("a\ufffd"), STOP],
    ),
    "unknown types": (
        [unknown(), message("moon"), envelope({"tide": 4}), envelope({"step": {"type": "x"}}), envelope({"sdkMessage": 4}), delta("a"), *finish("a")],
        [TextDelta("a"), STOP],
    ),
    "fields of other types": (
        [
            interaction("text-delta", text=4),
            interaction("text-delta"),
            interaction("tool-call-started", toolCall=[]),
            envelope({"interactionUpdate": {"type": ["text-delta"], "update": "x"}}),
            message("assistant", message={"content": "x"}),
            message("assistant", message={"content": ["x", {"type": "text", "text": None}]}),
            message("tool_call", name=4),
            message("status", status="ERROR", message=4),
            *finish(),
        ],
        [STOP],
    ),
    "tools of the agent": (
        [tool_started("readLints"), tool_call("readLints"), tool_completed("readLints"), tool_started("shell"), tool_call("shell"), *finish()],
        [agent_tool("readLints"), agent_tool("shell"), STOP],
    ),
    "tools of the client": (
        [
            tool_started("getMcpTools"),
            tool_call("GetMcpTools"),
            tool_started("CallMcpTool"),
            custom_tool_started("Glob", {}),
            tool_call("mcp"),
            tool_call("Glob"),
            *finish(),
        ],
        [STOP],
    ),
}


def same(events: Sequence[UpstreamEvent]) -> list[object]:
    """Errors compare by what a client is told."""
    return [(type(event.error), event.error.body(), event.error.retry_after_seconds) if isinstance(event, Failed) else event for event in events]


@pytest.mark.parametrize(("pieces", "expected"), STREAMS.values(), ids=STREAMS)
def test_what_a_stream_means(pieces, expected):
    assert same(run(pieces, custom_tools=["Glob"])) == same(expected)


@pytest.mark.parametrize(("pieces", "expected"), STREAMS.values(), ids=STREAMS)
def test_no_cut_changes_it(pieces, expected):
    stream = b"".join(pieces)
    for cuts in splits(stream, seeds=10):
        assert same(run(cuts, custom_tools=["Glob"])) == same(expected)


def test_every_type_that_is_read_is_tried():
    tried = b"".join(piece for pieces, _ in STREAMS.values() for piece in pieces)
    for word in [*RunMessages.UPDATES, *RunMessages.MESSAGES]:
        assert f'"type":"{word}"'.encode() in tried


def test_a_fault_of_the_connection_is_the_reason():
    decoder = RunDecoder()
    fault = StreamCut("The connection was reset.")
    assert decoder.feed(delta("a")) == [TextDelta("a")]
    assert decoder.end(fault) == [Failed(fault)]
    assert decoder.finished
    assert decoder.end(fault) == []
    assert decoder.feed(delta("b")) == []


def test_a_fault_behind_the_end_is_of_no_effect():
    decoder = RunDecoder()
    assert decoder.feed(b"".join(finish())) == [STOP]
    assert decoder.end(StreamCut("The connection was reset.")) == []


def test_the_counters():
    decoder = RunDecoder()
    assert (decoder.run_id, decoder.activity, decoder.data_messages) == (None, 0, 0)
    decoder.feed(keepalive() + status("RUNNING") + usage(1, 1))
    assert (decoder.run_id, decoder.activity, decoder.data_messages) == (RUN, 0, 2)
    decoder.feed(delta("a") + keepalive() + unknown() + step_started())
    assert (decoder.activity, decoder.data_messages) == (1, 5)


@pytest.mark.parametrize("piece", [result("a"), done()])
def test_the_runs_id_comes_with_whatever_names_it_first(piece):
    decoder = RunDecoder()
    decoder.feed(delta("a") + message("assistant", run_id=7) + message("assistant", run_id="x" * 513))
    assert decoder.run_id is None
    decoder.feed(piece)
    assert decoder.run_id == RUN


def test_a_run_that_waited_tells_the_usage_of_all_its_requests_by_a_notice():
    decoder = RunDecoder()
    first = decoder.feed(delta("Let me see.") + assistant("Let me see.") + custom_tool_started("Glob", {}) + delta("x")[:9])
    decoder.go_on()
    rest = decoder.feed(delta("x")[9:] + assistant("x") + b"".join(finish("x", used=USED)))
    assert first == [TextDelta("Let me see.")]
    assert rest == [TextDelta("x"), run_usage(214, 128, 38), STOP]


def test_what_a_run_that_waited_said_before_is_not_said_again():
    decoder = RunDecoder()
    decoder.feed(delta("Let me see."))
    decoder.go_on()
    assert decoder.feed(assistant("Let me see.") + b"".join(finish("Let me see."))) == [STOP]


def test_what_only_the_result_of_a_run_that_waited_tells_is_said():
    decoder = RunDecoder()
    decoder.feed(delta("Let me see."))
    decoder.go_on()
    assert decoder.feed(b"".join(finish("It is 4."))) == [TextDelta("It is 4."), STOP]


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("told", ["Let me see.It is 4.", "Let me see.\n\nIt is 4.", "It is 4."])
def test_what_a_run_that_waited_said_before_is_not_said_again_with_what_only_its_result_tells(told, messages):
    decoder = RunDecoder()
    decoder.feed(delta("Let me see.") + (assistant("Let me see.") if messages else b""))
    decoder.go_on()
    assert decoder.feed((assistant("It is 4.") if messages else b"") + b"".join(finish(told))) == [TextDelta("It is 4."), STOP]


def test_what_a_run_that_waited_said_on_is_told_to_its_end():
    decoder = RunDecoder()
    decoder.feed(delta("Let me see."))
    decoder.go_on()
    assert decoder.feed(delta("It") + b"".join(finish("Let me see. It is 4."))) == [TextDelta("It"), TextDelta(" is 4."), STOP]


def test_a_fault_that_comes_first_in_the_next_request_is_its_first_event():
    decoder = RunDecoder()
    decoder.feed(delta("Let me see.") + turn_ended(3, 4))
    decoder.go_on()
    assert same(decoder.feed(end())) == same([Failed(NO_RESULT)])


def test_the_rest_of_a_run_that_another_decoder_began():
    assert run([delta("4."), *finish("Let me see. 4.", used=USED)], parked_before=True) == [TextDelta("4."), run_usage(214, 128, 38), STOP]
    assert run([delta("4."), *finish("5.")], parked_before=True) == [TextDelta("4."), CONTRADICTION, STOP]


def test_an_operators_key_that_is_refused_is_not_the_callers_matter():
    for refusal in (error_end("unauthenticated", "key abc"), result("", "ERROR", error_code="unauthenticated", error_message="key abc")):
        [failed] = run([refusal], callers_key=False)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, UpstreamUnusable)
        assert (failed.error.code, "abc" in failed.error.message) == ("upstream_credentials_refused", False)


def test_a_secret_stands_in_no_error():
    for refusal in (
        error_end("internal", "for hunter22"),
        result("", "ERROR", error_message="for hunter22"),
        status("ERROR", "for hunter22") + result(state="ERROR"),
    ):
        [failed] = run([refusal], secrets=["hunter22"])
        assert isinstance(failed, Failed)
        assert "hunter22" not in failed.error.message


def test_tools_of_the_agent_are_named_a_bounded_number_of_times():
    events = run([tool_call(f"tool{number}") for number in range(100)] + finish())
    assert events == [*(agent_tool(f"tool{number}") for number in range(MAX_TOOL_NOTICES)), STOP]


def test_a_message_over_the_limit_is_refused_before_it_is_held():
    [failed] = run([delta("x" * 200)[:20]], max_message_bytes=100)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ProtocolViolation)


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), max_size=8)


@given(TEXTS, TEXTS, st.data())
def test_nothing_that_is_told_is_lost_or_said_twice(thoughts: list[str], texts: list[str], data: st.DataObject):
    """Each piece comes as an update and as a message, in any order of the two accounts that keeps each one's own."""
    updates = [*map(thinking, thoughts), *map(delta, texts)]
    messages = [*map(thought, thoughts), *map(assistant, texts)]
    if data.draw(st.booleans()):
        updates = []
    frames, places = list[bytes](), [updates, messages]
    while any(places):
        source = data.draw(st.sampled_from([place for place in places if place]))
        frames.append(source.pop(0))
    # a message may only be ahead of the updates before the first of them has come
    events = run([*frames, *finish("".join(texts))])
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought_of = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    assert (said, thought_of) == ("".join(texts), "".join(thoughts))
    assert events[-1] == STOP
    assert not any(isinstance(event, Notice) for event in events)


@given(TEXTS, st.data())
def test_what_updates_leave_out_is_told_by_the_result(texts: list[str], data: st.DataObject):
    """Updates may end early, messages too, and other requests may come in between."""
    heard = [[*map(delta, texts)][: data.draw(st.integers(0, len(texts)))], [*map(assistant, texts)][: data.draw(st.integers(0, len(texts)))]]
    decoder, events = RunDecoder(), list[UpstreamEvent]()
    while any(heard):
        if data.draw(st.booleans()):
            decoder.go_on()
        events += decoder.feed(data.draw(st.sampled_from([place for place in heard if place])).pop(0))
    events += decoder.feed(b"".join(finish("".join(texts))))
    spoken = "".join(event.text for event in events if isinstance(event, TextDelta))
    # an answer that begins with the rest begins without its white space, so that there may be none between two answers
    assert "".join(spoken.split()) == "".join("".join(texts).split())
    assert events[-1] == STOP


FRAMES = st.sampled_from(
    [
        system(),
        keepalive(),
        status("RUNNING"),
        step_started(),
        *said("Hello you. "),
        *thought_aloud("Hm, yes."),
        tool_started("shell"),
        custom_tool_started("Glob", {"pattern": "*"}),
        turn_ended(9, 3),
        usage(9, 3),
        unknown(),
        result("Hello"),
        result(state="ERROR", error_code="timeout"),
        done(),
        end(),
        error_end("unavailable", "x"),
        encode_envelope(b"{}", compress=True),
        encode_envelope(b"\xff"),
        delta("cut")[:-3],
    ]
)


@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(1, 400), max_size=8), st.integers(0, 12))
def test_any_script_any_cut(frames: list[bytes], sizes: list[int], at: int):
    stream, edges = b"".join(frames), list[int]()
    for size in sizes:
        edges.append((edges[-1] if edges else 0) + size)
    whole = run([stream])
    assert same(run(cut(stream, edges))) == same(whole)
    assert same(run([stream[:at], stream[at:]])) == same(whole)
    assert isinstance(whole[-1], Finish | Failed)
    assert not any(isinstance(event, Finish | Failed) for event in whole[:-1])
    assert all(event.text for event in whole if isinstance(event, TextDelta | ThinkingDelta))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["text-delta", "assistant", "status", FINISHED, "x", "7"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["interactionUpdate", "update", "sdkMessage", "message", "content", "type", "text", "result", "status", "usage", "toolCall", "done"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=5))
def test_any_json_is_an_answer(values: list[object]):
    events = run([encode_envelope(json.dumps(value).encode()) for value in values] + [end()])
    assert isinstance(events[-1], Finish | Failed)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_an_answer(pieces: list[bytes]):
    events = run(pieces)
    assert isinstance(events[-1], Failed)
    assert same(events) == same(run([b"".join(pieces)]))


def test_the_work_is_linear():
    """Ten times the answer in at most some thirty times the time; quadratic work would take a hundred."""

    def seconds(count: int) -> float:
        stream = b"".join(
            [*(assistant("some text") for _ in range(count)), *(delta("some text") for _ in range(count)), *finish("some text" * 2 * count)]
        )
        started = time.process_time()
        decoder = RunDecoder()
        for at in range(0, len(stream), 1000):
            decoder.feed(stream[at : at + 1000])
        assert decoder.finished
        return time.process_time() - started

    assert min(seconds(10_000) for _ in range(2)) < 30 * max(min(seconds(1_000) for _ in range(3)), 0.001)
