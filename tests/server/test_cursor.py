"""Cursor as the client, through a real server and over real sockets: bases, dialects, displays, failures, and what stands in headers and the log."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.support.composer_server import Cut, Late, Pause, Reply, Step
from tests.support.gateway_server import chat_request, gateway_from, read_all, read_until
from tests.support.openai_server import DONE, call, chunk, event, openai_server, text, usage

GRAMMAR = {
    "type": "custom",
    "name": "ApplyPatch",
    "description": "Edit.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
READ = {
    "type": "function",
    "name": "Read",
    "description": "Read a file.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
}
RESPONSES_BODY: dict[str, Any] = {
    "model": "kimi",
    "stream": True,
    "user": "u",
    "input": [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        {"type": "function_call", "call_id": "call_a", "name": "Read", "arguments": '{"path": "a.py"}'},
        {"type": "function_call_output", "call_id": "call_a", "output": "x = 1"},
    ],
    "tools": [READ, GRAMMAR],
    "tool_choice": "auto",
    "reasoning": {"effort": "low", "summary": "auto"},
    "metadata": {"cursorConversationId": "c-1"},
}
CHAT_BODY: dict[str, Any] = {"model": "kimi", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
HELLO: list[Step] = [text("Hello"), chunk("stop"), usage(3, 2), DONE]
CURSOR = {"user-agent": "cursor/1.0"}


def table(server: Any, name: str = "one", **keys: Any) -> str:
    lines = [f"[upstreams.{name}]", 'kind = "openai-chat"', f'base_url = "{server.origin}/v1"']
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]) + "\n"


def route(*upstreams: str, **keys: Any) -> str:
    targets = ", ".join(f'{{ upstream = "{name}", model = "kimi-k3" }}' for name in upstreams)
    return "\n".join(["[routes.kimi]", f"targets = [{targets}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]) + "\n"


@asynccontextmanager
async def cursor_gateway(tmp_path, script, more: str = "", *, mode: str = "open", **keys: Any):
    async with openai_server(script) as upstream:
        toml = table(upstream) + route("one", **keys) + more
        async with gateway_from(tmp_path, toml, mode=mode) as server, server.client(**CURSOR) as client:
            yield upstream, server, client


async def become_true(told: Callable[[], object]) -> None:
    while not told():  # noqa: ASYNC110 - what is awaited tells nobody
        await trio.sleep(0.01)


def chunks(body: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def visible(body: bytes) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks(body) for choice in chunk["choices"])


@pytest.mark.parametrize(
    "path",
    [
        "/cursor/chat/completions",
        "/cursor/v1/chat/completions",
        "/cursor/chat/completions/chat/completions",
        "/cursor/chat/completions/",
        "/openai/deployments/kimi/chat/completions",
        "/openai/deployments/kimi/chat/completions/",
        "/openai/deployments/kimi/v1/chat/completions/",
    ],
)
async def test_o20_every_base_takes_a_body_of_any_dialect(tmp_path, path):
    async with cursor_gateway(tmp_path, HELLO) as (upstream, _, client):
        answer = await client.post(path, json=RESPONSES_BODY)
        assert answer.status_code == 200, answer.text
        assert visible(answer.content) == "Hello"
        assert answer.content.endswith(DONE)
        assert chunks(answer.content)[-1]["usage"]["total_tokens"] == 5
    sent = upstream.requests[0].json
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "ApplyPatch"]
    assert (sent["model"], sent["reasoning_effort"]) == ("kimi-k3", "low")
    assert not {"user", "metadata", "input", "reasoning"} & set(sent)
    assert answer.headers["penstock-target"] == "one/kimi-k3"
    assert "penstock-attempts" not in answer.headers


async def test_o20_the_azure_slot_s_deployment_is_the_model_and_its_key_comes_in_a_header_of_its_own(tmp_path):
    async with cursor_gateway(tmp_path, HELLO, '[routes.gpt-5]\ntargets = [{ upstream = "one", model = "other" }]\n') as (upstream, _, client):
        answer = await client.post("/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21", json=CHAT_BODY, headers={"api-key": "k"})
        assert answer.status_code == 200
    assert upstream.requests[0].json["model"] == "other"
    assert chunks(answer.content)[0]["model"] == "gpt-5"


async def test_o17_models_are_the_routes_and_aliases(tmp_path):
    more = '[aliases]\n"~moonshotai/kimi-latest" = "kimi"\n'
    async with cursor_gateway(tmp_path, HELLO, more) as (_, _, client):
        for base in ("/cursor", "/cursor/v1", "/cursor/chat/completions", "/openai/deployments/kimi"):
            for version in ("", "/v1"):
                answer = await client.get(f"{base}{version}/models")
                assert [model["id"] for model in answer.json()["data"]] == ["kimi", "~moonshotai/kimi-latest"]
                assert (await client.get(f"{base}{version}/models/")).json() == answer.json()
        one = await client.get("/cursor/v1/models/~moonshotai/kimi-latest")
        assert one.json()["id"] == "~moonshotai/kimi-latest"


async def test_o18_a_browser_gets_leave_where_there_are_keys(tmp_path):
    asking = {"origin": "https://app.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    key_hash = "sha256:" + "0" * 63 + "1"
    keys = f'[auth]\nmode = "keys"\n[[auth.keys]]\nname = "alice"\nhash = "{key_hash}"\n'
    async with openai_server(HELLO) as upstream, gateway_from(tmp_path, keys + table(upstream) + route("one")) as server, server.client() as client:
        for path in ("/cursor/chat/completions", "/cursor/v1/models", "/openai/deployments/kimi/chat/completions"):
            answer = await client.options(path, headers=asking)
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "authorization" in answer.headers["access-control-allow-headers"]
            own = {"access-control-request-headers": "authorization,x-stainless-os"}
            assert (await client.options(path, headers=asking | own)).headers["access-control-allow-headers"] == own["access-control-request-headers"]
            odd = {"access-control-request-headers": "a b, c"}
            assert "api-key" in (await client.options(path, headers=asking | odd)).headers["access-control-allow-headers"]
        refused = await client.post("/cursor/chat/completions", json=CHAT_BODY, headers={"origin": "https://app.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
        elsewhere = await client.options("/v1/chat/completions", headers=asking)
        assert "access-control-allow-origin" not in elsewhere.headers


async def test_o18_a_server_without_keys_gives_no_leave(tmp_path):
    asking = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with cursor_gateway(tmp_path, HELLO) as (upstream, _, client):
        answer = await client.options("/cursor/chat/completions", headers=asking)
        assert "access-control-allow-origin" not in answer.headers
        refused = await client.post("/cursor/chat/completions", json=CHAT_BODY, headers={"origin": "https://app.example"})
        assert refused.status_code == 403
        local = await client.options("/cursor/chat/completions", headers=asking | {"origin": "http://localhost:3000"})
        assert local.headers["access-control-allow-origin"] == "*"
    assert upstream.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_o19_the_verify_request_of_an_unknown_model_is_answered_here(tmp_path, stream):
    asked = {"model": "no-such", "stream": stream, "messages": [{"role": "user", "content": "Testing. Just say hi and nothing else."}]}
    async with cursor_gateway(tmp_path, HELLO) as (upstream, _, client):
        answer = await client.post("/cursor/chat/completions", json=asked)
        assert answer.status_code == 200
        said = visible(answer.content) if stream else answer.json()["choices"][0]["message"]["content"]
        assert said == "hi"
        other = await client.post("/cursor/chat/completions", json=asked | {"messages": [{"role": "user", "content": "hello"}]})
        assert (other.status_code, other.json()["error"]["code"]) == (404, "model_not_found")
        assert upstream.requests == []
        known = await client.post("/cursor/chat/completions", json=asked | {"model": "kimi"})
        assert known.status_code == 200
    assert len(upstream.requests) == 1


async def test_o19_only_who_may_come_in_is_greeted(tmp_path):
    keys = '[auth]\nmode = "keys"\n[[auth.keys]]\nname = "alice"\nhash = "sha256:' + "0" * 63 + '1"\n'
    asked = {"model": "x", "messages": [{"role": "user", "content": "Testing. Just say hi and nothing else."}]}
    async with openai_server(HELLO) as upstream, gateway_from(tmp_path, keys + table(upstream) + route("one")) as server, server.client() as client:
        assert (await client.post("/cursor/chat/completions", json=asked)).status_code == 401


@pytest.mark.parametrize("text", ["Testing. Just say hi and nothing else.", "hello"])
async def test_o19_a_restricted_key_is_greeted_where_its_model_is_not_its(tmp_path, text):
    key = "psk_" + "a" * 43
    keys = f'[auth]\nmode = "keys"\n[[auth.keys]]\nname = "a"\nmodels = ["kimi"]\nhash = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n'
    any_other = '[routes."*"]\ntargets = [{ upstream = "one", model = "*" }]\n'
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    async with openai_server(HELLO) as upstream:
        toml = keys + table(upstream) + route("one") + any_other
        async with gateway_from(tmp_path, toml) as server, server.client(authorization=f"Bearer {key}") as client:
            answer = await client.post("/cursor/chat/completions", json=asked)
    assert answer.status_code == (200 if text.startswith("Testing") else 403)
    assert upstream.requests == []


async def test_a_model_id_longer_than_any_is_none(tmp_path):
    any_other = '[routes."*"]\ntargets = [{ upstream = "one", model = "*" }]\n'
    async with cursor_gateway(tmp_path, HELLO, any_other) as (upstream, _, client):
        for path in ("/v1/chat/completions", "/cursor/chat/completions"):
            answer = await client.post(path, json=CHAT_BODY | {"model": "x" * 513})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
            assert len(answer.content) < 1_000
            assert (await client.post(path, json=CHAT_BODY | {"model": "x" * 512})).status_code == 200
    assert len(upstream.requests) == 2


async def test_a_guesser_has_to_wait_and_a_good_key_has_not(tmp_path):
    key = "psk_" + "a" * 43
    keys = f'[auth]\nmode = "keys"\n[[auth.keys]]\nname = "alice"\nhash = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n'
    async with openai_server(HELLO) as upstream, gateway_from(tmp_path, keys + table(upstream) + route("one")) as server, server.client() as client:
        codes = [(await client.get("/cursor/models", headers={"authorization": f"Bearer psk_{number}"})).status_code for number in range(25)]
        assert codes == [401] * 20 + [429] * 5
        good = await client.get("/cursor/models", headers={"authorization": f"Bearer {key}"})
        assert good.status_code == 200


# -- grammar tools, reasoning, failures --------------------------------------------------------------------------------------------------------

PATCH = '*** Begin Patch\n*** Update File: a.py\n+x = "2"\n*** End Patch'


async def test_o5_a_grammar_call_leaves_as_raw_text(tmp_path):
    wrapped = json.dumps({"input": PATCH})
    script = [
        call(index=0, id="call_p", name="ApplyPatch", arguments=""),
        *(call(index=0, arguments=each) for each in wrapped),
        chunk("tool_calls"),
        DONE,
    ]
    async with cursor_gateway(tmp_path, script) as (_, _, client):
        answer = await client.post("/cursor/chat/completions", json=RESPONSES_BODY)
    calls = [entry for each in chunks(answer.content) for choice in each["choices"] for entry in choice["delta"].get("tool_calls", [])]
    assert calls[0] == {"index": 0, "id": "call_p", "type": "function", "function": {"name": "ApplyPatch", "arguments": ""}}
    assert "".join(entry["function"]["arguments"] for entry in calls) == PATCH
    assert [choice["finish_reason"] for each in chunks(answer.content) for choice in each["choices"] if choice["finish_reason"]] == ["tool_calls"]


@pytest.mark.parametrize(("display", "shown"), [("off", "42"), ("think", "<think>"), ("details", "<details>"), ("field", "42")])
async def test_o10_reasoning_is_shown_as_the_route_says_and_taken_out_of_the_history_again(tmp_path, display, shown):
    script = [chunk(reasoning_content="hm, six times seven"), text("42"), chunk("stop"), DONE]
    async with cursor_gateway(tmp_path, script, display_reasoning=display) as (upstream, _, client):
        first = await client.post("/cursor/chat/completions", json=CHAT_BODY)
        answer = visible(first.content)
        assert shown in answer
        assert answer.endswith("42")
        reasoning = [choice["delta"].get("reasoning_content") for each in chunks(first.content) for choice in each["choices"]]
        assert ("hm, six times seven" in reasoning) is (display == "field")
        history = [*CHAT_BODY["messages"], {"role": "assistant", "content": answer}, {"role": "user", "content": "Sure?"}]
        await client.post("/cursor/chat/completions", json=CHAT_BODY | {"messages": history})
    assert upstream.requests[1].json["messages"][1] == {"role": "assistant", "content": "42"}


async def test_o11_a_failure_inside_text_is_said_and_ends_the_answer(tmp_path, caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    async with cursor_gateway(tmp_path, [text("Half an"), Pause(0.05), event(error={"message": "boom"})]) as (_, _, client):
        answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
        plain = await client.post("/cursor/v1/chat/completions", json=CHAT_BODY, headers={"user-agent": "OpenAI/Python"})
    said = visible(answer.content)
    assert said.startswith("Half an")
    assert "boom" in said
    assert answer.content.endswith(DONE)
    assert chunks(answer.content)[-1]["usage"]["estimated"] is True
    assert sum("error=upstream_error" in line for line in caplog.messages) == 2, "an ordinary end, and yet a failure"
    assert b'data: {"error":' in plain.content
    assert DONE not in plain.content


async def test_o11_a_failure_inside_a_call_breaks_the_connection(tmp_path, caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    script: list[Step] = [call(index=0, id="call_p", name="ApplyPatch", arguments='{"input": "*** Beg'), Pause(0.05), Cut()]
    async with openai_server(script) as upstream, gateway_from(tmp_path, table(upstream) + route("one"), mode="open") as server:
        stream = await server.send(chat_request(json.dumps(RESPONSES_BODY).encode(), path="/cursor/chat/completions"))
        with trio.fail_after(5):
            answer = await read_all(stream)
    assert b"*** Beg" in answer
    assert b"[DONE]" not in answer
    assert b'"finish_reason":"' not in answer
    assert not answer.endswith(b"0\r\n\r\n"), "the frame's end would make it look whole"
    [line] = [line for line in caplog.messages if "POST" in line]
    assert "end=broken_off" in line
    assert "client=gone" not in line


async def test_o11_a_failure_before_the_first_event_is_a_status(tmp_path):
    async with cursor_gateway(tmp_path, [Reply(500, b'{"error": {"message": "boom"}}')]) as (_, _, client):
        answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "upstream_error")


async def test_o12_an_overflow_can_be_signalled(tmp_path):
    long = {"messages": [{"role": "user", "content": "word " * 5_000}]}
    keys: dict[str, Any] = {"context_window": 1_000, "context_overflow": "signal"}
    async with cursor_gateway(tmp_path, HELLO, **keys) as (upstream, _, client):
        answer = await client.post("/cursor/chat/completions", json=CHAT_BODY | long)
        assert answer.status_code == 200
        assert visible(answer.content) == ""
        assert chunks(answer.content)[-1]["usage"]["prompt_tokens"] > 4_000
        whole = await client.post("/cursor/chat/completions", json=CHAT_BODY | long | {"stream": False})
        assert whole.json()["usage"]["prompt_tokens"] > 4_000
        plain = await client.post("/v1/chat/completions", json=CHAT_BODY | long)
        assert (plain.status_code, plain.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert upstream.requests == []


TOO_LONG = Reply(400, b'{"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}')
LONG = {"messages": [{"role": "user", "content": "word " * 5_000}]}
EARLY = "[cursor]\nearly_headers_seconds = 0.1\n"


@pytest.mark.parametrize("more", ["", EARLY], ids=["before the head", "behind the early head"])
async def test_o12_an_overflow_that_the_upstream_finds_is_signalled(tmp_path, caplog, more):
    caplog.set_level(logging.INFO, "penstock.access")
    signal: dict[str, Any] = {"context_window": 100_000, "context_overflow": "signal"}
    async with cursor_gateway(tmp_path, [Late(0.4), TOO_LONG], more, **signal) as (_, _, client):
        answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
    assert answer.status_code == 200
    assert visible(answer.content) == ""
    assert chunks(answer.content)[-1]["usage"]["prompt_tokens"] > 100_000
    assert answer.content.endswith(DONE)
    [line] = [line for line in caplog.messages if "POST" in line]
    assert "notices=overflow_signalled" in line
    assert "error=" not in line


@pytest.mark.parametrize("more", ["", EARLY], ids=["before the head", "behind the early head"])
async def test_o12_the_upstream_that_refused_says_whether_it_is_signalled(tmp_path, more):
    async with openai_server([Late(0.4), Reply(503, b"{}")]) as bad, openai_server([TOO_LONG]) as small:
        for signalling in ("bad", "small"):
            keys = {name: {"context_overflow": "signal" if name == signalling else "error", "context_window": 90_000} for name in ("bad", "small")}
            toml = table(bad, "bad", **keys["bad"]) + table(small, "small", **keys["small"]) + route("bad", "small") + more
            async with gateway_from(tmp_path, toml, mode="open") as server, server.client(**CURSOR) as client:
                answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
            is_signalled = answer.status_code == 200 and chunks(answer.content)[-1]["usage"]["prompt_tokens"] > 90_000
            assert is_signalled == (signalling == "small")


async def test_a_conversation_goes_to_the_target_whose_window_it_fits(tmp_path):
    small: dict[str, Any] = {"context_window": 1_000, "context_overflow": "error"}
    async with openai_server(HELLO) as first, openai_server(HELLO) as second:
        toml = table(first, "one", **small) + table(second, "two") + route("one", "two")
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client(**CURSOR) as client:
            answer = await client.post("/cursor/chat/completions", json=CHAT_BODY | LONG)
    assert visible(answer.content) == "Hello"
    assert answer.headers["penstock-attempts"] == "one/kimi-k3:context_length_exceeded, two/kimi-k3:ok"
    assert (len(first.requests), len(second.requests)) == (0, 1)


async def test_o13_an_answer_may_begin_before_its_upstream(tmp_path):
    early = "[cursor]\nearly_headers_seconds = 0.1\nkeepalive_seconds = 1\n"
    async with openai_server([Late(1.5), *HELLO]) as upstream, gateway_from(tmp_path, table(upstream) + route("one") + early, mode="open") as server:
        with trio.fail_after(10):
            stream = await server.send(chat_request(json.dumps(CHAT_BODY).encode(), path="/cursor/chat/completions"))
            began = trio.current_time()
            await read_until(stream, b": keepalive\n\n")
            assert trio.current_time() - began < 1.4
            rest = await read_until(stream, b"[DONE]")
    assert b": keepalive" in rest
    assert b"Hello" in rest


async def test_o13_what_fails_behind_the_early_head_may_still_go_elsewhere(tmp_path):
    early = "[cursor]\nearly_headers_seconds = 0.1\n"
    async with openai_server([Late(0.5), Reply(500, b"{}")]) as bad, openai_server(HELLO) as good:
        toml = table(bad, "bad") + table(good, "good") + route("bad", "good") + early
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client(**CURSOR) as client:
            answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
    assert visible(answer.content) == "Hello"
    assert answer.content.startswith(b": keepalive")


async def test_o13_what_fails_for_good_behind_the_early_head_is_said(tmp_path):
    early = "[cursor]\nearly_headers_seconds = 0.1\n"
    async with cursor_gateway(tmp_path, [Late(0.5), Reply(401, b'{"error": {"message": "no"}}')], early) as (_, _, client):
        answer = await client.post("/cursor/chat/completions", json=CHAT_BODY)
    assert answer.status_code == 200
    assert "credentials" in visible(answer.content)
    assert chunks(answer.content)[-1]["usage"]["prompt_tokens"] > 0
    assert answer.content.endswith(DONE)


@pytest.mark.parametrize("window", ["before the head", "behind the early head"])
async def test_o14_a_client_that_leaves_takes_its_upstream_along(tmp_path, window):
    early = "[cursor]\nearly_headers_seconds = 0.1\n" if window == "behind the early head" else ""
    async with openai_server([Late(30)]) as upstream, gateway_from(tmp_path, table(upstream) + route("one") + early, mode="open") as server:
        with trio.fail_after(5):
            stream = await server.send(chat_request(json.dumps(CHAT_BODY).encode(), path="/cursor/chat/completions"))
            await become_true(lambda: upstream.requests)
            if early:
                await read_until(stream, b": keepalive")
            await stream.aclose()
            await upstream.requests[0].gone.wait()
            await become_true(lambda: not server.lifecycle.in_work)


async def test_attempts_are_named_in_headers_and_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    async with openai_server([Reply(503, b"{}")]) as bad, openai_server(HELLO) as good:
        toml = table(bad, "bad") + table(good, "good") + route("bad", "good")
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            for path in ("/v1/chat/completions", "/cursor/chat/completions", "/opencode/v1/chat/completions"):
                answer = await client.post(path, json=CHAT_BODY)
                assert answer.status_code == 200
                assert answer.headers["penstock-target"] == "good/kimi-k3"
            first = await client.post("/v1/chat/completions", json=CHAT_BODY | {"stream": False})
            assert first.json()["choices"][0]["message"]["content"] == "Hello"
    assert (len(bad.requests), len(good.requests)) == (1, 4), "the one that failed cools down"
    [line] = [line for line in caplog.messages if "attempts=" in line]
    assert "target=good/kimi-k3" in line
    assert "attempts=bad/kimi-k3:upstream_unavailable,good/kimi-k3:ok" in line


async def test_a_body_of_32_mib_passes(tmp_path):
    long = "0123456789abcdef" * 65_536
    messages = [{"role": "user", "content": long} for _ in range(31)]
    body = json.dumps({"model": "kimi", "stream": False, "input": messages}).encode()
    assert 32_500_000 < len(body) < 33_554_432
    async with cursor_gateway(tmp_path, HELLO) as (upstream, _, client):
        answer = await client.post("/cursor/chat/completions", content=body, timeout=60)
        assert answer.status_code == 200, answer.text[:300]
    assert sum(len(message["content"]) for message in upstream.requests[0].json["messages"]) == 31 * len(long)
