"""What does not fit the types of Anthropic's Python SDK, taken strictly: one JSON object, the name of a file -> what is wrong with it.

`python anthropic_types.py FOLDER`      (`*.sse` are streams, `*.json` bodies, whose names begin with what they are: message, error, models, count)
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anthropic.types import (  # type: ignore[import-not-found]  # it is installed with the clients alone
    ErrorResponse,
    Message,
    MessageTokensCount,
    ModelInfo,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
)
from pydantic import ValidationError

EVENTS = {
    "message_start": RawMessageStartEvent,
    "content_block_start": RawContentBlockStartEvent,
    "content_block_delta": RawContentBlockDeltaEvent,
    "content_block_stop": RawContentBlockStopEvent,
    "message_delta": RawMessageDeltaEvent,
    "message_stop": RawMessageStopEvent,
    "error": ErrorResponse,
}
BODIES = {"message": Message, "error": ErrorResponse, "models": ModelInfo, "count": MessageTokensCount}


def parts_of(path: Path) -> Iterator[tuple[Any, str]]:
    """Each thing in a file that has a type: the type, and its JSON."""
    text = path.read_text("utf-8")
    if path.suffix == ".sse":
        for event in text.removesuffix("\n\n").split("\n\n"):
            name, data = event.split("\n")
            kind = json.loads(data.removeprefix("data: "))["type"]
            assert name == f"event: {kind}", name
            yield EVENTS[kind], data.removeprefix("data: ")
        return
    kind = path.name.partition("-")[0]
    for each in json.loads(text)["data"] if kind == "models" else [json.loads(text)]:
        yield BODIES[kind], json.dumps(each)


def faults_of(path: Path) -> str | None:
    for kind, data in parts_of(path):
        try:
            kind.model_validate_json(data, strict=True)
        except ValidationError as fault:
            return f"{data[:400]}\n{fault}"
    return None


if __name__ == "__main__":
    found = {path.name: faults_of(path) for path in sorted(Path(sys.argv[1]).iterdir())}
    print(json.dumps({name: fault for name, fault in found.items() if fault is not None}))
