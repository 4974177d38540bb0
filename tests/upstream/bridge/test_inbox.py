"""The hand-over between the task that reads a stream and the request that reads the run."""

import math

import pytest
import trio
import trio.testing

from pipeline.errors import StreamCut
from pipeline.upstream.bridge.inbox import MAX_BYTES, Inbox


async def test_who_puts_in_waits_while_it_is_full(autojump_clock):
    inbox, put = Inbox(), []

    async def fill() -> None:
        for number in range(30):
            await inbox.put(b"%d" % number + bytes(MAX_BYTES // 10))
            put.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill)
        await trio.testing.wait_all_tasks_blocked()
        assert len(put) == 9
        taken: list[int] = []
        while len(taken) < 30:
            piece = inbox.take()
            if piece is None:
                await inbox.wait(math.inf)
            else:
                taken.append(int(piece.rstrip(b"\0")))
    assert taken == list(range(30))


async def test_keep_alives_of_a_day_do_not_fill_it(autojump_clock):
    inbox = Inbox()
    with trio.fail_after(1):
        for _ in range(24 * 3600 // 15):
            await inbox.put(bytes(7))


async def test_silence_is_kept_only_where_nothing_else_is():
    inbox = Inbox()
    for piece in (b"", b"", b"words", b""):
        await inbox.put(piece)
    assert [inbox.take() for _ in range(3)] == [b"", b"words", None]


async def test_news_of_before_are_news_and_without_any_the_time_ends_it(autojump_clock):
    inbox = Inbox()
    inbox.tell()
    await inbox.wait(math.inf)
    began = trio.current_time()
    await inbox.wait(began + 5)
    assert trio.current_time() == pytest.approx(began + 5)


async def test_a_reader_that_is_cancelled_loses_nothing(autojump_clock):
    inbox = Inbox()
    with trio.move_on_after(1):
        await inbox.wait(math.inf)
    await inbox.put(b"words")
    await inbox.wait(math.inf)
    assert inbox.take() == b"words"


async def test_the_first_end_counts_and_is_news():
    inbox, fault = Inbox(), StreamCut("cut")
    inbox.end(fault)
    inbox.end()
    await inbox.wait(math.inf)
    assert (inbox.ended, inbox.fault) == (True, fault)
