"""openai-python's Responses API: plain, streamed, with its helpers, what can be asked of a response afterwards, and its errors."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, NOTES, RATE_LIMIT, REFUSED_KEY, STORY, THOUGHT_FIRST
from tests.clients.client_process import run_program
from tests.clients.scripted_model import ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: ScriptedModel, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("openai_python_responses.py", scenario, gateway, scratch)


async def test_a_response_says_its_request_again(scratch):
    model = ScriptedModel("Seventeen.")
    seen = await outcome("create", model, scratch)
    assert (seen["answer"], seen["status"], seen["model"]) == ("Seventeen.", "completed", "composer-2.5")
    asked = {"instructions": "Be brief.", "metadata": {"trip": "7"}, "temperature": 0.2, "max_output_tokens": 500}
    assert {name: seen[name] for name in asked} == asked
    assert seen["usage"]["total_tokens"] == seen["usage"]["input_tokens"] + seen["usage"]["output_tokens"] > 0
    assert "Be brief." in model.requests[0].text


async def test_its_output_goes_back_with_the_results_of_two_rounds(scratch):
    model = ScriptedModel(
        "I will read it." + block(call("read_file", path="notes.txt")),
        block(call("run", command="wc -w < notes.txt | tee count.txt")),
        "There are five.",
    )
    seen = await outcome("tools", model, scratch)
    assert seen == {"text": "There are five.", "results": [NOTES, "5\n"]}
    assert (scratch / "count.txt").read_text() == "5\n"
    history = model.requests[2].text.rpartition("Read notes.txt, then count its words.")[2]
    assert history.index("ASSISTANT: I will read it.") < history.index(NOTES.strip()) < history.index(": 5\n")


async def test_the_items_of_a_stream_are_those_of_its_final_object(scratch):
    seen = await outcome("events", ScriptedModel(THOUGHT_FIRST), scratch)
    assert seen["types"][:2] == ["response.created", "response.in_progress"]
    assert seen["types"][-1] == "response.completed"
    assert seen["numbers"] == list(range(len(seen["types"])))
    assert (seen["reasoning"], seen["text"]) == ("No prime up to 45 divides it.", "Yes, it is prime.")
    assert seen["kinds"] == ["reasoning", "message"]
    assert (seen["ids_agree"], seen["items_agree"]) == (True, True)
    assert seen["usage"]["output_tokens"] > seen["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


async def test_the_stream_helper_assembles_parallel_calls(scratch):
    model = ScriptedModel("Both." + block(call("read_file", path="a.txt", lines="12"), call("grep", pattern='b"\\\n|ö')))
    seen = await outcome("helper", model, scratch)
    first, second = {"path": "a.txt", "lines": 12}, {"pattern": 'b"\\\n|ö'}
    assert seen["finished"] == [first, second]
    assert seen["calls"] == [["read_file", first], ["grep", second]]
    assert seen["text"] == "Both."
    assert len(set(seen["ids"])) == 2


@pytest.mark.parametrize("scenario", ["parse", "parse_stream"])
async def test_a_pydantic_model_is_parsed_from_fenced_json(scratch, scenario):
    assert await outcome(scenario, ScriptedModel(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_a_stored_response_is_gone_on_with_read_listed_and_deleted(scratch):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome("stored", model, scratch)
    assert seen["texts"] == ["Yes, it is prime."] * 2
    assert (seen["previous"], seen["read_again"]) == (True, True)
    assert model.requests[1].text.endswith("USER: Is 2027 prime?\n\nASSISTANT: Yes, it is prime.\n\nUSER: And 2029?")
    assert seen["listed"][-1] == ["user", "And 2029?"]
    assert (seen["gone"]["name"], seen["gone"]["status"]) == ("NotFoundError", 404)


async def test_one_that_was_not_stored_is_unknown_and_the_error_says_why(scratch):
    model = ScriptedModel("Yes, it is prime.")
    seen = await outcome("not_stored", model, scratch)
    assert seen["store"] is False
    error = seen["error"]
    assert (error["name"], error["code"], error["param"]) == ("NotFoundError", "previous_response_not_found", "previous_response_id")
    assert "`store: true`" in error["message"]
    assert len(model.requests) == 1


async def test_a_cancelled_response_ends_and_closes_the_upstream(scratch):
    model = ScriptedModel(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_python_responses.py", "cancel", gateway, scratch)
        with trio.fail_after(1):
            await model.received[0].gone.wait()
    assert seen["statuses"] == ["cancelled", "cancelled"]
    assert seen["texts"] == ["Once there was"] * 2
    assert (seen["ended"]["name"], seen["ended"]["code"]) == ("APIError", "response_cancelled")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (REFUSED_KEY, ("AuthenticationError", 401, "invalid_api_key", "authentication_error")),
        (RATE_LIMIT, ("RateLimitError", 429, "rate_limit_exceeded", "rate_limit_error")),
    ],
    ids=["401", "429"],
)
async def test_errors_are_of_their_class(scratch, fault, expected):
    seen = await outcome("error", ScriptedModel(fault), scratch)
    assert (seen["name"], seen["status"], seen["code"], seen["type"]) == expected


async def test_a_cut_stream_raises_and_finishes_no_call(scratch):
    seen = await outcome("failing_stream", ScriptedModel(HALF_A_CALL), scratch)
    assert (seen["text"], seen["done"]) == ("Tidying up.", ["message"])
    assert (seen["error"]["name"], seen["error"]["code"]) == ("APIError", "upstream_stream_cut")
    assert "closed the connection" in seen["error"]["message"]


async def test_leaving_a_stream_closes_the_upstream(scratch):
    model = ScriptedModel(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_python_responses.py", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.received[0].gone.wait()
    assert seen == {"text": "Once there was"}
