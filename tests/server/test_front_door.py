"""Mode `keys`: who is let in, what they may use, and that no upstream gets a key of this gateway. Mode `open`: no page of the web is answered."""

import hashlib
import hmac
import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from pipeline.errors import AuthenticationError
from pipeline.events import Finish, TextDelta
from pipeline.models import MODELS, resolve_composer_model
from server import front_door
from server.front_door import Caller, FrontDoor
from server.keys import hash_of, new_key
from server.settings import Auth, GatewayKey, Route, Settings, Target
from server.upstream_settings import Captured
from tests.support.gateway_server import running_server
from tests.support.scripted import ScriptedUpstream, Step

ALICE, BOB = new_key(), new_key()
KEYS = (GatewayKey(name="alice", hash=hash_of(ALICE)), GatewayKey(name="bob", hash=hash_of(BOB), models=("composer-2.5", "mine")))
SETTINGS = Settings(auth=Auth(mode="keys", keys=KEYS), aliases={"mine": "gpt-5.2"})
HELLO: list[Step] = [[TextDelta("Hello")], [Finish()]]
CHAT = "/v1/chat/completions"


def ask(model: str) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}]}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_key_lets_in_and_no_upstream_gets_it(caplog):
    caplog.set_level(logging.INFO)
    upstream = ScriptedUpstream(HELLO)
    async with running_server(SETTINGS, {"captured": upstream}) as server, server.client() as client:
        answers = [
            await client.post(path, json=ask("composer-2.5"), headers=headers)
            for path in (CHAT, "/opencode" + CHAT, "/cursor/chat/completions")
            for headers in (bearer(ALICE), {"x-api-key": BOB}, {"api-key": ALICE})
        ]
    assert [answer.status_code for answer in answers] == [200] * 9
    assert upstream.keys == [None] * 9
    lines = [record.getMessage() for record in caplog.records if record.name == "penstock.access"]
    assert [line.split()[3] for line in lines] == ["key=alice", "key=bob", "key=alice"] * 3
    assert ALICE not in caplog.text
    assert BOB not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic abc"},
        {"authorization": ALICE},
        {"authorization": "Bearer"},
        bearer("sk-1234"),
        bearer("psk_" + "a" * 43),
        bearer(ALICE[:-1]),
        bearer(ALICE + "x"),
        bearer(ALICE[:40] + "~~~~~~~"),
        bearer(ALICE.upper()),
        bearer(hash_of(ALICE)),
        bearer(hash_of(ALICE).removeprefix("sha256:")),
        bearer("' OR 1=1 --"),
        bearer("x" * 5000),
        {"x-api-key": "alice"},
    ],
)
async def test_everything_else_is_401(headers, caplog):
    caplog.set_level(logging.INFO)
    upstream = ScriptedUpstream(HELLO)
    async with running_server(SETTINGS, {"captured": upstream}) as server, server.client() as client:
        refused = [
            await client.post(CHAT, json=ask("composer-2.5"), headers=headers),
            await client.get("/v1/models", headers=headers),
            await client.get("/v1/models/composer-2.5", headers=headers),
        ]
    for response in refused:
        error = response.json()["error"]
        assert (response.status_code, error["type"], error["code"], error["param"]) == (401, "authentication_error", "invalid_api_key", None)
        assert response.headers["www-authenticate"] == "Bearer"
    assert upstream.keys == []
    assert " key=" not in caplog.text


class ComposerNames(ScriptedUpstream):
    """Knows Composer's models under all their spellings."""

    def models(self):
        return list(MODELS.values())

    def find_model(self, model_id):
        return MODELS.get(resolve_composer_model(model_id) or "no such model")


async def test_a_key_is_held_to_its_models():
    upstream = ComposerNames(HELLO)
    async with running_server(SETTINGS, {"captured": upstream}) as server, server.client(**bearer(BOB)) as client:
        allowed = [await client.post(CHAT, json=ask(model)) for model in ("composer-2.5", "cursor/composer-2.5", "", "mine")]
        refused = [await client.post(CHAT, json=ask(model)) for model in ("composer-2.5-fast", "cursor/Composer-2-5-fast", "gpt-5.2")]
        listed = (await client.get("/v1/models")).json()
        one = await client.get("/v1/models/composer-2.5")
        other = await client.get("/v1/models/composer-2.5-fast")
        everything = (await client.get("/v1/models", headers=bearer(ALICE))).json()
    assert [response.status_code for response in allowed] == [200] * 4
    for response, model in zip([*refused, other], ["composer-2.5-fast", "cursor/Composer-2-5-fast", "gpt-5.2", "composer-2.5-fast"], strict=True):
        error = response.json()["error"]
        assert (response.status_code, error["type"], error["code"], error["param"]) == (403, "permission_error", "model_not_allowed", "model")
        assert model in error["message"]
    assert len(upstream.keys) == 4
    assert [model["id"] for model in listed["data"]] == ["composer-2.5", "mine"]
    assert one.json()["id"] == "composer-2.5"
    assert len(everything["data"]) > 20


async def test_an_upstream_s_own_name_of_a_model_opens_no_other_route():
    """`cheap` asks one upstream for composer-2.5; whoever may use the route composer-2.5 may not therefore use `cheap`."""
    routes = {name: Route(targets=(Target(upstream=to, model="composer-2.5"),)) for name, to in (("composer-2.5", "a"), ("cheap", "b"))}
    key = GatewayKey(name="bob", hash=hash_of(BOB), models=("composer-2.5",))
    settings = Settings(auth=Auth(mode="keys", keys=(key,)), upstreams={"a": Captured(), "b": Captured()}, routes=routes)
    a, b = ScriptedUpstream(HELLO, "a"), ScriptedUpstream(HELLO, "b")
    async with running_server(settings, {"a": a, "b": b}) as server, server.client(**bearer(BOB)) as client:
        statuses = [(await client.post(CHAT, json=ask(model))).status_code for model in ("composer-2.5", "cheap")]
    assert (statuses, len(a.keys), len(b.keys)) == ([200, 403], 1, 0)


def test_the_whole_key_s_hash_is_compared_with_every_key_s(monkeypatch):
    compared = []

    def compare(kept: bytes, given: bytes) -> bool:
        compared.append((kept, given))
        return hmac.compare_digest(kept, given)

    monkeypatch.setattr(front_door, "compare_digest", compare)
    door = FrontDoor(SETTINGS)
    assert door.admit(Headers(bearer(ALICE))) == Caller(name="alice")
    digests = [hashlib.sha256(key.encode()).digest() for key in (ALICE, BOB)]
    assert compared == [(digest, digests[0]) for digest in digests]


def test_keys_with_a_long_common_beginning_are_two():
    """Nothing shorter than the whole is an identity."""
    one, other = ALICE[:-1] + "a", ALICE[:-1] + "b"
    keys = tuple(GatewayKey(name=name, hash=hash_of(key)) for name, key in (("one", one), ("other", other)))
    door = FrontDoor(Settings(auth=Auth(mode="keys", keys=keys)))
    assert [door.admit(Headers(bearer(key))).name for key in (one, other)] == ["one", "other"]


def test_a_word_whose_hash_is_kept_is_no_key():
    door = FrontDoor(Settings(auth=Auth(mode="keys", keys=(GatewayKey(name="a", hash=hash_of("changeme")),))))
    with pytest.raises(AuthenticationError):
        door.admit(Headers(bearer("changeme")))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_no_header_raises_anything_else(text):
    text = text.replace("\r", "").replace("\n", "")  # no server reads one with a line end in it
    for header in ("Authorization", "X-Api-Key"):
        headers = {header: text if header != "Authorization" else f"Bearer {text}"}
        with pytest.raises(AuthenticationError) as caught:
            FrontDoor(SETTINGS).admit(Headers(headers))
        assert len(text) < 12 or text.strip() not in caught.value.message


def test_a_caller_does_not_show_its_key():
    assert "canary" not in repr(Caller(upstream_key="canary")) + str([Caller(upstream_key="canary")])


# what a browser, or another program, says of the page that a request comes from -> whether it is answered where no key is asked for
PAGES = {
    "no browser": ({}, True),
    "a page of the web": ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, False),
    "a page of the web, by an old browser": ({"origin": "http://evil.example:8787"}, False),
    "a page of the web that hides where it is from": ({"origin": "null", "sec-fetch-site": "cross-site"}, False),
    "a picture on a page of the web": ({"sec-fetch-site": "cross-site"}, False),
    "a name that only looks local": ({"origin": "http://localhost.evil.example"}, False),
    "an address that only looks local": ({"origin": "http://127.0.0.1.evil.example"}, False),
    "a user name that looks local": ({"origin": "http://localhost:80@evil.example"}, False),
    "no origin at all": ({"origin": "evil.example"}, False),
    "an address typed in a browser": ({"sec-fetch-site": "none"}, True),
    "this server's own page": ({"origin": "http://127.0.0.1:8787", "sec-fetch-site": "same-origin"}, True),
    "a page of this machine": ({"origin": "http://localhost:3000", "sec-fetch-site": "cross-site"}, True),
    "a page of this machine, IPv6": ({"origin": "http://[::1]:3000"}, True),
    "an editor's view": ({"origin": "vscode-webview://1a2b", "sec-fetch-site": "cross-site"}, True),
    "an app": ({"origin": "tauri://localhost"}, True),
    "an app on Windows": ({"origin": "http://tauri.localhost"}, True),
}


@pytest.mark.parametrize(("headers", "answered"), PAGES.values(), ids=PAGES)
async def test_where_no_key_is_asked_for_no_page_of_the_web_is_answered(headers, answered):
    upstream = ScriptedUpstream(HELLO)
    simple = {"content-type": "text/plain;charset=UTF-8", **headers}  # what a page may send without asking first
    async with running_server(upstreams={"captured": upstream}) as server, server.client() as client:
        answers = [
            await client.post(path, content=msgspec.json.encode(ask("composer-2.5")), headers=simple)
            for path in (CHAT, "/opencode" + CHAT, "/cursor/chat/completions", "/cursor" + CHAT)
        ]
        answers += [await client.get(path, headers=headers) for path in ("/v1/models", "/cursor/models")]
        page = await client.get("/", headers=headers)
    assert {answer.status_code for answer in answers} == {200 if answered else 403}
    assert len(upstream.keys) == (4 if answered else 0)
    assert page.status_code == 200  # a link may lead here
    if not answered:
        assert {answer.json()["error"]["code"] for answer in answers} == {"origin_not_allowed"}


async def test_where_a_key_is_asked_for_a_page_of_the_web_may_have_one():
    upstream = ScriptedUpstream(HELLO)
    async with running_server(SETTINGS, {"captured": upstream}) as server, server.client(**bearer(ALICE)) as client:
        answer = await client.post(CHAT, json=ask("composer-2.5"), headers={"origin": "https://a.example", "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200


async def test_probes_are_answered_under_any_name_with_and_without_a_slash():
    async with running_server() as server, server.client(host="10.0.0.7") as client:
        statuses = {path: (await client.get(path)).status_code for path in ("/health", "/health/", "/ready", "/ready/", "/health/x", "/v1/models")}
    assert statuses == {"/health": 200, "/health/": 200, "/ready": 200, "/ready/": 200, "/health/x": 403, "/v1/models": 403}
