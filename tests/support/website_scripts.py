"""What the scripted website says in the fixtures, and how it says what a model means: UI message streams, in parts of about a token.

Recordings are asked for under a frozen identity, so that their trigger is `TRIGGER`; a live answer's is found in the request (`trigger_of`).
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.identity import Identity
from pipeline.prompt.website_messages import new_trigger
from tests.support.composer_scripts import Scripted, tokens
from tests.support.composer_server import Cut, Reply, Step
from tests.support.openai_scripts import ASK, BOTH, FOG, THOUGHT, TIDES, WEATHER, asked, body, paced
from tests.support.openai_server import DONE, Received
from tests.support.website_words import END, START, STEP_END, available, finish, part, text, thought, typed, usage

if TYPE_CHECKING:
    from tests.support.spoken_answers import Answer

TRIGGER = new_trigger(Identity.frozen())
_TRIGGER = re.compile(r"@@[0-9a-f]{12}@@")
PAGE = b"""<!DOCTYPE html><html lang="en"><head><title>Just a moment...</title></head>
<body><h1>Checking your browser</h1><p>Ray ID: 0123456789</p></body></html>"""
HTML = {"content-type": "text/html; charset=utf-8"}
WHERE = "Weather in Oban?"


def trigger_of(received: Received) -> str:
    """The trigger that a request asks for."""
    found = _TRIGGER.search(received.body.decode())
    assert found is not None, "the request teaches no calls"
    return found[0]


def marked(name: str, trigger: str = TRIGGER, /, **arguments: object) -> str:
    """A call in the form that the request shows."""
    return f'{trigger}<invoke name="{name}">{json.dumps(arguments, ensure_ascii=False)}</invoke>'


def spoken(words: str, id: str = "txt_0") -> list[bytes]:
    """A whole text."""
    return [part("text-start", id=id), *(text(piece, id) for piece in tokens(words)), part("text-end", id=id)] if words else []


def reasoned(words: str) -> list[bytes]:
    """A whole block of reasoning."""
    if not words:
        return []
    return [part("reasoning-start", id="r_0"), *(thought(piece, "r_0") for piece in tokens(words)), part("reasoning-end", id="r_0")]


def native(id: str, name: str, **arguments: object) -> list[bytes]:
    """A native call, its arguments in pieces and then whole."""
    return [typed(id, name, *tokens(json.dumps(arguments), 3, 8)), available(id, name, arguments)]


def in_website_words(answer: "Answer") -> Callable[[Received], Sequence[Step]]:
    """A website has calls in its text, behind the request's trigger, and no refusals."""
    from tests.support.spoken_answers import COUNTED, SAID_AS_FAULT, Fault

    def script(received: Received) -> Sequence[Step]:
        if answer.fault is Fault.BEFORE:
            return [Reply(503, json.dumps(SAID_AS_FAULT).encode(), {"content-type": "application/json"})]
        calls = "\n".join(marked(name, trigger_of(received), **arguments) for name, arguments in answer.calls)
        if answer.fault is Fault.CUT_IN_CALL:
            calls = calls[: calls.index("Oban") + 2]
        said = [START, *reasoned(answer.thinking), *spoken(answer.text + calls)]
        if answer.fault:
            return [*said, Cut()]
        return [*said, STEP_END, finish("length" if answer.is_cut_short else "stop", usage=usage(*COUNTED)), DONE]

    return script


OBAN = {"place": "Oban", "days": 2}
QUOTED = [
    *({"role": "user", "content": "What does notes.xml say?"},),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": 'see <invoke name="get_weather">{"place": "Oban"}</invoke>'},
]

SCRIPTS: dict[str, Scripted] = {
    "text": Scripted("Text, and the usage with its end", body(ASK), paced(START, *spoken(FOG), STEP_END, finish("stop", usage=usage(41, 32)), DONE)),
    "reasoning": Scripted(
        "Reasoning before the text, and details of the usage",
        body(ASK, reasoning_effort="high"),
        paced(
            START,
            *reasoned(THOUGHT),
            *spoken("At 13:45."),
            STEP_END,
            finish(
                "stop", usage=usage(12, 30, inputTokenDetails={"cacheReadTokens": 8}, outputTokenDetails={"textTokens": 6, "reasoningTokens": 24})
            ),
            DONE,
        ),
    ),
    "one-call": Scripted(
        "Text and a call in the text", asked(WHERE, WEATHER), paced(START, *spoken("I will look that up.\n" + marked("get_weather", **OBAN)), END)
    ),
    "parallel-calls": Scripted(
        "Two calls in the text, each in its line",
        asked(BOTH, WEATHER, TIDES),
        paced(START, *spoken(marked("get_weather", **OBAN) + "\n" + marked("get_tides", harbour="Oban")), END),
    ),
    "only-one-call": Scripted(
        "Two calls although the client takes one at a time",
        asked(BOTH, WEATHER, TIDES, parallel_tool_calls=False),
        paced(START, *spoken(marked("get_weather", **OBAN) + "\n" + marked("get_tides", harbour="Oban")), END),
    ),
    "quoted-call": Scripted(
        "A call without the trigger, quoted from a file",
        {**asked("", WEATHER), "messages": QUOTED},
        paced(START, *spoken('It says: <invoke name="get_weather">{"place": "Oban"}</invoke>, and no more.'), END),
    ),
    "native-call": Scripted(
        "A native call of one of the client's tools",
        asked(WHERE, WEATHER),
        paced(START, *spoken("One moment."), *native("toolu_1", "get_weather", **OBAN), STEP_END, finish("tool-calls"), DONE),
    ),
    "native-call-refused": Scripted(
        "A native call that the website does not know, and its own error for it",
        asked(WHERE, WEATHER),
        paced(
            START,
            part("tool-input-start", toolCallId="toolu_1", toolName="get_weather", dynamic=True),
            part("tool-input-error", toolCallId="toolu_1", toolName="get_weather", input=OBAN, dynamic=True, errorText="No such tool."),
            part("tool-output-error", toolCallId="toolu_1", errorText="No such tool.", dynamic=True),
            STEP_END,
            finish("tool-calls"),
            DONE,
        ),
    ),
    "own-tool": Scripted(
        "A tool of the website's own, run in a step before the answer",
        asked(ASK, WEATHER),
        paced(
            START,
            *native("toolu_1", "search_docs", query="ferry"),
            part("tool-output-available", toolCallId="toolu_1", output={"pages": ["ferries.md"]}),
            STEP_END,
            part("start-step"),
            *spoken("At 13:45."),
            END,
        ),
    ),
    "unknown-native-call": Scripted(
        "A native call of a tool that nobody offered", asked(WHERE, WEATHER), paced(START, *spoken("Hm."), *native("toolu_1", "rm", path="/"), END)
    ),
    "metadata": Scripted(
        "The usage in the metadata of the message, before its end",
        body(ASK),
        paced(
            part("start", messageMetadata={"model": "kimi-k3"}),
            part("start-step"),
            *spoken("At 13:45."),
            part("message-metadata", messageMetadata={"usage": usage(41, 5, cachedInputTokens=16)}),
            STEP_END,
            finish("stop"),
            DONE,
        ),
    ),
    "other-parts": Scripted(
        "Sources, a file, data of a page, and types that nobody knows",
        body(ASK),
        paced(
            START,
            part("source-url", sourceId="1", url="https://ferries.example/oban", title="Ferries"),
            part("file", url="data:text/plain,x", mediaType="text/plain"),
            part("data-status", data={"text": "Reading"}, transient=True),
            part("telemetry", milliseconds=12),
            *spoken("At 13:45."),
            END,
        ),
    ),
    "older-spellings": Scripted(
        "Text, reasoning and a call as earlier versions spelled them",
        asked(WHERE, WEATHER),
        paced(
            part("reasoning", text="Oban."),
            part("text-delta", textDelta="Looking"),
            part("text-delta", textDelta=" it up."),
            part("tool-call", toolCallId="call_a", toolName="get_weather", args=OBAN),
            part("finish", finishReason="tool-calls", usage={"promptTokens": 41, "completionTokens": 32}),
        ),
    ),
    "length": Scripted("An answer that the token limit ended", body(ASK), paced(START, *spoken("Fog over the"), STEP_END, finish("length"), DONE)),
    "no-done": Scripted(
        "A stream that ends with its finish, without [DONE]", body(ASK), paced(START, *spoken("At 13:45."), STEP_END, finish("stop"))
    ),
    "no-finish": Scripted("A stream that ends with [DONE], without a finish", body(ASK), paced(START, *spoken("At 13:45."), STEP_END, DONE)),
    "error-before-text": Scripted("An error before anything was said", body(ASK), (part("error", errorText="An error occurred."), DONE)),
    "error-after-text": Scripted(
        "An error behind text", body(ASK), paced(START, *spoken("Fog over the Minch"), part("error", errorText="Too many requests"), DONE)
    ),
    "abort": Scripted(
        "An answer that the website stopped", body(ASK), paced(START, *spoken("Fog over the Minch"), part("abort", reason="timeout"), DONE)
    ),
    "cut": Scripted("The connection is closed inside the text", body(ASK), (*paced(START, *spoken(FOG)[:-4]), Cut())),
    "cut-in-call": Scripted(
        "The connection is closed inside a call",
        asked(WHERE, WEATHER),
        (*paced(START, *spoken("A moment.\n" + marked("get_weather", **OBAN).partition("an")[0])[:-1]), Cut()),
    ),
    "page": Scripted("A page for a browser, with status 200", body(ASK), (Reply(200, PAGE, HTML),)),
}
