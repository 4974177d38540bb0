"""The model table: every row resolves, every alias points to a row, and unknown ids get useful neighbours."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models import ALIASES, MODELS, PREFIXES, Price, nearest_models, resolve_composer_model


@pytest.mark.parametrize("model_id", MODELS)
def test_every_listed_id_resolves_to_a_listed_one_and_so_do_its_prefixed_forms(model_id):
    resolved = resolve_composer_model(model_id)
    assert resolved == ALIASES.get(model_id, model_id)
    assert resolved in MODELS
    assert {resolve_composer_model(prefix + model_id) for prefix in PREFIXES} == {resolved}


@pytest.mark.parametrize(
    "model_id", ["", "  ", "auto", "default", "composer-latest", "composer-2-5", "Composer-2.5", "cursor/auto", "cursor/composer-2.5"]
)
def test_spellings_of_composer(model_id):
    assert resolve_composer_model(model_id) == "composer-2.5"


@pytest.mark.parametrize("model_id", ["composer-2.5-fast", "composer-2-5-fast", "cursor/composer-2-5-fast"])
def test_spellings_of_fast(model_id):
    assert resolve_composer_model(model_id) == "composer-2.5-fast"


@pytest.mark.parametrize("model_id", ["gpt-2", "cursor/", "cursor/cursor/auto", "meta/composer-2.5", "composer", "composer-2.5 fast"])
def test_unknown(model_id):
    assert resolve_composer_model(model_id) is None


@pytest.mark.parametrize(
    "model_id",
    ["gpt-4o", "claude-3.7-sonnet-thinking", "gemini-3-flash", "anthropic/gemini-3-flash-thinking", "claude-sonnet-4-5-20250929", "kimi-k2-instruct"],
)
def test_documented_examples_are_listed(model_id):
    assert resolve_composer_model(model_id) == model_id.removeprefix("anthropic/")


@pytest.mark.parametrize(
    ("model_id", "name", "owner"),
    [
        ("composer-2.5", "Composer 2.5", "cursor"),
        ("composer-2.5-fast", "Composer 2.5 Fast", "cursor"),
        ("gpt-5.1-codex-max-xhigh-fast", "GPT-5.1 Codex Max Extra High Fast", "openai"),
        ("gpt-4o", "GPT-4o", "openai"),
        ("claude-3-5-sonnet-20241022-thinking", "Claude 3.5 Sonnet (20241022) Thinking", "anthropic"),
        ("claude-4-sonnet-1m", "Claude 4 Sonnet 1M", "anthropic"),
        ("claude-sonnet-4-20250514", "Claude Sonnet 4 (20250514)", "anthropic"),
        ("gemini-3.1-pro", "Gemini 3.1 Pro", "google"),
        ("grok-build-0.1", "Grok Build 0.1", "xai"),
        ("kimi-k2.5", "Kimi K2.5", "moonshotai"),
    ],
)
def test_names_and_owners(model_id, name, owner):
    assert (MODELS[model_id].name, MODELS[model_id].owner) == (name, owner)


def test_names_tell_models_apart():
    assert len({model.name for model in MODELS.values()}) == len(MODELS)


def test_prices_and_windows_are_known_only_where_published():
    priced = {model.id: model.price for model in MODELS.values() if model.price}
    slow, fast = Price(0.5, 2.5), Price(3.0, 15.0)
    assert priced == {"composer-2.5": slow, "composer-latest": slow, "default": slow, "composer-2.5-fast": fast}
    assert {model.context_window for model in MODELS.values() if model.owner == "cursor"} == {200_000}
    assert {model.context_window for model in MODELS.values() if model.owner != "cursor"} == {None}


@pytest.mark.parametrize(
    ("typed", "best"), [("composer-2.6", "composer-2.5"), ("claude-4.5-sonet", "claude-4.5-sonnet"), ("openai/gpt-5.2-codx", "gpt-5.2-codex")]
)
def test_nearest(typed, best):
    assert nearest_models(typed)[0] == best
    assert len(nearest_models(typed)) <= 3


def test_only_the_beginning_of_a_long_list_is_looked_at():
    ids = [f"m-{number:04}-aaaa" for number in range(600)]
    assert nearest_models("zebra-alia", known=["zebra-alias", *ids]) == ["zebra-alias"]
    assert nearest_models("zebra-alia", known=[*ids, "zebra-alias"]) == []


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(max_size=300))
def test_any_id_is_answered(model_id):
    assert resolve_composer_model(model_id) in {None, *MODELS}
    assert set(nearest_models(model_id)) <= set(MODELS)
