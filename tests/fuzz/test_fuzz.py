"""The fuzzer finds planted faults, makes their inputs small, and gives the same inputs for the same seed; and a short run over the machine."""

import io
from collections.abc import Sequence
from random import Random

import pytest

from pipeline.events import Event, Failed, Finish, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from tests.fuzz.__main__ import main
from tests.fuzz.campaign import Campaign
from tests.fuzz.inputs import Input, Setup, decode, encode, pool
from tests.fuzz.judge import judge
from tests.fuzz.minimise import minimised, shortest
from tests.fuzz.mutate import bred


class Echo:
    """A machine that knows no calls: all that comes is passed on. It is right, as far as anything can be said of any input."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def feed(self, batch: Sequence[UpstreamEvent]) -> list[Event]:
        return [event for event in batch if isinstance(event, TextDelta | ThinkingDelta | Finish | Failed)]


class Raises(Echo):
    def feed(self, batch):
        if any(isinstance(event, TextDelta | ThinkingDelta) and "｜>" in event.text for event in batch):
            raise ValueError("a full-width bar")
        return super().feed(batch)


class Forgets(Echo):
    """Loses a bar that comes as a piece of its own."""

    def feed(self, batch):
        return [event for event in super().feed(batch) if not (isinstance(event, TextDelta) and event.text == "|")]


class Loses(Echo):
    """Loses every digit, however the text is cut."""

    def feed(self, batch):
        without = [type(event)(event.text.translate({ord(digit): None for digit in "0123456789"})) for event in batch if hasattr(event, "text")]
        return [event for event in without if event.text] + [event for event in batch if isinstance(event, Finish | Failed)]


class EndsTwice(Echo):
    def feed(self, batch):
        events = super().feed(batch)
        return [*events, *(event for event in events if isinstance(event, Finish))]


class IsPolite(Echo):
    """Completes a call when the stream is cut."""

    def feed(self, batch):
        if not any(isinstance(event, Failed) for event in batch):
            return super().feed(batch)
        return [ToolCallStart(0, "call_0", "Read"), ToolCallDelta(0, "{}"), ToolCallEnd(0), *super().feed(batch)]


class BreaksJson(Echo):
    def feed(self, batch):
        events = super().feed(batch)
        if any(isinstance(event, Finish) for event in events):
            return [ToolCallStart(0, "call_0", "Read"), ToolCallDelta(0, "{"), ToolCallEnd(0), *events]
        return events


def campaign(make, seed: int = 0) -> Campaign:
    return Campaign(seed, make, progress=io.StringIO())


@pytest.mark.parametrize(
    ("make", "kind", "smallest"),
    [
        (Raises, "raised ValueError", 2),
        (Forgets, "split: ", 2),
        (Loses, "lost", 1),
        (EndsTwice, "end", 0),
        (IsPolite, "cut", 1),
        (BreaksJson, "arguments", 0),
    ],
)
def test_a_planted_fault_is_found_and_made_small(make, kind, smallest):
    found = campaign(make).run(seconds=20)
    assert [finding.problem.kind.startswith(kind) for finding in found] == [True], found
    given = found[0].given
    assert given.size <= smallest
    assert given.setup == Setup()
    assert judge(given, Random(0), make, thorough=True) == found[0].problem


def test_a_machine_without_a_fault_has_no_findings():
    subject = campaign(Echo)
    assert subject.run(seconds=20, max_inputs=300) == []
    assert subject.inputs == 300


def test_the_same_seed_gives_the_same_inputs():
    first, second = (bred(pool(3), Random("3:7")) for _ in range(2))
    assert first == second
    assert bred(pool(3), Random("3:8")) != first


def test_an_input_is_read_back_from_its_file(tmp_path, capsys):
    given = bred(pool(0), Random(5))
    assert decode(encode(given)) == given
    (tmp_path / "finding.json").write_text(encode(Input((("T", "Hello"),))), encoding="utf-8")
    assert main(["--repeat", str(tmp_path / "finding.json")]) == 0
    assert "all is well" in capsys.readouterr().out


def test_a_finding_is_written_and_can_be_repeated(tmp_path):
    [finding] = campaign(Raises).run(seconds=20)
    assert decode(finding.write(tmp_path).read_bytes()) == finding.given


def test_the_minimiser_leaves_out_all_that_is_not_needed():
    items = [("T", character) for character in "the needle in the haystack"]
    assert "".join(text for _, text in shortest(items, lambda kept: "needle" in "".join(text for _, text in kept))) == "needle"
    given = Input((("K", "abc"), ("T", "x" * 200 + "needle")), setup=Setup(tools="none", parallel=False))
    smaller = minimised(given, lambda candidate: any("needle" in text for _, text in candidate.fields))
    assert smaller == Input((("T", "needle"),))


def test_a_short_run_finds_nothing():
    subject = campaign(Setup.machine)
    # what is slow is for a run on a quiet machine: here another program's work would be a finding
    assert [finding for finding in subject.run(seconds=30, max_inputs=1_500) if finding.problem.kind != "slow"] == []
