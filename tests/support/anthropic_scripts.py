"""What the scripted server with Anthropic's API says in the fixtures: requests and answers, written by hand, in deltas of about a token."""

import json
from typing import Any

from tests.support.anthropic_words import (
    MODEL,
    PING,
    SIGNATURE,
    START,
    STOP,
    begun,
    called,
    delta,
    end,
    ended,
    failed,
    message,
    over,
    spoken,
    start,
    text,
    thought,
    usage,
)
from tests.support.composer_scripts import Scripted, tokens
from tests.support.composer_server import Cut, Pause, Reply
from tests.support.openai_scripts import FOG, THOUGHT, paced

ASK = "When does the ferry sail?"
WEATHER = {
    "name": "get_weather",
    "description": "The weather at a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}, "required": ["place"]},
}
TIDES = {
    "name": "get_tides",
    "description": "High and low water at a harbour",
    "input_schema": {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]},
}
NOW = {"name": "now", "description": "The time", "input_schema": {"type": "object"}}
OBAN = json.dumps({"place": "Oban", "days": 3})
BAY = json.dumps({"harbour": "Oban Bay"})
THINKING: dict[str, Any] = {"thinking": {"type": "adaptive"}}


def asked(prompt: str = ASK, *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A client's body in the same API."""
    offered = {"tools": [*tools]} if tools else {}
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": prompt}], "stream": True, **offered, **fields}


def chat(prompt: str = ASK, *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A client's body in Chat Completions."""
    functions = [
        {"type": "function", "function": {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}}
        for tool in tools
    ]
    offered = {"tools": functions} if tools else {}
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True, **offered, **fields}


def scripted(title: str, body: dict[str, Any], *steps: Any) -> Scripted:
    """A case whose client speaks the API that its body is in."""
    return Scripted(title, body, steps, surface="messages" if "max_tokens" in body else "chat")


def pieces(words: str) -> list[str]:
    return tokens(words, 3, 9)


SCRIPTS = {
    "text": scripted("Text, and a ping before it", asked(), *paced(START, PING, *spoken(tokens(FOG)), end())),
    "text-chat": scripted(
        "Text for a client of Chat Completions", chat(stream_options={"include_usage": True}), *paced(START, *spoken(tokens(FOG)), end())
    ),
    "thinking-signed": scripted(
        "Signed reasoning, and text", asked(**THINKING), *paced(START, *thought(tokens(THOUGHT), 0, SIGNATURE), *spoken(tokens(FOG), 1), end())
    ),
    "thinking-chat": scripted(
        "Signed reasoning for a client of Chat Completions",
        chat(reasoning_effort="high"),
        *paced(START, *thought(tokens(THOUGHT), 0, SIGNATURE), *spoken(tokens(FOG), 1), end()),
    ),
    "thinking-omitted": scripted(
        "Reasoning of which the signature alone is shown",
        asked(**THINKING),
        *paced(START, *thought((), 0, SIGNATURE), *spoken(tokens(FOG), 1), end()),
    ),
    "redacted": scripted(
        "Reasoning that is not shown",
        asked(**THINKING),
        *paced(START, begun(0, "redacted_thinking", data="EmwKAhgBEgy3"), ended(0), *spoken(tokens(FOG), 1), end()),
    ),
    "one-call": scripted(
        "One call without text", asked("Weather in Oban?", WEATHER), *paced(START, *called("get_weather", pieces(OBAN)), end("tool_use"))
    ),
    "text-and-call": scripted(
        "Text, and a call behind it",
        asked("Weather in Oban?", WEATHER),
        *paced(START, *spoken(tokens("I had better look.")), *called("get_weather", pieces(OBAN), 1), end("tool_use")),
    ),
    "parallel": scripted(
        "Two calls in one answer",
        chat("Weather and tides in Oban?", WEATHER, TIDES),
        *paced(START, *called("get_weather", pieces(OBAN), 0, "toolu_a"), *called("get_tides", pieces(BAY), 1, "toolu_b"), end("tool_use")),
    ),
    "empty-input": scripted("A call without arguments", asked("What time is it?", NOW), *paced(START, *called("now", ()), end("tool_use"))),
    "interleaved": scripted(
        "Two calls whose events are mixed",
        asked("Weather and tides in Oban?", WEATHER, TIDES),
        *paced(
            START,
            begun(0, "tool_use", id="toolu_a", name="get_weather", input={}),
            begun(1, "tool_use", id="toolu_b", name="get_tides", input={}),
            delta(0, "input_json_delta", partial_json=OBAN[:9]),
            delta(1, "input_json_delta", partial_json=BAY[:7]),
            delta(0, "input_json_delta", partial_json=OBAN[9:]),
            ended(0),
            delta(1, "input_json_delta", partial_json=BAY[7:]),
            ended(1),
            end("tool_use"),
        ),
    ),
    "refusal": scripted(
        "A refusal that is told beside the answer",
        asked("Help me steal a boat."),
        *paced(START, end("refusal", 1, stop_details={"type": "refusal", "category": None, "explanation": "This would harm somebody."})),
    ),
    "max-tokens": scripted("An answer that its limit has cut", asked(max_tokens=8), *paced(START, *spoken(tokens(FOG[:30])), end("max_tokens", 8))),
    "max-tokens-in-call": scripted(
        "A call that the limit has cut",
        asked("Weather in Oban?", WEATHER, max_tokens=8),
        *paced(START, *called("get_weather", pieces(OBAN[:18])), end("max_tokens", 8)),
    ),
    "stop-sequence": scripted(
        "An answer that one of the client's texts has ended",
        asked(stop_sequences=["13:45"]),
        *paced(START, *spoken(tokens("The ferry sails at ")), end("stop_sequence", 6, sequence="13:45")),
    ),
    "error-before": scripted(
        "An error in an answer with status 200, before anything else", asked(), START, PING, failed("overloaded_error", "Overloaded")
    ),
    "error-after": scripted(
        "An error in an answer with status 200, after text",
        asked(),
        *paced(START, begun(0, "text", text=""), *(text(piece) for piece in tokens(FOG[:24])), failed("api_error", "Internal server error")),
    ),
    "cut": scripted(
        "The connection is closed inside text", asked(), *paced(START, begun(0, "text", text=""), *(text(piece) for piece in tokens(FOG[:24]))), Cut()
    ),
    "cut-in-call": scripted(
        "The connection is closed inside a call",
        asked("Weather in Oban?", WEATHER),
        *paced(START, *called("get_weather", pieces(OBAN[:18]))[:-1]),
        Cut(),
    ),
    "ping": scripted(
        "Pings between the events",
        asked(),
        START,
        PING,
        Pause(0.004),
        PING,
        *paced(*spoken(tokens("At 13:45."))),
        PING,
        Pause(0.004),
        end("end_turn", 6),
    ),
    "no-message-stop": scripted(
        "A stream that ends behind its stop reason", asked(), *paced(START, *spoken(tokens("At 13:45.")), over("end_turn", 6))
    ),
    "no-stop-reason": scripted("A stream that never says why it ended", asked(), *paced(START, *spoken(tokens("At 13:45.")), over(None, 6), STOP)),
    "no-indices": scripted(
        "Blocks without an index, and a call without an id",
        asked("Weather in Oban?", WEATHER),
        *paced(START, *spoken(tokens("I had better look."), None), *called("get_weather", pieces(OBAN), None, None), end("tool_use")),
    ),
    "whole-answer": scripted(
        "A whole message although a stream was asked for",
        asked("Weather in Oban?", WEATHER, **THINKING),
        Reply(
            200,
            json.dumps(
                message(
                    [
                        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
                        {"type": "text", "text": "I had better look."},
                        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"place": "Oban"}},
                    ],
                    "tool_use",
                    usage=usage(41, 32),
                )
            ).encode(),
            {"content-type": "application/json"},
        ),
    ),
    "unknown-blocks": scripted(
        "Blocks and deltas of types that are not known",
        asked(),
        *paced(
            START,
            begun(0, "hologram", data="AAAA"),
            delta(0, "hologram_delta", data="BBBB"),
            ended(0),
            *spoken(tokens("At 13:45."), 1),
            end("end_turn", 6),
        ),
    ),
    "usage-cache": scripted(
        "A prompt that was read from a cache and written to one",
        chat(stream_options={"include_usage": True}),
        *paced(
            start(5, 1, cache_read_input_tokens=30, cache_creation_input_tokens=6),
            *spoken(tokens(FOG)),
            end("end_turn", 32, counts={"output_tokens_details": {"thinking_tokens": 4}}),
        ),
    ),
    "server-tool": scripted(
        "A search that ran at the server, with sources of the text",
        asked(),
        *paced(
            START,
            begun(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query":"ferry"}'),
            ended(0),
            begun(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
            ended(1),
            begun(2, "text", text=""),
            delta(2, "citations_delta", citation={"type": "web_search_result_location", "url": "https://ferry.example", "cited_text": "13:45"}),
            *(text(piece, 2) for piece in tokens("At 13:45.")),
            ended(2),
            end("end_turn", 6),
        ),
    ),
}
