"""The AI SDK with OpenAI's own provider, which speaks Responses: tools, objects, reasoning, what it refers to, errors and aborts."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, NOTES, OVERLOADED_LATER, RATE_LIMIT, REFUSED_KEY, STORY, THOUGHT_FIRST
from tests.clients.client_process import run_program
from tests.clients.scripted_model import ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients

BOTH_TURNS = "USER: Is 2027 prime?\n\nASSISTANT: Yes, it is prime.\n\nUSER: And 2029?"


async def outcome(scenario: str, model: ScriptedModel, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("ai_sdk_responses.mjs", scenario, gateway, scratch)


async def test_stream_text_runs_two_rounds_of_tools(scratch):
    model = ScriptedModel(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt", timeout="1000")),
        "There are five.",
    )
    seen = await outcome("tools", model, scratch)
    assert [(step["text"], step["calls"], step["results"]) for step in seen["steps"]] == [
        ("I will read it.", [{"name": "read_file", "input": {"path": "notes.txt"}}], [NOTES]),
        ("", [{"name": "run", "input": {"command": "wc -w < notes.txt | tee count.txt", "timeout": 1000}}], ["5\n"]),
        ("There are five.", [], []),
    ]
    assert [step["reason"] for step in seen["steps"]] == ["tool-calls", "tool-calls", "stop"]
    assert seen["parts"].count("text-start") == 2, "no text part is opened for a step of calls alone"
    assert "error" not in seen["parts"]
    assert all(tokens > 0 for step in seen["usage"] for tokens in step)
    assert (scratch / "count.txt").read_text() == "5\n"
    history = model.requests[2].text.rpartition("Read notes.txt, then count its words.")[2]
    assert history.index("ASSISTANT: I will read it.") < history.index(NOTES.strip()) < history.index(": 5\n")


async def test_generate_text_tells_usage_and_what_was_ignored(scratch):
    seen = await outcome("generate", ScriptedModel("Seventeen."), scratch)
    assert (seen["text"], seen["reason"]) == ("Seventeen.", "stop")
    assert seen["usage"]["totalTokens"] == seen["usage"]["inputTokens"] + seen["usage"]["outputTokens"] > 0
    assert seen["headers"]["penstock-ignored"] == "temperature"
    assert seen["id"].startswith("resp_")


async def test_generate_object_parses_though_the_model_writes_a_fence(scratch):
    seen = await outcome("object", ScriptedModel(FENCED_ARCHIPELAGO), scratch)
    assert seen == {"object": ARCHIPELAGO, "reason": "stop"}


async def test_reasoning_is_shown_apart(scratch):
    seen = await outcome("reasoning", ScriptedModel(THOUGHT_FIRST), scratch)
    assert (seen["reasoning"], seen["text"]) == ("No prime up to 45 divides it.", "Yes, it is prime.")
    assert seen["parts"].index("reasoning-end") < seen["parts"].index("text-start")


@pytest.mark.parametrize(("scenario", "sent"), [("stored", "item_reference"), ("not_stored", "assistant")])
async def test_an_answer_is_part_of_the_history_whether_it_is_named_or_said_again(scratch, scenario, sent):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome(scenario, model, scratch)
    assert (seen["sent"], seen["notices"]) == (["user", sent, "user"], None)
    assert model.requests[1].text.endswith(BOTH_TURNS)


async def test_what_it_names_without_having_had_it_stored_is_an_error_that_says_so(scratch):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome("unsaid", model, scratch)
    assert seen["status"] == 404
    assert "store: true" in seen["message"]
    assert len(model.requests) == 1


async def test_a_stored_response_is_gone_on_with(scratch):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome("previous", model, scratch)
    assert seen["sent"] == ["user"]
    assert model.requests[1].text.endswith(BOTH_TURNS)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (REFUSED_KEY, (401, "The upstream does not accept this key.", False)),
        (RATE_LIMIT, (429, "The upstream limits the rate of requests.", True)),
    ],
    ids=["401", "429"],
)
async def test_a_fault_is_an_error_that_says_whether_it_may_be_retried(scratch, fault, expected):
    seen = await outcome("error", ScriptedModel(fault), scratch)
    assert (seen["name"], seen["status"], seen["message"], seen["retryable"]) == ("AI_APICallError", *expected)


@pytest.mark.parametrize(("steps", "said"), [(HALF_A_CALL, "closed the connection"), (OVERLOADED_LATER, "not available")], ids=["cut", "overloaded"])
async def test_a_failing_stream_ends_with_an_error_and_runs_no_half_call(scratch, steps, said):
    seen = await outcome("failing_stream", ScriptedModel(steps), scratch)
    assert seen["text"].startswith("Tidying up.")
    assert seen["ran"] == []
    assert len(seen["errors"]) == 1
    assert said in seen["errors"][0]["message"], seen


async def test_an_abort_closes_the_upstream(scratch):
    model = ScriptedModel(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("ai_sdk_responses.mjs", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.received[0].gone.wait()
    assert seen["text"] == "Once there was"
    assert seen["parts"][-1] == "abort"
