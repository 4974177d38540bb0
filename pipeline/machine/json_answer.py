"""An answer that was promised to be JSON: the code fence around it is removed while it streams, and at the end it is checked.

For upstreams that take a prompt and nothing else. Events go in and come out. Of the visible text, a fence around the JSON (three backticks and a
language's name, with a line end or directly before the JSON; and three backticks at the end) is taken away, with a Notice, and so is white space
before the JSON, without one; nothing else is ever touched. What is held of a possible fence goes out before thinking, calls and failures.

At a proper end the text is decoded, and validated where a schema was given. What promises no JSON is not checked: an answer with calls or a refusal,
one that was filtered, and one that was cut by the client's own stop text or token limit.

What is done about a text that fails depends on whether it has left: a streamed answer ends with a Notice, a whole one fails, so that it can be asked
for again. Validation is the work of jsonschema-rs, which follows no reference out of the schema. What it costs is weighed before
(`pipeline.machine.schema_weight`): a schema that is too heavy is the client's error, and an answer that is too heavy for its schema is not held
against it, and a Notice says so. Formats are annotations and are not checked.
"""

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

import msgspec

from pipeline.errors import AnswerUnsatisfied, RequestError
from pipeline.events import Event, Failed, Finish, FinishReason, Notice, RefusalDelta, TextDelta, ThinkingDelta, ToolCallStart
from pipeline.machine.schema_weight import SchemaWeight, TooHeavy, weigh_schema
from pipeline.request import AnswerFormat, Json

MAX_HELD_CHARS = 64
"""Of a possible fence, or of white space before its end."""

MAX_LOOKS = 1_000_000
"""Subschemas times values: above it an answer is not checked."""

MAX_PLACED_LOOKS = 2_000
MAX_PLACED_CHARS = 10_000_000
"""Looks, and looks times characters: above them the place of a fault is not sought. Each fault found on the way is kept with a copy of its value."""

MAX_PATTERN_BYTES = 25_000_000
"""Of all compiled regular expressions of a schema together, as the engine counts; the process grows by up to twice as much."""

MAX_ONE_PATTERN_BYTES = 2_500_000
MAX_BACKTRACKS = 20_000
MAX_FAULT_CHARS = 200

_OPENING = re.compile(r"```[\w+-]{0,32}[ \t]{0,16}(?:\r?\n|(?=[{\[]))")
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


class _Validator(Protocol):
    """What we use of jsonschema_rs.Validator."""

    def is_valid(self, instance: Json) -> bool: ...
    def validate(self, instance: Json) -> None: ...


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a text, in words without any of it, None when nothing is; and why it was not held against its schema, if it was not."""

    fault: str | None = None
    unchecked: str | None = None


class Checker:
    """What the text has to be; `asked` is the client's field that says so.

    >>> Checker(AnswerFormat("json_object")).judge("[1]")
    Verdict(fault='the answer is no JSON object', unchecked=None)
    """

    def __init__(self, answer_format: AnswerFormat) -> None:
        """Raises RequestError for a schema that is none, or is too heavy."""
        self.asked = answer_format.path.removesuffix(".schema").removesuffix(".json_schema")
        self._validator: _Validator | None = None
        self._weight: SchemaWeight | None = None
        if answer_format.kind == "json_schema" and answer_format.schema is not None:
            try:
                self._weight = weigh_schema(answer_format.schema)
            except TooHeavy as error:
                raise _unusable(answer_format, str(error)) from None
            self._validator = _compiled(answer_format, answer_format.schema, self._weight)

    def judge(self, text: str) -> Verdict:
        """Read a whole text."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return Verdict("the answer is no JSON")
        if self._validator is None or self._weight is None:
            return Verdict(None if isinstance(value, dict) else "the answer is no JSON object")
        looks = self._weight.of(value, MAX_LOOKS)
        if looks is None:
            return Verdict(unchecked="the answer is too large to be held against a schema of this size")
        try:
            if self._validator.is_valid(value):
                return Verdict()
        except (ValueError, TypeError):
            return Verdict("the answer could not be checked against the schema")
        if looks > MAX_PLACED_LOOKS or looks * len(text) > MAX_PLACED_CHARS:
            return Verdict("the answer does not fit the schema")
        return Verdict(f"the answer does not fit the schema at {_place(self._validator, value)}")


def _compiled(answer_format: AnswerFormat, schema: dict[str, Json], weight: SchemaWeight) -> _Validator:
    import jsonschema_rs  # 24 ms that only those pay who send a schema

    # the linear engine takes neither looking around nor references back, so that it is the other one with bounds
    patterns = jsonschema_rs.FancyRegexOptions(
        backtrack_limit=MAX_BACKTRACKS, size_limit=min(MAX_ONE_PATTERN_BYTES, MAX_PATTERN_BYTES // max(1, len(weight.patterns)))
    )
    try:
        return jsonschema_rs.validator_for(schema, offline=True, validate_formats=False, pattern_options=patterns)
    except jsonschema_rs.ValidationError as error:
        place = _pointer(error.instance_path)
        raise _unusable(answer_format, f"what stands at {place} is not valid there") from None
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        raise _unusable(answer_format, str(error).partition("\n")[0]) from None


def _unusable(answer_format: AnswerFormat, why: str) -> RequestError:
    return RequestError(f"{answer_format.path} is not a JSON Schema that can be used: {_short(why)}.", param=answer_format.path)


def _place(validator: _Validator, value: Json) -> str:
    """Where the first fault is that the validator finds."""
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return _pointer(error.instance_path)
    except (ValueError, TypeError):
        pass
    return "its top"


def _pointer(steps: Sequence[str | int]) -> str:
    """A place, short enough for a line; its top where there are no steps."""
    return _short("".join(f"/{step}" for step in steps)) or "its top"


def _short(text: str) -> str:
    return text if len(text) <= MAX_FAULT_CHARS else f"{text[: MAX_FAULT_CHARS - 1]}…"


class JsonAnswerMachine:
    """Reads one answer. With `must_hold` an answer that fails its check ends as `Failed`."""

    def __init__(self, checker: Checker, *, must_hold: bool) -> None:
        self.state = State.START
        self._checker = checker
        self._must_hold = must_hold
        self._held = ""
        self._text: list[str] = []
        self._promises_json = True
        self._out: list[Event] = []

    def feed(self, batch: Sequence[Event]) -> list[Event]:
        """The events of one list."""
        out: list[Event] = []
        self._out = out
        for event in batch:
            match event:
                case TextDelta(text):
                    self._read(text)
                    continue
                case Finish():
                    self._finish(event)
                    continue
                case ToolCallStart() | RefusalDelta():
                    self._promises_json = False
                    self._release()
                case ThinkingDelta() | Failed():
                    self._release()
                case _:
                    pass
            out.append(event)
        return out

    def ended(self, finish: Finish) -> list[Event]:
        """What is said, with the finish, where another machine has ended the answer: its text stays as it is, and promises nothing."""
        return [*self._fence(), finish]

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
        if self._held:
            held, self._held = self._held, ""
            if self.state is State.START:  # what follows is no longer the beginning
                self.state = TRANSITIONS[self.state]["anything else"]
            self._show(held)

    def _fence(self) -> list[Notice]:
        return [Notice("json_fence_removed", "the code fence around the JSON was removed")] if self.state is State.FENCED else []

    def _finish(self, finish: Finish) -> None:
        if self.state is State.FENCED and _CLOSING.match(self._held):
            self._held = ""
        self._out += self._fence()
        self._release()
        checked = finish.reason is FinishReason.STOP and self._promises_json
        verdict = self._checker.judge("".join(self._text)) if checked else Verdict()
        if verdict.unchecked is not None:
            self._out.append(Notice("response_format_unchecked", verdict.unchecked))
        if verdict.fault is None:
            self._out.append(finish)
        elif self._must_hold:
            message = f"The model did not answer as {self._checker.asked} asks: {verdict.fault}."
            self._out.append(Failed(AnswerUnsatisfied(message, code="response_format_unsatisfied")))
        else:
            self._out += (Notice("response_format_unsatisfied", verdict.fault), finish)
