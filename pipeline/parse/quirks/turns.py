"""A turn of the conversation while it is normalised, and how it is written.

Theory of operation: the readers make one `Turn` of each message or item. `folded` makes one of all neighbours that are the assistant's: Responses
writes its text and each of its calls as items of their own, where Chat has one message. `written` gives Chat's message. Text that has to be one
string is joined with line feeds. Turns are changed in place while they are put in order; nothing of the client's body is.
"""

from collections.abc import Iterable

import msgspec

from pipeline.parse.quirks.calls import Call
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import Part
from pipeline.request import Json

BETWEEN_TEXTS = "\n"


class Turn(msgspec.Struct):
    """One message: `role` is Chat's, `path` where it stood, `answers` the id of the call whose result it is, `legacy_name` that call's name instead.

    `thoughts` are texts by the names of Chat's reasoning fields; `extra` are the fields that nobody here reads.
    """

    role: str
    path: str
    parts: list[Part] = []
    calls: list[Call] = []
    answers: str | None = None
    legacy_name: str | None = None
    name: str | None = None
    thoughts: dict[str, list[str]] = {}
    extra: dict[str, Json] = {}

    @property
    def says_nothing(self) -> bool:
        """Whether there is neither a call nor anything but empty text."""
        return not self.calls and all(part.text == "" for part in self.parts)

    def written(self, ledger: Ledger) -> dict[str, Json]:
        """The message in Chat's form."""
        content = self._user_content() if self.role == "user" else self._joined(ledger)
        message: dict[str, Json] = {"role": self.role, "content": content}
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = [call.written() for call in self.calls]
        if self.role == "tool":
            message["tool_call_id"] = self.answers
        elif self.name is not None:
            message["name"] = self.name
        message.update((name, BETWEEN_TEXTS.join(texts)) for name, texts in self.thoughts.items())
        return message | self.extra

    def _user_content(self) -> Json:
        """N3: one text is a string; anything else stays in parts."""
        if not self.parts:
            return ""
        only = self.parts[0].fields
        return only["text"] if len(self.parts) == 1 and only.keys() == {"type", "text"} and only["type"] == "text" else self._listed()

    def _joined(self, ledger: Ledger) -> Json:
        """N3: one string, as long as there is nothing but text."""
        if any(part.text is None for part in self.parts):
            return self._listed()
        for part in self.parts:
            for name in part.fields:
                if name not in ("type", "text"):
                    ledger.ignore_inside(f"content.{name}")
        return BETWEEN_TEXTS.join(text for part in self.parts if (text := part.text))

    def _listed(self) -> list[dict[str, Json]]:
        return [part.fields for part in self.parts]


def folded(turns: Iterable[Turn], ledger: Ledger) -> list[Turn]:
    """N4: neighbours that are the same assistant's become one turn, their texts and calls in order."""
    found: list[Turn] = []
    for turn in turns:
        before = found[-1] if found else None
        if before is None or before.role != "assistant" or turn.role != "assistant" or before.name != turn.name:
            found.append(turn)
            continue
        before.parts.extend(turn.parts)
        before.calls.extend(turn.calls)
        for name, texts in turn.thoughts.items():
            before.thoughts.setdefault(name, []).extend(texts)
        for name, value in turn.extra.items():
            if before.extra.setdefault(name, value) != value:
                ledger.ignore_inside(name)
    return found


def without_empty(turns: Iterable[Turn], ledger: Ledger) -> list[Turn]:
    """N10 repair: without the assistant's turns that hold neither text nor calls."""
    kept: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and turn.says_nothing:
            ledger.drop("empty assistant message")
        else:
            kept.append(turn)
    return kept
