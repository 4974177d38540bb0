"""What the fuzzer feeds: one answer as fields, how its machine is set up, and the pool of good answers from which new ones are bred.

The pool holds the case table, the values with structural sequences, the recorded streams of the fixtures, examples of the other dialects, and
generated conversations. An input is a plain value that can be written to a file and read again.
"""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from random import Random

import hypothesis
import msgspec
from hypothesis import HealthCheck, given, settings

from pipeline.cases import find_cases, load_case, shipped
from pipeline.events import TextDelta, ThinkingDelta
from pipeline.machine.answer import AnswerMachine, Markup
from pipeline.machine.forms.dialects import DIALECTS
from pipeline.machine.tools.inventory import Malformed, ToolPolicy, Unknown
from pipeline.request import Tool
from pipeline.wire.composer import ComposerDecoder
from tests.machine import notation
from tests.machine.cases import CASES
from tests.machine.structural import STRUCTURAL
from tests.support import call_spellings
from tests.support.conversations import Answer, answers

MAX_CHARS = 3_000
GENERATED = 60
_ODD_KEYS = {"a key": "string", "xml:lang": "string", "xml": "string", "x=y": "integer", "path": "string"}
TOOL_SETS: dict[str, tuple[Tool, ...]] = {
    "table": notation.TOOLS,
    "typed": call_spellings.TOOLS,
    "odd": (notation.tool("Write", **_ODD_KEYS), Tool("open"), notation.tool("x y", **{"a b": "string"})),
    "client": (notation.tool("write", filePath="string", content="string"), notation.tool("bash", command="string")),
    "none": (),
}
TRIGGER = "[[go]]"


class Setup(msgspec.Struct, frozen=True):
    """How the machine of an input is made: every choice that an operator or a client has."""

    tools: str = "table"
    policy: ToolPolicy = ToolPolicy()
    markup: Markup = Markup()
    parallel: bool = True

    def machine(self, *, first_id: int = 0) -> AnswerMachine:
        """A fresh machine."""
        ids = iter(range(first_id, 1 << 30))
        return AnswerMachine(
            new_id=lambda: f"call_{next(ids)}", tools=TOOL_SETS[self.tools], policy=self.policy, markup=self.markup, parallel=self.parallel
        )


class Input(msgspec.Struct, frozen=True):
    """One answer: its fields, T text and K thinking, and whether its stream ends properly."""

    fields: tuple[tuple[str, str], ...]
    proper: bool = True
    setup: Setup = Setup()

    @property
    def size(self) -> int:
        """Characters of all fields."""
        return sum(len(text) for _, text in self.fields)


def random_setup(chance: Random) -> Setup:
    """Mostly the defaults, now and then anything else."""

    def pick(default, *others):
        return default if chance.random() < 0.7 else chance.choice(others)

    return Setup(
        tools=pick("table", *TOOL_SETS),
        policy=ToolPolicy(
            unknown=pick(Unknown.TEXT, *Unknown),
            without_tools=pick(Unknown.TEXT, *Unknown),
            malformed=pick(Malformed.RECOVER, *Malformed),
            max_argument_bytes=pick(16 * 1024 * 1024, 64, 1024),
        ),
        markup=Markup(
            dialects=pick((), tuple(DIALECTS), (chance.choice(list(DIALECTS)),)),
            trigger=pick("", TRIGGER),
            hidden_prefix_hold_chars=pick(0, 1, 40),
            markers=pick(True, False),
        ),
        parallel=pick(True, False),
    )


@lru_cache(maxsize=4)
def pool(seed: int) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The fields of every good answer."""
    found: list[tuple[tuple[str, str], ...]] = [
        tuple((kind, data if isinstance(data, str) else data.decode(errors="ignore")) for kind, data in row.fields)
        for row in (*CASES, *STRUCTURAL)
        if row.size <= MAX_CHARS
    ]
    found += [(("T", f"Now: {dialect.example} done"),) for dialect in DIALECTS.values()]
    found += [(("T", f"Now: {TRIGGER if dialect.takes_trigger else ''}{dialect.example}"),) for dialect in DIALECTS.values()]
    found += _recorded()
    found += [tuple(answer.fields) for answer in _generated(seed)]
    return tuple(fields for fields in found if sum(len(text) for _, text in fields) <= MAX_CHARS)


def _recorded() -> Iterator[tuple[tuple[str, str], ...]]:
    for path in find_cases(shipped()):
        case = load_case(path)
        if case.meta.upstream == "composer":
            events = ComposerDecoder().feed(case.stream)
            said = [("T" if isinstance(event, TextDelta) else "K", event.text) for event in events if isinstance(event, TextDelta | ThinkingDelta)]
            if said:
                yield tuple(joined(said))


def joined(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields with neighbours of one kind as one, and without empty ones."""
    found: list[tuple[str, str]] = []
    for kind, text in fields:
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + text)
        elif text:
            found.append((kind, text))
    return found


def _generated(seed: int) -> list[Answer]:
    """Conversations out of the hypothesis generator, the same for the same seed."""
    found: list[Answer] = []

    @hypothesis.seed(seed)
    @settings(max_examples=GENERATED, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(answers())
    def collect(answer: Answer) -> None:
        found.append(answer)

    collect()
    return found


def encode(value: Input) -> str:
    """The input as readable JSON."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=True, indent=1)


def decode(text: str | bytes) -> Input:
    """The input that a file holds; raises msgspec.MsgspecError on anything else."""
    return msgspec.json.decode(text, type=Input)
