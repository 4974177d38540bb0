"""What Cursor asks in the fixtures, in each of its dialects, and what a scripted upstream answers; written by hand."""

import json
from typing import Any

from tests.support.composer_scripts import Scripted, tokens
from tests.support.composer_server import Cut
from tests.support.openai_scripts import FIRST, THOUGHT, paced, spoken
from tests.support.openai_server import DONE, call, chunk, event, usage
from tests.support.responses_events import called, completed
from tests.support.responses_events import usage as counted
from tests.support.responses_scripts import APPLY_PATCH, PATCH, PATCHED, answer

READ_FILE = {
    "type": "function",
    "name": "ReadFile",
    "description": "Reads a file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "strict": False,
}
ASKED = "The ferry sails at 13:45 now. Change ferry.py."
SHOWN = "sails = '13:30'"

RESPONSES_BODY: dict[str, Any] = {
    "model": "kimi-k3",
    "stream": True,
    "user": "somebody",
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "instructions": "You are a coding agent.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": ASKED}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "eA=="},
        {"type": "function_call", "call_id": "functions.ReadFile:0", "name": "ReadFile", "arguments": '{"path": "ferry.py"}', "index": 0},
        {"type": "function_call_output", "call_id": "functions.ReadFile:0", "output": [{"type": "input_text", "text": SHOWN}]},
    ],
    "tools": [READ_FILE, APPLY_PATCH, {"type": "web_search"}],
    "tool_choice": "auto",
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"verbosity": "low"},
    "metadata": {"cursorConversationId": "a-conversation"},
}
BLOCKS_BODY: dict[str, Any] = {
    "model": "kimi-k3",
    "stream": True,
    "max_tokens": 4096,
    "system": [{"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": ASKED}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I have to see it.", "signature": "eA=="},
                {"type": "text", "text": "I will look."},
                {"type": "tool_use", "id": "toolu_1", "name": "ReadFile", "input": {"path": "ferry.py"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Be quick."},
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": SHOWN}]},
            ],
        },
    ],
    "tools": [{"name": "ReadFile", "description": "Reads a file", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}],
    "tool_choice": {"type": "auto"},
}

WRAPPED = json.dumps({"input": PATCH}, ensure_ascii=True)
THINKING = [chunk(reasoning_content=piece) for piece in tokens(THOUGHT)]
PATCHING = [call(index=0, id="call_p", type="function", name="ApplyPatch", arguments="")]
PATCHING += [call(index=0, arguments=piece) for piece in tokens(WRAPPED, 3, 9)]

CHAT = {
    "cursor-patch": Scripted(
        "Cursor's agent in Responses form: thinking, and a patch in a function's arguments",
        RESPONSES_BODY,
        paced(FIRST, *THINKING, *PATCHING, chunk("tool_calls"), usage(211, 96), DONE),
        surface="cursor",
    ),
    "cursor-patch-cut": Scripted(
        "Cursor's agent: the upstream breaks off inside a patch",
        RESPONSES_BODY,
        (*paced(FIRST, *THINKING, *PATCHING[:12]), Cut()),
        surface="cursor",
    ),
    "cursor-blocks": Scripted(
        "Anthropic blocks in a Chat body, and an answer that fails behind its first words",
        BLOCKS_BODY,
        paced(FIRST, *spoken("The line is the third one, and"), event(error={"code": 502, "message": "Provider returned error"})),
        surface="cursor",
    ),
}
RESPONSES = {
    "cursor-patch": Scripted(
        "Cursor's agent over Responses: a patch as the custom call that it is",
        RESPONSES_BODY,
        answer(*called(PATCHED, tokens(PATCH, 3, 9)), completed(PATCHED, usage=counted(211, 96))),
        surface="cursor",
    ),
}
