"""The command line: what each word runs and with what, what it prints where, and its exit status."""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import pipeline
from server import bench
from server.cli import COMMANDS, CONFIG_ACTIONS, build_parser, main
from server.config_text import reference
from server.settings import Server, Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    """A working directory and a home without settings, and an environment without ours."""
    for name in os.environ:
        if name.startswith(("PENSTOCK_", "CURSOR_", "OPENAI_")) or name == "PORT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)  # a settings file that everybody may write is refused
    yield
    os.umask(before)


@pytest.fixture
def served(monkeypatch):
    """The settings that `serve` was started with; the server itself is put aside."""
    calls: list[Settings] = []

    def run(settings: Settings) -> int:
        calls.append(settings)
        return 0

    monkeypatch.setitem(sys.modules, "server.serve", SimpleNamespace(run=run))
    return calls


class TestHelp:
    def test_lists_every_command(self, capsys):
        assert main(["--help"]) == 0
        printed = capsys.readouterr().out
        for name, command in COMMANDS.items():
            assert f"    {name} " in printed
            assert command.summary in printed

    @pytest.mark.parametrize(
        ("words", "example"), [(["serve"], "penstock serve --port 9000"), *((["config", name], what[1]) for name, what in CONFIG_ACTIONS.items())]
    )
    def test_has_an_example(self, capsys, words, example):
        assert main([*words, "--help"]) == 0
        assert f"example:\n  {example}\n" in capsys.readouterr().out

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("bench", "config")])
    def test_the_examples_are_good_words(self, name):
        """`bench` hands its words on, and those of `config` are below."""
        program, *words = shlex.split(COMMANDS[name].example.replace("\\\n", ""))  # shlex keeps the line end that a shell drops
        assert program == "penstock"
        assert "--help" not in words, "an example shows how the command is used"
        assert build_parser(words).parse_args(words).command == name

    def test_the_examples_of_config_are_good_words(self, capsys):
        assert main(["config", "docs"]) == 0
        assert main(["config", "show"]) == 0

    def test_no_words(self, capsys):
        assert main([]) == 2
        assert capsys.readouterr().err.startswith("usage: penstock")

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"penstock {pipeline.__version__}\n"

    @pytest.mark.parametrize(
        "words", [["srve"], ["serve", "--prot", "1"], ["serve", "--port", "x"], ["serve", "more"], ["serve", "--wor", "1"], ["config"]]
    )
    def test_wrong_use(self, capsys, words):
        assert main(words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "error: " in printed.err

    def test_imports_no_other_part_of_the_program(self):
        """In a process of its own: what the help costs is what it imports."""
        code = "import sys; from server.cli import main; main(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        ours = {name for name in done.stderr.split() if name.partition(".")[0] in ("pipeline", "server", "msgspec", "trio", "quart", "httpx", "rich")}
        assert ours == {"pipeline", "server", "server.cli", "server.exits"}


class TestServe:
    def test_runs_the_server_with_the_settings(self, served):
        assert main(["serve"]) == 0
        assert served == [Settings()]

    def test_words_override_the_environment_and_the_file(self, served, tmp_path, monkeypatch):
        (tmp_path / "a.toml").write_text("[server]\nport = 1\nmax_concurrency = 5")
        monkeypatch.setenv("PORT", "2")
        assert main(["serve", "--config", "a.toml", "--host", "::1", "--port", "3", "--workers", "2"]) == 0
        assert served[0].server == Server(host="::1", port=3, workers=2, max_concurrency=5)

    def test_wrong_settings_start_nothing(self, served, capsys, monkeypatch):
        monkeypatch.setenv("PENSTOCK_SERVER__PROT", "2")
        assert main(["serve", "--host", "0.0.0.0", "--port", "65536"]) == 2
        printed = capsys.readouterr()
        assert (served, printed.out) == ([], "")
        head, *lines = printed.err.splitlines()
        assert head == "penstock: 2 problems with the settings"
        assert [line.split(":")[0] for line in lines] == ["  PENSTOCK_SERVER__PROT", "  server.port"]

    def test_open_to_the_world_is_refused(self, served, capsys):
        assert main(["serve", "--host", "0.0.0.0"]) == 2
        assert served == []
        assert capsys.readouterr().err.startswith('penstock: 1 problem with the settings\n  auth.mode: "open" asks nobody for a key')

    def test_the_server_s_status_is_the_command_s(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "server.serve", SimpleNamespace(run=lambda settings: 1))
        assert main(["serve"]) == 1

    def test_ctrl_c(self, monkeypatch, capsys):
        def run(settings):
            raise KeyboardInterrupt

        monkeypatch.setitem(sys.modules, "server.serve", SimpleNamespace(run=run))
        assert main(["serve"]) == 130
        assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["replay", "record"])
def test_a_module_brings_its_own_arguments(name, monkeypatch):
    seen = []

    def add_arguments(parser):
        parser.add_argument("paths", nargs="+")
        parser.add_argument("--json", action="store_true")

    def run(arguments):
        seen.append((arguments.paths, arguments.json))
        return 1

    monkeypatch.setitem(sys.modules, f"pipeline.{name}", SimpleNamespace(add_arguments=add_arguments, run=run))
    assert main([name, "a", "b", "--json"]) == 1
    assert main([name]) == 2
    assert seen == [(["a", "b"], True)]


class TestConfig:
    def test_check_without_a_file(self, capsys):
        assert main(["config", "check"]) == 0
        assert capsys.readouterr() == ("no settings file, the defaults are in force: ok\n", "")

    def test_check_without_a_file_names_what_is_set_elsewhere(self, capsys, monkeypatch):
        monkeypatch.setenv("PORT", "9000")
        monkeypatch.setenv("PENSTOCK_SERVER__WORKERS", "2")
        assert main(["config", "check"]) == 0
        assert capsys.readouterr().out == "no settings file, the defaults and PORT, PENSTOCK_SERVER__WORKERS are in force: ok\n"

    def test_check_names_the_file(self, capsys, tmp_path):
        (tmp_path / "penstock.toml").touch(mode=0o644)
        assert main(["config", "check"]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'penstock.toml'}: ok\n"

    def test_check_says_what_may_surprise_and_is_no_problem(self, capsys, tmp_path):
        (tmp_path / "a.toml").write_text('[upstreams.a]\nkind = "openai-chat"\nbase_url = "http://127.0.0.1:9/v1"\n[aliases]\nmy-gpt = "m"\n')
        assert main(["config", "check", "--config", "a.toml"]) == 0
        printed = capsys.readouterr()
        assert printed.out == f"{tmp_path / 'a.toml'}: ok\n"
        assert printed.err.startswith('note: aliases.my-gpt: Cursor sends a dialect of its own to a model with "gpt" in its name')

    def test_check_names_every_problem(self, capsys, tmp_path):
        (tmp_path / "a.toml").write_text("[server]\nport = 'x'\n[auth]\nmod = 1\n")
        assert main(["config", "check", "--config", "a.toml"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.splitlines() == [
            "penstock: 2 problems with the settings",
            f'  server.port: expected an integer from 0 to 65535, got "x" (from {tmp_path / "a.toml"})',
            f"  auth.mod: no such setting. Did you mean mode? (from {tmp_path / 'a.toml'})",
        ]

    def test_show_prints_the_values_in_force(self, capsys, monkeypatch):
        monkeypatch.setenv("PORT", "9000")
        assert main(["config", "show"]) == 0
        printed = capsys.readouterr().out
        assert "# set by PORT: port\n[server]\n" in printed
        assert tomllib.loads(printed)["server"]["port"] == 9000

    def test_show_of_wrong_settings(self, capsys, monkeypatch):
        monkeypatch.setenv("PORT", "x")
        assert main(["config", "show"]) == 2
        assert capsys.readouterr().out == ""

    def test_docs(self, capsys, monkeypatch):
        monkeypatch.setenv("PORT", "x")
        assert main(["config", "docs"]) == 0
        assert capsys.readouterr().out == reference()


class TestBench:
    @pytest.fixture
    def checkout(self, tmp_path, monkeypatch):
        """A checkout whose benchmarks write down their words and end with the status in the first."""
        (tmp_path / "benchmarks").mkdir()
        (tmp_path / "benchmarks" / "__init__.py").touch()  # else an installed package of this name would come first
        (tmp_path / "pyproject.toml").touch()
        program = "import os, pathlib, sys\npathlib.Path('words').write_text(' '.join(sys.argv[1:]))\n"
        program += "status = int(sys.argv[1])\nos.kill(os.getpid(), -status) if status < 0 else sys.exit(status)\n"
        (tmp_path / "benchmarks" / "__main__.py").write_text(program)
        monkeypatch.chdir("/")
        return tmp_path

    @pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 1), (-15, 143)])
    def test_runs_in_the_checkout_with_its_own_words(self, checkout, status, expected):
        assert bench.run([str(status), "--json", "a b"], checkout) == expected
        assert (checkout / "words").read_text() == f"{status} --json a b"

    def test_gets_every_word(self, monkeypatch):
        seen = []

        def run(words):
            seen.append(words)
            return 1

        monkeypatch.setattr(bench, "run", run)
        assert main(["bench", "--json", "x", "--help"]) == 1
        assert seen == [["--json", "x", "--help"]]

    def test_says_that_there_is_no_checkout(self, tmp_path, capsys):
        assert bench.run([], tmp_path) == 2
        assert "does not run from one" in capsys.readouterr().err


def test_the_program_survives_a_reader_that_went_away():
    """In a process of its own: the broken pipe must not come up again when the interpreter ends."""
    code = "import sys; from server.cli import main; sys.exit(main(['config', 'docs']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
