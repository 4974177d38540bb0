"""What each parameter does that is read in its own way, by what the upstream was sent and what the client got.

A check is called with the way to open a gateway, and fails when the parameter does not do what its row says. It stands in `CHECKS` under its family,
effect, name and values, so that a row which changes its mind has none. Here are those of every family and of the servers with OpenAI's APIs;
`tests.support.parameter_checks_prompted` and `tests.support.parameter_checks_anthropic` have the others.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pipeline.parameters import Effect, Family
from tests.support.chat_bodies import TOOL, WEATHER
from tests.support.parameter_bench import SENTENCE, USER, Gateway, Open, spoken

COMPOSER, BRIDGE, WEBSITE = Family.COMPOSER, Family.SDK_BRIDGE, Family.WEBSITE
CHAT, RESPONSES, ANTHROPIC = Family.OPENAI_CHAT, Family.OPENAI_RESPONSES, Family.ANTHROPIC
LIMITS, FORCED, FREE = ("max_completion_tokens", "max_output_tokens", "max_tokens"), "required, or a function", "auto, none, allowed_tools"
NOW = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object"}}}
ASKED = {"type": "function", "function": {"name": "get_weather"}}
JSON_ASKED = {"type": "json_object"}
SCHEMA_ASKED = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "required": ["a"]}}}

Check = Callable[[Open], Awaitable[None]]
CHECKS: dict[tuple[Family, Effect, str, str], Check] = {}


def check(effect: Effect, *names: str, families: tuple[Family, ...] = tuple(Family), values: str = ""):
    """Registers a check; one that is about several names or families is called with them."""

    def register(function: Callable[..., Awaitable[None]]):
        for family in families:
            for name in names:
                said = {key: value for key, value in {"family": family, "name": name}.items() if key in function.__code__.co_varnames}
                CHECKS[family, effect, name, values] = _bound(function, said)
        return function

    return register


def _bound(function: Callable[..., Awaitable[None]], said: dict[str, Any]) -> Check:
    return lambda open_gateway: function(open_gateway, **said)


@check(Effect.HONOURED, "model", families=(CHAT, RESPONSES, ANTHROPIC))
async def model_of_chat(open_gateway: Open) -> None:
    async with open_gateway(settings='[routes.mine]\ntargets = [{ upstream = "one", model = "theirs" }]') as gateway:
        assert (await gateway.sent_for(model="mine"))["model"] == "theirs"
        assert (await gateway.ask(model="another")).error == (404, "model_not_found", "model")


CALLING = {"role": "assistant", "content": "Hm.", "tool_calls": [{"id": "c", **ASKED, "function": {"name": "get_weather", "arguments": "{}"}}]}
RESULT = {"role": "tool", "content": "wet", "tool_call_id": "c"}


@check(Effect.HONOURED, "messages", families=(COMPOSER, CHAT))
async def messages(open_gateway: Open, family: Family) -> None:
    thoughtful = {"role": "assistant", "content": "Hello.", "reasoning_content": "a long thought"}
    async with open_gateway() as gateway:
        sent = await gateway.sent_for(messages=[USER, thoughtful, CALLING, RESULT])
        moved = await gateway.ask(messages=[USER, thoughtful, RESULT, CALLING])
        assert moved.notices == ["tool_results_moved"]
        assert gateway.sent[-1] == sent
    if family is CHAT:
        assert sent["messages"] == [USER, thoughtful, CALLING, RESULT]
    else:
        told = sent["prompt"].partition("Conversation:")[2]
        assert [told.index(words) for words in ("USER: Hi", "ASSISTANT: Hello.", "[called get_weather", "TOOL (get_weather, c): wet")]
        assert "a long thought" not in told


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@check(Effect.HONOURED, "messages", families=(RESPONSES,))
async def messages_of_responses(open_gateway: Open) -> None:
    thoughtful = {"role": "assistant", "content": "Hello.", "reasoning_content": "a long thought"}
    async with open_gateway() as gateway:
        answer = await gateway.ask(messages=[{"role": "system", "content": "Be brief."}, USER, thoughtful, RESULT, CALLING])
        sent = gateway.sent[-1]
    assert set(answer.notices) == {"tool_results_moved", "reasoning_dropped"}
    assert sent["instructions"] == "Be brief."
    assert [item.get("content") or item.get("output") or item["name"] for item in sent["input"]] == ["Hi", "Hello.", "Hm.", "get_weather", "wet"]


@check(Effect.HONOURED, "stream")
async def stream(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        streamed, whole = await gateway.ask(stream=True), await gateway.ask(stream=False)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert streamed.body["object"] == "chat.completion.chunk"
    assert whole.told == (SENTENCE, "stop")


@check(Effect.HONOURED, "stream_options")
async def stream_options(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        asked = await gateway.ask(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
        unasked = await gateway.ask(stream=True)
    assert asked.body["choices"] == []
    assert asked.body["usage"]["completion_tokens"] > 0
    assert asked.ignored == ["stream_options.include_obfuscation"]
    assert unasked.body["choices"]
    assert "usage" not in unasked.text


@check(Effect.HONOURED, "tools", families=(CHAT,))
async def tools_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for tool in (TOOL, {"type": "function", **WEATHER}):
            assert (await gateway.sent_for(tools=[tool]))["tools"] == [TOOL]


@check(Effect.HONOURED, "tools", families=(RESPONSES,))
async def tools_of_responses(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for tool in (TOOL, {"type": "function", **WEATHER}):
            assert (await gateway.sent_for(tools=[tool]))["tools"] == [{"type": "function", **WEATHER, "strict": False}]
        custom = {"type": "custom", "name": "patch", "description": "Changes files"}
        assert (await gateway.sent_for(tools=[{"type": "custom", "custom": {"name": "patch", "description": "Changes files"}}]))["tools"] == [custom]
    async with open_gateway(settings="profile = { custom_tools = false }") as gateway:
        assert (await gateway.sent_for(tools=[custom]))["tools"][0]["type"] == "function"


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [ASKED]}}


@check(Effect.HONOURED, "tool_choice", families=(CHAT,), values=FREE)
async def tool_choice_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL], tool_choice="none"))["tool_choice"] == "none"
        assert "tool_choice" not in await gateway.sent_for(tools=[TOOL], tool_choice="auto")  # which is what auto says
        assert (await gateway.sent_for(tools=[TOOL, NOW], tool_choice=ALLOWED))["tools"] == [TOOL]


@check(Effect.HONOURED, "tool_choice", families=(RESPONSES,), values=FREE)
async def tool_choice_of_responses(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL], tool_choice="none"))["tool_choice"] == "none"
        assert "tool_choice" not in await gateway.sent_for(tools=[TOOL], tool_choice="auto")
        assert [tool["name"] for tool in (await gateway.sent_for(tools=[TOOL, NOW], tool_choice=ALLOWED))["tools"]] == ["get_weather"]


@check(Effect.HONOURED, "tool_choice", families=(CHAT,), values=FORCED)
async def forced_choice_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for choice in ("required", ASKED):
            assert (await gateway.sent_for(tools=[TOOL], tool_choice=choice))["tool_choice"] == choice


@check(Effect.HONOURED, "tool_choice", families=(RESPONSES,), values=FORCED)
async def forced_choice_of_responses(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL], tool_choice="required"))["tool_choice"] == "required"
        assert (await gateway.sent_for(tools=[TOOL], tool_choice=ASKED))["tool_choice"] == {"type": "function", "name": "get_weather"}


@check(Effect.HONOURED, "parallel_tool_calls", families=(CHAT, RESPONSES))
async def parallel_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(tools=[TOOL], parallel_tool_calls=False))["parallel_tool_calls"] is False


@check(Effect.HONOURED, "stop", families=(CHAT,))
async def stop_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(stop="STOP"))["stop"] == ["STOP"]
        assert (await gateway.sent_for(stop=["a", "b"]))["stop"] == ["a", "b"]


@check(Effect.EMULATED, "stop", families=(RESPONSES,))
async def stop_of_responses(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for stop in ("STOP", ["never", "STOP", "three"]):
            answer = await gateway.ask(stop=stop)
            assert answer.told == ("One two ", "stop")
            assert answer.ignored == []
            assert "stop" not in gateway.sent[-1]
            streamed = await gateway.ask(stop=stop, stream=True)
            assert '"finish_reason":"stop"' in streamed.text
            assert "STOP" not in streamed.text
            assert "three" not in streamed.text


@check(Effect.HONOURED, *LIMITS, families=(CHAT,))
async def limit_of_chat(open_gateway: Open, name: str) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        async with open_gateway(settings=f'profile = {{ token_limit_field = "{field}" }}') as gateway:
            sent = await gateway.sent_for(**{name: 5})
            assert {key: value for key, value in sent.items() if key.startswith("max_")} == {field: 5}


@check(Effect.HONOURED, *LIMITS, families=(RESPONSES,))
async def limit_of_responses(open_gateway: Open, name: str) -> None:
    async with open_gateway() as gateway:
        sent = await gateway.sent_for(**{name: 5})
        assert {key: value for key, value in sent.items() if key.startswith("max_")} == {"max_output_tokens": 5}


@check(Effect.HONOURED, "response_format", families=(CHAT,), values="json_object, json_schema")
async def format_of_chat(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        for asked in (JSON_ASKED, SCHEMA_ASKED):
            assert (await gateway.sent_for(response_format=asked))["response_format"] == asked


async def shows_reasoning(gateway: Gateway) -> None:
    for effort, is_shown in (("low", True), ("none", False), (None, False)):
        answer = await gateway.ask(reasoning_effort=effort)
        assert answer.message.get("reasoning_content") == ("hm" if is_shown else None)
        assert answer.ignored == []


@check(Effect.HONOURED, "reasoning_effort", families=(CHAT,))
async def effort_of_chat(open_gateway: Open) -> None:
    async with open_gateway(spoken(CHAT, thinking="hm")) as gateway:
        await shows_reasoning(gateway)
        assert [sent.get("reasoning_effort") for sent in gateway.sent] == ["low", "none", None]
    async with open_gateway(spoken(CHAT, thinking="hm"), settings="profile = { reasoning_effort = false }") as gateway:
        answer = await gateway.ask(reasoning_effort="low")
        assert "reasoning_effort" not in gateway.sent[-1]
        assert answer.ignored == ["reasoning_effort"]
        assert answer.message["reasoning_content"] == "hm"


@check(Effect.HONOURED, "response_format", families=(RESPONSES,), values="json_object, json_schema")
async def format_of_responses(open_gateway: Open) -> None:
    async with open_gateway() as gateway:
        assert (await gateway.sent_for(response_format=JSON_ASKED))["text"] == {"format": JSON_ASKED}
        flat = {"type": "json_schema", "name": "n", "schema": {"type": "object", "required": ["a"]}}
        assert (await gateway.sent_for(response_format=SCHEMA_ASKED))["text"] == {"format": flat}


@check(Effect.HONOURED, "reasoning_effort", families=(RESPONSES,))
async def effort_of_responses(open_gateway: Open) -> None:
    async with open_gateway(spoken(RESPONSES, thinking="hm")) as gateway:
        await shows_reasoning(gateway)
        assert [sent.get("reasoning") for sent in gateway.sent] == [{"effort": "low", "summary": "auto"}, {"effort": "none"}, None]
    async with open_gateway(spoken(RESPONSES, thinking="hm"), settings="profile = { reasoning_effort = false }") as gateway:
        answer = await gateway.ask(reasoning_effort="low")
        assert "reasoning" not in gateway.sent[-1]
        assert answer.ignored == ["reasoning_effort"]
