"""Words to write the streams of a Responses server with: single events, and the sequences that the API sends for a message, reasoning or a call."""

import json
from collections.abc import Sequence
from typing import Any

from tests.support.openai_server import DONE

ENDPOINT = "/v1/responses"
MODEL = "gpt-5.2"

__all__ = ["DONE", "ENDPOINT", "MODEL"]


def event(name: str, /, **fields: Any) -> bytes:
    """One event, its type in the `event:` line and in the JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps({"type": name, **fields}, separators=(",", ":")).encode())


def bare(name: str, /, **fields: Any) -> bytes:
    """The same without the `event:` line, as some servers send it."""
    return b"data: " + json.dumps({"type": name, **fields}, separators=(",", ":")).encode() + b"\n\n"


def response(status: str, output: Sequence[dict[str, Any]] = (), **fields: Any) -> dict[str, Any]:
    """A response object."""
    return {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": status, "model": MODEL, "output": [*output], **fields}


def usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


CREATED = event("response.created", response=response("in_progress", instructions="Be brief.")) + event(
    "response.in_progress", response=response("in_progress")
)


def completed(*output: dict[str, Any], **fields: Any) -> bytes:
    return event("response.completed", response=response("completed", output, **fields))


def incomplete(reason: str | None, *output: dict[str, Any], **fields: Any) -> bytes:
    return event("response.incomplete", response=response("incomplete", output, incomplete_details={"reason": reason}, **fields))


def failed(code: str, message: str) -> bytes:
    return event("response.failed", response=response("failed", error={"code": code, "message": message}))


def added(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.added", output_index=index, item=item)


def done(index: int, item: dict[str, Any]) -> bytes:
    return event("response.output_item.done", output_index=index, item=item)


# -- items -------------------------------------------------------------------------------------------------------------------------------------


def message(text: str, item_id: str = "msg_1", **part: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], **part}] if text or part else []
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": content}


def reasoning(*summary: str, item_id: str = "rs_1") -> dict[str, Any]:
    return {"id": item_id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in summary]}


def function_call(name: str, arguments: str, call_id: str = "call_1", item_id: str = "fc_1", status: str = "completed") -> dict[str, Any]:
    return {"id": item_id, "type": "function_call", "status": status, "name": name, "arguments": arguments, "call_id": call_id}


def custom_call(name: str, text: str, call_id: str = "call_1", item_id: str = "ctc_1") -> dict[str, Any]:
    return {"id": item_id, "type": "custom_tool_call", "status": "completed", "name": name, "input": text, "call_id": call_id}


# -- sequences ---------------------------------------------------------------------------------------------------------------------------------


def text(delta: str, item_id: str = "msg_1", index: int = 0, part: int = 0) -> bytes:
    return event("response.output_text.delta", item_id=item_id, output_index=index, content_index=part, delta=delta, logprobs=[])


def spoken(pieces: Sequence[str], item_id: str = "msg_1", index: int = 0) -> list[bytes]:
    """A whole message."""
    full, where = "".join(pieces), {"item_id": item_id, "output_index": index, "content_index": 0}
    part = {"type": "output_text", "text": full, "annotations": []}
    return [
        added(index, {**message("", item_id), "status": "in_progress"}),
        event("response.content_part.added", **where, part={**part, "text": ""}),
        *(text(piece, item_id, index) for piece in pieces),
        event("response.output_text.done", **where, text=full, logprobs=[]),
        event("response.content_part.done", **where, part=part),
        done(index, message(full, item_id)),
    ]


def thought(parts: Sequence[Sequence[str]], item_id: str = "rs_1", index: int = 0) -> list[bytes]:
    """A reasoning item with the parts of its summary, each in pieces."""
    events = [added(index, {**reasoning(item_id=item_id), "status": "in_progress"})]
    for place, pieces in enumerate(parts):
        where, part = {"item_id": item_id, "output_index": index, "summary_index": place}, {"type": "summary_text", "text": "".join(pieces)}
        events += [
            event("response.reasoning_summary_part.added", **where, part={**part, "text": ""}),
            *(event("response.reasoning_summary_text.delta", **where, delta=piece) for piece in pieces),
            event("response.reasoning_summary_text.done", **where, text=part["text"]),
            event("response.reasoning_summary_part.done", **where, part=part),
        ]
    return [*events, done(index, reasoning(*("".join(pieces) for pieces in parts), item_id=item_id))]


def begun(item: dict[str, Any], index: int = 0) -> bytes:
    """A call's item as it is added: without its arguments."""
    field = "input" if item["type"] == "custom_tool_call" else "arguments"
    return added(index, {**item, field: "", "status": "in_progress"})


def piece(delta: str, item_id: str = "fc_1", index: int = 0, *, custom: bool = False) -> bytes:
    """A piece of a call's arguments."""
    name = "response.custom_tool_call_input.delta" if custom else "response.function_call_arguments.delta"
    return event(name, item_id=item_id, output_index=index, delta=delta)


def called(item: dict[str, Any], pieces: Sequence[str], index: int = 0) -> list[bytes]:
    """A whole call: `item` is what it is when it is done."""
    custom = item["type"] == "custom_tool_call"
    name, field = ("response.custom_tool_call_input.done", "input") if custom else ("response.function_call_arguments.done", "arguments")
    return [
        begun(item, index),
        *(piece(delta, item["id"], index, custom=custom) for delta in pieces),
        event(name, item_id=item["id"], output_index=index, **{field: item[field]}),
        done(index, item),
    ]
