"""`/v1/responses` over a real server: what is kept and for whom, what can be asked of it, and what goes on from it."""

import hashlib
import json
import logging
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from openai.types.responses import Response as OfficialResponse

from pipeline.events import Finish, FinishReason, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.request import Request, Role
from server.settings import Responses, Settings
from tests.support.gateway_server import gateway_from, running_server
from tests.support.openai_server import DONE, chunk, openai_server, text
from tests.support.scripted import ScriptedUpstream, Step

PATH = "/v1/responses"
ASK: dict[str, Any] = {"model": "composer-2.5", "input": "Hello"}
KEPT = ASK | {"store": True}
ANSWER: list[Step] = [[ThinkingDelta("Hm."), TextDelta("Good ")], [TextDelta("day.")], [Finish()]]
KEYS = {name: "psk_" + name[0] * 43 for name in ("alice", "bob")}
REASONING = {"reasoning": {"summary": "auto"}}


@asynccontextmanager
async def gateway(steps: Any = ANSWER, **responses: Any):
    upstream = ScriptedUpstream(steps)
    settings = Settings(responses=Responses(**responses))
    async with running_server(settings, {"captured": upstream}) as server, server.client() as client:
        yield upstream, client


async def create(client, **fields) -> dict[str, Any]:
    answer = await client.post(PATH, json=KEPT | fields)
    assert answer.status_code == 200, answer.text
    return final(answer.text) if fields.get("stream") else answer.json()


def final(stream: str) -> dict[str, Any]:
    """The Response object of a stream's last event."""
    last = [line for line in stream.splitlines() if line.startswith("data: ")][-1]
    return json.loads(last.removeprefix("data: "))["response"]


def output_text(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def conversation(request: Request) -> list[tuple[Role, str]]:
    return [(message.role, message.text) for message in request.messages]


def refused(answer) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


# -- what is kept ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("rule", "said", "is_kept"),
    [
        ("explicit", {"store": True}, True),
        ("explicit", {"store": False}, False),
        ("explicit", {}, False),
        ("explicit", {"store": None}, False),
        ("default", {"store": True}, True),
        ("default", {"store": False}, False),
        ("default", {}, True),
        ("off", {"store": True}, False),
        ("off", {}, False),
    ],
)
async def test_what_is_kept_by_which_rule(rule, said, is_kept, stream):
    async with gateway(store=rule) as (_, client):
        answer = await client.post(PATH, json=ASK | said | {"stream": stream})
        response = final(answer.text) if stream else answer.json()
        assert output_text(response) == "Good day."
        again = await client.get(f"{PATH}/{response['id']}")
    assert again.status_code == (200 if is_kept else 404)
    if is_kept:
        assert again.json() == response
    assert response["store"] is bool(is_kept or said.get("store")), "the client's own word, and what is done where it said none"
    notices = answer.headers.get("penstock-notices", "").split(", ")
    assert ("response_not_kept" in notices) == (rule == "off" and bool(said))
    assert "store" not in answer.headers.get("penstock-ignored", "")


@pytest.mark.parametrize(
    ("rule", "said"), [("explicit", "says `store: true`"), ("default", "does not say `store: false`"), ("off", "keeps no responses")]
)
async def test_who_asks_for_what_is_not_there_is_told_why(rule, said):
    async with gateway(store=rule, seconds=60) as (_, client):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
            answer = await client.request(method, f"{PATH}/resp_0{path}")
            assert refused(answer) == (404, "response_not_found", None)
            assert said in answer.json()["error"]["message"]
            assert "resp_0" in answer.json()["error"]["message"]


async def test_that_the_store_was_full_is_among_the_reasons():
    async with gateway() as (_, client):
        answer = await client.get(f"{PATH}/resp_0")
    assert "or when there is no more room" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_has_no_room_is_said_in_the_log(caplog, stream):
    caplog.set_level(logging.INFO, "penstock.access")
    async with gateway(bytes=1024) as (_, client):
        answer = await client.post(PATH, json=KEPT | {"stream": stream, "input": "x" * 1024})
        response = final(answer.text) if stream else answer.json()
        assert (await client.get(f"{PATH}/{response['id']}")).status_code == 404
    assert "notices=response_not_kept" in caplog.messages[0]
    assert answer.headers.get("penstock-notices") == (None if stream else "response_not_kept")


async def test_the_number_is_bounded():
    async with gateway(entries=2) as (_, client):
        ids = [(await create(client))["id"] for _ in range(3)]
        assert [(await client.get(f"{PATH}/{each}")).status_code for each in ids] == [404, 200, 200]


async def test_a_stored_answer_is_what_the_official_client_reads():
    async with gateway() as (_, client):
        made = await create(client, **REASONING, metadata={"a": "b"}, instructions="Be kind.")
        read = (await client.get(f"{PATH}/{made['id']}")).text
    response = OfficialResponse.model_validate_json(read, strict=True)
    assert (response.id, response.status, response.output_text) == (made["id"], "completed", "Good day.")
    assert (response.metadata, response.instructions) == ({"a": "b"}, "Be kind.")
    assert [item.type for item in response.output] == ["reasoning", "message"]


async def test_a_failed_answer_is_kept_as_it_ended_and_a_whole_one_is_an_error():
    async with gateway([[TextDelta("Half")]]) as (_, client):
        streamed = await client.post(PATH, json=KEPT | {"stream": True})
        response = final(streamed.text)
        assert (response["status"], output_text(response)) == ("failed", "Half")
        assert (await client.get(f"{PATH}/{response['id']}")).json() == response
        whole = await client.post(PATH, json=KEPT)
    assert refused(whole)[:2] == (502, "upstream_stream_cut")


# -- whose it is -------------------------------------------------------------------------------------------------------------------------------


async def test_nobody_else_can_tell_that_it_is_there(tmp_path):
    keys = "".join(f'[[auth.keys]]\nname = "{name}"\nhash = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n' for name, key in KEYS.items())
    alice, bob = ({"authorization": f"Bearer {key}"} for key in KEYS.values())
    async with gateway_from(tmp_path, f'[auth]\nmode = "keys"\n{keys}') as server, server.client() as client:
        response = (await client.post(PATH, json=KEPT, headers=alice)).json()
        own = f"{PATH}/{response['id']}"
        for method, path in (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("POST", "/cancel")):
            others = await client.request(method, own + path, headers=bob)
            unknown = await client.request(method, f"{PATH}/resp_unknown{path}", headers=bob)
            assert others.status_code == unknown.status_code == 404
            assert others.text == unknown.text.replace("resp_unknown", response["id"])
            assert (await client.request(method, own + path)).status_code == 401
        onward = await client.post(PATH, json=ASK | {"previous_response_id": response["id"]}, headers=bob)
        assert refused(onward) == (404, "previous_response_not_found", "previous_response_id")
        assert (await client.get(own, headers=alice)).json() == response
        assert (await client.post(PATH, json=ASK | {"previous_response_id": response["id"]}, headers=alice)).status_code == 200


# -- what goes on from it ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_from_a_response(stream):
    async with gateway() as (upstream, client):
        first = await create(client, instructions="Be kind.", stream=stream)
        second = await create(client, input="And now?", previous_response_id=first["id"], stream=stream)
        third = await create(client, input="And then?", previous_response_id=second["id"], instructions="Be rude.", stream=stream)
        branch = await create(client, input="Or else?", previous_response_id=first["id"], store=False)
    said = [(Role.USER, "Hello"), (Role.ASSISTANT, "Good day.")]
    more = [(Role.USER, "And now?"), (Role.ASSISTANT, "Good day.")]
    asked = [conversation(request) for request in upstream.requests]
    assert asked[0] == [(Role.SYSTEM, "Be kind."), said[0]]
    assert asked[1] == [*said, more[0]], "instructions are not inherited"
    assert asked[2] == [(Role.SYSTEM, "Be rude."), *said, *more, (Role.USER, "And then?")]
    assert asked[3] == [*said, (Role.USER, "Or else?")]
    assert [each["previous_response_id"] for each in (first, second, third, branch)] == [None, first["id"], second["id"], first["id"]]


async def test_it_goes_on_when_what_was_before_is_deleted():
    async with gateway() as (upstream, client):
        first = await create(client)
        second = await create(client, input="More", previous_response_id=first["id"])
        await client.delete(f"{PATH}/{first['id']}")
        await create(client, input="Still", previous_response_id=second["id"])
        gone = await client.post(PATH, json=ASK | {"previous_response_id": first["id"]})
    assert len(upstream.requests[-1].messages) == 5
    assert refused(gone) == (404, "previous_response_not_found", "previous_response_id")


async def test_where_nothing_is_kept_the_client_is_told_so():
    async with gateway(store="off") as (_, client):
        answer = await client.post(PATH, json=ASK | {"previous_response_id": "resp_1"})
    assert refused(answer) == (400, "unsupported_parameter", "previous_response_id")


async def test_an_item_of_an_earlier_response_may_be_referred_to():
    async with gateway() as (upstream, client):
        first = await create(client, **REASONING)
        items = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
        unknown = {"type": "item_reference", "id": "rs_unknown_0"}
        answer = await client.post(
            PATH, json=ASK | {"input": [{"role": "user", "content": "Hello"}, *items, unknown, {"role": "user", "content": "?"}]}
        )
        assert answer.status_code == 200
    answered = upstream.requests[-1].messages[1]
    assert (answered.role, answered.text, answered.reasoning) == (Role.ASSISTANT, "Good day.", "Hm.")
    assert [item["type"] for item in first["output"]] == ["reasoning", "message"]
    assert "history_item_dropped" in answer.headers["penstock-notices"]


async def test_one_bad_id_does_not_cost_the_other_references():
    async with gateway() as (upstream, client):
        [*_, message] = (await create(client))["output"]
        items = [{"type": "item_reference", "id": message["id"]}, {"role": "user", "content": "?", "id": 5}]
        answer = await client.post(PATH, json=ASK | {"input": items})
    assert answer.status_code == 200, answer.text
    assert conversation(upstream.requests[-1]) == [(Role.ASSISTANT, "Good day."), (Role.USER, "?")]


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_is_remembered_for_the_model_though_nobody_was_shown_it(stream):
    async with gateway() as (upstream, client):
        first = await create(client, stream=stream)
        await create(client, input="And now?", previous_response_id=first["id"])
    assert [item["type"] for item in first["output"]] == ["message"]
    assert upstream.requests[-1].messages[1].reasoning == "Hm."


async def test_an_answer_of_reasoning_alone_is_no_turn():
    async with gateway([[ThinkingDelta("Hm.")], [Finish(FinishReason.LENGTH)]]) as (upstream, client):
        first = await create(client, **REASONING)
        await create(client, input="And now?", previous_response_id=first["id"])
    assert conversation(upstream.requests[-1]) == [(Role.USER, "Hello"), (Role.USER, "And now?")]


async def test_a_call_that_cannot_be_run_fails_the_answer():
    calls: list[Step] = [[ToolCallStart(0, "a", "run"), ToolCallDelta(0, '{"command": "rm'), ToolCallEnd(0), Finish(FinishReason.TOOL_CALLS)]]
    fields = KEPT | {"tools": [{"type": "function", "name": "run"}]}
    async with gateway(calls) as (_, client):
        whole = await client.post(PATH, json=fields)
        response = final((await client.post(PATH, json=fields | {"stream": True})).text)
        kept = (await client.get(f"{PATH}/{response['id']}")).json()
    assert refused(whole)[:2] == (502, "invalid_arguments")
    assert (response["status"], response["error"]["code"], response["output"]) == ("failed", "invalid_arguments", [])
    assert kept == response


async def test_an_image_that_is_refused_is_named_as_the_client_wrote_it(tmp_path):
    async with openai_server([text("Hi"), chunk("stop") + DONE]) as upstream:
        toml = f'[upstreams.one]\nkind = "openai-chat"\nbase_url = "{upstream.origin}/v1"\n[upstreams.one.profile]\nimages = false\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
            items = [{"role": "user", "content": [{"type": "input_text", "text": "What?"}, image]}]
            answer = await client.post(PATH, json=ASK | {"instructions": "Be brief.", "input": items})
    assert refused(answer) == (400, "unsupported_parameter", "input[0].content[1]")


@pytest.mark.parametrize("how", ["conversation", "references", "input items"])
async def test_a_short_request_for_much_that_is_stored_does_not_hold_the_others(how, monkeypatch):
    long = "x" * 600_000
    threads: list[int] = []
    run_sync = trio.to_thread.run_sync

    async def counted(function, *arguments, **options):
        threads.append(1)
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(trio.to_thread, "run_sync", counted)
    async with gateway([[TextDelta(long)], [TextDelta(long)], [Finish()]]) as (upstream, client):
        first = await create(client, input=[{"role": "user", "content": "a" * 500_000}, {"role": "user", "content": "b" * 500_000}])
        threads.clear()
        if how == "input items":
            page = (await client.get(f"{PATH}/{first['id']}/input_items", params={"limit": 1})).json()
            assert page["data"][0]["content"][0]["text"] == "b" * 500_000
            assert len(threads) == 1
            return
        [*_, message] = first["output"]
        onward = {"previous_response_id": first["id"]} if how == "conversation" else {"input": [{"type": "item_reference", "id": message["id"]}]}
        assert (await client.post(PATH, json=ASK | onward | {"store": False})).status_code == 200
    assert any(message.text == long * 2 for message in upstream.requests[-1].messages)
    assert len(threads) >= 2, "once to read what is stored, and once to parse"


async def test_a_large_body_goes_on_from_a_response_too():
    async with gateway() as (upstream, client):
        first = await create(client)
        await create(client, input="x" * 1_500_000, previous_response_id=first["id"])
    assert [len(message.text) for message in upstream.requests[-1].messages] == [5, 9, 1_500_000]


async def test_what_is_fetched_from_the_store_takes_its_room_among_the_bodies():
    slow: list[Step] = [0.3, *ANSWER]
    upstream = ScriptedUpstream(lambda request: slow if len(request.messages) > 1 else ANSWER)
    statuses: list[int] = []
    async with running_server(upstreams={"captured": upstream}, max_body_bytes=20_000) as server, server.client() as client:

        async def go_on(response_id: str) -> None:
            answer = await client.post(PATH, json=ASK | {"previous_response_id": response_id})
            statuses.append(answer.status_code)
            assert answer.status_code == 200 or refused(answer) == (503, "overloaded", None)

        first = await create(client, input="x" * 15_000)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(go_on, first["id"])
        while server.lifecycle.in_work:  # noqa: ASYNC110 - what is awaited tells nobody
            await trio.sleep(0.01)
        assert server.lifecycle.buffered_bytes == 0
        await go_on(first["id"])
    assert {200, 503} == set(statuses)
    assert statuses[-1] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"store": 1, "input": "x"}', b'{"input": [1]}', b'{"previous_response_id": 3, "input": "x"}', b"\xff"]
)
async def test_what_cannot_be_read_is_its_parser_s_to_refuse(body):
    async with gateway() as (upstream, client):
        answer = await client.post(PATH, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert upstream.requests == []


# -- what can be asked of it -------------------------------------------------------------------------------------------------------------------


async def test_deleted_is_gone():
    async with gateway() as (_, client):
        response = await create(client)
        deleted = await client.delete(f"{PATH}/{response['id']}/")
        assert deleted.json() == {"id": response["id"], "object": "response", "deleted": True}
        assert [(await client.request(method, f"{PATH}/{response['id']}")).status_code for method in ("GET", "DELETE")] == [404, 404]


async def test_the_input_is_listed_in_pages():
    items = [{"role": "user", "content": f"{number}"} for number in range(25)]
    async with gateway() as (_, client):
        path = f"{PATH}/{(await create(client, input=items))['id']}/input_items"
        latest = (await client.get(path)).json()
        assert [item["content"][0]["text"] for item in latest["data"]] == [f"{number}" for number in range(24, 4, -1)]
        assert (latest["object"], latest["has_more"]) == ("list", True)
        assert (latest["first_id"], latest["last_id"]) == (latest["data"][0]["id"], latest["data"][-1]["id"])
        rest = (await client.get(path, params={"after": latest["last_id"]})).json()
        assert [item["content"][0]["text"] for item in rest["data"]] == ["4", "3", "2", "1", "0"]
        assert rest["has_more"] is False
        first = (await client.get(path, params={"order": "asc", "limit": 1})).json()
        assert ([item["content"][0]["text"] for item in first["data"]], first["has_more"]) == (["0"], True)
        beyond = (await client.get(path, params={"order": "asc", "after": latest["first_id"]})).json()
        assert beyond == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
        for name, value in (("order", "up"), ("limit", "0"), ("limit", "101"), ("limit", "x"), ("limit", "²"), ("limit", ""), ("after", "no")):
            assert refused(await client.get(path, params={name: value})) == (400, "invalid_request", name)
        assert (await client.get(path, params={"include[]": "x", "limit": 5})).headers["penstock-ignored"] == "?"


async def test_a_response_that_is_over_cannot_be_streamed_again():
    async with gateway() as (_, client):
        path = f"{PATH}/{(await create(client))['id']}"
        assert refused(await client.get(path, params={"stream": "true"})) == (400, "unsupported_parameter", "stream")
        assert (await client.get(path, params={"stream": "false", "include": "x"})).headers["penstock-ignored"] == "include"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", ""), ("PATCH", "/resp_1"), ("GET", ""), ("POST", "/resp_1/input_items"), ("GET", "/resp_1/cancel")]
)
async def test_a_wrong_method(method, path):
    async with gateway() as (_, client):
        assert refused(await client.request(method, PATH + path))[:2] == (405, "method_not_allowed")


# -- what it shares with the other surfaces ----------------------------------------------------------------------------------------------------


async def test_opencode_s_is_in_agent_mode_and_in_its_session_s_conversation():
    async with gateway() as (upstream, client):
        for path, session in ((PATH, "s"), (f"/opencode{PATH}", "s"), (f"/opencode{PATH}", "s"), (f"/opencode{PATH}", "t")):
            answer = await client.post(path, json=ASK, headers={"x-session-affinity": session})
            assert answer.status_code == 200
    assert [request.agent for request in upstream.requests] == [False, True, True, True]
    plain, first, second, other = (request.conversation for request in upstream.requests)
    assert plain is None
    assert first == second != other


async def test_headers_say_what_was_done_and_errors_are_openai_s(tmp_path, caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    async with openai_server([text("Hi"), chunk("stop") + DONE]) as upstream:
        toml = f'[upstreams.one]\nkind = "openai-chat"\nbase_url = "{upstream.origin}/v1"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            answer = await client.post(PATH, json=KEPT | {"include": ["x"], "top_p": 0.5, "tools": [{"type": "web_search"}]})
            unknown = await client.post(PATH, json=ASK | {"background": True})
    assert answer.headers["penstock-target"] == "one/composer-2.5"
    assert "hosted_tool_ignored" in answer.headers["penstock-notices"]
    assert "include" in answer.headers["penstock-ignored"]
    assert answer.headers["x-request-id"]
    assert "store" not in upstream.requests[0].json
    assert refused(unknown) == (400, "unsupported_parameter", "background")
    assert "POST /v1/responses 200" in caplog.messages[0]
