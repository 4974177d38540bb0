"""`penstock replay --tools`: calls as the model wrote them beside calls as a client gets them."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec
import pytest

from pipeline.cases import EXPECTED, Case, Meta, load_case, shipped, write_case
from pipeline.parse.tools import read_toolbox
from pipeline.replay_tools import Call, ToolsError, read_case, read_tools
from pipeline.upstream.replayed import Split, parse_split
from pipeline.wire.composer import encode_end, encode_text, encode_thinking
from server.cli import main
from tests.support.composer_scripts import B, E, S, b, block, body, call, e, tool

TEXT = {"type": "string"}
WRITE = tool("write", "", filePath=TEXT, content=TEXT)
BASH = tool("bash", "", command=TEXT)
READ = tool("read", "", filePath=TEXT, limit={"type": "integer"})
EXTRA = '<|tool_call_begin|>{"name":"write_file","arguments":{"target_file":"b","new_contents":"x","extra":1}}<|tool_call_end|>'
ANSWER = "On it. " + block(
    call("write_file", target_file="a.txt", new_contents="1\x1b[2J"),
    call("run_terminal_cmd", cmd="ls", is_background="false"),
    EXTRA,
    call("Read", target_file="b.txt", limit="7"),
    call("delete_file", target_file="c.txt"),
)


def replay(*words: object) -> int:
    return main(["replay", *map(str, words)])


def case_of(folder: Path, answer: str, **fields) -> Path:
    meta = Meta(upstream="composer", surface="chat", source="made for a test", date=date(2026, 11, 20), title="Five calls")
    request = json.dumps(body("Do it.", tool("other", "", x=TEXT), **fields)).encode()
    write_case(Case(folder, b"".join(map(encode_text, [answer[:9], answer[9:]])) + encode_end(), request, meta))
    return folder


@pytest.fixture
def case(tmp_path):
    return case_of(tmp_path / "composer" / "mine", ANSWER)


@pytest.fixture
def tools(tmp_path):
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([WRITE, BASH, READ]))
    return file


def test_each_call_stands_on_both_sides(case, tools, capsys):
    assert replay(case, "--tools", tools, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["cases"]
    assert (found["path"], found["error"], found["failed"], found["names_are_mapped"]) == (str(case), None, None, True)
    sides = [(made["model"], made["client"], [notice["code"] for notice in made["notices"]]) for made in found["calls"]]
    calls = [(model["name"], client and client["name"], json.loads(client["arguments"]) if client else None, codes) for model, client, codes in sides]
    assert calls == [
        ("write_file", "write", {"filePath": "a.txt", "content": "1\x1b[2J"}, ["tool_renamed"]),
        ("run_terminal_cmd", "bash", {"command": "ls"}, ["tool_renamed", "argument_dropped"]),
        ("write_file", "write", {"filePath": "b", "content": "x"}, ["tool_renamed", "argument_dropped"]),
        ("Read", "read", {"filePath": "b.txt", "limit": 7}, []),
        ("delete_file", None, None, ["unknown_tool"]),
    ]
    assert [json.loads(model["arguments"]) for model, client, _ in sides if client] == [
        {"target_file": "a.txt", "new_contents": "1\x1b[2J"},
        {"cmd": "ls", "is_background": "false"},
        {"target_file": "b", "new_contents": "x", "extra": 1},
        {"target_file": "b.txt", "limit": "7"},
    ]
    assert all(call["complete"] for model, client, _ in sides if client for call in (model, client))
    assert sides[-1][0] == {"name": "delete_file", "arguments": None, "complete": False}, "what passes as text is not read"


def test_people_read_columns(case, tools, capsys):
    assert replay(case, "--tools", tools) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines() == [
        "composer/mine: Five calls",
        "  1  write_file   → write",
        '     target_file  → filePath  "a.txt"',
        '     new_contents → content   "1\\u001b[2J"',
        "     tool_renamed: write_file was read as write",
        "  2  run_terminal_cmd → bash",
        '     cmd              → command  "ls"',
        '     is_background    → –        "false"',
        "     tool_renamed: run_terminal_cmd was read as bash",
        "     argument_dropped: bash has no argument is_background; left out",
        "  3  write_file   → write",
        '     target_file  → filePath  "b"',
        '     new_contents → content   "x"',
        "     extra        → –         1",
        "     tool_renamed: write_file was read as write",
        "     argument_dropped: write has no argument extra; left out",
        "  4  Read        → read",
        '     target_file → filePath  "b.txt"',
        '     limit       → limit     "7" → 7',
        "  5  delete_file → passed as text",
        "     unknown_tool: delete_file is not one of the offered tools; passed as text",
        "1 case, 5 calls, 4 as a call to the client",
    ]


FORMS = {
    "a key behind a space": (
        f"{b}Write {S} path /U/x/test {S} content 22 {e}",
        [("Write", {"path": '"/U/x/test"', "content": '"22"'}, {"filePath": "/U/x/test", "content": "22"}, [])],
    ),
    "a key behind other separators": (
        block(f"{b}Write{S}path=/U/x{S}content: 22\n{e}"),
        [("Write", {"path": '"/U/x"', "content": '"22"'}, {"filePath": "/U/x", "content": "22"}, [])],
    ),
    "an end that is missing": (
        f"{B}{b}\nRead\n{S}target_file\na\n{b}\nbash\n{S}cmd\nls\n{e}{E}",
        [("Read", {"target_file": '"a"'}, {"filePath": "a"}, ["call_repaired"]), ("bash", {"cmd": '"ls"'}, {"command": "ls"}, [])],
    ),
    "what is said before the start": (
        block(f"{b}bash\n{S}cmd\nls\n{e}", f'{b}{{"name":"Read","arguments":{{"target_file":"a\\u0041"}},"why":1}}{e}'),
        [("bash", {"cmd": '"ls"'}, {"command": "ls"}, []), ("Read", {"target_file": '"a\\u0041"'}, {"filePath": "aA"}, ["malformed_call"])],
    ),
    "text between calls": (
        block(f"{b}delete_file\n{S}target_file\na\n{e}", f"{b}bash\n{S}cmd\nls\n{e}"),
        [("delete_file", {}, None, ["unknown_tool"]), ("bash", {"cmd": '"ls"'}, {"command": "ls"}, [])],
    ),
    "one argument twice": (
        block(f"{b}bash\n{S}command\nls\n{e}", f'{b}{{"name":"bash","arguments":{{"cmd":"a","command":"b"}}}}{e}'),
        [
            ("bash", {"command": '"ls"'}, {"command": "ls"}, []),
            ("bash", {"cmd": '"a"', "command": '"b"'}, {"command": "a"}, ["argument_repeated"]),
        ],
    ),
}


@pytest.mark.parametrize(("answer", "expected"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("split", ["whole", "bytes"])
async def test_what_the_model_wrote_is_what_this_reading_read(tmp_path, answer, expected, split):
    """The words of a call are those that were understood with these tools, and a Notice stands under the call that it was said of."""
    offered = read_toolbox({"tools": [WRITE, BASH, READ]}).tools
    reading = await read_case(case_of(tmp_path / "composer" / "form", answer), offered, parse_split(split))
    found = [
        (
            pair.model.name,
            dict(argument.model for argument in pair.arguments if argument.model),
            pair.client and json.loads(pair.client.arguments or ""),
            [notice.code for notice in pair.notices],
        )
        for pair in reading.pairs
    ]
    assert [(*made[:3], [code for code in made[3] if code != "tool_renamed"]) for made in found] == expected
    assert reading.notices == ()
    assert reading.failed is None


async def test_a_call_that_ends_the_answer_stands_there_as_it_was_written(tmp_path):
    """A command for another folder, of which the offered shell cannot be told."""
    answer = block(call("bash", command="ls"), call("shell_command", workdir="/tmp", command="rm -r x"))
    reading = await read_case(case_of(tmp_path / "composer" / "folder", answer), read_toolbox({"tools": [BASH]}).tools, Split())
    assert [pair.model for pair in reading.pairs] == [
        Call("bash", '{"command":"ls"}', complete=True),
        Call("shell_command", '{"workdir":"/tmp","command":""', complete=False),
    ]
    assert [pair.client and pair.client.complete for pair in reading.pairs] == [True, False]
    assert reading.failed is not None
    assert reading.failed.code == "tool_argument_unfit"


async def test_a_call_in_the_thinking_has_its_notice_and_prose_has_none(tmp_path):
    path = case_of(tmp_path / "composer" / "thought", "")
    case = load_case(path)
    thought = f"Hm. {b}no call here. {b}bash\n{S}cmd\nls\n{e}"
    write_case(msgspec.structs.replace(case, stream=encode_thinking(thought) + encode_text("Done.") + encode_end()))
    reading = await read_case(path, read_toolbox({"tools": [BASH]}).tools, Split())
    assert [(pair.model.name, [notice.code for notice in pair.notices]) for pair in reading.pairs] == [("bash", ["call_in_thinking"])]
    assert [notice.code for notice in reading.notices] == ["call_in_thinking", "malformed_call"]


def test_the_split_makes_no_difference(case, tools, capsys):
    outputs = []
    for split in ("whole", "bytes", "random:3"):
        assert replay(case, "--tools", tools, "--split", split, "--json") == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1


def test_nothing_is_compared_and_nothing_is_written(case, tools, capsys):
    before = {path: path.read_bytes() for path in case.rglob("*") if path.is_file()}
    assert replay(case, "--tools", tools) == 0
    assert "comparison" not in capsys.readouterr().out
    assert not (case / EXPECTED).exists()
    assert {path: path.read_bytes() for path in case.rglob("*") if path.is_file()} == before


def test_the_recorded_choice_of_tools_is_put_aside(tmp_path, tools, capsys):
    case = case_of(tmp_path / "composer" / "chosen", ANSWER, tool_choice="none", parallel_tool_calls=False)
    assert replay(case, "--tools", tools, "--json") == 0
    calls = json.loads(capsys.readouterr().out)["cases"][0]["calls"]
    assert [made["model"]["name"] for made in calls] == ["write_file", "run_terminal_cmd", "write_file", "Read", "delete_file"]
    assert [made["client"]["name"] if made["client"] else made["notices"][0]["code"] for made in calls] == [
        "write",
        *["parallel_call_dropped"] * 3,
        "unknown_tool",
    ]


@pytest.mark.parametrize("wrap", [lambda made: made, lambda made: {"model": "m", "messages": [], "tools": made}], ids=["a list", "a body"])
def test_tools_come_as_a_list_or_in_a_request(tmp_path, wrap):
    file = tmp_path / "any.json"
    file.write_text(json.dumps(wrap([WRITE, BASH])))
    assert [found.name for found in read_tools(file)] == ["write", "bash"]


def test_legacy_functions_are_tools(tmp_path):
    file = tmp_path / "any.json"
    file.write_text(json.dumps({"functions": [WRITE["function"]]}))
    assert [found.name for found in read_tools(file)] == ["write"]


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"{}", b'{"tools": 3}', b"[3]", b'"write"', b"\xff", b'[{"type": "custom"}]'])
def test_a_file_without_tools_is_wrong_use_that_names_it(tmp_path, content, capsys):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(ToolsError, match=r"bad\.json"):
        read_tools(file)
    assert replay("composer/one-call", "--tools", file) == 2
    assert str(file) in capsys.readouterr().err.replace("\n", "")


def test_a_missing_file_is_wrong_use(tmp_path, capsys):
    assert replay("composer/one-call", "--tools", tmp_path / "none.json") == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--update"], ["--to", "events"], ["--list"]])
def test_what_compares_or_writes_does_not_go_with_it(words, case, tools, capsys):
    assert replay(case, "--tools", tools, *words) == 2
    assert "--tools" in capsys.readouterr().err


def test_an_unreadable_case_is_named_and_stops_no_other(case, tools, capsys):
    other = case_of(case.parent / "other", "no calls here")
    (case / "request.json").write_bytes(b"{")
    assert replay(case, other, "--tools", tools) == 1
    shown = capsys.readouterr().out
    assert "request.json" in shown
    assert "no calls\n" in shown
    assert shown.endswith("2 cases, 0 calls, 0 as a call to the client, 1 case unreadable\n")


def test_a_cut_call_is_shown_as_far_as_it_came(tools, capsys):
    assert replay("composer/cut-in-call", "--tools", tools) == 0
    shown = capsys.readouterr().out
    assert "write_file → write  never completed" in shown
    assert '     path       → filePath  "haiku.txt"\n     content    → content   "An old silent"\n' in shown
    assert "call_cut: " in shown
    assert 'Failed error="StreamCut"' in shown


def test_long_values_are_cut_for_people_only(tools, capsys):
    assert replay("composer/argument-64k", "--tools", tools) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 300
    assert replay("composer/argument-64k", "--tools", tools, "--json") == 0
    (made,) = json.loads(capsys.readouterr().out)["cases"][0]["calls"]
    assert len(json.loads(made["client"]["arguments"])["content"]) == 65_536


def test_an_upstream_that_does_not_write_calls_as_text_is_passed_as_it_is(tools, capsys):
    assert replay("openai_chat/one-call", "--tools", tools) == 0
    shown = capsys.readouterr().out
    assert "pass as they are" in shown
    assert "get_weather → get_weather" in shown


def test_every_shipped_case_can_be_shown(tools, capsys):
    assert replay(shipped(), "--tools", tools, "--split", "whole") == 0
    assert not {character for character in capsys.readouterr().out if not character.isprintable()} - {"\n"}


def test_colours_are_for_terminals(case, tools):
    leader, follower = os.openpty()
    program = "import sys; from server.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "replay", str(case), "--tools", str(tools)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    try:
        done = subprocess.run(words, stdout=follower, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, timeout=30, check=False)
        os.close(follower)
        shown = os.read(leader, 65_536).decode()
    finally:
        os.close(leader)
    assert done.returncode == 0, done.stderr
    assert "\x1b[1;33mtool_renamed: " in shown, "notices are yellow"
