r"""A history without the reasoning that earlier answers of ours showed as text.

Theory of operation: a request comes in; its assistant messages go out without the blocks in which an answer shows reasoning to a client that has no
field for it (`pipeline.thinking_blocks`), whichever form was in use then. A block is ours where one would stand: at the beginning of a text, right
behind another block, or as a paragraph of its own. It ends at its end tag, which reasoning never holds. The blank lines that came with it go too. A
client may have trimmed the text or changed its line ends. Texts of several messages or parts that became one have a single line end between them:
behind one, which stays, a block is ours if both its tags have lines of their own. A block without an end is an answer that was stopped while it
thought: at the beginning of a text it goes to the text's end, elsewhere it stays.

Left alone: tags in a sentence and in a fenced block of code, and everything that users, tools and the system say. A message with nothing left in it
is dropped. Time is linear in the text, and less than a tenth of a second for a request that is not `is_large`.
"""

import re
from functools import cache

import msgspec

from pipeline.events import Notice
from pipeline.request import Message, Part, Request, Role, TextPart
from pipeline.thinking_blocks import BLOCKS, Display

_FENCE = r"[ ]{0,3}(?:(?P<fence>`{3,})(?P<info>[^`\n]*)|(?P<tildes>~{3,})(?P<rest>[^\n]*))$"
_SPACE = r"\s{0,16}"
_OPENINGS = {form: rf"(?P<{form}>{_SPACE.join(map(re.escape, block.opening.split()))})(?!\S)" for form, block in BLOCKS.items()}
_LINE_END = re.compile(r"\s{0,16}(?:\n|\Z)")  # bounded: the same end may be looked at for many a beginning
_BLANK_LINES_BEFORE = re.compile(r"(?:(?:\r\n){1,2}|\n{1,2})\Z")
_BLANK_LINES_BEHIND = re.compile(r"[ \t]*(?:(?:\r\n){1,2}|\n{0,2})")
_OPENING_CHARS = 64
"""More than an opening has, and the character behind it."""

_WINDOW_CHARS = 4
"""Two line ends of two characters."""

LARGE_CHARS = 250_000
"""Of the assistant's text in a request: more of it, if it is made for that, keeps a thread busy for longer than an event loop may wait."""


@cache
def _landmark(forms: tuple[Display, ...]) -> re.Pattern[str]:
    """A fence, or the opening of a block of one of these forms, at the beginning of a line."""
    return re.compile(rf"^(?:{'|'.join((_FENCE, *(_OPENINGS[form] for form in forms)))})", re.MULTILINE)


class _Stripper:
    """Goes through one text once, from landmark to landmark."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lead = len(text) - len(text.lstrip())
        self._kept: list[str] = []
        self._from = 0  # where what is kept begins again, behind the last block
        self._fence = ""
        self._stops: dict[Display, int] = {}  # the first end tag of a form behind the place where it was last looked for
        last: dict[Display, int] = {form: text.rfind(block.start_tag) for form, block in BLOCKS.items()}
        self._forms: tuple[Display, ...] = tuple(form for form, place in last.items() if place >= 0)
        self._last = max(last.values())  # nothing that stands further behind is looked at

    def run(self) -> str:
        """The text without the blocks."""
        at: int | None = 0
        end = self._last + _OPENING_CHARS
        while at is not None and at <= self._last and self._forms and (landmark := _landmark(self._forms).search(self._text, at, end)):
            form = self._form_of(landmark)
            if form is None:
                self._pass_fence(landmark)
                at = landmark.end()
            else:
                at = landmark.end() if self._fence else self._pass_block(landmark, form)
        return "".join(self._kept) + self._text[self._from :]

    def _form_of(self, landmark: re.Match[str]) -> Display | None:
        """The form of a block that opens here, None for a fence."""
        for form in self._forms:
            if landmark[form]:
                return form
        return None

    def _pass_fence(self, landmark: re.Match[str]) -> None:
        mark, info = (landmark["fence"], landmark["info"]) if landmark["fence"] else (landmark["tildes"], landmark["rest"])
        if not self._fence:
            self._fence = mark
        elif mark.startswith(self._fence) and not info.strip():
            self._fence = ""

    def _pass_block(self, landmark: re.Match[str], form: Display) -> int | None:
        """Where to go on behind the block; None where it takes the rest."""
        start = landmark.start()
        is_first = start in (self._lead, self._from)
        before = _BLANK_LINES_BEFORE.search(self._text[max(self._from, start - _WINDOW_CHARS) : start])
        blank_lines = before[0] if before else ""
        tag = BLOCKS[form].end_tag
        stop = self._stop_of(form, landmark.end())
        if stop < 0 and not is_first:
            self._forms = tuple(other for other in self._forms if other != form)
            return landmark.end()
        behind = _BLANK_LINES_BEHIND.match(self._text, stop + len(tag)) if stop >= 0 else None
        end = behind.end() if behind else len(self._text)
        if not is_first and blank_lines.count("\n") < 2:
            if not (_LINE_END.match(self._text, landmark.end()) and self._text[stop - 1] == "\n" and _LINE_END.match(self._text, stop + len(tag))):
                return landmark.end()
            blank_lines = blank_lines if end == len(self._text) else ""  # the line end was put between two texts
        self._kept.append(self._text[self._from : start - len(blank_lines)])
        self._from = end
        return end if stop >= 0 else None

    def _stop_of(self, form: Display, start: int) -> int:
        """Where the first end tag of a form stands behind `start`, -1 where none does."""
        stop = self._stops.get(form, 0)
        if 0 <= stop < start:
            stop = self._stops[form] = self._text.find(BLOCKS[form].end_tag, start)
        return stop


def strip_text(text: str) -> str:
    r"""A text without the blocks of reasoning in it.

    >>> strip_text("<think>\nHm.\n</think>\n\nUse `<think>` for that.")
    'Use `<think>` for that.'
    """
    return _Stripper(text).run() if any(block.start_tag in text for block in BLOCKS.values()) else text


def is_large(request: Request) -> bool:
    """Whether `strip_shown` may take longer than an event loop may wait, so that it belongs into a thread."""
    texts = (len(part.text) for message in request.messages if message.role is Role.ASSISTANT for part in message.parts if isinstance(part, TextPart))
    return sum(texts) > LARGE_CHARS


def strip_shown(request: Request) -> Request:
    """The request as it would be had its earlier answers shown no reasoning; the same object where they did not.

    What went is named by a Notice `shown_reasoning_removed`.
    """
    messages = [_stripped(message) if message.role is Role.ASSISTANT else message for message in request.messages]
    changed = sum(after is not before for after, before in zip(messages, request.messages, strict=True))
    if not changed:
        return request
    notice = Notice("shown_reasoning_removed", f"{changed} of the assistant's messages")
    return msgspec.structs.replace(
        request, messages=tuple(message for message in messages if message is not None), notices=(*request.notices, notice)
    )


def _stripped(message: Message) -> Message | None:
    """The same message if there is nothing to take out; None if nothing is left."""
    parts = tuple(part for before in message.parts if (part := _without_blocks(before)) is not None)
    if all(after is before for after, before in zip(parts, message.parts, strict=False)) and len(parts) == len(message.parts):
        return message
    return msgspec.structs.replace(message, parts=parts) if parts or message.tool_calls else None


def _without_blocks(part: Part) -> Part | None:
    """The same part if there is nothing to take out; None if nothing is left."""
    if not isinstance(part, TextPart):
        return part
    text = strip_text(part.text)
    if text == part.text:
        return part
    return msgspec.structs.replace(part, text=text) if text.strip() else None
