"""An answer that was promised to be JSON: the code fence around it is removed while it streams, and at the end it is checked.

For upstreams that take a prompt and nothing else. Events go in and come out. Of the visible text, white space before the JSON and a fence around it
(three backticks, a language's name, a line end; and three backticks at the end) are taken away, with a Notice; nothing else is ever touched. At the
end the text is decoded, and validated where a schema was given. Calls make no promise about text: an answer of calls alone is not checked, and
neither is one that its token limit cut.

What is done about a text that fails depends on whether it has left: a streamed answer ends with a Notice, a whole one fails, so that it can be asked
for again. Validation is the work of jsonschema-rs: it follows no reference out of the schema, and its regular expressions cannot be made to hang.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Protocol

import msgspec

from pipeline.errors import AnswerUnsatisfied, RequestError
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, TextDelta, ToolCallStart
from pipeline.request import AnswerFormat

MAX_HELD_CHARS = 64
"""Of a possible fence, or of white space before its end."""

_OPENING = re.compile(r"```[\w+-]{0,32}[ \t]*\r?\n")
_OPENING_SO_FAR = re.compile(r"`{0,3}\Z|```[\w+-]{0,32}[ \t]{0,16}\r?\Z")
_CLOSING_SO_FAR = re.compile(rf"\s{{0,{MAX_HELD_CHARS}}}(?:`{{1,3}}\s{{0,{MAX_HELD_CHARS}}})?\Z")
_CLOSING = re.compile(r"\s*```\s*\Z")


class State(Enum):
    """Where in the text the next character falls."""

    START = auto()
    BARE = auto()
    FENCED = auto()


# state -> what may come there -> next state
TRANSITIONS: dict[State, dict[str, State]] = {
    State.START: {"a fence": State.FENCED, "anything else": State.BARE},
    State.BARE: {},
    State.FENCED: {},
}


class _Misfit(Protocol):
    """What we read of jsonschema_rs.ValidationError."""

    @property
    def instance_path(self) -> Sequence[str | int]: ...


class _Validator(Protocol):
    """What we use of jsonschema_rs.Validator."""

    def iter_errors(self, instance: object) -> Iterator[_Misfit]: ...


class Checker:
    """What the text has to be.

    >>> Checker(AnswerFormat("json_object")).fault("[1]")
    'the answer is no JSON object'
    """

    def __init__(self, answer_format: AnswerFormat) -> None:
        """Raises RequestError for a schema that is none."""
        self._validator: _Validator | None = None
        if answer_format.kind == "json_schema" and answer_format.schema is not None:
            import jsonschema_rs  # 24 ms that only those pay who send a schema

            try:
                self._validator = jsonschema_rs.validator_for(answer_format.schema, offline=True)
            except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
                raise RequestError(
                    f"response_format.json_schema.schema is not a JSON Schema that can be used: {str(error).splitlines()[0]}",
                    param="response_format.json_schema.schema",
                ) from error

    def fault(self, text: str) -> str | None:
        """What is wrong with the text, in words without any of it; None when nothing is."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return "the answer is no JSON"
        if self._validator is None:
            return None if isinstance(value, dict) else "the answer is no JSON object"
        try:
            error = next(iter(self._validator.iter_errors(value)), None)
        except (ValueError, TypeError):
            return "the answer could not be checked against the schema"
        if error is None:
            return None
        place = "/".join(str(step) for step in error.instance_path)
        return f"the answer does not fit the schema at {'/' + place if place else 'its top'}"


class JsonAnswerMachine:
    """Reads one answer. With `must_hold` an answer that fails its check ends as `Failed`."""

    def __init__(self, checker: Checker, *, must_hold: bool) -> None:
        self.state = State.START
        self._checker = checker
        self._must_hold = must_hold
        self._held = ""
        self._text: list[str] = []
        self._has_calls = False
        self._out: list[Event] = []

    def feed(self, batch: Sequence[Event]) -> list[Event]:
        """The events of one list."""
        out: list[Event] = []
        self._out = out
        for event in batch:
            if isinstance(event, TextDelta):
                self._read(event.text)
            elif isinstance(event, Finish):
                self._finish(event)
            else:
                self._has_calls = self._has_calls or isinstance(event, ToolCallStart)
                if isinstance(event, ToolCallStart):
                    self._release()
                out.append(event)
        return out

    def _read(self, piece: str) -> None:
        text = self._held + piece
        self._held = ""
        if self.state is State.START:
            text = text.lstrip()
            found = _OPENING.match(text)
            if found is None and len(text) <= MAX_HELD_CHARS and _OPENING_SO_FAR.match(text):
                self._held = text
                return
            self.state = TRANSITIONS[self.state]["anything else" if found is None else "a fence"]
            text = text[found.end() :] if found else text
        if self.state is State.FENCED:
            found = _CLOSING_SO_FAR.search(text, max(0, len(text) - 2 * MAX_HELD_CHARS - 3))
            at = found.start() if found else len(text)
            text, self._held = text[:at], text[at:]
        self._show(text)

    def _show(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._out.append(TextDelta(text))

    def _release(self) -> None:
        held, self._held = self._held, ""
        self._show(held)

    def _finish(self, finish: Finish) -> None:
        if self.state is State.FENCED:
            if _CLOSING.match(self._held):
                self._held = ""
            self._out.append(Notice("json_fence_removed", "the code fence around the JSON was removed"))
        self._release()
        text = "".join(self._text)
        checked = finish.reason is not FinishReason.LENGTH and not (self._has_calls and not text.strip())
        fault = self._checker.fault(text) if checked else None
        if fault is None:
            self._out.append(finish)
        elif self._must_hold:
            message = f"The model did not answer as response_format asks: {fault}."
            self._out.append(Failed(AnswerUnsatisfied(message, code="response_format_unsatisfied")))
        else:
            self._out += (Notice("response_format_unsatisfied", fault), finish)
