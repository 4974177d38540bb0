"""The environment as a source of settings: `PENSTOCK_SECTION__KEY` for the fixed sections, `PORT`, and `.env`.

`read_environment` joins the real environment with the `.env` file of the working directory, under it. `assignments` turns the variables that are
settings into values of the setting's type, as far as the text allows; a text that does not fit stays text, and the check of all values names it
together with its variable. A variable that begins with `PENSTOCK_` and is no setting is a problem. Every other variable is left alone here; those
that make an upstream are read by `server.config_upstreams`.

`VARIABLES` is the list of all of them, made from the classes in `server.settings`; the reference prints it.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from dotenv.parser import parse_stream

from server.config_schema import Annotation, is_array_of_tables, settings_of, structs_of, without_metadata
from server.problems import Problem, nearest
from server.settings import Settings

PREFIX = "PENSTOCK_"
CONFIG_VARIABLE = "PENSTOCK_CONFIG"
DOTENV = ".env"


class Variable(msgspec.Struct, frozen=True):
    """A variable's value, and its name together with the place where it was set."""

    text: str
    origin: str


class Setting(msgspec.Struct, frozen=True):
    """The setting that a variable sets."""

    path: tuple[str, ...]
    annotation: Annotation


class Assignment(msgspec.Struct, frozen=True):
    """A value for the setting at `path`, and what a message calls its source."""

    path: tuple[str, ...]
    value: object
    origin: str


def setting_variables() -> Iterator[tuple[str, Setting]]:
    """Every variable of the fixed sections, in the order of the classes. `PORT` is first, so that `PENSTOCK_SERVER__PORT` overrides it."""
    for section in msgspec.structs.fields(Settings):
        for struct in structs_of(without_metadata(section.type)):
            for field in settings_of(struct):
                if is_array_of_tables(field.type):
                    continue  # no text of a variable writes one
                setting = Setting((section.encode_name, field.encode_name), field.type)
                if setting.path == ("server", "port"):
                    yield "PORT", setting
                yield variable_name(*setting.path), setting


def variable_name(section: str, key: str) -> str:
    """The variable of a key of a fixed section.

    >>> variable_name("server", "max_body_bytes")
    'PENSTOCK_SERVER__MAX_BODY_BYTES'
    """
    return f"{PREFIX}{section.upper()}__{key.upper()}"


VARIABLES: Mapping[str, Setting] = dict(setting_variables())


def read_environment(environ: Mapping[str, str], cwd: Path, problems: list[Problem]) -> dict[str, Variable]:
    """The variables of the environment and, under them, those of `.env` in `cwd`. What is wrong with `.env` is added to `problems`."""
    variables = {name: Variable(text, f"{name} in {DOTENV}") for name, text in _dotenv(cwd / DOTENV, problems)}
    variables |= {name: Variable(text, name) for name, text in environ.items()}
    return variables


def _dotenv(file: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    if not file.is_file():
        return
    try:
        content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problems.append(Problem(str(file), f"expected a file of NAME=value lines: {reason}"))
        return
    for binding in parse_stream(io.StringIO(content)):
        if binding.error:
            # the line itself stays unsaid: it may hold a secret
            text = binding.original.string
            blank_lines = text[: len(text) - len(text.lstrip())].count("\n")
            problems.append(Problem(f"{file}:{binding.original.line + blank_lines}", "expected NAME=value"))
        elif binding.key is not None and binding.value is not None:
            yield binding.key, binding.value


def assignments(variables: Mapping[str, Variable], problems: list[Problem]) -> Iterator[Assignment]:
    """Yield what the variables set, the stronger one later. Variables that begin with `PENSTOCK_` and mean nothing are added to `problems`."""
    for name, setting in VARIABLES.items():
        variable = variables.get(name)
        if variable is not None and not is_text(variable.text):
            problems.append(Problem(variable.origin, "expected text in UTF-8"))
        elif variable is not None:
            yield Assignment(setting.path, value_of(variable.text, setting.annotation), variable.origin)
    for name, variable in variables.items():
        if name.startswith(PREFIX) and name not in VARIABLES and name != CONFIG_VARIABLE:
            problems.append(Problem(variable.origin, f"no such variable.{_hint(name)}"))


def is_text(text: str) -> bool:
    """Whether a variable's bytes were UTF-8: those that were not come as surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _hint(name: str) -> str:
    section, _, key = name.removeprefix(PREFIX).partition("__")
    keys = [known.partition("__")[2] for known in VARIABLES if known.startswith(f"{PREFIX}{section}__")]
    if keys:
        return nearest(key, keys, f"{PREFIX}{section}__") or f" There is no such key in [{section.lower()}]."
    if section.lower() in Settings.__struct_fields__:
        return f" [{section.lower()}] is set in the file."
    known = [known.removeprefix(PREFIX) for known in (*VARIABLES, CONFIG_VARIABLE) if known.startswith(PREFIX)]
    sections = dict.fromkeys(setting.path[0] for setting in VARIABLES.values())
    return nearest(name.removeprefix(PREFIX), known, PREFIX) or f" Variables are {PREFIX}SECTION__KEY; the sections are {', '.join(sections)}."


def value_of(text: str, annotation: Annotation) -> object:
    """Read a variable's text as the setting's type: numbers, `true` and `false`, lists with commas. A text that does not fit is given back as it is.

    >>> value_of("8000", int), value_of("True", bool), value_of("a, b", tuple[str, ...]), value_of("many", int)
    (8000, True, ['a', 'b'], 'many')
    """
    if isinstance(msgspec.inspect.type_info(without_metadata(annotation)), msgspec.inspect.VarTupleType):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return msgspec.convert(text, annotation, strict=False)
    except msgspec.ValidationError:
        return text
