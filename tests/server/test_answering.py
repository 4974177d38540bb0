"""What the headers and the log say of an answer."""

import json
import logging

import pytest
from quart import Response

from pipeline.events import Finish, Notice, TextDelta
from pipeline.models import Model
from server.answering import MAX_HEADER_CHARS, name_in_header
from tests.support.gateway_server import running_server
from tests.support.scripted import ScriptedUpstream, Step

ASK = {"model": "composer-2.5", "messages": [{"role": "user", "content": "Hi"}]}
REPAIRED: list[Step] = [[Notice("early", "known before anything is said"), TextDelta("Hello")], [Notice("late", "")], [Finish()]]


@pytest.mark.parametrize(("stream", "codes"), [(False, ["early", "late"]), (True, ["early"])])
async def test_notices_stand_in_a_header_as_far_as_they_are_known(stream, codes):
    async with running_server(upstreams={"captured": ScriptedUpstream(REPAIRED)}) as server, server.client() as client:
        answer = await client.post("/v1/chat/completions", content=json.dumps(ASK | {"stream": stream}))
    assert answer.headers["penstock-notices"].split(", ") == codes


async def test_a_request_s_own_notices_stand_in_a_stream_s_header(caplog):
    caplog.set_level(logging.INFO, "penstock.access")
    tools = [{"type": "function", "function": {"name": "weather"}, "a": 1}, {"type": "web_search"}]
    async with running_server(upstreams={"captured": ScriptedUpstream(REPAIRED)}) as server, server.client() as client:
        answers = [await client.post("/v1/chat/completions", content=json.dumps(ASK | {"tools": tools, "stream": s})) for s in (False, True)]
    whole, stream = (answer.headers["penstock-notices"].split(", ") for answer in answers)
    assert set(whole) - set(stream) == {"late"}
    assert len(stream) > 1
    assert sum(" target=captured/composer-2.5 " in line for line in caplog.messages) == 2


@pytest.mark.parametrize("word", ["a\r\nset-cookie: x", "a b", "a,b", "ä", "", "x" * 65, "\0", "a\x0bb", "\ud800"])
def test_a_client_s_text_does_not_reach_a_header(word):
    response = Response()
    name_in_header(response, "penstock-ignored", ["top_k", word, "seed", word])
    assert response.headers["penstock-ignored"] == "top_k, ?, seed"


def test_as_many_words_as_fit():
    response = Response()
    name_in_header(response, "penstock-ignored", [f"{number:060}" for number in range(100)])
    value = response.headers["penstock-ignored"]
    assert len(value) <= MAX_HEADER_CHARS
    *words, last = value.split(", ")
    assert last == "..."
    assert {len(word) for word in words} == {60}
    name_in_header(response, "penstock-notices", [])
    assert "penstock-notices" not in response.headers


async def test_an_unexpected_error_is_logged_on_one_line(caplog):
    class Broken(ScriptedUpstream):
        def find_model(self, model_id: str) -> Model | None:
            raise RuntimeError(len(model_id))

    async with running_server(upstreams={"captured": Broken(REPAIRED)}) as server, server.client() as client:
        answer = await client.get("/v1/models/a%1b[31m%20FORGED%c2%85LINE")
    assert answer.status_code == 500
    [line] = [line for line in caplog.messages if line.startswith("unexpected error")]
    assert "GET /v1/models/a?[31m?FORGED?LINE (id=" in line


@pytest.mark.parametrize("length", range(930, 1100))
def test_a_header_is_never_longer_than_it_may_be(length):
    """Words of 62 characters up to near the end, and then one after which any place may be the last that fits."""
    words = [f"a{number:02}" + "x" * 59 for number in range(length // 64)]
    words += ["z" * (length % 64 or 1), *(f"tail{number}" for number in range(30))]
    response = Response(b"")
    name_in_header(response, "penstock-ignored", words)
    value = response.headers["penstock-ignored"]
    assert len(value) <= MAX_HEADER_CHARS
    assert value.endswith(", ...") == (len(", ".join(words)) > MAX_HEADER_CHARS)
    assert set(value.removesuffix(", ...").split(", ")) <= set(words)
