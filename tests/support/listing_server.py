"""Answers of an upstream that lists its models, for `tests.support.raw_server`."""

import json
from typing import Any

from tests.support.raw_server import REQUEST, Close, Script


def answer(body: bytes, status: int = 200, **headers: str) -> Script:
    """A script for a connection: one request, one whole answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"content_type": "application/json", **headers}.items())
    return [REQUEST, f"HTTP/1.1 {status} Status\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body, Close()]


def listing(*entries: dict[str, Any] | str) -> Script:
    """A list of these models; a text is one of which only the id is told."""
    data = [{"id": entry, "object": "model", "created": 1, "owned_by": "vendor"} if isinstance(entry, str) else entry for entry in entries]
    return answer(json.dumps({"object": "list", "data": data}).encode())
