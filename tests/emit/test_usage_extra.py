"""The usage objects of all dialects: our counts stand, whatever an upstream wrote beside them, and nothing of it breaks an answer."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.emit.chat import usage_body
from pipeline.emit.messages import usage_fields as messages_fields
from pipeline.emit.responses_object import usage_fields as responses_fields
from pipeline.emit.usage_extra import MAX_DEPTH
from pipeline.events import UsageReport
from pipeline.models import Price

DIALECTS: dict[str, Callable[[UsageReport, Price | None], dict[str, Any]]] = {
    "chat": usage_body,
    "responses": responses_fields,
    "messages": messages_fields,
}
COUNTS = UsageReport(9, 3, reasoning_tokens=2, cached_tokens=4, estimated=False)
NAMES = sorted(
    {name for form in DIALECTS.values() for fields in [form(COUNTS, Price(1, 2))] for name in fields}
    | {inner for form in DIALECTS.values() for value in form(COUNTS, None).values() if isinstance(value, dict) for inner in value}
)


def counting(extra: dict[str, Any]) -> UsageReport:
    return msgspec.structs.replace(COUNTS, extra=extra)


def without(fields: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The fields that are our own, with our own details."""
    return {
        name: {key: fields[name][key] for key in value} if isinstance(value, dict) else fields[name] for name, value in own.items() if name in fields
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("evil", ["x", 7, [1], {"cached_tokens": 5000, "reasoning_tokens": 5000, "thinking_tokens": 5000}, True, -1, 2**60])
def test_our_own_counts_stand(dialect, evil):
    own = DIALECTS[dialect](COUNTS, None)
    extra = {name: evil for name in NAMES if name not in ("cost", "cache_creation_input_tokens")}
    assert without(DIALECTS[dialect](counting(extra), None), own) == own


@pytest.mark.parametrize("written", ["x", -1, 2**60, True, [1]])
def test_what_was_written_to_a_cache_is_a_part_of_the_prompt(written):
    fields = messages_fields(counting({"cache_creation_input_tokens": written}), None)
    assert (fields["input_tokens"], fields["cache_creation_input_tokens"]) == (5, 0)


def test_further_details_stay():
    extra = {"prompt_tokens_details": {"audio_tokens": 1}, "completion_tokens_details": {"audio_tokens": 2}, "cost": 0.5}
    body = usage_body(counting(extra), None)
    assert body["prompt_tokens_details"] == {"cached_tokens": 4, "audio_tokens": 1}
    assert body["completion_tokens_details"] == {"reasoning_tokens": 2, "audio_tokens": 2}
    assert body["cost"] == 0.5


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_nests_deep_is_left_out(dialect):
    extra = {"deep": nested(400), "flat": nested(MAX_DEPTH // 2 - 1), "prompt_tokens_details": {"deep": nested(400)}}
    fields = DIALECTS[dialect](counting(extra), None)
    assert "deep" not in fields
    assert "deep" not in fields.get("prompt_tokens_details", {})
    assert ("flat" in fields) is (dialect != "responses")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=5), st.none() | st.just(Price(1, 2)))
def test_nothing_of_it_breaks_an_answer(extra, price):
    for form in DIALECTS.values():
        assert msgspec.json.encode(form(counting(extra), price))
