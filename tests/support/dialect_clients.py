"""A client of each dialect that asks the same thing, and says in the same words what it got.

A `Seen` holds what a person or an agent would go by: text and refusal together, since three of the dialects have one place for both; calls that may
be run; why it ended; the usage; and the error's message where it failed. A call is one that may be run by its dialect's own sign: a proper
`finish_reason` in Chat Completions, its item's `done` in the Responses API, its closed block and `tool_use` in Messages. Its arguments are written
anew, since Messages has them as a value.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import msgspec

from tests.support.messages_reader import MessagesReader
from tests.support.spoken_answers import TOOLS

BROKEN = "the connection broke"
ERROR_IN_TEXT = "**Error:** "
CURSOR = "cursor"


ENDS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
"""The words of Messages for the end of an answer -> those of Chat Completions."""


class Seen(msgspec.Struct, frozen=True):
    """What came of one request; `error` is the message, `status` the HTTP status, `usage` prompt, answer, total, cached, reasoning, estimated."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = None
    usage: tuple[Any, ...] | None = None
    error: str | None = None
    status: int = 200


async def ask(client: httpx.AsyncClient, dialect: str, model: str, prompt: str, *, stream: bool, max_tokens: int | None = None) -> Seen:
    """Ask in a dialect, with tools and for the model's reasoning."""
    path, write, read_stream, read_whole = DIALECTS[dialect]
    body = write({"model": model, "stream": stream}, prompt, max_tokens)
    headers = {"authorization": "Bearer user-key-0123456789", **({"user-agent": "cursor/1.0"} if dialect == CURSOR else {})}
    received, is_broken = b"", False
    async with client.stream("POST", path, json=body, headers=headers) as answer:
        try:
            async for piece in answer.aiter_bytes():
                received += piece
        except httpx.RemoteProtocolError:
            is_broken = True
    if answer.status_code != 200:
        return Seen(error=json.loads(received)["error"]["message"], status=answer.status_code)
    seen = read_stream(received) if stream else read_whole(json.loads(received))
    return msgspec.structs.replace(seen, error=BROKEN) if is_broken else seen


# -- Chat Completions --------------------------------------------------------------------------------------------------------------------------


def write_chat(fields: dict[str, Any], prompt: str, max_tokens: int | None) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()]
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}
    options = {"stream_options": {"include_usage": True}} if fields["stream"] else {}
    return {**fields, **options, **limit, "messages": [{"role": "user", "content": prompt}], "tools": tools, "reasoning_effort": "high"}


def read_chat_stream(received: bytes) -> Seen:
    chunks = [json.loads(data) for data in _data(received) if data != "[DONE]"]
    error = next((chunk["error"]["message"] for chunk in chunks if "error" in chunk), None)
    choices = [choice for chunk in chunks if "error" not in chunk for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    thinking = "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)
    calls: dict[int, list[str]] = {}
    for choice in choices:
        for call in choice["delta"].get("tool_calls", ()):
            entry = calls.setdefault(call["index"], ["", ""])
            entry[0] += call["function"].get("name", "")
            entry[1] += call["function"]["arguments"]
    finish = next((choice["finish_reason"] for choice in choices if choice["finish_reason"]), None)
    assert received.endswith(b"data: [DONE]\n\n") == (finish is not None)
    usage = next((_chat_usage(chunk["usage"]) for chunk in chunks if chunk.get("usage")), None)
    return Seen(text, thinking, tuple((name, _anew(arguments)) for name, arguments in calls.values()) if finish else (), finish, usage, error)


def read_chat(body: Mapping[str, Any]) -> Seen:
    [choice] = body["choices"]
    message = choice["message"]
    calls = tuple((call["function"]["name"], _anew(call["function"]["arguments"])) for call in message.get("tool_calls") or ())
    return Seen(message["content"] or "", message.get("reasoning_content") or "", calls, choice["finish_reason"], _chat_usage(body["usage"]))


def _chat_usage(usage: Mapping[str, Any]) -> tuple[Any, ...]:
    cached, reasoning = usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]
    return usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"], cached, reasoning, usage["estimated"]


# -- Cursor ------------------------------------------------------------------------------------------------------------------------------------


def read_cursor_stream(received: bytes) -> Seen:
    """As Chat Completions, but that an error stands in the text, and the answer then ends as any other."""
    if not received.endswith(b"data: [DONE]\n\n"):
        received = received[: received.rindex(b"\n\n") + 2] if b"\n\n" in received else b""
        return read_chat_stream(received)
    seen = read_chat_stream(received)
    text, mark, error = seen.text.partition(ERROR_IN_TEXT)
    return Seen(text.rstrip("\n"), seen.thinking, error=error) if mark else seen


# -- Responses ---------------------------------------------------------------------------------------------------------------------------------


def write_responses(fields: dict[str, Any], prompt: str, max_tokens: int | None) -> dict[str, Any]:
    tools = [{"type": "function", "name": name, "parameters": schema} for name, schema in TOOLS.items()]
    limit = {} if max_tokens is None else {"max_output_tokens": max_tokens}
    return {**fields, **limit, "input": prompt, "tools": tools, "reasoning": {"effort": "high", "summary": "auto"}}


def read_responses_stream(received: bytes) -> Seen:
    events = [json.loads(data) for data in _data(received)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))

    def told(*kinds: str) -> str:
        return "".join(event["delta"] for event in events if event["type"] in kinds)

    final = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    text, thinking = told("response.output_text.delta", "response.refusal.delta"), told("response.reasoning_summary_text.delta")
    if events[-1]["type"] == "response.failed":
        assert events[-2]["type"] == "error"
        return Seen(text, thinking, _calls(done), error=final["error"]["message"])
    whole = read_responses(final)
    assert (whole.text, whole.thinking, whole.calls) == (text, thinking, _calls(done))
    return whole


def read_responses(response: Mapping[str, Any]) -> Seen:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    text = "".join(part.get("text", part.get("refusal")) for part in parts)
    thinking = "".join(part["text"] for item in response["output"] if item["type"] == "reasoning" for part in item["summary"])
    calls = _calls(response["output"])
    finish = {"completed": "tool_calls" if calls else "stop", "incomplete": "length"}[response["status"]]
    usage = response["usage"]
    cached, reasoning = usage["input_tokens_details"]["cached_tokens"], usage["output_tokens_details"]["reasoning_tokens"]
    counted = usage["input_tokens"], usage["output_tokens"], usage["total_tokens"], cached, reasoning, usage["estimated"]
    return Seen(text, thinking, calls, finish, counted)


def _calls(items: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((item["name"], _anew(item["arguments"])) for item in items if item["type"] == "function_call")


# -- Messages ----------------------------------------------------------------------------------------------------------------------------------


def write_messages(fields: dict[str, Any], prompt: str, max_tokens: int | None) -> dict[str, Any]:
    """A limit has to be there, so that there is one in the other dialects too."""
    assert max_tokens is not None
    tools = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
    asked = {"messages": [{"role": "user", "content": prompt}], "tools": tools, "max_tokens": max_tokens}
    return {**fields, **asked, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}


def read_messages_stream(received: bytes) -> Seen:
    reader = MessagesReader(received)
    assert reader.stopped == (reader.error is None)
    if reader.error is not None:
        text, thinking = _written(reader.message, "text"), _written(reader.message, "thinking")
        return Seen(text, thinking, error=reader.error["message"])
    assert len(reader.complete) == len(reader.message["content"])
    return read_messages(reader.message)


def read_messages(message: Mapping[str, Any]) -> Seen:
    finish = ENDS[message["stop_reason"]]
    blocks = [block for block in message["content"] if block["type"] == "tool_use"] if finish == "tool_calls" else []
    calls = tuple((block["name"], json.dumps(block["input"])) for block in blocks)
    usage = message["usage"]
    cached, reasoning = usage["cache_read_input_tokens"], usage["output_tokens_details"]["thinking_tokens"]
    prompt, answer = usage["input_tokens"] + cached + usage["cache_creation_input_tokens"], usage["output_tokens"]
    counted = prompt, answer, prompt + answer, cached, reasoning, usage["estimated"]
    return Seen(_written(message, "text"), _written(message, "thinking"), calls, finish, counted)


def _written(message: Mapping[str, Any], kind: str) -> str:
    return "".join(block[kind] for block in message.get("content", ()) if block["type"] == kind)


# ----------------------------------------------------------------------------------------------------------------------------------------------


def _anew(arguments: str) -> str:
    return json.dumps(json.loads(arguments))


def _data(received: bytes) -> list[str]:
    return [line.removeprefix("data: ") for line in received.decode().split("\n") if line.startswith("data: ")]


Dialect = tuple[str, Callable[[dict[str, Any], str, int | None], dict[str, Any]], Callable[[bytes], Seen], Callable[[Mapping[str, Any]], Seen]]

DIALECTS: dict[str, Dialect] = {
    "chat": ("/v1/chat/completions", write_chat, read_chat_stream, read_chat),
    "responses": ("/v1/responses", write_responses, read_responses_stream, read_responses),
    "messages": ("/v1/messages", write_messages, read_messages_stream, read_messages),
    CURSOR: ("/cursor/chat/completions", write_chat, read_cursor_stream, read_chat),
}
