"""The other dialects of tool calls: each row as its example says, under every cut, and nothing of them where they are not switched on."""

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import Event, Notice, TextDelta, ThinkingDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.machine.answer import AnswerMachine, Markup, taught
from pipeline.machine.forms.dialects import DIALECTS
from pipeline.machine.tools.inventory import Malformed, ToolPolicy, Unknown
from tests.machine.notation import TOOLS, B, E, S, b, e
from tests.machine.transcript import CUT_OFF, ENDED, lines, settled
from tests.support.splits import cut, splits

ALL = tuple(DIALECTS)
READ = 'call Read {"path":"a"}'
STOP, CALLS = "finish stop", "finish tool_calls"


def run(
    pieces: Sequence[str], *, dialects: tuple[str, ...] = ALL, end: UpstreamEvent = ENDED, trigger: str = "", hold: int = 0, **policy
) -> list[Event]:
    numbers = count()
    machine = AnswerMachine(
        new_id=lambda: f"call_{next(numbers)}",
        tools=TOOLS,
        policy=ToolPolicy(**policy),
        markup=Markup(dialects=dialects, trigger=trigger, hidden_prefix_hold_chars=hold),
    )
    given: list[UpstreamEvent] = [TextDelta(piece) for piece in pieces if piece]
    return [event for one in [*given, end] for event in machine.feed([one])]


def said(text: str, **options) -> list[str]:
    """The transcript, which is the same for every cut."""
    whole = lines(run([text], **options))
    for pieces in splits(text, seeds=20):
        assert settled(lines(run(pieces, **options))) == settled(whole), pieces
    return whole


@pytest.mark.parametrize("malformed", [Malformed.RECOVER, Malformed.TEXT])
@pytest.mark.parametrize("name", ALL)
def test_each_example_is_a_call(name, malformed):
    text = f"On it.\n{DIALECTS[name].example}\n\nDone."
    assert said(text, malformed=malformed) == ["text On it.\n", READ, "text \n\nDone.", CALLS]
    assert said(DIALECTS[name].example + "\n\nDone.") == [READ, "text Done.", CALLS]


@pytest.mark.parametrize("name", ALL)
def test_a_dialect_that_is_not_switched_on_is_text(name):
    text = f"On it.\n{DIALECTS[name].example}\n"
    assert said(text, dialects=tuple(other for other in ALL if other != name)) == [f"text {text}", STOP]
    assert said(text, dialects=()) == [f"text {text}", STOP]


@pytest.mark.parametrize("name", ALL)
def test_a_call_that_the_stream_cuts_is_not_completed(name):
    text = DIALECTS[name].example
    for at in range(len(text)):
        events = run([text[:at]], end=CUT_OFF)
        assert lines(events)[-1].startswith("failed ")
        if not any(isinstance(event, ToolCallStart) for event in events):
            assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text[:at]
        # the closing mark may be missing where the row does not ask for one
        assert DIALECTS[name].must_close is False or not any(isinstance(event, ToolCallEnd) for event in events)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[TOOL_CALLS]Read[CALL_ID]abc123[ARGS]{"path": "a"}', [READ, CALLS]),
        ('[TOOL_CALL]Read {"path": "a"}[TOOL_CALL]Read[ARGS]{"path": "a"}', [READ, READ, CALLS]),
        ('[TOOL_CALL]Read[ARGS]{"path": "[TOOL_CALL]x[ARGS]{}"}', ['call Read {"path":"[TOOL_CALL]x[ARGS]{}"}', CALLS]),
        ("[TOOL_CALL] is what it writes", ["notice malformed_call", "text [TOOL_CALL] is what it writes", STOP]),
        ('[TOOL_CALL]Read[ARGS]{"path": oops}', ["open Read ", "failed malformed_tool_call"]),
        ('[TOOL_CALL]Nope[ARGS]{"path": "a"} x', ["notice unknown_tool", 'text [TOOL_CALL]Nope[ARGS]{"path": "a"} x', STOP]),
        ('```json action\n{"tool": "Read", "parameters": {"path": "```"}}\n```\nok', ['call Read {"path":"```"}', "text ok", CALLS]),
        ('```json action\n{"tool": "Read"} and', ["notice malformed_call", 'text ```json action\n{"tool": "Read"} and', STOP]),
        ('```json action\n{"parameters": {}}\n```', ["notice malformed_call", 'text ```json action\n{"parameters": {}}\n```', STOP]),
        ('```json\n{"a": 1}\n```', ['text ```json\n{"a": 1}\n```', STOP]),
        ('<invoke name="Read">{"path": "a"} no end', ['open Read {"path":"a"', "failed malformed_tool_call"]),
        ('<invoke name="Write">{"mode": "7", "content": 12}</invoke>', ['call Write {"mode":7,"content":"12"}', CALLS]),
        (
            '<|open|>toolscall tool="Write"<|sep|><|open|>argument key="content" type="string"<|sep|>a<|close|>call<|sep|>\n<|close|>argument<|sep|>'
            '<|open|>argument key="mode" type="number"<|sep|>12345678901234567890<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
            ['call Write {"content":"a<|close|>call<|sep|>\\n","mode":12345678901234567890}', CALLS],
        ),
        (
            '<|open|>tools<|sep|><|open|>call tool="CallDynamicTool" index="1"<|sep|><|open|>argument key="toolName" type="string"<|sep|>Read'
            '<|close|>argument<|sep|><|open|>argument key="arguments" type="object"<|sep|>{"path": "a"}<|close|>argument<|sep|><|close|>call<|sep|>'
            '<|open|>call tool="Read"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
            [READ, "call Read {}", CALLS],
        ),
        ('<|open|>toolscall tool="Read"<|sep|>stray<|close|>call<|sep|>', None),
    ],
)
def test_variants(text, expected):
    found = said(text)
    if expected is None:
        # a body that no argument mark opens never ends as a call: it is given back whole when the stream ends
        assert found == ["notice malformed_call", f"text {text}", STOP]
    else:
        assert found == expected


def test_a_trigger_parts_a_call_from_an_example():
    example = DIALECTS["invoke"].example
    assert said(f"Like {example}, so:\n[[go]]{example}", trigger="[[go]]") == [f"text Like {example}, so:\n", READ, CALLS]


@pytest.mark.parametrize(
    ("before", "between", "behind", "expected"),
    [
        ("I call", "", " and wait", ["text I call", READ, READ, "text  and wait", CALLS]),
        ("I call ", "\n", "\n", ["text I call ", READ, READ, CALLS]),
        ("I call", "\n", "", ["text I call", READ, READ, CALLS]),
        ("I call", "\n", "now", ["text I call", READ, READ, "text \nnow", CALLS]),
        ("", "\n", "\nDone", [READ, READ, "text Done", CALLS]),
        ("On", " " * 30, " " * 30 + "it", ["text On", READ, READ, f"text {' ' * 16}it", CALLS]),
        ("On", " so ", " it", ["text On", READ, "text  so ", READ, "text  it", CALLS]),
    ],
)
def test_words_on_both_sides_of_calls_stay_two_words(before, between, behind, expected):
    example = DIALECTS["invoke"].example
    assert said(f"{before}{example}{between}{example}{behind}") == expected


def test_white_space_goes_with_a_call_in_the_thinking():
    machine = AnswerMachine(new_id=lambda: "call_1", tools=TOOLS, markup=taught(Markup(), "[[go]]"))
    events = machine.feed([ThinkingDelta(f"so [[go]]{DIALECTS['invoke'].example} then"), TextDelta("x"), ENDED])
    assert [event.text for event in events if isinstance(event, ThinkingDelta)] == ["so ", "then"]


TOKENS = f"</think>a <|final|>b </think> {B}{b}\nRead\n{S}path\na\n{e}{E}<|final|>"


@pytest.mark.parametrize("field", [TextDelta, ThinkingDelta])
@pytest.mark.parametrize("trigger", ["", "@@0123456789ab@@"])
def test_where_another_prompt_was_sent_composer_s_markers_are_text(trigger, field):
    for pieces in splits(TOKENS, seeds=5):
        machine = AnswerMachine(new_id=lambda: "call_1", tools=TOOLS, markup=taught(Markup(hidden_prefix_hold_chars=50), trigger))
        events = [event for piece in [*map(field, filter(None, pieces)), ENDED] for event in machine.feed([piece])]
        assert {type(event) for event in events[:-1]} <= {field, Notice}
        assert "".join(event.text for event in events if isinstance(event, field)) == TOKENS
        assert [event.code for event in events if isinstance(event, Notice)] == ["empty_answer"] * (field is ThinkingDelta)


def test_what_the_operator_switched_on_is_read_there_too():
    text = DIALECTS["bracket"].example
    machine = AnswerMachine(new_id=lambda: "call_0", tools=TOOLS, markup=taught(Markup(dialects=("bracket",)), "@@0123456789ab@@"))
    assert lines(machine.feed([TextDelta(text), ENDED])) == [READ, CALLS]


@pytest.mark.parametrize("space", ["", " ", "\n", "\r\n  ", " " * 16])
def test_white_space_may_stand_behind_the_trigger(space):
    example = DIALECTS["invoke"].example
    assert said(f"So:\n[[go]]{space}{example}", trigger="[[go]]") == ["text So:\n", READ, CALLS]


@pytest.mark.parametrize(
    "text",
    [
        f"[[go]]{' ' * 17}{DIALECTS['invoke'].example}",
        f"[[go]] so {DIALECTS['invoke'].example}",
        f"[[go] {DIALECTS['invoke'].example}",
        "[[go]] <invoke nam",
        "[[go]]  ",
        "[[[[[[go",
        "[[go]][[go]]<invoke",
    ],
)
def test_what_only_begins_like_a_trigger_is_text(text):
    assert said(text, trigger="[[go]]") == [f"text {text}", STOP]


def test_a_trigger_behind_half_of_itself():
    example = DIALECTS["invoke"].example
    assert said(f"[[[go]]{example}[[g[[go]]\n{example}", trigger="[[go]]") == ["text [", READ, "text [[g", READ, CALLS]


def test_what_is_held_for_a_trigger_is_bounded():
    machine = AnswerMachine(new_id=lambda: "call_1", tools=TOOLS, markup=taught(Markup(), "@@0123456789ab@@"))
    worst = sent = 0
    text = f"x@@0123456789ab@@{' ' * 16}<invoke name! @@@@ -1,2 @@012 " * 3 + "."
    for arrived, character in enumerate(text, start=1):
        sent += sum(len(event.text) for event in machine.feed([TextDelta(character)]) if isinstance(event, TextDelta))
        worst = max(worst, arrived - sent)
    assert sent == len(text)
    assert 0 < worst <= len("@@0123456789ab@@") + 16 + len('<invoke name="')


def test_a_trigger_of_its_own_needs_nothing_compiled(monkeypatch):
    AnswerMachine(new_id=lambda: "call_1", markup=taught(Markup(), "@@0123456789ab@@"))
    monkeypatch.setattr("re.compile", None)
    for number in range(100):
        AnswerMachine(new_id=lambda: "call_1", markup=taught(Markup(), f"@@{number:012}@@"))


def test_composer_s_own_markers_stay_what_they_are():
    assert said(f"{B}{b}\nRead\n{S}path\na\n{e}{E}") == [READ, CALLS]


def test_an_unknown_tool_may_pass_or_fail():
    text = '[TOOL_CALL]Nope[ARGS]{"x": 1}'
    assert said(text, unknown=Unknown.PASS) == ["notice unknown_tool", 'call Nope {"x":1}', CALLS]
    assert said(text, unknown=Unknown.ERROR) == ["failed unknown_tool"]


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (0, ["text let me see <|final|>Visible", STOP]),
        (10, ["text let me see <|final|>Visible", STOP]),
        (100, ["notice hidden_prefix_dropped", "text Visible", STOP]),
    ],
)
def test_a_hidden_prefix(hold, expected):
    assert said("let me see <|final|>Visible", hold=hold) == expected


@pytest.mark.parametrize("text", ["short", "a </think> b", f"a {B}{b}\nRead\n{S}path\na\n{e}{E}b <|final|> c"])
def test_a_prefix_that_was_none_is_passed_on(text):
    assert settled(said(text, hold=200)) == settled(said(text))


FRAGMENTS = st.sampled_from(
    [
        *(part for row in DIALECTS.values() for part in (*row.openings, row.closing, row.example)),
        *(
            B,
            b,
            S,
            e,
            E,
            "<|final|>",
            "Read",
            '"',
            "{",
            "}",
            "[ARGS]",
            "<|sep|>",
            "<|close|>call<|sep|>",
            "<|close|>argument<|sep|>",
            "\\",
            "\n",
            " ",
            ">",
            "x",
        ),
    ]
)


@settings(max_examples=400)
@given(st.lists(FRAGMENTS, max_size=14).map("".join), st.lists(st.integers(0, 500), max_size=10), st.sampled_from(list(Malformed)), st.booleans())
def test_one_answer_for_every_cut(text, edges, malformed, proper):
    end = ENDED if proper else CUT_OFF
    assert settled(lines(run(cut(text, edges), malformed=malformed, end=end))) == settled(lines(run([text], malformed=malformed, end=end)))
