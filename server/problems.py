"""What is wrong with the settings, said so that it can be mended without reading the code.

A `Problem` names a place (a key's path such as `server.port`, a variable, or a file and line) and says in one sentence what was found there and what
was expected. Reading the settings collects every problem that it can see before it gives up, and `SettingsError` carries them all.

Values are shown as they would be written in TOML and cut to a length that fits a terminal's line. The value of an unknown key is never shown: it may
be a secret that was put in the wrong place.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast

import msgspec

ValuePath: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys of tables, and indexes of arrays."""

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
SHOWN_LENGTH = 60


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `where` is empty only when the problem is with the settings as a whole."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class SettingsError(Exception):
    """The settings cannot be used. `problems` is never empty; the text has one line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def format_path(path: ValuePath) -> str:
    """Write a path as TOML writes a dotted key, with array indexes in brackets.

    >>> format_path(("routes", "gpt-4.1", "targets", 0, "upstream"))
    'routes."gpt-4.1".targets[0].upstream'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        key = step if BARE_KEY.fullmatch(step) else format_value(step)
        text += f".{key}" if text else key
    return text


def format_value(value: object) -> str:
    """Write a value as TOML does, on one line.

    >>> format_value("a"), format_value(True), format_value(20.0), format_value(["a", 1]), format_value({})
    ('"a"', 'true', '20', '["a", 1]', 'a table')
    """
    match value:
        case str():
            return msgspec.json.encode(value).decode()
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list() | tuple():
            return f"[{', '.join(map(format_value, cast('Iterable[object]', value)))}]"
        case dict():
            return "a table"
        case _:
            return str(value)


def shown(value: object) -> str:
    """Write a value for a message, cut to `SHOWN_LENGTH` characters."""
    text = format_value(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def listed(words: Iterable[str], conjunction: str = "or") -> str:
    """Join words as a sentence does.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b"], "and")
    ('a', 'a, b or c', 'a and b')
    """
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint that begins with a space and names the known word that was probably meant, after `prefix`, or nothing.

    >>> nearest("prot", ["host", "port"])
    ' Did you mean port?'
    >>> nearest("zebra", ["host", "port"])
    ''
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {prefix}{close[0]}?" if close else ""
