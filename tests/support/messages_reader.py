"""A Messages stream as its official clients read it: events added up to the message, and the rules of their order checked on the way.

How they add up is what `anthropic.lib.streaming` and `@anthropic-ai/sdk` do: deltas go to the block of their index, a signature replaces, the input
of a call is the JSON of all its pieces, and `message_delta` replaces the reason and the usage.
"""

import json
from typing import Any

from pipeline.wire.sse import SseDecoder

DELTAS = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking")}


def read_events(data: bytes) -> list[dict[str, Any]]:
    """The events without pings; each one's name is its type."""
    decoder = SseDecoder()
    found = []
    for event in decoder.feed(data):
        body = json.loads(event.data)
        assert event.event == body["type"]
        if body["type"] != "ping":
            found.append(body)
    assert not decoder.unfinished
    return found


class MessagesReader:
    """One stream. `message` is what has been added up, `error` the error that ended it, `closed` the indices of the blocks that are complete."""

    def __init__(self, data: bytes = b"") -> None:
        self.message: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.stopped = False
        self.closed: set[int] = set()
        self._open: int | None = None
        self._inputs: dict[int, str] = {}
        for event in read_events(data):
            self.take(event)

    @property
    def complete(self) -> list[dict[str, Any]]:
        """The blocks that were closed."""
        return [block for index, block in enumerate(self.message["content"]) if index in self.closed]

    def take(self, event: dict[str, Any]) -> None:
        assert not self.stopped, "nothing comes behind message_stop"
        assert self.error is None, "nothing comes behind an error"
        kind = event["type"]
        if kind == "message_start":
            assert not self.message
            self.message = event["message"]
            assert self.message["content"] == []
        elif kind == "content_block_start":
            assert self._open is None, "blocks do not overlap"
            assert event["index"] == len(self.message["content"])
            self._open = event["index"]
            self.message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            self._delta(event["index"], event["delta"])
        elif kind == "content_block_stop":
            assert event["index"] == self._open
            self._open = None
            self.closed.add(event["index"])
        elif kind == "message_delta":
            self.message |= event["delta"]
            self.message["usage"] |= event["usage"]
        elif kind == "message_stop":
            self.stopped = True
        else:
            assert kind == "error", kind
            self.error = event["error"]

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        assert index == self._open, "a delta belongs to the open block"
        block = self.message["content"][index]
        if delta["type"] == "input_json_delta":
            assert block["type"] == "tool_use"
            self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            try:
                block["input"] = json.loads(self._inputs[index])
            except ValueError:
                block["input"] = {}
        elif delta["type"] == "signature_delta":
            block["signature"] = delta["signature"]
        else:
            field, into = DELTAS[delta["type"]]
            assert block["type"] == into
            block[into] += delta[field]
