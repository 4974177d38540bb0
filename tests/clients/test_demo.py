"""Every client against `penstock serve` as it comes, with nothing configured: the embedded demo answers, and no key is asked for."""

from collections.abc import Generator

import pytest

from tests.clients.client_process import no_outside, run_program
from tests.clients.scripted_model import Gateway
from tests.clients.test_claude_code import ClaudeCode
from tests.clients.test_codex import Codex
from tests.clients.test_llm import Llm
from tests.clients.test_opencode import OpenCode
from tests.support.processes import clean_environment, server_process

pytestmark = pytest.mark.clients

HELLO = "Say hello."
NO_MODEL = "embedded demo"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway, None, None]:
    empty = tmp_path_factory.mktemp("nothing configured")
    with server_process(cwd=empty, environment=clean_environment(HOME=str(empty), XDG_CONFIG_HOME=str(empty))) as server:
        yield Gateway(server.url, "any")


@pytest.mark.parametrize(
    ("program", "scenario"),
    [
        ("anthropic_node.mjs", "stream"),
        ("anthropic_python.py", "stream"),
        ("ai_sdk.mjs", "generate"),
        ("ai_sdk_responses.mjs", "generate"),
        ("openai_node.mjs", "plain"),
        ("openai_node_responses.mjs", "stream"),
        ("openai_python.py", "stream"),
    ],
)
async def test_a_program_gets_an_answer(gateway, scratch, program, scenario):
    seen = await run_program(program, scenario, gateway, scratch)
    assert NO_MODEL in seen["text"], seen


async def test_llm_gets_an_answer(gateway, scratch):
    ended = await Llm(scratch, gateway).run(HELLO)
    assert (ended.status, NO_MODEL in ended.out) == (0, True), ended


async def test_opencode_makes_the_tour_of_a_tool_call(gateway, scratch):
    async with no_outside() as outside:
        run = await OpenCode(scratch, gateway, outside).run("Read notes.txt.")
    assert run.ended.status == 0, run.ended.err
    assert [(tool, status, given) for tool, status, given, _ in run.tools] == [("read", "completed", {"filePath": "notes.txt"})]
    assert "the heron sleeps at noon" in run.text[-1]
    assert NO_MODEL in run.text[-1]


async def test_codex_makes_the_tour_of_a_tool_call(gateway, scratch):
    async with no_outside() as outside:
        run = await Codex(scratch, gateway, outside).run("Count the words of notes.txt.")
    assert run.ended.status == 0, run.ended.err
    assert "tour of a tool call" in run.text[-1], run.ended.out
    assert NO_MODEL in run.text[-1]


async def test_claude_code_makes_the_tour_of_a_tool_call(gateway, scratch):
    async with no_outside() as outside:
        run = await ClaudeCode(scratch, gateway, outside).run("Read notes.txt.")
    assert run.ended.status == 0, run.ended.err
    assert [name for name, _ in run.calls] == ["Read"], run.ended.out
    assert NO_MODEL in run.text[-1]
