"""An independent reader of Responses streams: whether the events are in order, and what they amount to.

It knows the API and not the emitter: it goes by the bytes alone, keeps what a client would, and asserts at every event that it may come here.
"""

import json
from typing import Any

import msgspec

TERMINAL = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}
ANSWERED = {"id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "output", "error", "usage"}
SAID_AGAIN = {
    *("previous_response_id", "instructions", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "reasoning", "metadata", "store"),
    *("top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "max_output_tokens", "max_tool_calls", "background"),
    *("service_tier", "safety_identifier", "prompt_cache_key"),
}
FIELDS = ANSWERED | SAID_AGAIN
"""What every Response object has; `user` comes and goes."""

CALLS = {"function_call": ("response.function_call_arguments", "arguments"), "custom_tool_call": ("response.custom_tool_call_input", "input")}
PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
PARTS = {  # a part's type -> the item's type, its field for parts, the events about the part, its index there, those about the text, the text
    "output_text": ("message", "content", "response.content_part", "content_index", "response.output_text", "text"),
    "refusal": ("message", "content", "response.content_part", "content_index", "response.refusal", "refusal"),
    "summary_text": ("reasoning", "summary", "response.reasoning_summary_part", "summary_index", "response.reasoning_summary_text", "text"),
}


def read_events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream of bytes; comments are passed over."""
    assert data.endswith(b"\n\n")
    found = []
    for block in data.decode().removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            assert "\n" not in block
            continue
        first, second = block.split("\n")
        event = json.loads(second.removeprefix("data: "))
        assert first == f"event: {event['type']}"
        found.append(event)
    return found


class Open(msgspec.Struct):
    """The item that is open: as it was added, with what was told of it since."""

    item: dict[str, Any]
    index: int
    part: dict[str, Any] | None = None
    text: str = ""
    is_text_done: bool = False


class StreamChecker:
    """Feed the events of one stream; `response` is its final object, `done` the items that were done."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.response: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.open: Open | None = None
        self.texts = {"output_text": "", "refusal": "", "summary_text": ""}
        self._first: dict[str, Any] = {}
        self._count = 0

    def feed(self, event: dict[str, Any]) -> None:
        assert self.response is None, "something behind the end"
        assert event["sequence_number"] == self._count
        self._count += 1
        name: str = event["type"]
        if self._count <= 2:
            assert name == ("response.created", "response.in_progress")[self._count - 1]
            self._check_begun(event["response"])
        elif name in TERMINAL:
            self._check_end(TERMINAL[name], event["response"])
        elif name == "error":
            assert self.error is None
            self.error = event["error"]
            assert {key: event[key] for key in ("code", "message", "param")} == {key: self.error[key] for key in ("code", "message", "param")}
        else:
            assert self.error is None, "something between the error and the end"
            self._check_item(name, event)

    def _check_begun(self, response: dict[str, Any]) -> None:
        assert response.keys() - {"user"} == FIELDS
        assert (response["status"], response["output"], response["usage"], response["completed_at"]) == ("in_progress", [], None, None)
        assert response["error"] is response["incomplete_details"] is None
        assert response == self._first or not self._first
        self._first = response

    def _check_item(self, name: str, event: dict[str, Any]) -> None:
        if name == "response.output_item.added":
            self._add(event)
            return
        at = self.open
        assert at is not None, f"{name} without an item"
        assert event["output_index"] == at.index
        if name == "response.output_item.done":
            self._finish(at, event["item"])
            return
        assert event["item_id"] == at.item["id"]
        if at.item["type"] in CALLS:
            self._tell(at, name, event, *CALLS[at.item["type"]])
        elif name.endswith("part.added"):
            assert at.part is None
            self._check_part(at, name, event, ".added")
            at.part, at.text, at.is_text_done = event["part"], "", False
        else:
            assert at.part is not None
            *_, told, field = PARTS[at.part["type"]]
            if name.endswith("part.done"):
                self._check_part(at, name, event, ".done")
                assert at.is_text_done
                assert event["part"] == {**at.part, field: at.text}
                at.item[PARTS[at.part["type"]][1]].append(event["part"])
                at.part = None
            else:
                assert event[PARTS[at.part["type"]][3]] == len(at.item[PARTS[at.part["type"]][1]])
                self._tell(at, name, event, told, field)
                if name.endswith(".delta"):
                    self.texts[at.part["type"]] += event["delta"]

    def _add(self, event: dict[str, Any]) -> None:
        assert self.open is None, "items interleave"
        item = event["item"]
        assert event["output_index"] == len(self.done)
        assert item["status"] == "in_progress"
        assert item["id"].startswith(PREFIXES[item["type"]])
        assert item["id"] not in {done["id"] for done in self.done}
        if item["type"] in CALLS:
            assert item[CALLS[item["type"]][1]] == ""
        else:
            assert item["content" if item["type"] == "message" else "summary"] == []
        self.open = Open(item, len(self.done))

    def _check_part(self, at: Open, name: str, event: dict[str, Any], end: str) -> None:
        kind, parts, about, index, _, field = PARTS[event["part"]["type"]]
        assert (at.item["type"], name, event[index]) == (kind, about + end, len(at.item[parts]))
        assert end == ".done" or event["part"][field] == ""

    def _tell(self, at: Open, name: str, event: dict[str, Any], told: str, field: str) -> None:
        assert not at.is_text_done
        if name == f"{told}.delta":
            assert event["delta"]
            at.text += event["delta"]
        else:
            assert name == f"{told}.done"
            assert event[field] == at.text
            assert event.get("name", at.item.get("name")) == at.item.get("name")
            at.is_text_done = True

    def _finish(self, at: Open, item: dict[str, Any]) -> None:
        if at.item["type"] in CALLS:
            assert at.is_text_done
            assert item["status"] == "completed"
            at.item[CALLS[at.item["type"]][1]] = at.text
        assert at.part is None
        assert item["status"] in ("completed", "incomplete")
        assert item == {**at.item, "status": item["status"]}
        self.done.append(item)
        self.open = None

    def _check_end(self, status: str, response: dict[str, Any]) -> None:
        changing = {"status", "output", "usage", "completed_at", "error", "incomplete_details"}
        assert {key: value for key, value in response.items() if key not in changing} == {
            key: value for key, value in self._first.items() if key not in changing
        }
        assert response["status"] == status
        assert (response["completed_at"] is not None) == (status == "completed")
        assert (response["incomplete_details"] is not None) == (status == "incomplete")
        assert (response["error"] is not None) == (status == "failed") == (self.error is not None)
        assert {"cached_tokens"} <= response["usage"]["input_tokens_details"].keys()
        assert {"reasoning_tokens"} <= response["usage"]["output_tokens_details"].keys()
        assert response["output"] == self.done + self._kept(status)
        assert status != "completed" or all(item["status"] == "completed" for item in response["output"])
        self.response = response

    def _kept(self, status: str) -> list[dict[str, Any]]:
        """What the final object must hold of the item that is still open."""
        at = self.open
        if at is None:
            return []
        if at.item["type"] in CALLS:
            assert status != "completed"
            return []
        assert status == "failed"
        item = {**at.item, "status": "incomplete"}
        if at.part is not None:
            _, parts, *_, field = PARTS[at.part["type"]]
            item[parts] = [*item[parts], {**at.part, field: at.text}]
        return [item]


def checked(data: bytes) -> StreamChecker:
    """A whole stream, each of its rules asserted."""
    assert b"[DONE]" not in data.split(b"\n")
    checker = StreamChecker()
    for event in read_events(data):
        checker.feed(event)
    assert checker.response is not None, "no end"
    return checker
