"""Anthropic's Python SDK over `/v1/messages`: plain, streamed, with its helpers and its tool runner, many at once, and its errors."""

import re
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

PROGRAM = "anthropic_python.py"


async def outcome(scenario: str, model: Model, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program(PROGRAM, scenario, gateway, scratch)


async def test_a_plain_answer_and_its_headers(scratch, scripted):
    seen = await outcome("plain", scripted("Seventeen."), scratch)
    message = seen["message"]
    assert message["content"] == [{"type": "text", "text": "Seventeen."}]
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "composer-2.5")
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["id"].startswith("msg_")
    assert message["usage"]["input_tokens"] > 0 < message["usage"]["output_tokens"]
    assert message["usage"]["estimated"] is True
    assert set(seen["headers"]["penstock-ignored"].split(", ")) == {"temperature", "metadata"}
    assert seen["request_id"] == seen["headers"]["request-id"]


async def test_a_stream_arrives_in_pieces_and_ends_with_usage(scratch, scripted):
    text = "There are seventeen islands, and the smallest of them has a lighthouse, a goat and no harbour. " * 20
    seen = await outcome("stream", scripted(text), scratch)
    assert seen["text"] == text
    assert seen["seconds"] > 0.1, "it came all at once"
    blocks = ["content_block_delta", "content_block_start", "content_block_stop"]
    assert seen["kinds"] == [*blocks, "message_delta", "message_start", "message_stop"]
    assert seen["reason"] == "end_turn"
    assert seen["usage"]["output_tokens"] > 100


async def test_the_stream_helper_adds_up_to_the_whole_answer(scratch, scripted):
    spoken = framed("Both." + block(call("read_file", path="a.txt", lines="12"), call("grep", pattern='b"\\\n|ö')))
    seen = await outcome("helper", scripted(paced([*framed("Two things.", encode_thinking), *spoken])), scratch)
    assert seen["streamed"] == [
        {"type": "thinking", "thinking": "Two things.", "signature": ""},
        {"type": "text", "text": "Both."},
        {"type": "tool_use", "name": "read_file", "input": {"path": "a.txt", "lines": 12}},
        {"type": "tool_use", "name": "grep", "input": {"pattern": 'b"\\\n|ö'}},
    ]
    assert seen["whole"] == seen["streamed"]
    assert seen["ended"] == ["thinking", "text", "tool_use", "tool_use"]
    assert {"thinking", "text", "input_json", "message_stop"} <= set(seen["kinds"])
    assert seen["reasons"] == ["tool_use", "tool_use"]
    assert len(set(seen["ids"])) == 2
    assert seen["usage"][0]["input_tokens"] == seen["usage"][1]["input_tokens"] > 0


async def test_the_blocks_of_an_answer_are_taken_back(scratch, scripted):
    calls = framed("Both." + block(call("read_file", path="a.txt"), call("read_file", path="b.txt")))
    model = scripted(paced([*framed("Two files.", encode_thinking), *calls]), "-", "There is one.")
    assert await outcome("told_back", model, scratch) == {"text": "There is one."}
    assert sorted(result.strip() for result in model.results) == ["no such file", "the heron sleeps"]
    if isinstance(model, ScriptedModel):
        assert "failed): no such file" in model.prompts[-1]


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


@pytest.mark.parametrize("scenario", ["parse", "parse_stream"])
async def test_a_pydantic_model_is_parsed_from_fenced_json(scratch, scripted, scenario):
    assert await outcome(scenario, scripted(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_a_stop_sequence_is_named(scratch):
    seen = await outcome("stop", ScriptedModel("one two three four five nine"), scratch)
    assert seen == [["one two three ", "stop_sequence", "four"]] * 2


async def test_a_limit_ends_an_answer(scratch):
    seen = await outcome("limited", ScriptedModel("Once there was an island with a lighthouse, a goat and no harbour. " * 5), scratch)
    assert seen["reason"] == "max_tokens"
    assert 0 < len(seen["text"]) < 60


async def test_tokens_are_counted_without_the_upstream(scratch):
    model = ScriptedModel("-")
    short, long = await outcome("count", model, scratch)
    assert 0 < short < 50 < 400 < long
    assert model.prompts == []


async def test_models_are_listed_page_by_page_and_found(scratch):
    seen = await outcome("models", ScriptedModel("-"), scratch)
    assert seen["page"] == seen["listed"][:1]
    assert "composer-2.5" in seen["listed"]
    assert len(seen["listed"]) > 1
    assert seen["at_once"] == seen["listed"]
    one = seen["one"]
    assert (one["type"], one["id"], one["display_name"]) == ("model", "composer-2.5", "Composer 2.5")
    assert (seen["unknown"]["name"], seen["unknown"]["type"]) == ("NotFoundError", "not_found_error")


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
    assert seen["retry_after"] == (str(RETRY_AFTER_SECONDS) if fault is RATE_LIMIT else None)
    assert seen["request_id"]


async def test_what_cannot_be_served_is_refused_without_the_upstream(scratch):
    model = ScriptedModel("Hello.")
    seen = await outcome("refused", model, scratch)
    assert {name: (error["name"], error["status"], error["type"]) for name, error in seen.items()} == {
        "unknown model": ("NotFoundError", 404, "not_found_error"),
        "no messages": ("BadRequestError", 400, "invalid_request_error"),
        "temperature": ("BadRequestError", 400, "invalid_request_error"),
        "no limit": ("BadRequestError", 400, "invalid_request_error"),
        "no such path": ("NotFoundError", 404, "not_found_error"),
    }
    assert model.prompts == []


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
async def test_a_failing_stream_raises_and_finishes_no_call(scratch, scripted, steps, said, kind, code):
    seen = await outcome("failing_stream", scripted(steps), scratch)
    assert seen["text"].startswith("Tidying up.")
    assert set(seen["ended"]) <= {"text"}
    assert (seen["error"]["name"], seen["error"]["type"], seen["error"]["code"]) == ("APIStatusError", kind, code)
    assert said in seen["error"]["message"]


async def test_the_eager_tool_runner_runs_no_half_call(scratch, scripted):
    model = scripted(HALF_A_CALL)
    seen = await outcome("eager_runner", model, scratch)
    assert seen["error"]["code"] == "upstream_stream_cut"
    assert (scratch / "notes.txt").exists()
    assert model.turns == 1


async def test_the_eager_tool_runner_runs_whole_calls(scratch, scripted):
    model = scripted(block(call("run", command="wc -w < notes.txt | tee count.txt")), "There are five.")
    assert await outcome("eager_runner", model, scratch) == {"text": "There are five.", "error": None}
    assert (scratch / "count.txt").read_text() == "5\n"


async def test_leaving_a_stream_closes_the_upstream(scratch, scripted):
    model = scripted(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program(PROGRAM, "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.left()
    assert seen == {"text": "Once there was"}


async def test_twenty_streams_at_once_do_not_mix(scratch, scripted):
    def counting(prompt: str) -> str:
        number = re.search(r"Say the number (\d+)\.", prompt)
        return f"The number is {number[1]}. " * 20 if number else ""

    model = scripted(counting)
    seen = await outcome("twenty", model, scratch)
    assert seen["texts"] == [f"The number is {number}. " * 20 for number in range(20)]
    assert model.turns == 20
