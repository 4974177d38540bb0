"""The loop: breed an input, judge it, and on a problem find the smallest input that has it and write it down."""

import sys
import time
import zlib
from pathlib import Path
from random import Random
from typing import TextIO

import msgspec

from tests.fuzz.inputs import Input, encode, pool
from tests.fuzz.judge import Make, Problem, judge, of_setup
from tests.fuzz.minimise import minimised
from tests.fuzz.mutate import bred

PROGRESS_SECONDS = 10.0


class Finding(msgspec.Struct, frozen=True):
    """A problem, and the smallest input that was found for it."""

    problem: Problem
    given: Input

    def write(self, folder: Path) -> Path:
        """A file from which `--repeat` reads the input again."""
        folder.mkdir(parents=True, exist_ok=True)
        text = encode(self.given)
        path = folder / f"finding-{zlib.crc32(text.encode()):08x}.json"
        path.write_text(text + "\n", encoding="utf-8")
        return path


class Campaign:
    """One run of the fuzzer: the same seed gives the same inputs."""

    def __init__(self, seed: int = 0, make: Make = of_setup, progress: TextIO = sys.stderr) -> None:
        self.inputs = 0
        self.characters = 0
        self.findings: list[Finding] = []
        self._seed = seed
        self._make = make
        self._progress = progress
        self._pool = pool(seed)

    def run(self, seconds: float, max_findings: int = 1, max_inputs: float = float("inf")) -> list[Finding]:
        """Judge inputs until the time is over, or enough of them were judged, or enough different problems were found."""
        started = said = time.monotonic()
        while (now := time.monotonic()) - started < seconds and len(self.findings) < max_findings and self.inputs < max_inputs:
            if now - said >= PROGRESS_SECONDS:
                said = now
                self._say(now - started)
            chance = Random(f"{self._seed}:{self.inputs}")
            given = bred(self._pool, chance)
            self.inputs += 1
            self.characters += given.size
            problem = judge(given, chance, self._make)
            if problem is not None and problem.kind not in {finding.problem.kind for finding in self.findings}:
                self.findings.append(self._smallest(given, problem))
        self._say(time.monotonic() - started)
        return self.findings

    def _smallest(self, given: Input, problem: Problem) -> Finding:
        def same(candidate: Input) -> Problem | None:
            # a slow input is judged by the clock, all others by everything that can be tried
            found = judge(candidate, Random(0), self._make, thorough=problem.kind != "slow")
            return found if found is not None and found.kind == problem.kind else None

        if same(given) is None:
            return Finding(problem, given)
        smallest = minimised(given, lambda candidate: same(candidate) is not None)
        return Finding(same(smallest) or problem, smallest)

    def _say(self, seconds: float) -> None:
        rate = self.inputs / seconds if seconds else 0.0
        print(
            f"{seconds:6.0f} s  {self.inputs:,} inputs  {rate:,.0f} inputs/s  {self.characters:,} characters  {len(self.findings)} findings",
            file=self._progress,
            flush=True,
        )
