"""Repairs of the history (N10): odd values, results out of place, ids that some upstreams refuse, replayed calls."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parse.quirks.ids import FINE, rewriting
from tests.support.cursor_bodies import FLAT_PATCH, HELLO, NESTED_READ, NO_RESULT, PATCH, call, calls, messages_of, normalised, parse, patch, result


def orphan(call_id, output):
    return {"role": "user", "content": f"[result of the tool call {call_id}, which is not in this conversation]\n{output}"}


def asks(*made, **more):
    return {"role": "assistant", "tool_calls": list(made), **more}


FILE = {"type": "file", "file": {"file_id": "f"}}
TWO = calls(call("a"), call("b"))
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
        [calls(call("a"), call("a")), result("a", "1"), result("a", "2")],
    ),
    "N10 pairing without a call": ([HELLO, result("x", "out")], [HELLO, orphan("x", "out")]),
    "N10 pairing without a call or an id": ([HELLO, {"role": "tool", "content": "out"}], [HELLO, orphan("without an id", "out")]),
    "N10 pairing without a call, with a document": (
        [HELLO, result("x", [FILE])],
        [HELLO, {"role": "user", "content": [{"type": "text", "text": orphan("x", "")["content"]}, FILE]}],
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
    made = rewriting(["a|b"])["a|b"]
    assert rewriting(["a|b", made])["a|b"] not in ("a|b", made)
    again = rewriting([made, "a|b"])
    assert made not in again, "an id that is fine stays"


def test_n10_ids_with_one_digest_stay_different(monkeypatch):
    monkeypatch.setattr("pipeline.parse.quirks.ids._digest", lambda given, number: f"call_{number}")
    assert rewriting(["a|", "b|", "call_1"]) == {"a|": "call_0", "b|": "call_2"}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=3) | st.text("ab|", max_size=70) | st.sampled_from(["a|b", rewriting(["a|b"])["a|b"]]), unique=True, max_size=8))
def test_n10_ids_stay_different(ids):
    changed = rewriting(ids)
    after = [changed.get(each, each) for each in ids]
    assert len(set(after)) == len(ids)
    assert all(FINE.fullmatch(each) for each in after)
    assert {each for each in ids if FINE.fullmatch(each)} == set(ids) - changed.keys()


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
    "N10 replay a function whose arguments are broken stays": (call(arguments='{"path'), OFFERED, call(arguments='{"path')),
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
