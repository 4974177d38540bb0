"""What users of openai-agents do, one scenario a run; the outcome is one line of JSON on stdout.

`python agents_runner.py SCENARIO BASE_URL KEY`      (tools work in the current directory)
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
from agents import (  # type: ignore[import-not-found]  # it is installed with the clients alone
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel

QUESTION = "Read notes.txt, then count its words."


class Place(BaseModel):
    name: str
    people: int
    islands: list[str]


@function_tool
def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


@function_tool
def run(command: str) -> str:
    """Run a shell command."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def agent(model: Any, **more: Any) -> Any:
    return Agent(name="Warden", instructions="You look after the islands.", model=model, **more)


def told(result: Any) -> dict[str, Any]:
    """What became of a run."""
    usage = result.context_wrapper.usage
    return {
        "text": result.final_output,
        "items": [item.type for item in result.new_items],
        "results": [item.output for item in result.new_items if item.type == "tool_call_output_item"],
        "tokens": [usage.input_tokens, usage.output_tokens],
        "requests": usage.requests,
    }


async def plain(model: Any) -> Any:
    return told(await Runner.run(agent(model, tools=[read_file, run]), QUESTION))


async def streamed(model: Any) -> Any:
    result = Runner.run_streamed(agent(model, tools=[read_file, run]), QUESTION)
    text, names = "", []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
        if event.type == "run_item_stream_event":
            names.append(event.name)
    return {**told(result), "said": text, "names": names}


async def output_type(model: Any) -> Any:
    result = await Runner.run(agent(model, output_type=Place), "Describe the archipelago.")
    return result.final_output.model_dump()


async def handoff(model: Any) -> Any:
    keeper = Agent(name="Keeper", handoff_description="Knows the lighthouse.", instructions="You keep the lighthouse.", model=model)
    result = await Runner.run(agent(model, handoffs=[keeper]), "How far away can I see the light?")
    return {**told(result), "last": result.last_agent.name}


async def session(model: Any) -> Any:
    """Two questions; the library keeps the history."""
    kept = SQLiteSession("islands")
    texts = [(await Runner.run(agent(model), question, session=kept)).final_output for question in ("Is 2027 prime?", "And 2029?")]
    return {"texts": texts}


async def previous(model: Any) -> Any:
    """Two questions; the server keeps the history."""
    asked = agent(model, model_settings=ModelSettings(store=True))
    first = await Runner.run(asked, "Is 2027 prime?")
    second = await Runner.run(asked, "And 2029?", previous_response_id=first.last_response_id)
    return {"texts": [first.final_output, second.final_output]}


async def failing(model: Any) -> Any:
    result = Runner.run_streamed(agent(model, tools=[run]), "Tidy up.")
    names = set()
    try:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                names.add(event.name)
    except openai.APIError as caught:
        return {"names": sorted(names), "error": type(caught).__name__, "message": caught.message}
    return {"names": sorted(names), "error": None}


SCENARIOS = {scenario.__name__: scenario for scenario in (plain, streamed, output_type, handoff, session, previous, failing)}

if __name__ == "__main__":
    name, base_url, key = sys.argv[1:]
    set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)
    print(json.dumps(asyncio.run(SCENARIOS[name](OpenAIResponsesModel(model="composer-2.5", openai_client=client)))))
