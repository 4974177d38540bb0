"""ChatCalls: deltas with broken indices, ids and names as well-formed calls."""

import json
import time
from functools import partial
from itertools import count, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import Notice, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UpstreamEvent
from pipeline.wire.openai_calls import CallDelta, ChatCalls
from tests.support.splits import cut

D = CallDelta
OFFERED = ("now", "get_weather", "get_weather_at", "run")


def feed(*deltas: CallDelta | str, names=OFFERED, taken=(), cut_short=False) -> list[UpstreamEvent]:
    """The events of these deltas; a text stands for itself."""
    numbers, events = count(1), list[UpstreamEvent]()
    calls = ChatCalls(new_id=lambda: f"made_{next(numbers)}", names=names, taken_ids=taken)
    for delta in deltas:
        if isinstance(delta, str):
            calls.speak(TextDelta(delta), events)
        else:
            calls.add(delta, events)
    calls.end(events, cut=cut_short)
    return events


def told(events: list[UpstreamEvent], *, may_stay_open: bool = False) -> list[object]:
    """Calls as (id, name, arguments), texts and codes of Notices; asserts that calls are well formed. One that stays open has no id."""
    result, open_call = list[object](), None
    arguments = ""
    started = 0
    for event in events:
        match event:
            case ToolCallStart(index, _, _):
                assert open_call is None
                assert index == started
                open_call, arguments, started = event, "", started + 1
            case ToolCallDelta(index, piece):
                assert open_call is not None
                assert index == open_call.index
                assert piece
                arguments += piece
            case ToolCallEnd(index):
                assert open_call is not None
                assert index == open_call.index
                result.append((open_call.id, open_call.name, arguments))
                open_call = None
            case TextDelta(text):
                assert open_call is None
                result.append(text)
            case Notice(code, _):
                result.append(code)
    if open_call is not None:
        assert may_stay_open
        result.append((open_call.name, arguments))
    return result


CASES = {
    "as it should be": (
        [D(0, "a", "now"), D(0, arguments="{}"), D(1, "b", "run"), D(1, arguments='{"x"'), D(1, arguments=":1}")],
        [("a", "now", "{}"), ("b", "run", '{"x":1}')],
    ),
    "a whole call in one delta": ([D(0, "a", "now", "{}"), D(1, "b", "run", "{}")], [("a", "now", "{}"), ("b", "run", "{}")]),
    "indices missing": (
        [D(None, "a", "now", "{"), D(None, "", "", "}"), D(None, "b", "run"), D(None, "", "", "{}")],
        [("a", "now", "{}"), ("b", "run", "{}")],
    ),
    "indices and ids missing": (
        [D(name="now", arguments="{"), D(arguments="}"), D(name="run"), D(arguments="{}"), D(name="run", arguments="{}")],
        [("made_1", "now", "{}"), ("made_2", "run", "{}"), ("made_3", "run", "{}")],
    ),
    "one index for all": (
        [D(0, "a", "now", "{}"), D(0, "b", "run"), D(0, arguments="{"), D(0, "b", arguments="}"), D(0, "c", "run", "{}")],
        [("a", "now", "{}"), ("b", "run", "{}"), ("c", "run", "{}")],
    ),
    "one index for all, no ids": ([D(0, "", "now", "{}"), D(0, "", "now", "{}")], [("made_1", "now", "{}"), ("made_2", "now", "{}")]),
    "indices from 7 with gaps": ([D(7, "a", "now"), D(7, arguments="{}"), D(9, "b", "run", "{}")], [("a", "now", "{}"), ("b", "run", "{}")]),
    "another index on each delta": ([D(0, "a", "now", "{"), D(1, arguments='"x"'), D(2, arguments=":1}")], [("a", "now", '{"x":1}')]),
    "the index only in the first delta": ([D(0, "a", "now", "{"), D(arguments="}")], [("a", "now", "{}")]),
    "the id on each delta": ([D(0, "a", "now", "{"), D(0, "a", "", "}")], [("a", "now", "{}")]),
    "id and name on each delta": ([D(0, "a", "now", "{"), D(0, "a", "now", "}"), D(0, "a", "now")], [("a", "now", "{}")]),
    "a new id on each delta": ([D(0, "a", "now", "{"), D(0, "b", "", "}")], [("a", "now", "{}")]),
    "the id comes late": ([D(0, name="read", arguments=""), D(0, "a", "", "{}")], [("a", "read", "{}")]),
    "the id comes too late": ([D(0, name="now", arguments="{"), D(0, "a", "", "}")], [("made_1", "now", "{}")]),
    "the name comes late": ([D(0, "a"), D(0, arguments="{"), D(0, arguments="}"), D(0, name="now")], [("a", "now", "{}")]),
    "the name comes in pieces": ([D(0, "a", "get_"), D(0, name="weather"), D(0, arguments="{}")], [("a", "get_weather", "{}")]),
    "the name is the beginning of another": ([D(0, "a", "get_weather"), D(0, name="_at"), D(0, arguments="{}")], [("a", "get_weather_at", "{}")]),
    "the name is resent": ([D(0, "a", "other"), D(0, name="other"), D(0, arguments="{}")], [("a", "other", "{}")]),
    "no name ever": ([D(0, "a", "", "{}"), D(1, "b", "run", "{}")], ["nameless_call", ("b", "run", "{}")]),
    "no arguments": ([D(0, "a", "now"), D(1, "b", "run", "")], [("a", "now", "{}"), ("b", "run", "{}")]),
    "blank arguments": ([D(0, "a", "now", " ")], [("a", "now", " {}")]),
    "interleaved": (
        [D(0, "a", "now"), D(1, "b", "run"), D(0, arguments='{"x"'), D(1, arguments='{"y"'), D(0, arguments=":1}"), D(1, arguments=":2}")],
        [("a", "now", '{"x":1}'), ("b", "run", '{"y":2}')],
    ),
    "interleaved, the first one never complete": (
        [D(0, "a", "now", '{"x'), D(1, "b", "run", "{}"), "so", D(0, arguments=":")],
        ["invalid_arguments", ("a", "now", '{"x:'), ("b", "run", "{}"), "so"],
    ),
    "the same id twice": ([D(0, "a", "now", "{}"), D(1, "a", "run", "{}")], ["duplicate_call_id", ("a", "now", "{}"), ("made_1", "run", "{}")]),
    "the same id, name and index twice": (
        [D(0, "a", "now", "{}"), D(0, "a", "now", '{"x":1}')],
        ["duplicate_call_id", ("a", "now", "{}"), ("made_1", "now", '{"x":1}')],
    ),
    "a made id is an id like others": (
        [D(0, "", "now", "{}"), D(1, "made_1", "run", "{}")],
        ["duplicate_call_id", ("made_1", "now", "{}"), ("made_2", "run", "{}")],
    ),
    "a head without arguments, then arguments, under the same index": (
        [D(0, "", "now", "{}"), D(0, "", "now"), D(0, arguments="{}")],
        [("made_1", "now", "{}"), ("made_2", "now", "{}")],
    ),
    "invalid arguments": ([D(0, "a", "now", "{'x': 1}")], ["invalid_arguments", ("a", "now", "{'x': 1}")]),
    "rubbish behind the arguments": ([D(0, "a", "now", "{}"), D(0, arguments="}")], ["invalid_arguments", ("a", "now", "{}}")]),
    "rubbish behind a call that has ended": (
        [D(0, "a", "now", "{}"), D(1, "b", "run", "{}"), D(0, arguments="}"), D(0, arguments="\n")],
        [("a", "now", "{}"), "late_arguments", ("b", "run", "{}")],
    ),
    "a custom call": ([D(0, "a", "patch", "{}}", True), D(0, arguments="\n", custom=True)], [("a", "patch", "{}}\n")]),
    "a custom call without input": ([D(0, "a", "patch", custom=True)], [("a", "patch", "")]),
    "a custom call ends with the next call": (
        [D(0, "a", "patch", "one {", True), "so", D(1, "b", "patch", "two", True), D(2, "c", "run", "{}")],
        [("a", "patch", "one {"), "so", ("b", "patch", "two"), ("c", "run", "{}")],
    ),
    "a custom call behind a function's": (
        [D(0, "a", "run", '{"x":'), D(1, "b", "patch", "p", True), D(0, arguments="1}"), D(1, arguments="q", custom=True)],
        [("a", "run", '{"x":1}'), ("b", "patch", "pq")],
    ),
    "a custom call that goes on behind the next one": (
        [D(0, "a", "patch", "one", True), D(1, "b", "patch", "two", True), D(0, arguments=" ", custom=True)],
        [("a", "patch", "one "), ("b", "patch", "two")],
    ),
    "custom calls whose pieces alternate": (
        [D(0, "a", "patch", "1", True), D(1, "b", "patch", "x", True), D(0, arguments="2", custom=True), D(1, arguments="y", custom=True)],
        [("a", "patch", "12"), ("b", "patch", "xy")],
    ),
    "a custom call and a function's whose pieces alternate": (
        [D(0, "a", "patch", "1", True), D(1, "b", "run", "{}"), "so", D(0, arguments="2", custom=True)],
        [("a", "patch", "12"), ("b", "run", "{}"), "so"],
    ),
    "raw text with brackets in a function's call, and text inside it": (
        [D(0, "a", "run", "x = {}"), "so", D(0, arguments="; y"), D(1, "b", "now", "{}")],
        ["invalid_arguments", ("a", "run", "x = {}; y"), "so", ("b", "now", "{}")],
    ),
    "id and name on each delta of raw text with brackets": (
        [D(0, "a", "run", "x = {}"), D(0, "a", "run", "; y")],
        ["invalid_arguments", ("a", "run", "x = {}; y")],
    ),
    "brackets that close too early, and text inside": (
        [D(0, "a", "run", "{x}"), "so", D(0, arguments=" and {y}")],
        ["invalid_arguments", ("a", "run", "{x} and {y}"), "so"],
    ),
    "a custom call of one index for all": (
        [D(0, "a", "patch", "{}", True), D(0, arguments="{", custom=True), D(0, "b", "patch", "x", True)],
        [("a", "patch", "{}{"), ("b", "patch", "x")],
    ),
    "the name on each delta of a custom call": (
        [D(None, "", "patch", "x", True), D(None, "", "", "{}", True), D(None, "", "", "y", True)],
        [("made_1", "patch", "x{}y")],
    ),
    "id and name on each delta of a custom call": (
        [D(0, "a", "patch", "{}", True), D(0, "a", "patch", "{}", True), "so", D(0, "a", "patch", "x", True)],
        [("a", "patch", "{}{}x"), "so"],
    ),
    "text between": (["so", D(0, "a", "now", "{}"), "then", D(1, "b", "run", "{}")], ["so", ("a", "now", "{}"), "then", ("b", "run", "{}")]),
    "brackets in strings": (
        [D(0, "a", "now", '{"x":"}'), D(1, "b", "run", "{}"), D(0, arguments='\\"}"}')],
        [("a", "now", '{"x":"}\\"}"}'), ("b", "run", "{}")],
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), CASES.values(), ids=CASES)
def test_calls_are_repaired(deltas, expected):
    events = told(feed(*deltas))
    assert [found for found in events if isinstance(found, tuple)] == [found for found in expected if isinstance(found, tuple)]
    assert sorted(map(str, events)) == sorted(map(str, expected))


# What an answer that was cut short ends with: calls that ended, the one that stays open, and how many pieces were left out behind that.
CUT_SHORT = {
    "inside a function's call": ([D(0, "a", "run", '{"x')], [], ("run", '{"x'), 0),
    "before a function's arguments": ([D(0, "a", "run")], [], ("run", ""), 0),
    "behind a function's whole call": ([D(0, "a", "run", "{}"), "so"], [("a", "run", "{}"), "so"], None, 0),
    "inside a function's call with a blank behind it": ([D(0, "a", "run", '{"x'), "\n"], [], ("run", '{"x'), 1),
    "inside the first of two functions' calls": ([D(0, "a", "run", '{"x'), D(1, "b", "run", "{}")], [], ("run", '{"x'), 1),
    "behind raw text with brackets": ([D(0, "a", "run", "x = {}\n*** Del"), "\n"], [], ("run", "x = {}\n*** Del"), 1),
    "inside a custom call": ([D(0, "a", "patch", "x", True)], [], ("patch", "x"), 0),
    "inside a custom call with a blank behind it": ([D(0, "a", "patch", "x", True), "\n"], [], ("patch", "x"), 1),
    "inside the function's call behind a custom one": ([D(0, "a", "patch", "x", True), D(1, "b", "run", '{"x')], [], ("patch", "x"), 1),
    "inside the custom call behind a custom one": ([D(0, "a", "patch", "x", True), "so", D(1, "b", "patch", "y", True)], [], ("patch", "x"), 2),
    "behind a whole call behind a custom one": (
        [D(0, "a", "patch", "x", True), "so", D(1, "b", "run", "{}"), "."],
        [("a", "patch", "x"), "so", ("b", "run", "{}"), "."],
        None,
        0,
    ),
    "inside the last of three calls": (
        [D(0, "a", "patch", "x", True), D(1, "b", "run", "{}"), D(2, "c", "patch", "y", True), "\n"],
        [("a", "patch", "x"), ("b", "run", "{}")],
        ("patch", "y"),
        1,
    ),
    "while the pieces of two calls alternate": (
        [D(0, "a", "patch", "1", True), D(1, "b", "run", "{}"), D(0, arguments="2", custom=True)],
        [],
        ("patch", "12"),
        1,
    ),
    "inside a call that got no name": ([D(0, "a", "patch", "x", True), D(1, "b", "", '{"x')], [], ("patch", "x"), 1),
}


@pytest.mark.parametrize(("deltas", "ended", "left_open", "left_out"), CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_call_that_may_be_half_stays_open_when_the_answer_was_cut_short(deltas, ended, left_open, left_out):
    events = feed(*deltas, cut_short=True)
    assert told(events, may_stay_open=True) == [*ended, *(["call_cut", left_open] if left_open else [])]
    if left_open:
        assert isinstance(notice := events[-1], Notice)
        assert ("left out" in notice.detail) is bool(left_out)
        assert not left_out or notice.detail.endswith(f"left out ({left_out} pieces)")


@given(st.text(min_size=1), st.lists(st.text(" \n.", min_size=1, max_size=3), max_size=3), st.booleans())
def test_no_text_behind_a_custom_call_makes_it_whole(words, behind, custom):
    events = feed(D(0, "a", "patch", "*" + words, custom=custom), *behind, cut_short=True)
    assert not any(isinstance(event, ToolCallEnd) for event in events)
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == "*" + words


TAKEN = {
    "an id of the history": ([D(0, "old", "now", "{"), D(0, "old", "", "}")], [("made_1", "now", "{}")]),
    "an id of the history that comes late": ([D(0), D(0, "old"), D(0, name="now", arguments="{}")], [("made_1", "now", "{}")]),
    "an id of the history twice": ([D(0, "old", "now", "{}"), D(1, "old", "run", "{}")], [("made_1", "now", "{}"), ("made_2", "run", "{}")]),
    "an id of the answer that comes late": ([D(0, "a", "now", "{}"), D(1), D(1, "a", "now", "{}")], [("a", "now", "{}"), ("made_1", "now", "{}")]),
}


@pytest.mark.parametrize(("deltas", "expected"), TAKEN.values(), ids=TAKEN)
def test_O4_ids_are_unique_in_the_conversation(deltas, expected):
    events = told(feed(*deltas, taken=["old"]))
    assert [found for found in events if isinstance(found, tuple)] == expected
    assert "duplicate_call_id" in events


def test_a_name_that_is_certain_starts_its_call_at_once():
    events: list[UpstreamEvent] = []
    calls = ChatCalls(new_id=lambda: "x", names=OFFERED)
    calls.add(D(0, "a", "now"), events)
    assert events == [ToolCallStart(0, "a", "now")]
    calls.add(D(0, arguments="{"), events)
    assert events[1:] == [ToolCallDelta(0, "{")]


def test_a_custom_call_is_said_to_be_one_and_passes_at_once():
    events: list[UpstreamEvent] = []
    calls = ChatCalls(new_id=lambda: "x", names=["patch"])
    for piece in ("", "{}", " ", "}"):
        calls.add(D(0, "a" if not piece else "", "" if piece else "patch", piece, custom=True), events)
    assert events == [ToolCallStart(0, "a", "patch", custom=True), ToolCallDelta(0, "{}"), ToolCallDelta(0, " "), ToolCallDelta(0, "}")]
    assert not calls.are_whole
    calls.end(events)
    assert events[4:] == [ToolCallEnd(0)]


def test_a_name_that_may_go_on_waits_for_the_arguments():
    events: list[UpstreamEvent] = []
    calls = ChatCalls(new_id=lambda: "x", names=OFFERED)
    calls.add(D(0, "a", "get_weather"), events)
    assert events == []
    calls.add(D(0, arguments="{"), events)
    assert events == [ToolCallStart(0, "a", "get_weather"), ToolCallDelta(0, "{")]


def test_time_is_linear_also_for_calls_that_wait():
    def seconds(size: int) -> float:
        deltas = [D(0, "a", "now", '{"x":"')] + [D(index % 2, arguments="ab\\n") for index in range(size)]
        began = time.perf_counter()
        feed(D(1, "b", "run", '{"y":"'), *deltas)
        return time.perf_counter() - began

    assert min(seconds(20_000) for _ in range(3)) < 12 * min(seconds(5_000) for _ in range(3))


@given(st.lists(st.text("ab_", max_size=4)))
def test_a_name_is_certain_when_no_other_one_begins_with_it(names):
    for name in filter(None, names):
        events = list[UpstreamEvent]()
        ChatCalls(new_id=lambda: "made", names=names).add(D(0, "a", name), events)
        assert bool(events) is not any(other != name and other.startswith(name) for other in names)


def test_thousands_of_tools_are_no_work():
    """A request body of the usual limit holds tens of thousands of them; comparing each with each took seconds for a tenth of that."""
    names = [f"{'tool_' * 5}{number}" for number in range(40_000)]
    began = time.perf_counter()
    ChatCalls(new_id=lambda: "made", names=names)
    assert time.perf_counter() - began < 2


CALLS = st.tuples(st.sampled_from(OFFERED), st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.integers(), max_size=3).map(json.dumps))


@st.composite
def broken_streams(draw):
    """Calls, and their deltas under one way in which servers are broken."""
    calls = draw(st.lists(CALLS, min_size=1, max_size=4))
    way = draw(st.sampled_from(["proper", "no index", "one index", "gaps", "no id", "id on each", "interleaved"]))
    streams = []
    for number, (name, arguments) in enumerate(calls):
        index = {"no index": None, "one index": 0, "gaps": 3 * number + 2}.get(way, number)
        call_id = "" if way == "no id" else f"id_{number}"
        pieces = cut(arguments, draw(st.lists(st.integers(0, 40), max_size=4)))
        repeated = call_id if way == "id on each" else ""
        streams.append([CallDelta(index, call_id, name, pieces[0]), *(CallDelta(index, repeated, "", piece) for piece in pieces[1:])])
    if way == "interleaved":
        deltas = [delta for row in zip_longest(*streams) for delta in row if delta is not None]
    else:
        deltas = [delta for stream in streams for delta in stream]
    return calls, deltas


@given(broken_streams())
def test_the_calls_come_out_as_they_were_made(broken):
    calls, deltas = broken
    assert [found[1:] for found in told(feed(*deltas)) if isinstance(found, tuple)] == calls


@given(
    st.lists(
        st.builds(
            D,
            st.none() | st.integers(0, 2),
            st.sampled_from(["", "a", "b"]),
            st.sampled_from(["", "now", "ge"]),
            st.sampled_from(["", "{", "}", "{}"]),
        )
        | st.builds(
            partial(D, custom=True),
            st.none() | st.integers(0, 2),
            st.sampled_from(["", "a", "b"]),
            st.sampled_from(["", "patch", "now"]),
            st.sampled_from(["", "{", "}", "x"]),
        )
        | st.just("text")
    )
)
def test_whatever_comes_the_calls_are_well_formed_and_no_text_is_lost(deltas):
    events = told(feed(*deltas))
    assert events.count("text") == deltas.count("text")
    ids = [found[0] for found in events if isinstance(found, tuple)]
    assert len(set(ids)) == len(ids)
