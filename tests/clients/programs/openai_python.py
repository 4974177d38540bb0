"""What users of openai-python do, one scenario a run; the outcome is one line of JSON on stdout.

`python openai_python.py SCENARIO BASE_URL KEY`
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import openai
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionUserMessageParam
from pydantic import BaseModel

MODEL = "composer-2.5"


class Place(BaseModel):
    name: str
    people: int
    islands: list[str]


class Reading(BaseModel):
    path: str
    lines: int | None = None


READ_FILE = openai.pydantic_function_tool(Reading, name="read_file", description="Read a file.")


def offered(name: str, description: str, parameter: str) -> ChatCompletionFunctionToolParam:
    parameters: dict[str, object] = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


GREP = offered("grep", "Search files.", "pattern")
RUN = offered("run", "Run a shell command.", "command")


def asked(content: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": content}]


def described(error: openai.APIError) -> dict[str, Any]:
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    retry_after = error.response.headers.get("retry-after") if isinstance(error, openai.APIStatusError) else None
    return {
        "name": type(error).__name__,
        "status": status,
        "code": error.code,
        "type": error.type,
        "param": error.param,
        "message": error.message,
        "retry_after": retry_after,
    }


def plain(client: openai.OpenAI) -> Any:
    completion = client.chat.completions.create(model=MODEL, messages=asked("How many islands?"))
    return completion.model_dump()


def raw(client: openai.OpenAI) -> Any:
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=asked("Read a.txt"), temperature=0.2, seed=7, tools=[READ_FILE], tool_choice="auto", extra_headers={"x-trace": "1"}
    )
    calls = response.parse().choices[0].message.tool_calls or []
    arguments = [json.loads(call.function.arguments) for call in calls if call.type == "function"]
    return {"headers": {name.lower(): value for name, value in response.headers.items()}, "arguments": arguments}


def stream(client: openai.OpenAI) -> Any:
    text, at, usage, roles, reasons = "", [], None, [], []
    for chunk in client.chat.completions.create(
        model=MODEL, stream=True, stream_options={"include_usage": True}, messages=asked("How many islands?")
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            at.append(time.monotonic())
            roles += [choice.delta.role] if choice.delta.role else []
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return {"text": text, "seconds": at[-1] - at[0], "usage": usage.model_dump() if usage else None, "roles": roles, "reasons": reasons}


def helper(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(model=MODEL, tools=[READ_FILE, GREP], messages=asked("Read a.txt and look for b.")) as events:
        done = [
            {"index": event.index, "name": event.name, "arguments": json.loads(event.arguments)}
            for event in events
            if event.type == "tool_calls.function.arguments.done"
        ]
        message = events.get_final_completion().choices[0].message
    calls = [call for call in message.tool_calls or [] if call.type == "function"]
    parsed = [call.function.parsed_arguments for call in calls]
    return {
        "done": done,
        "ids": [call.id for call in calls],
        "content": message.content,
        "parsed": [value.model_dump() if isinstance(value, Reading) else value for value in parsed],
    }


def parse(client: openai.OpenAI) -> Any:
    completion = client.chat.completions.parse(model=MODEL, messages=asked("Describe the archipelago."), response_format=Place)
    found = completion.choices[0].message.parsed
    return found.model_dump() if found else None


def parse_stream(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(model=MODEL, messages=asked("Describe the archipelago."), response_format=Place) as events:
        found = events.get_final_completion().choices[0].message.parsed
    return found.model_dump() if found else None


def twenty(client: openai.OpenAI) -> Any:
    async def one(many: openai.AsyncOpenAI, number: int) -> str:
        text = ""
        async for chunk in await many.chat.completions.create(model=MODEL, stream=True, messages=asked(f"Say the number {number}.")):
            text += chunk.choices[0].delta.content or ""
        return text

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as many:
            return await asyncio.gather(*(one(many, number) for number in range(20)))

    started = time.monotonic()
    return {"texts": asyncio.run(all_of_them()), "seconds": time.monotonic() - started}


def models(client: openai.OpenAI) -> Any:
    return {"models": [model.id for model in client.models.list()], "one": client.models.retrieve(MODEL).id}


def error(client: openai.OpenAI) -> Any:
    try:
        client.with_options(max_retries=0).chat.completions.create(model=MODEL, messages=asked("Hello"))
    except openai.APIError as caught:
        return described(caught)
    return None


def retry(client: openai.OpenAI) -> Any:
    started = time.monotonic()
    text = client.chat.completions.create(model=MODEL, messages=asked("Hello")).choices[0].message.content
    return {"text": text, "seconds": time.monotonic() - started}


def refused(client: openai.OpenAI) -> Any:
    """Requests that no upstream is asked for."""
    tries: dict[str, Callable[[], Any]] = {
        "unknown model": lambda: client.chat.completions.create(model="no-such-model", messages=asked("Hi")),
        "n": lambda: client.chat.completions.create(model=MODEL, n=2, messages=asked("Hi")),
        "no messages": lambda: client.chat.completions.create(model=MODEL, messages=[]),
        "temperature": lambda: client.chat.completions.create(model=MODEL, temperature=9, messages=asked("Hi")),
        "no such path": lambda: client.embeddings.create(model=MODEL, input="Hi"),
    }
    seen = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except openai.APIError as caught:
            seen[name] = described(caught)
    return seen


def failing_stream(client: openai.OpenAI) -> Any:
    text, calls = "", 0
    try:
        for chunk in client.chat.completions.create(model=MODEL, stream=True, messages=asked("Tidy up."), tools=[RUN]):
            text += chunk.choices[0].delta.content or ""
            calls += chunk.choices[0].finish_reason == "tool_calls"
    except openai.APIError as caught:
        return {"text": text, "finished_calls": calls, "error": described(caught)}
    return {"text": text, "finished_calls": calls, "error": None}


def abort(client: openai.OpenAI) -> Any:
    text = ""
    with client.chat.completions.create(model=MODEL, stream=True, messages=asked("Tell me a long story.")) as chunks:
        for chunk in chunks:
            text += chunk.choices[0].delta.content or ""
            if text.endswith("there was"):
                break
    return {"text": text}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (plain, raw, stream, helper, parse, parse_stream, twenty, models, error, retry, refused, failing_stream, abort)
}

if __name__ == "__main__":
    name, base_url, key = sys.argv[1:]
    print(json.dumps(SCENARIOS[name](openai.OpenAI(base_url=base_url, api_key=key))))
