"""The AI SDK with `@ai-sdk/openai-compatible`: tools, objects, reasoning, errors and aborts, as its users see them."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import (
    ARCHIPELAGO,
    FENCED_ARCHIPELAGO,
    HALF_A_CALL,
    NOTES,
    OVERLOADED_LATER,
    RATE_LIMIT,
    REFUSED_KEY,
    RETRY_AFTER_SECONDS,
    STORY,
    THOUGHT_FIRST,
)
from tests.clients.client_process import run_program
from tests.clients.scripted_model import Model, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: Model, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("ai_sdk.mjs", scenario, gateway, scratch)


async def test_stream_text_runs_two_rounds_of_tools(scratch, scripted):
    model = scripted(
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
    assert NOTES.strip() in model.results[0]
    assert model.turns == 3


async def test_generate_text_tells_usage_and_what_was_ignored(scratch, scripted):
    seen = await outcome("generate", scripted("Seventeen."), scratch)
    assert (seen["text"], seen["reason"]) == ("Seventeen.", "stop")
    assert seen["usage"]["totalTokens"] == seen["usage"]["inputTokens"] + seen["usage"]["outputTokens"] > 0
    assert seen["headers"]["penstock-ignored"] == "temperature"
    assert seen["id"].startswith("chatcmpl-")


async def test_generate_object_parses_though_the_model_writes_a_fence(scratch, scripted):
    seen = await outcome("object", scripted(FENCED_ARCHIPELAGO), scratch)
    assert seen == {"object": ARCHIPELAGO, "reason": "stop"}


async def test_an_object_that_does_not_fit_is_asked_for_once_more(scratch, scripted):
    model = scripted(FENCED_ARCHIPELAGO, faults=["It is a group of islands."])
    seen = await outcome("object", model, scratch)
    assert seen["object"] == ARCHIPELAGO
    assert model.turns == 2


async def test_reasoning_is_shown_apart(scratch, scripted):
    seen = await outcome("reasoning", scripted(THOUGHT_FIRST), scratch)
    assert (seen["reasoning"], seen["text"]) == ("No prime up to 45 divides it.", "Yes, it is prime.")
    assert seen["parts"].index("reasoning-end") < seen["parts"].index("text-start")


async def test_a_refused_key_is_an_error_that_is_not_retried(scratch, scripted):
    seen = await outcome("error", scripted(REFUSED_KEY), scratch)
    assert "does not accept this key." in seen.pop("message")
    assert seen == {"name": "AI_APICallError", "status": 401, "retryable": False, "tries": 1}


async def test_a_rate_limit_is_an_error_that_may_be_retried(scratch, scripted):
    seen = await outcome("error", scripted(RATE_LIMIT), scratch)
    assert (seen["name"], seen["status"], seen["retryable"]) == ("AI_APICallError", 429, True)


async def test_a_rate_limit_is_waited_for(scratch, scripted):
    # the gateway waits for the first one itself and tells of the second
    model = scripted("Hello again.", faults=[RATE_LIMIT, RATE_LIMIT])
    seen = await outcome("retry", model, scratch)
    assert seen["text"] == "Hello again."
    assert seen["seconds"] >= 2 * RETRY_AFTER_SECONDS
    assert model.turns == 3


async def test_an_unknown_model_is_an_error_at_once(scratch, scripted):
    model = scripted("Hello.")
    seen = await outcome("unknown_model", model, scratch)
    assert (seen["status"], seen["retryable"], seen["tries"]) == (404, False, 1)
    assert "no-such-model" in seen["message"]
    assert model.prompts == []


@pytest.mark.parametrize(("steps", "said"), [(HALF_A_CALL, "closed the connection"), (OVERLOADED_LATER, "not available")], ids=["cut", "overloaded"])
async def test_a_failing_stream_ends_with_an_error_and_runs_no_half_call(scratch, scripted, steps, said):
    seen = await outcome("failing_stream", scripted(steps), scratch)
    assert seen["text"].startswith("Tidying up.")
    assert seen["ran"] == []
    assert len(seen["errors"]) == 1
    assert said in seen["errors"][0]["message"], seen


async def test_an_abort_closes_the_upstream(scratch, scripted):
    model = scripted(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("ai_sdk.mjs", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.left()
    assert seen["text"] == "Once there was"
    assert seen["parts"][-1] == "abort"
