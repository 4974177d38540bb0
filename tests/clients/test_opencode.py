"""OpenCode, run as `opencode run`, through `/opencode/v1`, over either dialect: it really reads, writes and runs what Composer's text asks for."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.answers import RATE_LIMIT, REFUSED_KEY
from tests.clients.client_process import Ended, Outside, no_outside, run_client
from tests.clients.install import OPENCODE
from tests.clients.scripted_model import TITLE, Gateway, Model, ScriptedModel, gateway_to
from tests.clients.shown import shown
from tests.support.composer_scripts import B, S, b, block, call, framed, paced
from tests.support.composer_server import Cut

pytestmark = pytest.mark.clients

# what docs/clients.md says for working without the network
OFFLINE = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}
QUESTION = "How many words are in notes.txt?"
CHAT, RESPONSES = "@ai-sdk/openai-compatible", "@ai-sdk/openai"
"""The provider's package chooses the dialect; the configuration is the same."""

over_either = pytest.mark.parametrize("package", [CHAT, RESPONSES], ids=["chat", "responses"])


class OpenCode:
    """OpenCode in one scratch folder, with one gateway."""

    def __init__(self, scratch: Path, gateway: Gateway, outside: Outside, package: str = CHAT) -> None:
        self._scratch = scratch
        self.outside = outside
        settings = shown("json", gateway)
        assert f'"npm": "{CHAT}"' in settings
        (scratch / "opencode.json").write_text(settings.replace(f'"npm": "{CHAT}"', f'"npm": "{package}"'))

    async def run(self, question: str, *options: str) -> "Run":
        command = (str(OPENCODE), "run", "--format", "json", "--auto", *options, question)
        return Run(await run_client(*command, scratch=self._scratch, outside=self.outside, environment=OFFLINE))


class Run(msgspec.Struct, frozen=True):
    """What a run printed, one event a line."""

    ended: Ended

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ended.out.splitlines()]

    @property
    def text(self) -> list[str]:
        return [event["part"]["text"] for event in self.events if event["type"] == "text"]

    @property
    def tools(self) -> list[tuple[str, str, dict[str, Any], str]]:
        parts = [event["part"] for event in self.events if event["type"] == "tool_use"]
        return [(part["tool"], part["state"]["status"], part["state"]["input"], part["state"].get("output", "")) for part in parts]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [event["error"] for event in self.events if event["type"] == "error"]


@asynccontextmanager
async def opencode(scratch: Path, model: Model, package: str = CHAT) -> AsyncGenerator[OpenCode, None]:
    async with gateway_to(model, scratch.parent / "gateway") as gateway, no_outside() as outside:
        yield OpenCode(scratch, gateway, outside, package)


@over_either
async def test_it_reads_a_file_runs_a_command_and_ends(scratch, scripted, package):
    notes = str(scratch / "notes.txt")
    # OpenCode's own bash tool has no `description`, as those of its relatives do: a model writes it all the same, and it must not become shell text
    counting = call("bash", command="wc -w < notes.txt | tee count.txt", description="Count words")
    model = scripted("I will read it." + block(call("read", filePath=notes)), block(counting), "There are five.")
    async with opencode(scratch, model, package) as client:
        run = await client.run(QUESTION)

    assert run.ended.status == 0, run.ended.err
    assert run.text == ["I will read it.", "There are five."]
    (read, *_, shown), (bash, *_, counted) = run.tools
    assert (read, bash) == ("read", "bash")
    assert "the heron sleeps at noon" in shown
    assert counted == "5\n"
    assert (scratch / "count.txt").read_text() == "5\n"

    assert QUESTION in model.prompts[0]
    assert "the heron sleeps at noon" in model.results[0]
    assert model.results[1].strip() == "5"
    assert model.turns == 3
    if isinstance(model, ScriptedModel):
        assert all(request.agent for request in model.requests)
    else:
        # the agent's one run has waited for its tools: it was told the conversation once, and no request began another
        assert len(model.prompts) == 1
        assert [result.name for run in model.runs for result in run.results] == ["read", "bash"]
    # it asks for the package of its plugins, whatever it is told, and goes on without
    assert len(set(client.outside.asked)) <= 1, client.outside.asked


@over_either
async def test_its_title_request_is_another_conversation_and_its_turns_are_one(scratch, package):
    model = ScriptedModel(block(call("read", filePath=str(scratch / "notes.txt"))), "Five.")
    async with opencode(scratch, model, package) as client:
        first = await client.run(QUESTION)
        again = await client.run("And without the articles?", "--continue")
        listed = await run_client(str(OPENCODE), "session", "list", "--format", "json", scratch=scratch, outside=client.outside, environment=OFFLINE)

    assert (first.text, again.text) == (["Five."], ["Five."])
    assert model.turns == 3
    assert len(model.titles) == 1
    assert len({request.conversation_id for request in model.requests}) == 1
    assert model.titles[0].conversation_id != model.requests[0].conversation_id
    assert "And without the articles?" in model.requests[2].text
    assert [session["title"] for session in json.loads(listed.out)] == [TITLE]


@over_either
async def test_two_calls_of_one_answer_are_both_run(scratch, scripted, package):
    (scratch / "more.txt").write_text("the tide comes at four\n")
    files = [str(scratch / name) for name in ("notes.txt", "more.txt")]
    model = scripted(block(*(call("read", filePath=file) for file in files)), "Read.")
    async with opencode(scratch, model, package) as client:
        run = await client.run("Read both files.")

    # it runs them side by side, and tells them as they end
    assert sorted((tool, status, given["filePath"]) for tool, status, given, _ in run.tools) == sorted(("read", "completed", file) for file in files)
    assert run.text == ["Read."]
    assert model.turns == 2
    assert ["the heron" in model.results[0], "the tide" in model.results[1]] == [True, True]


async def test_what_it_writes_is_what_composer_wrote(scratch, scripted):
    content = f'MARKS = ["{B}", "{S}"]\n\n\ndef greet(name: str) -> str:\n\treturn f"Grüezi, {{name}}! \\\\ \\n 🐦" # </think>\n'
    model = scripted(block(call("write", filePath=str(scratch / "greet.py"), content=content)), "Written.")
    async with opencode(scratch, model) as client:
        run = await client.run("Write greet.py.")
    assert [status for _, status, _, _ in run.tools] == ["completed"], run.ended.out
    assert (scratch / "greet.py").read_text() == content


HALF_A_COMMAND = paced(framed(f"Tidying up.\n{B}{b}\nbash\n{S}description\nTidy\n{S}command\nrm notes.txt"), Cut())


async def test_half_a_command_is_not_run(scratch, scripted):
    model = scripted("I did nothing.", faults=[HALF_A_COMMAND])
    async with opencode(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert (scratch / "notes.txt").exists()
    assert run.tools == []
    assert run.ended.status == 1
    assert "closed the connection before its answer was complete" in run.errors[0]["data"]["message"]


async def test_over_responses_half_a_command_is_not_run_and_the_request_is_sent_again(scratch, scripted):
    model = scripted("I did nothing.", faults=[HALF_A_COMMAND])
    async with opencode(scratch, model, RESPONSES) as client:
        run = await client.run("Tidy up.")
    assert (scratch / "notes.txt").exists()
    # it has seen Composer's call begin, and shows it as one that was broken off, with nothing in it; an agent's is whole or not there
    assert run.tools == ([("bash", "error", {}, "")] if scripted is ScriptedModel else [])
    assert run.text[-1] == "I did nothing."
    assert run.ended.status == 0
    assert model.turns == 2


async def test_it_waits_as_long_as_a_limit_asks_and_goes_on(scratch, scripted):
    # the gateway waits for the first one itself and tells of the second
    model = scripted("There are five.", faults=[RATE_LIMIT, RATE_LIMIT])
    async with opencode(scratch, model) as client:
        run = await client.run(QUESTION)
    assert run.text == ["There are five."], run.ended.out
    assert model.turns == 3


async def test_a_refused_key_stops_it_with_the_reason(scratch, scripted):
    model = scripted(REFUSED_KEY)
    async with opencode(scratch, model) as client:
        run = await client.run(QUESTION)
    assert run.ended.status == 1
    (error,) = run.errors
    assert error["data"]["statusCode"] == 401
    assert "does not accept this key." in error["data"]["message"]
