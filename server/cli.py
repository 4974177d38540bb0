"""penstock's command line.

Words come in, an exit status goes out (`server.exits`). `COMMANDS` is the list of commands. A command's modules are imported only when it is the one
that was asked for, and only its arguments are defined, so `penstock --help` costs no more than argparse. What a command does is in its own module;
here is only how it is called. `bench` gets its words as they are: its arguments belong to another program.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pipeline
from server.exits import GOOD, INTERRUPTED, PIPE_CLOSED, WRONG_USE

if TYPE_CHECKING:
    from server.config import Loaded

DESCRIPTION = "A self-hosted streaming gateway: Cursor's Composer for any OpenAI client, and any model for Cursor."
EPILOG = """\
Try it without any configuration:

  penstock serve
  curl -N http://127.0.0.1:8787/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model":"composer-2.5","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

Exit status: 0 good, 1 the work found a difference or a fault, 2 wrong use or wrong settings.
"""

RECORD_EXAMPLE = """\
penstock record --url https://backend.example/chat --request request.json \\
    --header-env Authorization=MY_AUTHORIZATION --out fixtures/composer/my-case"""


class Command(NamedTuple):
    """One word of the command line: its line in the help, an example, how its arguments are defined, and what it does with them."""

    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the words name.

    Args:
        argv: the words after the program's name; those of the process by default.

    Returns:
        The exit status: 0 good, 1 the work found a difference or a fault, 2 wrong use, 130 after Ctrl-C, 141 when the output's reader went away.
    """
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # what is still buffered would raise again when the interpreter flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


def _run(words: list[str]) -> int:
    if words[:1] == ["bench"]:
        return _bench(words[1:])
    parser = build_parser(words)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:  # argparse has said why; 0 after --help and --version
        return stop.code if isinstance(stop.code, int) else GOOD
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USE
    return COMMANDS[arguments.command].run(arguments)


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser, with the arguments of the one command that `words` name."""
    parser = argparse.ArgumentParser(
        prog="penstock", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"penstock {pipeline.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    wanted = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        sub = _add_parser(commands.add_parser, name, command.summary, command.example)
        if name == wanted:
            command.add_arguments(sub)
    return parser


def _add_parser(add: Callable[..., argparse.ArgumentParser], name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return add(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file; default: PENSTOCK_CONFIG, ./penstock.toml, ~/.config/penstock/penstock.toml"
    )


def _load(arguments: argparse.Namespace, overrides: Mapping[str, object]) -> "Loaded | None":
    """Read the settings; None after every problem was written to stderr."""
    from server.config import load_settings
    from server.problems import SettingsError

    try:
        return load_settings(overrides=overrides, config=arguments.config, environ=os.environ, cwd=Path.cwd())
    except SettingsError as error:
        count = len(error.problems)
        print(f"penstock: {count} {'problem' if count == 1 else 'problems'} with the settings", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return None


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--host", metavar="H", help="address to listen on, over server.host")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on, over server.port; 0: any free one")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that share the port, over server.workers")


def _serve(arguments: argparse.Namespace) -> int:
    given = {"server.host": arguments.host, "server.port": arguments.port, "server.workers": arguments.workers}
    loaded = _load(arguments, {path: value for path, value in given.items() if value is not None})
    if loaded is None:
        return WRONG_USE
    status: int = import_module("server.serve").run(loaded.settings)
    return status


CONFIG_ACTIONS = {
    "check": ("read the settings and name everything that is wrong", "penstock config check --config penstock.toml"),
    "show": ("print the settings in force, as TOML, and where each was set", "PORT=9000 penstock config show"),
    "docs": ("print the reference of all settings, in Markdown", "penstock config docs > docs/settings.md"),
}


def _add_config_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    for name, (summary, example) in CONFIG_ACTIONS.items():
        sub = _add_parser(actions.add_parser, name, summary, example)
        if name != "docs":
            _add_config(sub)


def _config(arguments: argparse.Namespace) -> int:
    from server.config_routes import warnings
    from server.config_text import reference, show

    if arguments.action == "docs":
        print(reference(), end="")
        return GOOD
    loaded = _load(arguments, {})
    if loaded is None:
        return WRONG_USE
    if arguments.action == "show":
        print(show(loaded), end="")
    else:
        for warning in warnings(loaded.settings):
            print(f"note: {warning}", file=sys.stderr)
        print(f"{_sources(loaded)}: ok")
    return GOOD


def _sources(loaded: "Loaded") -> str:
    """What was checked: the file, or what is in force without one."""
    if loaded.file is not None:
        return str(loaded.file)
    set_by = ", ".join(dict.fromkeys(loaded.origins.values()))
    return f"no settings file, the defaults and {set_by} are in force" if set_by else "no settings file, the defaults are in force"


def _bench(words: list[str]) -> int:
    from server import bench

    return bench.run(words)


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    """`bench` is called before argparse reads its words; its entry here is for the list in the help."""


def _bench_alone(arguments: argparse.Namespace) -> int:
    return _bench([])


def _of_module(name: str) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]:
    """The two functions of a module that brings its own arguments, each importing it when it is called."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        import_module(name).add_arguments(parser)

    def run(arguments: argparse.Namespace) -> int:
        status: int = import_module(name).run(arguments)
        return status

    return add_arguments, run


COMMANDS = {
    "serve": Command("run the gateway", "penstock serve --port 9000", _add_serve, _serve),
    "replay": Command(
        "send recorded upstream answers through the pipeline and compare",
        "penstock replay captured/parallel-calls --split bytes",
        *_of_module("pipeline.replay"),
    ),
    "record": Command("record an upstream's answer as a scrubbed fixture", RECORD_EXAMPLE, *_of_module("pipeline.record")),
    "bench": Command("run the source checkout's benchmarks, with their own arguments", "penstock bench --help", _add_nothing, _bench_alone),
    "doctor": Command("check what an answer depends on, and say how to mend it", "penstock doctor --key-env MY_KEY", *_of_module("server.doctor")),
    "keys": Command("make keys for those who may use the gateway", "penstock keys new alice", *_of_module("server.keys")),
    "config": Command("check or print the settings", "penstock config check", _add_config_actions, _config),
}
