"""The generated places of docs/tool-calls.md: tables that are printed from the program's own tables, and results that come from running it.

Nothing here states what the machine does. Inputs are rows of the case table or of `tool_calls_examples`; each is run, and what came of it is what
stands in the document.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from pipeline.events import Event, Finish, Notice, TextDelta, ToolCallDelta, ToolCallStart
from pipeline.machine import thinking, toolcalls
from pipeline.machine.answer import AnswerMachine, Markup
from pipeline.machine.arguments import MAX_ARGUMENTS
from pipeline.machine.forms import dialect_calls, heads
from pipeline.machine.forms.dialects import DIALECTS
from pipeline.machine.markers import LONGEST, MAX_SPACE, SPELLINGS, Kind
from pipeline.machine.tools.aliases import alias_table_markdown
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.machine.values import json_object
from pipeline.notices import NOTICES
from server import upstream_settings
from server.config_schema import description, expected
from server.problems import format_value
from tests.machine.cases import CASES
from tests.machine.forms import Exam, Tally
from tests.machine.notation import LETTERS, TOOLS, Case
from tests.machine.transcript import ENDED, deltas, lines, new_machine, settled
from tests.support import tool_calls_examples as examples
from tests.support.markdown import code, diagram, table
from tests.support.notice_codes import ROOT, codes_of_rooms

# what each marker is for; its spellings come from the grammar
MEANINGS = {
    Kind.CALLS_BEGIN: "opens a block of calls",
    Kind.CALLS_END: "closes the block",
    Kind.CALL_BEGIN: "opens a call, in a block or bare",
    Kind.CALL_END: "closes the call",
    Kind.SEP: "stands in front of each argument's key",
    Kind.FINAL: "the visible answer begins",
    Kind.FINAL_END: "closes the one before",
    Kind.THINK_END: "the thinking is over, the visible answer begins",
}

# the machines whose states are drawn, from the outside in
MACHINES: dict[str, Callable[[], str]] = {
    "A field, text or thinking": partial(diagram, thinking.TRANSITIONS, thinking.State.PROSE),
    "A call in Composer's markers": partial(diagram, toolcalls.TRANSITIONS, toolcalls.State.HEAD),
    "A call in another dialect": partial(diagram, dialect_calls.TRANSITIONS, dialect_calls.State.HEAD),
    "A JSON object inside a call": partial(diagram, json_object.TRANSITIONS, json_object.State.START),
}

NOTICE = "notice "


def answer(row: Case) -> list[str]:
    """What comes of a row, in the lines of a transcript."""
    exam = Exam(row, Tally())
    _, batches = next(exam.forms())
    return exam.transcript(batches)


def answers(text: str, markup: Markup) -> list[str]:
    """What comes of a text from an upstream whose answers are marked up otherwise."""
    machine = AnswerMachine(new_id=lambda: "call_0", tools=TOOLS, markup=markup)
    return lines(event for given in (TextDelta(text), ENDED) for event in machine.feed([given]))


def outcome(found: Sequence[str]) -> tuple[str, str]:
    """The lines as two cells: what the client gets, and the notices."""
    whole = settled(found)
    shown = Case(number=0, title="", fields=(), expected=tuple(line for line in whole if not line.startswith(NOTICE)))
    notices = dict.fromkeys(line.removeprefix(NOTICE) for line in whole if line.startswith(NOTICE))
    return code(shown.outcome) if shown.outcome else "nothing", ", ".join(map(code, notices))


# the parts of the case table, and the last number of each
PARTS = {
    "Text and thinking": 13,
    "Calls and their forms": 23,
    "What is missing, and what stands astray": 28,
    "Values": 37,
    "Where calls stand, and tools that were not offered": 39,
    "Names of other clients": 43,
    "Long, cut in characters, and cut off": 46,
}


def cases() -> str:
    """The case table, in parts."""
    parts: list[str] = []
    first = 0
    for title, last in PARTS.items():
        rows = [row for row in CASES if first < row.number <= last]
        cells = [[str(row.number), row.title.replace("<", "&lt;"), code(row.shown), *outcome(answer(row))] for row in rows]
        parts.append(f"### {title}\n\n{table(['#', 'case', 'the model writes', 'the client gets', 'notices'], cells)}")
        first = last
    return "\n\n".join(parts)


def runs(rows: Iterable[Case]) -> str:
    return table(["the model writes", "the client gets", "notices"], [[code(row.shown), *outcome(answer(row))] for row in rows])


def stream() -> str:
    """The first example, read by read."""
    machine = new_machine(examples.STREAM_TOOLS)
    reads = [(code(msgspec.json.encode(piece).decode()), machine.feed(deltas([("T", piece)]))) for piece in examples.STREAM]
    reads.append(("the proper end", machine.feed([ENDED])))
    return table(["the upstream sends", "leaves at once"], [[sent, "<br>".join(map(said, events))] for sent, events in reads])


def said(event: Event) -> str:
    """An event in its shortest words."""
    match event:
        case TextDelta(text):
            what = msgspec.json.encode(text).decode()
        case ToolCallStart(_, _, what):
            pass
        case ToolCallDelta(_, what):
            pass
        case Notice(what):
            pass
        case Finish(what):
            pass
        case _:
            what = ""
    return f"{type(event).__name__} {code(what) if what else ''}".strip()


def spellings() -> str:
    rows: list[list[str]] = []
    for kind, word in SPELLINGS.items():
        plain = "</think>" if word is None else f"<|{word}|>"
        wide = "–" if word is None else code(plain.replace("|", "｜").replace("_", "▁"))
        rows.append([LETTERS.get(plain, ""), code(plain), wide, MEANINGS[kind]])
    return table(["", "ASCII", "full-width", "meaning"], rows)


def forms() -> str:
    return table(
        ["form", "the model writes", "the client gets"], [[name, code(row.shown), outcome(answer(row))[0]] for name, row in examples.FORMS.items()]
    )


def dialects() -> str:
    """Each dialect with its example, and what comes of that where the dialect is on."""
    rows: list[list[str]] = []
    for row in DIALECTS.values():
        found = answers(row.example, Markup(dialects=(row.name,)))
        source = f"[{row.source.removeprefix('https://github.com/')}]({row.source})" if "://" in row.source else row.source
        rows.append([code(row.name), code(row.example.replace("\n", "\\n")), outcome(found)[0], source])
    return table(["`tools.dialects`", "the model writes", "the client gets", "source"], rows)


def hidden_prefix() -> str:
    held = Markup(hidden_prefix_hold_chars=examples.HIDDEN_CHARS)
    rows = [[code(case.shown), *outcome(answers(str(case.fields[0].data), held))] for case in examples.HIDDEN]
    return table(["the model writes", "the client gets", "notices"], rows)


def states() -> str:
    return "\n\n".join(f"**{title}**\n\n{drawn()}" for title, drawn in MACHINES.items())


def limits() -> str:
    rows = [
        ["white space inside a marker, and behind one where a rule looks ahead", str(MAX_SPACE), "it is no marker; the rule says no"],
        ["a marker, white space included", str(LONGEST), "the most that prose is ever held back"],
        ["the head of a call: its name and what says which form follows", str(heads.MAX_HEAD_CHARS), "it is text"],
        [
            "a key, a value that is no string, or a body that is read whole",
            f"{ToolPolicy().max_argument_bytes:,}",
            "the answer fails; `tools.max_argument_bytes`",
        ],
        ["what the other field says while a call is open", f"{ToolPolicy().max_argument_bytes:,}", "the answer fails; `tools.max_argument_bytes`"],
        ["the arguments of one call", f"{MAX_ARGUMENTS:,} arguments", "the answer fails"],
    ]
    return table(["what", "characters at most", "beyond it"], rows)


def policies() -> str:
    fields = msgspec.structs.fields(upstream_settings.ToolPolicy)
    rows = [
        [code(f"tools.{field.encode_name}"), expected(field.type), code(format_value(field.default)), description(field.type)] for field in fields
    ]
    return table(["setting", "value", "default", "what it is about"], rows)


def policies_at_work() -> str:
    rows = [
        [code(f"tools.{name} = {format_value(str(choice))}"), code(row.shown), *outcome(answer(row))]
        for name, choices in examples.POLICIES.items()
        for choice, row in choices.items()
    ]
    return table(["setting", "the model writes", "the client gets", "notices"], rows)


def notices() -> str:
    """The machines' notices, and then everyone else's."""
    rooms = codes_of_rooms()
    for each in codes_of_rooms(ROOT / "server"):
        rooms.setdefault(each, set()).add("server")
    mine = sorted(code_ for code_ in NOTICES if "machine" in rooms[code_])
    others = sorted(code_ for code_ in NOTICES if "machine" not in rooms[code_])
    return "\n\n".join(
        [
            table(["notice", "what happened"], [[code(each), NOTICES[each]] for each in mine]),
            "The other stages say these:",
            table(["notice", "from", "what happened"], [[code(each), ", ".join(sorted(rooms[each])), NOTICES[each]] for each in others]),
        ]
    )


def native() -> str:
    machine = new_machine()
    found = lines(event for given in [*examples.NATIVE, ENDED] for event in machine.feed([given]))
    return table(["the upstream sends", "the client gets", "notices"], [['`T "one "`, a native call of `nope`, `T "two"`', *outcome(found)]])


def compared() -> str:
    rows = [[str(row.number), code(row.shown), outcome(answer(row))[0], theirs] for row, theirs in examples.COMPARED]
    return table(["case", "the model writes", "Penstock", examples.COMPARED_WITH], rows)


def compared_splits() -> str:
    rows: list[list[str]] = []
    for spelling, (text, theirs) in examples.COMPARED_SPLITS.items():
        whole = _merged([text])
        ours = sum(_merged([text[:at], text[at:]]) != whole for at in range(1, len(text)))
        rows.append([spelling, str(len(text) - 1), str(ours), str(theirs)])
    return table(["the stream", "two-way splits", "change the answer: Penstock", f"change the answer: {examples.COMPARED_WITH}"], rows)


def _merged(pieces: Sequence[str]) -> list[str]:
    machine = new_machine()
    return lines(event for given in [*deltas(("T", piece) for piece in pieces), ENDED] for event in machine.feed([given]))


REGIONS: dict[str, Callable[[], str]] = {
    "stream": stream,
    "spellings": spellings,
    "forms": forms,
    "limits": limits,
    "states": states,
    "cases": cases,
    "policies": policies,
    "policies at work": policies_at_work,
    "notices": notices,
    "aliases": alias_table_markdown,
    "dialects": dialects,
    "hidden prefix": hidden_prefix,
    "native": native,
    "compared": compared,
    "compared splits": compared_splits,
    **{f"decision: {name}": partial(runs, rows) for name, rows in examples.DECISIONS.items()},
}
