"""Settings as running upstreams: each kind is asked where, with which key and headers, and in which form its table says."""

import json
from typing import Any

import msgspec
import pytest

from pipeline.credential import Secret
from pipeline.flow import Exchange, Terms, collect
from pipeline.parse.chat import parse_chat
from pipeline.prompt.chat_body import ChatProfile
from pipeline.prompt.messages_profile import MessagesProfile as WrittenProfile
from server.settings import Route, Settings, Target
from server.upstream_settings import Anthropic, MessagesProfile, OpenAIChat, OpenAIResponses, Profile, ResponsesProfile
from server.upstreams import open_upstreams
from tests.support import anthropic_words as anthropic
from tests.support.openai_server import DONE, Received, chunk, openai_server, text

KEY = "sk-4f9a0c77-canary"
BODY = {
    "model": "mine",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"type": "custom", "custom": {"name": "apply_patch"}}],
    "max_tokens": 9,
    "seed": 7,
    "top_k": 5,
}
COMPLETED: list[dict[str, Any]] = [
    {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hi"},
    {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 1}}},
]
SCRIPTS = {
    "chat/completions": [text("Hi"), chunk("stop"), DONE],
    "messages": [anthropic.START, *anthropic.spoken(["Hi"]), anthropic.end()],
    "responses": [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in COMPLETED],
}


async def asked(table: OpenAIChat | OpenAIResponses | Anthropic, endpoint: str, body: dict[str, Any] = BODY) -> Received:
    """What the server of a table gets for a body; its `base_url` is completed with the server's address."""
    async with openai_server(SCRIPTS[endpoint], f"/openai/v1/{endpoint}") as server:
        values: dict[str, Any] = {name: getattr(table, name) for name in table.__struct_fields__}
        table = type(table)(**{**values, "base_url": server.origin + table.base_url})
        settings = Settings(upstreams={"it": table}, routes={"mine": Route(targets=(Target(upstream="it", model="m"),))})
        async with open_upstreams(settings) as upstreams:
            request = parse_chat(json.dumps(body).encode())
            answer, _ = await collect(await Exchange.prepared(request, upstreams["it"], Terms(), model="m"))
    assert json.loads(answer)["choices"][0]["message"]["content"] == "Hi"
    [received] = server.requests
    return received


@pytest.mark.parametrize(
    ("header", "sent"), [("authorization", f"Bearer {KEY}"), ("api-key", KEY), ("x-api-key", KEY)], ids=["authorization", "api-key", "x-api-key"]
)
@pytest.mark.parametrize(("kind", "endpoint"), [(OpenAIChat, "chat/completions"), (OpenAIResponses, "responses"), (Anthropic, "messages")])
async def test_the_key_the_headers_and_the_address_are_the_table_s(kind, endpoint, header, sent):
    table = kind(base_url="/openai/v1?api-version=preview", api_key=Secret(KEY), api_key_header=header, headers={"X-Title": "Penstock"})
    received = await asked(table, endpoint)
    assert received.path == f"/openai/v1/{endpoint}?api-version=preview"
    keys = {name: received.headers[name] for name in ("authorization", "api-key", "x-api-key") if name in received.headers}
    assert keys == {header: sent}
    assert received.headers["x-title"] == "Penstock"


async def test_a_chat_server_gets_functions_and_what_its_profile_passes_on():
    received = await asked(
        OpenAIChat(base_url="/openai/v1", profile=Profile(pass_fields=("seed",), token_limit_field="max_completion_tokens")), "chat/completions"
    )
    assert "authorization" not in received.headers
    assert received.json["tools"][0]["type"] == "function"
    assert received.json["max_completion_tokens"] == 9
    assert received.json["seed"] == 7
    assert not received.json.keys() & {"max_tokens", "top_k"}


@pytest.mark.parametrize(("profile", "kind"), [(ResponsesProfile(), "custom"), (ResponsesProfile(custom_tools=False), "function")])
async def test_a_responses_server_takes_custom_tools_unless_its_profile_says_otherwise(profile, kind):
    received = await asked(OpenAIResponses(base_url="/openai/v1", profile=profile), "responses")
    assert (received.json["tools"][0]["type"], received.json["tools"][0]["name"]) == (kind, "apply_patch")
    assert received.json["max_output_tokens"] == 9


async def test_a_messages_server_gets_what_its_profile_says():
    thoughtful = {"role": "assistant", "content": "Hm.", "reasoning_content": "a long thought"}
    hello = {"role": "user", "content": "Hello"}
    turns = [hello, thoughtful, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go on."}]
    body: dict[str, Any] = {"model": "mine", "messages": turns, "reasoning_effort": "high"}
    plain = await asked(Anthropic(base_url="/openai"), "messages", body)
    assert plain.headers["anthropic-version"] == "2023-06-01"
    assert plain.json["max_tokens"] == 32_000
    assert (plain.json["thinking"]["type"], plain.json["output_config"]) == ("adaptive", {"effort": "high"})
    assert [turn["role"] for turn in plain.json["messages"]] == ["user", "assistant", "user"]
    assert "a long thought" not in json.dumps(plain.json)
    profile = MessagesProfile(max_tokens=8_000, thinking="budget", unsigned_thinking=True, prompt_cache=True)
    other = await asked(Anthropic(base_url="/openai", profile=profile, headers={"Anthropic-Version": "2099-01-01"}), "messages", body)
    assert other.headers["anthropic-version"] == "2099-01-01"
    assert (other.json["max_tokens"], other.json["thinking"]) == (8_000, {"type": "enabled", "budget_tokens": 4_000})
    assert other.json["messages"][1]["content"][0]["thinking"] == "a long thought"
    assert other.json["cache_control"] == {"type": "ephemeral"}


def test_the_profiles_of_the_settings_are_those_of_the_pipeline():
    for table, profile in ((Profile, ChatProfile), (ResponsesProfile, ChatProfile), (MessagesProfile, WrittenProfile)):
        fields, written = table.__struct_fields__, profile.__struct_fields__
        assert set(fields) <= set(written)
    assert set(MessagesProfile.__struct_fields__) == set(WrittenProfile.__struct_fields__)
    assert msgspec.convert(msgspec.to_builtins(MessagesProfile()), WrittenProfile) == WrittenProfile()
