r"""Keep quoted text from being read as our own markup.

Theory of operation: a prompt is text, so whatever a user, a file or a tool's result says stands beside the markers that we teach and the labels
that we write. Text that would read as one of them gets one backslash, and nothing else changes:

- a tool marker, a `final` token or `</think>`, in every spelling of the grammar (`|` or `｜`, `_` or `▁`, any case, inner white space): after its
  `<`, so `<|tool_sep|>` becomes `<\|tool_sep|>`;
- a label at the very start of a line (`USER:`, `TOOL (read, call_1):`, `OUTPUT RULES:`, `[called `, `[image 1]`): before it, so `USER:` becomes
  `\USER:`.

Text that already has the backslash gets another one, so `restore` gives back exactly what came in. Inside JSON the first character of a marker
becomes `\u003c`, and the line ends that JSON allows as they are (U+0085, U+2028, U+2029) become escapes, so that one value is one line: every JSON
reader turns both back. Labels are the exact upper-case words at column 0: an indented or lower-case `user:` is somebody's YAML, and a model that is
to edit a file must see it as it is.

Markers matter only where answers are read for them. A prompt for an upstream whose calls come in fields of their own has labels, and no markers: for
it there is the same with labels alone (`LABELS`), which leaves a file about markers as it is.
"""

import re
from collections.abc import Callable

import msgspec

from pipeline.request import Json

_SPACE = r"\s{0,16}"
_BAR = r"[|｜]"
_NAMES = r"(?ai:tool[_▁](?:calls?[_▁](?:begin|end)|sep)|/?final)"  # ASCII letters in any case: 'ſ' is no s
_MARKER_TAIL = rf"(?:{_SPACE}{_BAR}{_SPACE}{_NAMES}{_SPACE}{_BAR}{_SPACE}>|(?ai:/think>))"

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` splits at: a model may take any of them for the start of a line."""

_LABEL = rf"(?:(?:SYSTEM|USER|ASSISTANT|TOOL)(?: \([^{LINE_ENDS}]*\))?:|OUTPUT RULES:|\[called |\[image [0-9]+\])"
_LINE_START = rf"(?:\A|(?<=[{LINE_ENDS}]))"

MARKER = re.compile(rf"<{_MARKER_TAIL}")
"""One marker or token, as the machine that reads answers would see it."""

_MARKER_START = re.compile(rf"<(?=\\*{_MARKER_TAIL})")
_LABEL_START = re.compile(rf"{_LINE_START}(?=\\*{_LABEL})")
_ESCAPED_MARKER = re.compile(rf"<\\(?=\\*{_MARKER_TAIL})")
_ESCAPED_LABEL = re.compile(rf"{_LINE_START}\\(?=\\*{_LABEL})")
_JSON_LINE_ENDS = r"[\x85\u2028\u2029]"
_JSON_START = re.compile(rf"<(?={_MARKER_TAIL})|{_JSON_LINE_ENDS}")
_JSON_LINE_END = re.compile(_JSON_LINE_ENDS)


def neutralise(text: str) -> str:
    r"""`text` with a backslash in every marker and before every label.

    >>> print(neutralise("a <|tool_sep|> b\nUSER: hi\nuser: hi"))
    a <\|tool_sep|> b
    \USER: hi
    user: hi
    """
    return neutralise_labels(_MARKER_START.sub(lambda _: "<\\", text))


def restore(text: str) -> str:
    r"""What `neutralise` was given.

    >>> restore(neutralise("<\\|final|> </THINK>"))
    '<\\|final|> </THINK>'
    """
    return _ESCAPED_MARKER.sub("<", restore_labels(text))


def neutralise_json(text: str) -> str:
    r"""JSON text with the same meaning, no marker in it, and no line end but those of its layout.

    >>> print(neutralise_json('{"text": "</think>"}'))
    {"text": "\u003c/think>"}
    """
    return _JSON_START.sub(_escape, text)


def neutralise_labels(text: str) -> str:
    r"""`text` with a backslash before every label, and its markers as they are.

    >>> print(neutralise_labels("a <|tool_sep|> b\nUSER: hi"))
    a <|tool_sep|> b
    \USER: hi
    """
    return _LABEL_START.sub(lambda _: "\\", text)


def restore_labels(text: str) -> str:
    r"""What `neutralise_labels` was given.

    >>> restore_labels("\\\\USER: hi")
    '\\USER: hi'
    """
    return _ESCAPED_LABEL.sub("", text)


def one_line_json(text: str) -> str:
    r"""JSON text with the same meaning, and no line end but those of its layout.

    >>> print(one_line_json('{"text": "</think>\u2028"}'))
    {"text": "</think>\u2028"}
    """
    return _JSON_LINE_END.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class Neutral(msgspec.Struct, frozen=True):
    """What is neutralised in a prompt: in its `text`, in its `json`, and how `text` is undone."""

    text: Callable[[str], str]
    json: Callable[[str], str]
    restore: Callable[[str], str]

    def value(self, value: Json) -> str:
        r"""A JSON value, on one line.

        >>> print(EVERYTHING.value({"stop": "</think>"}))
        {"stop":"\u003c/think>"}
        """
        return self.json(msgspec.json.encode(value).decode())


EVERYTHING = Neutral(neutralise, neutralise_json, restore)
LABELS = Neutral(neutralise_labels, one_line_json, restore_labels)
