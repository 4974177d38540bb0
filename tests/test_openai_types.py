"""Every answer and every chunk that the fixtures become is what the official client's own types say, strictly."""

import json
from pathlib import Path

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from pipeline.case_names import shipped_names
from pipeline.cases import EXPECTED

PATHS = shipped_names()


def body_of(path: Path, file: str) -> str:
    """What was answered, without the status line of one that failed at once."""
    text = (path / EXPECTED / file).read_text("utf-8")
    return text.partition("\n\n")[2] if text.startswith("HTTP ") else text


def assert_is_error(answer: dict) -> None:
    assert set(answer) == {"error"}
    assert set(answer["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_stream_is_of_chunks(path: Path):
    body = body_of(path, "chat.sse")
    if not body.startswith("data: "):
        assert_is_error(json.loads(body))
        return
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    failed = json.loads(events[-1]) if events[-1] != "[DONE]" else None
    if failed is not None:
        assert_is_error(failed)
    for event in map(json.loads, events[:-1]):
        for choice in event["choices"]:
            # the client has no type for a custom tool's call in a stream; tests/emit/test_chat.py looks at its fields
            choice["delta"]["tool_calls"] = [call for call in choice["delta"].get("tool_calls", ()) if "custom" not in call]
        ChatCompletionChunk.model_validate(event, strict=True)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_whole_answer_is_a_completion(path: Path):
    answer = json.loads(body_of(path, "chat.json"))
    if "error" in answer:
        assert_is_error(answer)
    else:
        ChatCompletion.model_validate(answer, strict=True)
