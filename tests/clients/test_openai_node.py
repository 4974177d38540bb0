"""openai-node: its tool runner, streams, helpers and errors."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, NOTES, RATE_LIMIT, REFUSED_KEY, STORY
from tests.clients.client_process import run_program
from tests.clients.scripted_model import Model, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: Model, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("openai_node.mjs", scenario, gateway, scratch)


@pytest.mark.parametrize("scenario", ["run_tools", "run_tools_streamed"])
async def test_run_tools_makes_two_rounds(scratch, scripted, scenario):
    model = scripted(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt")),
        "There are five.",
    )
    seen = await outcome(scenario, model, scratch)
    assert seen["text"] == "There are five."
    assert seen["results"] == [NOTES, "5\n"]
    assert seen["roles"] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert (seen["chunks"] > 10) == (scenario == "run_tools_streamed")
    assert (scratch / "count.txt").read_text() == "5\n"
    assert NOTES.strip() in model.results[0]


async def test_a_plain_answer_and_its_headers(scratch, scripted):
    seen = await outcome("plain", scripted("Seventeen."), scratch)
    assert (seen["text"], seen["ignored"]) == ("Seventeen.", "temperature")
    assert seen["usage"]["total_tokens"] > 0
    assert seen["request_id"]


async def test_a_stream(scratch, scripted):
    text = "There are seventeen islands. " * 30
    seen = await outcome("stream", scripted(text), scratch)
    assert (seen["text"], seen["reasons"]) == (text, ["stop"])
    assert seen["chunks"] > 50
    assert seen["usage"]["completion_tokens"] > 100


async def test_the_stream_helper_assembles_parallel_calls(scratch, scripted):
    seen = await outcome("helper", scripted("Both." + block(*(call("read_file", path=path) for path in ("a.txt", "b.txt")))), scratch)
    assert seen["done"] == [["read_file", {"path": "a.txt"}], ["read_file", {"path": "b.txt"}]]
    assert len({call_id for call_id, _ in seen["calls"]}) == 2
    assert seen["content"] == "Both."


async def test_a_zod_schema_is_parsed_from_fenced_json(scratch, scripted):
    assert await outcome("parse", scripted(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_models_are_listed_and_found(scratch, scripted):
    seen = await outcome("models", scripted("-"), scratch)
    assert "composer-2.5" in seen["models"]
    assert seen["one"] == "composer-2.5"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(REFUSED_KEY, ("AuthenticationError", 401, "invalid_api_key")), (RATE_LIMIT, ("RateLimitError", 429, "rate_limit_exceeded"))],
    ids=["401", "429"],
)
async def test_errors_are_of_their_class(scratch, scripted, fault, expected):
    seen = await outcome("error", scripted(fault), scratch)
    assert (seen["name"], seen["status"], seen["code"]) == expected


async def test_a_cut_stream_rejects_and_finishes_no_call(scratch, scripted):
    seen = await outcome("failing_stream", scripted(HALF_A_CALL), scratch)
    assert seen["done"] == []
    assert "closed the connection" in seen["error"]["message"]


async def test_leaving_a_stream_closes_the_upstream(scratch, scripted):
    model = scripted(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_node.mjs", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.left()
    assert seen == {"text": "Once there was"}
