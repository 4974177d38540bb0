"""Whole answers with what must come of them, by construction: prose, thinking, tokens, and blocks of hostile calls in every spelling and form.

An answer is a row of segments, each a part of one field that knows its own outcome; so nothing has to be read to know what is right. Every segment is
closed when it ends, except the last one of an answer, in which a marker may be missing that the proper end of the stream supplies.
"""

from typing import Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from tests.support.call_spellings import GAPS, Arguments, B, E, S, b, call_bodies, e, is_structural

Outcome: TypeAlias = tuple[str, Any]
"""("think", text), ("text", text) or ("call", (name, arguments))."""

NOTICES = frozenset({"argument_type", "call_in_thinking", "call_repaired", "empty_answer", "malformed_call", "marker_kept", "unknown_tool"})
"""What an answer of this kind may be told."""


class Segment(NamedTuple):
    """A part of one field, T or K. `call_ends` are the offsets behind the calls' own end markers; `named` notices must be given for it."""

    field: str
    source: str
    outcome: tuple[Outcome, ...] = ()
    call_ends: tuple[int, ...] = ()
    named: frozenset[str] = frozenset()


class Answer(NamedTuple):
    """A row of segments and what becomes of them at a proper end."""

    segments: tuple[Segment, ...]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What the upstream says."""
        return [(segment.field, segment.source) for segment in self.segments]

    @property
    def named(self) -> frozenset[str]:
        """Notices that must be given."""
        return frozenset().union(*(segment.named for segment in self.segments))


def merged(outcomes: list[Outcome]) -> list[Outcome]:
    """Outcomes with adjacent texts of one kind as one, and without empty ones."""
    found: list[Outcome] = []
    for kind, value in outcomes:
        if kind != "call" and not value:
            continue
        if kind != "call" and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + value)
        else:
            found.append((kind, value))
    return found


# -- prose ---------------------------------------------------------------------------------------------------------------------------------------

_PLAIN = st.text(alphabet=st.characters(exclude_characters="<|｜", exclude_categories=["Cs"]), max_size=20)
_NEARLY = st.sampled_from(["a < b. ", "<b>", "<|x", "<|tool_.", "</thinks", "< |y", "|>", "x<|tool_call_begin|!"])
_TOKENS = st.sampled_from(["x</think>.", "x<|final|>.", "x < ｜ FINAL ｜ >."])
_STRAY = st.tuples(S | e | E, st.sampled_from([".", " x", "\ny"])).map("".join)
_STRAY_BEGIN = st.tuples(B | b, st.sampled_from([" is a marker.", ", as they say.", "'s."])).map("".join)


@st.composite
def prose(draw, *, tokens: bool) -> tuple[str, frozenset[str]]:
    """Text in which no marker means anything, and the notices that it must give."""
    parts: list[str] = []
    named: set[str] = set()
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["plain", "plain", "nearly", "stray", "begin", "token"]))
        if kind == "stray":
            named.add("marker_kept")
        elif kind == "begin":
            named.add("malformed_call")
        parts.append(draw({"nearly": _NEARLY, "stray": _STRAY, "begin": _STRAY_BEGIN, "token": _TOKENS if tokens else _PLAIN}.get(kind, _PLAIN)))
    return "".join(parts), frozenset(named)


# -- calls ---------------------------------------------------------------------------------------------------------------------------------------


def _called(given: Arguments) -> Outcome:
    return ("call", ("Write", given))


@st.composite
def blocks(draw, field: str) -> Segment:
    """A block of one to three calls."""
    source, ends, outcome = draw(B) + draw(GAPS), [], []
    for _ in range(draw(st.integers(1, 3))):
        body, given = draw(call_bodies())
        source += draw(b) + body + draw(e)
        ends.append(len(source))
        source += draw(GAPS)
        outcome.append(_called(given))
    return Segment(field, source + draw(E), tuple(outcome), tuple(ends))


@st.composite
def bare_calls(draw, field: str) -> Segment:
    """A call without a block, which ends at its own end marker."""
    body, given = draw(call_bodies(in_block=False))
    source = draw(b) + body + draw(e)
    return Segment(field, source, (_called(given),), (len(source),), frozenset())


@st.composite
def unknown_calls(draw, field: str, sink: str) -> Segment:
    """A block with a call of a tool that was not offered: it stays text, to the last character."""
    raw = draw(st.text(max_size=20) | _STRAY).encode(errors="ignore").decode()
    value = "replaced" if is_structural(f"{raw}\n<") or "<" in raw.replace("<|", "").replace("<｜", "") else raw
    source = f"{draw(B)}{draw(b)}\nNope\n{draw(S)}x\n{value}\n{draw(e)}{draw(E)}"
    return Segment(field, source, ((sink, source),), (), frozenset({"unknown_tool"}))


@st.composite
def unclosed(draw, field: str) -> Segment:
    """The last segment of an answer: a block whose end, or whose last or first call's end, is missing."""
    missing = draw(st.sampled_from(["block end", "last call end", "first call end"]))
    if missing == "block end":
        body, given = draw(call_bodies())
        return Segment(field, draw(B) + draw(b) + body + draw(e), (_called(given),), (), frozenset({"call_repaired"}))
    if missing == "last call end":
        body, given = draw(call_bodies(followed="<|tool_calls_end|>", only_pairs=True))
        return Segment(field, draw(B) + draw(b) + body + draw(E), (_called(given),), (), frozenset({"call_repaired"}))
    body, given = draw(call_bodies(followed="<|tool_call_begin|>", only_pairs=True))
    second, also_given = draw(call_bodies(only_pairs=True))
    source = draw(B) + draw(b) + body + draw(b)
    ends = [len(source)]
    source += second + draw(e)
    ends.append(len(source))
    return Segment(field, source + draw(E), (_called(given), _called(also_given)), tuple(ends), frozenset({"call_repaired"}))


# -- answers -------------------------------------------------------------------------------------------------------------------------------------

_ANSWER_TOKENS = st.sampled_from(["</think>", "</THINK>", "<|final|>", "<｜final｜>", "< | Final | >"])
_CLOSING = st.sampled_from(["<|/final|>", "<｜/final｜>"])


class _Field:
    """What is known of one field while it is being written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sink = "text" if name == "T" else "think"
        self.is_new = True
        self.drops_space = False
        self.final_is_open = False


@st.composite
def answers(draw) -> Answer:
    """An answer of one to six segments over both fields."""
    segments: list[Segment] = []
    fields = {"T": _Field("T"), "K": _Field("K")}
    for _ in range(draw(st.integers(1, 6))):
        field = fields[draw(st.sampled_from("TTK"))]
        segments.append(draw(_segments(field)))
    if draw(st.integers(0, 3)) == 0:
        segments.append(draw(unclosed(draw(st.sampled_from("TK")))))
    return Answer(tuple(segments))


@st.composite
def _segments(draw, field: _Field) -> Segment:
    kind = draw(st.sampled_from(["prose", "prose", "block", "block", "bare", "unknown", "token", "closing"]))
    is_new, field.is_new = field.is_new, False
    if kind == "token" and (field.sink == "think" or is_new):
        return draw(_answer_tokens(field))
    if kind == "closing" and field.final_is_open:
        field.final_is_open = field.drops_space = False
        return Segment(field.name, draw(_CLOSING))
    if kind in ("block", "bare", "unknown"):
        field.drops_space = kind != "bare"
        return draw({"block": blocks(field.name), "bare": bare_calls(field.name), "unknown": unknown_calls(field.name, field.sink)}[kind])
    text, named = draw(prose(tokens=field.sink == "text"))
    said = text.lstrip() if field.drops_space else text
    field.drops_space = field.drops_space and not said
    return Segment(field.name, text, ((field.sink, said),), (), named)


@st.composite
def _answer_tokens(draw, field: _Field) -> Segment:
    """One or two tokens, behind which the field is the visible answer."""
    token = draw(_ANSWER_TOKENS)
    second = draw(GAPS) + draw(_ANSWER_TOKENS) if draw(st.booleans()) else ""
    field.sink, field.drops_space = "text", True
    field.final_is_open = "final" in (token + second).lower()
    return Segment(field.name, token + second)
