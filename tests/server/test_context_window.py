"""A conversation that is longer than the window, over a real server: `context_overflow` of the upstream decides."""

import pytest

from pipeline.wire.composer import encode_end, encode_text
from tests.support.composer_backend import composer_backend, to
from tests.support.composer_server import ENDPOINT
from tests.support.gateway_server import gateway_from, running_server

WORDS = "the quick brown fox jumps over the lazy dog; " * 200
LONG = [{"role": "user", "content": "old " + WORDS}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "new " + WORDS}]


def toml(origin, overflow):
    return f"""
[upstreams.composer]
kind = "composer"
base_url = "{origin}"
endpoint = "{ENDPOINT}"
api_base = "{origin}"
context_window = 4000
{overflow}
[routes."*"]
targets = [{{ upstream = "composer", model = "*" }}]
"""


async def ask(folder, overflow, *, stream):
    """The answer to a request that is about as long as the window, and the prompts that the upstream was sent."""
    async with (
        composer_backend([encode_text("Hello") + encode_end()]) as composer,
        gateway_from(folder, toml(composer.origin, overflow), mode="forward") as server,
        server.client(authorization="Bearer user0123456789abcdef-key") as client,
    ):
        response = await client.post("/v1/chat/completions", json={"model": "gpt-5.2", "messages": LONG, "stream": stream})
        return response, [received.message.text for received in to(composer, ENDPOINT) if received.message]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("overflow", ["", 'context_overflow = "error"'])
async def test_it_is_refused_before_anything_is_sent(tmp_path, overflow, stream):
    response, prompts = await ask(tmp_path, overflow, stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 4000 tokens" in response.json()["error"]["message"]
    assert prompts == []


@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_trimmed_and_a_header_says_so(tmp_path, stream):
    response, (prompt,) = await ask(tmp_path, 'context_overflow = "trim"', stream=stream)
    assert response.status_code == 200
    assert "context_trimmed" in response.headers["penstock-notices"]
    assert "USER: new " in prompt
    assert "old " not in prompt


async def test_the_embedded_default_refuses_it():
    async with running_server() as server, server.client() as client:
        body = {"model": "composer-2.5", "messages": [{"role": "user", "content": WORDS * 120}]}
        response = await client.post("/v1/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 200000 tokens" in response.json()["error"]["message"]


@pytest.mark.parametrize(("setting", "windows"), [("", [200_000, 200_000, None, None]), ("context_window = 50000", [50_000] * 4)])
async def test_a_window_that_is_set_is_every_model_s_and_none_is_made_up(tmp_path, setting, windows):
    file = f'[upstreams.composer]\nkind = "composer"\nbase_url = "https://b.example"\nendpoint = "/c"\n{setting}\n'
    models = ("composer-2.5", "composer-2.5-fast", "claude-4-sonnet-1m", "gpt-5-mini")
    async with gateway_from(tmp_path, file, mode="forward") as server, server.client(authorization="Bearer user0123456789abcdef-key") as client:
        cards = [(await client.get(f"/v1/models/{model}")).json() for model in models]
    assert [card.get("context_window") for card in cards] == windows
