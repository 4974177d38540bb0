"""The table of parameters tells the truth: each row is sent through a server, and what happened is compared with what the row says.

What a row claims is first found out without it: `effect_of` looks at the upstream, the answer and the headers, and names the effect that it saw. A
parameter that is read has a check of its own in `CHECKS`, under its family, effect and name: a row that changes its mind has none, and fails.
"""

from typing import Any

import pytest

from pipeline.parameters import ANY_OTHER, PARAMETERS, Effect, Family, Parameter
from tests.support.chat_bodies import TOOL, WEATHER
from tests.support.gateway_server import running_server
from tests.support.parameter_bench import SENTENCE, USER, Answer, Open, opener, spoken
from tests.support.parameter_checks import ANTHROPIC, ASKED, BRIDGE, CHAT, COMPOSER, FORCED, JSON_ASKED, RESPONSES, WEBSITE
from tests.support.parameter_checks_anthropic import CHECKS

# name -> fields that ask for something; of a read one, only what comes with it
SAMPLES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "presence_penalty": {"presence_penalty": 1},
    "frequency_penalty": {"frequency_penalty": -1},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "seed": {"seed": 7},
    "user": {"user": "u"},
    "metadata": {"metadata": {"a": "b"}},
    "store": {"store": True},
    "service_tier": {"service_tier": "flex"},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "verbosity": {"verbosity": "low"},
    "web_search_options": {"web_search_options": {}},
    ANY_OTHER: {"top_k": 5},
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 3},
    "audio": {"audio": {"voice": "alloy"}},
    "modalities": {"modalities": ["text", "audio"]},
    "background": {"background": True},
    "functions": {"functions": [WEATHER]},
    "function_call": {"functions": [WEATHER], "function_call": {"name": "get_weather"}},
    "text": {"text": {"format": JSON_ASKED, "verbosity": "low", "x": 1}},
    "reasoning": {"reasoning": {"effort": "high", "summary": "auto"}},
}

# a mapped parameter's sample -> the same wish in the words of the other, and what is said besides; by family where they differ
Twin = tuple[dict[str, Any], list[str], list[str]]
TWINS: dict[str, Twin] = {
    "functions": ({"tools": [TOOL]}, [], ["legacy_functions"]),
    "function_call": ({"tools": [TOOL], "tool_choice": ASKED}, [], ["legacy_functions"]),
    "text": ({"response_format": JSON_ASKED}, ["text.verbosity", "text.x"], []),
    "reasoning": ({"reasoning_effort": "high"}, ["reasoning.summary"], []),
}
TWINS_OF_RESPONSES: dict[str, Twin] = {
    **TWINS,
    "text": ({"response_format": JSON_ASKED, "verbosity": "low"}, ["text.x"], []),
    "verbosity": ({"text": {"verbosity": "low"}}, [], []),
    "reasoning": ({"reasoning_effort": "high"}, [], []),
}
TWINS_OF = {COMPOSER: TWINS, BRIDGE: TWINS, WEBSITE: TWINS, CHAT: TWINS, RESPONSES: TWINS_OF_RESPONSES, ANTHROPIC: TWINS}


def shown(answer: Answer, family: Family) -> Any:
    """What a client sees of a whole answer, without what is new each time: a website's prompt has a text of its own, which is counted too."""
    return answer.status, answer.body.get("choices"), answer.body.get("usage") if family is not WEBSITE else None


async def effect_of(name: str, family: Family, open_gateway: Open) -> Effect | None:
    """What becomes of a parameter, as far as anybody can see; None when it is read in its own way."""
    sample = SAMPLES.get(name)
    if sample is None:
        return None
    field = next(reversed(sample))
    thought = spoken(family, '{"a": 1}' if name == "text" else SENTENCE, thinking="hm")
    async with open_gateway(thought) as gateway:
        plain, plain_sent = await gateway.ask(), gateway.sent[-1]
        answer, sent = await gateway.ask(**sample), gateway.sent[1:]
        if answer.status != 200:
            assert answer.error == (400, "unsupported_parameter", field)
            assert not sent
            return Effect.REJECTED
        if answer.ignored == [field]:
            assert (sent, shown(answer, family)) == ([plain_sent], shown(plain, family))
            return Effect.IGNORED
        if name in TWINS_OF[family]:
            fields, ignored, notices = TWINS_OF[family][name]
            twin = await gateway.ask(**fields)
            assert (sent, shown(answer, family)) == ([gateway.sent[-1]], shown(twin, family))
            assert (set(answer.ignored), set(answer.notices)) == ({*twin.ignored, *ignored}, {*twin.notices, *notices})
            return Effect.MAPPED
    assert sent == [plain_sent | sample]
    assert answer.ignored == []
    await stays_behind_where_the_profile_says_so(field, sample, open_gateway)
    return Effect.PASSED_ON


async def stays_behind_where_the_profile_says_so(field: str, sample: dict[str, Any], open_gateway: Open) -> None:
    other = "top_p" if field == "temperature" else "temperature"  # which every API knows
    async with open_gateway(settings=f"profile = {{ pass_fields = ['{other}'] }}") as gateway:
        answer = await gateway.ask(**sample, **{other: 1})
        assert field not in gateway.sent[-1]
        assert gateway.sent[-1][other] == 1
    assert answer.ignored == [field]


# -- the rows --------------------------------------------------------------------------------------------------------------------------------------

ROWS = {f"{family.name.lower()}-{row.name}{'-forced' if row.values == FORCED else ''}": (row, family) for row in PARAMETERS for family in Family}


@pytest.mark.parametrize(("row", "family"), ROWS.values(), ids=ROWS)
async def test_the_row_tells_the_truth(tmp_path, row: Parameter, family: Family):
    open_gateway = opener(tmp_path, family)
    effect = await effect_of(row.name, family, open_gateway)
    if effect is None:
        await CHECKS[family, row.outcome(family).effect, row.name, row.values](open_gateway)
    else:
        assert row.outcome(family).effect is effect


def test_every_row_is_checked_and_every_check_has_its_row():
    rows = {(family, row.outcome(family).effect, row.name, row.values) for row in PARAMETERS for family in Family}
    by_eye = {key for key in rows if key[2] in SAMPLES}
    assert rows - by_eye == CHECKS.keys()
    assert set(SAMPLES) == {name for _, _, name, _ in by_eye}
    for family, twins in TWINS_OF.items():
        assert set(twins) == {name for of, effect, name, _ in rows if of is family and effect is Effect.MAPPED}


@pytest.mark.parametrize(
    ("name", "family", "seen"),
    [
        ("temperature", COMPOSER, Effect.IGNORED),
        ("temperature", BRIDGE, Effect.IGNORED),
        ("temperature", WEBSITE, Effect.IGNORED),
        ("temperature", CHAT, Effect.PASSED_ON),
        ("n", COMPOSER, Effect.REJECTED),
        ("reasoning", CHAT, Effect.MAPPED),
        ("temperature", RESPONSES, Effect.PASSED_ON),
        ("seed", RESPONSES, Effect.IGNORED),
        ("verbosity", RESPONSES, Effect.MAPPED),
        ("temperature", ANTHROPIC, Effect.PASSED_ON),
        ("metadata", ANTHROPIC, Effect.IGNORED),
        ("text", ANTHROPIC, Effect.MAPPED),
    ],
)
async def test_what_happened_is_seen_without_the_table(tmp_path, name, family, seen):
    assert await effect_of(name, family, opener(tmp_path, family)) is seen


@pytest.mark.parametrize("family", [CHAT, RESPONSES, ANTHROPIC])
async def test_fields_that_choose_a_host_a_key_a_model_or_a_transport_are_reported(tmp_path, family):
    chosen = ["api_base", "api_key", "fallbacks", "timeout", "extra_headers"]
    async with opener(tmp_path, family)() as gateway:
        answer = await gateway.ask(**dict.fromkeys(chosen, "x"))
        assert not gateway.sent[-1].keys() & set(chosen)
    assert answer.ignored == chosen


async def test_the_embedded_demo_treats_parameters_as_composer_does(tmp_path):
    """It says so of every parameter that has no effect; what it reads is read by the same code."""
    kept = [row for row in PARAMETERS if row.composer.effect is Effect.IGNORED]
    async with running_server() as server, server.client() as client:
        body = {"model": "composer-2.5", "messages": [USER]}
        for row in kept:
            [(field, value)] = SAMPLES[row.name].items()
            answer = await client.post("/v1/chat/completions", json={**body, field: value})
            assert answer.headers["penstock-ignored"] == field
