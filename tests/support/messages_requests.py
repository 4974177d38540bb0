"""Bodies of Anthropic's Messages API: ways to parse one, what Claude Code sends, and a conversation of other dialects written as one."""

import json
from typing import Any

import pytest

from pipeline.errors import RequestError
from pipeline.parse.messages import ParsedMessages, parse_messages
from pipeline.request import Message, Request
from tests.support.cursor_bodies import Conversation, as_anthropic

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PNG_URL = "data:image/png;base64,iVBORw0KGgo="
CACHED = {"cache_control": {"type": "ephemeral"}}
HELLO = {"role": "user", "content": "Hello"}
INPUT_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
BASH = {"name": "Bash", "description": "Run a command.", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
REMINDER = "<system-reminder>\nThe user is in a hurry.\n</system-reminder>\n"


def encode(**fields: Any) -> bytes:
    """A body with what the API requires."""
    return json.dumps({"model": "composer-2.5", "max_tokens": 1024, "messages": [HELLO], **fields}).encode()


def parse(**fields: Any) -> ParsedMessages:
    return parse_messages(encode(**fields))


def request_of(**fields: Any) -> Request:
    return parse(**fields).request


def messages_of(*messages: dict[str, Any], **fields: Any) -> tuple[Message, ...]:
    return request_of(messages=list(messages), **fields).messages


def refused(kind: type[RequestError] = RequestError, **fields: Any) -> RequestError:
    """The error of a body, which is a client's, and named in the message."""
    with pytest.raises(kind) as caught:
        parse(**fields)
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value


def parsed_or_refused(body: bytes) -> ParsedMessages | None:
    """What a body is, or None for a client's error; anything else raised fails the test."""
    try:
        return parse_messages(body)
    except RequestError as error:
        if error.status != 400:
            raise
        return None


def user(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {"role": "assistant", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def use(call_id: str = "toolu_1", name: str = "Bash", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str = "toolu_1", content: Any = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def as_messages(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a Messages body, where a custom tool is a function of one text."""
    body = as_anthropic(conversation)
    read, patch = body["tools"]
    fields = body | {"max_tokens": 1024, "tools": [read, {"name": patch["name"], "description": patch["description"], "input_schema": INPUT_SCHEMA}]}
    return {name: value for name, value in fields.items() if value is not None}


def claude_code_body() -> dict[str, Any]:
    """The second request of a session of Claude Code 2.1, as recorded but for its texts: results out of order, tools found, what betas add."""
    session = {"device_id": "a4a5", "account_uuid": "", "session_id": "f08b50e5-123a-4338-8821-ac6b64710a6f"}
    return {
        "model": "composer-2.5",
        "messages": [
            user(REMINDER, "Say hi with a command"),
            {"role": "system", "content": "# Environment\nA project.", "output_config": {"effort": "medium"}},
            assistant(
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                "Looking.",
                use(command="echo hi"),
                use("toolu_2", "Read", file_path="none.txt"),
                use("toolu_3", "ToolSearch", query="select:WebSearch"),
            ),
            user(
                result("toolu_2", "File does not exist.", is_error=True),
                result("toolu_1", "hi", is_error=False),
                result("toolu_3", [{"type": "tool_reference", "tool_name": "WebSearch"}], **CACHED),
                f"{REMINDER}And go on.",
            ),
        ],
        "system": [
            text("x-anthropic-billing-header: cc_version=2.1.329.d7b; cc_entrypoint=cli;"),
            text("You are an agent.", **CACHED),
            text("\nWork towards the user's goals.", **CACHED),
        ],
        "tools": [
            BASH,
            {"name": "Read", "description": "Read a file.", "input_schema": {"type": "object", "properties": {"file_path": {"type": "string"}}}},
            {"name": "ToolSearch", "description": "Find tools.", "input_schema": {"type": "object", "properties": {}}},
            {"name": "WebSearch", "description": "Search.", "input_schema": {"type": "object", "properties": {}}, "defer_loading": True},
        ],
        "metadata": {"user_id": json.dumps(session)},
        "max_tokens": 32_000,
        "thinking": {"type": "adaptive", "display": "updates"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }
