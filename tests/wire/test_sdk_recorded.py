"""RecordedRunDecoder: a run's stream with the callbacks in their places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation, StreamCut
from pipeline.events import Failed, Finish, FinishReason, NativeToolCall, Notice, TextDelta
from pipeline.wire.connect import encode_envelope
from pipeline.wire.sdk_recorded import GOES_ON, RecordedRunDecoder, recorded_call
from pipeline.wire.sdk_run import FINISHED, RunDecoder
from tests.support.sdk_scripts import SCRIPTS, USED, called, delta, end, finish, keepalive
from tests.support.splits import splits

STOP, WAITS = Finish(FinishReason.STOP, FINISHED), Finish(FinishReason.TOOL_CALLS)
CALL = NativeToolCall("", "Glob", '{"depth": 2.0}')
NOT_THE_PROTOCOLS = "The bridge asked for a tool's result in a form that is not its protocol's."
USAGE = "all requests of this run together: 214 tokens of prompts, 128 of them cached, and 38 of answers"

STREAMS = {
    "a run that waits": ([delta("a"), called("Glob", {"depth": 2.0})], [TextDelta("a"), CALL, WAITS]),
    "calls side by side": ([called("Glob", {"depth": 2.0}), keepalive(), called("Glob", {"depth": 2.0}), keepalive()], [CALL, CALL, WAITS]),
    "a call, and the end of the run": ([called("Glob", {"depth": 2.0}), *finish("a")], [CALL, TextDelta("a"), STOP]),
    "the rest of a run": ([GOES_ON, delta("a"), *finish("a", used=USED)], [TextDelta("a"), Notice("run_usage", USAGE), STOP]),
    "a text like a call": ([delta('{"callCustomTool":{}}'), *finish()], [TextDelta('{"callCustomTool":{}}'), STOP]),
    "cut inside a call": (
        [delta("a"), called("Glob", {"depth": 2.0})[:-1]],
        [TextDelta("a"), Failed(StreamCut("The upstream's answer was cut off inside a message."))],
    ),
    "cut behind a call": (
        [called("Glob", {"depth": 2.0}), delta("a")[:-1]],
        [CALL, Failed(StreamCut("The upstream's answer was cut off inside a message."))],
    ),
    "an end without a result": ([called("Glob", {"depth": 2.0}), end()], [CALL, Failed(StreamCut("The run's stream ended without its result."))]),
    "no call": ([recorded_call(b"4"), delta("a"), called("Glob", {})], [Failed(ProtocolViolation(NOT_THE_PROTOCOLS))]),
    "no stream": ([called("Glob", {"depth": 2.0}), b"\xff!!!!"], [CALL, Failed(ProtocolViolation("The upstream's answer is not a Connect stream."))]),
}


def shown(events):
    return [(type(event.error), event.error.body()) if isinstance(event, Failed) else event for event in events]


def run(pieces):
    decoder = RecordedRunDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@pytest.mark.parametrize(("pieces", "expected"), STREAMS.values(), ids=STREAMS)
def test_what_a_recording_means_under_every_cut(pieces, expected):
    for cuts in splits(b"".join(pieces), seeds=10):
        assert shown(run(cuts)) == shown(expected)


@pytest.mark.parametrize("scripted", SCRIPTS.values(), ids=SCRIPTS)
def test_a_stream_without_calls_is_read_as_the_live_one_is(scripted):
    stream = b"".join(step for step in scripted.steps if isinstance(step, bytes))
    if b"callCustomTool" not in stream and not stream.startswith(GOES_ON):
        decoder = RunDecoder()
        assert shown(run([stream])) == shown(decoder.feed(stream) + decoder.end())


def test_a_compressed_envelope_is_read():
    assert run([encode_envelope(delta("a")[5:], compress=True), *finish("a")]) == [TextDelta("a"), STOP]


@given(st.lists(st.sampled_from([delta("a"), called("Glob", {}), GOES_ON, keepalive(), *finish("a"), recorded_call(b"["), b"\0\0"]), max_size=9))
def test_any_recording_has_one_end(pieces):
    events = run(pieces)
    assert isinstance(events[-1], Finish | Failed)
    assert sum(isinstance(event, Finish | Failed) for event in events) == 1
