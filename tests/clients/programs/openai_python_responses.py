"""What users of openai-python do with the Responses API, one scenario a run; the outcome is one line of JSON on stdout.

`python openai_python_responses.py SCENARIO BASE_URL KEY`      (tools work in the current directory)
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

MODEL = "composer-2.5"


class Place(BaseModel):
    name: str
    people: int
    islands: list[str]


class Reading(BaseModel):
    path: str
    lines: int | None = None


def offered(name: str, description: str, parameter: str) -> FunctionToolParam:
    parameters: dict[str, object] = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "name": name, "description": description, "parameters": parameters, "strict": False}


READ_FILE = offered("read_file", "Read a file.", "path")
RUN = offered("run", "Run a shell command.", "command")


def done(name: str, arguments: str) -> str:
    """What a tool returns."""
    given = json.loads(arguments)
    if name == "read_file":
        return Path(given["path"]).read_text()
    return subprocess.run(["sh", "-c", given["command"]], capture_output=True, text=True, check=True).stdout


def described(error: openai.APIError) -> dict[str, Any]:
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    return {"name": type(error).__name__, "status": status, "code": error.code, "type": error.type, "param": error.param, "message": error.message}


def create(client: openai.OpenAI) -> Any:
    response = client.responses.create(
        model=MODEL, instructions="Be brief.", input="How many islands?", metadata={"trip": "7"}, temperature=0.2, max_output_tokens=500
    )
    return {"answer": response.output_text, **response.model_dump()}


def tools(client: openai.OpenAI) -> Any:
    """The loop that each user writes: the output goes back as it is, with the results behind it."""
    history: ResponseInputParam = [{"role": "user", "content": "Read notes.txt, then count its words."}]
    results: list[str] = []
    while True:
        response = client.responses.create(model=MODEL, input=history, tools=[READ_FILE, RUN])
        history += response.output  # type: ignore[arg-type]  # the library's guide does it so; its items are written as what they came as
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return {"text": response.output_text, "results": results}
        for call in calls:
            results.append(done(call.name, call.arguments))
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": results[-1]})


def events(client: openai.OpenAI) -> Any:
    """The events of a stream, and whether its items are those of the final object."""
    seen = list(client.responses.create(model=MODEL, input="Read a.txt", tools=[READ_FILE], reasoning={"summary": "auto"}, stream=True))
    added = [event.item.id for event in seen if event.type == "response.output_item.added"]
    items = [event.item.model_dump() for event in seen if event.type == "response.output_item.done"]
    last = seen[-1]
    final = last.response if last.type == "response.completed" else None
    return {
        "types": [event.type for event in seen],
        "numbers": [event.sequence_number for event in seen],
        "text": "".join(event.delta for event in seen if event.type == "response.output_text.delta"),
        "reasoning": "".join(event.delta for event in seen if event.type == "response.reasoning_summary_text.delta"),
        "kinds": [item["type"] for item in items],
        "ids_agree": added == [item["id"] for item in items] == [item.id for item in final.output] if final else False,
        "items_agree": items == [item.model_dump() for item in final.output] if final else False,
        "usage": final.usage.model_dump() if final and final.usage else None,
    }


def helper(client: openai.OpenAI) -> Any:
    offer = openai.pydantic_function_tool(Reading, name="read_file", description="Read a file.")
    flat: Any = {"type": "function", **offer["function"]}
    with client.responses.stream(model=MODEL, input="Read a.txt and look for b.", tools=[flat, offered("grep", "Search.", "pattern")]) as stream:
        finished = [json.loads(event.arguments) for event in stream if event.type == "response.function_call_arguments.done"]
        response = stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    return {
        "text": response.output_text,
        "finished": finished,
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "ids": [call.call_id for call in calls],
    }


def parse(client: openai.OpenAI) -> Any:
    found = client.responses.parse(model=MODEL, input="Describe the archipelago.", text_format=Place).output_parsed
    return found.model_dump() if found else None


def parse_stream(client: openai.OpenAI) -> Any:
    with client.responses.stream(model=MODEL, input="Describe the archipelago.", text_format=Place) as stream:
        found = stream.get_final_response().output_parsed
    return found.model_dump() if found else None


def stored(client: openai.OpenAI) -> Any:
    """A response that is kept: gone on with, read again, listed, and deleted."""
    first = client.responses.create(model=MODEL, input="Is 2027 prime?", store=True)
    with client.responses.stream(model=MODEL, input="And 2029?", previous_response_id=first.id, store=True) as stream:
        second = stream.get_final_response()
    read = client.responses.retrieve(second.id)
    listed = [item.model_dump() for item in client.responses.input_items.list(second.id, order="asc")]
    client.responses.delete(first.id)
    gone = None
    try:
        client.responses.retrieve(first.id)
    except openai.APIError as caught:
        gone = described(caught)
    return {
        "texts": [first.output_text, second.output_text],
        "previous": second.previous_response_id == first.id,
        "read_again": (read.id, read.status, read.output_text, read.usage) == (second.id, second.status, second.output_text, second.usage),
        "listed": [(item["role"], item["content"][0]["text"]) for item in listed],
        "gone": gone,
    }


def not_stored(client: openai.OpenAI) -> Any:
    first = client.responses.create(model=MODEL, input="Is 2027 prime?")
    try:
        client.responses.create(model=MODEL, input="And 2029?", previous_response_id=first.id)
    except openai.APIError as caught:
        return {"store": first.model_dump()["store"], "error": described(caught)}
    return None


def cancel(client: openai.OpenAI) -> Any:
    """Cancelled by another request while it is streamed; then read again."""
    text, name, cancelled, ended = "", "", None, None
    try:
        for event in client.responses.create(model=MODEL, input="Tell me a long story.", stream=True, store=True):
            if event.type == "response.created":
                name = event.response.id
            if event.type == "response.output_text.delta":
                text += event.delta
            if text.endswith("there was") and cancelled is None:
                cancelled = client.responses.cancel(name)
    except openai.APIError as caught:
        ended = described(caught)
    read = client.responses.retrieve(name)
    return {"statuses": [cancelled.status if cancelled else None, read.status], "texts": [text, read.output_text], "ended": ended}


def error(client: openai.OpenAI) -> Any:
    try:
        client.with_options(max_retries=0).responses.create(model=MODEL, input="Hello")
    except openai.APIError as caught:
        return described(caught)
    return None


def failing_stream(client: openai.OpenAI) -> Any:
    text, done_items = "", list[str]()
    try:
        for event in client.responses.create(model=MODEL, input="Tidy up.", tools=[RUN], stream=True):
            text += event.delta if event.type == "response.output_text.delta" else ""
            if event.type == "response.output_item.done":
                done_items.append(event.item.type)
    except openai.APIError as caught:
        return {"text": text, "done": done_items, "error": described(caught)}
    return {"text": text, "done": done_items, "error": None}


def abort(client: openai.OpenAI) -> Any:
    text = ""
    with client.responses.create(model=MODEL, input="Tell me a long story.", stream=True) as stream:
        for event in stream:
            text += event.delta if event.type == "response.output_text.delta" else ""
            if text.endswith("there was"):
                break
    return {"text": text}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (create, tools, events, helper, parse, parse_stream, stored, not_stored, cancel, error, failing_stream, abort)
}

if __name__ == "__main__":
    name, base_url, key = sys.argv[1:]
    print(json.dumps(SCENARIOS[name](openai.OpenAI(base_url=base_url, api_key=key))))
