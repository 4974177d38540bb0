"""`/v1/messages` over a real server: answers, counts, errors and models in the shape of Anthropic's API, and what of a request goes where."""

import json
import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from pipeline.errors import RateLimited
from pipeline.events import Failed, Finish, FinishReason, Notice, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, UsageReport
from pipeline.prompt.foreign import in_dialect
from pipeline.request import Role
from server.settings import Settings
from tests.support.gateway_server import gateway_from, running_server
from tests.support.messages_reader import MessagesReader
from tests.support.scripted import ScriptedUpstream, Step

PATH = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
ASK: dict[str, Any] = {"model": "composer-2.5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
ANSWER: list[Step] = [[ThinkingDelta("Hm."), TextDelta("Good ")], [TextDelta("day.")], [Finish()]]
CALLS: list[Step] = [
    [TextDelta("I look."), ToolCallStart(0, "call_1", "read"), ToolCallDelta(0, '{"path":"a"}'), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS)]
]
READ = {"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}


@asynccontextmanager
async def gateway(steps: Any = ANSWER, settings: Settings | None = None):
    upstream = ScriptedUpstream(steps)
    async with running_server(settings or Settings(), {"captured": upstream}) as server, server.client(**VERSION) as client:
        yield upstream, client


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}?beta=true"])
async def test_a_whole_answer(path):
    async with gateway() as (_, client):
        answer = await client.post(path, json=ASK)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["type"], body["role"], body["model"], body["stop_reason"]) == ("message", "assistant", "composer-2.5", "end_turn")
    assert body["id"].startswith("msg_")
    assert body["content"] == [{"type": "text", "text": "Good day."}]
    assert body["usage"]["estimated"] is True
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_a_stream_adds_up_to_it():
    async with gateway() as (_, client):
        answer = await client.post(PATH, json=ASK | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    reader = MessagesReader(answer.content)
    assert reader.stopped
    assert reader.message["content"] == [{"type": "text", "text": "Good day."}]
    assert reader.message["stop_reason"] == "end_turn"


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}])
async def test_reasoning_is_shown_to_who_asks_for_it(thinking):
    async with gateway() as (_, client):
        shown = (await client.post(PATH, json=ASK | {"thinking": thinking, "max_tokens": 4096})).json()
        hidden = (await client.post(PATH, json=ASK | {"thinking": {"type": "disabled"}})).json()
        omitted = (await client.post(PATH, json=ASK | {"thinking": thinking | {"display": "omitted"}, "max_tokens": 4096})).json()
    assert [block["type"] for block in hidden["content"]] == ["text"]
    assert [block["type"] for block in shown["content"]] == ["thinking", "text"]
    assert [block["type"] for block in omitted["content"]] == ["text"]


async def test_a_call_and_its_result():
    async with gateway(CALLS) as (upstream, client):
        called = (await client.post(PATH, json=ASK | {"tools": [READ]})).json()
        result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "no such file"}], "is_error": True}
        turns = [*ASK["messages"], {"role": "assistant", "content": called["content"]}, {"role": "user", "content": [result]}]
        await client.post(PATH, json=ASK | {"tools": [READ], "messages": turns})
    assert called["stop_reason"] == "tool_use"
    assert called["content"][1] == {"type": "tool_use", "id": "call_1", "name": "read", "input": {"path": "a"}}
    messages = upstream.requests[1].messages
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert (messages[2].tool_call_id, messages[2].text, messages[2].is_error) == ("call_1", "no such file", True)


async def test_a_stop_sequence_is_named():
    async with gateway() as (_, client):
        body = (await client.post(PATH, json=ASK | {"stop_sequences": ["day"]})).json()
    assert (body["stop_reason"], body["stop_sequence"], body["content"][0]["text"]) == ("stop_sequence", "day", "Good ")


async def test_the_token_limit():
    async with gateway() as (_, client):
        body = (await client.post(PATH, json=ASK | {"max_tokens": 2})).json()
    assert body["stop_reason"] == "max_tokens"


async def test_what_a_client_says_of_its_session_names_the_conversation_and_is_not_passed_on():
    session = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "0c6f"})
    async with gateway() as (upstream, client):
        for metadata in ({"user_id": session}, {"user_id": session}, {"user_id": "another"}, None):
            await client.post(PATH, json=ASK | ({"metadata": metadata} if metadata else {}))
        await client.post(PATH, json=ASK | {"messages": [{"role": "user", "content": "A title!"}], "metadata": {"user_id": session}})
        await client.post(PATH, json=ASK, headers={"x-claude-code-session-id": "0c6f"})
    first, again, other, none, title, by_header = (request.conversation for request in upstream.requests)
    assert first == again == by_header != other
    assert none is None
    assert title not in (first, other)
    assert first is not None
    assert "0c6f" not in first


async def test_what_is_left_out_is_named():
    async with gateway() as (_, client):
        hosted = {"type": "web_search_20250305", "name": "web_search"}
        answer = await client.post(PATH, json=ASK | {"top_k": 5, "temperature": 0.5, "tools": [hosted, READ], "service_tier": "auto"})
    assert answer.status_code == 200
    ignored = answer.headers["penstock-ignored"].split(", ")
    assert {"top_k", "temperature", "service_tier"} <= set(ignored)
    assert "hosted_tool_ignored" in answer.headers["penstock-notices"]


async def test_the_key_comes_in_either_header(tmp_path):
    toml = '[upstreams.one]\nkind = "captured"\n[routes."*"]\ntargets = [{ upstream = "one", model = "*" }]\n'
    async with gateway_from(tmp_path, toml, mode="forward") as server, server.client(**VERSION) as client:
        for headers in ({"x-api-key": "k-1234567890"}, {"authorization": "Bearer k-1234567890"}):
            assert (await client.post(PATH, json=ASK, headers=headers)).status_code == 200
        refused = await client.post(PATH, json=ASK)
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"
    assert refused.headers["x-should-retry"] == "false"


async def test_tokens_are_counted_without_an_answer():
    async with gateway() as (upstream, client):
        asked = {name: value for name, value in ASK.items() if name != "max_tokens"}
        few = (await client.post(f"{PATH}/count_tokens", json=asked)).json()
        more = (await client.post(f"{PATH}/count_tokens?beta=true", json=asked | {"tools": [READ], "system": "Be brief. " * 50})).json()
        unknown = await client.post(f"{PATH}/count_tokens", json=asked | {"model": "no-such-model"})
    assert 0 < few["input_tokens"] < 10
    assert more["input_tokens"] > few["input_tokens"] + 100
    assert few["estimated"] is True
    assert upstream.opened == 0
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")


async def test_no_more_than_two_counts_are_made_at_once(monkeypatch):
    lock, go_on, running, most = threading.Lock(), threading.Event(), 0, 0

    def slow(*_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go_on.wait(10)
        with lock:
            running -= 1
        return UsageReport(7, 0)

    monkeypatch.setattr("server.routes.messages.asked_usage", slow)
    async with gateway() as (_, client), trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(partial(client.post, f"{PATH}/count_tokens", json=ASK))
        while running < 2:
            await client.get("/health")
        for _ in range(20):  # time enough for the others, if they did not wait
            assert (await client.get("/health")).status_code == 200
        go_on.set()
    assert most == 2


class OfAnotherApi(ScriptedUpstream):
    """Takes no parts that only Anthropic's API has."""

    def write(self, request):
        return super().write(in_dialect(request, "openai"))


async def test_a_count_refuses_the_parts_that_an_answer_would():
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    asked = ASK | {"messages": [{"role": "user", "content": [{"type": "text", "text": "Read."}, pdf]}]}
    async with running_server(Settings(), {"captured": OfAnotherApi(ANSWER)}) as server, server.client(**VERSION) as client:
        counted, answered = await client.post(f"{PATH}/count_tokens", json=asked), await client.post(PATH, json=asked)
        assert (await client.post(f"{PATH}/count_tokens", json=ASK)).status_code == 200
    assert (counted.status_code, counted.json()["error"]) == (400, answered.json()["error"])
    assert counted.json()["error"]["param"] == "messages[0].content[1]"
    async with gateway() as (_, client):
        assert (await client.post(f"{PATH}/count_tokens", json=asked)).status_code == 200


async def test_a_base_url_with_one_version_too_many_is_told():
    async with gateway() as (_, client):
        twice, other = await client.post("/v1/v1/messages", json=ASK), await client.post("/v1/v1/nothing", json=ASK)
    assert (twice.status_code, twice.json()["error"]["type"]) == (404, "not_found_error")
    assert "its base URL must not end in /v1." in twice.json()["error"]["message"]
    assert "base URL" not in other.json()["error"]["message"]


async def test_an_image_is_named_by_the_api_s_own_field(tmp_path):
    toml = '[upstreams.one]\nkind = "captured"\n[routes."*"]\ntargets = [{ upstream = "one", model = "*" }]\n'
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    async with gateway_from(tmp_path, toml) as server, server.client(**VERSION) as client:
        refused = await client.post(PATH, json=ASK | {"messages": [{"role": "user", "content": [image]}]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[0].content[0].source")
    assert refused.json()["error"]["message"].startswith("messages[0].content[0].source ")


async def test_an_answer_that_is_no_json_is_told_by_the_api_s_own_field():
    form = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    async with gateway() as (_, client):
        answer = await client.post(PATH, json=ASK | {"output_config": form})
    assert answer.status_code == 502
    assert answer.json()["error"]["message"].startswith("The model did not answer as output_config.format asks:")


async def test_a_tool_that_no_call_in_text_can_name_is_told():
    tool = READ | {"name": "read a file"}
    async with gateway() as (upstream, client):
        told = await client.post(PATH, json=ASK | {"tools": [tool, READ]})
        unused = await client.post(PATH, json=ASK | {"tools": [tool], "tool_choice": {"type": "none"}})
        upstream.writes_markers = False
        native = await client.post(PATH, json=ASK | {"tools": [tool]})
    assert told.headers["penstock-notices"] == "tool_name_unreadable"
    assert [each.name for each in upstream.requests[0].tools] == ["read a file", "read"]
    assert "penstock-notices" not in unused.headers
    assert "penstock-notices" not in native.headers


FAULTS = {
    "no json": (b"{", 400, "invalid_request_error", "invalid_json"),
    "no messages": (b'{"model": "m", "max_tokens": 1}', 400, "invalid_request_error", "invalid_request"),
    "no limit": (b'{"model": "composer-2.5", "messages": [{"role": "user", "content": "a"}]}', 400, "invalid_request_error", "invalid_request"),
    "unknown model": (json.dumps(ASK | {"model": "no-such-model"}).encode(), 404, "not_found_error", "model_not_found"),
}


@pytest.mark.parametrize(("body", "status", "word", "code"), FAULTS.values(), ids=FAULTS)
async def test_errors_have_the_api_s_shape(body, status, word, code):
    async with gateway() as (_, client):
        answer = await client.post(PATH, content=body, headers={"content-type": "application/json"})
    said = answer.json()
    assert (answer.status_code, said["type"], said["error"]["type"], said["error"]["code"]) == (status, "error", word, code)
    assert said["request_id"] == answer.headers["request-id"]


async def test_a_wrong_method_and_an_unknown_path_below_it_too():
    async with gateway() as (_, client):
        del client.headers["anthropic-version"]
        wrong, unknown = await client.get(PATH), await client.post(f"{PATH}/batches", json={})
        elsewhere = await client.get("/v1/nothing")
    assert (wrong.status_code, wrong.json()["error"]["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "OPTIONS, POST")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "error")
    assert "type" not in elsewhere.json()


async def test_an_upstream_s_failure_before_and_after_the_first_word():
    limit = Failed(RateLimited("Slow down.", retry_after_seconds=70))
    async with gateway([[limit]]) as (_, client):
        before = await client.post(PATH, json=ASK | {"stream": True})
    assert (before.status_code, before.headers["retry-after"], before.json()["error"]["type"]) == (429, "70", "rate_limit_error")
    async with gateway([[Notice("x"), TextDelta("Good ")], [limit]]) as (_, client):
        after = MessagesReader((await client.post(PATH, json=ASK | {"stream": True})).content)
    assert after.error == {"type": "rate_limit_error", "message": "Slow down.", "code": "rate_limit_exceeded"}
    assert not after.stopped


async def test_the_list_of_models_has_the_api_s_shape_for_its_clients():
    async with running_server() as server, server.client(**VERSION) as client:
        first = (await client.get("/v1/models?limit=1")).json()
        assert first["data"][0] | {"created_at": ""} == {
            **{"type": "model", "id": first["first_id"], "display_name": "Composer 2.5", "created_at": "", "lifecycle": "active"},
            **{"max_input_tokens": 200_000, "max_tokens": None},
        }
        one = (await client.get("/v1/models/composer-2.5")).json()
        wrong = await client.get("/v1/models?limit=0")
        del client.headers["anthropic-version"]
        openai = (await client.get("/v1/models")).json()
    assert one["type"] == "model"
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "limit")
    assert openai["object"] == "list"


async def test_all_pages_of_models_are_the_list():
    async with running_server() as server, server.client(**VERSION) as client:
        whole = (await client.get("/v1/models?limit=1000")).json()
        ids, after = [], ""
        while True:
            page = (await client.get(f"/v1/models?limit=7{after}")).json()
            ids += [model["id"] for model in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after_id={page['last_id']}"
        back = (await client.get(f"/v1/models?limit=2&before_id={ids[3]}")).json()
        both, unknown = await client.get("/v1/models?after_id=a&before_id=b"), await client.get("/v1/models?after_id=nope")
    assert ids == [model["id"] for model in whole["data"]]
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (ids[1:3], True)
    assert [both.status_code, unknown.status_code] == [400, 400]
