"""Recording a website: what is sent teaches the calls that a replay reads, and the case is the one that is shipped."""

import pytest

from pipeline.cases import load_case, shipped
from pipeline.errors import UpstreamUnusable
from pipeline.expectations import Replay, events_text
from pipeline.recording import Recording, record
from pipeline.recording_kinds import WrongUse
from tests.support.composer_scripts import encode_body
from tests.support.composer_server import Reply
from tests.support.openai_server import openai_server
from tests.support.website_scripts import HTML, PAGE, SCRIPTS, TRIGGER, trigger_of
from tests.support.website_words import END, ENDPOINT


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_scripts_are_the_shipped_captures(tmp_path, name):
    scripted, path = SCRIPTS[name], shipped() / "website" / name
    async with openai_server(scripted.steps, ENDPOINT) as server:
        out = tmp_path / "website" / name
        outcome = await record(Recording(url=server.origin + ENDPOINT, upstream="website", request=encode_body(scripted), out=out))
    kept = load_case(path)
    assert (outcome.case.request, outcome.case.stream) == (kept.request, kept.stream)
    assert outcome.complete == (name not in ("cut", "cut-in-call"))
    if "tools" in scripted.body:
        assert trigger_of(server.requests[0]) == TRIGGER
    assert await events_text(Replay(load_case(out))) == (path / "expected" / "events.txt").read_bytes()


async def test_a_refusal_leaves_no_case(tmp_path):
    async with openai_server([Reply(403, PAGE, HTML)], ENDPOINT) as server:
        with pytest.raises(UpstreamUnusable):
            await record(
                Recording(url=server.origin + ENDPOINT, upstream="website", request=encode_body(SCRIPTS["text"]), out=tmp_path / "website" / "x")
            )
    assert list(tmp_path.iterdir()) == []


async def test_a_request_with_an_image_is_not_sent(tmp_path):
    body = b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}'
    async with openai_server([END], ENDPOINT) as server:
        with pytest.raises(WrongUse, match="is an image"):
            await record(Recording(url=server.origin + ENDPOINT, upstream="website", request=body, out=tmp_path / "website" / "x"))
    assert server.requests == []
