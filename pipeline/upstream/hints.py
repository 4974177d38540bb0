r"""What a person's message offers as the value of an argument: the city of a question about weather, the sum of one about arithmetic.

Theory of operation: a message comes in once (`Hint`), and then names of arguments, each of which gives a string or None. `ROWS` is the whole
knowledge: a pattern over the words of an argument's name, where in the message to look, and what stands in when nothing is there. Everything is
one line without tool markers, so that it can be quoted inside an answer in which calls are text.

Invariants: the same message gives the same words; only its first `MAX_LOOKED_AT_CHARS` characters are read; whatever would be run as a command is a
constant that prints a line, and no word of the message comes into it.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from pipeline.prompt.neutral import MARKER

MAX_LOOKED_AT_CHARS = 4_000
MAX_TEXT_CHARS = 200
MAX_SHORT_CHARS = 60

HARMLESS_COMMAND = ("echo", "hello from penstock")

# Clients that wrap the person's own words in a tag with context around it.
_WRAPPED = re.compile(r"<(?P<tag>user_query|user_message|task)>(?P<text>.*?)</(?P=tag)>", re.DOTALL)

_ARITHMETIC = re.compile(r"[-+(]{0,4}\d[\d.,()+\-*/^%×÷ ]{0,200}")
_OPERATOR = re.compile(r"[\d)] {0,4}(?:[-+/^%×÷]|\*\*?) {0,4}[-+(\d.]")
_URL = re.compile(r"https?://[^\s<>\"'`]{1,500}[^\s<>\"'`.,;:!?)\]]")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", re.ASCII)
_FILE = re.compile(r"(?<![\w:/.@])(?:~?/|\.{1,2}/)?(?:[\w@-][\w.@-]{0,80}/){0,12}[\w@-][\w@-]{0,80}(?:\.[\w-]{1,40}){0,3}\.[A-Za-z]\w{0,9}(?![\w/@])")
_FOLDER = re.compile(r"(?<![\w:/.@])(?:~?/|\.{1,2}/)?(?:[\w@-][\w.@-]{0,80}/){1,12}(?![\w@])")
_CAPITALISED = r"[^\W\d_a-zß-öø-ÿ][\w.'’-]{0,40}"
_PLACE = re.compile(rf"\b(?:in|at|near|of|for|from|to) (?P<place>{_CAPITALISED}(?:,? {_CAPITALISED}){{0,4}})")
_QUOTED = re.compile(r"`([^`]{1,80})`|\"([^\"]{1,80})\"|“([^”]{1,80})”")
_DATE = re.compile(r"(?<!\d)\d{4}-[01]\d-[0-3]\d(?!\d)", re.ASCII)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,6})?(?![\w]|\.\d)", re.ASCII)
_WORD = re.compile(r"[^\W\d_][\w-]{2,40}")
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def one_line(text: str, limit: int) -> str:
    r"""The text with all white space as single spaces and no tool marker in it, at most `limit` characters.

    >>> one_line("a <|tool_sep|>\n b", 80), one_line("many words", 5)
    ('a ‹|tool_sep|> b', 'many…')
    """
    line = " ".join(defused(text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def defused(text: str) -> str:
    """The text with another first character in each tool marker, so that it can stand in an answer and stay text."""
    return MARKER.sub(lambda found: "‹" + found[0][1:], text)


def name_words(name: str) -> str:
    """The words of a name, in lower case with a space between them.

    >>> name_words("filePath"), name_words("get_current_weather"), name_words("URLList")
    ('file path', 'get current weather', 'url list')
    """
    return " ".join(_NAME_WORD.findall(name[:200])).lower()


class Hint:
    """One message, to be asked for values.

    >>> hint = Hint("What is the weather like in Boston today?")
    >>> hint.wording("location"), hint.wording("cmd"), hint.wording("unit")
    ('Boston', 'echo "hello from penstock"', None)
    """

    def __init__(self, message: str, *, new_file: str = "README.md") -> None:
        """`new_file` stands for a file where the message names none."""
        message = message[:MAX_LOOKED_AT_CHARS]
        wrapped = _WRAPPED.search(message)
        self.text = one_line(wrapped["text"] if wrapped else message, MAX_LOOKED_AT_CHARS)
        self.numbers = iter(_NUMBER.findall(self.text))
        self._new_file = new_file

    def wording(self, name: str, description: str = "") -> str | None:
        """The string for an argument of this name; None when the message and the table have nothing for it."""
        row = _row(name, description)
        if row is None:
            return None
        return row.find(self.text) or (self._new_file if row.fallback is None else row.fallback)

    def short(self) -> str:
        """The first words of the message, for arguments that nothing is known about."""
        return _short(self.text) or "penstock demo"


class Row(NamedTuple):
    """What is known of one kind of argument. A fallback of None is the file that the hint was given."""

    words: str
    find: Callable[[str], str]
    fallback: str | None


def is_command(name: str) -> bool:
    """Whether an argument of this name may be run by whoever is called."""
    return re.search(_COMMAND, name_words(name)) is not None


def _row(name: str, description: str) -> Row | None:
    words = name_words(name)
    about = description[:500].lower()
    if re.search(_COMMAND, words):
        return _CODE_ROW if re.search(r"\bcode\b", words) else _SQL_ROW if re.search(r"\bsql\b", words) else _COMMAND_ROW
    if "glob" in about and "pattern" in words:
        return _GLOB_ROW
    if re.search(r"\bsql\b", about):
        return _SQL_ROW
    return next((row for row in ROWS if re.search(rf"\b(?:{row.words})\b", words)), None)


# -- where to look in a message ------------------------------------------------------------------------------------------------------------------


def _arithmetic(text: str) -> str:
    found = [piece.strip(" ,.(") if piece.count("(") != piece.count(")") else piece.strip(" ,.") for piece in _ARITHMETIC.findall(text)]
    return max((piece for piece in found if _OPERATOR.search(piece)), key=len, default="")


def _first(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def find(text: str) -> str:
        found = pattern.search(text)
        return found[0] if found else ""

    return find


def _place(text: str) -> str:
    found = _PLACE.search(text)
    return found["place"].rstrip(".'’-") if found else ""


def _file(text: str) -> str:
    return _first(_FILE)(_URL.sub(" ", text))


def _folder(text: str) -> str:
    return _first(_FOLDER)(_URL.sub(" ", text))


def _sought(text: str) -> str:
    """What a search would look for: a quoted piece, else the longest word. Both are also good regular expressions, which a question is not."""
    found = _QUOTED.search(text)
    quoted = next((piece for piece in found.groups() if piece), "") if found else ""
    return quoted if re.fullmatch(r"[\w -]+", quoted) else max(_WORD.findall(text), key=len, default="")


def _whole(text: str) -> str:
    return one_line(text, MAX_TEXT_CHARS)


def _short(text: str) -> str:
    return one_line(" ".join(text.split()[:6]), MAX_SHORT_CHARS)


def _nothing(_text: str) -> str:
    return ""


_COMMAND = r"\b(?:commands?|cmds?|scripts?|shell|argv|code|program|keystrokes|sql)\b"
_COMMAND_ROW = Row(_COMMAND, _nothing, f'{HARMLESS_COMMAND[0]} "{HARMLESS_COMMAND[1]}"')
_CODE_ROW = Row("code", _nothing, f'print("{HARMLESS_COMMAND[1]}")')
_SQL_ROW = Row("sql", _nothing, "SELECT 1")
_GLOB_ROW = Row("glob", _file, "*")

# words of an argument's name -> where its value comes from; the first row that fits counts
ROWS = (
    Row("expression|formula|equation|calculation|sum", _arithmetic, "2+2"),
    Row("urls?|uri|link|href|endpoint|website", _first(_URL), "https://example.com/"),
    Row("e ?mail|recipient|to", _first(_EMAIL), "someone@example.com"),
    Row("cwd|workdir|dir|dirs|directory|directories|folders?|root", _folder, "."),
    Row("glob", _file, "*"),
    Row("path|paths|files?|filename|filepath|pathname", _file, None),
    Row("location|locations|city|cities|place|destination|region|where", _place, "Boston, MA"),
    Row("date|day|when|since|until", _first(_DATE), "2025-01-01"),
    Row("time ?zone|tz", _nothing, "UTC"),
    Row("pattern|patterns|regex|regexp|keyword|keywords|needle", _sought, "penstock"),
    Row("query|queries|search|text|question|questions|prompt|input|message|content|contents|body|instructions?|q", _whole, "hello from penstock"),
    Row("description|title|name|label|subject|summary|reason|header|thought|explanation|task|goal|topic|answer|step", _short, "penstock demo"),
)
