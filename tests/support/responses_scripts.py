"""What the scripted Responses server says in the fixtures: requests and answers, written by hand, in pieces of about a token."""

import json
from collections.abc import Sequence
from itertools import count, zip_longest
from typing import Any

from tests.support.composer_scripts import Scripted, tokens
from tests.support.composer_server import Cut, Pause, Reply, Step
from tests.support.openai_scripts import ASK, BOTH, FOG, HARBOUR, OBAN, THOUGHT, TIDES, WEATHER, paced
from tests.support.responses_events import (
    CREATED,
    DONE,
    MODEL,
    added,
    bare,
    begun,
    called,
    completed,
    custom_call,
    done,
    event,
    failed,
    function_call,
    incomplete,
    message,
    piece,
    reasoning,
    response,
    spoken,
    text,
    thought,
    usage,
)

COUNTED = usage(41, 32, cached=16)
CALL, OTHER = function_call("get_weather", OBAN), function_call("get_tides", HARBOUR, "call_2", "fc_2")
PATCH = "*** Begin Patch\n*** Update File: ferry.py\n-sails = '13:30'\n+sails = \"13:45\"\n*** End Patch\n"
PATCHED = custom_call("ApplyPatch", PATCH)
APPLY_PATCH = {
    "type": "custom",
    "name": "ApplyPatch",
    "description": "Changes files",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"},
}
STEPS = ("**Finding the ferry**\n\n" + THOUGHT, "**Checking the time**\n\nNoon is before 13:45.")


def body(prompt: str, *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    offered = {"tools": [*tools], "stream_options": {"include_usage": True}} if tools else {}
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True, **offered, **fields}


def in_pieces(words: str) -> Sequence[str]:
    return tokens(words, 3, 8)


def with_new_ids(events: Sequence[bytes]) -> list[bytes]:
    """The same events, in which every mention of an item has an id of its own."""
    numbers = count(1)
    renamed: list[bytes] = []
    for sent in events:
        head, _, data = sent.partition(b"data: ")
        fields = json.loads(data)
        if "item_id" in fields:
            fields["item_id"] = f"item_{next(numbers)}"
        if "id" in fields.get("item", {}):
            fields["item"]["id"] = f"item_{next(numbers)}"
        for item in fields.get("response", {}).get("output", []):
            item["id"] = f"item_{next(numbers)}"
        renamed.append(head + b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n")
    return renamed


def answer(*events: bytes) -> tuple[Step, ...]:
    return paced(CREATED, *events)


SCRIPTS: dict[str, Scripted] = {
    "text": Scripted("Text, and the usage at the end", body(ASK), answer(*spoken(tokens(FOG)), completed(message(FOG), usage=COUNTED))),
    "reasoning": Scripted(
        "A summary of the reasoning, in two parts, before the text",
        body(ASK, reasoning_effort="high"),
        answer(
            *thought([tokens(step) for step in STEPS]),
            *spoken(tokens("At 13:45."), index=1),
            completed(reasoning(*STEPS), message("At 13:45."), usage=usage(12, 60, cached=8, reasoning=48)),
        ),
    ),
    "open-reasoning": Scripted(
        "Reasoning in full, from a server that names no event in its stream",
        body(ASK, reasoning_effort="low"),
        paced(
            bare("response.created", response=response("in_progress")),
            bare("response.output_item.added", output_index=0, item={"id": "rs_1", "type": "reasoning", "summary": [], "content": []}),
            *(
                bare("response.reasoning_text.delta", item_id="rs_1", output_index=0, content_index=0, delta=delta, sequence_number=number)
                for number, delta in enumerate(tokens(THOUGHT))
            ),
            bare("response.reasoning_text.done", item_id="rs_1", output_index=0, content_index=0, text=THOUGHT),
            *(bare("response.output_text.delta", item_id="msg_1", output_index=1, content_index=0, delta=delta) for delta in tokens("At 13:45.")),
            bare("response.completed", response=response("completed", [message("At 13:45.")], usage=usage(12, 30, reasoning=24))),
            DONE,
        ),
    ),
    "one-call": Scripted(
        "Text and a call, its arguments in pieces",
        body("Weather in Oban?", WEATHER),
        answer(
            *spoken(tokens("I will look that up.")),
            *called(CALL, in_pieces(OBAN), 1),
            completed(message("I will look that up."), CALL, usage=COUNTED),
        ),
    ),
    "parallel-calls": Scripted(
        "Two calls, one after the other",
        body(BOTH, WEATHER, TIDES),
        answer(*called(CALL, in_pieces(OBAN)), *called(OTHER, in_pieces(HARBOUR), 1), completed(CALL, OTHER, usage=COUNTED)),
    ),
    "interleaved-calls": Scripted(
        "Two calls whose pieces alternate, and text before either is done",
        body(BOTH, WEATHER, TIDES),
        answer(
            begun(CALL),
            begun(OTHER, 1),
            *(
                sent
                for one, other in zip_longest(in_pieces(OBAN), in_pieces(HARBOUR))
                for sent in ([piece(one)] if one else []) + ([piece(other, "fc_2", 1)] if other else [])
            ),
            text("One moment.", index=2),
            done(0, CALL),
            done(1, OTHER),
            completed(CALL, OTHER, message("One moment.")),
        ),
    ),
    "custom-call": Scripted(
        "A call of a custom tool, whose input is raw text",
        body("Correct the time.", APPLY_PATCH),
        answer(*called(PATCHED, in_pieces(PATCH)), completed(PATCHED, usage=COUNTED)),
    ),
    "arguments-done-only": Scripted(
        "A call whose arguments come at once, when they are done",
        body("Weather in Oban?", WEATHER),
        answer(*called(CALL, []), completed(CALL, usage=COUNTED)),
    ),
    "item-done-only": Scripted(
        "A call and a text that come as finished items only",
        body("Weather in Oban?", WEATHER),
        answer(done(0, message("Looking.")), done(1, CALL), completed(message("Looking."), CALL)),
    ),
    "output-only": Scripted(
        "Reasoning, text and a call that come in the last event only",
        body("Weather in Oban?", WEATHER),
        answer(completed(reasoning(THOUGHT), message("Looking."), CALL, usage=COUNTED)),
    ),
    "changed-ids": Scripted(
        "A server that has another id for an item in each event",
        body("Weather in Oban?", WEATHER),
        paced(
            *with_new_ids(
                [*spoken(tokens("I will look that up.")), *called(CALL, in_pieces(OBAN), 1), completed(message("I will look that up."), CALL)]
            )
        ),
    ),
    "refusal": Scripted(
        "A refusal",
        body("Help me steal a boat."),
        answer(
            added(0, {**message(""), "status": "in_progress"}),
            *(
                event("response.refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta=delta)
                for delta in tokens("I can't help with that.")
            ),
            event("response.refusal.done", item_id="msg_1", output_index=0, content_index=0, refusal="I can't help with that."),
            completed({**message(""), "content": [{"type": "refusal", "refusal": "I can't help with that."}]}),
        ),
    ),
    "search": Scripted(
        "A search that the upstream ran, and text with its source",
        body(ASK),
        answer(
            added(0, {"id": "ws_1", "type": "web_search_call", "status": "in_progress"}),
            event("response.web_search_call.searching", item_id="ws_1", output_index=0),
            done(0, {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "ferry"}}),
            text("At 13:45.", index=1),
            event(
                "response.output_text.annotation.added",
                item_id="msg_1",
                output_index=1,
                annotation={"type": "url_citation", "url": "https://ferry.example/"},
            ),
            completed({"id": "ws_1", "type": "web_search_call", "status": "completed"}, message("At 13:45."), usage=COUNTED),
        ),
    ),
    "incomplete": Scripted(
        "An answer that the token limit cut off",
        body(ASK, max_tokens=8),
        answer(*spoken(tokens("Fog over the Minch"))[:-3], incomplete("max_output_tokens", message("Fog over the Minch"), usage=usage(12, 8))),
    ),
    "incomplete-in-call": Scripted(
        "A call that the token limit cut off",
        body("Weather in Oban?", WEATHER, max_tokens=8),
        answer(
            begun(CALL),
            *(piece(delta) for delta in in_pieces(OBAN[:18])),
            done(0, {**CALL, "arguments": OBAN[:18], "status": "incomplete"}),
            incomplete("max_output_tokens", {**CALL, "arguments": OBAN[:18], "status": "incomplete"}, usage=usage(41, 8)),
        ),
    ),
    "failed-before-text": Scripted(
        "An answer that fails before anything is said",
        body(ASK),
        (CREATED, failed("rate_limit_exceeded", "Rate limit reached for this model. Please try again in 20s.")),
    ),
    "failed-after-text": Scripted(
        "An answer that fails after text",
        body(ASK),
        answer(*spoken(tokens("Fog over the Minch"))[:-3], failed("server_error", "The model produced no more output")),
    ),
    "error-after-text": Scripted(
        "An error event after text",
        body(ASK),
        answer(text("Fog"), event("error", code="server_error", message="An error occurred while processing your request", param=None)),
    ),
    "keepalives": Scripted(
        "Comments between the events",
        body(ASK),
        (b": keepalive\n\n", Pause(0.005), b": keepalive\n\n", *answer(*spoken(tokens("At 13:45."))), b": keepalive\n\n", Pause(0.005), completed()),
    ),
    "whole-answer": Scripted(
        "A whole response although a stream was asked for",
        body(ASK),
        (
            Reply(
                200,
                json.dumps(response("completed", [reasoning(THOUGHT), message(FOG)], usage=COUNTED)).encode(),
                {"content-type": "application/json"},
            ),
        ),
    ),
    "cut-in-call": Scripted(
        "The connection is closed inside a call",
        body("Weather in Oban?", WEATHER),
        (*answer(begun(CALL), *(piece(delta) for delta in in_pieces(OBAN[:18]))), Cut()),
    ),
}
