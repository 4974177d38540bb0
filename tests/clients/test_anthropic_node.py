"""Anthropic's SDK for Node over `/v1/messages`: plain, streamed, its helper and its tool runner, errors, retries and abort."""

from pathlib import Path
from typing import Any

import pytest
import trio

from pipeline.wire.composer import encode_thinking
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
    UNAVAILABLE,
)
from tests.clients.client_process import run_program
from tests.clients.scripted_model import Model, ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call, framed, paced

pytestmark = pytest.mark.clients

PROGRAM = "anthropic_node.mjs"


async def outcome(scenario: str, model: Model, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program(PROGRAM, scenario, gateway, scratch)


async def test_a_plain_answer_and_its_headers(scratch, scripted):
    seen = await outcome("plain", scripted("Seventeen."), scratch)
    message = seen["message"]
    assert message["content"] == [{"type": "text", "text": "Seventeen."}]
    assert (message["role"], message["stop_reason"], seen["ignored"]) == ("assistant", "end_turn", "metadata")
    assert message["usage"]["input_tokens"] > 0 < message["usage"]["output_tokens"]
    assert seen["request_id"]


async def test_a_stream(scratch, scripted):
    text = "There are seventeen islands. " * 30
    seen = await outcome("stream", scripted(text), scratch)
    assert (seen["text"], seen["reason"]) == (text, "end_turn")
    assert seen["pieces"] > 50
    assert seen["usage"]["output_tokens"] > 100


async def test_the_stream_helper_adds_up_to_the_whole_answer(scratch, scripted):
    spoken = framed("Both." + block(call("read_file", path="a.txt"), call("grep", pattern='b"\\\n|ö')))
    seen = await outcome("helper", scripted(paced([*framed("Two things.", encode_thinking), *spoken])), scratch)
    assert seen["streamed"] == [
        {"type": "thinking", "thinking": "Two things.", "signature": ""},
        {"type": "text", "text": "Both."},
        {"type": "tool_use", "name": "read_file", "input": {"path": "a.txt"}},
        {"type": "tool_use", "name": "grep", "input": {"pattern": 'b"\\\n|ö'}},
    ]
    assert seen["whole"] == seen["streamed"]
    assert seen["ended"] == ["thinking", "text", "tool_use", "tool_use"]
    assert seen["said"] == "Both."
    assert seen["inputs"].startswith('{"path":')
    assert seen["reasons"] == ["tool_use", "tool_use"]


@pytest.mark.parametrize("scenario", ["runner", "runner_streamed"])
async def test_the_tool_runner_makes_two_rounds(scratch, scripted, scenario):
    model = scripted(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt")),
        "There are five.",
    )
    seen = await outcome(scenario, model, scratch)
    assert seen == {"texts": ["I will read it.", "", "There are five."], "reasons": ["tool_use", "tool_use", "end_turn"]}
    assert (scratch / "count.txt").read_text() == "5\n"
    assert [result.strip() for result in model.results] == [NOTES.strip(), "5"]


async def test_a_zod_schema_is_parsed_from_fenced_json(scratch, scripted):
    assert await outcome("parse", scripted(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_tokens_are_counted(scratch):
    assert 0 < await outcome("count", ScriptedModel("-"), scratch) < 200


async def test_models_are_listed_page_by_page_and_found(scratch):
    seen = await outcome("models", ScriptedModel("-"), scratch)
    assert len(seen["listed"]) == len(set(seen["listed"])) > 1
    assert (seen["one"]["id"], seen["one"]["display_name"]) == ("composer-2.5", "Composer 2.5")
    assert (seen["unknown"]["name"], seen["unknown"]["status"], seen["unknown"]["type"]) == ("NotFoundError", 404, "not_found_error")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (REFUSED_KEY, ("AuthenticationError", 401, "invalid_api_key", "authentication_error")),
        (RATE_LIMIT, ("RateLimitError", 429, "rate_limit_exceeded", "rate_limit_error")),
        (UNAVAILABLE, ("ServiceUnavailableError", 503, "upstream_unavailable", "overloaded_error")),
    ],
    ids=["401", "429", "503"],
)
async def test_errors_are_of_their_class(scratch, scripted, fault, expected):
    seen = await outcome("error", scripted(fault), scratch)
    assert (seen["name"], seen["status"], seen["code"], seen["type"]) == expected
    assert seen["request_id"]


async def test_a_rate_limit_is_waited_for(scratch, scripted):
    # the gateway waits for the first one itself and tells of the second
    model = scripted("Hello again.", faults=[RATE_LIMIT, RATE_LIMIT])
    seen = await outcome("retry", model, scratch)
    assert seen["text"] == "Hello again."
    assert seen["seconds"] >= 2 * RETRY_AFTER_SECONDS
    assert model.turns == 3


@pytest.mark.parametrize(
    ("steps", "said", "kind", "code"),
    [
        (HALF_A_CALL, "closed the connection", "api_error", "upstream_stream_cut"),
        (OVERLOADED_LATER, "not available", "overloaded_error", "upstream_unavailable"),
    ],
    ids=["cut", "overloaded"],
)
async def test_a_failing_stream_rejects_and_finishes_no_call(scratch, scripted, steps, said, kind, code):
    seen = await outcome("failing_stream", scripted(steps), scratch)
    assert seen["said"].startswith("Tidying up.")
    assert set(seen["ended"]) <= {"text"}
    assert (seen["error"]["type"], seen["error"]["code"]) == (kind, code)
    assert said in seen["error"]["message"]


async def test_the_tool_runner_runs_no_half_call(scratch, scripted):
    model = scripted(HALF_A_CALL)
    seen = await outcome("failing_runner", model, scratch)
    assert seen["error"]["code"] == "upstream_stream_cut"
    assert (scratch / "notes.txt").exists()
    assert model.turns == 1


async def test_an_abort_closes_the_upstream(scratch, scripted):
    model = scripted(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program(PROGRAM, "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.left()
    assert seen == {"said": "Once there was", "error": "APIUserAbortError"}
