"""Words to write the streams of a server with Anthropic's Messages API with: single events, and the sequences that the API sends for each block."""

import json
from collections.abc import Sequence
from typing import Any

from tests.support.openai_server import DONE

ENDPOINT = "/v1/messages"
MODEL = "claude-sonnet-5"
SIGNATURE = "EqQBCkYIBRgCKkBzaWduZWQtYnktbm9ib2R5"

__all__ = ["DONE", "ENDPOINT", "MODEL"]


def event(name: str, /, **fields: Any) -> bytes:
    """One event, its type in the `event:` line and in the JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps({"type": name, **fields}, separators=(",", ":")).encode())


def usage(prompt: int, completion: int, **counts: Any) -> dict[str, Any]:
    return {"input_tokens": prompt, "output_tokens": completion, **counts}


def message(content: Sequence[dict[str, Any]] = (), stop_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """A message object."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [*content],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        **fields,
    }


def start(prompt: int = 41, completion: int = 1, **counts: Any) -> bytes:
    return event("message_start", message=message(usage=usage(prompt, completion, **counts)))


START = start()
PING = event("ping")
STOP = event("message_stop")


def begun(index: int | None, kind: str, **fields: Any) -> bytes:
    """A block begins; `index` None leaves it out."""
    where = {} if index is None else {"index": index}
    return event("content_block_start", **where, content_block={"type": kind, **fields})


def delta(index: int | None, kind: str, **fields: Any) -> bytes:
    where = {} if index is None else {"index": index}
    return event("content_block_delta", **where, delta={"type": kind, **fields})


def ended(index: int | None) -> bytes:
    return event("content_block_stop", **({} if index is None else {"index": index}))


def text(piece: str, index: int | None = 0) -> bytes:
    return delta(index, "text_delta", text=piece)


def spoken(pieces: Sequence[str], index: int | None = 0) -> list[bytes]:
    """A block of text."""
    return [begun(index, "text", text=""), *(text(piece, index) for piece in pieces), ended(index)]


def thought(pieces: Sequence[str], index: int = 0, signature: str = "") -> list[bytes]:
    """A block of reasoning."""
    signed = [delta(index, "signature_delta", signature=signature)] if signature else []
    deltas = [delta(index, "thinking_delta", thinking=piece) for piece in pieces]
    return [begun(index, "thinking", thinking="", signature=""), *deltas, *signed, ended(index)]


def called(name: str, pieces: Sequence[str], index: int | None = 0, id: str | None = "toolu_1") -> list[bytes]:
    """A call; `id` None leaves it out."""
    named = {"name": name, "input": {}} if id is None else {"id": id, "name": name, "input": {}}
    return [begun(index, "tool_use", **named), *(delta(index, "input_json_delta", partial_json=piece) for piece in ["", *pieces]), ended(index)]


def over(reason: str | None, completion: int = 32, *, sequence: str | None = None, counts: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """The event with the reason."""
    said = {"stop_reason": reason, "stop_sequence": sequence, **fields}
    return event("message_delta", delta=said, usage={"output_tokens": completion, **(counts or {})})


def end(reason: str = "end_turn", completion: int = 32, **fields: Any) -> bytes:
    return over(reason, completion, **fields) + STOP


def failed(kind: str, says: str) -> bytes:
    return event("error", error={"type": kind, "message": says})
