"""Every dialect over every kind of upstream: the same answer gives the same text, calls, end and usage, streamed and whole, over real sockets."""

import json

import pytest

from tests.support.dialect_clients import BROKEN, DIALECTS, Seen
from tests.support.dialect_matrix import KEEP_NO_LIMIT, Observed, cases, cell, estimates, observed
from tests.support.dialects_doc import documented
from tests.support.spoken_answers import ANSWERS, COUNTED, Answer, Fault


@pytest.mark.parametrize(("kind", "name"), cases())
async def test_every_dialect_says_the_same(tmp_path, kind, name):
    answer = ANSWERS[name]
    seen = await observed(kind, name, tmp_path)
    check(kind, answer, seen["chat", True])
    if answer.fault is None:
        assert len(set(seen.values())) == 1, seen
    else:
        check_failures(kind, answer, seen)
    assert documented(kind, name) == cell(answer, seen), "run: make docs"


def check(kind: str, answer: Answer, seen: Seen) -> None:
    """What came is what was said."""
    if kind in KEEP_NO_LIMIT and answer.is_cut_short:
        assert answer.text.startswith(seen.text)
        assert 0 < len(seen.text) < len(answer.text)
    else:
        assert seen.text == answer.text + answer.refusal
    assert seen.thinking == answer.thinking
    if answer.fault is not None:
        assert (seen.calls, seen.finish, seen.usage) == ((), None, None)
        assert seen.error
        assert seen.status == (503 if answer.fault is Fault.BEFORE else 200)
        return
    assert [(tool, json.loads(arguments)) for tool, arguments in seen.calls] == [*answer.calls]
    assert seen.finish == ("length" if answer.is_cut_short else "tool_calls" if answer.calls else "stop")
    assert seen.usage is not None
    prompt, said, total, _, _, is_estimated = seen.usage
    assert (is_estimated, total) == (estimates(kind, answer), prompt + said)
    assert is_estimated or (prompt, said) == COUNTED


def check_failures(kind: str, answer: Answer, seen: Observed) -> None:
    """A fault is told by all in the same words; before the first byte, and in a whole answer, by the status too."""
    whole = [seen[dialect, False] for dialect in DIALECTS]
    assert len(set(whole)) == 1, whole
    assert whole[0].status >= 500
    assert whole[0].text == ""
    streamed = {dialect: seen[dialect, True] for dialect in DIALECTS}
    assert streamed["responses"] == streamed["messages"] == streamed["chat"]
    assert streamed["chat"].error == whole[0].error
    if answer.fault is Fault.CUT_IN_CALL and kind != "sdk-bridge":
        # what came of the call must not look whole, and Cursor takes everything with an end for whole; the
        # bridge's calls are whole or have not begun
        assert streamed["cursor"] == Seen(text=answer.text, error=BROKEN)
    else:
        assert streamed["cursor"] == streamed["chat"]
