"""A website's stream behind the whole server: the requests that gateways of that kind document, and what a client sees of a refusal."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.composer_server import Pause, Reply
from tests.support.gateway_server import RunningServer, gateway_from
from tests.support.openai_server import OpenAIServer, Received, Script, openai_server
from tests.support.website_scripts import HTML, PAGE, marked, trigger_of
from tests.support.website_words import END, ENDPOINT, START, text

KEY = "callers-own-key-0123"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}
CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate a simple arithmetic expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}
ARGUMENTS = {"get_current_weather": {"location": "Boston, MA"}, "calculator": {"expression": "2+2"}}
CHAT, CURSOR = "/v1/chat/completions", "/cursor/v1/chat/completions"


def asked(model: str, content: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


# the documented curl examples of two gateways for Cursor's website: where it is posted, its body, and the tool that is to be called
CURLS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "which model are you": (CURSOR, asked("claude-3.7-sonnet-thinking", "你是什么模型", stream=True), None),
    "the weather in Boston": (
        CURSOR,
        asked("gpt-4o", "What is the weather like in Boston today?", tools=[WEATHER], stream=False),
        "get_current_weather",
    ),
    "hello": (CHAT, asked("gemini-3-flash", "Hello!", stream=False), None),
    "hello, streamed": (CHAT, asked("gemini-3-flash", "Hello!", stream=True), None),
    "two and two, required": (
        CHAT,
        asked(
            "gemini-3-flash",
            "What is 2+2? Use the calculator tool.",
            tools=[CALCULATOR],
            tool_choice={"type": "function", "function": {"name": "calculator"}},
            stream=False,
        ),
        "calculator",
    ),
    "two and two": (CHAT, asked("gemini-3-flash", "2+2等于几?使用计算器工具", tools=[CALCULATOR], tool_choice="auto"), "calculator"),
    "a card's id": (CHAT, asked("anthropic/gemini-3-flash-thinking", "你好", stream=True), None),
    "every documented parameter": (
        CHAT,
        asked(
            "claude-sonnet-4-5-20250929",
            "你好",
            **{"temperature": 0.5, "max_tokens": 100, "top_p": 0.9, "stop": ["END"], "user": "u", "presence_penalty": 0, "frequency_penalty": 0},
            **{"seed": 7, "logit_bias": {}, "logprobs": False, "n": 1, "parallel_tool_calls": True, "response_format": {"type": "text"}},
        ),
        None,
    ),
}


def model(received: Received) -> Sequence[bytes | Pause]:
    """Calls the tool that it is offered, and else says hello."""
    tool = next((name for name in ARGUMENTS if f'\\"name\\":\\"{name}\\"' in received.body.decode()), None)
    if tool is None:
        return [START, text("你好! "), Pause(0.005), text("Hello."), END]
    return [START, text("One moment.\n"), text(marked(tool, trigger_of(received), **ARGUMENTS[tool])), END]


@asynccontextmanager
async def serving(folder: Path, script: Script = model) -> AsyncIterator[tuple[RunningServer, OpenAIServer]]:
    async with openai_server(script, ENDPOINT) as site:
        toml = f'[upstreams.web]\nkind = "website"\nurl = "{site.origin}{ENDPOINT}"\n[routes."*"]\ntargets = [{{ upstream = "web", model = "*" }}]\n'
        async with gateway_from(folder, toml, mode="forward") as server:
            yield server, site


def chunks_of(body: str) -> list[dict[str, Any]]:
    *events, last = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


@pytest.mark.parametrize(("path", "body", "tool"), CURLS.values(), ids=CURLS)
async def test_the_documented_requests_work(tmp_path, path, body, tool):
    async with serving(tmp_path) as (server, site), server.client(authorization=f"Bearer {KEY}") as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert site.requests[0].headers["authorization"] == f"Bearer {KEY}"
    if body.get("stream"):
        deltas = [choice["delta"] for chunk in chunks_of(answer.text) for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "你好! Hello."
        return
    [choice] = answer.json()["choices"]
    if tool is None:
        assert (choice["message"]["content"], choice["finish_reason"]) == ("你好! Hello.", "stop")
        return
    [call] = choice["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (tool, ARGUMENTS[tool])
    assert choice["finish_reason"] == "tool_calls"
    assert "@@" not in answer.text


async def test_the_models_are_listed(tmp_path):
    async with serving(tmp_path) as (server, site), server.client(authorization=f"Bearer {KEY}") as client:
        listed = (await client.get("/v1/models")).json()["data"]
    assert {"gemini-3-flash", "claude-4.5-sonnet-thinking", "composer-2.5"} <= {each["id"] for each in listed}
    assert site.requests == []


async def test_a_tool_s_result_goes_back_as_text(tmp_path):
    call = {"id": "call_1", "type": "function", "function": {"name": "calculator", "arguments": '{"expression":"2+2"}'}}
    messages = [
        *({"role": "user", "content": "2+2?"}, {"role": "assistant", "content": None, "tool_calls": [call]}),
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    async with serving(tmp_path, [START, text("4"), END]) as (server, site), server.client(authorization=f"Bearer {KEY}") as client:
        answer = await client.post(CHAT, json={"model": "gemini-3-flash", "messages": messages, "tools": [CALCULATOR]})
    assert answer.json()["choices"][0]["message"]["content"] == "4"
    assert [(message["role"], message["parts"][0]["text"]) for message in site.requests[0].json["messages"][1:]] == [
        ("user", "2+2?"),
        ("assistant", '[called calculator, id call_1, with {"expression":"2+2"}]'),
        ("user", "TOOL (calculator, call_1): 4"),
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, CURSOR, "/v1/responses"])
@pytest.mark.parametrize("status", [200, 403, 429, 503])
async def test_no_client_sees_a_page(tmp_path, status, path, stream):
    body = {"model": "gemini-3-flash", "stream": stream} | (
        {"input": "Hi"} if path == "/v1/responses" else asked("gemini-3-flash", "Hi", stream=stream)
    )
    page = Reply(status, PAGE, {**HTML, "retry-after": "7"})
    async with serving(tmp_path, [page]) as (server, site), server.client(authorization=f"Bearer {KEY}") as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == {200: 424, 403: 424}.get(status, status)
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert (error["code"] == "upstream_refused") == (status in (200, 403))
    assert answer.headers.get("retry-after") == ("7" if status in (429, 503) else None)
    assert not any(word in answer.text for word in ("<", "Just a moment", "Ray ID", "Checking"))
    assert len(site.requests) == 1


async def test_an_image_is_the_client_s_error(tmp_path):
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    async with serving(tmp_path) as (server, site), server.client(authorization=f"Bearer {KEY}") as client:
        answer = await client.post(CHAT, json={"model": "gemini-3-flash", "messages": [{"role": "user", "content": content}]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "messages[0].content[0]")
    assert site.requests == []
