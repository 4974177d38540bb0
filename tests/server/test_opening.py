"""Answers that begin before their upstream: whatever was opened is closed, once, in whichever order things happen."""

from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.emit.base import AnswerHead
from pipeline.emit.cursor import cursor_dialect
from pipeline.events import Failed, UsageReport
from pipeline.flow import Answer
from server.opening import EarlyAnswer, Opening


class Opened:
    """An answer that counts its closings, each of which takes a moment."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.closed = 0

    async def open(self) -> Answer:
        await self.begun.wait()
        return cast("Answer", self)

    async def aclose(self) -> None:
        await trio.sleep(0.01)
        self.closed += 1


def early(opening: Opening) -> EarlyAnswer:
    emitter = cursor_dialect("think").stream(AnswerHead("id", 1, "m"), lambda: UsageReport(0, 0))
    return EarlyAnswer(opening, emitter, lambda error: [Failed(error)], 5)


@pytest.mark.parametrize("first", ["opened", "left"])
async def test_an_answer_opened_as_its_client_leaves_is_closed(first, autojump_clock):
    opened, opening = Opened(), Opening()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.run, opened.open)
        answer = early(opening)
        assert await anext(answer.pieces) == b": keepalive\n\n"
        await wait_all_tasks_blocked()
        opened.begun.set()
        if first == "opened":
            await opening.over.wait()
        with trio.CancelScope(shield=True):
            await answer.aclose()
        nursery.cancel_scope.cancel()
    assert opening.answer is cast("object", opened)
    assert opened.closed == 1


async def test_an_answer_opened_as_its_request_is_cancelled_is_closed(autojump_clock):
    opened, opening = Opened(), Opening()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opening.run, opened.open)
        nursery.start_soon(opening.wait, 5)
        await wait_all_tasks_blocked()
        opened.begun.set()
        nursery.cancel_scope.cancel()
    assert opened.closed == 1


async def test_nothing_is_closed_that_was_not_opened():
    opening = Opening()
    await early(opening).aclose()
    assert opening.answer is None
