"""Repairs of the history (N10): odd values, results out of place, ids that some upstreams refuse, replayed calls."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parse.quirks.ids import FINE, Given, rewriting
from tests.support.cursor_bodies import FLAT_PATCH, HELLO, NESTED_READ, NO_RESULT, PATCH, call, calls, messages_of, normalised, parse, patch, result


def orphan(call_id, output):
    return {"role": "user", "content": f"[result of the tool call {call_id}, which is not in this conversation]\n{output}"}


def asks(*made, **more):
    return {"role": "assistant", "tool_calls": list(made), **more}


FILE = {"type": "file", "file": {"file_id": "f"}}
TWO = calls(call("a"), call("b"))
SECOND_A = rewriting([Given("a", 1)])[Given("a", 1)]
NO_ID = list(rewriting([Given(""), Given("", 1)]).values())
LEGACY = {"role": "assistant", "content": None, "function_call": {"name": "Read", "arguments": "{}"}}

REPAIRS = {
    "N10 repair tool_calls []": ([{"role": "assistant", "content": "a", "tool_calls": []}], [{"role": "assistant", "content": "a"}]),
    "N10 repair tool_calls null": ([{"role": "assistant", "content": "a", "tool_calls": None}], [{"role": "assistant", "content": "a"}]),
    "N10 repair neither text nor calls": ([HELLO, asks(content=""), asks(content=None), {"role": "assistant"}], [HELLO]),
    "N10 repair content of calls": ([asks(call(), content=""), result()], [calls(call()), result()]),
    "N10 repair arguments an object": ([calls(call(arguments={"a": 1})), result()], [calls(call(arguments='{"a":1}')), result()]),
    "N10 repair arguments empty": ([calls(call(arguments="")), result()], [calls(call()), result()]),
    "N10 repair arguments null": ([calls(call(arguments=None)), result()], [calls(call()), result()]),
    "N10 repair index and name": ([calls({**call(), "index": 0, "name": "Read"}), {**result(), "name": "Read"}], [calls(call()), result()]),
    "N10 repair null content": ([calls(call()), result(content=None)], [calls(call()), result(content="")]),
    "N10 repair no type": ([calls({"id": "call_1", "function": {"name": "Read"}}), result()], [calls(call()), result()]),
    "N10 repair keeps what nobody reads": (
        [calls({**call(), "extra_content": {"x": 1}}), result()],
        [calls({**call(), "extra_content": {"x": 1}}), result()],
    ),
    "N10 pairing order": ([TWO, result("b", "2"), result("a", "1")], [TWO, result("a", "1"), result("b", "2")]),
    "N10 pairing behind a user": ([TWO, result("a"), HELLO, result("b")], [TWO, result("a"), result("b"), HELLO]),
    "N10 pairing before its call": ([result("a"), calls(call("a"))], [calls(call("a")), result("a")]),
    "N10 pairing leaves neighbours to fold": (
        [{"role": "assistant", "content": "x"}, result("a"), calls(call("a"))],
        [{"role": "assistant", "content": "x", "tool_calls": [call("a")]}, result("a")],
    ),
    "N10 pairing of repeated ids": (
        [calls(call("a")), result("a", "1"), HELLO, calls(call("a")), result("a", "2")],
        [calls(call("a")), result("a", "1"), HELLO, calls(call("a")), result("a", "2")],
    ),
    "N10 pairing of a repeated id whose first call was cut": (
        [calls(call("a")), HELLO, calls(call("a")), result("a", "2")],
        [calls(call("a")), result("a", NO_RESULT), HELLO, calls(call("a")), result("a", "2")],
    ),
    "N10 pairing of two calls with one id": (
        [calls(call("a"), call("a")), result("a", "1"), result("a", "2")],
        [calls(call("a"), call(SECOND_A)), result("a", "1"), result(SECOND_A, "2")],
    ),
    "N10 pairing of two calls with one id that folding brought together": (
        [calls(call("a")), {"type": "function_call", "call_id": "a", "name": "Read"}, result("a", "1"), HELLO, calls(call("a")), result("a", "2")],
        [calls(call("a"), call(SECOND_A)), result("a", "1"), result(SECOND_A, NO_RESULT), HELLO, calls(call("a")), result("a", "2")],
    ),
    "N10 pairing of items without an id": (
        [{"type": kind, "call_id": "", "id": "fc", "name": "Read"} for kind in ("function_call", "custom_tool_call")]
        + [result("", "1"), result("", "2")],
        [
            calls(call(NO_ID[0]), {"id": NO_ID[1], "type": "custom", "custom": {"name": "Read", "input": ""}}),
            *(result(each, words) for each, words in zip(NO_ID, "12", strict=True)),
        ],
    ),
    "N10 pairing without a call": ([HELLO, result("x", "out")], [HELLO, orphan("x", "out")]),
    "N10 pairing without a call or an id": ([HELLO, {"role": "tool", "content": "out"}], [HELLO, orphan("without an id", "out")]),
    "N10 pairing without a call, with a document": (
        [HELLO, result("x", [FILE])],
        [HELLO, orphan("x", "[file omitted]")],
    ),
    "N10 pairing without a call, between": (
        [TWO, result("a"), result("x", "out"), result("b")],
        [TWO, result("a"), result("b"), orphan("x", "out")],
    ),
    "N10 pairing without a result": ([TWO, result("b"), HELLO], [TWO, result("a", NO_RESULT), result("b"), HELLO]),
    "N10 pairing without a result, at the end": ([HELLO, calls(call("a"))], [HELLO, calls(call("a")), result("a", NO_RESULT)]),
    "N10 pairing without a result, custom": ([calls(patch()), HELLO], [calls(patch()), result(content=NO_RESULT), HELLO]),
    "N10 pairing of several results": (
        [calls(call("a")), result("a", "1"), HELLO, result("a", "2")],
        [calls(call("a")), result("a", "1\n2"), HELLO],
    ),
    "N10 pairing of legacy calls": (
        [LEGACY, {"role": "function", "name": "Read", "content": "ok"}, HELLO],
        [calls(call("call_legacy_1")), result("call_legacy_1"), HELLO],
    ),
    "N10 pairing of legacy calls beside an id that looks like ours": (
        [calls(call("call_legacy_1")), result("call_legacy_1"), LEGACY, {"role": "function", "name": "Read", "content": None}],
        [calls(call("call_legacy_1")), result("call_legacy_1"), calls(call("call_legacy_2")), result("call_legacy_2", "")],
    ),
    "N10 pairing of a legacy result alone": ([HELLO, {"role": "function", "name": "Read", "content": "out"}], [HELLO, orphan("Read", "out")]),
}


@pytest.mark.parametrize(("entries", "expected"), REPAIRS.values(), ids=REPAIRS)
def test_repairs(entries, expected):
    assert messages_of(*entries) == expected


# entries -> what is said about them
SAID = {
    "N10 in order": ([TWO, result("a"), result("b")], []),
    "N10 moved": ([TWO, result("b"), result("a"), HELLO], ["tool_results_moved"]),
    "N10 orphans": ([HELLO, result("x"), result("y")], ["tool_result_as_text"]),
    "N10 supplied": ([TWO, HELLO], ["tool_result_supplied"]),
    "N10 repeated": ([calls(call("a")), result("a"), result("a")], ["tool_result_repeated"]),
    "N10 ids of one message": ([calls(call("a"), call("a"), call("a")), *[result("a")] * 3], ["call_id_rewritten"]),
    "N10 arguments": ([calls(call(arguments="[1]"), call("b", arguments="null")), result(), result("b")], ["arguments_repaired"]),
    "N10 arguments that are none": ([calls(call(arguments=""), call("b", arguments={})), result(), result("b")], []),
    "N10 id": ([calls(call("a|b")), result("a|b")], ["call_id_rewritten"]),
}


@pytest.mark.parametrize(("entries", "expected"), SAID.values(), ids=SAID)
def test_what_was_repaired_is_said_once_and_without_content(entries, expected):
    notices = normalised(messages=entries).notices
    assert [notice.code for notice in notices] == expected
    assert not any("ok" in notice.detail.split() or "|" in notice.detail for notice in notices)
    assert parse(messages=entries).notices == notices


@pytest.mark.parametrize("bad", ["x" * 65, "call_1|fc_2", "call_1\nfc_2", "é", ""])
def test_n10_ids_are_rewritten_in_call_and_result(bad):
    found = messages_of(calls(call(bad), call("fine")), result("fine"), result(bad))
    made = found[0]["tool_calls"][0]["id"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert found == [calls(call(made), call("fine")), result(made), result("fine")]
    assert messages_of(HELLO, calls(call(bad)), result(bad))[1]["tool_calls"][0]["id"] == made, "the same in every turn of a conversation"


def test_n10_ids_never_become_one_that_is_there():
    made = rewriting([Given("a|b")])[Given("a|b")]
    assert rewriting([Given("a|b"), Given(made)])[Given("a|b")] not in ("a|b", made)
    assert rewriting([Given("a"), Given("a", 1), Given(SECOND_A)])[Given("a", 1)] not in ("a", SECOND_A)
    assert Given(made) not in rewriting([Given(made), Given("a|b")]), "an id that is fine stays"


def test_n10_ids_with_one_digest_stay_different(monkeypatch):
    monkeypatch.setattr("pipeline.parse.quirks.ids._digest", lambda given, number: f"call_{number}")
    assert rewriting([Given("a|"), Given("b|"), Given("call_1")]) == {Given("a|"): "call_0", Given("b|"): "call_2"}


ANY_ID = st.text(max_size=3) | st.text("ab|", max_size=70) | st.sampled_from(["a|b", SECOND_A, *rewriting([Given("a|b")]).values()])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.builds(Given, ANY_ID, st.integers(0, 2)), unique=True, max_size=8))
def test_n10_ids_stay_different(ids):
    changed = rewriting(ids)
    after = [changed.get(each, each.id) for each in ids]
    assert len(set(after)) == len(ids)
    assert all(FINE.fullmatch(each) for each in after)
    assert {each for each in ids if not each.earlier and FINE.fullmatch(each.id)} == set(ids) - changed.keys()


# the arguments of a function's call that is offered -> what they are then
ARGUMENTS = {
    "N10 arguments cut": ('{"path": "a', '{"input":"{\\"path\\": \\"a"}'),
    "N10 arguments of several objects": ('{"a":1}{"b":2}', '{"input":"{\\"a\\":1}{\\"b\\":2}"}'),
    "N10 arguments a list": ("[1]", '{"input":"[1]"}'),
    "N10 arguments a decoded list": ([1], '{"input":"[1]"}'),
    "N10 arguments a number": (0, '{"input":"0"}'),
    "N10 arguments a word": ("false", '{"input":"false"}'),
    "N10 arguments no finite number": ('{"a":NaN}', '{"input":"{\\"a\\":NaN}"}'),
    "N10 arguments half a character": ('{"a":"\\ud83d"}', '{"input":"{\\"a\\":\\"\\\\ud83d\\"}"}'),
    "N10 arguments nested too deeply": ("[" * 9_999, f'{{"input":"{"[" * 9_999}"}}'),
    "N10 arguments null": ("null", "{}"),
    "N10 arguments an empty text": ('""', "{}"),
    "N10 arguments an empty list": ("[]", "{}"),
    "N10 arguments an empty decoded list": ([], "{}"),
    "N10 arguments blank": (" \n", "{}"),
}


@pytest.mark.parametrize(("given_arguments", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_of_a_function_are_a_json_object(given_arguments, expected):
    entries = [calls(call(arguments=given_arguments)), result()]
    assert messages_of(*entries, tools=OFFERED) == [calls(call(arguments=expected)), result()]
    assert [notice.code for notice in normalised(messages=entries, tools=OFFERED).notices] == ["arguments_repaired"]
    for other in (
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "Read", "input": given_arguments}]},
        {"type": "function_call", "call_id": "call_1", "name": "Read", "arguments": given_arguments},
    ):
        assert messages_of(other, result(), tools=OFFERED) == [calls(call(arguments=expected)), result()]


@pytest.mark.parametrize("arguments", [' {"b" : 1e2}', '{"a":1,"a":2}', "{}"])
def test_n10_arguments_that_are_an_object_stay_as_they_are(arguments):
    entries = [calls(call(arguments=arguments)), result()]
    assert messages_of(*entries, tools=OFFERED) == entries
    assert normalised(messages=entries, tools=OFFERED).notices == ()


OFFERED = [NESTED_READ, FLAT_PATCH]

# the arguments of a function's call, the tools -> the call
REPLAYS = {
    "N10 replay raw text": (call(name="ApplyPatch", arguments=PATCH), OFFERED, patch()),
    "N10 replay text that is JSON": (call(name="ApplyPatch", arguments='{"a": 1}'), OFFERED, patch(text='{"a": 1}')),
    "N10 replay empty": (call(name="ApplyPatch", arguments=""), OFFERED, patch(text="")),
    "N10 replay wrapped": (call(name="ApplyPatch", arguments='{"input": "\\u00e9\\n"}'), OFFERED, patch(text="é\n")),
    "N10 replay wrapped and decoded": (call(name="ApplyPatch", arguments={"input": PATCH}), OFFERED, patch()),
    "N10 replay wrapped with more": (call(name="ApplyPatch", arguments='{"input":"a","b":1}'), OFFERED, patch(text='{"input":"a","b":1}')),
    "N10 replay a function stays": (call(arguments='{"path":"a"}'), OFFERED, call(arguments='{"path":"a"}')),
    "N10 replay a function whose arguments are broken stays one": (call(arguments='{"path'), OFFERED, call(arguments='{"input":"{\\"path"}')),
    "N10 replay raw text of a tool that is not offered now": (call(name="ApplyPatch", arguments=PATCH), [NESTED_READ], patch()),
    "N10 replay JSON of a tool that is not offered now": (call(name="Write", arguments='{"a":1}'), [], call(name="Write", arguments='{"a":1}')),
}


@pytest.mark.parametrize(("entry", "tools", "expected"), REPLAYS.values(), ids=REPLAYS)
def test_replays(entry, tools, expected):
    assert messages_of(calls(entry), result(), tools=tools) == [calls(expected), result()]


def test_n10_replay_beside_tools_that_are_narrowed():
    """The choice leaves one tool; what the history holds of the others is the same when the body is normalised again."""
    choice = {"type": "allowed_tools", "tools": [{"type": "custom", "name": "ApplyPatch"}]}
    broken = calls(call("a", arguments='{"path'), call("b", arguments='{"path":"a"}'))
    found = messages_of(broken, result("a"), result("b"), tools=OFFERED, tool_choice=choice)
    assert [made["type"] for made in found[0]["tool_calls"]] == ["custom", "function"]


def test_n10_replay_as_an_item():
    item = {"type": "function_call", "call_id": "call_1", "name": "ApplyPatch", "arguments": PATCH}
    assert messages_of(item, result(), tools=OFFERED) == [calls(patch()), result()]
    found = parse(input=[item, {"type": "function_call_output", "call_id": "call_1", "output": "ok"}], tools=OFFERED).messages[0].tool_calls[0]
    assert (found.custom, found.arguments) == (True, PATCH)
