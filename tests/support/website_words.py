"""The words of a website's UI message stream, an event each; and one that answers as a model means it."""

from typing import Any

from tests.support.openai_server import DONE, event

ENDPOINT = "/api/chat"
START = event(type="start", messageId="msg_1") + event(type="start-step")
STEP_END = event(type="finish-step")


def part(kind: str, **fields: Any) -> bytes:
    """One part of the stream."""
    return event(type=kind, **fields)


def text(delta: str, id: str = "txt_0") -> bytes:
    return part("text-delta", id=id, delta=delta)


def thought(delta: str, id: str = "reasoning_0") -> bytes:
    return part("reasoning-delta", id=id, delta=delta)


def available(id: str, name: str, input: Any, **fields: Any) -> bytes:
    """A whole native call."""
    return part("tool-input-available", toolCallId=id, toolName=name, input=input, **fields)


def typed(id: str, name: str, *pieces: str, **fields: Any) -> bytes:
    """A native call as it is being written, not yet whole."""
    begun = part("tool-input-start", toolCallId=id, toolName=name, **fields)
    return begun + b"".join(part("tool-input-delta", toolCallId=id, inputTextDelta=piece) for piece in pieces)


def usage(prompt: int, completion: int, **fields: Any) -> dict[str, Any]:
    return {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion, **fields}


def finish(reason: str | None = "stop", **metadata: Any) -> bytes:
    """The end of the message; `metadata` is the message's."""
    fields = {} if reason is None else {"finishReason": reason}
    return part("finish", **fields, **({"messageMetadata": metadata} if metadata else {}))


END = STEP_END + finish() + DONE
