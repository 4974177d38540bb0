"""What users of Anthropic's Python SDK do, one scenario a run; the outcome is one line of JSON on stdout.

`python anthropic_python.py SCENARIO BASE_URL KEY`      (tools work in the current directory)
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic  # type: ignore[import-not-found]  # it is installed with the clients alone
from anthropic import beta_tool
from pydantic import BaseModel

MODEL = "composer-2.5"
LIMIT = {"model": MODEL, "max_tokens": 2000}


class Place(BaseModel):
    name: str
    people: int
    islands: list[str]


@beta_tool
def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


@beta_tool
def run(command: str) -> str:
    """Run a shell command."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def offered(name: str, description: str, **types: str) -> dict[str, Any]:
    properties = {parameter: {"type": kind} for parameter, kind in types.items()}
    return {"name": name, "description": description, "input_schema": {"type": "object", "properties": properties, "required": list(types)[:1]}}


READ, GREP, RUN = (
    offered("read_file", "Read a file.", path="string", lines="integer"),
    offered("grep", "Search files.", pattern="string"),
    offered("run", "Run a shell command.", command="string"),
)


def asked(content: str) -> dict[str, Any]:
    return {**LIMIT, "messages": [{"role": "user", "content": content}]}


def described(error: anthropic.APIError) -> dict[str, Any]:
    body: Any = error.body
    told = body["error"] if isinstance(body, dict) else {}
    has_status = isinstance(error, anthropic.APIStatusError)
    return {
        "name": type(error).__name__,
        "status": error.status_code if has_status else None,
        "type": told.get("type"),
        "code": told.get("code"),
        "message": told.get("message") or error.message,
        "request_id": error.request_id if has_status else None,
        "retry_after": error.response.headers.get("retry-after") if has_status else None,
    }


def attempted(attempt: Callable[[], Any]) -> Any:
    try:
        attempt()
    except anthropic.APIError as caught:
        return described(caught)
    return None


def texts(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def nameless(message: Any) -> list[dict[str, Any]]:
    """The blocks, without what is other in each answer."""
    return [{name: value for name, value in block.to_dict().items() if name != "id"} for block in message.content]


def plain(client: anthropic.Anthropic) -> Any:
    response = client.messages.with_raw_response.create(**asked("How many islands?"), extra_body={"temperature": 0.2}, metadata={"user_id": "canary"})
    message = response.parse()
    return {"message": message.to_dict(), "request_id": message._request_id, "headers": dict(response.headers.items())}


def stream(client: anthropic.Anthropic) -> Any:
    text, at, kinds, usage, reason = "", [], set(), None, None
    for event in client.messages.create(**asked("How many islands?"), stream=True):
        kinds.add(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
            at.append(time.monotonic())
        if event.type == "message_delta":
            usage, reason = event.usage.to_dict(), event.delta.stop_reason
    return {"text": text, "seconds": at[-1] - at[0], "kinds": sorted(kinds), "usage": usage, "reason": reason}


def helper(client: anthropic.Anthropic) -> Any:
    """The same asked twice: streamed with the helper, and whole."""
    body = {**asked("Read a.txt and look for b."), "tools": [READ, GREP], "thinking": {"type": "enabled", "budget_tokens": 1024}}
    kinds, ended = [], []
    with client.messages.stream(**body) as events:
        for event in events:
            if event.type not in kinds:
                kinds.append(event.type)
            if event.type == "content_block_stop":
                ended.append(event.content_block.type)
        final = events.get_final_message()
    whole = client.messages.create(**body)
    return {
        "kinds": kinds,
        "ended": ended,
        "streamed": nameless(final),
        "whole": nameless(whole),
        "reasons": [final.stop_reason, whole.stop_reason],
        "ids": [block.id for block in final.content if block.type == "tool_use"],
        "usage": [final.usage.to_dict(), whole.usage.to_dict()],
    }


def told_back(client: anthropic.Anthropic) -> Any:
    """The blocks of an answer go back as they are, with the results behind them, one of them an error."""
    body = {**asked("Read two files."), "tools": [READ], "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = client.messages.create(**body)
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": [{"type": "text", "text": "no such file"}], "is_error": True},
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": "the heron sleeps"},
    ]
    turns = [*body["messages"], {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    return {"text": texts(client.messages.create(**{**body, "messages": turns}))}


def tool_runner(client: anthropic.Anthropic, **more: Any) -> Any:
    return client.beta.messages.tool_runner(**asked("Read notes.txt, then count its words."), tools=[read_file, run], **more)


def runner(client: anthropic.Anthropic) -> Any:
    replies = list(tool_runner(client))
    return {"texts": [texts(reply) for reply in replies], "reasons": [reply.stop_reason for reply in replies]}


def runner_streamed(client: anthropic.Anthropic) -> Any:
    replies = [events.get_final_message() for events in tool_runner(client, stream=True)]
    return {"texts": [texts(reply) for reply in replies], "reasons": [reply.stop_reason for reply in replies]}


def eager_runner(client: anthropic.Anthropic) -> Any:
    """It runs a call as soon as its block is closed."""
    text = ""
    try:
        for events in tool_runner(client, stream=True, run_tools_eagerly=True):
            for event in events:
                text += event.text if event.type == "text" else ""
    except anthropic.APIError as caught:
        return {"text": text, "error": described(caught)}
    return {"text": text, "error": None}


def parse(client: anthropic.Anthropic) -> Any:
    return client.messages.parse(**asked("Describe the archipelago."), output_format=Place).parsed_output.model_dump()


def parse_stream(client: anthropic.Anthropic) -> Any:
    with client.messages.stream(**asked("Describe the archipelago."), output_format=Place) as events:
        return events.get_final_message().parsed_output.model_dump()


def stop(client: anthropic.Anthropic) -> Any:
    message = client.messages.create(**asked("Count."), stop_sequences=["four", "nine"])
    with client.messages.stream(**asked("Count."), stop_sequences=["four", "nine"]) as events:
        streamed = events.get_final_message()
    return [[texts(each), each.stop_reason, each.stop_sequence] for each in (message, streamed)]


def limited(client: anthropic.Anthropic) -> Any:
    message = client.messages.create(model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "Tell me a long story."}])
    return {"text": texts(message), "reason": message.stop_reason}


def count(client: anthropic.Anthropic) -> Any:
    short = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hello"}]).input_tokens
    long = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hello " * 500}], tools=[READ], system="Be brief.")
    return [short, long.input_tokens]


def models(client: anthropic.Anthropic) -> Any:
    page = client.models.list(limit=1)
    listed = [model.id for model in page]  # of all pages, one request each
    return {
        "page": [model.id for model in page.data],
        "listed": listed,
        "at_once": [model.id for model in client.models.list(limit=1000).data],
        "one": client.models.retrieve(MODEL).to_dict(mode="json"),
        "unknown": attempted(lambda: client.models.retrieve("no-such-model")),
    }


def error(client: anthropic.Anthropic) -> Any:
    return attempted(lambda: client.with_options(max_retries=0).messages.create(**asked("Hello")))


def retry(client: anthropic.Anthropic) -> Any:
    started = time.monotonic()
    text = texts(client.messages.create(**asked("Hello")))
    return {"text": text, "seconds": time.monotonic() - started}


def refused(client: anthropic.Anthropic) -> Any:
    """Requests that no upstream is asked for."""
    create = client.messages.create
    tries: dict[str, Callable[[], Any]] = {
        "unknown model": lambda: create(**{**asked("Hi"), "model": "no-such-model"}),
        "no messages": lambda: create(**LIMIT, messages=[]),
        "temperature": lambda: create(**asked("Hi"), extra_body={"temperature": 1.5}),
        "no limit": lambda: client.post("/v1/messages", cast_to=object, body={"model": MODEL, "messages": asked("Hi")["messages"]}),
        "no such path": lambda: client.messages.batches.retrieve("batch_1"),
    }
    return {name: attempted(attempt) for name, attempt in tries.items()}


def failing_stream(client: anthropic.Anthropic) -> Any:
    text, ended, caught = "", [], None
    try:
        with client.messages.stream(**asked("Tidy up."), tools=[RUN]) as events:
            for event in events:
                text += event.text if event.type == "text" else ""
                if event.type == "content_block_stop":
                    ended.append(event.content_block.type)
            events.get_final_message()
    except anthropic.APIError as failure:
        caught = described(failure)
    return {"text": text, "ended": ended, "error": caught}


def abort(client: anthropic.Anthropic) -> Any:
    text = ""
    with client.messages.stream(**asked("Tell me a long story.")) as events:
        for piece in events.text_stream:
            text += piece
            if text.endswith("there was"):
                break
    return {"text": text}


def twenty(client: anthropic.Anthropic) -> Any:
    async def one(many: anthropic.AsyncAnthropic, number: int) -> str:
        async with many.messages.stream(**asked(f"Say the number {number}.")) as events:
            return texts(await events.get_final_message())

    async def all_of_them() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=client.base_url, api_key=client.api_key) as many:
            return await asyncio.gather(*(one(many, number) for number in range(20)))

    return {"texts": asyncio.run(all_of_them())}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        *(plain, stream, helper, told_back, runner, runner_streamed, eager_runner, parse, parse_stream, stop, limited, count, models),
        *(error, retry, refused, failing_stream, abort, twenty),
    )
}

if __name__ == "__main__":
    name, base_url, key = sys.argv[1:]
    # this client adds the version to the address itself
    print(json.dumps(SCENARIOS[name](anthropic.Anthropic(base_url=base_url.removesuffix("/v1"), api_key=key))))
