"""The flow: order of the stages, priming, faults as events, clocks, and one close for every open."""

import itertools
import threading
from collections.abc import AsyncGenerator

import msgspec
import pytest
import trio

from pipeline.clocks import CLOSE_SECONDS, Stop, Timeouts, Watched
from pipeline.emit.chat import KEEPALIVE
from pipeline.errors import PenstockError, RateLimited, RequestError, StreamCut, UpstreamTimeout
from pipeline.events import Event, Failed, Finish, Notice, Progress, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.flow import LARGE_CHARS, Exchange, Terms, collect, open_stream
from pipeline.identity import Identity
from pipeline.request import Message, Request, Role, TextPart, Tool, ToolCall, ToolChoice, ToolMode
from pipeline.stages import complete, stage
from tests.support.scripted import ScriptedUpstream, Step

ASK = Request("composer-2.5", (Message(Role.USER, (TextPart("Hi"),)),), stream=True)


def exchange(steps: list[Step], *, request: Request = ASK, **terms) -> tuple[Exchange, ScriptedUpstream]:
    upstream = ScriptedUpstream(steps)
    return Exchange(request, upstream, Terms(identity=Identity.frozen(), **terms)), upstream


async def pieces(answer) -> list[bytes]:
    try:
        return [piece async for piece in answer.pieces]
    finally:
        await answer.aclose()


LONG = "x" * LARGE_CHARS
SAYS = ASK.messages
LARGE = {
    "text": ((Message(Role.USER, (TextPart(LONG),)),), ()),
    "arguments": ((*SAYS, Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "write", LONG),))), ()),
    "reasoning": ((*SAYS, Message(Role.ASSISTANT, (TextPart("a"),), reasoning=LONG)), ()),
    "a schema": (SAYS, (Tool("write", parameters={"type": "object", "description": LONG}),)),
    "nothing": (SAYS, (Tool("write"),)),
}


@pytest.mark.parametrize("large", LARGE)
async def test_a_large_request_is_written_in_a_thread(large):
    class Noting(ScriptedUpstream):
        def write(self, request):
            threads.append(threading.current_thread())
            return super().write(request)

    threads: list[threading.Thread] = []
    messages, tools = LARGE[large]
    request = Request("composer-2.5", messages, tools)
    await Exchange.prepared(request, Noting([[Finish()]]), Terms())
    assert [thread is threading.current_thread() for thread in threads] == [large == "nothing"]


async def test_one_list_is_one_piece():
    subject, upstream = exchange([[TextDelta("a"), TextDelta("b")], [TextDelta("c")], [Finish()]])
    answer = await open_stream(subject)
    found = await pieces(answer)
    assert [piece.count(b"data: ") for piece in found] == [3, 1, 2]
    assert answer.emitter.chunks == 5
    assert (upstream.opened, upstream.closed) == (1, 1)


async def test_silence_becomes_a_comment_also_before_the_first_word(autojump_clock):
    subject, _ = exchange([[], [TextDelta("a")], [], [Finish()]])
    assert (await pieces(await open_stream(subject)))[1] == KEEPALIVE


async def test_hidden_thinking_is_silence_for_the_client(monkeypatch):
    seconds = itertools.count(step=3)
    monkeypatch.setattr("pipeline.stages.monotonic", lambda: next(seconds))
    hidden: list[Step] = [[ThinkingDelta("hm")] for _ in range(4)]
    subject, _ = exchange([[TextDelta("a")], *hidden, [Finish()]])
    found = await pieces(await open_stream(subject))
    assert KEEPALIVE in found
    assert b"" not in found


async def timed(answer) -> list[tuple[float, bytes]]:
    """Each piece, and how long it was waited for."""
    found, last = [], trio.current_time()
    async for piece in answer.pieces:
        found.append((trio.current_time() - last, piece))
        last = trio.current_time()
    await answer.aclose()
    return found


async def test_data_that_says_nothing_yet_is_silence_for_the_client(autojump_clock, monkeypatch):
    monkeypatch.setattr("pipeline.clocks.monotonic", trio.current_time)
    unread: list[Step] = [1.0, [Progress()]] * 16
    subject, _ = exchange([[TextDelta("a")], *unread, [Finish()]], timeouts=Timeouts(first_event_seconds=3, idle_seconds=3))
    found = await timed(await open_stream(subject))
    assert [piece for _, piece in found].count(KEEPALIVE) == 3
    assert max(seconds for seconds, _ in found) == pytest.approx(5)
    assert found[-1][1].endswith(b"[DONE]\n\n")


async def test_an_upstream_that_sends_data_is_not_silent_before_its_first_event(autojump_clock):
    steps: list[Step] = [2.0, [Progress()]] * 5
    subject, _ = exchange([*steps, [TextDelta("a"), Finish()]], timeouts=Timeouts(first_event_seconds=3, idle_seconds=3))
    _, whole = await collect(subject)
    assert whole.text == "a"


async def test_no_machine_sees_that_there_was_data(autojump_clock):
    async def given() -> AsyncGenerator[list[UpstreamEvent], None]:
        for batch in ([Progress()], [TextDelta("a")], [Progress()], [], [Finish()]):
            yield list[UpstreamEvent](batch)

    batches = [batch async for batch in complete(Watched(given(), Timeouts(), Stop()))]
    assert batches == [[TextDelta("a")], [], [Finish()]]


async def test_what_a_machine_holds_back_for_long_is_silence(autojump_clock, monkeypatch):
    monkeypatch.setattr("pipeline.clocks.monotonic", trio.current_time)

    async def slowly() -> AsyncGenerator[list[Event], None]:
        for _ in range(12):
            await trio.sleep(1)
            yield [TextDelta("x")]

    began = trio.current_time()
    given = [(round(trio.current_time() - began, 3), batch) async for batch in stage(stage(slowly(), lambda _: list[Event]()), lambda batch: batch)]
    assert given == [(5.0, []), (10.0, [])]


async def test_the_end_is_when_the_upstream_ended_and_not_when_it_was_read(autojump_clock):
    subject, _ = exchange([[TextDelta("a")], 2.0, [Finish()]])
    answer = await open_stream(subject)
    began = trio.current_time()
    async for _ in answer.pieces:
        await trio.sleep(10)
    await answer.aclose()
    assert subject.ended_at is not None
    assert subject.ended_at - began == pytest.approx(12)
    assert subject.held_seconds == pytest.approx(10)


@pytest.mark.parametrize("steps", [[[Failed(RateLimited("no"))]], [[], [Notice("x"), Failed(RateLimited("no"))]]])
async def test_a_fault_before_anything_is_raised(steps):
    subject, upstream = exchange(steps)
    with pytest.raises(RateLimited):
        await open_stream(subject)
    assert upstream.closed == 1


async def test_a_fault_behind_notices_alone_is_raised():
    subject, upstream = exchange([[Notice("x")], [Notice("y")], [Failed(RateLimited("no"))]])
    with pytest.raises(RateLimited):
        await open_stream(subject)
    assert upstream.closed == 1


async def test_notices_before_the_first_word_are_kept():
    subject, _ = exchange([[Notice("x")], [TextDelta("a")], [Finish()]])
    answer = await open_stream(subject)
    await pieces(answer)
    assert answer.emitter.notices == [Notice("x")]


async def test_what_is_held_back_is_not_silence():
    held: list[Step] = [[TextDelta(piece)] for piece in ("a <", "|", "tool", "_", "x")]
    subject, _ = exchange([*held, [Finish()]])
    assert KEEPALIVE not in b"".join(await pieces(await open_stream(subject)))


async def test_a_fault_in_the_same_read_as_the_first_word_is_in_the_stream():
    subject, _ = exchange([[TextDelta("a"), Failed(RateLimited("no"))]])
    (piece,) = await pieces(await open_stream(subject))
    assert piece.endswith(b'"code":"rate_limit_exceeded"}}\n\n')


async def test_nothing_is_pulled_behind_the_end():
    subject, upstream = exchange([[TextDelta("a"), Finish()], 60.0, [TextDelta("never")]])
    with trio.fail_after(1):
        assert len(await pieces(await open_stream(subject))) == 1
    assert upstream.closed == 1


async def test_an_answer_that_nobody_reads_is_closed_all_the_same():
    subject, upstream = exchange([[TextDelta("a")], [Finish()]])
    answer = await open_stream(subject)
    assert upstream.closed == 0
    await answer.aclose()
    assert upstream.closed == 1


async def test_the_whole_answer_is_the_fold_of_the_stream():
    subject, _ = exchange([[TextDelta("a"), Notice("odd")], [ThinkingDelta("t"), Finish()]])
    body, whole = await collect(subject)
    assert (whole.text, whole.thinking, [notice.code for notice in whole.notices]) == ("a", "t", ["odd"])
    assert b'"content":"a"' in body


@pytest.mark.parametrize("steps", [[[TextDelta("a")]], [[TextDelta("a")], [Failed(StreamCut("no"))]], []])
async def test_a_whole_answer_is_never_half(steps):
    subject, _ = exchange(steps)
    with pytest.raises(StreamCut):
        await collect(subject)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([100.0], "upstream_first_event_timeout"),
        ([[TextDelta("a")], 100.0], "upstream_idle_timeout"),
        ([[TextDelta("a")], *[8.0, [TextDelta("a")]] * 20], "upstream_total_timeout"),
        ([*[4.0, []] * 40], "upstream_first_event_timeout"),
        ([20.0, [Progress()], 31.0], "upstream_first_event_timeout"),
        ([20.0, [Progress()], 20.0, [TextDelta("a")], 8.0, [Progress()], 11.0], "upstream_idle_timeout"),
        ([[TextDelta("a")], *[4.0, []] * 40], "upstream_idle_timeout"),
    ],
    ids=["first event", "idle", "total", "silence before", "silence after", "behind data", "behind late data"],
)
async def test_the_clocks(autojump_clock, steps, code):
    subject, upstream = exchange(steps, timeouts=Timeouts(first_event_seconds=30, idle_seconds=10, total_seconds=60))
    with pytest.raises(UpstreamTimeout) as raised:
        await collect(subject)
    assert raised.value.code == code
    assert upstream.closed == 1


async def test_a_stop_ends_what_runs_and_what_begins(autojump_clock):
    stop = Stop()
    running, _ = exchange([[TextDelta("a")], 100.0], stop=stop)
    answer = await open_stream(running)
    stop.set(trio.current_time() + 2)
    assert b"server_shutting_down" in (await pieces(answer))[-1]
    late, _ = exchange([50.0], stop=stop)
    with pytest.raises(PenstockError) as raised:
        await open_stream(late)
    assert raised.value.code == "server_shutting_down"


async def test_a_stop_reaches_a_pull_that_waits(autojump_clock):
    stop = Stop()
    subject, _ = exchange([[TextDelta("a")], 100.0], stop=stop)
    answer = await open_stream(subject)
    found: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            found.extend(await pieces(answer))

        nursery.start_soon(read)
        await trio.sleep(5)
        stop.set(trio.current_time() + 1)
    assert trio.current_time() < 10**9
    assert b"server_shutting_down" in found[-1]


async def test_an_upstream_that_does_not_close_is_left(autojump_clock):
    async def slow_to_close() -> AsyncGenerator[list[UpstreamEvent], None]:
        try:
            yield [TextDelta("a")]
            await trio.sleep(100)
        finally:
            await trio.sleep(50)  # noqa: ASYNC102 - this upstream does not keep the rule

    watched = Watched(slow_to_close(), Timeouts(idle_seconds=1), Stop())
    assert await anext(watched) == [TextDelta("a")]
    with trio.move_on_after(0.5) as outer:
        await anext(watched)
    assert outer.cancelled_caught
    started = trio.current_time()
    await watched.aclose()
    assert trio.current_time() - started <= CLOSE_SECONDS


async def test_the_clock_that_ran_out_is_the_one_that_is_named(autojump_clock):
    async def slow_to_close() -> AsyncGenerator[list[UpstreamEvent], None]:
        try:
            yield [TextDelta("a")]
            await trio.sleep(100)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    watched = Watched(slow_to_close(), Timeouts(idle_seconds=10, total_seconds=10.5), Stop())
    await anext(watched)
    (failed,) = await anext(watched)
    assert isinstance(failed, Failed)
    assert failed.error.code == "upstream_idle_timeout"
    with pytest.raises(StopAsyncIteration):
        await anext(watched)


async def test_a_slow_client_is_not_the_upstreams_silence(autojump_clock):
    subject, _ = exchange([[TextDelta("a")], [TextDelta("b")], [Finish()]], timeouts=Timeouts(idle_seconds=10))
    answer = await open_stream(subject)
    found = []
    async for piece in answer.pieces:
        found.append(piece)
        await trio.sleep(15)
    await answer.aclose()
    assert found[-1].endswith(b"[DONE]\n\n")


async def test_told_not_to_call_the_model_calls_nothing():
    text = "<|tool_calls_begin|><|tool_call_begin|>Read<|tool_call_end|><|tool_calls_end|>"
    request = Request("composer-2.5", ASK.messages, tools=(Tool("Read"),), tool_choice=ToolChoice(ToolMode.NONE))
    subject, _ = exchange([[TextDelta(text), Finish()]], request=request)
    _, whole = await collect(subject)
    assert (whole.calls, whole.text, [notice.code for notice in whole.notices]) == ([], text, ["call_without_tools"])


async def test_what_is_known_before_the_first_byte_is_known_to_the_server():
    noticed = msgspec.structs.replace(ASK, notices=(Notice("parsed"),))
    subject, _ = exchange([[Notice("early")], [TextDelta("a")], [Notice("late"), Finish()]], request=noticed)
    answer = await open_stream(subject)
    assert [notice.code for notice in answer.notices] == ["parsed", "early"]
    await pieces(answer)
    assert [notice.code for notice in answer.emitter.notices] == ["parsed", "early", "late"]


async def test_what_an_upstream_cannot_take_is_raised_at_once():
    class Refusing(ScriptedUpstream):
        def write(self, request: Request):
            raise RequestError("no images here", param="messages[0]")

    with pytest.raises(RequestError):
        Exchange(ASK, Refusing([]), Terms())
