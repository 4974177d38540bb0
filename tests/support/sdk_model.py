"""A model for real clients to talk to, behind the bridge of the SDK: the turns of `tests.clients.scripted_model`, as runs of an agent.

A run plays turn after turn: when a turn has calls, the agent calls the client's tools by real callbacks, and the next turn comes when their results
are there. Which turn comes next is the number of results so far, those that the message of a fresh run tells of among them; so a run that was lost
and is told the conversation anew goes on with the same turn.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from tests.clients.scripted_model import TITLE, Answer, is_title_request, results_in
from tests.support import sdk_scripts as sdk
from tests.support.composer_server import Step as ComposerStep
from tests.support.fake_bridge import FakeBridge, fake_bridge
from tests.support.fake_bridge_run import Run
from tests.support.fake_bridge_steps import Say, Step
from tests.support.sdk_words import Told, calling, in_sdk_words, number_of


class ScriptedAgent:
    """Answers each turn with the one of that number; the last one again for all later turns. `faults` come first, one a fresh run."""

    def __init__(self, *turns: Answer, faults: Sequence[Answer] = ()) -> None:
        self._turns = turns
        self._faults = list(faults)
        self.turns = 0
        self.runs: list[Run] = []
        self.bridge: FakeBridge | None = None

    def __call__(self, run: Run) -> Sequence[Step]:
        self.runs.append(run)
        start: list[Step] = [sdk.system(), sdk.status("RUNNING"), sdk.user(run.text), sdk.step_started()]
        if is_title_request(run.text):
            return [*start, *_spoken(in_sdk_words(TITLE))]
        return [*start, *self._turn(run)]

    @property
    def prompts(self) -> list[str]:
        """What fresh runs were told, but for titles, in order."""
        return [run.text for run in self.runs if not is_title_request(run.text)]

    @property
    def titles(self) -> list[str]:
        """The requests for a title."""
        return [run.text for run in self.runs if is_title_request(run.text)]

    @property
    def results(self) -> list[str]:
        """What the tools answered in the last conversation, in the order of the calls."""
        last = [run for run in self.runs if not is_title_request(run.text)][-1]
        return [*results_in(last.text), *(result.text for result in sorted(last.results, key=number_of))]

    async def left(self) -> None:
        """Wait until the gateway has left the first run's stream, and has cancelled the run."""
        await self.runs[0].stream_gone.wait()
        await self.runs[0].over.wait()

    @asynccontextmanager
    async def backend(self) -> AsyncGenerator[str, None]:
        """The bridge, and the table of the upstream that is one."""
        async with fake_bridge(self) as bridge:
            self.bridge = bridge
            yield bridge.table(gather_seconds=0.05)

    def _turn(self, run: Run) -> list[Step]:
        """The steps of the next turn, and behind its calls of all that follow."""
        self.turns += 1
        told = in_sdk_words(self._answer(run))
        if not told.calls:
            return _spoken(told)
        first = len(run.results) + 1
        return [*told.steps, *calling(told, run.agent.custom_tools, first), Say(self._turn)]

    def _answer(self, run: Run) -> str | Sequence[ComposerStep]:
        answer: Answer
        if self._faults and not run.results:
            answer = self._faults.pop(0)
        else:
            number = len(results_in(run.text)) + len(run.results)
            answer = self._turns[min(number, len(self._turns) - 1)]
        return answer(run.text) if callable(answer) else answer


def _spoken(told: Told) -> list[Step]:
    """An answer without calls, and its end."""
    return [*told.steps, *([sdk.step_completed(), *sdk.finish()] if told.ends else [])]
