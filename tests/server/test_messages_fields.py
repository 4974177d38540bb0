"""The table of Messages' own fields tells the truth: each row is sent through a server, and what happened is compared with what the row says.

What a row claims is found out without it: `effect_of` looks at what the upstream got and the client was told, and names the effect that it saw. A
field that is read as a parameter of Chat Completions has a twin here: the same wish in those words, for which the upstream has to be sent the same.
"""

from typing import Any

import pytest

from pipeline.messages_fields import FIELDS, KEPT_AND_READ, LEFT_OUT, Field
from pipeline.parameters import PARAMETERS, Effect, Family
from pipeline.prompt.foreign import READ as FOREIGN_READ
from tests.support.chat_bodies import TOOL, WEATHER
from tests.support.parameter_bench import SENTENCE, USER, Open, opener, spoken

ANTHROPIC = Family.ANTHROPIC
FAMILIES = (Family.COMPOSER, Family.SDK_BRIDGE, Family.WEBSITE, Family.OPENAI_CHAT, Family.OPENAI_RESPONSES, ANTHROPIC)

HELD = {"type": "ephemeral"}
OFFERED = {"name": "get_weather", "description": WEATHER["description"], "input_schema": WEATHER["parameters"]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
SHAPE = {"type": "json_schema", "schema": SCHEMA}
TURNS = [
    {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": HELD}]},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hello."}]},
    {"role": "user", "content": "Go on."},
]

# a field -> what asks for something; the field itself is the last
SAMPLES: dict[str, dict[str, Any]] = {
    "model": {"model": "composer-2.5-fast"},
    "messages": {"messages": TURNS},
    "system": {"system": "Be brief."},
    "max_tokens": {"max_tokens": 5},
    "stop_sequences": {"stop_sequences": ["STOP"]},
    "stream": {"stream": True},
    "tools": {"tools": [OFFERED, {"type": "web_search_20250305", "name": "web_search"}]},
    "tool_choice": {"tools": [OFFERED], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "output_config": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    "output_format": {"output_format": SHAPE},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "metadata": {"metadata": {"user_id": "u"}},
    "cache_control": {"cache_control": HELD},
    "thread": {"thread": {"type": "create"}},
    "compaction": {"compaction": {"type": "summarize"}},
    **{name: {name: "x"} for name in LEFT_OUT},
}

# a field that has a twin -> the same wish in Chat Completions, and what else is told of the sample where the upstream has another API
TWINS: dict[str, tuple[dict[str, Any], set[str], set[str]]] = {
    "model": (SAMPLES["model"], set(), set()),
    "messages": (
        {"messages": [USER, {"role": "assistant", "content": "Hello.", "reasoning_content": "Hm."}, TURNS[2]]},
        {"messages.content.cache_control"},
        set(),
    ),
    "system": ({"messages": [{"role": "system", "content": "Be brief."}, USER]}, set(), set()),
    "max_tokens": ({"max_tokens": 5}, set(), set()),
    "stop_sequences": ({"stop": ["STOP"]}, set(), set()),
    "stream": ({"stream": True}, set(), set()),
    "tools": ({"tools": [TOOL]}, set(), {"hosted_tool_ignored"}),
    "tool_choice": ({"tools": [TOOL], "parallel_tool_calls": False}, set(), set()),
    "thinking": ({"reasoning_effort": "low"}, set(), set()),
    "output_config": ({"reasoning_effort": "high"}, set(), set()),
    "output_format": ({"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}}, set(), set()),
    "temperature": ({"temperature": 0.5}, set(), set()),
    "top_p": ({"top_p": 0.5}, set(), set()),
}

# a field that an upstream of the same API is sent in another form than its client wrote it -> that form
WRITTEN: dict[str, dict[str, Any]] = {
    "tools": {"tools": [OFFERED]},
    "output_format": {"output_config": {"format": SHAPE}},
}


async def effect_of(name: str, family: Family, open_gateway: Open) -> Effect | None:
    """What becomes of a field, as far as anybody can see; None where nothing that is known."""
    sample = SAMPLES[name]
    thought = spoken(family, '{"a": 1}' if name == "output_format" else SENTENCE, thinking="hm")
    async with open_gateway(thought) as gateway:
        plain, before = await gateway.ask_messages(), gateway.sent[-1]
        answer, sent = await gateway.ask_messages(**sample), gateway.sent[1:]
        if answer.status == 400:
            assert not sent
            assert (answer.body["error"]["param"], answer.body["error"]["details"]) == (name, {"error_code": answer.body["error"]["code"]})
            return Effect.REJECTED
        assert answer.status == 200, answer.text
        if answer.ignored == [name] and (family is ANTHROPIC or name not in TWINS):
            named = {"prompt_cache_key"} if name == "metadata" else set()  # by which a Responses server knows the conversation
            assert [{key: value for key, value in body.items() if key not in named} for body in sent] == [before]
            assert answer.body | {"id": ""} == plain.body | {"id": ""}
            return Effect.IGNORED
        if family is ANTHROPIC:
            assert sent == [before | WRITTEN.get(name, sample)]
            assert answer.ignored == []
            assert answer.notices == [*sorted(TWINS.get(name, ({}, set(), set()))[2])]
            return Effect.HONOURED if name in TWINS and name not in ("temperature", "top_p") else Effect.PASSED_ON
        if name in TWINS:
            fields, ignored, notices = TWINS[name]
            twin = await gateway.ask(**{"max_tokens": 9000, **fields})
            assert twin.status == 200, twin.text
            assert sent == [gateway.sent[-1]]
            assert (set(answer.ignored), set(answer.notices)) == ({*twin.ignored, *ignored}, {*twin.notices, *notices})
            return Effect.MAPPED
    return None


ROWS = {f"{family.name.lower()}-{row.name}": (row, family) for family in FAMILIES for row in FIELDS if not row.is_left_out}
ROWS |= {f"{family.name.lower()}-{row.name}": (row, family) for family in (Family.COMPOSER, ANTHROPIC) for row in FIELDS if row.is_left_out}


@pytest.mark.parametrize(("row", "family"), ROWS.values(), ids=ROWS)
async def test_the_row_tells_the_truth(tmp_path, row: Field, family: Family):
    claimed = row.anthropic if family is ANTHROPIC else row.elsewhere
    assert await effect_of(row.name, family, opener(tmp_path, family)) is claimed.effect


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_field_that_nobody_knows_reaches_an_upstream_of_the_same_api_alone(tmp_path, family):
    async with opener(tmp_path, family)() as gateway:
        answer = await gateway.ask_messages(brand_new=1, api_base="https://elsewhere.example", reasoning_effort="high")
        sent = gateway.sent[-1]
    assert sent.get("brand_new") == (1 if family is ANTHROPIC else None)
    assert not sent.keys() & {"api_base", "reasoning_effort"}
    assert set(answer.ignored) == {"api_base", "reasoning_effort"} | ({"brand_new"} if family is not ANTHROPIC else set())


def test_every_row_has_its_sample_and_a_mapped_one_names_a_parameter_that_there_is():
    assert set(SAMPLES) == {row.name for row in FIELDS}
    assert set(TWINS) == {row.name for row in FIELDS if row.elsewhere.effect is Effect.MAPPED}
    names = {row.name for row in PARAMETERS}
    for name, (fields, _, _) in TWINS.items():
        assert set(fields) <= names, name


def test_what_is_read_and_kept_is_the_same_everywhere():
    assert FOREIGN_READ["anthropic"] == KEPT_AND_READ
