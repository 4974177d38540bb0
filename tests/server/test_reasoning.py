"""`reasoning.output` over a real server: who is shown what the model thought, in a stream and in a whole answer."""

import json
from typing import Any

import pytest

from pipeline.events import Finish, TextDelta, ThinkingDelta
from server.settings import Reasoning, Settings
from tests.support.gateway_server import running_server
from tests.support.scripted import ScriptedUpstream, Step

STEPS: list[Step] = [[ThinkingDelta("Let me ")], [ThinkingDelta("see."), TextDelta("It ")], [TextDelta("is."), Finish()]]
ASK = {"model": "composer-2.5", "messages": [{"role": "user", "content": "Hi"}]}

# what a client says -> whether that asks for reasoning
ASKED: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, False),
    "an effort": ({"reasoning_effort": "low"}, True),
    "no effort": ({"reasoning_effort": "none"}, False),
    "null": ({"reasoning_effort": None}, False),
    "an object": ({"reasoning": {"effort": "high"}}, True),
    "an empty object": ({"reasoning": {}}, True),
    "enabled": ({"reasoning": {"enabled": True}}, True),
    "not enabled": ({"reasoning": {"enabled": False}}, False),
    "excluded": ({"reasoning": {"effort": "high", "exclude": True}}, False),
}
SHOWN = {"never": (False, False), "on-request": (False, True), "always": (True, True)}


async def answer(output, body, *, stream):
    """The reasoning and the text that the client is shown, and the whole body of the answer."""
    upstreams = {"captured": ScriptedUpstream(STEPS)}
    async with running_server(Settings(reasoning=Reasoning(output=output)), upstreams) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | body | {"stream": stream, "stream_options": {"include_usage": True}})
    assert response.status_code == 200
    if not stream:
        message = response.json()["choices"][0]["message"]
        return message.get("reasoning_content"), message["content"], response.text
    chunks = [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "content": None}
    reasoning = [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta]
    texts = [delta["content"] for delta in deltas[1:] if "content" in delta]
    if reasoning:
        assert deltas[1:-1] == [{"reasoning_content": word} for word in reasoning] + [{"content": word} for word in texts]
    return "".join(reasoning) if reasoning else None, "".join(texts), response.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("output", SHOWN)
@pytest.mark.parametrize("name", ASKED)
async def test_reasoning_is_shown_to_whom_the_setting_says(name, output, stream):
    body, is_asked = ASKED[name]
    reasoning, text, raw = await answer(output, body, stream=stream)
    is_shown = SHOWN[output][is_asked]
    assert reasoning == ("Let me see." if is_shown else None)
    assert text == "It is."
    assert ("reasoning_content" in raw) == ("see." in raw) == is_shown


@pytest.mark.parametrize("output", SHOWN)
@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_is_counted_whether_it_is_shown_or_not(output, stream):
    raw = (await answer(output, {}, stream=stream))[2]
    usage = json.loads(raw) if not stream else json.loads(raw.split("\n\n")[-3].removeprefix("data: "))
    assert usage["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_reasoning_alone_is_an_answer_without_text():
    upstreams = {"captured": ScriptedUpstream([[ThinkingDelta("hm")], [Finish()]])}
    async with running_server(Settings(reasoning=Reasoning(output="always")), upstreams) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK)
    message = response.json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("", "hm")
    assert response.headers["penstock-notices"] == "empty_answer"
