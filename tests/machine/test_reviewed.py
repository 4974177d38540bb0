"""What readers with fresh eyes found: wrong answers that are the same for every cut, so that no fuzzer sees them."""

import time
from collections.abc import Callable

import pytest

from pipeline.events import Notice, TextDelta, ThinkingDelta
from pipeline.machine.answer import Markup
from pipeline.machine.forms.marked_arguments import read_marked_arguments
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import Tool
from tests.machine.forms import Exam, Tally
from tests.machine.notation import CALLS, STOP, TOOLS, B, Case, E, K, S, T, b, case, e, tool
from tests.machine.transcript import ENDED, lines, new_machine, settled

BRACKET = Markup(dialects=("bracket", "kimi"))
READ = 'call Read {"path":"a"}'
DISPATCHER = tool("CallDynamicTool", toolName="string")
KIMI = '<|open|>toolscall tool="{}"<|sep|><|open|>argument key="toolName" type="string"<|sep|>Read<|close|>argument<|sep|><|close|>call<|sep|>'

REVIEWED: tuple[Case, ...] = (
    case(
        39,
        "a call inside the data of a call that is text is data",
        '[TOOL_CALL]nope[ARGS]{"a":"x","b":"[TOOL_CALL]Read[ARGS]{}"} tail',
        "notice unknown_tool",
        'text [TOOL_CALL]nope[ARGS]{"a":"x","b":"[TOOL_CALL]Read[ARGS]{}"} tail',
        STOP,
        markup=BRACKET,
    ),
    case(17, "a comma inside a bare command", f"{b}bash(command=echo a, b){e}", 'call bash {"command":"echo a, b"}', CALLS),
    case(17, "quotes inside a bare command", f'{b}bash[command=echo "a, x=b"]{e}', 'call bash {"command":"echo \\"a, x=b\\""}', CALLS),
    case(17, "brackets inside a bare value", f"{b}Write(content=f(a, b), path=x){e}", 'call Write {"content":"f(a, b)","path":"x"}', CALLS),
    case(17, "an array in an inline value", f"{b}todowrite(todos=[1, 2]){e}", 'call todowrite {"todos":[1, 2]}', CALLS),
    case(17, "text behind an inline list", f'{b}bash(command="ls") # list{e}', "open bash ", "failed malformed_tool_call"),
    case(
        38,
        "what waited for an open call leaves before the fault",
        [K(f"{B}{b}\nRead\n{S}path\na"), T("The visible answer.")],
        "notice call_in_thinking",
        'open Read {"path":"a',
        "notice call_cut",
        "text The visible answer.",
        "failed tool_call_cut",
    ),
    case(
        41,
        "an argument that means something and that the tool cannot be told",
        f'{b}{{"name":"shell_command","arguments":{{"command":"rm -rf build","workdir":"/tmp"}}}}{e}',
        "notice tool_renamed",
        'open bash {"command":"rm -rf build"',
        "failed tool_argument_unfit",
    ),
    case(
        41,
        "an argument that the tool cannot be told, and that says nothing",
        f'{b}{{"name":"search_replace","arguments":{{"file_path":"a","old_string":"b","new_string":"c","replace_all":false}}}}{e}',
        "notice tool_renamed",
        'call edit {"filePath":"a","oldString":"b","newString":"c"}',
        "notice argument_dropped",
        CALLS,
    ),
    case(
        41,
        "the same in pairs",
        f"{b}shell_command{S}command\nls\n{S}workdir\n\n{e}",
        "notice tool_renamed",
        'call bash {"command":"ls"}',
        "notice argument_dropped",
        CALLS,
    ),
    case(
        16,
        "a broken call that is dropped fails nothing",
        f'{B}{b}Read{S}{{"path":"a"}}{e}{b}Read{S}{{"path":}}{e}{E}ok',
        READ,
        "notice parallel_call_dropped",
        "text ok",
        CALLS,
        parallel=False,
    ),
    case(18, "arguments beside the function", f'{b}{{"function":{{"name":"Read"}},"arguments":{{"path":"a"}}}}{e}', READ, CALLS),
    case(19, "arguments under no known name", f'{b}{{"name":"Read","path":"a"}}{e}', "failed malformed_tool_call"),
    case(6, "the answer's token behind a call", f"{B}{b}Read{e}{E}\n<|final|>Visible", "call Read {}", "text Visible", CALLS),
    case(46, "a head that ends behind its separator", f"{B}{b}\nRead\n{S}", "notice call_cut", "failed tool_call_cut"),
    case(17, "an id before an object", '[TOOL_CALL]Read[CALL_ID]abc {"path":"a"}', READ, CALLS, markup=BRACKET),
    case(
        17,
        "an offered dispatcher is meant itself",
        KIMI.format("CallDynamicTool"),
        'call CallDynamicTool {"toolName":"Read"}',
        CALLS,
        tools=(DISPATCHER,),
        markup=BRACKET,
    ),
    case(
        20,
        "an offered tool called function",
        f'{b}function{S}path\n{{"a":1}}\n{e}',
        'call function {"path":"{\\"a\\":1}"}',
        CALLS,
        tools=(tool("function", path="string"),),
    ),
    case(25, "text is not repaired", f"{b}nope\n{b}Read{e}", "notice unknown_tool", f"text {b}nope\n", "call Read {}", CALLS),
)


@pytest.mark.parametrize("row", REVIEWED, ids=[row.title for row in REVIEWED])
def test_it_is_right_in_every_split(row: Case, tally: Tally):
    exam, expected = Exam(row, tally), settled(row.expected)
    for form, batches in exam.forms():
        assert exam.answer(form, batches) == expected, (form, batches)


def answered(text: str, policy: ToolPolicy | None = None, tools: tuple[Tool, ...] = TOOLS) -> list[str]:
    machine = new_machine(tools, policy)
    return lines([*machine.feed([TextDelta(text)]), *machine.feed([ENDED])])


def members(count: int) -> str:
    return f"{b}Read{S}{{" + ",".join(f'"k{number}":1' for number in range(count)) + f"}}{e}"


@pytest.mark.parametrize(
    ("work", "count"),
    [
        (lambda count: answered(members(count)), 1_000),
        (lambda count: answered(f"{b}Read(" + ",".join(f"k{number}=1" for number in range(count)) + f"){e}"), 1_000),
        (lambda count: read_marked_arguments('<|open|>argument key="k" type="string"<|sep|>v<|close|>argument<|sep|>' * count), 2_000),
        (lambda count: answered("".join(f"{b}write_file{S}target_file\na\n{e}" for _ in range(count))), 100),
    ],
    ids=["members", "inline arguments", "marked arguments", "aliased calls"],
)
def test_many_arguments_take_time_in_proportion(work: Callable[[int], object], count: int):
    def seconds(times: int) -> float:
        started = time.perf_counter()
        work(times)
        return time.perf_counter() - started

    small, large = min(seconds(count) for _ in range(3)), seconds(8 * count)
    assert large < 10 * 8 * small + 0.2, f"{small:.3f} s, then {large:.3f} s for eight times as much"


def test_more_arguments_than_can_be_meant_fail():
    assert answered(members(10_001))[-1] == "failed tool_call_too_large"


def test_what_waits_is_bounded():
    machine = new_machine(policy=ToolPolicy(max_argument_bytes=1000))
    machine.feed([TextDelta(f"{b}\nRead\n{S}path\nx")])

    found = lines(event for _ in range(200) for event in machine.feed([ThinkingDelta("thinking ")]))
    assert found == ["failed tool_call_too_large"]


def test_a_name_that_the_model_made_up_is_repeated_in_part():
    text = f'{b}{{"name":"{"secret " * 1000}","arguments":{{}}}}{e}'
    machine = new_machine()
    notices = [event for event in machine.feed([TextDelta(text)]) if isinstance(event, Notice)]
    assert len(notices) == 1
    assert len(str(notices[0])) < 300
