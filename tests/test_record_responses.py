"""`penstock record --upstream openai-responses` from a scripted server: what is sent, what is kept and scrubbed; and the shipped cases."""

import json
from functools import partial

import pytest
import trio

from pipeline.cases import load_case, shipped
from server.cli import main
from tests.support.make_fixtures import make_responses
from tests.support.openai_server import openai_server
from tests.support.responses_events import ENDPOINT, called, completed, function_call, message, spoken
from tests.support.responses_scripts import SCRIPTS

KEY = "sk-0123456789abcdefABCDEF"
BODY = {"model": "gpt-5.2", "messages": [{"role": "user", "content": f"My key is {KEY}"}], "max_tokens": 50}
PIECES = [f"It is {KEY[:9]}", KEY[9:15], KEY[15:] + "."]


async def test_a_recording_is_a_case_that_replays_and_holds_no_key(tmp_path):
    body, out = tmp_path / "body.json", tmp_path / "openai_responses" / "new"
    body.write_text(json.dumps(BODY))
    call = function_call("now", json.dumps({"key": KEY}))
    script = [*spoken(PIECES), *called(call, ['{"key": "' + KEY[:9], KEY[9:15], KEY[15:] + '"}'], 1), completed(message("".join(PIECES)), call)]
    words = ["record", "--upstream", "openai-responses", "--request", str(body), "--out", str(out), "--header", f"Authorization: Bearer {KEY}"]
    async with openai_server(script, ENDPOINT) as server:
        assert await trio.to_thread.run_sync(partial(main, [*words, "--url", server.origin + ENDPOINT])) == 0
    (received,) = server.requests
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "gpt-5.2",
        "input": [{"type": "message", "role": "user", "content": f"My key is {KEY}"}],
        "store": False,
        "stream": True,
        "max_output_tokens": 50,
    }
    case = load_case(out)
    assert case.meta.upstream == "openai-responses"
    assert sum(size for _, size in case.meta.reads) == len(case.stream)
    assert await trio.to_thread.run_sync(main, ["replay", str(out), "--update"]) == 0
    lines = (out / "expected" / "events.txt").read_text().splitlines()
    assert lines == [
        'TextDelta text="It is xxxxxxxxx"',
        'TextDelta text="xxxxxx"',
        'TextDelta text="xxxxxxxxxx."',
        'ToolCallStart index=0 id="call_1" name="now"',
        'ToolCallDelta index=0 arguments="{\\"key\\": \\"xxxxxxxxx"',
        'ToolCallDelta index=0 arguments="xxxxxx"',
        'ToolCallDelta index=0 arguments="xxxxxxxxxx\\"}"',
        "ToolCallEnd index=0",
        'Finish reason="tool_calls" raw="completed"',
    ]
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert all(piece.encode() not in kept for piece in (KEY, KEY[9:15], KEY[15:], server.origin))


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_shipped_case_is_what_its_script_still_says(tmp_path, name):
    made = (await make_responses(name, tmp_path / name)).case
    case = load_case(shipped() / "openai_responses" / name)
    assert (made.stream, made.request, made.meta.title) == (case.stream, case.request, case.meta.title)
