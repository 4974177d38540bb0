"""No key ever reaches another host: not by a route, not by `*`, not by a redirect, not by a header and not by a body."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.support import website_words as words
from tests.support.composer_server import Reply
from tests.support.gateway_server import RunningServer, gateway_from
from tests.support.openai_server import DONE, OpenAIServer, chunk, openai_server, text

OWN = "sk-own-key-of-host-a-1234567890"
CALLERS = "sk-key-of-the-caller-1234567890"
ANSWER = [text("Hello") + chunk("stop") + DONE]
EVERY_WAY = {
    "authorization": f"Bearer {CALLERS}",
    "x-api-key": CALLERS,
    "api-key": CALLERS,
    "cookie": f"session={CALLERS}",
    "proxy-authorization": f"Basic {CALLERS}",
    "x-forwarded-host": "elsewhere.example",
}


def two_hosts(a: OpenAIServer, b: OpenAIServer, *, mode: str, credential: str) -> str:
    return f"""
[auth]
mode = "{mode}"
[upstreams.a]
kind = "openai-chat"
base_url = "{a.origin}/v1"
{credential}
[upstreams.b]
kind = "openai-chat"
base_url = "{b.origin}/v1"
[routes."model-a"]
targets = [{{ upstream = "a", model = "*" }}]
[routes."*"]
targets = [{{ upstream = "b", model = "*" }}]
"""


def seen_by(server: OpenAIServer) -> str:
    return repr([(request.path, request.headers, request.body) for request in server.requests])


async def ask(server: RunningServer, model: str, headers: Mapping[str, str] = EVERY_WAY, **extra: Any) -> httpx.Response:
    async with server.client() as client:
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **extra}
        return await client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstreams_own_key_goes_to_it_alone_and_the_callers_to_nobody(tmp_path, stream):
    async with openai_server(ANSWER) as a, openai_server(ANSWER) as b:
        toml = two_hosts(a, b, mode="open", credential='api_key_env = "KEY_A"')
        async with gateway_from(tmp_path, toml, KEY_A=OWN) as server:
            for model in ("model-a", "another", "model-a/../b", "http://model-a"):
                assert (await ask(server, model, stream=stream)).status_code == 200
    assert len(a.requests) == 1
    assert a.requests[0].headers["authorization"] == f"Bearer {OWN}"
    assert len(b.requests) == 3
    assert OWN not in seen_by(b)
    assert "authorization" not in b.requests[0].headers
    assert CALLERS not in seen_by(a) + seen_by(b)


async def test_the_callers_key_goes_to_the_one_upstream_that_takes_it(tmp_path):
    async with (
        openai_server(ANSWER) as a,
        openai_server(ANSWER) as b,
        gateway_from(tmp_path, two_hosts(a, b, mode="forward", credential='credential = "caller"')) as server,
    ):
        assert (await ask(server, "model-a", {"authorization": f"Bearer {CALLERS}"})).status_code == 200
        assert (await ask(server, "another", {"authorization": f"Bearer {CALLERS}"})).status_code == 200
    assert a.requests[0].headers["authorization"] == f"Bearer {CALLERS}"
    assert CALLERS not in seen_by(b)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(tmp_path, status):
    async with openai_server(ANSWER) as b:
        away = [Reply(status, b"<html>moved</html>", {"location": f"{b.origin}/v1/chat/completions"})]
        async with openai_server(away) as a:
            toml = two_hosts(a, b, mode="open", credential='api_key_env = "KEY_A"')
            async with gateway_from(tmp_path, toml, KEY_A=OWN) as server:
                answer = await ask(server, "model-a")
    assert answer.status_code == 424
    assert not b.requests
    assert "html" not in answer.text


async def test_a_body_chooses_no_host(tmp_path):
    async with openai_server(ANSWER) as a, openai_server(ANSWER) as b:
        toml = two_hosts(a, b, mode="open", credential='api_key_env = "KEY_A"')
        async with gateway_from(tmp_path, toml, KEY_A=OWN) as server:
            chosen: dict[str, Any] = {
                "api_base": f"{b.origin}/v1",
                "base_url": f"{b.origin}/v1",
                "api_key": "x",
                "extra_headers": {"authorization": "x"},
                "top_k": 5,
            }
            answer = await ask(server, "model-a", **chosen)
    assert answer.status_code == 200
    assert not b.requests
    sent = json.loads(a.requests[0].body)
    assert sent["top_k"] == 5
    assert not sent.keys() & (chosen.keys() - {"top_k"})
    assert "field_not_forwarded" in answer.headers["penstock-notices"]


async def test_gateway_tokens_are_never_forwarded(tmp_path):
    async with (
        openai_server(ANSWER) as a,
        openai_server(ANSWER) as b,
        gateway_from(tmp_path, two_hosts(a, b, mode="forward", credential='credential = "caller"')) as server,
    ):
        for token in ("psk_0123456789abcdef", "cmp_0123456789abcdef"):
            assert (await ask(server, "model-a", {"authorization": f"Bearer {token}"})).status_code == 401
    assert not a.requests
    assert not b.requests


async def test_what_passed_and_what_did_not_is_said(tmp_path):
    async with openai_server(ANSWER) as a, openai_server(ANSWER) as b, gateway_from(tmp_path, two_hosts(a, b, mode="open", credential="")) as server:
        answer = await ask(server, "another", temperature=0.5, seed=7)
    assert json.loads(b.requests[0].body)["temperature"] == 0.5
    assert "penstock-ignored" not in answer.headers


def a_website(a: OpenAIServer, b: OpenAIServer, *, mode: str, credential: str) -> str:
    return f"""
[auth]
mode = "{mode}"
[upstreams.a]
kind = "website"
url = "{a.origin}{words.ENDPOINT}"
{credential}
headers = {{ cookie = "{COOKIE}" }}
[upstreams.b]
kind = "openai-chat"
base_url = "{b.origin}/v1"
[routes."model-a"]
targets = [{{ upstream = "a", model = "*" }}]
[routes."*"]
targets = [{{ upstream = "b", model = "*" }}]
"""


COOKIE = "session=cookie-of-the-operator-1234567890"
PAGE = [words.START + words.text("Hello") + words.END]


@pytest.mark.parametrize(
    ("mode", "credential", "sent"),
    [("forward", "", CALLERS), ("open", 'api_key_env = "KEY_A"', OWN), ("open", 'credential = "none"', None)],
    ids=["callers", "own", "none"],
)
async def test_a_website_gets_one_key_and_its_headers_and_nobody_else_does(tmp_path, mode, credential, sent):
    async with (
        openai_server(PAGE, words.ENDPOINT) as a,
        openai_server(ANSWER) as b,
        gateway_from(tmp_path, a_website(a, b, mode=mode, credential=credential), KEY_A=OWN) as server,
    ):
        headers = EVERY_WAY if mode == "open" else {"authorization": f"Bearer {CALLERS}"}
        for model in ("model-a", "another"):
            assert (await ask(server, model, headers)).status_code == 200
    [received] = a.requests
    assert received.headers.get("authorization") == (None if sent is None else f"Bearer {sent}")
    assert received.headers["cookie"] == COOKIE
    assert not [key for key in {OWN, CALLERS} - {sent} if key in seen_by(a)]
    assert not [key for key in (OWN, CALLERS, COOKIE) if key in seen_by(b)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_a_website_is_not_followed(tmp_path, status):
    async with openai_server(ANSWER) as b:
        away = [Reply(status, b"<html>moved</html>", {"location": f"{b.origin}/v1/chat/completions"})]
        async with openai_server(away, words.ENDPOINT) as a, gateway_from(tmp_path, a_website(a, b, mode="forward", credential="")) as server:
            answer = await ask(server, "model-a", {"authorization": f"Bearer {CALLERS}"})
    assert answer.status_code == 424
    assert len(a.requests) == 1
    assert not b.requests
    assert not [word for word in ("html", COOKIE, CALLERS, b.origin) if word in answer.text]
