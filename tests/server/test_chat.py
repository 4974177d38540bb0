"""`/v1/chat/completions` over a real server: streams, whole answers, errors, and what the headers and the log say."""

import json
import logging

import pytest

from pipeline.errors import RateLimited, StreamCut
from pipeline.events import Failed, Finish, TextDelta, ThinkingDelta, UpstreamEvent
from server.settings import Auth, Route, Settings, Target, Timeouts
from server.upstream_settings import Captured, Composer
from tests.support.gateway_server import running_server
from tests.support.scripted import ScriptedUpstream, Step

HELLO: list[Step] = [[ThinkingDelta("hm"), TextDelta("Hel")], [TextDelta("lo")], [Finish()]]
ASK = {"model": "composer-2.5", "messages": [{"role": "user", "content": "Hi"}]}


def scripted(steps: list[Step]) -> dict[str, ScriptedUpstream]:
    return {"captured": ScriptedUpstream(steps)}


async def test_a_whole_answer():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"temperature": 0.5})
    answer = response.json()
    assert response.status_code == 200
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello", "refusal": None}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert answer["model"] == "composer-2.5"
    assert answer["usage"]["estimated"] is True
    assert response.headers["penstock-ignored"] == "temperature"
    assert response.headers["x-request-id"]
    assert "server" not in response.headers


async def test_a_streamed_answer():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"stream": True, "stream_options": {"include_usage": True}})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [{"role": "assistant", "content": None}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 3


async def test_thinking_is_shown_when_it_is_asked_for():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        answer = (await client.post("/v1/chat/completions", json=ASK | {"reasoning_effort": "low"})).json()
    assert answer["choices"][0]["message"]["reasoning_content"] == "hm"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_before_the_first_event_is_a_status(stream):
    limited: list[UpstreamEvent] = [Failed(RateLimited("Slow down.", retry_after_seconds=6.2))]
    async with running_server(upstreams=scripted([limited])) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"stream": stream})
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert response.json()["error"] == {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


async def test_a_fault_behind_the_first_event_ends_the_stream_with_an_error():
    steps: list[Step] = [[TextDelta("Hel")], [Failed(StreamCut("Cut."))]]
    async with running_server(upstreams=scripted(steps)) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
    *_, last = [line for line in response.text.split("\n\n") if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_stream_cut"
    assert "[DONE]" not in response.text
    assert '"finish_reason":"stop"' not in response.text


async def test_a_stream_without_an_end_is_an_error():
    async with running_server(upstreams=scripted([[TextDelta("Hel")]])) as server, server.client() as client:
        whole = await client.post("/v1/chat/completions", json=ASK)
        streamed = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
    assert whole.status_code == 502
    assert whole.json()["error"]["code"] == "upstream_stream_cut"
    assert '"code":"upstream_stream_cut"' in streamed.text


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"[" * 200_000, 400, "invalid_json", None),
        (b'{"model":"composer-2.5"}', 400, "invalid_request", "messages"),
        (b'{"model":"composer-2.5","messages":"hi"}', 400, "invalid_request", "messages"),
        (b'{"model":"no-such-model","messages":[{"role":"user","content":"x"}]}', 404, "model_not_found", "model"),
        (b'{"model":"composer-2.5","messages":[{"role":"user","content":"x"}],"n":2}', 400, "unsupported_parameter", "n"),
        (b'{"model":"composer-2.5","messages":[{"role":"user","content":1}]}', 400, "invalid_request", "messages[0].content"),
    ],
)
async def test_bad_input_is_a_clear_4xx(body, status, code, param):
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", content=body)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"], error["param"]) == (status, "invalid_request_error", code, param)


async def test_what_the_framework_refuses_has_the_same_shape():
    async with running_server(upstreams=scripted(HELLO), max_body_bytes=2000) as server, server.client() as client:
        found = [
            await client.get("/nowhere"),
            await client.get("/v1/chat/completions"),
            await client.post("/v1/chat/completions", content=b"x" * 3000),
            await client.post("/v1/chat/completions", content=b"x", headers={"content-encoding": "gzip"}),
        ]
        slash = await client.post("/v1/chat/completions/", json=ASK)
    assert [(response.status_code, response.json()["error"]["code"]) for response in found] == [
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "request_too_large"),
        (415, "unsupported_media_type"),
    ]
    assert all(response.headers["x-request-id"] for response in found)
    assert slash.status_code == 200


async def test_a_base_url_without_its_version_is_named():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        near = await client.post("/chat/completions", json=ASK)
        far = await client.post("/nowhere", json=ASK)
    assert near.status_code == far.status_code == 404
    assert "/v1/chat/completions" in near.json()["error"]["message"]
    assert "Did you mean" not in far.json()["error"]["message"]


async def test_a_request_id_is_kept_if_it_is_harmless():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        kept = await client.get("/health", headers={"x-request-id": "abc-1"})
        made = await client.get("/health", headers={"x-request-id": "a b"})
    assert kept.headers["x-request-id"] == "abc-1"
    assert made.headers["x-request-id"] != "a b"


async def test_the_first_event_clock():
    settings = Settings(timeouts=Timeouts(first_event_seconds=0.05))
    upstream = ScriptedUpstream([30.0])
    async with running_server(settings, {"captured": upstream}) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_first_event_timeout")
    assert upstream.closed == 1


async def test_the_idle_clock():
    settings = Settings(timeouts=Timeouts(idle_seconds=0.05))
    upstream = ScriptedUpstream([[TextDelta("Hel")], 30.0])
    async with running_server(settings, {"captured": upstream}) as server, server.client() as client:
        response = await client.post("/v1/chat/completions", json=ASK | {"stream": True})
    assert '"code":"upstream_idle_timeout"' in response.text
    assert upstream.closed == 1


async def test_forward_mode_asks_for_a_key_and_hands_it_on():
    upstream = ScriptedUpstream(HELLO)
    async with running_server(Settings(auth=Auth(mode="forward")), {"captured": upstream}) as server, server.client() as client:
        refused = [
            await client.post("/v1/chat/completions", json=ASK, headers=headers)
            for headers in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer psk_1234"}, {"x-api-key": "x" * 5000})
        ]
        models = await client.get("/v1/models")
        accepted = [
            await client.post("/v1/chat/completions", json=ASK, headers=headers)
            for headers in ({"authorization": "Bearer k1"}, {"x-api-key": "k2"}, {"api-key": "k3"})
        ]
    assert [response.status_code for response in refused] == [401] * 4
    assert refused[0].json()["error"]["type"] == "authentication_error"
    assert models.status_code == 401
    assert [response.status_code for response in accepted] == [200] * 3
    assert upstream.keys == ["k1", "k2", "k3"]


async def test_open_mode_hands_no_key_on_and_answers_only_to_loopback_names():
    upstream = ScriptedUpstream(HELLO)
    async with running_server(upstreams={"captured": upstream}) as server, server.client() as client:
        await client.post("/v1/chat/completions", json=ASK, headers={"authorization": "Bearer secret"})
        strange = await client.get("/v1/models", headers={"host": "tunnel.example"})
        broken = await client.get("/v1/models", headers={"host": "a/b?c#d"})
        probe = await client.get("/health", headers={"host": "10.0.0.7"})
    assert upstream.keys == [None]
    assert (strange.status_code, strange.json()["error"]["code"]) == (403, "host_not_allowed")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_host")
    assert probe.status_code == 200


async def test_over_the_concurrency_limit():
    settings = Settings(timeouts=Timeouts(idle_seconds=5))
    upstream = ScriptedUpstream([[TextDelta("a")], 0.3, [Finish()]])
    async with (
        running_server(settings, {"captured": upstream}, max_concurrency=1) as server,
        server.client() as client,
        client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as first,
    ):
        refused = await client.post("/v1/chat/completions", json=ASK)
        healthy = await client.get("/health")
        assert b"[DONE]" in await first.aread()
    assert (refused.status_code, refused.headers["retry-after"], healthy.status_code) == (503, "1", 200)


async def test_models_and_health():
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        models = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/cursor/composer-2.5")).json()
        missing = await client.get("/v1/models/no-such-model")
        page = await client.get("/")
        ready = await client.get("/ready")
    assert models["data"][0]["id"] == "composer-2.5"
    assert one["id"] == "cursor/composer-2.5"
    assert missing.status_code == 404
    assert "composer-2.5" in page.text
    assert ready.json()["status"] == "ready"


@pytest.mark.parametrize(
    ("composer", "more", "reason"),
    [
        (Composer(), {}, "no upstream can be used: base_url and endpoint not set"),
        (Composer(base_url="https://b.example"), {}, "no upstream can be used: endpoint not set"),
        (Composer(base_url="https://b.example", endpoint="/chat"), {}, None),
        (Composer(), {"other": Route(targets=(Target(upstream="demo", model="composer-2.5"),))}, None),
    ],
)
async def test_it_is_ready_when_an_upstream_can_be_used(composer, more, reason):
    """A demo that no route leads to answers nobody."""
    routes = {"*": Route(targets=(Target(upstream="secret-name", model="*"),)), **more}
    settings = Settings(auth=Auth(mode="forward"), upstreams={"secret-name": composer, "demo": Captured()}, routes=routes)
    async with running_server(settings) as server, server.client() as client:
        ready, health = await client.get("/ready"), await client.get("/health")
    assert health.status_code == 200
    assert (ready.status_code, ready.json().get("reason")) == ((200, None) if reason is None else (503, reason))
    assert "secret-name" not in ready.text


async def test_the_access_log_has_one_line_a_request_and_no_content(caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    async with running_server(upstreams=scripted(HELLO)) as server, server.client() as client:
        body = {"model": "composer-2.5", "stream": True, "messages": [{"role": "user", "content": "my secret question"}]}
        await client.post("/v1/chat/completions?key=secret", json=body, headers={"authorization": "Bearer secret", "x-request-id": "r1"})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "penstock.access"]
    assert line.startswith("POST /v1/chat/completions 200 model=composer-2.5 target=captured/composer-2.5 first=")
    assert "chunks=4" in line
    assert line.endswith("id=r1")
    assert "secret" not in line
    assert "Hello" not in line
