"""The models of the SDK as ids, and ids as models of the SDK."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.models import MODELS
from pipeline.wire.sdk_models import MAX_ID_CHARS, MAX_MODELS, MAX_VARIANTS, Listed, Selection, as_model, read_models, selection_for


def variant(name="", default=False, **params):
    return {"params": [{"id": key, "value": value} for key, value in params.items()], "displayName": name, "isDefault": default}


def listed(*items) -> tuple[Listed, ...]:
    return read_models(json.dumps({"items": items}).encode())


def ids(*items) -> dict[str, tuple[tuple[str, str], ...]]:
    return {each.id: each.selection.params for each in listed(*items)}


COMPOSER = {
    "id": "composer-2.5",
    "displayName": "Composer 2.5",
    "description": "Cursor's own",
    "parameters": [{"id": "fast", "values": [{"value": "true"}, {"value": "false"}]}],
    "variants": [variant("Fast", True, fast="true"), variant("Composer 2.5", fast="false")],
}
CODEX = {
    "id": "gpt-5.3-codex",
    "displayName": "Codex 5.3",
    "variants": [
        variant("Low", effort="low", fast="false"),
        variant("", True, effort="medium", fast="false"),
        variant("High", effort="high", fast="false"),
        variant("High Fast", effort="high", fast="true"),
    ],
}
PLAIN = {"id": "grok-4.3"}
LIST = listed(COMPOSER, CODEX, PLAIN)


def test_the_id_of_a_variant_says_what_is_not_plain():
    assert {each.id: each.selection for each in LIST} == {
        "composer-2.5-fast": Selection("composer-2.5", (("fast", "true"),)),
        "composer-2.5": Selection("composer-2.5", (("fast", "false"),)),
        "gpt-5.3-codex": Selection("gpt-5.3-codex", (("effort", "medium"), ("fast", "false"))),
        "gpt-5.3-codex-low": Selection("gpt-5.3-codex", (("effort", "low"), ("fast", "false"))),
        "gpt-5.3-codex-high": Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "false"))),
        "gpt-5.3-codex-high-fast": Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "true"))),
        "grok-4.3": Selection("grok-4.3"),
    }
    assert [each.id for each in LIST if each.is_default] == ["composer-2.5-fast", "gpt-5.3-codex", "grok-4.3"]


def test_names_and_descriptions():
    names = {each.id: each.name for each in LIST}
    assert names["composer-2.5-fast"] == "Composer 2.5 Fast"
    assert names["composer-2.5"] == "Composer 2.5"
    assert names["gpt-5.3-codex-high-fast"] == "Codex 5.3 High Fast"
    assert names["grok-4.3"] == ""
    assert LIST[0].description == "Cursor's own"


def test_without_a_default_the_first_variant_is_it():
    assert ids({"id": "m", "variants": [variant(effort="high"), variant(effort="low")]}) == {
        "m": (("effort", "high"),),
        "m-low": (("effort", "low"),),
    }


def test_a_variant_that_is_always_on_keeps_the_models_own_id():
    assert ids({"id": "m", "variants": [variant(thinking="true")]}) == {"m": (("thinking", "true"),)}


def test_ids_that_would_be_the_same_name_the_parameter():
    items = ids({"id": "m", "variants": [variant(a="1", b="1"), variant(a="2", b="1"), variant(a="1", b="2")]})
    assert items == {"m": (("a", "1"), ("b", "1")), "m-2": (("a", "2"), ("b", "1")), "m-b-2": (("a", "1"), ("b", "2"))}


def test_a_variant_never_has_the_id_of_another_model():
    items = ids(COMPOSER, {"id": "composer-2.5-fast"})
    assert items["composer-2.5-fast"] == ()
    assert items["composer-2.5-fast-true"] == (("fast", "true"),)
    assert items["composer-2.5"] == (("fast", "false"),)


@pytest.mark.parametrize(
    "item",
    [
        *({}, 4, None, {"id": 4}, {"id": ""}, {"id": "a b"}, {"id": "-a"}, {"id": "x" * (MAX_ID_CHARS + 1)}, {"id": "a\u2028"}),
        {"id": "m", "variants": [variant("", True, a="b c"), {"params": [4]}]},
    ],
)
def test_what_cannot_be_named_is_left_out(item):
    assert [each.selection for each in listed(item, {"id": "n"})] in ([Selection("n")], [Selection("m"), Selection("n")])


def test_the_list_is_bounded():
    assert len(listed(*({"id": f"m{number}"} for number in range(MAX_MODELS + 5)))) == MAX_MODELS
    assert len(listed({"id": "m", "variants": [variant(a=str(number)) for number in range(MAX_VARIANTS + 5)]})) == MAX_VARIANTS


def test_a_list_that_is_empty_is_left_out_by_protobuf():
    assert read_models(b"{}") == ()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items":4}', b"<html>"])
def test_what_is_no_list(body):
    with pytest.raises(ProtocolViolation):
        read_models(body)


@pytest.mark.parametrize(
    ("model", "effort", "selection"),
    [
        ("composer-2.5", None, Selection("composer-2.5", (("fast", "false"),))),
        ("composer-2.5-fast", None, Selection("composer-2.5", (("fast", "true"),))),
        (" Cursor/Composer-2-5-FAST ", None, Selection("composer-2.5", (("fast", "true"),))),
        ("auto", None, Selection("composer-2.5", (("fast", "false"),))),
        ("", None, Selection("composer-2.5", (("fast", "false"),))),
        ("gpt-5.3-codex", None, Selection("gpt-5.3-codex", (("effort", "medium"), ("fast", "false")))),
        ("openai/gpt-5.3-codex-high", None, Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "false")))),
        ("gpt-5.3-codex", "high", Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "false")))),
        ("gpt-5.3-codex", "HIGH", Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "false")))),
        ("gpt-5.3-codex-high-fast", "low", Selection("gpt-5.3-codex", (("effort", "high"), ("fast", "true")))),
        ("gpt-5.3-codex", "xhigh", Selection("gpt-5.3-codex", (("effort", "medium"), ("fast", "false")))),
        ("composer-2.5", "high", Selection("composer-2.5", (("fast", "false"),))),
        ("grok-4.3", "high", Selection("grok-4.3")),
        ("Brand-New-1", "high", Selection("Brand-New-1")),
    ],
)
def test_an_id_and_an_effort_with_a_list(model, effort, selection):
    assert selection_for(model, effort, LIST) == selection


def test_a_model_whose_plain_variant_is_not_listed_is_its_default_one():
    models = listed({"id": "m", "variants": [variant(thinking="false", effort="low"), variant("", True, thinking="true", effort="high")]})
    assert [each.id for each in models] == ["m-thinking", "m-low"]
    assert selection_for("m", None, models) == Selection("m", (("thinking", "true"), ("effort", "high")))


@pytest.mark.parametrize(
    ("model", "selection"),
    [
        ("composer-2.5", Selection("composer-2.5", (("fast", "false"),))),
        ("composer-latest", Selection("composer-2.5", (("fast", "false"),))),
        ("cursor/composer-2-5-fast", Selection("composer-2.5", (("fast", "true"),))),
        ("anthropic/claude-4.5-sonnet", Selection("claude-4.5-sonnet")),
        ("cursor/Brand-New-1", Selection("Brand-New-1")),
        ("cursor/", Selection("cursor/")),
    ],
)
def test_an_id_without_a_list(model, selection):
    assert selection_for(model) == selection
    assert selection_for(model, "high") == selection


def test_as_a_model_of_ours():
    by_id = {each.id: as_model(each) for each in listed(COMPOSER, {"id": "mystery-1"})}
    assert by_id["composer-2.5"].price == MODELS["composer-2.5"].price
    assert by_id["composer-2.5-fast"].price == MODELS["composer-2.5-fast"].price
    assert by_id["composer-2.5"].context_window == MODELS["composer-2.5"].context_window
    assert (by_id["mystery-1"].name, by_id["mystery-1"].owner, by_id["mystery-1"].price) == ("mystery-1", "cursor", None)
    assert as_model(LIST[2], "somebody").owner == "openai"


WORDS = st.sampled_from(["true", "false", "low", "high", "a", "b c", "", "é"])
VARIANTS = st.lists(st.dictionaries(st.sampled_from(["fast", "effort", "thinking", "x y"]), WORDS, max_size=3), max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["m", "m-fast", "m-high", "n", "-", "M"]), VARIANTS), max_size=5))
def test_ids_are_unique_and_lead_back(models):
    found = listed(*({"id": id, "variants": [variant(**params) for params in variants]} for id, variants in models))
    assert len({each.id for each in found}) == len(found)
    for each in found:
        assert each.id.isprintable()
        assert " " not in each.id
        assert selection_for(each.id, None, [other for other in found if other.id.lower() != each.id.lower() or other is each]) == each.selection


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["items", "id", "variants", "params", "value"]), inner),
    )
)
def test_any_json_is_a_list_or_none(value):
    try:
        read_models(json.dumps(value).encode())
    except ProtocolViolation:
        assert not isinstance(value, dict) or not isinstance(value.get("items", []), list)
