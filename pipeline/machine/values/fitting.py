"""Fit what a model wrote to the types that the client's schema allows, and the values inside it too.

A raw value, from the text form of a call, or a JSON value, from its JSON form, comes in with the shape that the schema asks for its place; JSON text
goes out, with what did not fit, in words. Types come from the schema, never from looks, and a value keeps its source text wherever it fits: only what
does not fit is changed, so a value that the schema accepts passes byte for byte. In a container in which something changed, the other values keep
their text. The rules hold at every depth:

- A number, true or false where a string is asked becomes the string of its source text; a string where no string may stand becomes what its text is
  as JSON, if that has one of the types. So `1.50` becomes "1.50", and "[1]" becomes [1].
- A value that `enum` or `const` lists fits, on whichever side of the quotes it is listed.
- Raw text has no type yet: it is tried as JSON for every type but string, and then it is a string. Where nothing is asked it is an object or an array
  if it parses as one.
- Of `anyOf` and `oneOf` a member is taken of which the value has a type, and of these the one under which it has the fewest misfits, values outside
  an `enum`, missing required members and members that may not be there; among equals the one that changes least, then the first.
- What fits nowhere is passed as it is and named by its path (`Write.edits[2].line`); a member that the schema does not name is `*`, since its name is
  the model's text.

There is no JSON Schema library here. Such a library answers whether a decoded value is valid, where the question is how to spell a value so that it
is valid; it knows nothing of source text; and it compiles regular expressions of the client's choice. The tests use one as their oracle.

A schema and a value may be hostile together, so the work for one call is bounded (`MAX_VISITS`, `MAX_STEPS`). A value that would cost more is typed
at its own level only, and its inside passes as it is. Nothing raises.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.machine.tools.json_types import ANY, is_text
from pipeline.machine.tools.shapes import Shape
from pipeline.machine.values.json_source import Value, quote

MAX_VISITS = 50_000
"""How often a value is looked at under a shape, for all values of one call."""

MAX_STEPS = 64
"""How deep values, and alternatives within alternatives, are followed."""

MAX_NAMED = 8
"""How many misfits of one argument are named; the others are counted."""

_BYTES_A_VISIT = 1024
_MAX_NAME_CHARS = 64


class Fitted(NamedTuple):
    """JSON text, and what does not fit the schema, in words."""

    text: str
    misfits: list[str]


class _Outcome(NamedTuple):
    """What a value becomes under a shape, and how well that fits."""

    source: bytes
    changes: int = 0
    misfits: int = 0
    doubts: int = 0
    named: tuple[str, ...] = ()
    is_mistyped: bool = False
    """Whether the value itself, and not only something in it, has none of the shape's types."""

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Less is better."""
        return self.is_mistyped, self.misfits + self.doubts, self.changes


class _Spent(Exception):
    """This value costs more than may be spent on it."""


class Fitting:
    """The fitting of one call's arguments, with its bound on work.

    >>> from pipeline.machine.tools.shapes import Shapes
    >>> edits = {"type": "array", "items": {"properties": {"line": {"type": "integer"}, "text": {"type": "string"}}}}
    >>> shape = Shapes(edits).of(edits)
    >>> Fitting().source('[{"line": "7", "text": 1.50}, {"line": "x"}]', shape, "Write.edits")
    Fitted(text='[{"line":7,"text":"1.50"},{"line": "x"}]', misfits=['Write.edits[1].line is not integer'])
    >>> Fitting().text("7", shape, "Write.edits")
    Fitted(text='"7"', misfits=['Write.edits is not array; passed as a string'])
    """

    def __init__(self, visits: int = MAX_VISITS) -> None:
        """`visits` is the bound on work."""
        self._visits_left = visits

    def source(self, source: str, shape: Shape, path: str) -> Fitted | None:
        """A JSON value; None when the source is no JSON. `path` names the value in what is said of it."""
        value = Value.read(source)
        return None if value is None else _said(self._top(value, shape, path), path)

    def text(self, text: str, shape: Shape, path: str) -> Fitted:
        """A raw value, as JSON text."""
        may_be_string = "string" in shape.types
        value = None if is_text(shape.types) else Value.read(text)
        if value is not None and value.kind != "string" and (shape.types != ANY or value.is_container):
            outcome = self._top(value, shape, path)
            if not outcome.misfits or (value.kind in shape.types and not may_be_string):
                return _said(outcome, path)
        return Fitted(quote(text), [] if may_be_string else [f"{_misfit(shape, path)}; passed as a string"])

    def _top(self, value: Value, shape: Shape, path: str) -> _Outcome:
        try:
            return self._fit(value, shape, path, 0)
        except _Spent:
            return self._plain(value, shape.bare, path, 0)

    def _spend(self, visits: int) -> None:
        self._visits_left -= visits
        if self._visits_left < 0:
            raise _Spent

    def _afford(self, visits: int) -> None:
        """Give up before the inside of a container is read, if it cannot be looked at whole."""
        if visits > self._visits_left:
            self._spend(visits)

    def _fit(self, value: Value, shape: Shape, path: str, steps: int) -> _Outcome:
        if shape.asks_nothing or steps > MAX_STEPS:
            return _Outcome(value.source)
        self._spend(1)
        found = value.outcomes.get(shape)
        if found is None:
            found = (self._either if shape.alternatives else self._plain)(value, shape, path, steps)
            value.outcomes[shape] = found
        return found

    def _either(self, value: Value, shape: Shape, path: str, steps: int) -> _Outcome:
        best: _Outcome | None = None
        for alternative in shape.alternatives:
            outcome = self._fit(value, alternative, path, steps + 1)
            if best is None or outcome.rank < best.rank:
                best = outcome
            if best.rank == (False, 0, 0):
                break
        # where no alternative takes it, what all of them allow together is what the reader is told
        return self._plain(value, shape.bare, path, steps) if best is None or best.is_mistyped else best

    def _plain(self, value: Value, shape: Shape, path: str, steps: int) -> _Outcome:
        if shape.scalars is not None:
            if value.key in shape.scalars:
                return _Outcome(value.source)
            other = value.respelled
            if other is not None and other.key in shape.scalars and not (other.kind == "null" and is_text(shape.types)):
                return _Outcome(other.source, changes=1)
        doubts = 0 if shape.scalars is None else 1
        if value.kind in shape.types:
            outcome = self._inside(value, shape, path, steps)
        elif (other := value.respelled) is not None and other.kind in shape.types:
            outcome = self._inside(other, shape, path, steps)
            outcome = outcome._replace(changes=outcome.changes + 1)
        else:
            outcome = _Outcome(value.source, misfits=1, named=(_misfit(shape, path),), is_mistyped=True)
        return outcome._replace(doubts=outcome.doubts + doubts) if doubts else outcome

    def _inside(self, value: Value, shape: Shape, path: str, steps: int) -> _Outcome:
        if value.kind == "object" and shape.asks_members:
            self._afford(value.count)
            self._spend(value.count * shape.closed_count)
            members = value.members
            outcomes = [self._fit(member, shape.member(key), _below(path, shape, key), steps + 1) for key, member in members.items()]
            return self._together(value, outcomes, list(members), shape.doubts(members))
        if value.kind == "array" and shape.asks_items and (shape.prefix_count or not shape.item(0).asks_nothing):
            self._afford(value.count)
            shapes = [shape.item(index) for index in range(min(shape.prefix_count, value.count) + 1)]
            outcomes = [self._fit(item, shapes[min(index, len(shapes) - 1)], f"{path}[{index}]", steps + 1) for index, item in enumerate(value.items)]
            return self._together(value, outcomes)
        return _Outcome(value.source)

    def _together(self, value: Value, outcomes: Sequence[_Outcome], keys: Sequence[str] | None = None, doubts: int = 0) -> _Outcome:
        """The container of these; its own text where none of them changed."""
        changes = sum(outcome.changes for outcome in outcomes)
        source = value.source
        if changes:
            self._spend(len(source) // _BYTES_A_VISIT)
            sources = [outcome.source for outcome in outcomes]
            if keys is None:
                source = b"[" + b",".join(sources) + b"]"
            else:
                source = b"{" + b",".join([quote(key).encode() + b":" + member for key, member in zip(keys, sources, strict=True)]) + b"}"
        misfits = sum(outcome.misfits for outcome in outcomes)
        named = tuple(words for outcome in outcomes for words in outcome.named)[:MAX_NAMED] if misfits else ()
        return _Outcome(source, changes, misfits, doubts + sum(outcome.doubts for outcome in outcomes), named)


def _said(outcome: _Outcome, path: str) -> Fitted:
    more = outcome.misfits - len(outcome.named)
    return Fitted(outcome.source.decode(), [*outcome.named, *([f"{path} holds {more} more such values"] if more else [])])


def _misfit(shape: Shape, path: str) -> str:
    return f"{path} is not {' or '.join(sorted(shape.types))}"


def _below(path: str, shape: Shape, key: str) -> str:
    return f"{path}.{key[:_MAX_NAME_CHARS] if shape.names(key) else '*'}"
