"""openai-agents over Responses: its runner with tools, whole and streamed, an output type, a handoff, and who keeps the history."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, NOTES
from tests.clients.client_process import run_program
from tests.clients.scripted_model import ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: ScriptedModel, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("agents_runner.py", scenario, gateway, scratch)


@pytest.mark.parametrize("scenario", ["plain", "streamed"])
async def test_a_run_makes_two_rounds_of_tools(scratch, scenario):
    model = ScriptedModel(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt")),
        "There are five.",
    )
    seen = await outcome(scenario, model, scratch)
    assert (seen["text"], seen["results"], seen["requests"]) == ("There are five.", [NOTES, "5\n"], 3)
    round_of_tools = ["tool_call_item", "tool_call_output_item"]
    assert seen["items"] == ["message_output_item", *round_of_tools, *round_of_tools, "message_output_item"]
    assert all(tokens > 0 for tokens in seen["tokens"])
    assert (scratch / "count.txt").read_text() == "5\n"
    assert "SYSTEM: You look after the islands." in model.requests[0].text
    if scenario == "streamed":
        assert seen["said"] == "I will read it.There are five."
        assert seen["names"].count("tool_called") == 2


async def test_an_output_type_is_parsed_from_fenced_json(scratch):
    assert await outcome("output_type", ScriptedModel(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_a_handoff_changes_the_agent(scratch):
    model = ScriptedModel(block(call("transfer_to_keeper")), "26 miles.")
    seen = await outcome("handoff", model, scratch)
    assert (seen["text"], seen["last"]) == ("26 miles.", "Keeper")
    assert "SYSTEM: You look after the islands." in model.requests[0].text
    assert "SYSTEM: You keep the lighthouse." in model.requests[1].text


@pytest.mark.parametrize("scenario", ["session", "previous"])
async def test_the_history_is_whole_whoever_keeps_it(scratch, scenario):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome(scenario, model, scratch)
    assert seen["texts"] == ["Yes, it is prime."] * 2
    assert model.requests[1].text.endswith("USER: Is 2027 prime?\n\nASSISTANT: Yes, it is prime.\n\nUSER: And 2029?")


async def test_a_cut_stream_raises_and_calls_no_tool(scratch):
    seen = await outcome("failing", ScriptedModel(HALF_A_CALL), scratch)
    assert seen["error"] == "APIError"
    assert "closed the connection" in seen["message"]
    assert "tool_called" not in seen["names"]
