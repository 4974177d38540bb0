"""A strict judge of bodies of Anthropic's Messages API: it refuses what the API is known to refuse.

The rules are those of the API's documentation and of its error messages, as far as they are about the form of a body: which fields there are, which
blocks stand in whose messages, what a text may be, how calls and results belong together, and what goes with thinking.
What a model can do, and what a signature is worth, it does not know.
"""

import re
from collections.abc import Collection
from typing import Any

Object = dict[str, Any]

ID, NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII), re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

FIELDS = {
    *("model", "max_tokens", "messages", "stream", "system", "tools", "tool_choice", "thinking", "output_config", "stop_sequences", "temperature"),
    *("top_p", "top_k", "metadata", "cache_control", "service_tier", "container", "inference_geo"),
}
OF_TOOL = {
    *("name", "description", "input_schema", "strict", "cache_control", "type", "allowed_callers", "defer_loading", "eager_input_streaming"),
    "input_examples",
}
OF_BLOCK = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control", "transformations"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "search_result": {"source", "title", "content", "citations", "cache_control"},
    "tool_reference": {"tool_name", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
IN_MESSAGE = {
    "user": {"text", "image", "tool_result", "document", "search_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
IN_RESULT = {"text", "image", "search_result", "document", "tool_reference"}
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
THOUGHTS = ("thinking", "redacted_thinking")


class Refused(Exception):
    """What the API would say of a body."""


def judge(body: Object) -> None:
    """Raise `Refused` for a body that the API does not take."""
    _keys(body, FIELDS, "body")
    _need(isinstance(body.get("max_tokens"), int) and body["max_tokens"] >= 1, "max_tokens: at least 1")
    if "system" in body:
        _content(body["system"], "system", {"text"})
    _need(all(text.strip() for text in body.get("stop_sequences", ())), "stop_sequences: each must contain non-whitespace")
    _tools(body)
    turns = _turns(body["messages"])
    _thinking(body, turns)


def _need(is_so: object, why: str) -> None:
    if not is_so:
        raise Refused(why)


def _keys(value: Object, allowed: Collection[str], at: str) -> None:
    _need(not value.keys() - allowed, f"{at}: Extra inputs are not permitted: {sorted(value.keys() - allowed)}")


# -- blocks


def _content(value: Any, at: str, kinds: Collection[str]) -> list[Object]:
    if isinstance(value, str):
        _need(value.strip(), f"{at}: must be non-empty")
        return [{"type": "text", "text": value}]
    _need(isinstance(value, list) and value, f"{at}: at least one block")
    for index, block in enumerate(value):
        here, kind = f"{at}.{index}", block["type"]
        _need(kind in kinds, f"{here}: {kind} does not belong here")
        _keys(block, OF_BLOCK[kind] | {"type"}, here)
        _CHECKS.get(kind, lambda *_: None)(block, here)
    return list(value)


def _text(block: Object, at: str) -> None:
    _need(isinstance(block["text"], str) and block["text"].strip(), f"{at}: text content blocks must contain non-whitespace text")


def _image(block: Object, at: str) -> None:
    source = block["source"]
    is_url = source["type"] == "url" and source["url"].startswith(("http://", "https://"))
    _need(is_url or (source["type"] == "base64" and source["media_type"] in IMAGES), f"{at}.source")


def _tool_use(block: Object, at: str) -> None:
    _need(ID.fullmatch(block["id"]), f"{at}.id: String should match pattern")
    _need(NAME.fullmatch(block["name"]), f"{at}.name: String should match pattern")
    _need(isinstance(block["input"], dict), f"{at}.input: Input should be a valid dictionary")


def _tool_result(block: Object, at: str) -> None:
    _need(ID.fullmatch(block["tool_use_id"]), f"{at}.tool_use_id: String should match pattern")
    failed = block.get("is_error")
    if block.get("content"):
        inner = _content(block["content"], f"{at}.content", IN_RESULT)
        _need(not failed or all(each["type"] == "text" for each in inner), f"{at}: all content must be of type text if is_error is true")
    else:
        _need(not failed, f"{at}: content cannot be empty if is_error is true")


def _thought(block: Object, at: str) -> None:
    _need(block["signature"], f"{at}.signature: Invalid signature")


_CHECKS = {"text": _text, "image": _image, "tool_use": _tool_use, "tool_result": _tool_result, "thinking": _thought}


# -- the conversation


def _turns(messages: list[Object]) -> list[tuple[str, list[Object]]]:
    _need(messages, "messages: at least one message is required")
    turns: list[tuple[str, list[Object]]] = []
    waiting: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        _keys(message, {"role", "content"}, at)
        _need(role in IN_MESSAGE and (not turns or role != turns[-1][0]), f"{at}: roles must alternate")
        blocks = _content(message["content"], f"{at}.content", IN_MESSAGE[role])
        turns.append((role, blocks))
        if role == "user":
            _answers(blocks, waiting, at)
            waiting = []
        else:
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            _need(len({*waiting} - seen) == len(waiting), f"{at}: `tool_use` ids must be unique")
            seen |= {*waiting}
    _need(not waiting, "messages: `tool_use` ids were found without `tool_result` blocks at the end")
    if turns[-1][0] == "assistant":
        last = turns[-1][1][-1]
        is_trimmed = last["type"] != "text" or last["text"] == last["text"].rstrip()
        _need(is_trimmed, "messages: final assistant content cannot end with trailing whitespace")
    return turns


def _answers(blocks: list[Object], waiting: list[str], at: str) -> None:
    are_results = [block["type"] == "tool_result" for block in blocks]
    _need(are_results == sorted(are_results, reverse=True), f"{at}: tool_result blocks must come first")
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    _need(len({*answered}) == len(answered), f"{at}: each tool_use must have a single result")
    _need({*answered} == {*waiting}, f"{at}: `tool_use` and `tool_result` ids differ: {waiting}, {answered}")


# -- tools and thinking


def _tools(body: Object) -> None:
    tools = body.get("tools", [])
    names = [tool["name"] for tool in tools]
    _need(len({*names}) == len(names), "tools: Tool names must be unique.")
    for index, tool in enumerate(tools):
        at, schema = f"tools.{index}", tool["input_schema"]
        _keys(tool, OF_TOOL, at)
        _need(NAME.fullmatch(tool["name"]), f"{at}.name: String should match pattern")
        _need(isinstance(schema, dict) and schema.get("type") == "object", f"{at}.input_schema.type: Input should be 'object'")
    choice = body.get("tool_choice")
    if choice is not None:
        _need(tools, "tool_choice may only be specified while providing tools")
        _need(choice["type"] != "tool" or choice["name"] in names, "tool_choice: tool not found in provided tools")
        _need(choice["type"] != "none" or choice.keys() == {"type"}, "tool_choice.none: Extra inputs are not permitted")


def _thinking(body: Object, turns: list[tuple[str, list[Object]]]) -> None:
    temperature = body.get("temperature", 1)
    _need(0 <= temperature <= 1, "temperature: range: 0..1")
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return
    if thinking["type"] == "enabled":
        _need(1024 <= thinking["budget_tokens"] < body["max_tokens"], "max_tokens must be greater than thinking.budget_tokens, and that 1024")
    _need(body.get("tool_choice", {"type": "auto"})["type"] in ("auto", "none"), "Thinking may not be enabled when tool_choice forces tool use.")
    _need(temperature == 1, "temperature may only be set to 1 when thinking is enabled")
    _need(body.get("top_p", 1) >= 0.95 and "top_k" not in body, "top_p must be at least 0.95, and top_k unset, when thinking is enabled")
    role, last = turns[-1]
    if role == "assistant":
        _need(last[0]["type"] in THOUGHTS, "When `thinking` is enabled, a final `assistant` message must start with a thinking block")
    elif thinking["type"] == "enabled" and any(block["type"] == "tool_result" for block in last):
        _need(_loop_start(turns)[0]["type"] in THOUGHTS, "Expected `thinking` or `redacted_thinking` in front of `tool_use`")


def _loop_start(turns: list[tuple[str, list[Object]]]) -> list[Object]:
    """The first message of the assistant in the row of calls and results that the conversation ends with."""
    place = len(turns) - 1
    while place >= 2 and all(block["type"] == "tool_result" for block in turns[place - 2][1]):
        place -= 2
    return turns[place - 1][1]
