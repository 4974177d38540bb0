"""What the scripted OpenAI server says in the fixtures: requests and answers, written by hand, in chunks of about a token."""

import json
import random
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from tests.support.composer_scripts import Scripted, tokens
from tests.support.composer_server import Cut, Pause, Reply, Step
from tests.support.openai_server import DONE, call, chunk, event, text, usage

FIRST = chunk(role="assistant", content="")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}, "required": ["place"]},
    },
}
TIDES = {
    "type": "function",
    "function": {
        "name": "get_tides",
        "description": "High and low water at a harbour",
        "parameters": {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]},
    },
}

FOG = "Fog over the Minch lifts by noon; the ferry to Stornoway sails at 13:45. Bring a coat \u2014 it is 9 \u00b0C \U0001f327\ufe0f."
THOUGHT = "The user asks for the ferry. Fog delays it, so the time matters more than the platform."
COUNTED = usage(41, 32, prompt_tokens_details={"cached_tokens": 16}, completion_tokens_details={"reasoning_tokens": 0})


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "kimi-k3", "messages": [{"role": "user", "content": prompt}], "stream": True, **fields}


def asked(prompt: str, *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return body(prompt, tools=[*tools], stream_options={"include_usage": True}, **fields)


def paced(*chunks: bytes) -> tuple[Step, ...]:
    """Chunks in writes of one to four, a few milliseconds apart."""
    chance, steps, at = random.Random(len(chunks)), list[Step](), 0
    while at < len(chunks):
        size = chance.randint(1, 4)
        steps += [b"".join(chunks[at : at + size]), Pause(chance.uniform(0.003, 0.015))]
        at += size
    return tuple(steps)


def spoken(words: str) -> Sequence[bytes]:
    return [text(piece) for piece in tokens(words)]


def arguments(index: int | None, words: str, **fields: Any) -> list[bytes]:
    """The arguments of a call in pieces; `index` None leaves it out."""
    where = {} if index is None else {"index": index}
    return [call(**where, **fields, arguments=piece) for piece in tokens(words, 3, 8)]


COMMENT = b": PROCESSING\n\n"
ASK = "When does the ferry sail?"
BOTH = "Weather and tides in Oban?"
OBAN, HARBOUR = '{"place": "Oban", "days": 2}', '{"harbour": "Oban"}'


def whole(**message: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 41, "completion_tokens": 32, "total_tokens": 73}
    fields = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "kimi-k3", "choices": [choice], "usage": counts}
    return Reply(200, json.dumps(fields).encode(), {"content-type": "application/json"})


SCRIPTS: dict[str, Scripted] = {
    "text": Scripted("Text, and the usage in a chunk of its own", body(ASK), paced(FIRST, *spoken(FOG), chunk("stop"), COUNTED, DONE)),
    "reasoning": Scripted(
        "Reasoning before the text, the usage on the last chunk",
        body(ASK, reasoning_effort="high"),
        paced(
            chunk(role="assistant", content=None, reasoning_content=""),
            *(chunk(content=None, reasoning_content=piece) for piece in tokens(THOUGHT)),
            *(chunk(content=piece, reasoning_content=None) for piece in tokens("At 13:45.")),
            event(
                choices=[{"index": 0, "delta": {"content": "", "reasoning_content": None}, "finish_reason": "stop"}],
                usage={
                    "prompt_tokens": 12,
                    "completion_tokens": 30,
                    "completion_tokens_details": {"reasoning_tokens": 24},
                    "prompt_cache_hit_tokens": 8,
                },
            ),
            DONE,
        ),
    ),
    "one-call": Scripted(
        "Text and a call, its arguments in pieces",
        asked("Weather in Oban?", WEATHER),
        paced(
            FIRST,
            *spoken("I will look that up."),
            call(index=0, id="call_oban", type="function", name="get_weather", arguments=""),
            *arguments(0, OBAN),
            chunk("tool_calls"),
            COUNTED,
            DONE,
        ),
    ),
    "parallel-calls": Scripted(
        "Two calls, one after the other, and each with its index",
        asked(BOTH, WEATHER, TIDES),
        paced(
            FIRST,
            call(index=0, id="call_a", type="function", name="get_weather", arguments=""),
            *arguments(0, OBAN),
            call(index=1, id="call_b", type="function", name="get_tides", arguments=""),
            *arguments(1, HARBOUR),
            chunk("tool_calls"),
            DONE,
        ),
    ),
    "interleaved-calls": Scripted(
        "Two calls whose pieces alternate",
        asked(BOTH, WEATHER, TIDES),
        paced(
            call(index=0, id="call_a", type="function", name="get_weather", arguments=""),
            call(index=1, id="call_b", type="function", name="get_tides", arguments=""),
            *(piece for pair in zip_longest(arguments(0, OBAN), arguments(1, HARBOUR), fillvalue=b"") for piece in pair if piece),
            chunk("tool_calls"),
            DONE,
        ),
    ),
    "missing-index": Scripted(
        "Two calls without an index, told apart by their ids",
        asked(BOTH, WEATHER, TIDES),
        paced(
            call(id="call_a", type="function", name="get_weather", arguments=""),
            *arguments(None, OBAN),
            call(id="call_b", type="function", name="get_tides", arguments=""),
            *arguments(None, HARBOUR),
            chunk("tool_calls"),
            DONE,
        ),
    ),
    "same-index": Scripted(
        "Two whole calls with the same index and without ids, and the reason stop",
        asked(BOTH, WEATHER, TIDES),
        paced(call(index=0, name="get_weather", arguments=OBAN), call(index=0, name="get_tides", arguments={"harbour": "Oban"}), chunk("stop"), DONE),
    ),
    "invalid-arguments": Scripted(
        "A call that the token limit cut off",
        asked("Weather in Oban?", WEATHER, max_tokens=8),
        paced(call(index=0, id="call_a", name="get_weather", arguments=""), *arguments(0, OBAN[:18]), chunk("length"), DONE),
    ),
    "refusal": Scripted(
        "A refusal", body("Help me steal a boat."), paced(FIRST, chunk(refusal="I can't "), chunk(refusal="help with that."), chunk("stop"), DONE)
    ),
    "error-before-text": Scripted(
        "An error object in an answer with status 200, before anything else",
        body(ASK),
        (event(error={"message": "The engine is currently overloaded, please try again later", "type": "engine_overloaded_error"}),),
    ),
    "error-after-text": Scripted(
        "An error object in an answer with status 200, after text",
        body(ASK),
        paced(FIRST, *spoken("Fog over the Minch"), event(error={"code": 502, "message": "Provider returned error"})),
    ),
    "no-finish-reason": Scripted("A stream that ends without a finish_reason", body(ASK), paced(FIRST, *spoken("Fog over the Minch"))),
    "no-done": Scripted("A stream that ends after its finish_reason, without [DONE]", body(ASK), paced(FIRST, *spoken("At 13:45."), chunk("stop"))),
    "keepalives": Scripted(
        "Comments between the chunks",
        body(ASK),
        (
            b": PROCESSING\n\n",
            Pause(0.005),
            b": PROCESSING\n\n",
            *paced(*spoken("At 13:45.")),
            b": PROCESSING\n\n",
            Pause(0.005),
            chunk("stop") + DONE,
        ),
    ),
    "whole-answer": Scripted("A whole answer although a stream was asked for", body(ASK), (whole(content=FOG, reasoning_content=THOUGHT),)),
    "cut-in-call": Scripted(
        "The connection is closed inside a call",
        asked("Weather in Oban?", WEATHER),
        (*paced(FIRST, call(index=0, id="call_a", name="get_weather", arguments=""), *arguments(0, OBAN[:18])), Cut()),
    ),
}
