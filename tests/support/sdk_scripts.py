"""What a run of the SDK's agent says, envelope by envelope, and the runs that are recorded as fixtures; written by hand.

The builders each give the bytes of one envelope, in the words of the published contract. `said` and `thought_aloud` are the two forms in which the
bridge tells every piece: as an update of the interaction, and once more as a message.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.wire.connect import FLAG_END_STREAM, encode_envelope
from pipeline.wire.sdk_recorded import GOES_ON, recorded_call
from tests.support.composer_scripts import GREP, READ, WEATHER, Scripted, body, paced, tokens
from tests.support.composer_server import Cut, Pause, Step

AGENT, RUN = "agent-11111111-2222-4333-8444-555555555555", "run-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
_NAMES = {"agent_id": AGENT, "run_id": RUN}


def envelope(value: Any, *, end: bool = False) -> bytes:
    """JSON as one envelope of the stream."""
    return encode_envelope(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), flags=FLAG_END_STREAM if end else 0)


def keepalive() -> bytes:
    return envelope({})


def message(kind: str, /, **fields: Any) -> bytes:
    """A message of the run, `sdkMessage`."""
    return envelope({"sdkMessage": {"type": kind, "message": {"type": kind, **_NAMES, **fields}}})


def interaction(kind: str, /, **fields: Any) -> bytes:
    """An update, `interactionUpdate`."""
    return envelope({"interactionUpdate": {"type": kind, "update": {"type": kind, **fields}}})


# -- messages


def system(model: str = "composer-2.5") -> bytes:
    return message("system", subtype="init", model={"id": model}, tools=["mcp"])


def user(text: str) -> bytes:
    return message("user", message={"role": "user", "content": [{"type": "text", "text": text}]})


def assistant(*content: str | dict[str, Any]) -> bytes:
    """Texts, or blocks of any kind."""
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    return message("assistant", message={"role": "assistant", "content": blocks})


def thought(text: str) -> bytes:
    return message("thinking", text=text)


def status(word: str, text: str = "") -> bytes:
    return message("status", status=word, message=text)


def tool_call(name: str, state: str = "running", **args: Any) -> bytes:
    return message("tool_call", call_id="tool_1", name=name, status=state, args=args)


def usage(input: int, output: int, **counts: int) -> bytes:
    return message("usage", usage={"inputTokens": input, "outputTokens": output, "totalTokens": input + output, **counts})


# -- updates


def delta(text: str) -> bytes:
    return interaction("text-delta", text=text)


def thinking(text: str) -> bytes:
    return interaction("thinking-delta", text=text)


def thinking_completed() -> bytes:
    return interaction("thinking-completed", thinkingDurationMs=420)


def step_started(number: int = 1) -> bytes:
    return interaction("step-started", stepId=number)


def step_completed(number: int = 1) -> bytes:
    return interaction("step-completed", stepId=number, stepDurationMs=900)


def tool_started(kind: str, id: str = "tool_1", **args: Any) -> bytes:
    """A tool of the agent's begins; the kind of all custom ones is `mcp`."""
    return interaction("tool-call-started", callId=id, toolCall={"type": kind, "args": args}, modelCallId="")


def tool_completed(kind: str, id: str = "tool_1", **args: Any) -> bytes:
    return interaction("tool-call-completed", callId=id, toolCall={"type": kind, "args": args, "result": {"status": "success"}}, modelCallId="")


def custom_tool_started(name: str, arguments: Mapping[str, Any], id: str = "tool_1") -> bytes:
    return tool_started("mcp", id, providerIdentifier="custom-user-tools", toolName=name, args=dict(arguments))


def turn_ended(input: int | None = None, output: int = 0, **counts: int) -> bytes:
    counted = (
        {} if input is None else {"usage": {"inputTokens": input, "outputTokens": output, "cacheReadTokens": 0, "cacheWriteTokens": 0, **counts}}
    )
    return interaction("turn-ended", **counted)


def unknown() -> bytes:
    return interaction("moon-phase", phase="waxing")


# -- the end


def result(text: str = "", state: str = "FINISHED", *, used: Mapping[str, int] | None = None, error_code: str = "", error_message: str = "") -> bytes:
    """The run's result; 64-bit counts are strings, as JSON of protobuf has them."""
    told: dict[str, Any] = {"runId": RUN, "agentId": AGENT, "status": f"RUN_LIFECYCLE_STATUS_{state}", "durationMs": "2100"}
    told |= {"result": text} if text else {}
    told |= {"usage": {name: str(count) for name, count in used.items()}} if used else {}
    told |= {"errorCode": error_code} if error_code else {}
    told |= {"errorMessage": error_message} if error_message else {}
    outer = {"agentId": AGENT, "runId": RUN, "status": f"RUN_LIFECYCLE_STATUS_{state}", "result": told}
    return envelope({"result": outer | ({"errorCode": error_code} if error_code else {})})


def done() -> bytes:
    return envelope({"done": {"agentId": AGENT, "runId": RUN}})


def end() -> bytes:
    return envelope({}, end=True)


def finish(text: str = "", *, used: Mapping[str, int] | None = None) -> list[bytes]:
    """A proper end."""
    return [result(text, used=used), done(), end()]


def error(code: str, text: str, sdk_code: str = "", **details: Any) -> dict[str, Any]:
    """The error object of Connect, with the details of the SDK where it has a code there."""
    told = {"message": text, "sdkErrorCode": f"SDK_ERROR_CODE_{sdk_code}", **details}
    return {"code": code, "message": text, **({"details": [{"type": "sdk.v1.SdkErrorDetails", "debug": told, "value": ""}]} if sdk_code else {})}


def error_end(code: str, text: str, sdk_code: str = "", **details: Any) -> bytes:
    return envelope({"error": error(code, text, sdk_code, **details)}, end=True)


# -- several envelopes


def said(text: str) -> list[bytes]:
    """A text in pieces, each told twice, as the bridge does."""
    return [piece for token in tokens(text) for piece in (delta(token), assistant(token))]


def thought_aloud(text: str) -> list[bytes]:
    return [*(piece for token in tokens(text) for piece in (thinking(token), thought(token))), thinking_completed(), thought("")]


def called(name: str, arguments: Mapping[str, Any], id: str = "tool_1") -> bytes:
    """The callback of a custom tool, as it stands in a recording."""
    body = {"toolName": name, "args": dict(arguments), "toolCallId": id, "agentId": AGENT}
    return recorded_call(json.dumps(body, ensure_ascii=False).encode())


USED = {"inputTokens": 214, "outputTokens": 38, "cacheReadTokens": 128, "cacheWriteTokens": 12, "totalTokens": 252, "reasoningTokens": 9}
ROPE = "A bowline makes a loop that does not slip, and it comes loose again however hard it was pulled."
SUM = "17 and 4 make 21, and half of 42 is 21 too."
SNOW = "It is snowing in Tromsø, at four degrees below zero."
KNOT, HALF, DATES, PLACE = "Which knot holds a boat?", "Is 17 + 4 half of 42?", "Where do we parse dates?", {"location": "Tromsø, Norway"}
ANSWERED = [
    {"role": "user", "content": "What is the weather in Tromsø?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(PLACE)}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "-4 °C, snow"},
]


_MOMENT = Pause(0.001)


def case(title: str, asked: str, frames: Sequence[bytes], *tools: dict[str, Any], after: Step = _MOMENT, **fields: Any) -> Scripted:
    """A fresh run that is asked something."""
    return Scripted(title, body(asked, *tools, **fields), paced([system(), status("RUNNING"), user(asked), step_started(), *frames], after))


SCRIPTS: dict[str, Scripted] = {
    "text": case("Text, every piece told twice", KNOT, [*said(ROPE), step_completed(), *finish(ROPE)]),
    "thinking": case("Thinking, then text", HALF, [*thought_aloud("42 / 2 = 21, and 17 + 4 = 21."), *said(SUM), *finish(SUM)]),
    "one-call": case(
        "The model calls a tool, and the run waits for its result",
        "What is the weather in Tromsø?",
        [custom_tool_started("get_weather", PLACE), called("get_weather", PLACE)],
        WEATHER,
    ),
    "parallel-calls": case(
        "Two calls side by side, and the run waits for both",
        "Compare the readme with the changelog.",
        [
            custom_tool_started("read_file", {"path": "README.md"}, "tool_1"),
            custom_tool_started("grep", {"pattern": r"^## \["}, "tool_2\nfc_2"),
            called("read_file", {"path": "README.md"}, "tool_1"),
            called("grep", {"pattern": r"^## \[", "include": "CHANGELOG.md"}, "tool_2\nfc_2"),
        ],
        READ,
        GREP,
    ),
    "text-and-call": case(
        "A sentence, then a call; the agent looks for the tool in its own way",
        DATES,
        [
            *said("Let me look for it."),
            tool_started("getMcpTools"),
            tool_completed("getMcpTools"),
            custom_tool_started("grep", {"pattern": "strptime"}),
            keepalive(),
            called("grep", {"pattern": "strptime", "include": "*.py"}),
        ],
        GREP,
    ),
    "after-results": Scripted(
        "A run that waited goes on behind the result of its call",
        body("", WEATHER) | {"messages": ANSWERED},
        paced(
            [
                GOES_ON,
                tool_completed("mcp", providerIdentifier="custom-user-tools", toolName="get_weather"),
                tool_call("mcp", "completed", toolName="get_weather"),
                step_completed(),
                step_started(2),
                *said(SNOW),
                turn_ended(214, 38),
                *finish(SNOW, used=USED),
            ],
            _MOMENT,
        ),
    ),
    "assistant-only": case(
        "A bridge that sends no deltas: whole messages",
        HALF,
        [thought("42 / 2 = 21."), assistant("17 and 4 make 21, "), assistant("and half of 42 is 21 too."), *finish(SUM)],
    ),
    "result-only": case("The text stands in the result alone", KNOT, finish(ROPE)),
    "keepalives": case("Keep-alives between the pieces", KNOT, [*(piece for frame in said(ROPE) for piece in (keepalive(), frame)), *finish(ROPE)]),
    "error-before-text": Scripted(
        "The stream ends with an error, and nothing came before it",
        body("Hello?"),
        (error_end("resource_exhausted", "You have sent many requests.", "RATE_LIMIT_EXCEEDED", requestId="0d5e9c2a-req", retryAfter="7s"),),
    ),
    "error-after-text": case(
        "The run ends in an error after some text",
        "Tell me about moss.",
        [
            *said("Moss has no roots: it drinks with"),
            status("ERROR", "upstream"),
            result(state="ERROR", error_code="upstream_error", error_message="The provider of the model failed."),
            done(),
            end(),
        ],
    ),
    "cut-in-text": case("The connection breaks inside the text", KNOT, [*said(ROPE[:40]), delta("does not")[:-7]], after=Cut()),
    "cancelled": case(
        "The run was cancelled", "Count to a million.", [*said("One, two, three, "), result("One, two, three, ", "CANCELLED"), done(), end()]
    ),
    "usage": case(
        "Usage, at the turn's end and in the result",
        KNOT,
        [*said(ROPE), turn_ended(214, 38), usage(214, 38), *finish(ROPE, used=USED)],
        stream_options={"include_usage": True},
    ),
    "agent-tool": case(
        "The agent uses a tool of its own, which is not the client's",
        DATES,
        [
            tool_started("readLints", paths=["a.py"]),
            tool_call("readLints", paths=["a.py"]),
            tool_completed("readLints", paths=["a.py"]),
            *said("In a.py."),
            *finish("In a.py."),
        ],
        GREP,
    ),
    "unknown-types": case(
        "Messages and updates that are not known",
        KNOT,
        [unknown(), message("moon", phase=1), envelope({"tide": 4}), *said(ROPE), envelope({"step": {"type": "x"}}), *finish(ROPE)],
    ),
}
