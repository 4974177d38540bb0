"""What each parameter does on a server with Anthropic's API; as `tests.support.parameter_checks`.

`CHECKS` holds the checks of all modules.
"""

from typing import Any

from pipeline.parameters import Effect
from tests.support.chat_bodies import TOOL, WEATHER
from tests.support.parameter_bench import USER, Open, spoken
from tests.support.parameter_checks import (
    ALLOWED,
    ANTHROPIC,
    ASKED,
    CALLING,
    FORCED,
    FREE,
    JSON_ASKED,
    LIMITS,
    NOW,
    RESULT,
    SCHEMA_ASKED,
    check,
    shows_reasoning,
)
from tests.support.parameter_checks_prompted import CHECKS

__all__ = ["CHECKS"]

WRITTEN = {"name": "get_weather", "description": WEATHER["description"], "input_schema": WEATHER["parameters"]}
CALL = {"type": "tool_use", "id": "c", "name": "get_weather", "input": {}}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


@check(Effect.HONOURED, "messages", families=(ANTHROPIC,))
async def messages_of_anthropic(open_gateway: Open) -> None:
    thoughtful = {"role": "assistant", "content": "Hello.", "reasoning_content": "a long thought"}
    turns = [system("Be brief."), USER, thoughtful, system("Be kind."), USER, RESULT, CALLING]
    async with open_gateway() as gateway:
        answer = await gateway.ask(messages=turns)
        sent = gateway.sent[-1]
    assert set(answer.notices) == {"tool_results_moved", "reasoning_dropped", "system_message_as_user"}
    assert sent["system"] == "Be brief."
    reminder = "<system-reminder>\nBe kind.\n</system-reminder>"
    assert sent["messages"] == [
        USER,
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": reminder}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hm."}, CALL]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "wet"}]},
    ]
    async with open_gateway(settings="profile = { unsigned_thinking = true, system_messages = true }") as gateway:
        answer = await gateway.ask(messages=[USER, thoughtful, USER, system("Be kind.")])
        sent = gateway.sent[-1]
    assert answer.notices == []
    assert sent["messages"][1]["content"][0] == {"type": "thinking", "thinking": "a long thought", "signature": ""}
    assert sent["messages"][3] == system("Be kind.")


@check(Effect.HONOURED, "tools", families=(ANTHROPIC,))
async def tools_of_anthropic(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for tool in (TOOL, {"type": "function", **WEATHER}):
            assert (await gateway.sent_for(tools=[tool]))["tools"] == [WRITTEN]
        [custom] = (await gateway.sent_for(tools=[{"type": "custom", "custom": {"name": "patch"}}]))["tools"]
    assert custom["name"] == "patch"
    assert custom["input_schema"]["properties"]["input"]["type"] == "string"


@check(Effect.HONOURED, "tool_choice", families=(ANTHROPIC,), values=FREE)
async def tool_choice_of_anthropic(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL], tool_choice="none"))["tool_choice"] == {"type": "none"}
        assert "tool_choice" not in await gateway.sent_for(tools=[TOOL], tool_choice="auto")
        assert [tool["name"] for tool in (await gateway.sent_for(tools=[TOOL, NOW], tool_choice=ALLOWED))["tools"]] == ["get_weather"]


@check(Effect.HONOURED, "tool_choice", families=(ANTHROPIC,), values=FORCED)
async def forced_choice_of_anthropic(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for choice, written in (("required", {"type": "any"}), (ASKED, {"type": "tool", "name": "get_weather"})):
            answer = await gateway.ask(tools=[TOOL], tool_choice=choice, reasoning_effort="high")
            assert gateway.sent[-1]["tool_choice"] == written
            assert "thinking" not in gateway.sent[-1]
            assert answer.notices == ["thinking_left_out"]


@check(Effect.HONOURED, "parallel_tool_calls", families=(ANTHROPIC,))
async def parallel_of_anthropic(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        sent = await gateway.sent_for(tools=[TOOL], parallel_tool_calls=False)
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@check(Effect.HONOURED, "stop", families=(ANTHROPIC,))
async def stop_of_anthropic(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(stop="STOP"))["stop_sequences"] == ["STOP"]
        answer = await gateway.ask(stop=[" ", "b"])
        assert gateway.sent[-1]["stop_sequences"] == ["b"]
        assert answer.told == ("One", "stop")


@check(Effect.HONOURED, *LIMITS, families=(ANTHROPIC,))
async def limit_of_anthropic(open_gateway: Open, name: str) -> None:
    async with open_gateway(settings="profile = { max_tokens = 777 }") as gateway:
        for fields, limit in (({name: 5}, 5), ({}, 777)):
            sent = await gateway.sent_for(**fields)
            assert {key: value for key, value in sent.items() if key.startswith("max_")} == {"max_tokens": limit}


@check(Effect.EMULATED, "response_format", families=(ANTHROPIC,), values="json_object, json_schema")
async def format_of_anthropic(open_gateway: Open) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    closed: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with open_gateway() as gateway:
        sent = await gateway.sent_for(response_format=closed)
        assert sent["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
        assert "system" not in sent
        for asked in (JSON_ASKED, SCHEMA_ASKED):
            answer = await gateway.ask(response_format=asked)
            assert "JSON" in gateway.sent[-1]["system"]
            assert "output_config" not in gateway.sent[-1]
            assert answer.status == 200  # and it is no JSON
    async with open_gateway(settings="profile = { structured_outputs = false }") as gateway:
        assert '"required":["a"]' in (await gateway.sent_for(response_format=closed))["system"].replace(" ", "")


@check(Effect.HONOURED, "reasoning_effort", families=(ANTHROPIC,))
async def effort_of_anthropic(open_gateway: Open) -> None:
    thoughtful = spoken(ANTHROPIC, thinking="hm")
    async with open_gateway(thoughtful) as gateway:
        await shows_reasoning(gateway)
        asked, none, unasked = gateway.sent
        assert (asked["thinking"]["type"], asked["output_config"]) == ("adaptive", {"effort": "low"})
        assert none["thinking"] == {"type": "disabled"}
        assert "thinking" not in unasked
        cold = await gateway.ask(reasoning_effort="low", temperature=0.5, top_p=0.5)
        assert cold.ignored == ["temperature", "top_p"]
        assert (await gateway.ask(temperature=1.5)).ignored == ["temperature"]
    async with open_gateway(thoughtful, settings='profile = { thinking = "budget" }') as gateway:
        assert (await gateway.sent_for(reasoning_effort="low"))["thinking"] == {"type": "enabled", "budget_tokens": 2048}
        assert "output_config" not in gateway.sent[-1]
    async with open_gateway(thoughtful, settings='profile = { thinking = "off" }') as gateway:
        answer = await gateway.ask(reasoning_effort="low")
        assert "thinking" not in gateway.sent[-1]
        assert answer.ignored == ["reasoning_effort"]
