"""What the fuzzer and the generators found, each as the smallest input that shows it; a row stays for good."""

import pytest

from pipeline.machine.answer import Markup
from pipeline.machine.tools.inventory import ToolPolicy, Unknown
from tests.machine.forms import Exam, Tally
from tests.machine.notation import CALLS, STOP, B, Case, E, K, S, T, b, call, case, e
from tests.machine.transcript import settled

_NOTED = ("notice unknown_tool", "notice marker_kept")
_OPEN = f"{b}Write{S}content\nx\n"

FOUND: tuple[Case, ...] = (
    case(39, "no empty piece of text leaves", f"{b}e{S}{E}", *_NOTED, f"text {b}e{S}{E}", STOP),
    case(
        38,
        "a call in the thinking that comes in pieces while a call of the text is open",
        [T(_OPEN), K(f"{b}Read{S}path\n"), K(f"a\n{e}"), T(e)],
        'call Write {"content":"x"}',
        "notice call_in_thinking",
        'call Read {"path":"a"}',
        CALLS,
    ),
    case(
        38,
        "thinking that waits for an open call leaves before what follows the call",
        [T(_OPEN), K("hm"), T(f"{e}so")],
        'call Write {"content":"x"}',
        "think hm",
        "text so",
        CALLS,
    ),
    case(
        30,
        "a key that begins with punctuation is data however it is cut",
        call("Write", content=f"a\n{S}_path\nb"),
        f'call Write {{"content":"a\\n{S}_path\\nb"}}',
        "notice marker_kept",
        CALLS,
    ),
    case(
        20,
        "a value over the limit fails however its call is cut",
        f'{b}Write{S}{{"mode":[1,2,3,4,5]}}{e}',
        "open Write ",
        "failed tool_call_too_large",
        policy=ToolPolicy(max_argument_bytes=8),
    ),
    case(
        46,
        "another dialect's marker means nothing in a value, however it is cut",
        f"{b}Write{S}content [",
        'open Write {"content":"[',
        "notice call_cut",
        "failed tool_call_cut",
        markup=Markup(dialects=("bracket",)),
    ),
    case(
        39,
        "of a tool without a schema, a key that begins like an earlier one is a key however it is cut",
        f"{b}Nope{S}t\n{S}tg\n{e}",
        "notice unknown_tool",
        'call Nope {"t":"","tg":""}',
        CALLS,
        policy=ToolPolicy(unknown=Unknown.PASS),
    ),
    case(
        38,
        "a call that waited is not cut into by what is left of the other field at the end",
        [T(f"{b}Write{S}{E}"), K(f"{B}{b}\nWrite\n{S}c{e}")],
        "call Write {}",
        *("notice malformed_call", "notice malformed_call", "notice call_repaired", "notice call_in_thinking"),
        "call Write {}",
        *("notice malformed_call", "notice malformed_call", "notice marker_kept"),
        f"text {E}",
        "notice call_repaired",
        CALLS,
    ),
    case(
        39,
        "without a schema a key may begin like one that was given",
        f"{b}e{S}g\n{S}t\n{S}te\n",
        "notice call_without_tools",
        'open e {"g":"","t":"","te":',
        "notice call_cut",
        "failed tool_call_cut",
        tools=(),
        policy=ToolPolicy(without_tools=Unknown.PASS),
    ),
    case(
        39,
        "a call of another dialect that is text is not held, however large its values are",
        [T('[TOOL_CALL]d[ARGS]{"a":' + "1" * 100 + "}x"), K("hm")],
        "notice unknown_tool",
        'text [TOOL_CALL]d[ARGS]{"a":' + "1" * 100 + "}x",
        "think hm",
        STOP,
        policy=ToolPolicy(max_argument_bytes=64),
        markup=Markup(dialects=("bracket",)),
    ),
    case(
        20,
        "what is too large and broken is too large, however it is cut",
        f'{b}Write{S}{{"mode":[1,2,3,4,5}}',
        "open Write ",
        "failed tool_call_too_large",
        policy=ToolPolicy(max_argument_bytes=8),
    ),
    case(
        46,
        "what begins with punctuation is no key that may still come",
        f"{b}Glob{S}*\n{S}_e",
        f'open Glob {{"*":"{S}_e',
        "notice call_cut",
        "failed upstream_stream_cut",
        proper=False,
    ),
    case(
        16,
        "a dropped call is passed over whatever it holds, however it is cut",
        f'{b}Read{e}{b}Read{S}{{"path":[1,2,3,4,5,"{e}"]}}{e}ok',
        "call Read {}",
        "notice parallel_call_dropped",
        "text ok",
        CALLS,
        policy=ToolPolicy(max_argument_bytes=8),
        parallel=False,
    ),
    case(
        16,
        "a dropped call in the inline form",
        f"{b}Read{e}{b}Read(path=a){e}ok",
        "call Read {}",
        "notice parallel_call_dropped",
        "text ok",
        CALLS,
        parallel=False,
    ),
)


@pytest.mark.parametrize("row", FOUND, ids=[row.title for row in FOUND])
def test_it_is_right_in_every_split(row: Case, tally: Tally):
    exam, expected = Exam(row, tally), settled(row.expected)
    for form, batches in exam.forms():
        assert exam.answer(form, batches) == expected, (form, batches)
