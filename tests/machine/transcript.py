"""Events as the lines of a transcript, the form in which answers are compared.

`text …`, `think …`, `call NAME {arguments}`, `open NAME …` for a call that was never completed, `notice code`, `finish reason`, `failed code`.
"""

from collections.abc import Iterable, Sequence
from itertools import count

from pipeline.errors import StreamCut
from pipeline.events import Event, Failed, Finish, Notice, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.machine.answer import AnswerMachine, Markup
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import Tool
from tests.machine.notation import TOOLS

ENDED = Finish()
CUT_OFF = Failed(StreamCut("cut"))


def new_machine(
    tools: Sequence[Tool] = TOOLS, policy: ToolPolicy | None = None, *, markup: Markup | None = None, parallel: bool = True
) -> AnswerMachine:
    """A machine whose calls are numbered from call_0 on."""
    numbers = count()
    return AnswerMachine(new_id=lambda: f"call_{next(numbers)}", tools=tools, policy=policy, markup=markup, parallel=parallel)


def deltas(fields: Iterable[tuple[str, str]]) -> list[UpstreamEvent]:
    """Fields as the upstream's deltas; an empty one is none."""
    return [TextDelta(text) if kind == "T" else ThinkingDelta(text) for kind, text in fields if text]


def lines(events: Iterable[Event]) -> list[str]:
    """Events as the transcript's lines; what may not happen in any stream is an AssertionError."""
    found: list[list[str]] = []  # each line in pieces, so that a long argument in many deltas is joined once
    calls: list[int] = []
    for event in events:
        match event:
            case TextDelta(text) | ThinkingDelta(text):
                assert text, "an empty delta"
                kind = "text" if isinstance(event, TextDelta) else "think"
                if found and found[-1][0] == kind:
                    found[-1].append(text)
                else:
                    found.append([kind, " ", text])
            case ToolCallStart(index, _, name):
                assert index == len(calls), "calls are numbered in order"
                calls.append(len(found))
                found.append(["open", f" {name} "])
            case ToolCallDelta(index, arguments):
                assert arguments, "an empty delta"
                assert found[calls[index]][0] == "open", "arguments behind the call's end"
                assert all(line[0] == "notice" for line in found[calls[index] + 1 :]), "text inside a call"
                found[calls[index]].append(arguments)
            case ToolCallEnd(index):
                assert found[calls[index]][0] == "open", "a call that ends twice"
                found[calls[index]][0] = "call"
            case Notice(code, _):
                found.append(["notice", f" {code}"])
            case Finish(reason, _):
                found.append(["finish", f" {reason}"])
            case Failed(error):
                found.append(["failed", f" {error.code}"])
            case _:
                raise AssertionError(event)
    return ["".join(line) for line in found]


def settled(found: Iterable[str]) -> list[str]:
    """Notices last: under another cut they may come earlier or later inside a call; what they say and how often may not change."""
    merged: list[str] = []
    notices: list[str] = []
    for line in found:
        kind, _, rest = line.partition(" ")
        if kind == "notice":
            notices.append(line)
        elif kind in ("text", "think") and merged and merged[-1].startswith(f"{kind} "):
            merged[-1] += rest
        else:
            merged.append(line)
    return merged + sorted(notices)
