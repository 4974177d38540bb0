"""openai-node's Responses API: its streams and helpers, what can be asked of a response afterwards, and its errors."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, NOTES, RATE_LIMIT, REFUSED_KEY, STORY
from tests.clients.client_process import run_program
from tests.clients.scripted_model import ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: ScriptedModel, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("openai_node_responses.mjs", scenario, gateway, scratch)


async def test_a_plain_answer_and_its_headers(scratch):
    seen = await outcome("plain", ScriptedModel("Seventeen."), scratch)
    assert (seen["text"], seen["status"], seen["ignored"]) == ("Seventeen.", "completed", "temperature")
    assert seen["usage"]["total_tokens"] > 0
    assert seen["request_id"]


async def test_the_stream_helper_makes_two_rounds_of_tools(scratch):
    model = ScriptedModel(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt")),
        "There are five.",
    )
    seen = await outcome("tools", model, scratch)
    assert (seen["text"], seen["results"]) == ("There are five.", [NOTES, "5\n"])
    assert {"response.function_call_arguments.done", "response.output_text.done", "response.completed"} <= set(seen["types"])
    assert (scratch / "count.txt").read_text() == "5\n"
    history = model.requests[2].text.rpartition("Read notes.txt, then count its words.")[2]
    assert history.index("ASSISTANT: I will read it.") < history.index(NOTES.strip()) < history.index(": 5\n")


async def test_a_stream(scratch):
    text = "There are seventeen islands. " * 30
    seen = await outcome("stream", ScriptedModel(text), scratch)
    assert seen["text"] == text
    assert seen["numbers"] == list(range(len(seen["numbers"])))
    assert len(seen["numbers"]) > 50
    assert seen["usage"]["output_tokens"] > 100


async def test_a_zod_schema_is_parsed_from_fenced_json(scratch):
    assert await outcome("parse", ScriptedModel(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_a_stored_response_is_gone_on_with_read_and_deleted(scratch):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome("stored", model, scratch)
    assert seen["texts"] == ["Yes, it is prime."] * 3
    assert model.requests[1].text.endswith("USER: Is 2027 prime?\n\nASSISTANT: Yes, it is prime.\n\nUSER: And 2029?")
    assert (seen["gone"]["name"], seen["gone"]["status"]) == ("NotFoundError", 404)


async def test_a_cancelled_response_ends_and_closes_the_upstream(scratch):
    model = ScriptedModel(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_node_responses.mjs", "cancel", gateway, scratch)
        with trio.fail_after(1):
            await model.received[0].gone.wait()
    assert (seen["text"], seen["status"], seen["read"]) == ("Once there was", "cancelled", "cancelled")
    assert seen["ended"]["code"] == "response_cancelled"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(REFUSED_KEY, ("AuthenticationError", 401, "invalid_api_key")), (RATE_LIMIT, ("RateLimitError", 429, "rate_limit_exceeded"))],
    ids=["401", "429"],
)
async def test_errors_are_of_their_class(scratch, fault, expected):
    seen = await outcome("error", ScriptedModel(fault), scratch)
    assert (seen["name"], seen["status"], seen["code"]) == expected


async def test_a_cut_stream_rejects_and_finishes_no_call(scratch):
    seen = await outcome("failing_stream", ScriptedModel(HALF_A_CALL), scratch)
    assert seen["done"] == ["message"]
    assert seen["error"]["code"] == "upstream_stream_cut"
    assert "closed the connection" in seen["error"]["message"]


async def test_leaving_a_stream_closes_the_upstream(scratch):
    model = ScriptedModel(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_node_responses.mjs", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.received[0].gone.wait()
    assert seen == {"text": "Once there was"}
