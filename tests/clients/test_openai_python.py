"""openai-python: plain, streamed, with its helpers, many at once, and its errors."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.clients.answers import ARCHIPELAGO, FENCED_ARCHIPELAGO, HALF_A_CALL, RATE_LIMIT, REFUSED_KEY, RETRY_AFTER_SECONDS, STORY, UNAVAILABLE
from tests.clients.client_process import run_program
from tests.clients.scripted_model import Model, ScriptedModel, gateway_to
from tests.support.composer_scripts import block, call

pytestmark = pytest.mark.clients


async def outcome(scenario: str, model: Model, scratch: Path) -> Any:
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        return await run_program("openai_python.py", scenario, gateway, scratch)


async def test_a_plain_answer(scratch, scripted):
    seen = await outcome("plain", scripted("Seventeen."), scratch)
    (choice,) = seen["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Seventeen.", "stop")
    assert seen["model"] == "composer-2.5"
    assert seen["usage"]["total_tokens"] == seen["usage"]["prompt_tokens"] + seen["usage"]["completion_tokens"] > 0
    assert seen["usage"]["estimated"] is True


async def test_a_stream_arrives_in_pieces_and_ends_with_usage(scratch, scripted):
    text = "There are seventeen islands, and the smallest of them has a lighthouse, a goat and no harbour. " * 20
    seen = await outcome("stream", scripted(text), scratch)
    assert seen["text"] == text
    assert seen["seconds"] > 0.1, "it came all at once"
    assert (seen["roles"], seen["reasons"]) == (["assistant"], ["stop"])
    assert seen["usage"]["completion_tokens"] > 100


async def test_the_stream_helper_assembles_parallel_calls(scratch, scripted):
    model = scripted("Both." + block(call("read_file", path="a.txt", lines="12"), call("grep", pattern='b"\\\n|ö')))
    seen = await outcome("helper", model, scratch)
    first, second = {"path": "a.txt", "lines": 12}, {"pattern": 'b"\\\n|ö'}
    assert seen["done"] == [{"index": 0, "name": "read_file", "arguments": first}, {"index": 1, "name": "grep", "arguments": second}]
    assert seen["parsed"][0] == first
    assert seen["content"] == "Both."
    assert len(set(seen["ids"])) == 2


@pytest.mark.parametrize("scenario", ["parse", "parse_stream"])
async def test_a_pydantic_model_is_parsed_from_fenced_json(scratch, scripted, scenario):
    assert await outcome(scenario, scripted(FENCED_ARCHIPELAGO), scratch) == ARCHIPELAGO


async def test_twenty_streams_at_once_do_not_mix(scratch, scripted):
    def counting(prompt: str) -> str:
        number = re.search(r"Say the number (\d+)\.", prompt)
        return f"The number is {number[1]}. " * 20 if number else ""

    model = scripted(counting)
    seen = await outcome("twenty", model, scratch)
    assert seen["texts"] == [f"The number is {number}. " * 20 for number in range(20)]
    assert model.turns == 20


async def test_the_headers_name_what_was_ignored_and_what_is_odd(scratch, scripted):
    model = scripted(block(call("read_file", why="They asked.", path="a.txt")))
    seen = await outcome("raw", model, scratch)
    headers = seen["headers"]
    assert set(headers["penstock-ignored"].split(", ")) == {"temperature", "seed"}
    assert headers["penstock-notices"] == "unknown_argument"
    assert headers["x-request-id"]
    assert seen["arguments"] == [{"why": "They asked.", "path": "a.txt"}]


async def test_models_are_listed_and_found(scratch, scripted):
    seen = await outcome("models", scripted("-"), scratch)
    assert "composer-2.5" in seen["models"]
    assert seen["one"] == "composer-2.5"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (REFUSED_KEY, ("AuthenticationError", 401, "invalid_api_key", "authentication_error")),
        (RATE_LIMIT, ("RateLimitError", 429, "rate_limit_exceeded", "rate_limit_error")),
        (UNAVAILABLE, ("InternalServerError", 503, "upstream_unavailable", "upstream_error")),
    ],
    ids=["401", "429", "503"],
)
async def test_errors_are_of_their_class(scratch, scripted, fault, expected):
    seen = await outcome("error", scripted(fault), scratch)
    assert (seen["name"], seen["status"], seen["code"], seen["type"]) == expected
    assert seen["retry_after"] == (str(RETRY_AFTER_SECONDS) if fault is RATE_LIMIT else None)


async def test_what_cannot_be_served_is_refused_without_the_upstream(scratch, scripted):
    model = scripted("Hello.")
    seen = await outcome("refused", model, scratch)
    assert {name: (error["name"], error["status"], error["param"]) for name, error in seen.items()} == {
        # of an agent's models the bridge is the judge, which names no field
        "unknown model": ("NotFoundError", 404, "model" if scripted is ScriptedModel else None),
        "n": ("BadRequestError", 400, "n"),
        "no messages": ("BadRequestError", 400, "messages"),
        "temperature": ("BadRequestError", 400, "temperature"),
        "no such path": ("NotFoundError", 404, None),
    }
    assert model.prompts == []


async def test_a_rate_limit_is_waited_for(scratch, scripted):
    # the gateway waits for the first one itself and tells of the second
    model = scripted("Hello again.", faults=[RATE_LIMIT, RATE_LIMIT])
    seen = await outcome("retry", model, scratch)
    assert seen["text"] == "Hello again."
    assert seen["seconds"] >= 2 * RETRY_AFTER_SECONDS
    assert model.turns == 3


async def test_a_cut_stream_raises_and_finishes_no_call(scratch, scripted):
    seen = await outcome("failing_stream", scripted(HALF_A_CALL), scratch)
    assert seen["text"] == "Tidying up."
    assert seen["finished_calls"] == 0
    assert (seen["error"]["name"], seen["error"]["code"]) == ("APIError", "upstream_stream_cut")
    assert "closed the connection" in seen["error"]["message"]


async def test_leaving_a_stream_closes_the_upstream(scratch, scripted):
    model = scripted(STORY)
    async with gateway_to(model, scratch.parent / "gateway") as gateway:
        seen = await run_program("openai_python.py", "abort", gateway, scratch)
        with trio.fail_after(1):
            await model.left()
    assert seen == {"text": "Once there was"}
