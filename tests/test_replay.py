"""`penstock replay` as it is called: exit status, diffs, updates, JSON."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from pipeline.cases import EXPECTED, META, REQUEST, STREAM, CaseError, find_cases, load_case, shipped
from pipeline.errors import RateLimited
from pipeline.events import Failed, Notice, TextDelta
from pipeline.expectations import FORMS, Replay, event_line, http_error, replayed_events
from server.cli import main

FILES = ["chat.json", "chat.sse", "events.txt"]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case of one's own, with its expectations."""
    return Path(shutil.copytree(shipped() / "composer" / "text-and-call", tmp_path / "composer" / "mine"))


def replay(*words: object) -> int:
    return main(["replay", *map(str, words)])


def test_a_case_that_gives_what_it_gave_is_good(case, capsys):
    assert replay(case) == 0
    assert capsys.readouterr().out == "1 case, 3 comparisons, 0 differences\n"


@pytest.mark.parametrize("split", ["whole", "bytes", "random:3", "17"])
def test_no_split_makes_a_difference(split, capsys):
    assert replay(shipped(), "--split", split) == 0
    assert capsys.readouterr().out.endswith(", 0 differences\n")


@pytest.mark.parametrize("name", ["composer/plain-text", "composer"])
def test_shipped_cases_have_names(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert replay(name, "--json") == 0
    paths = [Path(found["path"]) for found in json.loads(capsys.readouterr().out)["cases"]]
    assert shipped() / "composer" / "plain-text" in paths


@pytest.mark.parametrize(("name", "case"), [("captured/parallel-calls", "composer/parallel-calls"), ("typed-arguments", "composer/typed-arguments")])
def test_a_shipped_case_has_its_model_s_name_and_a_bare_one(name, case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert replay(name, "--json") == 0
    assert [found["path"] for found in json.loads(capsys.readouterr().out)["cases"]] == [str(shipped() / case)]


def test_a_bare_name_of_two_cases_is_refused_with_both(capsys):
    assert replay("parallel-calls") == 2
    said = capsys.readouterr().err
    assert "composer/parallel-calls, openai_chat/parallel-calls" in said


@pytest.mark.parametrize("name", ["paralel-calls", "captured/paralel-calls", "compose/parallel-calls"])
def test_an_unknown_name_is_told_the_nearest_and_how_to_see_all(name, capsys):
    assert replay(name, "no-such-case-at-all") == 2
    first, second, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"penstock replay: {name}: ")
    assert "composer/parallel-calls" in first
    assert "nearest" not in second
    assert "penstock replay --list" in hint


def test_list_names_every_shipped_case(capsys):
    assert replay("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert {"composer/parallel-calls", "openai_chat/parallel-calls"} <= set(names)
    assert [shipped() / name for name in names] == find_cases(shipped())
    assert "Two calls in one block" in lines[names.index("composer/parallel-calls")]


def test_list_takes_words_and_writes_json(case, capsys):
    (case / META).write_text("upstream = 3")
    assert replay("--list", "--json", case, "plain-text") == 0
    mine, shipped_one = json.loads(capsys.readouterr().out)["cases"]
    assert mine["name"] == str(case)
    assert mine["title"].startswith("cannot be read: ")
    assert shipped_one["name"] == "composer/plain-text"


def test_a_case_that_two_words_mean_is_replayed_once(case, capsys):
    assert replay(case, case.parent) == 0
    assert capsys.readouterr().out.startswith("1 case,")


def test_a_difference_is_shown_and_is_status_1(case, capsys):
    events = case / EXPECTED / "events.txt"
    events.write_text(events.read_text().replace("Let me", "Let us"))
    assert replay(case) == 1
    shown = capsys.readouterr().out
    assert '-TextDelta text="Let us' in shown
    assert '+TextDelta text="Let me' in shown
    assert shown.endswith("1 case, 3 comparisons, 1 difference\n")
    assert replay(case, "--to", "chat") == 0
    assert replay(case, "--to", "events") == 1


def test_other_bytes_of_the_same_text_are_a_difference(case, capsys):
    chat = case / EXPECTED / "chat.sse"
    chat.write_bytes(chat.read_bytes().replace(b"\n", b"\r\n"))
    assert replay(case) == 1
    assert r"\r" in capsys.readouterr().out


def test_a_missing_expectation_is_a_difference_until_update_writes_it(case, capsys):
    before = {file: (case / EXPECTED / file).read_bytes() for file in FILES}
    shutil.rmtree(case / EXPECTED)
    assert replay(case) == 1
    assert "is missing" in capsys.readouterr().out
    assert replay(case, "--update") == 0
    shown = capsys.readouterr().out
    assert shown.count("written (new)") == 3
    assert shown.endswith("0 differences, 3 files written\n")
    assert {file: (case / EXPECTED / file).read_bytes() for file in FILES} == before


def test_update_says_what_changed_and_leaves_the_rest(case, capsys):
    changed = case / EXPECTED / "chat.json"
    good = changed.read_bytes()
    changed.write_bytes(b"{}")
    times = {file: (case / EXPECTED / file).stat().st_mtime_ns for file in FILES if file != "chat.json"}
    assert replay(case, "--update") == 0
    assert f"{changed}: written (changed)" in capsys.readouterr().out.replace("\n", " ")
    assert changed.read_bytes() == good
    assert {file: (case / EXPECTED / file).stat().st_mtime_ns for file in times} == times


def test_json_is_one_document(case, capsys):
    (case / EXPECTED / "chat.json").write_bytes(b"{}")
    assert replay(case, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["case_count"], document["comparison_count"], document["difference_count"], document["error_count"]) == (1, 3, 1, 0)
    by_file = {found["file"]: found for found in document["cases"][0]["comparisons"]}
    assert [file for file, found in by_file.items() if not found["same"]] == ["chat.json"]
    assert "-{}" in by_file["chat.json"]["diff"]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (META, b"upstream = 3", META),
        (META, None, META),
        (META, b'upstream="gopher"\nsurface="chat"\nsource="x"\ndate=2026-01-01', "gopher"),
        (META, b'upstream="composer"\nsurface="telex"\nsource="x"\ndate=2026-01-01', "telex"),
        (REQUEST, b"{", REQUEST),
        (REQUEST, b'{"model": "composer-2.5", "messages": []}', REQUEST),
        (REQUEST, None, REQUEST),
    ],
)
def test_an_unreadable_case_is_named_and_stops_no_other(case, file, content, says, capsys):
    other = shutil.copytree(case, case.parent / "other")
    if content is None:
        (case / file).unlink()
    else:
        (case / file).write_bytes(content)
    assert replay(case, other) == 1
    shown = capsys.readouterr().out
    assert str(case) in shown.replace("\n", "")
    assert says in shown
    assert "2 cases, 3 comparisons, 0 differences, 1 case unreadable" in shown


def test_a_case_without_its_stream_is_named(case, capsys):
    (case / STREAM).unlink()
    assert replay(case) == 1
    assert STREAM in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["no/such/case"],
        [],
        ["composer", "--split", "halves"],
        ["composer", "--split", "0"],
        ["composer", "--split", "random:"],
        ["composer", "--speed", "-1"],
        ["composer", "--speed", "nan"],
        ["composer", "--to", "telex"],
    ],
)
def test_wrong_use_is_status_2(words, capsys):
    assert replay(*words) == 2
    assert capsys.readouterr().err


def test_a_folder_without_cases_is_wrong_use(tmp_path, capsys):
    assert replay(tmp_path) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(("form", "shows"), [("events", 'Notice code="unknown_tool"'), ("chat", "I will clean up. ")])
def test_a_single_case_is_shown_in_the_form_that_is_asked_for(form, shows, capsys):
    """Also where nobody looks at a terminal, so that it can be searched and paged; then without colours."""
    assert replay("composer/unknown-tool", "--to", form) == 0
    shown = capsys.readouterr().out
    assert shows in shown
    assert "\x1b" not in shown
    assert shown.splitlines()[-1].endswith("0 differences")
    assert replay("composer/unknown-tool", "--to", form, "--json") == 0
    assert json.loads(capsys.readouterr().out)["difference_count"] == 0
    assert replay("composer/unknown-tool", "composer/plain-text", "--to", form) == 0
    assert shows not in capsys.readouterr().out


@pytest.mark.parametrize(("form", "shows"), [("events", "Notice code="), ("chat", "I will clean up. ")])
def test_on_a_terminal_a_single_case_is_shown(form, shows):
    """In a pseudo-terminal, since colours and the stream are for people only."""
    leader, follower = os.openpty()
    program = "import sys; from server.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "replay", "composer/unknown-tool", "--to", form]
    try:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        environment.pop("NO_COLOR", None)
        done = subprocess.run(words, stdout=follower, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, timeout=30, check=False)
        os.close(follower)
        shown = os.read(leader, 65_536).decode()
    finally:
        os.close(leader)
    assert done.returncode == 0, done.stderr
    assert shows in shown
    assert "\x1b[1;33m" in shown, "notices are yellow"
    assert "0 differences" in shown


async def test_speed_keeps_the_recorded_timing(autojump_clock):
    case = load_case(shipped() / "composer" / "plain-text")
    recorded = sum(milliseconds for milliseconds, _ in case.meta.reads) / 1000
    for speed, seconds in ((1.0, recorded), (4.0, recorded / 4), (0.0, 0.0)):
        before = trio.current_time()
        await replayed_events(Replay(case, speed=speed))
        assert trio.current_time() - before == pytest.approx(seconds, abs=1e-6)


async def test_a_surface_that_refuses_the_body_is_a_case_error(tmp_path):
    case = load_case(shipped() / "composer" / "plain-text")
    (tmp_path / "x").mkdir()
    broken = type(case)(tmp_path / "x", case.stream, b"[]", case.meta)
    with pytest.raises(CaseError, match=REQUEST):
        await FORMS["chat.sse"](Replay(broken))


def test_an_event_stays_on_its_line_and_steers_no_terminal():
    line = event_line(TextDelta("a\n\u2028\x85\x9b2J\u202eb 日本"))
    assert line.isprintable()
    assert line.splitlines() == [line]
    assert line == r'TextDelta text="a\n\u2028\u0085\u009b2J\u202eb 日本"'
    assert event_line(Notice("call_cut")) == 'Notice code="call_cut" detail=""'
    failed = event_line(Failed(RateLimited("Slow down.", retry_after_seconds=2.5)))
    assert failed.startswith('Failed error="RateLimited" status=429 message="Slow down."')
    assert failed.endswith("retry_after_seconds=2.5")


def test_an_http_error_tells_when_to_come_back():
    assert http_error(RateLimited("Slow down.", retry_after_seconds=2.5)).startswith(b'HTTP 429\nRetry-After: 3\n\n{"error":{"message":"Slow down."')


def test_the_commands_are_light_to_import():
    program = "import sys, pipeline.replay, pipeline.record; print([name for name in ('rich', 'httpx', 'quart') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
