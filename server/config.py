"""Read the settings: command line over environment over file over defaults.

What comes in: values from the command line, a mapping of environment variables, the working directory, and the files found there: `.env` and the TOML
file. What goes out: `Loaded`, or a `SettingsError` with every problem that could be seen. Nothing else is touched: `os.environ` is neither read nor
changed, so a test or a second server in the same process can bring its own.

    --config, PENSTOCK_CONFIG, ./penstock.toml, ~/.config/penstock/penstock.toml      the first that is named or there
        ▼
    tree of raw values ◀── PENSTOCK_SECTION__KEY, PORT ◀── the command line           (assigned over what the file says)
        ▼              ◀── CURSOR_…, OPENAI_…                                         (upstreams that the file leaves to them)
    check every value ──▶ convert ──▶ find the upstreams' keys ──▶ check the rules ──▶ Settings

Variables in `.env` count as environment variables that the real environment overrides; they are taken literally, without `${…}`. A variable that
begins with `PENSTOCK_` and that no setting has stops the start, as an unknown key of the file does. Of the others, only those that a setting names
are looked at.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from server.config_rules import broken_rules
from server.config_schema import as_table, check
from server.config_secrets import with_keys
from server.config_upstreams import OPENAI, add_upstreams
from server.environment import CONFIG_VARIABLE, Assignment, Variable, assignments, read_environment
from server.problems import Problem, SettingsError, format_path
from server.settings import Settings, route_everything_to
from server.upstream_settings import Captured

FILE_NAME = "penstock.toml"
USER_FILE = Path(".config", "penstock", FILE_NAME)


class Loaded(msgspec.Struct, frozen=True):
    """The settings in force.

    `file` is the TOML file that was read, or None. `origins` maps the dotted path of every value that was set to where it was set: a file's path, a
    variable's name, or `the command line`; what is not in it has its default.
    """

    settings: Settings
    file: Path | None = None
    origins: Mapping[str, str] = {}


def load_settings(*, overrides: Mapping[str, object], config: Path | None, environ: Mapping[str, str], cwd: Path) -> Loaded:
    """Read the settings from everywhere.

    Args:
        overrides: values of the command line by dotted path, such as `{"server.port": 9000}`.
        config: the file that the command line names, or None.
        environ: the environment variables.
        cwd: the working directory: `.env` and `penstock.toml` are looked for there, and relative paths start there.

    Raises:
        SettingsError: something is wrong; it names everything that is.
    """
    problems: list[Problem] = []
    variables = read_environment(environ, cwd, problems)
    file = find_file(config, variables, cwd)
    content = _read(file, problems) if file is not None else {}
    tree = content or {}
    origins = dict.fromkeys(map(format_path, _leaves(tree)), str(file))
    given = [Assignment(tuple(path.split(".")), value, "the command line") for path, value in overrides.items()]
    for assignment in (*assignments(variables, problems), *given):
        _assign(tree, assignment)
        origins[format_path(assignment.path)] = assignment.origin
    found: list[Problem] = []
    if content is not None:
        by_file = "upstreams" in tree
        origins |= add_upstreams(tree, variables, problems)
        _fill_in(tree, by_file=by_file)
        settings = _settings(tree, variables, cwd, found)
    else:
        # a file that could not be parsed says nothing about what belongs together
        settings = None
        found += check(tree, Settings)
    problems += (_with_origin(problem, origins) for problem in found)
    if problems or settings is None:
        raise SettingsError(problems)
    return Loaded(settings, file, origins)


def find_file(config: Path | None, variables: Mapping[str, Variable], cwd: Path) -> Path | None:
    """The file to read: a named one, there or not, else the first of the usual ones that is there."""
    home_variable = variables.get("HOME")
    home = Path(home_variable.text) if home_variable is not None and home_variable.text else None
    named = variables.get(CONFIG_VARIABLE)
    if config is None and named is not None and named.text:
        config = Path(named.text)
    if config is not None:
        # "~" is what a .env file or a service unit passes on unexpanded
        return home.joinpath(*config.parts[1:]) if home is not None and config.parts[:1] == ("~",) else cwd / config
    places = [cwd / FILE_NAME, *([home / USER_FILE] if home is not None else [])]
    return next((place for place in places if place.exists()), None)


def _read(file: Path, problems: list[Problem]) -> dict[str, object] | None:
    """The file's tables, or None, with a problem, when it cannot be parsed."""
    content = b""
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read()
        if mode & stat.S_IWOTH:
            problems.append(Problem(str(file), f"every user of this machine may write to it, and so choose where keys go; run chmod o-w {file}"))
        return tomllib.loads(content.decode())
    except tomllib.TOMLDecodeError as error:
        problems.append(_syntax_problem(file, content, str(error)))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(Problem(f"{file}:{line}", "expected TOML in UTF-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(Problem(str(file), f"expected a TOML file that can be read: {reason}"))
    return None


def _syntax_problem(file: Path, content: bytes, message: str) -> Problem:
    # tomllib writes "… (at line 3, column 5)" or "… (at end of document)"
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line = place[1] if place else str(content.rstrip().count(b"\n") + 1)
    column = f" at column {place[2]}" if place else " at the end"
    return Problem(f"{file}:{line}", f"not TOML{column}: {re.sub(r' [(]at [^()]*[)]$', '', message)}")


def _leaves(table: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        inner = as_table(value)
        if inner:
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key)


def _assign(tree: dict[str, object], assignment: Assignment) -> None:
    table = tree
    for key in assignment.path[:-1]:
        inner = as_table(table.setdefault(key, {}))
        if inner is None:
            return  # the file has something else where the section should be: the check names it
        table = inner
    table[assignment.path[-1]] = assignment.value


def _fill_in(tree: dict[str, object], *, by_file: bool) -> None:
    """Give the defaults that depend on what else is set; `by_file` says whether the file names the upstreams."""
    upstreams = as_table(tree.get("upstreams"))
    auth = as_table(tree.setdefault("auth", {}))
    if auth is not None:
        # the upstream that OPENAI_BASE_URL makes does not take the caller's key, so that nothing is gained by asking for one on this machine
        needs_none = "upstreams" not in tree or (not by_file and set(upstreams or {}) == {OPENAI}) or _only_demos(upstreams or {})
        auth.setdefault("mode", "keys" if auth.get("keys") else "open" if needs_none else "forward")
    server, responses = as_table(tree.get("server")), as_table(tree.setdefault("responses", {}))
    if server is not None and responses is not None and server.get("workers", 1) != 1:
        responses.setdefault("store", "off")
    if "upstreams" in tree:
        names = list(upstreams or {})
        tree.setdefault("routes", msgspec.to_builtins(route_everything_to(names[0])) if len(names) == 1 else {})


def _only_demos(upstreams: Mapping[str, object]) -> bool:
    """Whether there is no upstream but the embedded demo, which asks for no key, whatever it is called."""
    kinds = [(as_table(upstream) or {}).get("kind") for upstream in upstreams.values()]
    return bool(kinds) and all(kind == Captured.__struct_config__.tag for kind in kinds)


def _settings(tree: dict[str, object], variables: Mapping[str, Variable], cwd: Path, problems: list[Problem]) -> Settings | None:
    """Check every value, and then the rules for as much as can be read; the settings if nothing is wrong, else None and more `problems`."""
    found = list(check(tree, Settings))
    unreadable = {re.split(r"[.\[]", problem.where)[0] for problem in found}
    readable = {key: value for key, value in tree.items() if key in Settings.__struct_fields__ and key not in unreadable}
    settings = with_keys(msgspec.convert(readable, Settings), variables, cwd, found)
    found += broken_rules(settings, cwd, unreadable)
    problems += found
    return None if found else settings


def _with_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    origin = origins.get(problem.where) or origins.get(problem.where.partition("[")[0])
    return Problem(problem.where, f"{problem.message} (from {origin})") if origin else problem
