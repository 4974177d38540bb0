"""What each parameter does on an upstream that is sent a prompt: Composer, the SDK bridge and a website; as `tests.support.parameter_checks`.

`CHECKS` holds the checks of both modules.
"""

import json
from typing import Any

import msgspec

from pipeline.identity import Identity
from pipeline.parameters import Effect, Family
from pipeline.request import Options, Request
from pipeline.upstream.composer_write import write_message
from tests.support.chat_bodies import TOOL, WEATHER
from tests.support.parameter_bench import SENTENCE, USER, Open, calling, spoken
from tests.support.parameter_checks import (
    ALLOWED,
    ASKED,
    BRIDGE,
    CALLING,
    CHECKS,
    COMPOSER,
    FORCED,
    FREE,
    JSON_ASKED,
    LIMITS,
    NOW,
    PICTURE,
    RESULT,
    SCHEMA_ASKED,
    WEBSITE,
    check,
    messages,
    shows_reasoning,
)

__all__ = ["CHECKS"]

PROMPTED = (COMPOSER, BRIDGE, WEBSITE)


@check(Effect.HONOURED, "model", families=(COMPOSER, WEBSITE))
async def model_of_composer(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for asked, got in (("composer-2-5-fast", "composer-2.5-fast"), ("", "composer-2.5")):
            assert (await gateway.sent_for(model=asked))["model"] == got


@check(Effect.HONOURED, "model", families=(BRIDGE,))
async def model_of_the_bridge(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for asked, fast in (("composer-2-5-fast", "true"), ("", "false"), ("composer-2.5", "false")):
            sent = await gateway.sent_for(model=asked)
            assert (sent["model"], sent["params"]) == ("composer-2.5", {"fast": fast})


@check(Effect.HONOURED, "messages", families=(WEBSITE,))
async def messages_of_a_website(open_gateway: Open) -> None:
    thoughtful = {"role": "assistant", "content": "Hello.", "reasoning_content": "a long thought"}
    async with open_gateway() as gateway:
        sent = await gateway.sent_for(messages=[{"role": "system", "content": "Be brief."}, USER, thoughtful, CALLING, RESULT])
        picture = await gateway.ask(messages=[{"role": "user", "content": [PICTURE]}])
    assert set(sent["roles"]) == {"system", "user", "assistant"}
    assert sent["roles"][-1] == "user"
    assert [sent["prompt"].index(words) for words in ("Be brief.", "Hi", "Hello.", "get_weather", "wet")]
    assert "a long thought" not in sent["prompt"]
    assert (picture.status, picture.body["error"]["code"]) == (400, "unsupported_parameter")


@check(Effect.HONOURED, "tools", families=PROMPTED)
async def tools_of_a_prompt(open_gateway: Open, family: Family) -> None:
    async with open_gateway(calling(family)) as gateway:
        for tool in (TOOL, {"type": "function", **WEATHER}):
            answer = await gateway.ask(tools=[tool])
            [call] = answer.message["tool_calls"]
            assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Oban"})
            if family is BRIDGE:
                assert gateway.sent[-1]["tools"] == ["get_weather"]
            else:
                assert '"name":"get_weather","description":"Weather of a city"' in gateway.sent[-1]["prompt"]


@check(Effect.HONOURED, "messages", families=(BRIDGE,))
async def messages_of_the_bridge(open_gateway: Open) -> None:
    await messages(open_gateway, BRIDGE)
    async with open_gateway(calling(BRIDGE, 2)) as gateway:
        asked = await gateway.ask(tools=[TOOL])
        calls = asked.message["tool_calls"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "wet"} for call in calls]
        answer = await gateway.ask(tools=[TOOL], messages=[USER, {"role": "assistant", "content": None, "tool_calls": calls}, *results])
        assert answer.told == ("2 results", "stop")
        assert len(gateway.sent) == 1


@check(Effect.HONOURED, "tool_choice", families=(BRIDGE,), values=FREE)
async def tool_choice_of_the_bridge(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL, NOW], tool_choice="auto"))["tools"] == ["get_weather", "now"]
        assert (await gateway.sent_for(tools=[TOOL, NOW], tool_choice="none"))["tools"] == []
        assert (await gateway.sent_for(tools=[TOOL, NOW], tool_choice=ALLOWED))["tools"] == ["get_weather"]


@check(Effect.HONOURED, "tool_choice", families=(COMPOSER, WEBSITE), values=FREE)
async def tool_choice_of_composer(open_gateway: Open, family: Family) -> None:
    async with open_gateway(calling(family)) as gateway:
        free = await gateway.ask(tools=[TOOL, NOW], tool_choice="auto")
        assert free.message["tool_calls"]
        bound = await gateway.ask(tools=[TOOL, NOW], tool_choice="none")
        assert "tool_calls" not in bound.message
        assert "Do not call tools" in gateway.sent[-1]["prompt"]
        narrowed = await gateway.sent_for(tools=[TOOL, NOW], tool_choice=ALLOWED)
    assert '"name":"get_weather"' in narrowed["prompt"]
    assert '"name":"now"' not in narrowed["prompt"]


@check(Effect.EMULATED, "tool_choice", families=PROMPTED, values=FORCED)
async def forced_choice_of_a_prompt(open_gateway: Open, family: Family) -> None:
    talk, call = spoken(family), calling(family)
    async with open_gateway(talk) as gateway:
        for choice in ("required", ASKED):
            answer = await gateway.ask(tools=[TOOL], tool_choice=choice)
            assert answer.told == (SENTENCE, "stop")
            assert answer.notices == ["tool_choice_unsatisfied"]
            assert "You must call" in gateway.sent[-1]["prompt"]
        assert len(gateway.sent) == 2
    for answers, status, count in (((talk, call), 200, 2), ((talk, talk), 502, 2), ((call,), 200, 1)):
        async with open_gateway(*answers, settings="tools = { strict = true }") as gateway:
            answer = await gateway.ask(tools=[TOOL], tool_choice="required")
            assert (answer.status, len(gateway.sent)) == (status, count)
            if status == 200:
                assert answer.message["tool_calls"]
            else:
                assert answer.body["error"]["code"] == "tool_choice_unsatisfied"
    async with open_gateway(talk, settings="tools = { strict = true }") as gateway:
        streamed = await gateway.ask(tools=[TOOL], tool_choice="required", stream=True)
        assert streamed.body["error"]["code"] == "tool_choice_unsatisfied"
        assert len(gateway.sent) == 1


@check(Effect.HONOURED, "parallel_tool_calls", families=(BRIDGE,))
async def parallel_of_the_bridge(open_gateway: Open) -> None:
    async with open_gateway(calling(BRIDGE, 2)) as gateway:
        two = await gateway.ask(tools=[TOOL], parallel_tool_calls=True)
        assert (len(two.message["tool_calls"]), two.notices) == (2, [])
        asked = await gateway.ask(tools=[TOOL], parallel_tool_calls=False)
        told: list[dict[str, Any]] = [USER]
        for _ in range(2):
            [call] = asked.message["tool_calls"]
            told += [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": "wet"}]
            asked = await gateway.ask(tools=[TOOL], parallel_tool_calls=False, messages=told)
        assert asked.told == ("2 results", "stop")
        assert len(gateway.sent) == 2


@check(Effect.HONOURED, "parallel_tool_calls", families=(COMPOSER, WEBSITE))
async def parallel_of_composer(open_gateway: Open, family: Family) -> None:
    async with open_gateway(calling(family, 2)) as gateway:
        one = await gateway.ask(tools=[TOOL], parallel_tool_calls=False)
        assert "at most one call" in gateway.sent[-1]["prompt"]
        two = await gateway.ask(tools=[TOOL], parallel_tool_calls=True)
        assert "at most one call" not in gateway.sent[-1]["prompt"]
    assert (len(one.message["tool_calls"]), one.notices) == (1, ["parallel_call_dropped"])
    assert (len(two.message["tool_calls"]), two.notices) == (2, [])


@check(Effect.EMULATED, "stop", families=PROMPTED)
async def stop_of_a_prompt(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for stop in ("STOP", ["never", "STOP", "three"]):
            answer = await gateway.ask(stop=stop)
            assert answer.told == ("One two ", "stop")
            assert '"STOP"' in gateway.sent[-1]["prompt"]
            streamed = await gateway.ask(stop=stop, stream=True)
            assert '"finish_reason":"stop"' in streamed.text
            assert "STOP" not in streamed.text
            assert "three" not in streamed.text


@check(Effect.EMULATED, *LIMITS, families=PROMPTED)
async def limit_of_a_prompt(open_gateway: Open, name: str, family: Family) -> None:
    async with open_gateway(spoken(family, SENTENCE * 20)) as gateway:
        answer = await gateway.ask(**{name: 5})
        assert "at most 5 tokens" in gateway.sent[-1]["prompt"]
        text, reason = answer.told
        assert reason == "length"
        assert (SENTENCE * 20).startswith(text)
        assert 0 < answer.body["usage"]["completion_tokens"] <= 5
        streamed = await gateway.ask(**{name: 5}, stream=True)
        assert '"finish_reason":"length"' in streamed.text
        assert (await gateway.ask(**{name: 1000})).told == (SENTENCE * 20, "stop")


@check(Effect.EMULATED, "response_format", families=PROMPTED, values="json_object, json_schema")
async def format_of_a_prompt(open_gateway: Open, family: Family) -> None:
    fenced, wrong = spoken(family, '```json\n{"a": 1}\n```'), spoken(family, '{"b": ')
    for asked, wanted in ((JSON_ASKED, "one JSON object"), (SCHEMA_ASKED, '"required":["a"]')):
        async with open_gateway(fenced) as gateway:
            answer = await gateway.ask(response_format=asked)
            assert json.loads(answer.message["content"]) == {"a": 1}
            assert wanted in gateway.sent[-1]["prompt"]
            streamed = await gateway.ask(response_format=asked, stream=True)
            assert "```" not in streamed.text
        async with open_gateway(wrong, fenced) as gateway:
            assert json.loads((await gateway.ask(response_format=asked)).message["content"]) == {"a": 1}
            assert len(gateway.sent) == 2
        async with open_gateway(wrong) as gateway:
            answer = await gateway.ask(response_format=asked)
            assert (answer.status, answer.body["error"]["code"], len(gateway.sent)) == (502, "response_format_unsatisfied", 2)
            streamed = await gateway.ask(response_format=asked, stream=True)
            assert streamed.text.endswith("data: [DONE]\n\n")
            assert len(gateway.sent) == 3
    async with open_gateway(spoken(family, '{"b": 1}')) as gateway:
        assert (await gateway.ask(response_format=SCHEMA_ASKED)).status == 502
        assert (await gateway.ask(response_format=JSON_ASKED)).status == 200


@check(Effect.EMULATED, "reasoning_effort", families=(WEBSITE,))
async def effort_of_a_website(open_gateway: Open) -> None:
    async with open_gateway(spoken(WEBSITE, thinking="hm")) as gateway:
        await shows_reasoning(gateway)
        assert gateway.sent[0] == gateway.sent[-1]
        for effort, model in (("high", "gpt-5.2-high"), ("medium", "gpt-5.2")):
            assert (await gateway.sent_for(model="gpt-5.2", reasoning_effort=effort))["model"] == model


@check(Effect.EMULATED, "reasoning_effort", families=(BRIDGE,))
async def effort_of_the_bridge(open_gateway: Open) -> None:
    async with open_gateway(spoken(BRIDGE, thinking="hm")) as gateway:
        await shows_reasoning(gateway)
        assert gateway.sent[0] == gateway.sent[-1]
        models = await gateway.listed()
        variants = {model_id.removesuffix("-high"): model_id for model_id in models if model_id.endswith("-high")}
        assert variants
        for base, variant in variants.items():
            by_field, by_id = await gateway.sent_for(model=base, reasoning_effort="high"), await gateway.sent_for(model=variant)
            assert by_field == by_id
            assert by_field["params"]


@check(Effect.EMULATED, "reasoning_effort", families=(COMPOSER,))
async def effort_of_composer(open_gateway: Open) -> None:
    async with open_gateway(spoken(COMPOSER, thinking="hm")) as gateway:
        await shows_reasoning(gateway)
        assert gateway.sent[0] == gateway.sent[-1]
    asked = Request("gpt-5.2", (), options=Options(reasoning_effort="high"))
    assert b"gpt-5.2-high" in write_message(asked, "", Identity.frozen())
    assert b"gpt-5.2-" not in write_message(msgspec.structs.replace(asked, options=Options(reasoning_effort="medium")), "", Identity.frozen())
