"""`penstock record --upstream openai-chat` from a scripted server: what is sent, what is kept and scrubbed, what is refused."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from pipeline.cases import load_case, shipped
from pipeline.errors import ProtocolViolation
from pipeline.identity import Identity
from pipeline.recording import Recording, record
from pipeline.wire.openai_chat import OpenAIChatDecoder
from server.cli import main
from tests.support.composer_server import Cut, Reply
from tests.support.make_fixtures import make_chat
from tests.support.openai_scripts import SCRIPTS
from tests.support.openai_server import DONE, Script, chunk, event, openai_server, text

KEY = "sk-0123456789abcdefABCDEF"
BODY = {"model": "kimi-k3", "messages": [{"role": "user", "content": f"My key is {KEY}"}], "temperature": 0.5}


async def command(*words: object) -> int:
    """The command line, in a thread: it brings its own event loop."""
    return await trio.to_thread.run_sync(partial(main, ["record", "--upstream", "openai-chat", *map(str, words)]))


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(BODY))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "openai_chat" / "new"


async def test_a_recording_is_a_case_that_replays_and_holds_no_key(body, out):
    pieces = [text(f"It is {KEY[:9]}"), text(KEY[9:15]), text(KEY[15:] + "."), chunk("stop") + DONE]
    async with openai_server(pieces) as server:
        assert await command("--url", server.url, "--request", body, "--out", out, "--header", f"Authorization: Bearer {KEY}") == 0
    (received,) = server.requests
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    case = load_case(out)
    assert case.meta.upstream == "openai-chat"
    assert sum(size for _, size in case.meta.reads) == len(case.stream) == sum(map(len, pieces))
    assert await trio.to_thread.run_sync(main, ["replay", str(out), "--update"]) == 0
    lines = (out / "expected" / "events.txt").read_text().splitlines()
    assert lines == [
        'TextDelta text="It is xxxxxxxxx"', 'TextDelta text="xxxxxx"', 'TextDelta text="xxxxxxxxxx."', 'Finish reason="stop" raw="stop"'
    ]  # fmt: skip
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert all(piece.encode() not in kept for piece in (KEY, KEY[9:15], KEY[15:], server.url))


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ([text("x"), Cut()], 1, "not complete"),
        ([text("x")], 1, "not complete"),
        ([event(error={"message": "Slow down", "code": "rate_limit_exceeded"})], 0, "is an error: The upstream limits the rate of requests."),
        ([Reply(401, b'{"error":{"code":"invalid_api_key"}}')], 1, "nothing was recorded. The upstream does not accept this key."),
    ],
)
async def test_faults_are_outcomes(script: Script, status, says, body, out, capsys):
    async with openai_server(script) as server:
        assert await command("--url", server.url, "--request", body, "--out", out) == status
    assert says in capsys.readouterr().err


async def test_bytes_that_are_no_answer_are_kept(body, out):
    async with openai_server([Reply(200, b"<html>sign in</html>")]) as server:
        outcome = await record(Recording(url=server.url, upstream="openai-chat", request=body.read_bytes(), out=out))
    assert isinstance(outcome.error, ProtocolViolation)
    assert not outcome.complete
    assert outcome.case.stream == b"<html>sign in</html>"


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_scripts_are_the_shipped_captures(name, tmp_path):
    outcome = await make_chat(name, tmp_path / name)
    shipped_case = load_case(shipped() / "openai_chat" / name)
    assert (outcome.case.request, outcome.case.stream) == (shipped_case.request, shipped_case.stream)
    decoder = OpenAIChatDecoder(new_id=partial(Identity.frozen().new, "call_"))
    assert decoder.feed(outcome.case.stream) + decoder.end()
