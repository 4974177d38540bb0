"""Codex, run as `codex exec`, through `/v1/responses`: it really reads, patches and runs what Composer's text asks for."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.answers import (
    ARCHIPELAGO,
    ARCHIPELAGO_SCHEMA,
    DOT,
    FENCED_ARCHIPELAGO,
    NOTES,
    OVERLOADED_LATER,
    RATE_LIMIT,
    REFUSED_KEY,
    THOUGHT_FIRST,
)
from tests.clients.client_process import Ended, Outside, no_outside, run_client
from tests.clients.install import CODEX
from tests.clients.scripted_model import Gateway, ScriptedModel, gateway_over, gateway_to
from tests.clients.shown import shown
from tests.support.composer_scripts import B, S, b, block, call, framed, paced
from tests.support.composer_server import Cut

pytestmark = pytest.mark.clients

QUESTION = "How many words are in notes.txt?"
TRIES_ONCE = ("-c", "model_providers.penstock.stream_max_retries=0")


class Codex:
    """Codex in one scratch folder, with one gateway."""

    def __init__(self, scratch: Path, gateway: Gateway, outside: Outside) -> None:
        self._scratch = scratch
        self._key = {"PENSTOCK_API_KEY": gateway.key}
        self.outside = outside
        home = scratch / ".codex"
        home.mkdir()
        (home / "config.toml").write_text(shown("toml", gateway) + shown("toml", gateway, naming="[features]"))
        (home / "penstock-models.json").write_text(shown("json", gateway, naming='"slug"'))

    async def run(self, question: str, *options: str) -> "Run":
        # its sandbox wants namespaces, which are not to be had in each container; the commands are ours
        command = (str(CODEX), "exec", "--sandbox", "danger-full-access", *options, "--json", "--skip-git-repo-check", question)
        return Run(await run_client(*command, scratch=self._scratch, outside=self.outside, environment=self._key))


class Run(msgspec.Struct, frozen=True):
    """What a run printed, one event a line."""

    ended: Ended

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ended.out.splitlines()]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The complete items of a kind, in order."""
        return [event["item"] for event in self.events if event["type"] == "item.completed" and event["item"]["type"] == kind]

    @property
    def text(self) -> list[str]:
        return [item["text"] for item in self.items("agent_message")]

    @property
    def commands(self) -> list[tuple[str, int]]:
        """What its commands put out, and their exit codes."""
        return [(item["aggregated_output"], item["exit_code"]) for item in self.items("command_execution")]

    @property
    def errors(self) -> list[str]:
        return [event["message"] for event in self.events if event["type"] == "error"]


@asynccontextmanager
async def codex(scratch: Path, model: ScriptedModel) -> AsyncGenerator[Codex, None]:
    async with gateway_to(model, scratch.parent / "gateway") as gateway, no_outside() as outside:
        yield Codex(scratch, gateway, outside)


async def test_it_runs_two_commands_and_ends(scratch):
    model = ScriptedModel(
        "I will read it." + block(call("exec_command", cmd="cat notes.txt")),
        block(call("exec_command", cmd="wc -w < notes.txt | tee count.txt", yield_time_ms="5000")),
        "There are five.",
    )
    async with codex(scratch, model) as client:
        run = await client.run(QUESTION)

    assert run.ended.status == 0, run.ended.err
    assert run.text == ["I will read it.", "There are five."]
    assert run.commands == [(NOTES, 0), ("5\n", 0)]
    assert (scratch / "count.txt").read_text() == "5\n"
    assert (run.items("error"), run.errors) == ([], []), "it knows the model by the page's catalogue, and nothing was sent twice"
    usage = run.events[-1]["usage"]
    assert usage["input_tokens"] > usage["output_tokens"] > 0

    first, second, third = model.requests
    assert QUESTION in first.text
    assert NOTES.strip() in second.text.rpartition("TOOL (exec_command, ")[2]
    assert '"yield_time_ms":5000' in third.text, "a number that the model wrote is one for Codex and in its history"
    assert all(request.agent for request in model.requests)
    assert client.outside.asked == []


async def test_two_calls_of_one_answer_are_both_run(scratch):
    (scratch / "more.txt").write_text("the tide comes at four\n")
    model = ScriptedModel(block(*(call("exec_command", cmd=f"cat {name}.txt") for name in ("notes", "more"))), "Read.")
    async with codex(scratch, model) as client:
        run = await client.run("Read both files.")
    assert sorted(run.commands) == [(NOTES, 0), ("the tide comes at four\n", 0)]
    assert run.text == ["Read."]
    assert len(model.requests) == 2
    results = model.requests[1].text.split("\nTOOL (exec_command, ")[1:]
    assert ["the heron" in results[0], "the tide" in results[1]] == [True, True]


async def test_a_tool_of_a_namespace_is_found_and_its_result_comes_back(scratch):
    model = ScriptedModel(block(call("multi_agent_v1__wait_agent", targets='["nobody"]')), "Nobody is there.")
    async with codex(scratch, model) as client:
        run = await client.run("Wait for the agent.")
    assert run.text == ["Nobody is there."]
    # the words are those of the tool itself; for a name that it does not know Codex says `unsupported call`
    assert "invalid agent id nobody" in model.requests[1].text.rpartition("TOOL (multi_agent_v1__wait_agent, ")[2]


async def test_an_image_that_it_looks_at_reaches_the_model(scratch):
    (scratch / "dot.png").write_bytes(DOT)
    model = ScriptedModel(block(call("view_image", path="dot.png")), "It is a dot.")
    async with codex(scratch, model) as client:
        run = await client.run("What is in dot.png?")
    assert run.text == ["It is a dot."]
    (image,) = model.requests[1].images
    assert (image.width, image.height, image.data[:8]) == (1, 1, DOT[:8])
    assert model.requests[1].text.rpartition("TOOL (view_image, ")[2].endswith(": [image 1]")


async def test_a_patch_is_applied_as_composer_wrote_it(scratch):
    odd = f'MARKS = ["{B}", "{S}"]  # "Grüezi", \\n, {{}} and 🐦'
    patch = f"*** Begin Patch\n*** Update File: notes.txt\n@@\n-{NOTES}+the heron left\n*** Add File: odd.py\n+{odd}\n+\tpass\n*** End Patch"
    model = ScriptedModel(block(call("apply_patch", input=patch)), "Patched.")
    async with codex(scratch, model) as client:
        run = await client.run("Patch the notes.")
    assert [(Path(change["path"]).name, change["kind"]) for item in run.items("file_change") for change in item["changes"]] == [
        ("notes.txt", "update"),
        ("odd.py", "add"),
    ], run.ended.out
    assert (scratch / "notes.txt").read_text() == "the heron left\n"
    assert (scratch / "odd.py").read_text() == f"{odd}\n\tpass\n"
    assert "Success. Updated the following files" in model.requests[1].text.rpartition("TOOL (apply_patch, ")[2]


@pytest.mark.parametrize("kind", ["openai-chat", "openai-responses"])
async def test_its_tools_come_through_an_upstream_of_another_dialect(scratch, kind):
    (scratch / "dot.png").write_bytes(DOT)
    model = ScriptedModel(
        block(call("exec_command", cmd="wc -w < notes.txt"), call("multi_agent_v1__wait_agent", targets='["nobody"]')),
        "(no turn has one result, since the first has two calls)",
        block(call("apply_patch", input=f"*** Begin Patch\n*** Update File: notes.txt\n@@\n-{NOTES}+gone\n*** End Patch")),
        block(call("view_image", path="dot.png")),
        "That was all.",
    )
    async with gateway_over(kind, model, scratch.parent / "gateway") as gateway, no_outside() as outside:
        run = await Codex(scratch, gateway, outside).run("Do all that you can.")

    assert (run.text, run.errors) == (["That was all."], []), run.ended.out
    assert run.commands == [("5\n", 0)]
    assert (scratch / "notes.txt").read_text() == "gone\n"
    last = model.requests[-1]
    results = dict(re.findall(r"^TOOL \((\w+), \w+\): (.*(?:\n.+)*)", last.text, re.MULTILINE))
    assert results["exec_command"].endswith("Output:\n5")
    assert results["multi_agent_v1__wait_agent"].startswith("invalid agent id nobody")
    assert "Success. Updated the following files" in results["apply_patch"]
    assert [image.data[:8] for image in last.images] == [DOT[:8]]


@pytest.mark.parametrize(
    "half",
    [
        f"{b}\nexec_command\n{S}cmd\nrm notes.txt",
        f"{b}\napply_patch\n{S}input\n*** Begin Patch\n*** Delete File: notes.txt\n*** End Patch",
    ],
    ids=["command", "patch"],
)
async def test_half_a_call_is_not_run_and_the_request_is_sent_again(scratch, half):
    model = ScriptedModel("I did nothing.", faults=[paced(framed(f"Tidying up.{B}{half}"), Cut())])
    async with codex(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert (scratch / "notes.txt").exists()
    assert (run.commands, run.items("file_change")) == ([], [])
    assert run.text[-1] == "I did nothing."
    (error,) = run.errors
    assert "The upstream closed the connection before its answer was complete." in error
    assert len(model.requests) == 2


async def test_an_upstream_that_breaks_off_is_asked_again(scratch):
    model = ScriptedModel("Tidy.", faults=[OVERLOADED_LATER])
    async with codex(scratch, model) as client:
        run = await client.run("Tidy up.")
    assert run.text[-1] == "Tidy."
    assert len(run.errors) == 1
    assert "not available" in run.errors[0]


async def test_a_limit_is_outlived(scratch):
    # the gateway waits for the first one itself and tells of the second
    model = ScriptedModel("There are five.", faults=[RATE_LIMIT, RATE_LIMIT])
    async with codex(scratch, model) as client:
        run = await client.run(QUESTION)
    assert run.text == ["There are five."], run.ended.out
    assert len(run.errors) == 1
    assert "429 Too Many Requests" in run.errors[0]
    assert len(model.requests) == 3


async def test_a_refused_key_ends_it_with_the_reason(scratch):
    model = ScriptedModel(REFUSED_KEY)
    async with codex(scratch, model) as client:
        run = await client.run(QUESTION, *TRIES_ONCE)
    assert run.ended.status == 1
    assert run.events[-1]["type"] == "turn.failed"
    assert "401 Unauthorized: The upstream does not accept this key." in run.events[-1]["error"]["message"]
    assert len(model.requests) == 1


async def test_an_unknown_model_ends_it_with_the_reason(scratch):
    model = ScriptedModel("Hello.")
    async with codex(scratch, model) as client:
        run = await client.run(QUESTION, "--model", "no-such-model", *TRIES_ONCE)
    assert run.ended.status == 1
    assert "no-such-model" in run.events[-1]["error"]["message"]
    assert model.requests == []


async def test_reasoning_is_shown_apart(scratch):
    async with codex(scratch, ScriptedModel(THOUGHT_FIRST)) as client:
        run = await client.run("Is 2027 prime?")
    assert [item["text"] for item in run.items("reasoning")] == ["No prime up to 45 divides it."]
    assert run.text == ["Yes, it is prime."]


async def test_an_answer_of_a_schema_is_what_the_schema_says(scratch):
    (scratch / "schema.json").write_text(json.dumps(ARCHIPELAGO_SCHEMA))
    async with codex(scratch, ScriptedModel(FENCED_ARCHIPELAGO)) as client:
        run = await client.run("Describe the archipelago.", "--output-schema", "schema.json", "--output-last-message", "last.json")
    assert run.ended.status == 0, run.ended.err
    assert json.loads((scratch / "last.json").read_text()) == ARCHIPELAGO


async def test_a_session_goes_on_with_all_that_was_said(scratch):
    model = ScriptedModel(block(call("exec_command", cmd="cat notes.txt")), "There are five.")
    async with codex(scratch, model) as client:
        first = await client.run(QUESTION)
        again = await client.run("And without the articles?", "resume", "--last")
    assert (first.text, again.text) == (["There are five."], ["There are five."])
    _, _, third = model.requests
    history = third.text.rpartition(QUESTION)[2]
    assert NOTES.strip() in history
    assert history.index("ASSISTANT: There are five.") < history.index("USER: And without the articles?")
