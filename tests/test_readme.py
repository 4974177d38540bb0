"""README's commands do what it says, run as it shows them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from server.config import load_settings
from tests.support.processes import PENSTOCK, ROOT, ServerProcess, clean_environment, server_process

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [command.strip() for block in blocks("console") for command in re.split(r"^\$ ", block, flags=re.MULTILINE) if command.strip()]


CURLS = [command for command in commands() if command.startswith("curl")]
MAKES = [command for command in commands() if command.startswith("make")]
OTHERS = [command for command in commands() if command not in CURLS and command not in MAKES]


@pytest.fixture(scope="module")
def server() -> Generator[ServerProcess, None, None]:
    """What `make serve` starts."""
    with server_process(["make", "serve", "ARGS=--port 0"]) as running:
        yield running


def run(command: str, server: ServerProcess) -> str:
    done = subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8787", server.url)],
        cwd=ROOT,
        # where README says that `penstock` is
        env=clean_environment(NO_PROXY="*", PATH=f"{Path(PENSTOCK).parent}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_shows_the_two_commands_first():
    assert commands()[0] == "make serve"
    assert README.index("make serve") < 600
    assert {"make serve", "make test"} == set(MAKES)


@pytest.mark.parametrize("command", MAKES)
def test_the_make_targets_exist(command):
    assert re.search(rf"^{command.split()[1]}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", CURLS)
def test_each_curl_answers(command, server):
    shown = run(command.replace("curl ", "curl -sS ", 1), server)
    if '"stream":true' in command:
        assert shown.startswith('data: {"id":"chatcmpl-')
        assert shown.endswith("data: [DONE]\n\n")
        assert len(shown.split("\n\n")) > 5
        return
    answer = json.loads(shown)
    assert "error" not in answer
    if '"tools"' in command:
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]).keys() == {"location"}


def test_its_sample_stream_is_what_comes(server):
    """The chunks that README shows, each `…` standing for what it leaves out, are the first that come."""
    shown = run(CURLS[0].replace("curl ", "curl -sS ", 1), server).split("\n\n")
    sample = re.findall(r"^    (data: .+)$", README, re.MULTILINE)
    assert sample[-1] in shown
    assert len(sample) > 2
    for line, event in zip(sample[:-1], shown, strict=False):
        assert re.fullmatch(".*".join(map(re.escape, line.split("…"))), event)


@pytest.mark.parametrize("command", OTHERS)
def test_the_other_commands_succeed(command, server):
    assert run(command, server)


@pytest.mark.parametrize("program", blocks("python"))
def test_the_python_program_prints_an_answer(program, server):
    shown = subprocess.run(
        [sys.executable, "-c", program.replace("http://127.0.0.1:8787", server.url)],
        env=clean_environment(NO_PROXY="*"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "demo" in shown


def test_the_program_has_one_spelling():
    """It is not on PATH after `make serve`: one line says where it is, before it is first used."""
    uses = [place.start() for place in re.finditer(r"(?<![\w/-])penstock (?:serve|doctor|replay|record|keys|config)", README)]
    assert README.index("`penstock` below is `.venv/bin/penstock`") < min(uses)
    assert README.count(".venv/bin/penstock") == 1


def test_its_error_of_the_estimate_is_that_of_the_measurement():
    usage = (ROOT / "docs/usage.md").read_text(encoding="utf-8")
    means = [float(mean) for mean in re.findall(r"^\| \w+ \| \d+ \| \d+ \| ([\d.]+)% ", usage, re.MULTILINE)]
    assert len(means) > 5
    assert f"{round(min(means))} to {round(max(means))} % on average" in README


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or os.path.exists(ROOT / target), target


@pytest.mark.parametrize("settings", blocks("toml"))
def test_its_settings_are_valid(settings, tmp_path):
    (tmp_path / "penstock.toml").write_text(settings, encoding="utf-8")
    loaded = load_settings(overrides={}, config=None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert set(loaded.settings.upstreams) == {"local", "composer"}
