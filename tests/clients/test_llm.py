"""`llm`, the command: prompts, conversations, tools and schemas, with Penstock as an extra OpenAI model."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, REFUSED_KEY
from tests.clients.client_process import Ended, run_client
from tests.clients.install import PROGRAMS, PYTHON
from tests.clients.scripted_model import Gateway, Model, gateway_to
from tests.clients.shown import shown
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


class Llm:
    """The command, with its settings in one folder."""

    def __init__(self, scratch: Path, gateway: Gateway) -> None:
        self._scratch = scratch
        self._settings = scratch / "llm"
        self._settings.mkdir()
        (self._settings / "extra-openai-models.yaml").write_text(shown("yaml", gateway))
        (self._settings / "keys.json").write_text(json.dumps({"penstock": gateway.key}))

    async def run(self, *arguments: str) -> Ended:
        command = (str(PYTHON), "-m", "llm", "-m", "composer", *arguments)
        return await run_client(*command, scratch=self._scratch, environment={"LLM_USER_PATH": str(self._settings)})


@asynccontextmanager
async def llm(scratch: Path, model: Model) -> AsyncGenerator[Llm, None]:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        yield Llm(scratch, gateway)


@pytest.mark.parametrize("options", [(), ("--no-stream",)], ids=["streamed", "whole"])
async def test_a_prompt(scratch, scripted, options):
    text = "Seventeen, if you count the skerry. " * 10
    async with llm(scratch, scripted(text)) as client:
        ended = await client.run(*options, "How many islands?")
    assert (ended.status, ended.out.rstrip(), ended.err) == (0, text.rstrip(), "")


async def test_a_conversation_goes_on(scratch, scripted):
    model = scripted("Seventeen.")
    async with llm(scratch, model) as client:
        await client.run("How many islands?")
        ended = await client.run("-c", "And harbours?")
    assert ended.status == 0, ended.err
    assert "USER: How many islands?\n\nASSISTANT: Seventeen.\n\nUSER: And harbours?" in model.prompts[1]


@pytest.mark.parametrize("options", [(), ("--no-stream",)], ids=["streamed", "whole"])
async def test_functions_are_called_twice_in_turn(scratch, scripted, options):
    model = scripted(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("count_words", text="the heron sleeps at noon", at_least="4")),
        "Three of them.",
    )
    async with llm(scratch, model) as client:
        ended = await client.run("--functions", str(PROGRAMS / "llm_tools.py"), "--td", *options, "How many long words are in notes.txt?")
    assert ended.status == 0, ended.err
    assert ended.out.rstrip().endswith("Three of them.")
    assert "Tool call: read_file({'path': 'notes.txt'})" in ended.err
    assert "Tool call: count_words({'text': 'the heron sleeps at noon', 'at_least': 4})" in ended.err
    assert model.results[1].strip() == "3"


@pytest.mark.parametrize("options", [(), ("--no-stream",)], ids=["streamed", "whole"])
async def test_a_schema_gives_json_though_the_model_writes_a_fence(scratch, scripted, options):
    async with llm(scratch, scripted(FENCED_ARCHIPELAGO)) as client:
        schema = {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "people": {"type": "integer"},
                "islands": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name", "people", "islands"],
        }
        ended = await client.run("--schema", json.dumps(schema), *options, "Describe the archipelago.")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out) == ARCHIPELAGO


@pytest.mark.parametrize(("answer", "said"), [(REFUSED_KEY, "does not accept this key"), (HALF_A_CALL, "closed the connection")], ids=["401", "cut"])
async def test_a_fault_is_told(scratch, scripted, answer, said):
    async with llm(scratch, scripted(answer)) as client:
        ended = await client.run("Hello")
    assert ended.status == 1
    assert said in ended.err
