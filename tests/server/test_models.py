"""`/v1/models` behind `*`: what the upstream itself lists, with whose key it is asked, and what a fault of it leaves."""

import logging

import pytest
import trio

from pipeline.models import LISTED_AT
from pipeline.upstream import model_list
from server.keys import hash_of, new_key
from tests.support.gateway_server import gateway_from
from tests.support.listing_server import answer, listing
from tests.support.raw_server import REQUEST, RawServer, raw_server

KEY = "sk-key-of-the-caller-1234567890"
OWN = "sk-own-key-of-the-host-1234567890"
LLAMA = {"id": "llama-4", "owned_by": "vllm", "max_model_len": 32768}


def settings(server: RawServer, credential: str = "", more: str = "") -> str:
    return f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{server.url("/v1")}"\n{credential}\n{more}'


async def test_the_upstreams_list_is_the_answer(tmp_path):
    async with (
        raw_server(listing(LLAMA, "qwen")) as upstream,
        gateway_from(tmp_path, settings(upstream), mode="open") as server,
        server.client() as client,
    ):
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [card["id"] for card in listed["data"]] == ["llama-4", "qwen"]
        card = listed["data"][0]
        assert (card["object"], card["owned_by"], card["name"], card["context_window"]) == ("model", "vllm", "llama-4", 32768)
        assert (await client.get("/v1/models/llama-4")).json() == card
        assert (await client.get("/opencode/v1/models")).json() == (await client.get("/cursor/models")).json() == listed
    assert len(upstream.requests) == 1


async def test_an_id_that_is_not_in_the_list_is_a_404_that_names_the_nearest(tmp_path):
    async with (
        raw_server(listing("llama-4", "qwen")) as upstream,
        gateway_from(tmp_path, settings(upstream), mode="open") as server,
        server.client() as client,
    ):
        missed = await client.get("/v1/models/llama-3")
    assert missed.status_code == 404
    error = missed.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "Did you mean llama-4?" in error["message"]


async def test_routes_and_aliases_of_their_own_are_listed_with_what_the_upstream_says_of_them(tmp_path):
    more = """
[upstreams.demo]
kind = "captured"
[routes."*"]
targets = [{ upstream = "local", model = "*" }]
[routes.fast]
targets = [{ upstream = "local", model = "llama-4" }]
[routes.composer-2]
targets = [{ upstream = "demo", model = "*" }]
[routes.unlisted]
targets = [{ upstream = "local", model = "*" }]
[aliases]
qwen = "composer-2"
mine = "llama-4"
"""
    async with (
        raw_server(listing(LLAMA, {"id": "composer-2", "owned_by": "somebody"}, "qwen", "*")) as upstream,
        gateway_from(tmp_path, settings(upstream, more=more), mode="open") as server,
        server.client() as client,
    ):
        cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
        assert {card: (await client.get(f"/v1/models/{card}")).json() for card in cards} == cards
    assert set(cards) == {"llama-4", "fast", "mine", "composer-2", "qwen", "unlisted"}
    assert [cards[name].get("context_window") for name in ("llama-4", "fast", "mine", "unlisted")] == [32768, 32768, 32768, None]
    assert cards["composer-2"]["owned_by"] == cards["qwen"]["owned_by"] == "cursor"


FAULTS = {
    "down": answer(b"", 503),
    "refused key": answer(b'{"error":{"message":"no"}}', 401),
    "not a list": answer(b"<html>hello</html>"),
    "closed": [REQUEST, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"],
    "slow": [REQUEST],
}


@pytest.mark.parametrize("script", FAULTS.values(), ids=FAULTS)
async def test_a_fault_leaves_what_is_known_without_asking_and_a_line_in_the_log(tmp_path, script, caplog, monkeypatch):
    monkeypatch.setattr(model_list, "CALL_SECONDS", 0.1)
    more = '[routes.fast]\ntargets = [{ upstream = "local", model = "llama-4" }]\n[routes."*"]\ntargets = [{ upstream = "local", model = "*" }]\n'
    async with (
        raw_server(script) as upstream,
        gateway_from(tmp_path, settings(upstream, more=more), mode="open") as server,
        server.client() as client,
    ):
        with caplog.at_level(logging.WARNING, logger="penstock"):
            answers = [await client.get("/v1/models") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert [card["id"] for card in answers[0].json()["data"]] == ["fast"]
        assert (await client.get("/v1/models/anything")).json()["owned_by"] == "local"
    lines = [line.getMessage() for line in caplog.records if line.name == "penstock"]
    assert len(lines) == 1
    assert lines[0].startswith("upstream local: its models are not listed: ")
    assert len(upstream.peers) == 1


REFUSALS = {
    "refused": (answer(b'{"error":{"message":"no"}}', 401), 401, "invalid_api_key"),
    "not allowed": (answer(b'{"error":{"message":"no"}}', 403), 403, "permission_denied"),
}


@pytest.mark.parametrize(("script", "status", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_a_caller_is_told_that_their_own_key_is_refused(tmp_path, script, status, code):
    async with (
        raw_server(script) as upstream,
        gateway_from(tmp_path, settings(upstream, 'credential = "caller"'), mode="forward") as server,
        server.client(authorization=f"Bearer {KEY}") as client,
    ):
        answers = [await client.get(path) for path in ("/v1/models", "/v1/models/anything", "/v1/models")]
    assert [(each.status_code, each.json()["error"]["code"]) for each in answers] == [(status, code)] * 3
    assert KEY not in "".join(each.text for each in answers)
    assert len(upstream.peers) == 1


async def test_another_fault_in_mode_forward_is_no_refusal(tmp_path):
    async with (
        raw_server(answer(b"", 503)) as upstream,
        gateway_from(tmp_path, settings(upstream, 'credential = "caller"'), mode="forward") as server,
        server.client(authorization=f"Bearer {KEY}") as client,
    ):
        answers = [await client.get(path) for path in ("/v1/models", "/v1/models/anything")]
    assert [each.status_code for each in answers] == [200, 200]


async def test_a_list_without_models_has_no_model(tmp_path):
    async with raw_server(listing()) as upstream, gateway_from(tmp_path, settings(upstream), mode="open") as server, server.client() as client:
        listed, one = await client.get("/v1/models"), await client.get("/v1/models/anything")
    assert (listed.json()["data"], one.status_code) == ([], 404)


async def test_a_model_with_a_route_of_its_own_waits_for_nobody_else(tmp_path):
    more = """
[upstreams.demo]
kind = "captured"
[routes."composer-2.5"]
targets = [{ upstream = "demo", model = "*" }]
[routes."*"]
targets = [{ upstream = "local", model = "*" }]
"""
    async with (
        raw_server([REQUEST]) as upstream,
        gateway_from(tmp_path, settings(upstream, more=more), mode="open") as server,
        server.client() as client,
    ):
        one = await client.get("/v1/models/composer-2.5")
    assert one.json()["owned_by"] == "cursor"
    assert not upstream.peers


async def test_an_id_that_stands_for_every_other_is_listed(tmp_path):
    more = '[routes."*"]\ntargets = [{ upstream = "local", model = "llama" }]\n'
    async with (
        raw_server([REQUEST]) as upstream,
        gateway_from(tmp_path, settings(upstream, more=more), mode="open") as server,
        server.client() as client,
    ):
        listed = [card["id"] for card in (await client.get("/v1/models")).json()["data"]]
        page = await client.get("/")
    assert listed == ["llama"]
    assert '<span class="id">llama</span>' in page.text
    assert not upstream.peers


async def test_a_slash_at_the_end_is_not_the_id_s(tmp_path):
    async with (
        raw_server(listing("vendor/llama-4")) as upstream,
        gateway_from(tmp_path, settings(upstream), mode="open") as server,
        server.client() as client,
    ):
        with_slash, without = [await client.get(f"/v1/models/vendor/llama-4{end}") for end in ("/", "")]
        shelf = await client.get("/opencode/v1/models/")
    assert with_slash.status_code == shelf.status_code == 200
    assert with_slash.json() == without.json()


async def test_a_date_is_the_upstreams_or_one_that_never_changes(tmp_path):
    dated = {"id": "dated", "created": 1_700_000_000}
    async with (
        raw_server(listing(dated, {"id": "undated"})) as upstream,
        gateway_from(tmp_path, settings(upstream), mode="open") as server,
        server.client() as client,
    ):
        cards = (await client.get("/v1/models")).json()["data"]
    assert [card["created"] for card in cards] == [1_700_000_000, LISTED_AT]


async def test_a_client_that_goes_takes_its_call_along(tmp_path):
    async with raw_server([REQUEST]) as upstream, gateway_from(tmp_path, settings(upstream), mode="open") as server:
        stream = await server.send(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with trio.fail_after(5):
            while not upstream.requests:  # noqa: ASYNC110 - the server of the test says by a list what it got
                await trio.sleep(0.01)
            await stream.aclose()
            await upstream.peers[0].gone.wait()


async def test_in_mode_forward_each_caller_sees_the_list_of_their_own_key(tmp_path):
    async with (
        raw_server(listing("for-one"), listing("for-two")) as upstream,
        gateway_from(tmp_path, settings(upstream, 'credential = "caller"'), mode="forward") as server,
        server.client() as client,
    ):
        for key, model in ((KEY, "for-one"), (KEY + "2", "for-two"), (KEY, "for-one")):
            listed = await client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
            assert [card["id"] for card in listed.json()["data"]] == [model]
        assert (await client.get("/v1/models")).status_code == 401
        page = await client.get("/")
    assert "for-one" not in page.text
    assert len(upstream.requests) == 2
    assert f"authorization: bearer {KEY}\r\n".encode() in upstream.requests[0].lower()


async def test_in_mode_keys_the_upstream_gets_its_own_key_and_strangers_cause_no_call(tmp_path):
    alice, bob = new_key(), new_key()
    auth = f'[[auth.keys]]\nname = "a"\nhash = "{hash_of(alice)}"\n[[auth.keys]]\nname = "b"\nhash = "{hash_of(bob)}"\nmodels = ["qwen"]\n'
    async with (
        raw_server(listing("llama-4", "qwen")) as upstream,
        gateway_from(tmp_path, auth + settings(upstream, 'api_key_env = "KEY_A"'), mode="keys", KEY_A=OWN) as server,
        server.client() as client,
    ):
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/")).status_code == 200
        assert not upstream.requests
        lists = [await client.get("/v1/models", headers={"authorization": f"Bearer {key}"}) for key in (alice, bob)]
        refused = await client.get("/v1/models/llama-4", headers={"authorization": f"Bearer {bob}"})
    assert [[card["id"] for card in listed.json()["data"]] for listed in lists] == [["llama-4", "qwen"], ["qwen"]]
    assert refused.status_code == 403
    assert len(upstream.requests) == 1
    assert f"bearer {OWN}".encode() in upstream.requests[0].lower()
    assert b"psk_" not in upstream.requests[0]


@pytest.mark.parametrize("kind", ["openai-chat", "openai-responses"])
async def test_it_is_asked_as_for_an_answer_with_its_headers_and_query(tmp_path, kind):
    more = 'api_key_header = "api-key"\nheaders = { X-Title = "Penstock" }\n[routes."*"]\ncontext_window = 9000\n'
    more += (
        'targets = [{ upstream = "local", model = "*", price = [1, 2] }, { upstream = "demo", model = "*" }]\n[upstreams.demo]\nkind = "captured"\n'
    )
    async with raw_server(listing(LLAMA)) as upstream:
        file = settings(upstream, 'api_key_env = "KEY_A"', more).replace("openai-chat", kind).replace('/v1"', '/openai/v1?api-version=preview"')
        async with gateway_from(tmp_path, file, mode="open", KEY_A=OWN) as server, server.client() as client:
            [card] = (await client.get("/v1/models")).json()["data"]
    assert (card["id"], card["context_window"]) == ("llama-4", 9000)
    assert card["pricing"] == {"currency": "USD", "input_per_million": 1.0, "output_per_million": 2.0}
    [request] = upstream.requests
    assert request.startswith(b"GET /openai/v1/models?api-version=preview HTTP/1.1\r\n")
    assert f"api-key: {OWN}\r\n".encode() in request
    assert b"x-title: penstock\r\n" in request.lower()
    assert b"authorization" not in request.lower()


async def test_a_server_with_anthropic_s_api_is_asked_in_its_own_way(tmp_path):
    claude = {"type": "model", "id": "claude-sonnet-5", "display_name": "Claude Sonnet 5", "created_at": "2026-03-01T00:00:00Z"}
    listed = listing({**claude, "max_input_tokens": 1_000_000, "max_tokens": 64_000})
    more = '[upstreams.local.headers]\nanthropic-beta = "some-beta"\n'
    async with raw_server(listed) as upstream:
        file = settings(upstream, 'api_key_env = "KEY_A"', more).replace("openai-chat", "anthropic").replace("/v1", "/anthropic")
        async with gateway_from(tmp_path, file, mode="open", KEY_A=OWN) as server, server.client() as client:
            [card] = (await client.get("/v1/models")).json()["data"]
            [info] = (await client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()["data"]
    assert (card["id"], card["name"], card["context_window"], card["created"]) == ("claude-sonnet-5", "Claude Sonnet 5", 1_000_000, 1_772_323_200)
    assert info == claude | {"lifecycle": "active", "max_input_tokens": 1_000_000, "max_tokens": 64_000}
    [request] = upstream.requests
    assert request.startswith(b"GET /anthropic/v1/models?limit=1000 HTTP/1.1\r\n")
    lines = request.lower().split(b"\r\n")
    assert {f"x-api-key: {OWN}".encode(), b"anthropic-version: 2023-06-01", b"anthropic-beta: some-beta"} <= set(lines)
    assert b"authorization" not in request.lower()
