"""The lines that a request leaves: one of the access log, which names where the answer is from, and none of the HTTP client's own."""

from functools import partial
from typing import cast

import httpx
import pytest
import trio

from pipeline.emit.base import AnswerHead
from pipeline.emit.chat import CHAT
from pipeline.events import UsageReport
from server.access_log import MAX_WORD_CHARS, Record
from server.streaming import Streamable
from tests.support.openai_server import DONE, chunk, openai_server, text
from tests.support.processes import ServerProcess, clean_environment, server_process


def test_the_upstream_stands_beside_the_model():
    record = Record("POST", "/v1/chat/completions")
    record.status, record.model, record.complete = 200, "kimi-k3", True
    assert " 200 model=kimi-k3 total=" in record.line()
    record.upstream = "local"
    assert " 200 model=kimi-k3 upstream=local total=" in record.line()
    record.upstream = "a b\n" + "c" * MAX_WORD_CHARS
    assert f" upstream=a?b?{'c' * (MAX_WORD_CHARS - 4)}… total=" in record.line()


@pytest.mark.parametrize(("is_broken", "end"), [(True, "end=broken_off"), (False, "client=gone")])
def test_who_ended_an_answer_is_said(is_broken, end):
    class Made:
        emitter = CHAT.stream(AnswerHead("id", 1, "m"), lambda: UsageReport(0, 0))

    record = Record("POST", "/cursor/chat/completions")
    Made.emitter.is_broken = is_broken
    record.answer = cast("Streamable", Made())
    assert [word for word in record.line().split() if word.startswith(("end=", "client="))] == [end]
    record.complete = True
    assert end not in record.line()


async def test_an_upstream_request_writes_no_line_of_its_own(tmp_path):
    async with openai_server([text("Hello"), chunk("stop"), DONE]) as upstream:
        environment = clean_environment(OPENAI_BASE_URL=f"{upstream.origin}/v1", HOME=str(tmp_path))
        shown = await trio.to_thread.run_sync(partial(_ask_once, tmp_path, environment))
    assert len(upstream.requests) == 1
    [line] = [line for line in shown.splitlines() if "SIGTERM" not in line]
    assert "penstock.access POST /v1/chat/completions 200 model=kimi-k3 " in line


def _ask_once(cwd, environment) -> str:
    """What a server writes to stderr while it answers one request and stops."""
    with server_process(cwd=cwd, environment=environment) as server:
        body = {"model": "kimi-k3", "messages": [{"role": "user", "content": "Hi"}]}
        assert httpx.post(f"{server.url}/v1/chat/completions", json=body, trust_env=False).status_code == 200
        assert server.stop() == 0
        return _rest(server)


def _rest(server: ServerProcess) -> str:
    assert server.process.stderr is not None
    return server.process.stderr.read()
