"""What an agent that speaks Responses asks in the fixtures, and what a scripted upstream answers; written by hand."""

from typing import Any

from pipeline.wire.composer import encode_text, encode_thinking
from tests.support.composer_scripts import Scripted, block, framed
from tests.support.composer_scripts import call as written
from tests.support.composer_scripts import paced as paced_frames
from tests.support.composer_server import Cut
from tests.support.openai_scripts import FIRST, arguments, paced, spoken
from tests.support.openai_server import call
from tests.support.responses_scripts import APPLY_PATCH


def function(name: str, description: str, **properties: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": [*properties]}
    return {"type": "function", "name": name, "description": description, "strict": False, "parameters": schema}


SHELL = function("exec_command", "Runs a command", cmd="string")
AGENTS = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents",
    "tools": [function("spawn", "Starts an agent", task="string")],
}
BODY: dict[str, Any] = {
    "model": "composer-2.5",
    "stream": True,
    "store": False,
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "The working directory is /home/u/tides."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which tests fail, and why?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Run them first."}], "encrypted_content": None},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "exec_command",
            "arguments": '{"cmd": "make test"}',
            "status": "completed",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "1 failed: test_drain"},
    ],
    "tools": [SHELL, AGENTS, APPLY_PATCH, {"type": "web_search", "external_web_access": True}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "a-session",
}
CALLS = block(written("exec_command", cmd="sed -n 1,40p test_drain.py"), written("agents__spawn", task="Read drain.py"))

COMPOSER = {
    "responses-calls": Scripted(
        "An agent that speaks Responses: thinking, a sentence, and two calls, one of a tool in a namespace",
        BODY,
        paced_frames([*framed("I should read the test.", encode_thinking), *framed("I will look at both.\n\n" + CALLS, encode_text)]),
        surface="responses",
    ),
}
CHAT = {
    "responses-call-cut": Scripted(
        "An agent that speaks Responses: the upstream breaks off inside a call",
        BODY,
        (
            *paced(
                FIRST,
                *spoken("I will look."),
                call(index=0, id="call_2", type="function", name="exec_command", arguments=""),
                *arguments(0, '{"cmd": "rm -r build/ca'),
            ),
            Cut(),
        ),
        surface="responses",
    ),
}
